//! `petsem operator audit verify`.

use clap::Args;
use data_encoding::HEXLOWER;
use petsem_server::verify_audit;
use serde::Serialize;

use crate::failure::Failure;
use crate::opening::Opening;
use crate::{messages, output, remote};

/// Say whether this node's audit log is what was written
///
/// Every line is checked against the one before, its MAC and its checkpoint's signature, and the end of the log
/// against the last checkpoint in the store. The first line that was changed or is missing is named.
#[derive(Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    opening: Opening,

    /// Print what was seen as JSON
    #[arg(long)]
    json: bool,
}

/// What was seen of the log.
#[derive(Serialize)]
pub(crate) struct Seen {
    pub(crate) node: Option<String>,
    pub(crate) first_line: u64,
    pub(crate) last_line: u64,
    pub(crate) head: String,
    pub(crate) checkpoints: u64,
    pub(crate) without_mac: u64,
    pub(crate) recovered: Vec<u64>,
    pub(crate) macs_verified: bool,
    pub(crate) signatures_verified: bool,
}

impl Verify {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.opening.settings()?;
        let report = remote::serve(verify_audit(&settings))??;
        let seen = Seen {
            node: report.node.map(|node| HEXLOWER.encode(&node)),
            first_line: report.first_line,
            last_line: report.last_line,
            head: HEXLOWER.encode(&report.head),
            checkpoints: report.checkpoints,
            without_mac: report.without_mac,
            recovered: report.recovered,
            macs_verified: report.macs_verified,
            signatures_verified: report.signatures_verified,
        };
        output::confirm(self.json, &seen, &messages::audit_verified(&seen))
    }
}
