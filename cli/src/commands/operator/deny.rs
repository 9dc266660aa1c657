//! `petsem operator deny`.

use clap::Args;
use petsem_server::{Denied, deny};
use serde::Serialize;

use crate::failure::Failure;
use crate::revocation::Revocation;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

/// Revoke on this node, with its seal and without the API
///
/// A server that runs on this node applies the denial within a second, even while the store takes no writes; it is
/// written to the store as soon as that is possible. A sealed server applies it when it is unsealed, before it serves
/// any request. If no server runs, the denial is written to the store.
#[derive(Args)]
pub(crate) struct Deny {
    #[command(flatten)]
    what: Revocation,

    #[command(flatten)]
    unsealing: UnsealArguments,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The output of `--json`.
#[derive(Serialize)]
struct DenyReport {
    /// `everywhere`, `here`, `at_start` or `at_unseal`.
    in_force: &'static str,
    /// The number of the control change, if there is one.
    number: Option<u64>,
}

impl Deny {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.unsealing.settings()?;
        let request = self.what.request()?;
        let denied = remote::serve(deny(&settings, &request))??;
        let report = match denied {
            Denied::Everywhere { number } => DenyReport { in_force: "everywhere", number: Some(number) },
            Denied::Here => DenyReport { in_force: "here", number: None },
            Denied::AtUnseal => DenyReport { in_force: "at_unseal", number: None },
            _ => DenyReport { in_force: "at_start", number: None },
        };
        output::confirm(self.json, &report, &messages::denied(&request, denied))
    }
}
