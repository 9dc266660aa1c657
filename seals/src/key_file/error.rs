//! What can be wrong with a key file, and what to do.

use std::io;
use std::path::PathBuf;

use petsem_keys::SealError;

use crate::private_file::{PrivateFileError, PrivateFileFault, remedy};

/// Why a key file was not created or not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The path of the new key file already exists.
    #[error("{path} already exists; not overwritten; give another path, or use the key in it")]
    Exists {
        /// Its path.
        path: PathBuf,
    },
    /// The new key file could not be written and synced.
    #[error(
        "the key file {path} could not be written; \
         give a path in a directory that this user may write"
    )]
    Create {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file does not exist.
    #[error(
        "there is no key file {path}; give the path of the one this store was made with, \
         or put it back from your backup of it"
    )]
    Missing {
        /// Its path.
        path: PathBuf,
    },
    /// The path is a symbolic link.
    #[error("the key file {path} is a symbolic link; give the path of the file itself")]
    Link {
        /// Its path.
        path: PathBuf,
    },
    /// The path is a directory, a device, a FIFO or a socket.
    #[error("the key file {path} is not a regular file; give the path of the file that holds the key")]
    NotAFile {
        /// Its path.
        path: PathBuf,
    },
    /// The owner is neither petsem's user nor root.
    #[error(
        "the key file {path} belongs to user {owner}, petsem runs as user {us}; {}",
        remedy(.path, *.us)
    )]
    ForeignOwner {
        /// Its path.
        path: PathBuf,
        /// User id of its owner.
        owner: u32,
        /// Effective user id of this process.
        us: u32,
    },
    /// Group or others have a permission on the file.
    #[error(
        "the key file {path} has mode {mode:04o}, others than its owner have access to it; \
         `chmod 600 {path}`, and take a new seal if another user may have read it"
    )]
    OpenToOthers {
        /// Its path.
        path: PathBuf,
        /// The file's permission bits.
        mode: u32,
    },
    /// The file could not be opened or read.
    #[error("the key file {path} could not be read; let petsem run as the user that owns it")]
    Read {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file does not have the two lines of a key file.
    #[error(
        "{path} is not a whole petsem key file (a line `petsem-key-file-v1`, a line of 64 \
         hexadecimal digits); put it back from your backup of it"
    )]
    Content {
        /// Its path.
        path: PathBuf,
    },
}

impl From<PrivateFileError> for KeyFileError {
    fn from(PrivateFileError { path, fault }: PrivateFileError) -> Self {
        match fault {
            PrivateFileFault::Missing => Self::Missing { path },
            PrivateFileFault::Link => Self::Link { path },
            PrivateFileFault::NotAFile => Self::NotAFile { path },
            PrivateFileFault::ForeignOwner { owner, us } => Self::ForeignOwner { path, owner, us },
            PrivateFileFault::OpenToOthers { mode } => Self::OpenToOthers { path, mode },
            PrivateFileFault::Read { source } => Self::Read { path, source },
        }
    }
}

impl From<KeyFileError> for SealError {
    fn from(source: KeyFileError) -> Self {
        Self::Unavailable { source: Box::new(source) }
    }
}
