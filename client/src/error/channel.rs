//! The Machine channel: what a guest reports, and what the host sends to it.

use std::fmt;
use std::io;

use thiserror::Error;

use crate::channel::DenyReason;

/// The text of a DENY to a guest that did not start with HELLO.
#[cfg(feature = "fetch")]
pub(crate) const HELLO_FIRST: &str = "send HELLO first";
/// The text of a DENY to a guest that claims another Machine or app.
#[cfg(feature = "fetch")]
pub(crate) const ANOTHER_MACHINE: &str = "this socket belongs to another Machine";

/// Why a guest has neither a bundle nor a DENY.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GuestError {
    /// The stream broke, ended or timed out.
    #[error("the channel ended before an answer ({0}); check the host's agent")]
    Stream(#[from] io::Error),
    /// The host did not follow this protocol.
    #[error("the host does not use this protocol; use the same release on both sides")]
    Malformed,
    /// A claim is over 255 bytes.
    #[error("a claim is longer than 255 bytes; leave it empty")]
    LongClaim,
}

/// Bytes that are not a canonical bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the bytes are not a bundle in the canonical encoding, version 1; boot again with the same release")]
pub struct NotCanonical;

impl fmt::Display for DenyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("petsem refused the boot"),
            Self::WrongClaim => f.write_str("the Machine claims to be another Machine"),
            Self::Malformed => f.write_str("the Machine does not use the channel's protocol"),
            Self::Unavailable => f.write_str("petsem cannot be reached"),
            Self::Other(code) => write!(f, "reason {code}"),
        }
    }
}
