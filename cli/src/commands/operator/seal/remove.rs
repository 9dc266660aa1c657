//! `petsem operator seal remove`.

use clap::Args;
use petsem_server::{remove_compromised, remove_seal};

use crate::failure::Failure;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

/// Remove a seal
///
/// The last seal cannot be removed, nor the last one that has opened the store. It works beside a running server.
#[derive(Args)]
pub(crate) struct Remove {
    /// The seal: the start of its id, or its description
    #[arg(value_name = "SEAL")]
    which: String,

    /// The seal may be known to others: also create a new root key and a new keyring, and re-wrap everything. The server
    /// must be stopped, and every other seal available
    #[arg(long)]
    compromised: bool,

    #[command(flatten)]
    unsealing: UnsealArguments,

    /// Print the seal as JSON
    #[arg(long)]
    json: bool,
}

impl Remove {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.unsealing.settings()?;
        if self.compromised {
            let done = remote::serve(remove_compromised(&settings, &self.which))??;
            return output::confirm(self.json, &done, &messages::compromised_removed(&done));
        }
        let removed = remote::serve(remove_seal(&settings, &self.which))??;
        output::confirm(self.json, &removed, &messages::seal_removed(&removed))
    }
}
