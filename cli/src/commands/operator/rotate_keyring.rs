//! `petsem operator rotate-keyring`.

use clap::Args;
use petsem_api::RotationList;

use super::rotations::{self, Waiting};
use crate::failure::Failure;
use crate::remote::Remote;
use crate::{messages, output};

/// Make a new version of the keyring, and wrap all keys under it
///
/// The server does it in the background, while Machines boot and secrets are set, and carries it on after a restart.
/// The old version is destroyed when nothing is wrapped by it any more. Values are not written anew.
#[derive(Args)]
pub(crate) struct RotateKeyring {
    #[command(flatten)]
    waiting: Waiting,
}

impl RotateKeyring {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let remote = Remote::open(&self.waiting.connection.resolve()?)?;
        // An object: the route may learn to be told more.
        let begun: RotationList = remote.post("/v1/keyring/rotate", &serde_json::json!({}))?;
        let version = begun.keyring.current;
        if self.waiting.no_wait {
            return output::confirm(self.waiting.json, &begun, &messages::keyring_rotation_begun(version));
        }
        let ended = rotations::wait(&remote, self.waiting.json, |list| list.keyring.rotation.as_ref())?;
        output::confirm(self.waiting.json, &ended, &messages::keyring_rotated(version))
    }
}
