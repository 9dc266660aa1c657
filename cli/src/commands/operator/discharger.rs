//! `petsem operator discharger`.

use clap::{Args, Subcommand};
use petsem_server::add_discharger;

use crate::commands::discharger::Registration;
use crate::failure::Failure;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

#[derive(Subcommand)]
pub(crate) enum Discharger {
    Add(Add),
}

/// Register a key shared with an outside discharger
///
/// It opens the seal on the node, while no server uses the store. No second person is needed.
#[derive(Args)]
pub(crate) struct Add {
    #[command(flatten)]
    registration: Registration,

    #[command(flatten)]
    unsealing: UnsealArguments,

    /// Print the discharger as JSON
    #[arg(long)]
    json: bool,
}

impl Discharger {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Self::Add(add) = self;
        let settings = add.unsealing.settings()?;
        let request = add.registration.request()?;
        let added = remote::serve(add_discharger(&settings, &request))??;
        output::notice(messages::NO_SECOND_PERSON);
        output::confirm(add.json, &added, &messages::discharger_added(&added))
    }
}
