//! A file lock that at most one process holds.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// An exclusive lock on a file, until it is dropped or its process ends.
#[derive(Debug)]
pub struct FileLock(File);

impl FileLock {
    /// Locks the file and creates it if it does not exist; `None` if another process holds it.
    ///
    /// # Errors
    /// If the file cannot be opened, or its file system has no locks.
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(source),
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child between fork and exec has it open too.
        let _unlocked = self.0.unlock();
    }
}
