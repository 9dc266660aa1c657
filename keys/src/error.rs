//! What can go wrong when keys and messages are protected and opened: one enum for each operation.

use std::error::Error;
use std::fmt;

/// Why a wrap or a sealed message was not opened. Nothing of it was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// Fewer bytes than the format has at least.
    TooShort {
        /// Length that was given, in bytes.
        length: usize,
        /// Length of the shortest well-formed one, in bytes.
        minimum: usize,
    },
    /// More bytes than the format allows.
    TooLong {
        /// Length that was given, in bytes.
        length: usize,
        /// Length of the longest well-formed one, in bytes.
        maximum: usize,
    },
    /// The first byte names a format that this build does not know.
    UnknownFormat {
        /// The format byte.
        format: u8,
    },
    /// It was wrapped by a key version that is not at hand.
    UnknownKeyVersion {
        /// Version of the wrapping key in the header.
        version: u32,
    },
    /// The wrapped bytes have another length than a key of the role that was asked for.
    KeyLength {
        /// Length of the wrapped key, in bytes.
        length: usize,
    },
    /// The bytes were changed, or belong to another key, record or place than the one asked for.
    NotAuthentic,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { length, minimum } => write!(
                f,
                "sealed bytes end after {length} bytes, their format has at least {minimum}; \
                 treat the record as damaged and restore it from a backup"
            ),
            Self::TooLong { length, maximum } => write!(
                f,
                "sealed bytes are {length} bytes long, their format has at most {maximum}; \
                 treat the record as damaged and restore it from a backup"
            ),
            Self::UnknownFormat { format } => write!(
                f,
                "sealed bytes are in format {format}, which this build does not know; \
                 run a newer petsem on this node, or treat the record as damaged"
            ),
            Self::UnknownKeyVersion { version } => write!(
                f,
                "sealed bytes need key version {version}, which is not loaded; \
                 reload the keys, or restore the version from a backup"
            ),
            Self::KeyLength { length } => write!(
                f,
                "the wrapped key is {length} bytes long, which no key of this role is; \
                 treat the record as damaged and restore it from a backup"
            ),
            Self::NotAuthentic => f.write_str(
                "sealed bytes were changed or belong elsewhere, nothing was opened; \
                 look for writes to the storage that petsem did not make",
            ),
        }
    }
}

impl Error for OpenError {}

/// Why a key was not wrapped or a message not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncryptError {
    /// The message is longer than its kind may be.
    TooLong {
        /// Length that was given, in bytes.
        length: usize,
        /// Longest that is accepted, in bytes.
        maximum: usize,
    },
    /// The context names another app or version than the key has.
    OtherKey,
    /// The cipher refused the message.
    Cipher,
}

impl fmt::Display for EncryptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length, maximum } => write!(
                f,
                "the message is {length} bytes long, at most {maximum} can be sealed; make it smaller"
            ),
            Self::OtherKey => f.write_str(
                "the context names another app or version than the key has; \
                 pass the key that the context is about",
            ),
            Self::Cipher => f.write_str("the cipher refused the message; report this as a defect of petsem"),
        }
    }
}

impl Error for EncryptError {}

/// Why a key was not moved from one wrapping key to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RewrapError {
    /// The old wrap did not open.
    Open(OpenError),
    /// The new wrap could not be made.
    Encrypt(EncryptError),
}

impl fmt::Display for RewrapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(_) => f.write_str("the old wrap did not open; it was kept as it was"),
            Self::Encrypt(_) => f.write_str("the new wrap could not be made; the old one was kept"),
        }
    }
}

impl Error for RewrapError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Open(source) => Some(source),
            Self::Encrypt(source) => Some(source),
        }
    }
}

impl From<OpenError> for RewrapError {
    fn from(source: OpenError) -> Self {
        Self::Open(source)
    }
}

impl From<EncryptError> for RewrapError {
    fn from(source: EncryptError) -> Self {
        Self::Encrypt(source)
    }
}

/// A MAC, or a signature, is not over what it stands beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IntegrityError {
    /// The row, feed entry or audit line was changed, moved, or put back from another time.
    TagMismatch,
    /// The checkpoint was not signed by this key over this message.
    SignatureMismatch,
    /// The public key is not a point that Ed25519 accepts.
    PublicKey,
}

impl fmt::Display for IntegrityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TagMismatch => {
                "what is stored does not carry the MAC that petsem gave it; \
                 look for writes to the storage that petsem did not make"
            }
            Self::SignatureMismatch => {
                "the signature was not made by this key over this checkpoint; \
                 compare the audit log with its shipped copies"
            }
            Self::PublicKey => "the public key is not an Ed25519 key; take it from the node's record again",
        })
    }
}

impl Error for IntegrityError {}
