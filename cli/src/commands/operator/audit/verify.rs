//! `petsem operator audit verify`.

use clap::Args;
use data_encoding::HEXLOWER;
use petsem_server::verify_audit;

use crate::failure::Failure;
use crate::report::AuditReport;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

/// Check that this node's audit log is intact
///
/// It checks every line against the previous one, its MAC and the signature of its checkpoint, and the end of the log
/// against the last checkpoint in the store, so that a log that was emptied or removed is not taken for a new one. It names
/// the first line that was changed or is missing. A server may run on the node meanwhile. The exit status is 0 if the log
/// is intact, and 1 if it is not, is missing, or cannot be checked.
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
        let verified = remote::serve(verify_audit(&settings))??;
        let report = AuditReport {
            node: verified.node.map(|node| HEXLOWER.encode(&node)),
            first_line: verified.first_line,
            last_line: verified.last_line,
            head: HEXLOWER.encode(&verified.head),
            checkpoints: verified.checkpoints,
            without_mac: verified.without_mac,
            recovered: verified.recovered,
            macs_verified: verified.macs_verified,
            signatures_verified: verified.signatures_verified,
        };
        output::confirm(self.json, &report, &messages::audit_verified(&report))
    }
}
