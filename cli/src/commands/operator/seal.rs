//! `petsem operator seal`: let the server forget its keys; and the seals of the store.

mod add;
mod list;
mod remove;
mod verify;

use clap::{Args, Subcommand};
use petsem_api::Sealing;

use crate::context::Connection;
use crate::failure::Failure;
use crate::remote::Remote;
use crate::{messages, output};

/// Seal the running server, or manage the seals of the store
///
/// Without a subcommand the server that the token is for forgets every key: requests end, and everything but health
/// answers `sealed` until `petsem operator unseal` on its node. The subcommands work on the node.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Seal {
    #[command(subcommand)]
    command: Option<Command>,

    /// Do it: boots and requests end until the server is unsealed
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Subcommand)]
enum Command {
    List(list::List),
    Add(add::Add),
    Remove(remove::Remove),
    Verify(verify::Verify),
}

impl Seal {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.command {
            Some(Command::List(list)) => list.run(),
            Some(Command::Add(add)) => add.run(),
            Some(Command::Remove(remove)) => remove.run(),
            Some(Command::Verify(verify)) => verify.run(),
            None => self.seal_server(),
        }
    }

    fn seal_server(self) -> Result<(), Failure> {
        if !self.yes {
            return Err(messages::seal_not_confirmed());
        }
        let remote = Remote::open(&self.connection.resolve()?)?;
        let Sealing { status: _ } = remote.post("/v1/operator/seal", &serde_json::Map::new())?;
        if !remote.is_sealed_soon() {
            return Err(messages::seal_not_seen());
        }
        output::line(messages::SEALED)
    }
}
