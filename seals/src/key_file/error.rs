//! What can be wrong with a key file, and what to type then.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use petsem_keys::SealError;

use crate::private_file::{PrivateFileError, PrivateFileFault};

/// Why a key file was not made or not used.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Making a key file: there is something at the path already.
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// Making a key file: it could not be written and synced.
    Create {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no file.
    Missing {
        /// Where.
        path: PathBuf,
    },
    /// The path is a symbolic link.
    Link {
        /// Where.
        path: PathBuf,
    },
    /// The path is a directory, a device, a FIFO or a socket.
    NotAFile {
        /// Where.
        path: PathBuf,
    },
    /// The file belongs neither to us nor to root.
    ForeignOwner {
        /// Where.
        path: PathBuf,
        /// User id of its owner.
        owner: u32,
        /// Our effective user id.
        us: u32,
    },
    /// Group or others have a permission on the file.
    OpenToOthers {
        /// Where.
        path: PathBuf,
        /// Permission bits that were seen.
        mode: u32,
    },
    /// The file could not be opened or read.
    Read {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file does not hold the two lines of a key file.
    Content {
        /// Where.
        path: PathBuf,
    },
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists { path } => write!(
                f,
                "{0} exists already and was left as it is; give another path, or use the key in it",
                path.display()
            ),
            Self::Create { path, source: _ } => write!(
                f,
                "the key file {} could not be written; \
                 give a path in a directory that this user may write",
                path.display()
            ),
            Self::Missing { path } => write!(
                f,
                "there is no key file {}; give the path of the one this store was made with, \
                 or put it back from your backup of it",
                path.display()
            ),
            Self::Link { path } => write!(
                f,
                "the key file {} is a symbolic link; give the path of the file itself",
                path.display()
            ),
            Self::NotAFile { path } => write!(
                f,
                "the key file {} is not a regular file; give the path of the file that holds the key",
                path.display()
            ),
            Self::ForeignOwner { path, owner, us } => write!(
                f,
                "the key file {0} belongs to user {owner}, petsem runs as user {us}; \
                 `chown {us} {0}` after making sure that nobody else has read it",
                path.display()
            ),
            Self::OpenToOthers { path, mode } => write!(
                f,
                "the key file {0} has mode {mode:04o}, others than its owner have access to it; \
                 `chmod 600 {0}`, and take a new seal if somebody may have read it",
                path.display()
            ),
            Self::Read { path, source: _ } => write!(
                f,
                "the key file {} could not be read; let petsem run as the user that owns it",
                path.display()
            ),
            Self::Content { path } => write!(
                f,
                "{} is not a whole petsem key file (a line `petsem-key-file-v1`, a line of 64 \
                 hexadecimal digits); put it back from your backup of it",
                path.display()
            ),
        }
    }
}

impl Error for KeyFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Create { source, .. } | Self::Read { source, .. } => Some(source),
            Self::Exists { .. }
            | Self::Missing { .. }
            | Self::Link { .. }
            | Self::NotAFile { .. }
            | Self::ForeignOwner { .. }
            | Self::OpenToOthers { .. }
            | Self::Content { .. } => None,
        }
    }
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
