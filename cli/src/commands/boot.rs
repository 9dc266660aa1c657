//! `petsem boot`: boots one process Machine by hand, as a host boots every Machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use petsem_api::{AppId, AppRef, BootResponse, HostId, MachineId, SecretName};
use petsem_client::{
    BootFlow, Booted, Client, Credentials, Endpoint, Exec, Injector, LeftOut, narrow_for_boot,
};
use petsem_policy::{PetsemCaveat, UnverifiedToken};
use serde::Serialize;

use super::run::{become_command, note_needless};
use crate::arguments::AllowedNames;
use crate::context::{AppArgument, Connection, Resolved};
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::process::InheritedUmask;
use crate::remote::{self, Remote};
use crate::{clock, jwt, messages, value_source};

/// Boot a Machine by hand, as its host does
///
/// With a proof, the host token gets a discharge; with the discharge, it gets the secrets. The command then replaces
/// this process. Its environment has only the secrets and what programs need, such as PATH and HOME. Left out, with a
/// note and a line in the audit log: a secret whose name is set already, and one whose name programs obey, unless the
/// app's settings allow it. --allow names those that you want. With --show, names and digests are printed instead. The
/// proof is a JWT from --jwt-file; otherwise, for `petsem dev`, one signed by the development issuer; otherwise your
/// own token, narrowed to exactly this boot before it is sent.
#[derive(Args)]
pub(crate) struct Boot {
    #[command(flatten)]
    app: AppArgument,

    /// The Machine to boot
    #[arg(long, value_name = "MACHINE")]
    machine: MachineId,

    /// The host to boot it on, as the host token names it [default: the context file's]
    #[arg(long, value_name = "HOST")]
    host: Option<HostId>,

    /// The file with the host token (mode 0600) [default: from the context file]
    #[arg(long, value_name = "FILE", env = "PETSEM_HOST_TOKEN_FILE", hide_env_values = true)]
    host_token_file: Option<PathBuf>,

    /// The file with the JWT that proves that this Machine should boot here, or - for standard input
    #[arg(long, value_name = "FILE", env = "PETSEM_JWT_FILE", hide_env_values = true)]
    jwt_file: Option<PathBuf>,

    /// The lowest acceptable app version
    #[arg(long, value_name = "VERSION")]
    min_version: Option<u64>,

    #[command(flatten)]
    allowed: AllowedNames,

    /// Print the names and digests of the secrets that the Machine gets, and start nothing
    #[arg(long, conflicts_with = "command")]
    show: bool,

    /// With --show: print JSON
    #[arg(long, requires = "show")]
    json: bool,

    /// The command and its arguments, after two dashes
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    #[command(flatten)]
    connection: Connection,
}

impl Boot {
    pub(crate) fn run(self, umask: InheritedUmask) -> Result<(), Failure> {
        if !self.show && self.command.is_empty() {
            return Err(messages::nothing_to_run());
        }
        let (allowed, mapped) = (self.allowed.names()?, self.allowed.mapped()?);
        let resolved = self.connection.resolve()?;
        let app = resolved.app(&self.app)?;
        let host_token_file = resolved.host_token_file(self.host_token_file.as_deref())?;
        let host_token = value_source::token(host_token_file)?;
        let proof = self.proof(&resolved, &app)?;
        let flow = flow(&resolved, host_token_file, &host_token)?;
        let booting = flow.boot(&app, &self.machine, self.min_version, Some(&proof));
        let booted = remote::wait_for(booting)??;
        let bundle = booted.bundle();
        let exec = Exec::new(self.command).keep(Exec::USUAL).map(mapped);
        note_needless(&allowed, &exec, &bundle);
        let exec = exec.allow(allowed);
        let left_out = exec.left_out(&bundle);
        messages::left_out(&left_out).iter().for_each(|note| output::notice(note));
        if self.show {
            return show(self.json, booted.response(), &left_out);
        }
        exec.check(&bundle).map_err(messages::does_not_fit)?;
        report(&flow, &booted, &left_out)?;
        drop((booted, flow, proof, host_token));
        become_command(exec, bundle, umask)
    }

