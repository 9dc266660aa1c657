//! Errors of opening, writing and verifying the log: one enum for each operation, with its texts.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a line is not durable. The request that it belongs to must be refused.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The disk is full and the reserve is used up: 503 `audit_full`. Writing resumes when there is space.
    #[error(
        "the disk of the audit log is full and its reserve is used up; free space on it, then writing \
         resumes automatically"
    )]
    Full,
    /// The line was not durable in time. It may still be written; it then records a refused request.
    #[error("the audit line was not durable in time; check the disk of the audit directory and try again")]
    TimedOut,
    /// Too many lines are waiting.
    #[error("too many audit lines are waiting to be written; try again shortly")]
    Busy,
    /// The log was closed, or its writer has ended.
    #[error("the audit log is closed because the node is stopping; send the request to another node")]
    Closed,
    /// The event is longer than a line may be.
    #[error(
        "the audit event is {length} bytes long, more than the maximum of {maximum}; request less at once"
    )]
    TooLong {
        /// Length of the event as JSON, in bytes.
        length: usize,
        /// Longest that is accepted, in bytes.
        maximum: usize,
    },
    /// The event cannot be encoded as JSON.
    #[error("the audit event cannot be encoded as JSON; report this as a bug in petsem")]
    Encode,
    /// Writing or syncing failed; no line of the group counts as written.
    #[error("the audit log could not be written; check the disk of the audit directory and try again")]
    Write(#[source] Arc<io::Error>),
    /// The file was truncated or changed by another process, so durable lines are lost.
    #[error(
        "the audit file {} was truncated or changed while in use, and lines are lost; keep the directory as \
         evidence, run `petsem operator audit verify`, then restart the node",
        .file.display()
    )]
    Damaged {
        /// The segment.
        file: PathBuf,
    },
}

/// Why the log was not opened. Nothing in the directory was changed except a torn last line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditOpenError {
    /// The directory cannot be created, read or locked.
    #[error(
        "the audit directory {} cannot be used: {source}; make it writable for petsem alone (0700)",
        .path.display()
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another process writes this log.
    #[error(
        "another process writes the audit log in {}; stop it, or configure another directory",
        .path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A segment cannot be read or written.
    #[error(
        "the audit file {} cannot be read or written; check the disk and the file's permissions",
        .path.display()
    )]
    Segment {
        /// The segment.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// There is not enough space for the first segment.
    #[error(
        "not enough space for an audit log in {}; free some, or configure another directory",
        .path.display()
    )]
    Full {
        /// The directory.
        path: PathBuf,
    },
    /// The settings are invalid.
    #[error("invalid audit settings: {reason}")]
    Settings {
        /// Which setting, and its limit.
        reason: &'static str,
    },
    /// The log does not verify, or ends before a line that the store knows.
    #[error(
        "{0}; petsem does not append to a broken log: restore the shipped copies, or run `petsem operator audit \
         accept-loss`, which keeps these files and begins a new chain"
    )]
    Broken(Finding),
    /// No line of the log is there, but the store has a checkpoint of it.
    #[error(
        "{}; mount or restore the directory; if its lines are lost, run `petsem operator audit accept-loss`",
        what_is_missing(.directory, *.line)
    )]
    Missing {
        /// Where the log should be.
        directory: PathBuf,
        /// The last line that the store knows.
        line: u64,
    },
    /// The first checkpoint could not be written.
    #[error("the first checkpoint of the audit log could not be written; check the disk of its directory")]
    Checkpoint(#[source] AuditError),
    /// The writer's thread was not started.
    #[error("the thread that writes the audit log could not be started; check the limits of the process")]
    Thread(#[source] io::Error),
}

impl AuditOpenError {
    /// Whether lines of the log are changed or missing, so that the node can continue only with a new chain.
    pub fn is_loss(&self) -> bool {
        self.loss().is_some()
    }

    /// What is changed or missing, without what to do about it.
    pub fn loss(&self) -> Option<String> {
        match self {
            Self::Broken(finding) => Some(finding.to_string()),
            Self::Missing { directory, line } => Some(what_is_missing(directory, *line)),
            _ => None,
        }
    }
}

fn what_is_missing(directory: &Path, line: u64) -> String {
    format!(
        "the audit log of this node is missing: {} has no line, but the store knows line {line}",
        directory.display()
    )
}

/// The first line at which a log differs from what was written.
#[derive(Debug, thiserror::Error)]
#[error("{}", what_differs(.file, *.line, .fault))]
pub struct Finding {
    /// The file that holds the line, or should hold it; the directory if no file does.
    pub file: PathBuf,
    /// Number of the first line that is changed or missing.
    pub line: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

impl Finding {
    /// Whether lines are missing at the end of the log, and all that are there are unchanged.
    pub fn is_cut(&self) -> bool {
        matches!(self.fault, Fault::Cut { .. })
    }
}

fn what_differs(file: &Path, line: u64, fault: &Fault) -> String {
    match fault {
        Fault::Cut { expected } if line <= 1 => {
            format!(
                "the audit log is missing: {} has no line, but a checkpoint in the store names line {expected}",
                file.display()
            )
        }
        fault => format!("audit line {line} in {}: {fault}", file.display()),
    }
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file cannot be read.
    #[error("its file cannot be read: {0}")]
    Unreadable(io::Error),
    /// The line does not have the form of an audit line.
    #[error("it is not an audit line")]
    Malformed,
    /// A line with another number is in its place: lines are missing or swapped.
    #[error("line {found} is in its place: lines are missing or swapped")]
    Number {
        /// The number of the line that is there.
        found: u64,
    },
    /// The line belongs to another node's log.
    #[error("it belongs to the log of another node")]
    OtherNode,
    /// The line, or the one before it, was changed.
    #[error("it, or the line before it, was changed")]
    Chain,
    /// The chain was rewritten without the key.
    #[error("it was rewritten without the key")]
    Mac,
    /// The line has no MAC, as if the node had been sealed; anyone who can write to the disk can write such
    /// a line.
    #[error(
        "it has no MAC, as if the node had been sealed; if it was sealed then, allow such lines explicitly"
    )]
    NoMac,
    /// A checkpoint contradicts the lines before it.
    #[error("this checkpoint contradicts the lines before it")]
    Checkpoint,
    /// A checkpoint was not signed with the node's key.
    #[error("this checkpoint was not signed with the node's key")]
    Signature,
    /// The first line of the log is missing, and the first remaining one is not a checkpoint, so it cannot be
    /// verified.
    #[error("the lines before it are missing, and it is not a checkpoint to start from")]
    NoStart,
    /// The line has no end: the writer was killed while it wrote the line, if it is the last one.
    #[error("it is cut in the middle")]
    Torn,
    /// The log ends here; a checkpoint elsewhere names a later line.
    #[error("the log ends before it, but a checkpoint in the store names line {expected}")]
    Cut {
        /// The line that the checkpoint names.
        expected: u64,
    },
    /// The line differs from the one that a checkpoint elsewhere names.
    #[error("it is not the line that the checkpoint in the store names")]
    OtherHistory,
}
