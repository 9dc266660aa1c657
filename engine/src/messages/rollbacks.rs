//! An older copy of the store that is accepted.

use petsem_audit::Finding;

/// The detail of an audit line.
pub(crate) fn rollback_accepted(epoch: u64, after_line: u64, last_line: u64) -> String {
    format!(
        "an older copy of the store is accepted, in epoch {epoch}; it lacks changes of the lines after {after_line}, up to \
         {last_line}"
    )
}

/// The detail of an audit line.
pub(crate) fn version_continued(copy: u64, lost: u64) -> String {
    format!("the copy has version {copy}; the lost store had {lost}")
}

pub(crate) fn rollback_of_another_store() -> String {
    "this node's audit log is not that of this database: the database is from another store, or others wrote to a copy \
     of it\nput a copy of the data directory and the audit directory back, both of one time (docs/copies.md); nothing \
     was changed"
        .to_owned()
}

pub(crate) fn rollback_changed_meanwhile() -> String {
    "the database was replaced while this command ran; nothing was changed\nfind out by whom, and repeat it"
        .to_owned()
}

pub(crate) fn rollback_log_differs(finding: &Finding) -> String {
    format!(
        "what the database lacks cannot be read from the audit log, which is not what was written: {finding}\nput the \
         log's files back: only they tell which rights were taken away since; nothing was changed"
    )
}

pub(crate) fn rollback_line_unreadable(line: u64) -> String {
    format!(
        "line {line} of the audit log has a form that this version of petsem does not know\nuse the version that wrote \
         it; nothing was changed"
    )
}

pub(crate) fn rollback_log_lacks(change: u64) -> String {
    format!(
        "control change {change} is neither in the database nor in this node's audit log, so what it took away is \
         unknown\nput the log's files back, all from the time of the database on; nothing was changed"
    )
}
