//! What `petsem operator verify` and a start find in a store.

use petsem_api::{AppId, AppName, OrgId};
use petsem_store::ReadError;

pub(crate) const NO_FEED_HEAD: &str = "the head of the control changes is missing";
pub(crate) const FEED_HEAD_DIFFERS: &str = "the last control change is not the one that the head names";

pub(crate) const CONTROL_DIRECTORY_DIFFERS: &str = "the directory of the control state is not what the control changes add up to; check who can write to the database";
pub(crate) const CONTROL_PAGES_DIFFER: &str = "the pages of the control state are not what the control changes add up to; check who can write to the database";

pub(crate) fn policy_version_missing(app: AppId, named: u64, found: u64) -> String {
    format!("the app {app} names version {named} of its policy, but the store has {found}")
}

pub(crate) fn secret_keys_version_missing(app: AppId, named: u64, found: u64) -> String {
    format!("the app {app} names version {named} of its secret keys, but the store has {found}")
}

/// A fault in one of the rows of an app, which the fault names in hex.
pub(crate) fn app_fault(app: AppId, fault: &str) -> String {
    format!("the app {app}: {fault}")
}

pub(crate) fn app_unreadable(app: AppId, error: &ReadError) -> String {
    format!("not all rows of the app {app} can be read: {error}")
}

pub(crate) fn app_without_name(app: AppId, name: &AppName) -> String {
    format!(
        "the app {app} is named {name}, but the row of the name is missing or names another app; restore it from a backup, \
         and check who can write to the database"
    )
}

pub(crate) fn app_not_listed(app: AppId, org: OrgId) -> String {
    format!(
        "the app {app} is missing from the list of its org {org}; restore it from a backup, and check who can write to the \
         database"
    )
}

pub(crate) fn control_changes_missing(from: u64) -> String {
    format!("the control changes from {from} on are missing")
}

pub(crate) fn destroyed_version_exists(version: u32) -> String {
    format!(
        "version {version} of the keyring was destroyed, but its row exists again; check who can write to the database"
    )
}

pub(crate) fn change_without_line(app: AppId, store: u64, log: u64) -> String {
    format!(
        "the app {app} is at version {store}, but the audit log names no version of it after {log}: a change has no line; \
         check who can write to the database"
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