    /// The proof that this Machine should boot here.
    fn proof(&self, resolved: &Resolved, app: &AppRef) -> Result<Credentials, Failure> {
        if let Some(path) = &self.jwt_file {
            resolved.check_named(path)?;
            return jwt::from_file(path);
        }
        let host = self.host.as_ref().or(resolved.host()).ok_or_else(messages::no_host)?;
        if let Some(key) = resolved.development_issuer_key() {
            return jwt::for_boot(key, app, &self.machine, host);
        }
        let token = value_source::token(resolved.token_file()?)?;
        let own = remote::credentials(resolved.token_file()?, &token)?;
        let now = i64::try_from(clock::unix_now()).unwrap_or(i64::MAX);
        Ok(narrow_for_boot(&own, &app_id(resolved, app, &token)?, &self.machine, host, now)?)
    }
}

/// Reports what the environment lacks. A report that fails does not stop the boot.
fn report(flow: &BootFlow, booted: &Booted, left_out: &[LeftOut]) -> Result<(), Failure> {
    if left_out.is_empty() {
        return Ok(());
    }
    if let Err(error) = remote::wait_for(flow.report_environment(booted, left_out))? {
        output::notice(&messages::not_reported(&error));
    }
    Ok(())
}

/// The host token's discharger is petsem's own: the server that is called.
fn flow(resolved: &Resolved, file: &Path, host_token: &str) -> Result<BootFlow, Failure> {
    let endpoint: Endpoint = resolved.endpoint.parse()?;
    let mut client = Client::builder(vec![endpoint.clone()]);
    if let Some(location) = discharger(host_token) {
        client = client.discharger(&location, vec![endpoint]);
    }
    Ok(BootFlow::new(Arc::new(client.build()), remote::credentials(file, host_token)?)?)
}

fn discharger(host_token: &str) -> Option<String> {
    let token = UnverifiedToken::parse(host_token).ok()?;
    token.undischarged(&[]).first().map(|(location, _)| (*location).to_owned())
}

/// A token is narrowed to ids: a name could become another app. One that is for one app already names its id, and may
/// not be allowed to look a name up; if it is another app's, the discharger refuses.
fn app_id(resolved: &Resolved, app: &AppRef, token: &str) -> Result<AppId, Failure> {
    match (app, only_app(token)) {
        (AppRef::Id(id), _) => Ok(*id),
        (AppRef::Name(_), Some(id)) => Ok(id),
        (AppRef::Name(name), None) => {
            let remote = Remote::with_token(resolved, resolved.token_file()?, token)?;
            remote.get::<petsem_api::App>(&format!("/v1/apps/{name}")).map(|app| app.id)
        }
    }
}

/// The one app that a token is for, if it is for one.
fn only_app(token: &str) -> Option<AppId> {
    let token = UnverifiedToken::parse(value_source::without_scheme(token)).ok()?;
    token.caveats().iter().find_map(|caveat| match PetsemCaveat::of(caveat)?.ok()?? {
        PetsemCaveat::Apps(apps) => match apps.ids() {
            [id] => Some(AppId::from_bytes(*id)),
            _ => None,
        },
        _ => None,
    })
}

/// The output of `--show --json`: a boot without its values.
#[derive(Serialize)]
struct BootReport<'a> {
    app: AppId,
    machine: &'a MachineId,
    version: u64,
    secrets: Vec<SecretReport<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<&'a SecretName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renewal_expires_at: Option<&'a str>,
}

#[derive(Serialize)]
struct SecretReport<'a> {
    name: &'a SecretName,
    bytes: usize,
    digest: petsem_api::Digest,
}

fn show(json: bool, response: &BootResponse, left_out: &[LeftOut]) -> Result<(), Failure> {
    let secrets = response.secrets.iter().map(|secret| SecretReport {
        name: &secret.name,
        bytes: secret.value.as_ref().map_or(0, petsem_api::Value::len),
        digest: secret.digest,
    });
    let report = BootReport {
        app: response.app,
        machine: &response.machine,
        version: response.version,
        secrets: secrets.collect(),
        left_out: left_out.iter().map(|left_out| &left_out.name).collect(),
        renewal_expires_at: response.renewal_expires_at.as_deref(),
    };
    if !json {
        output::notice(&messages::booted(response));
    }
    output::answer(json, &report, |report| {
        let mut table = Table::new(&["NAME", "BYTES", "DIGEST"]);
        for secret in &report.secrets {
            table.row([secret.name.to_string(), secret.bytes.to_string(), secret.digest.to_string()]);
        }
        table
    })
}
