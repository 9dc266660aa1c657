//! What can go wrong when the log is opened, written and verified: one enum for each operation.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a line is not durable. The request that it belongs to must be refused.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AuditError {
    /// The disk is full and the reserve used up: 503 `audit_full`. Goes away by itself with space.
    Full,
    /// The line was not durable in time. It may still be written: it then tells of a refused request.
    TimedOut,
    /// Too many lines wait.
    Busy,
    /// The log was closed, or its writer has ended.
    Closed,
    /// The event is longer than a line may be.
    TooLong {
        /// Length of the event as JSON, or of the batch, in bytes.
        length: usize,
        /// Longest that is accepted, in bytes.
        maximum: usize,
    },
    /// The event has no JSON form.
    Encode,
    /// Writing or syncing failed; nothing of the group counts.
    Write(Arc<io::Error>),
    /// The file was cut or changed underneath, so that durable lines are gone.
    Damaged {
        /// The segment.
        file: PathBuf,
    },
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str(
                "the disk of the audit log is full and its reserve used up; \
                 free space there, petsem goes on by itself",
            ),
            Self::TimedOut => f.write_str(
                "the audit line was not durable in time; look at the disk of the audit directory and try again",
            ),
            Self::Busy => f.write_str("too many audit lines wait to be written; try again shortly"),
            Self::Closed => f.write_str("the audit log is closed; the node is stopping, ask another one"),
            Self::TooLong { length, maximum } => write!(
                f,
                "the audit event is {length} bytes long, a line has at most {maximum}; ask for less at once"
            ),
            Self::Encode => {
                f.write_str("the audit event has no JSON form; report this as a defect of petsem")
            }
            Self::Write(_) => f.write_str(
                "the audit log could not be written; look at the disk of the audit directory and try again",
            ),
            Self::Damaged { file } => write!(
                f,
                "the audit file {} was cut or changed while in use, lines are gone; keep the directory as \
                 evidence, run `petsem operator audit verify`, then restart the node",
                file.display()
            ),
        }
    }
}

impl Error for AuditError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Write(source) => Some(source.as_ref()),
            _ => None,
        }
    }
}

/// Why the log was not opened. Nothing was changed in the directory but a torn last line.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuditOpenError {
    /// The directory cannot be made, read or locked.
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process writes this log.
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A segment cannot be read or written.
    Segment {
        /// The segment.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is not enough space for the first segment.
    Full {
        /// The directory.
        path: PathBuf,
    },
    /// The settings cannot work.
    Settings {
        /// Which, and why.
        reason: &'static str,
    },
    /// The log does not verify, or ends before a line that the store knows.
    Broken(Finding),
    /// The first checkpoint could not be written.
    Checkpoint(AuditError),
    /// The writer's thread was not started.
    Thread(io::Error),
}

impl fmt::Display for AuditOpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { path, source } => write!(
                f,
                "the audit directory {} cannot be used: {source}; make it writable for petsem alone (0700)",
                path.display()
            ),
            Self::InUse { path } => write!(
                f,
                "another process writes the audit log in {}; stop it, or name another directory",
                path.display()
            ),
            Self::Segment { path, .. } => write!(
                f,
                "the audit file {} cannot be read or written; look at the disk and its permissions",
                path.display()
            ),
            Self::Full { path } => write!(
                f,
                "there is no space for an audit log in {}; free some, or name another directory",
                path.display()
            ),
            Self::Settings { reason } => write!(f, "the audit settings cannot work: {reason}"),
            Self::Broken(finding) => write!(
                f,
                "{finding}; petsem does not go on behind it: put the shipped copies back, or keep the \
                 directory as evidence and give the node an empty one and a new node id"
            ),
            Self::Checkpoint(_) => f.write_str(
                "the first checkpoint of the audit log could not be written; look at the disk of its directory",
            ),
            Self::Thread(_) => f.write_str(
                "the thread that writes the audit log was not started; look at the limits of the process",
            ),
        }
    }
}

impl Error for AuditOpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Directory { source, .. } | Self::Segment { source, .. } | Self::Thread(source) => {
                Some(source)
            }
            Self::Broken(finding) => finding.source(),
            Self::Checkpoint(source) => Some(source),
            Self::InUse { .. } | Self::Full { .. } | Self::Settings { .. } => None,
        }
    }
}

/// Where a log stops being what was written.
#[derive(Debug)]
pub struct Finding {
    /// The file that holds the line, or should; the directory if no file does.
    pub file: PathBuf,
    /// Number of the first line that is not as it was, or is not there.
    pub line: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "audit line {} in {}: {}", self.line, self.file.display(), self.fault)
    }
}

impl Error for Finding {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.fault {
            Fault::Unreadable(source) => Some(source),
            _ => None,
        }
    }
}

/// What is wrong with a line.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// The line is not in the form of an audit line.
    Malformed,
    /// A line with another number stands there: lines are missing, or swapped.
    Number {
        /// The number that stands there.
        found: u64,
    },
    /// The line belongs to another node's log.
    OtherNode,
    /// The line, or the one before it, was changed.
    Chain,
    /// The chain was made anew by someone without the key.
    Mac,
    /// The line has no MAC, as if the node had been sealed; whoever can write the disk can write it.
    NoMac,
    /// A checkpoint does not say what the lines before it say.
    Checkpoint,
    /// A checkpoint was not signed with the node's key.
    Signature,
    /// The first line that is there is not a checkpoint, so nothing can be said of it.
    NoStart,
    /// The line has no end: a kill while it was written, if it is the last one.
    Torn,
    /// The log ends here; a checkpoint elsewhere names a later line.
    Cut {
        /// The line that the checkpoint names.
        expected: u64,
    },
    /// The line is another one than a checkpoint elsewhere names.
    OtherHistory,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(_) => f.write_str("its file cannot be read"),
            Self::Malformed => f.write_str("it is not an audit line"),
            Self::Number { found } => {
                write!(f, "line {found} stands in its place: lines are missing or swapped")
            }
            Self::OtherNode => f.write_str("it belongs to the log of another node"),
            Self::Chain => f.write_str("it, or the line before it, was changed"),
            Self::Mac => f.write_str("it was rewritten by someone without the key"),
            Self::NoMac => f.write_str(
                "it has no MAC, as while a node is sealed; if this one was, allow such lines explicitly",
            ),
            Self::Checkpoint => f.write_str("this checkpoint contradicts the lines before it"),
            Self::Signature => f.write_str("this checkpoint was not signed with the node's key"),
            Self::NoStart => {
                f.write_str("the lines before it are gone, and it is no checkpoint to start from")
            }
            Self::Torn => f.write_str("it is cut in the middle"),
            Self::Cut { expected } => {
                write!(f, "the log ends before it, but a checkpoint in the store names line {expected}")
            }
            Self::OtherHistory => f.write_str("it is not the line that the checkpoint in the store names"),
        }
    }
}
