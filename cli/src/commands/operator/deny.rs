//! `petsem operator deny`.

use clap::Args;
use petsem_server::{Denied, deny};
use serde::Serialize;

use crate::failure::Failure;
use crate::opening::Opening;
use crate::revocation::Revocation;
use crate::{messages, output, remote};

/// Revoke on this node, with its seal and without the API
///
/// A server that runs on this node refuses within a second what is denied, also while the store takes no writes; the
/// store gets it as soon as it does. A sealed one takes it when it is unsealed, before it serves anybody. Without a
/// server it is written into the store.
#[derive(Args)]
pub(crate) struct Deny {
    #[command(flatten)]
    what: Revocation,

    #[command(flatten)]
    opening: Opening,

    /// Print what became of it as JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Shown {
    /// `everywhere`, `here`, `at_start` or `at_unseal`.
    in_force: &'static str,
    /// The number of the control change, where there is one.
    number: Option<u64>,
}

impl Deny {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.opening.settings()?;
        let request = self.what.request()?;
        let denied = remote::serve(deny(&settings, &request))??;
        let shown = match denied {
            Denied::Everywhere { number } => Shown { in_force: "everywhere", number: Some(number) },
            Denied::Here => Shown { in_force: "here", number: None },
            Denied::AtUnseal => Shown { in_force: "at_unseal", number: None },
            _ => Shown { in_force: "at_start", number: None },
        };
        output::confirm(self.json, &shown, &messages::denied(&request, denied))
    }
}
