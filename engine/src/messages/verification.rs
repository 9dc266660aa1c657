//! What `petsem operator verify` and a start find in a store.

use petsem_api::AppId;

pub(crate) const NO_FEED_HEAD: &str = "the head of the control changes is missing";
pub(crate) const FEED_HEAD_DIFFERS: &str = "the last control change is not the one that the head names";

pub(crate) fn policy_version_missing(app: AppId, named: u64, found: u64) -> String {
    format!("the app {app} names version {named} of its policy, but the store has {found}")
}

pub(crate) fn bundle_differs(app: AppId) -> String {
    format!("the bundle of the app {app} is not the one that its head names; restore it from a backup")
}

pub(crate) fn control_changes_missing(from: u64) -> String {
    format!("the control changes from {from} on are missing")
}

pub(crate) fn destroyed_version_exists(version: u32) -> String {
    format!(
        "version {version} of the keyring was destroyed, but its row exists again; check who can write to the database"
    )
}

pub(crate) fn revision_missing(revision: u64) -> String {
    format!(
        "the store lacks revision {revision}, which the audit log has seen: an older copy of it was put back, or another \
         store"
    )
}

/// What a store lacks at a start.
pub(crate) fn revision(number: u64) -> String {
    format!("revision {number}")
}

/// What a store lacks at a start.
pub(crate) fn control_change(number: u64) -> String {
    format!("control change {number}")
}
