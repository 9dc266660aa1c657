//! `petsem operator seal verify`.

use clap::Args;
use petsem_server::{TriedSeal, verify_seals};

use crate::failure::Failure;
use crate::output::Table;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

/// Test whether the seals open the store
///
/// It tests every seal of the configuration, and the passphrase or shares of people, for which it prompts on a terminal
/// unless --passphrase-file, --share-file or --gather-shares is given. The list of seals records which ones opened the
/// store. It works beside a running server. The exit status is 0 if every seal opened the store, and 1 if one did not or
/// was not tried.
#[derive(Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    unsealing: UnsealArguments,

    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.unsealing.settings_for_every_seal()?;
        let tried = remote::serve(verify_seals(&settings))??;
        output::answer(self.json, &tried, |tried| table(tried))?;
        messages::seals_not_verified(&tried).map_or(Ok(()), Err)
    }
}

fn table(tried: &[TriedSeal]) -> Table {
    let mut table = Table::new(&["ID", "KIND", "SEAL", "RESULT"]);
    for one in tried {
        let seal = &one.seal;
        table.row([seal.id.clone(), seal.kind.clone(), seal.description.clone(), messages::seal_result(one)]);
    }
    table
}
