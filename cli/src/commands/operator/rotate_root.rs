//! `petsem operator rotate-root`.

use clap::Args;
use petsem_server::rotate_root;

use crate::failure::Failure;
use crate::opening::Opening;
use crate::{messages, output, remote};

/// Make a new root key, which every seal wraps and which wraps the keyring
///
/// It is done on the node while no server holds the store, and takes seconds: no secret is touched. Every seal must
/// be at hand: those of the configuration, passphrase and shares with --passphrase-file and --share-file.
#[derive(Args)]
pub(crate) struct RotateRoot {
    /// Take this seal from the store for good, instead of having it wrap the new key; may be repeated
    #[arg(long, value_name = "SEAL")]
    drop_seal: Vec<String>,

    #[command(flatten)]
    opening: Opening,

    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

impl RotateRoot {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.opening.settings()?;
        let rotated = remote::serve(rotate_root(&settings, &self.drop_seal))??;
        output::confirm(self.json, &rotated, &messages::root_rotated(&rotated))
    }
}
