//! `petsem operator rotate-app`.

use clap::Args;
use petsem_api::{AppRef, AppRotation, RotateApp as Request};

use super::rotations::{self, RotationArguments};
use crate::failure::Failure;
use crate::{messages, output};

/// Give an app a new KEK, and re-wrap all its keys under it
///
/// Boots and writes use the new KEK at once; the server re-wraps the history in the background, and continues after a
/// restart. The old KEK is destroyed when it wraps nothing any more.
#[derive(Args)]
pub(crate) struct RotateApp {
    /// The app, by name or id
    app: AppRef,

    /// Also encrypt the values again, under new DEKs: if DEKs may be known to others
    #[arg(long)]
    rewrite: bool,

    #[command(flatten)]
    rotation: RotationArguments,
}

impl RotateApp {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let remote = self.rotation.server.remote()?;
        let path = format!("/v1/apps/{}/rotate", self.app);
        let started: AppRotation = remote.post(&path, &Request { rewrite: self.rewrite })?;
        if self.rotation.no_wait {
            let text = messages::app_rotation_started(&self.app);
            return output::confirm(self.rotation.server.json, &started, &text);
        }
        let app = started.app;
        let ended = rotations::wait(&remote, self.rotation.server.json, |list| {
            list.apps.iter().find(|rotation| rotation.app == app).map(|rotation| &rotation.progress)
        })?;
        output::confirm(self.rotation.server.json, &ended, &messages::app_rotated(&self.app))
    }
}
