//! A file that at most one process has.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// An exclusive lock on a file (`flock(2)`), until it is dropped or its process ends.
#[derive(Debug)]
pub struct FileLock(File);

impl FileLock {
    /// Locks the file, which is made if it is not there; `None` if somebody else has it.
    ///
    /// # Errors
    /// If the file cannot be opened, or its file system has no locks.
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(source) => Err(source.into()),
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing alone would not do: a child that was just forked has the file too, until its own program runs.
        let _gone = flock(&self.0, FlockOperation::Unlock);
    }
}
