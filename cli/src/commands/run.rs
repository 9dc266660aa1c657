//! `petsem run`: reads secrets with a workload's JWT, then replaces this process with a command.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use petsem_api::SecretName;
use petsem_client::{Bundle, Client, Credentials, Endpoint, Exec, Injector, OnClash};

use crate::arguments::secret_name;
use crate::context::{AppArgument, Connection};
use crate::failure::Failure;
use crate::process::InheritedUmask;
use crate::{jwt, messages, private_file, remote};

/// Run a command with an app's secrets in its environment
///
/// The secrets are read with a JWT that the app's policy accepts: from --jwt-file or, for `petsem dev`, signed by the
/// development issuer. The command replaces this process, so that no other process holds the values. A secret
/// replaces a variable of the same name.
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

    /// Only this secret, which must exist; may be repeated
    #[arg(long = "only", value_name = "NAME")]
    only: Vec<String>,

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
        let only = self.only.iter().map(|name| secret_name(name)).collect::<Result<Vec<SecretName>, _>>()?;
        let resolved = self.connection.resolve()?;
        let app = resolved.app(&self.app)?;
        let endpoint: Endpoint = resolved.endpoint.parse()?;
        let credentials = match self.break_glass.as_ref().or(self.exchanged.as_ref()) {
            Some(path) => {
                resolved.check_named(path)?;
                Credentials::new(&private_file::read_token(path)?)?
            }
            None => jwt::for_workload(self.jwt_file.as_deref(), &resolved)?,
        };
        let client = Client::builder(vec![endpoint]).build();
        let only = (!only.is_empty()).then_some(only.as_slice());
        let list = remote::wait_for(client.workload_read(&app, &credentials, only))??;
        let bundle = Bundle::from_workload(&app, &list);
        drop((list, credentials, client));
        become_command(self.command, self.pristine, bundle, umask)
    }
}

/// Checks, then execs. Returns only with a failure.
pub(super) fn become_command(
    command: Vec<OsString>,
    pristine: bool,
    bundle: Bundle,
    umask: InheritedUmask,
) -> Result<(), Failure> {
    let exec = Exec::new(command).on_clash(OnClash::SecretWins);
    let exec = if pristine { exec.keep(Exec::USUAL) } else { exec.keep(inherited()) };
    exec.check(&bundle).map_err(messages::does_not_fit)?;
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
