//! Errors of protecting and opening keys and messages: one enum for each operation.

/// Why a wrap or a sealed message was not opened. No part of it was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Fewer bytes than the shortest message of the format.
    #[error(
        "sealed bytes end after {length} bytes, but their format has at least {minimum}; \
         treat the record as damaged and restore it from a backup"
    )]
    TooShort {
        /// The given length, in bytes.
        length: usize,
        /// Length of the shortest well-formed one, in bytes.
        minimum: usize,
    },
    /// More bytes than the format allows.
    #[error(
        "sealed bytes are {length} bytes long, but their format has at most {maximum}; \
         treat the record as damaged and restore it from a backup"
    )]
    TooLong {
        /// The given length, in bytes.
        length: usize,
        /// Length of the longest well-formed one, in bytes.
        maximum: usize,
    },
    /// The first byte is a format that this build does not support.
    #[error(
        "sealed bytes are in format {format}, which this build does not know; \
         run a newer petsem on this node, or treat the record as damaged"
    )]
    UnknownFormat {
        /// The format byte.
        format: u8,
    },
    /// It was wrapped by a key version that is not loaded.
    #[error(
        "sealed bytes need key version {version}, which is not loaded; \
         reload the keys, or restore the version from a backup"
    )]
    UnknownKeyVersion {
        /// Version of the wrapping key in the header.
        version: u32,
    },
    /// The length of the wrapped key is wrong for the requested role.
    #[error(
        "the wrapped key has {length} bytes, which is wrong for its role; \
         treat the record as damaged and restore it from a backup"
    )]
    KeyLength {
        /// Length of the wrapped key, in bytes.
        length: usize,
    },
    /// The bytes were changed, or belong to another key, record or place than the requested one.
    #[error(
        "sealed bytes were changed or belong elsewhere; nothing was opened; \
         look for writes to the storage that petsem did not make"
    )]
    NotAuthentic,
}

/// Why a key was not wrapped or a message not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// The message is longer than its kind may be.
    #[error("the message is {length} bytes long, at most {maximum} can be sealed; make it smaller")]
    TooLong {
        /// The given length, in bytes.
        length: usize,
        /// The longest accepted length, in bytes.
        maximum: usize,
    },
    /// The context names another app or version than the key has.
    #[error(
        "the context names another app or version than the key has; \
         pass the key that the context is about"
    )]
    OtherKey,
    /// The cipher refused the message.
    #[error("the cipher refused the message; report this as a defect of petsem")]
    Cipher,
}

/// Why a key was not moved from one wrapping key to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RewrapError {
    /// The old wrap did not open.
    #[error("the old wrap did not open; it was kept as it was")]
    Open(#[from] OpenError),
    /// The new wrap could not be made.
    #[error("the new wrap could not be made; the old one was kept")]
    Encrypt(#[from] EncryptError),
}

/// A MAC or a signature does not match its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntegrityError {
    /// The row, feed entry or audit line was changed, moved, or restored from an earlier time.
    #[error(
        "a stored MAC does not match its record; \
         look for writes to the storage that petsem did not make"
    )]
    TagMismatch,
    /// The checkpoint was not signed by this key over this message.
    #[error(
        "the signature was not made by this key over this checkpoint; \
         compare the audit log with its shipped copies"
    )]
    SignatureMismatch,
    /// The public key is not a point that Ed25519 accepts.
    #[error("the public key is not an Ed25519 key; take it from the node's record again")]
    PublicKey,
}
