//! `petsem operator verify`.

use clap::Args;
use petsem_server::verify_store;

use crate::failure::Failure;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

/// Check that the store is intact, and has everything that the audit log records
///
/// It checks every row and every control change, opens every bundle, value and secret key, and compares the version of
/// each app with the newest one in this node's audit log. It works while no server uses the store. Nothing is changed,
/// and no secret is printed. The exit status is 0 if store and log are intact, and 1 if they are not or cannot be checked.
#[derive(Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    unsealing: UnsealArguments,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.unsealing.settings()?;
        let report = remote::serve(verify_store(&settings))??;
        output::confirm(self.json, &report, &messages::store_verified(&report))?;
        if report.is_good() { Ok(()) } else { Err(messages::store_not_intact(&report)) }
    }
}
