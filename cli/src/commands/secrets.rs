//! `petsem secrets`: what an app's owner does with values that he never sees again.

mod history;
mod import;
mod list;
mod rollback;
mod set;
mod unset;

use clap::{Args, Subcommand};
use petsem_api::{AppRef, SecretName};

use crate::context::{AppArgument, Connection};
use crate::failure::Failure;
use crate::messages;
use crate::remote::Remote;

#[derive(Subcommand)]
pub(crate) enum Secrets {
    Set(set::Set),
    Unset(unset::Unset),
    List(list::List),
    Import(import::Import),
    History(history::History),
    Rollback(rollback::Rollback),
}

impl Secrets {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Set(set) => set.run(),
            Self::Unset(unset) => unset.run(),
            Self::List(list) => list.run(),
            Self::Import(import) => import.run(),
            Self::History(history) => history.run(),
            Self::Rollback(rollback) => rollback.run(),
        }
    }
}

/// Which app, and where petsem is.
#[derive(Args)]
pub(super) struct Target {
    #[command(flatten)]
    app: AppArgument,

    #[command(flatten)]
    connection: Connection,
}

/// What every command on an app's secrets takes, and those on its keys that answer data.
#[derive(Args)]
pub(super) struct Common {
    #[command(flatten)]
    app: AppArgument,

    /// Print the server's answer as JSON
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    connection: Connection,
}

/// A condition on a change.
#[derive(Args)]
struct IfVersion {
    /// Change nothing unless the app stands at this version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
}

impl Common {
    pub(super) fn open(&self) -> Result<(Remote, AppRef), Failure> {
        open(&self.app, &self.connection)
    }
}

impl Target {
    pub(super) fn open(&self) -> Result<(Remote, AppRef), Failure> {
        open(&self.app, &self.connection)
    }
}

fn open(app: &AppArgument, connection: &Connection) -> Result<(Remote, AppRef), Failure> {
    let resolved = connection.resolve()?;
    let app = resolved.app(app)?;
    Ok((Remote::open(&resolved)?, app))
}

/// A name out of an argument. Not parsed by clap, which would repeat `NAME=value` in its error.
pub(super) fn secret_name(argument: &str) -> Result<SecretName, Failure> {
    match argument.parse() {
        Ok(name) => Ok(name),
        Err(_) if argument.contains('=') => Err(messages::value_in_argument()),
        Err(error) => Err(messages::bad_secret_name(&error)),
    }
}
