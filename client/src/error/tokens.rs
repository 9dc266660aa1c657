//! Tokens that cannot be used or narrowed. No text holds a part of one.

use std::path::PathBuf;

use petsem_policy::{AddError, TextError};
use thiserror::Error;

/// Why a text or file is not a credential. Never holds the text.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// Only white space.
    #[error("the token is empty; give the text that starts with fm2_, or a JWT")]
    Empty,
    /// Over 64 KiB.
    #[error("the token is longer than 64 KiB; give one token and its discharges")]
    TooLong,
    /// Characters that no token has.
    #[error("the token has characters that no token has; give the text that starts with fm2_, or a JWT")]
    NoToken,
    /// The token file cannot be read.
    #[error("the token file {} cannot be read: {source}; check the path", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Other users may read the token file.
    #[error(
        "the token file {path} is accessible to other users (mode {mode:04o}); run chmod 600 {path}, and replace \
         the token if other users work on this machine",
        path = path.display()
    )]
    OpenFile {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The token file belongs to neither this user nor root.
    #[error(
        "the token file {path} belongs to user {owner}, who can change it; copy it to a file of this user, mode 0600",
        path = path.display()
    )]
    ForeignOwner {
        /// The file.
        path: PathBuf,
        /// User id of its owner.
        owner: u32,
    },
}

/// Why a token cannot be narrowed. Never holds a part of it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NarrowError {
    /// The text does not consist of macaroons.
    #[error("the proof is not a petsem token that can be narrowed; give a token that starts with fm2_")]
    Unreadable(#[source] TextError),
    /// Nothing can be added to the token.
    #[error("the token cannot be narrowed for this boot; mint a new one")]
    Closed(#[source] AddError),
    /// The result is not a credential.
    #[error(transparent)]
    Credentials(CredentialsError),
}
