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

pub(crate) fn unknown_node(id_file: &Path) -> StartError {
    StartError::Refused(format!(
        "integrity: the store does not know the node of {}: its row was removed, or the file belongs to another \
         store\nrestore the store of this node; to continue as a new node, remove the file and give audit.directory \
         an empty directory",
        id_file.display()
    ))
}

pub(crate) fn node_id_missing(id_file: &Path, audit_directory: &Path, id: &str) -> StartError {
    StartError::Refused(format!(
        "{} is missing, but the audit log in {} was written by the node {id}\nwrite this id and a newline to the \
         file, with mode 0600; to continue as a new node, give audit.directory an empty directory",
        id_file.display(),
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
