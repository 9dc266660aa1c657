//! `petsem operator rotate-app`.

use clap::Args;
use petsem_api::{AppRef, AppRotation, RotateApp as Request};

use super::rotations::{self, Waiting};
use crate::failure::Failure;
use crate::remote::Remote;
use crate::{messages, output};

/// Give an app a new KEK, and wrap all its keys under it
///
/// Boots and sets use the new one at once; the server does the history in the background, and carries it on after a
/// restart. The old KEK is destroyed when nothing is wrapped by it any more.
#[derive(Args)]
pub(crate) struct RotateApp {
    /// The app, by name or id
    app: AppRef,

    /// Write the values anew, under new DEKs: for when DEKs may be known
    #[arg(long)]
    rewrite: bool,

    #[command(flatten)]
    waiting: Waiting,
}

impl RotateApp {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let remote = Remote::open(&self.waiting.connection.resolve()?)?;
        let path = format!("/v1/apps/{}/rotate", self.app);
        let begun: AppRotation = remote.post(&path, &Request { rewrite: self.rewrite })?;
        if self.waiting.no_wait {
            let text = messages::app_rotation_begun(&self.app);
            return output::confirm(self.waiting.json, &begun, &text);
        }
        let app = begun.app;
        let ended = rotations::wait(&remote, self.waiting.json, |list| {
            list.apps.iter().find(|rotation| rotation.app == app).map(|rotation| &rotation.progress)
        })?;
        output::confirm(self.waiting.json, &ended, &messages::app_rotated(&self.app))
    }
}
