//! The node: its audit log, its view of the control changes, and what makes it not ready.

use std::fmt::Display;

use petsem_api::ErrorCode;

use crate::error::Failure;

pub(crate) fn no_audit_line() -> Failure {
    Failure::new(
        ErrorCode::AuditFull,
        "the audit log cannot be written, and no request is answered without a record; try again later",
    )
    .retry_after(5)
}

pub(crate) fn nodes_keep_changing() -> Failure {
    Failure::new(ErrorCode::Busy, "other nodes are changing the same installation; try again").retry_after(1)
}

/// A configuration that does not fit the store. `known` are the locations of the platform's dischargers.
pub(crate) fn no_own_discharger(location: &str, known: &[&str]) -> Failure {
    Failure::internal(format!(
        "the store has no key of petsem's own discharger at {location}; nothing was changed\nset `discharger.location` to \
         the one with which it was created; the platform's dischargers are at {}",
        known.join(", ")
    ))
}

pub(crate) fn audit_log_not_writable(error: &dyn Display) -> String {
    format!("the audit log cannot be written: {error}")
}

/// The files are still open, so the log goes on, and the node stays ready.
pub(crate) fn audit_files_displaced() -> String {
    "the directory of the audit log was moved or removed while the server writes to it; the next start will lack its \
     lines: put the directory back where it was, or mount its disk again"
        .to_owned()
}

/// Since this server was opened. The log goes on, so the node stays ready.
pub(crate) fn audit_files_restored(count: u64) -> String {
    let files = if count == 1 { "a file".to_owned() } else { format!("{count} files") };
    format!(
        "{files} of the audit log was removed or replaced while the server wrote it, and was restored; older files may be \
         gone for good: find out who can write to its directory, and check it with `petsem operator audit verify`"
    )
}

pub(crate) fn feed_too_old(age: u64) -> String {
    format!("the control feed was last read {age} seconds ago; check the store")
}

pub(crate) fn denials_not_read(count: usize) -> String {
    let denials =
        if count == 1 { "denial cannot be read, so it is" } else { "denials cannot be read, so they are" };
    format!("{count} {denials} not in force; the log gives the reason and the owner that the files need")
}

pub(crate) fn denials_on_this_node(count: usize) -> String {
    let denials = if count == 1 { "denial is" } else { "denials are" };
    format!("{count} {denials} in force only on this node; other nodes follow when the store accepts writes")
}
