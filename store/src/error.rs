//! What goes wrong, one enum for each operation, and everything that a person reads about it.
//!
//! No text here holds a row's content: paths, kinds, numbers and the database's own words only.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::record::RecordKind;

/// The database's own error. Shared, because the changes of one group fail together.
pub type Source = Arc<dyn Error + Send + Sync>;

/// Why a store was not opened. Nothing was changed, but the directory may have been created.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The path is there and is something else.
    NotADirectory {
        /// The data directory.
        path: PathBuf,
    },
    /// The directory, or a file in it, cannot be created or written.
    NotWritable {
        /// What was to be written.
        path: PathBuf,
        /// The system's error.
        source: Source,
    },
    /// Another process serves this directory.
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// The file is there and is no petsem database.
    NotPetsem {
        /// The database file.
        path: PathBuf,
    },
    /// A later petsem wrote the file.
    NewerFormat {
        /// The database file.
        path: PathBuf,
        /// Format of the file.
        found: u32,
        /// Newest format that this build knows.
        known: u32,
    },
    /// The file is a petsem database and its structure is damaged.
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What the database says.
        source: Source,
    },
    /// The disk has no room for an empty database.
    Full {
        /// The database file.
        path: PathBuf,
    },
    /// Anything else that the database or the system refused.
    Storage {
        /// The file.
        path: PathBuf,
        /// What it says.
        source: Source,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotADirectory { path } => {
                write!(f, "{} is not a directory; name a directory for the store's data", path.display())
            }
            Self::NotWritable { path, source } => write!(
                f,
                "cannot write {}: {source}; let the user that runs petsem own the directory, with mode 0700",
                path.display()
            ),
            Self::InUse { path } => {
                write!(
                    f,
                    "another process holds {}, most likely a server, and nothing was changed; stop it and do this \
                     again, or name the data directory that is meant",
                    path.display()
                )
            }
            Self::NotPetsem { path } => write!(
                f,
                "{} is not a petsem database; name another data directory, or move the file away",
                path.display()
            ),
            Self::NewerFormat { path, found, known } => write!(
                f,
                "{} has format {found}, and this petsem knows formats up to {known}; run a newer petsem",
                path.display()
            ),
            Self::Corrupt { path, source } => {
                write!(f, "{} is damaged: {source}; restore it from a backup", path.display())
            }
            Self::Full { path } => {
                write!(f, "no room on the disk for {}; free some and start again", path.display())
            }
            Self::Storage { path, source } => write!(
                f,
                "cannot open {}: {source}; look at the disk, and at who may read and write there",
                path.display()
            ),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotWritable { source, .. }
            | Self::Corrupt { source, .. }
            | Self::Storage { source, .. } => Some(&**source),
            Self::NotADirectory { .. }
            | Self::InUse { .. }
            | Self::NotPetsem { .. }
            | Self::NewerFormat { .. }
            | Self::Full { .. } => None,
        }
    }
}

/// Why a change was not acknowledged. None of it is visible to any reader.
///
/// After [`CommitError::Storage`] and [`CommitError::Unavailable`] a crash in that moment may still bring the
/// change back, whole: look before repeating it (a stale [`crate::Expect`] says so by itself).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CommitError {
    /// A row is not at the version that the change expects. Read anew, seal anew.
    Conflict {
        /// Kind of the first such row.
        kind: RecordKind,
        /// Its id.
        id: Vec<u8>,
    },
    /// The feed entries do not follow the last one.
    FeedConflict {
        /// The last number in the feed; 0 when it is empty.
        last: u64,
    },
    /// No room on the disk, or the size limit is reached. Reads go on; the next write tries again.
    Full,
    /// The database cannot be written, by permission or mount.
    ReadOnly,
    /// The store is closed, its writer has ended, or another process held the database too long.
    Unavailable,
    /// A version or number above 2^63 − 1.
    OutOfRange,
    /// The database's structure is damaged.
    Corrupt(Source),
    /// Anything else that the database refused.
    Storage(Source),
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { kind, .. } => {
                write!(f, "the {kind} row changed meanwhile; read it and try again")
            }
            Self::FeedConflict { last } => {
                write!(f, "the control feed went on to {last} meanwhile; read it and try again")
            }
            Self::Full => f.write_str("no room for the change; free space on the database's disk"),
            Self::ReadOnly => {
                f.write_str("the database cannot be written; check the file's owner, mode and mount")
            }
            Self::Unavailable => f.write_str("the store takes no writes now; try again"),
            Self::OutOfRange => f.write_str("a version or number of the change is above 2^63 - 1"),
            Self::Corrupt(source) => write!(f, "the database is damaged: {source}; restore it from a backup"),
            Self::Storage(source) => write!(f, "the database refused the change: {source}"),
        }
    }
}

impl Error for CommitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Corrupt(source) | Self::Storage(source) => Some(&**source),
            Self::Conflict { .. }
            | Self::FeedConflict { .. }
            | Self::Full
            | Self::ReadOnly
            | Self::Unavailable
            | Self::OutOfRange => None,
        }
    }
}

/// Why a read gave no answer. Absence is not an error.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The store is closed, or the database did not answer in time.
    Unavailable,
    /// The database's structure, or the form of a row, is damaged.
    Corrupt(Source),
    /// Anything else that the database refused.
    Storage(Source),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable => f.write_str("the store takes no reads now; try again"),
            Self::Corrupt(source) => write!(f, "the database is damaged: {source}; restore it from a backup"),
            Self::Storage(source) => write!(f, "the database refused the read: {source}"),
        }
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Corrupt(source) | Self::Storage(source) => Some(&**source),
            Self::Unavailable => None,
        }
    }
}

/// Why closing did not end cleanly. What was acknowledged is durable all the same.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CloseError {
    /// The last checkpoint failed; the next start reads the write-ahead log instead.
    Checkpoint(Source),
    /// A thread of the store had ended before its time.
    ThreadLost,
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint(source) => write!(
                f,
                "the last checkpoint failed: {source}; nothing is lost, keep the database's -wal file with it"
            ),
            Self::ThreadLost => {
                f.write_str("a thread of the store had ended early; look for its panic in the log")
            }
        }
    }
}

impl Error for CloseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Checkpoint(source) => Some(&**source),
            Self::ThreadLost => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_names_the_kind_and_what_to_do_and_no_id() {
        let error = CommitError::Conflict { kind: RecordKind::AppHead, id: b"CANARY".to_vec() };
        assert_eq!(error.to_string(), "the app head row changed meanwhile; read it and try again");
        let error = CommitError::FeedConflict { last: 7 };
        assert_eq!(error.to_string(), "the control feed went on to 7 meanwhile; read it and try again");
    }

    #[test]
    fn sources_are_kept() {
        let source: Source = Arc::new(std::io::Error::other("the disk's own words"));
        let words = |error: &dyn Error| error.source().map(ToString::to_string);
        let path = PathBuf::from("/data/petsem.db");
        let errors: [&dyn Error; 4] = [
            &CommitError::Storage(Arc::clone(&source)),
            &ReadError::Corrupt(Arc::clone(&source)),
            &CloseError::Checkpoint(Arc::clone(&source)),
            &OpenError::NotWritable { path, source },
        ];
        for error in errors {
            assert_eq!(words(error).as_deref(), Some("the disk's own words"));
            assert!(error.to_string().contains("the disk's own words"));
        }
    }
}
