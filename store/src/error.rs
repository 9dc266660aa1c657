//! One error enum for each operation, and all user-facing text of this crate.
//!
//! No text contains a row's content: only paths, kinds, numbers and the database's own messages.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use crate::record::RecordKind;

/// The database's own error. Shared, because the changes of one group fail together.
pub type Source = Arc<dyn Error + Send + Sync>;

/// Why a store was not opened. Nothing was changed, but the directory may have been created.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The path exists and is not a directory.
    #[error("{path} is not a directory; name a directory for the store's data")]
    NotADirectory {
        /// The data directory.
        path: PathBuf,
    },
    /// The directory, or a file in it, cannot be created or written.
    #[error("cannot write {path}: {source}; let the user that runs petsem own the directory, with mode 0700")]
    NotWritable {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: Source,
    },
    /// Users other than its owner could remove or replace what is in the directory.
    #[error(
        "other users can write to {path}, and nothing was opened; take that from them: chmod go-rwx {path}"
    )]
    WritableByOthers {
        /// The data directory.
        path: PathBuf,
    },
    /// Another process serves this directory.
    #[error(
        "another process holds {path}, most likely a server, and nothing was changed; stop it and do this \
         again, or name the data directory that is meant"
    )]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// The file exists and is not a petsem database.
    #[error(
        "{path} is not a petsem database; if it was one, put a copy of the data directory back (docs/copies.md), otherwise \
         name another data directory, or move the file away"
    )]
    NotPetsem {
        /// The database file.
        path: PathBuf,
    },
    /// A later petsem wrote the file.
    #[error("{path} has format {found}, and this petsem knows formats up to {known}; run a newer petsem")]
    NewerFormat {
        /// The database file.
        path: PathBuf,
        /// Format of the file.
        found: u32,
        /// Newest format that this build supports.
        known: u32,
    },
    /// An earlier petsem wrote the file, in a format that this build does not read.
    #[error(
        "{path} has format {found}, and this petsem reads format {known} only; nothing was changed; start it with \
         the petsem that wrote it, export the secrets, and set them in a new installation"
    )]
    OlderFormat {
        /// The database file.
        path: PathBuf,
        /// Format of the file.
        found: u32,
        /// The format that this build reads.
        known: u32,
    },
    /// The file is a petsem database and its structure is damaged.
    #[error("{path} is damaged: {source}; put a copy of the data directory back (docs/copies.md)")]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// The database's error.
        source: Source,
    },
    /// The disk has no room for an empty database.
    #[error("no room on the disk for {path}; free some and start again")]
    Full {
        /// The database file.
        path: PathBuf,
    },
    /// Any other error of the database or the system.
    #[error("cannot open {path}: {source}; look at the disk, and at who may read and write there")]
    Storage {
        /// The file.
        path: PathBuf,
        /// Its error.
        source: Source,
    },
}

/// Why a change was not acknowledged. None of it is visible to any reader.
///
/// After [`CommitError::Storage`] and [`CommitError::Unavailable`], a crash at that moment may still commit
/// the whole change: read again before repeating it (a stale [`crate::Expect`] then conflicts).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A row does not have the version that the change expects. Read and seal again.
    #[error("the {kind} row changed meanwhile; read it and try again")]
    Conflict {
        /// Kind of the first such row.
        kind: RecordKind,
        /// Its id.
        id: Vec<u8>,
    },
    /// The feed entries do not follow the last one.
    #[error("the control feed went on to {last} meanwhile; read it and try again")]
    FeedConflict {
        /// The last number in the feed; 0 if it is empty.
        last: u64,
    },
    /// The disk is full, or the size limit is reached. Reads continue; the next write tries again.
    #[error("no room for the change; free space on the database's disk")]
    Full,
    /// The database is not writable, because of permissions or its mount.
    #[error("the database cannot be written; check the file's owner, mode and mount")]
    ReadOnly,
    /// The store is closed, its writer has ended, or another process held the database too long.
    #[error("the store takes no writes now; try again")]
    Unavailable,
    /// A version or number above 2^63 − 1.
    #[error("a version or number of the change is above 2^63 - 1")]
    OutOfRange,
    /// The database's structure is damaged.
    #[error("the database is damaged: {0}; restore it from a backup")]
    Corrupt(#[source] Source),
    /// Any other error of the database.
    #[error("the database refused the change: {0}")]
    Storage(#[source] Source),
}

/// Why a read failed. Absence is not an error.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The store is closed, or the database did not answer in time.
    #[error("the store takes no reads now; try again")]
    Unavailable,
    /// The database's structure, or the form of a row, is damaged.
    #[error("the database is damaged: {0}; restore it from a backup")]
    Corrupt(#[source] Source),
    /// Any other error of the database.
    #[error("the database refused the read: {0}")]
    Storage(#[source] Source),
}

/// Why the store did not close cleanly. Acknowledged changes are durable anyway.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// The last checkpoint failed; the next start reads the write-ahead log instead.
    #[error("the last checkpoint failed: {0}; nothing is lost, keep the database's -wal file with it")]
    Checkpoint(#[source] Source),
    /// A thread of the store ended too early.
    #[error("a thread of the store had ended early; look for its panic in the log")]
    ThreadLost,
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
