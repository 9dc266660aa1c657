//! `petsem operator seal verify`.

use clap::Args;
use petsem_server::{TriedSeal, verify_seals};

use crate::failure::Failure;
use crate::opening::Opening;
use crate::output::Table;
use crate::{messages, output, remote};

/// Try whether the seals open the store
///
/// Every seal of the configuration is tried, and what is given with --passphrase-file or --share-file. The list of
/// seals keeps what opened. It works beside a running server.
#[derive(Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    opening: Opening,

    /// Print what each said as JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.opening.settings()?;
        let tried = remote::serve(verify_seals(&settings))??;
        output::answer(self.json, &tried, |tried| table(tried))?;
        match tried.iter().filter(|tried| tried.fault.is_some()).count() {
            0 => Ok(()),
            count => Err(messages::seals_not_verified(count)),
        }
    }
}

fn table(tried: &[TriedSeal]) -> Table {
    let mut table = Table::new(&["ID", "KIND", "SEAL", "RESULT"]);
    for one in tried {
        let seal = &one.seal;
        table.row([seal.id.clone(), seal.kind.clone(), seal.description.clone(), messages::seal_tried(one)]);
    }
    table
}
