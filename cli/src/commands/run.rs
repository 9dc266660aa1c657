//! `petsem run`: reads secrets with a workload's JWT, then replaces this process with a command.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use petsem_api::SecretName;
use petsem_client::{Bundle, Client, Endpoint, Exec, Injector};

use crate::arguments::{AllowedNames, secret_names};
use crate::context::{AppArgument, Connection};
use crate::failure::Failure;
use crate::process::InheritedUmask;
use crate::{jwt, messages, output, remote, value_source};

/// Run a command with an app's secrets in its environment
///
/// The secrets are read with a JWT that the app's policy accepts: from --jwt-file or, for `petsem dev`, signed by the
/// development issuer. The command is found with your PATH, and replaces this process, so that no other process holds
/// the values. Left out, with a note: a secret whose name is set already, and one whose name programs obey, unless the
/// app's settings allow it. --only, --allow and --map name those that you want.
#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    app: AppArgument,

    /// The file with the JWT, or - for standard input [default: signed by the development issuer]
    #[arg(long, value_name = "FILE", env = "PETSEM_JWT_FILE", hide_env_values = true)]
    jwt_file: Option<PathBuf>,

    /// A file written by `petsem break-glass`, instead of a JWT
    #[arg(long, value_name = "FILE", conflicts_with = "jwt_file")]
    break_glass: Option<PathBuf>,

    /// A file written by `petsem token exchange`, instead of a JWT
    #[arg(long, value_name = "FILE", conflicts_with_all = ["jwt_file", "break_glass"])]
    exchanged: Option<PathBuf>,

    /// Only this secret, which must exist, whatever its name; may be repeated
    #[arg(long = "only", value_name = "NAME")]
    only: Vec<String>,

    #[command(flatten)]
    allowed: AllowedNames,

    /// Pass on only the environment variables that programs need, such as PATH and HOME
    #[arg(long)]
    pristine: bool,

    /// The command and its arguments, after two dashes
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    #[command(flatten)]
    connection: Connection,
}

impl Run {
    pub(crate) fn run(self, umask: InheritedUmask) -> Result<(), Failure> {
        let only: Vec<SecretName> = secret_names(&self.only)?;
        let (allowed, mapped) = (self.allowed.names()?, self.allowed.mapped()?);
        let resolved = self.connection.resolve()?;
        let app = resolved.app(&self.app)?;
        let endpoint: Endpoint = resolved.endpoint.parse()?;
        let token_file = self.break_glass.as_ref().or(self.exchanged.as_ref());
        let credentials = match token_file {
            Some(path) => {
                resolved.check_named(path)?;
                remote::credentials(path, &value_source::token(path)?)?
            }
            None => jwt::for_workload(self.jwt_file.as_deref(), &resolved)?,
        };
        let client = Client::builder(vec![endpoint]).build();
        let named = (!only.is_empty()).then_some(only.as_slice());
        let list = remote::wait_for(client.workload_read(&app, &credentials, named))?;
        let list = list.map_err(|error| match token_file {
            Some(path) => remote::refused(error, &credentials, path),
            None => error.into(),
        })?;
        let bundle = Bundle::from_workload(&app, &list);
        drop((list, credentials, client));
        let exec = Exec::new(self.command).map(mapped);
        let exec = if self.pristine { exec.keep(Exec::USUAL) } else { exec.keep(inherited()) };
        note_needless(&allowed, &exec, &bundle);
        let exec = exec.allow(allowed.into_iter().chain(only));
        exec.check(&bundle).map_err(messages::does_not_fit)?;
        messages::left_out(&exec.left_out(&bundle)).iter().for_each(|note| output::notice(note));
        become_command(exec, bundle, umask)
    }
}

/// Notes each name of `--allow` that changes nothing: it may be mistyped. `exec` allows none of them yet.
pub(super) fn note_needless(allowed: &[SecretName], exec: &Exec, bundle: &Bundle) {
    let left_out = exec.left_out(bundle);
    for name in allowed {
        if !bundle.names().any(|secret| secret == name) {
            output::notice(&messages::allowed_without_secret(name));
        } else if name.reserved().is_none() && !left_out.iter().any(|left_out| left_out.name == *name) {
            output::notice(&messages::allowed_needlessly(name));
        }
    }
}

/// Execs. Returns only with a failure.
pub(super) fn become_command(exec: Exec, bundle: Bundle, umask: InheritedUmask) -> Result<(), Failure> {
    umask.restore();
    match remote::wait_for(exec.deliver(bundle))? {
        Ok(never) => match never {},
        Err(error) => Err(error.into()),
    }
}

/// Every variable but petsem's own: the command must not find our token files.
fn inherited() -> Vec<OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| !name.as_encoded_bytes().starts_with(b"PETSEM_")).collect()
}
