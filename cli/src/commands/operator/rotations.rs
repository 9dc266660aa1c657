//! `petsem operator rotations`, and waiting for the end of a rotation.

use std::time::Duration;

use clap::Args;
use petsem_api::{RotationList, RotationProgress};

use crate::arguments::ServerArguments;
use crate::failure::Failure;
use crate::messages;
use crate::output::{self, ProgressBar, Table};
use crate::remote::Remote;

/// How often the progress is requested.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Show the rotations of keys in progress
#[derive(Args)]
pub(crate) struct Rotations {
    #[command(flatten)]
    server: ServerArguments,
}

/// The arguments of commands that start a rotation.
#[derive(Args)]
pub(super) struct RotationArguments {
    /// Start it without waiting for its end; `petsem operator rotations` shows the progress
    #[arg(long)]
    pub(super) no_wait: bool,

    #[command(flatten)]
    pub(super) server: ServerArguments,
}

impl Rotations {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let answer: RotationList = self.server.remote()?.get("/v1/rotations")?;
        output::answer(self.server.json, &answer, |answer| {
            let mut table = Table::new(&["WHAT", "VERSIONS", "DONE", "FAULTS"]);
            let versions = answer.keyring.versions.iter().map(|version| version.version);
            table.row([
                messages::KEYRING.to_owned(),
                messages::versions(versions),
                messages::rotation_done(answer.keyring.rotation.as_ref()),
                messages::rotation_faults(answer.keyring.rotation.as_ref()),
            ]);
            for app in &answer.apps {
                table.row([
                    app.app.to_string(),
                    messages::versions(app.kek_versions.iter().copied()),
                    messages::rotation_done(Some(&app.progress)),
                    messages::rotation_faults(Some(&app.progress)),
                ]);
            }
            table
        })
    }
}

/// Waits until a rotation is no longer listed, with a progress bar on a terminal.
///
/// # Errors
/// The server does not answer, or a faulty row blocks the rotation. The server continues by itself, in the second case
/// when the row is repaired.
pub(super) fn wait(
    remote: &Remote,
    json: bool,
    progress: impl Fn(&RotationList) -> Option<&RotationProgress>,
) -> Result<RotationList, Failure> {
    let mut bar = ProgressBar::new(json);
    loop {
        let list: RotationList = remote.get("/v1/rotations")?;
        let Some(now) = progress(&list) else { return Ok(list) };
        if now.faults > 0 {
            return Err(messages::rotation_blocked(now));
        }
        bar.show(&messages::rotation_bar(now));
        remote.pause(POLL_INTERVAL);
    }
}
