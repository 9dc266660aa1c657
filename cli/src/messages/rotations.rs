//! Rotations of keys.

use petsem_api::{AppRef, RotationProgress};

use super::phrasing::{counted, plural};
use crate::failure::{Exit, Failure};

pub(crate) const KEYRING: &str = "keyring";
/// Characters in a progress bar.
const BAR_WIDTH: u64 = 30;

pub(crate) fn keyring_rotation_started(version: u32) -> String {
    format!(
        "version {version} of the keyring is in use; the server re-wraps all keys under it; `petsem operator \
         rotations` shows the progress"
    )
}

pub(crate) fn keyring_rotated(version: u32) -> String {
    format!("all keys are wrapped by version {version} of the keyring; no older version remains")
}

pub(crate) fn app_rotation_started(app: &AppRef) -> String {
    format!(
        "the new KEK of {app} is in use; the server re-wraps the history; `petsem operator rotations` shows the \
         progress"
    )
}

pub(crate) fn app_rotated(app: &AppRef) -> String {
    format!("all keys of {app} are wrapped by its new KEK; the old one is destroyed")
}

pub(crate) fn rotation_bar(progress: &RotationProgress) -> String {
    let (done, total) = (progress.done, progress.total.max(1));
    let full = (done.saturating_mul(BAR_WIDTH) / total).min(BAR_WIDTH);
    let bar: String = (0..BAR_WIDTH).map(|place| if place < full { '#' } else { '.' }).collect();
    format!(
        "[{bar}] {done} of {}, {} re-wrapped",
        counted(progress.total, "row", "rows"),
        counted(progress.rewrapped, "key", "keys")
    )
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
        "{} {} the rotation",
        progress.faults,
        plural(rows, "faulty row blocks", "faulty rows block")
    );
    let first = progress.problems.first().map_or(String::new(), |problem| format!(": {problem}"));
    Failure::new(
        Exit::Refused,
        format!("{rows}{first}"),
        "nothing is lost, the old version remains; when the rows are repaired the server continues by itself; \
         `petsem operator rotations --json` names the first of them",
    )
}
