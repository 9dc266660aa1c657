//! `petsem operator discharger`.

use clap::{Args, Subcommand};
use petsem_server::add_discharger;

use crate::commands::discharger::Registered;
use crate::failure::Failure;
use crate::opening::Opening;
use crate::{messages, output, remote};

#[derive(Subcommand)]
pub(crate) enum Discharger {
    Add(Add),
}

/// Register a key that is shared with an outside discharger
///
/// It is done on the node with the seal opened for it, while no server holds the store; no second person is asked.
#[derive(Args)]
pub(crate) struct Add {
    #[command(flatten)]
    registered: Registered,

    #[command(flatten)]
    opening: Opening,

    /// Print the discharger as JSON
    #[arg(long)]
    json: bool,
}

impl Discharger {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Self::Add(add) = self;
        let settings = add.opening.settings()?;
        let request = add.registered.request()?;
        let added = remote::serve(add_discharger(&settings, &request))??;
        output::notice(messages::NO_SECOND_PERSON);
        output::confirm(add.json, &added, &messages::discharger_added(&added))
    }
}
