//! `petsem operator seal list`.

use clap::Args;
use petsem_server::{SealInfo, list_seals};

use crate::failure::Failure;
use crate::opening::Opening;
use crate::output::Table;
use crate::{messages, output, remote};

/// List the seals of the store, and when each last opened it
///
/// The store is opened for it, so that the list is known to be what was written.
#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    opening: Opening,

    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

impl List {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.opening.settings()?;
        let seals = remote::serve(list_seals(&settings))??;
        output::answer(self.json, &seals, |seals| table(seals))
    }
}

fn table(seals: &[SealInfo]) -> Table {
    let mut table = Table::new(&["ID", "KIND", "SEAL", "MADE", "LAST OPENED THE STORE"]);
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
