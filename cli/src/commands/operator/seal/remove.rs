//! `petsem operator seal remove`.

use clap::Args;
use petsem_server::{remove_compromised, remove_seal};

use crate::failure::Failure;
use crate::opening::Opening;
use crate::{messages, output, remote};

/// Remove a seal
///
/// Never the last one, nor so that only seals remain which never opened the store. It works beside a running server.
#[derive(Args)]
pub(crate) struct Remove {
    /// The seal: the beginning of its id, or its description
    #[arg(value_name = "SEAL")]
    which: String,

    /// Others may have it: make a new root key and keyring, too, and wrap everything anew. The server is stopped for
    /// that, and every other seal must be at hand
    #[arg(long)]
    compromised: bool,

    #[command(flatten)]
    opening: Opening,

    /// Print the seal as JSON
    #[arg(long)]
    json: bool,
}

impl Remove {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.opening.settings()?;
        if self.compromised {
            let done = remote::serve(remove_compromised(&settings, &self.which))??;
            return output::confirm(self.json, &done, &messages::compromised_removed(&done));
        }
        let removed = remote::serve(remove_seal(&settings, &self.which))??;
        output::confirm(self.json, &removed, &messages::seal_removed(&removed))
    }
}
