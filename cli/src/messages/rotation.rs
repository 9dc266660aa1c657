//! What people read of rotations.

use petsem_api::{AppRef, RotationProgress};

use super::plural;
use crate::failure::{Exit, Failure};

pub(crate) const KEYRING: &str = "keyring";
/// Signs in a bar.
const BAR: u64 = 30;

pub(crate) fn keyring_rotation_begun(version: u32) -> String {
    format!(
        "version {version} of the keyring wraps from now on; the server wraps all keys under it; `petsem operator \
         rotations` shows how far it is"
    )
}

pub(crate) fn keyring_rotated(version: u32) -> String {
    format!("all keys are under version {version} of the keyring; no older version is left")
}

pub(crate) fn app_rotation_begun(app: &AppRef) -> String {
    format!(
        "the new KEK of {app} wraps from now on; the server does the history; `petsem operator rotations` shows how \
         far it is"
    )
}

pub(crate) fn app_rotated(app: &AppRef) -> String {
    format!("all keys of {app} are under its new KEK; the old one is destroyed")
}

pub(crate) fn rotation_bar(progress: &RotationProgress) -> String {
    let (done, total) = (progress.done, progress.total.max(1));
    let full = (done.saturating_mul(BAR) / total).min(BAR);
    let bar: String = (0..BAR).map(|place| if place < full { '#' } else { '.' }).collect();
    format!("[{bar}] {done} of {} rows, {} keys wrapped", progress.total, progress.rewrapped)
}

pub(crate) fn rotation_done(progress: Option<&RotationProgress>) -> String {
    progress.map_or("-".to_owned(), |progress| format!("{} of {}", progress.done, progress.total))
}

pub(crate) fn rotation_faults(progress: Option<&RotationProgress>) -> String {
    progress.map_or("-".to_owned(), |progress| progress.faults.to_string())
}

pub(crate) fn versions(versions: impl Iterator<Item = u32>) -> String {
    versions.map(|version| version.to_string()).collect::<Vec<_>>().join(", ")
}

pub(crate) fn rotation_blocked(progress: &RotationProgress) -> Failure {
    let rows = usize::try_from(progress.faults).unwrap_or(usize::MAX);
    let rows = format!(
        "{} {} in the way of the rotation",
        progress.faults,
        plural(rows, "row stands", "rows stand")
    );
    let first = progress.problems.first().map_or(String::new(), |problem| format!(": {problem}"));
    Failure::new(
        Exit::Refused,
        format!("{rows}{first}"),
        "nothing is lost, the old version stays; when the rows are mended the server goes on by itself; `petsem \
         operator rotations --json` names the first of them",
    )
}
