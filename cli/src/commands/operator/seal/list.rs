//! `petsem operator seal list`.

use clap::Args;
use petsem_server::{SealInfo, list_seals};

use crate::failure::Failure;
use crate::output::Table;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

/// List the seals of the store, and when each last opened it
///
/// It opens the store to verify the list.
#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    unsealing: UnsealArguments,

    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

impl List {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.unsealing.settings()?;
        let seals = remote::serve(list_seals(&settings))??;
        output::answer(self.json, &seals, |seals| table(seals))
    }
}

fn table(seals: &[SealInfo]) -> Table {
    let mut table = Table::new(&["ID", "KIND", "SEAL", "CREATED", "LAST OPENED THE STORE"]);
    for seal in seals {
        let verified = seal.verified_at.clone().unwrap_or_else(|| messages::NEVER.to_owned());
        table.row([
            seal.id.clone(),
            seal.kind.clone(),
            seal.description.clone(),
            seal.created_at.clone(),
            verified,
        ]);
    }
    table
}
