//! `petsem operator rotate-root`.

use clap::Args;
use petsem_server::rotate_root;

use crate::failure::Failure;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

/// Create a new root key, which every seal wraps and which wraps the keyring
///
/// It works on the node, while no server uses the store, and takes seconds: no secret is touched. Every seal must be
/// available: those of the configuration; passphrase and shares with --passphrase-file and --share-file, or at a prompt.
#[derive(Args)]
pub(crate) struct RotateRoot {
    /// Remove this seal from the store instead of wrapping the new key with it; may be repeated
    #[arg(long, value_name = "SEAL")]
    drop_seal: Vec<String>,

    #[command(flatten)]
    unsealing: UnsealArguments,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl RotateRoot {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.unsealing.settings_for_every_seal()?;
        let rotated = remote::serve(rotate_root(&settings, &self.drop_seal))??;
        output::confirm(self.json, &rotated, &messages::root_rotated(&rotated))
    }
}
