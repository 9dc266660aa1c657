//! The node's files: its id, its audit log, its sockets.

use std::io;
use std::path::Path;

use petsem_audit::Finding;

use crate::error::StartError;

/// Instead of an address, when the operator socket cannot be opened.
pub(crate) const OPERATOR_SOCKET: &str = "operator.sock in the data directory";
/// The source of requests for which the connection names none.
pub(crate) const UNKNOWN_SOURCE: &str = "unknown";

pub(crate) fn invalid_node_id() -> io::Error {
    io::Error::other("it must be 32 hex digits and a newline")
}

pub(crate) fn unknown_node(audit_directory: &Path) -> StartError {
    StartError::Refused(format!(
        "integrity: the store does not know the node that wrote the audit log in {}: its row was removed, or the \
         log belongs to another store\nconfigure the store of this log, or another audit.directory for a new log",
        audit_directory.display()
    ))
}

pub(crate) fn no_audit_log(audit_directory: &Path) -> StartError {
    StartError::Refused(format!(
        "no node has written an audit log in {} yet; correct audit.directory in the configuration",
        audit_directory.display()
    ))
}

pub(crate) fn audit_log_differs(finding: &Finding) -> StartError {
    StartError::Refused(format!(
        "{finding}\nthe lines before it are unchanged; keep the directory as evidence, and compare it with the \
         shipped copies"
    ))
}
