//! `petsem operator rotations`, and the wait for the end of one.

use std::time::Duration;

use clap::Args;
use petsem_api::{RotationList, RotationProgress};

use crate::context::Connection;
use crate::failure::Failure;
use crate::messages;
use crate::output::{self, Bar, Table};
use crate::remote::Remote;

/// How often it is asked how far it is.
const LOOK: Duration = Duration::from_millis(200);

/// Show which rotations of keys are under way, and how far they are
#[derive(Args)]
pub(crate) struct Rotations {
    /// Print the server's answer as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

/// What the commands that begin a rotation share.
#[derive(Args)]
pub(super) struct Waiting {
    /// Begin it, and do not wait for its end; `petsem operator rotations` shows how far it is
    #[arg(long)]
    pub(super) no_wait: bool,

    /// Print the server's answer as JSON
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) connection: Connection,
}

impl Rotations {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let remote = Remote::open(&self.connection.resolve()?)?;
        let answer: RotationList = remote.get("/v1/rotations")?;
        output::answer(self.json, &answer, |answer| {
            let mut table = Table::new(&["WHAT", "VERSIONS", "DONE", "IN THE WAY"]);
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

/// Waits until a rotation is not listed any more, with a bar where a person looks on.
///
/// # Errors
/// The server is gone, or a row stands in the way; the rotation goes on by itself, or does when the row is mended.
pub(super) fn wait(
    remote: &Remote,
    json: bool,
    progress: impl Fn(&RotationList) -> Option<&RotationProgress>,
) -> Result<RotationList, Failure> {
    let mut bar = Bar::new(json);
    loop {
        let list: RotationList = remote.get("/v1/rotations")?;
        let Some(now) = progress(&list) else { return Ok(list) };
        if now.faults > 0 {
            return Err(messages::rotation_blocked(now));
        }
        bar.show(&messages::rotation_bar(now));
        remote.pause(LOOK);
    }
}
