//! `petsem operator seal`: seals the running server, and manages the seals of the store.

mod add;
mod list;
mod remove;
mod verify;

use clap::{Args, Subcommand};
use petsem_api::Sealing;

use crate::confirmation::Confirmation;
use crate::context::Connection;
use crate::failure::Failure;
use crate::remote::Remote;
use crate::{messages, output};

/// Seal the running server, or manage the seals of the store
///
/// Without a subcommand, the server that the token is for erases all keys from memory: requests end, and every route
/// except health and metrics answers `sealed` until `petsem operator unseal` runs on its node. The subcommands work on
/// the node.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Seal {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    confirmation: Confirmation,

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
        let remote = Remote::open(&self.connection.resolve()?)?;
        self.confirmation.require(messages::SEALING, "seal")?;
        let Sealing { status: _ } = remote.post("/v1/operator/seal", &serde_json::Map::new())?;
        if !remote.wait_until_sealed() {
            return Err(messages::sealing_unconfirmed());
        }
        output::line(messages::SEALED)
    }
}
