//! `petsem operator rotate-keyring`.

use clap::Args;
use petsem_api::RotationList;

use super::rotations::{self, RotationArguments};
use crate::failure::Failure;
use crate::{messages, output};

/// Create a new version of the keyring, and re-wrap all keys under it
///
/// The server does this in the background, while Machines boot and secrets are set, and continues after a restart. The
/// old version is destroyed when it wraps nothing any more. Values are not encrypted again.
#[derive(Args)]
pub(crate) struct RotateKeyring {
    #[command(flatten)]
    rotation: RotationArguments,
}

impl RotateKeyring {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let remote = self.rotation.server.remote()?;
        // An object, so that the route can get options later.
        let started: RotationList = remote.post("/v1/keyring/rotate", &serde_json::json!({}))?;
        let version = started.keyring.current;
        if self.rotation.no_wait {
            return output::confirm(
                self.rotation.server.json,
                &started,
                &messages::keyring_rotation_started(version),
            );
        }
        let ended =
            rotations::wait(&remote, self.rotation.server.json, |list| list.keyring.rotation.as_ref())?;
        output::confirm(self.rotation.server.json, &ended, &messages::keyring_rotated(version))
    }
}
