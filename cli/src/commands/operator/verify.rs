//! `petsem operator verify`.

use clap::Args;
use petsem_server::verify_store;

use crate::failure::Failure;
use crate::opening::Opening;
use crate::{messages, output, remote};

/// Say whether the store is what was written, and holds all that the audit log saw
///
/// Every row, every bundle's digest and every control change is checked, and each app's version against the newest
/// one in this node's audit log. It is done while no server holds the store; nothing is changed and no secret opened.
#[derive(Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    opening: Opening,

    /// Print what was seen as JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.opening.settings()?;
        let report = remote::serve(verify_store(&settings))??;
        output::confirm(self.json, &report, &messages::store_verified(&report))?;
        if report.is_good() { Ok(()) } else { Err(messages::store_not_good(&report)) }
    }
}
