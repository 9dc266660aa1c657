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
use crate::held_token::{self, HeldKind, HeldToken};
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
        check_host_token(host_token_file, &host_token)?;
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
            let proof = jwt::from_file(path)?;
            check_proof(path, proof.expose_text())?;
            return Ok(proof);
        }
        let host = self.host.as_ref().or(resolved.host()).ok_or_else(messages::no_host)?;
        if let Some(key) = resolved.development_issuer_key() {
            return jwt::for_boot(key, app, &self.machine, host);
        }
        let file = resolved.token_file()?;
        let token = value_source::token(file)?;
        if is_jwt(&token) {
            return Err(messages::jwt_in_token_file(file));
        }
        check_proof(file, &token)?;
        let own = remote::credentials(file, &token)?;
        let now = i64::try_from(clock::unix_now()).unwrap_or(i64::MAX);
        Ok(narrow_for_boot(&own, &app_id(resolved, app, &token)?, &self.machine, host, now)?)
    }
}

/// Refuses a file without the token of a host. The server could not say which of the files is the wrong one.
fn check_host_token(file: &Path, text: &str) -> Result<(), Failure> {
    if is_jwt(text) {
        return Err(messages::not_a_host_token(file, messages::A_JWT));
    }
    let now = i64::try_from(clock::unix_now()).unwrap_or(i64::MAX);
    match held_token::held(text, now).unwrap_or_default().iter().find(|held| held.kind != HeldKind::Host) {
        Some(other) => Err(messages::not_a_host_token(file, messages::kind_in_words(other.kind))),
        None => Ok(()),
    }
}

/// Refuses a file with the token of an operator or of a host, which prove no boot.
fn check_proof(file: &Path, text: &str) -> Result<(), Failure> {
    let now = i64::try_from(clock::unix_now()).unwrap_or(i64::MAX);
    let proves_nothing = |held: &&HeldToken| match held.kind {
        HeldKind::Operator => true,
        // A token of an org that needs a discharge, too, may be narrowed to a host.
        HeldKind::Host => held.org.is_none() && held.apps.is_none(),
        HeldKind::Org | HeldKind::BreakGlass | HeldKind::Exchanged => false,
    };
    match held_token::held(text, now).unwrap_or_default().iter().find(proves_nothing) {
        Some(other) => Err(messages::not_a_proof(file, messages::kind_in_words(other.kind))),
        None => Ok(()),
    }
}

/// Whether a text looks like a JWT: three parts, the first of which begins as a JSON object does in base64.
fn is_jwt(text: &str) -> bool {
    let text = value_source::without_scheme(text);
    text.starts_with("eyJ") && text.split('.').count() == 3
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

#[cfg(test)]
mod tests {
    use petsem_policy::{Caveat, CaveatSet, Hosts, Macaroon, MacaroonKey, Organization, SharedKey};

    use super::*;

    fn token(caveats: impl IntoIterator<Item = Caveat>, needs_discharge: bool) -> String {
        let rng = &mut rand_core::UnwrapErr(getrandom::SysRng);
        let key = MacaroonKey::new(&[7; 32]);
        let mut macaroon = Macaroon::mint(&key, b"kid", "https://petsem.example", false, rng);
        if needs_discharge {
            let shared = SharedKey::generate(rng);
            macaroon.add_third_party("https://login", &shared, &CaveatSet::new(Vec::new()), rng).unwrap();
        }
        macaroon.add(caveats).unwrap();
        macaroon.to_text().to_string()
    }

    #[test]
    fn a_boot_says_which_file_holds_what_and_what_it_needs() {
        let host = token([Hosts::new(["h-1".to_owned()]).into()], true);
        let org = || Organization { org: [7; 16] }.into();
        let owner = token([org()], false);
        let with_login = token([org(), Hosts::new(["h-1".to_owned()]).into()], true);
        let operator = token([petsem_policy::Operator.into()], false);
        let jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.AAAA".to_owned();
        let (file, fact) =
            (Path::new("t"), |refused: Result<(), Failure>| refused.err().map(|failure| failure.fact));
        let as_host = |text: &str| fact(check_host_token(file, text));
        let as_proof = |text: &str| fact(check_proof(file, text));
        let needs = |found: &str| Some(format!("t holds {found}; a boot needs a host's token there"));
        let proves = |found: &str| Some(format!("t holds {found}, which proves no boot"));
        assert_eq!(
            [&host, &owner, &operator, &jwt].map(|text| as_host(text)),
            [None, needs("a token of an org"), needs("an operator's token"), needs("a JWT")]
        );
        assert_eq!(
            [&host, &owner, &operator, &jwt, &with_login].map(|text| as_proof(text)),
            [proves("a host's token"), None, proves("an operator's token"), None, None]
        );
    }
}
