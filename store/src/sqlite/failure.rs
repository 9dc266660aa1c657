//! Maps SQLite's errors to what the caller can do about them.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Error, ErrorCode};

use crate::error::{CommitError, OpenError, ReadError};

pub(super) fn open(path: &Path, error: Error) -> OpenError {
    let path = path.to_path_buf();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotPetsem { path },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Corrupt { path, source: Arc::new(error) },
        _ if no_room(&error) => OpenError::Full { path },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            OpenError::NotWritable { path, source: Arc::new(error) }
        }
        _ => OpenError::Storage { path, source: Arc::new(error) },
    }
}

pub(super) fn commit(error: Error) -> CommitError {
    if no_room(&error) {
        return CommitError::Full;
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::ReadOnly) => CommitError::ReadOnly,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => CommitError::Unavailable,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => CommitError::Corrupt(Arc::new(error)),
        Some(_) => CommitError::Storage(Arc::new(error)),
        None if matches!(error, Error::ToSqlConversionFailure(_)) => CommitError::OutOfRange,
        None => CommitError::Storage(Arc::new(error)),
    }
}

pub(super) fn read(error: Error) -> ReadError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ReadError::Unavailable,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ReadError::Corrupt(Arc::new(error)),
        Some(_) => ReadError::Storage(Arc::new(error)),
        // A column with a type or length that this crate never writes.
        None if matches!(
            error,
            Error::FromSqlConversionFailure(..)
                | Error::IntegralValueOutOfRange(..)
                | Error::InvalidColumnType(..)
        ) =>
        {
            ReadError::Corrupt(Arc::new(error))
        }
        None => ReadError::Storage(Arc::new(error)),
    }
}

/// A full disk, including an error of SQLite while it extends the log's index in `-shm`.
fn no_room(error: &Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        error.code == ErrorCode::DiskFull || error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
    })
}
