//! Why a key was not accepted, or not used.

use std::fmt;

use super::kind::SecretKeyType;

/// An operation of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOperation {
    /// Encrypt a message.
    Encrypt,
    /// Decrypt a ciphertext.
    Decrypt,
    /// Sign a message.
    Sign,
    /// Verify a signature.
    Verify,
}

impl fmt::Display for KeyOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::Sign => "sign",
            Self::Verify => "verify",
        })
    }
}

/// Why bytes are not a key of the named type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Wrong length for the type.
    #[error("the key is {length} bytes long, keys of this type are {wanted}; give the bare key")]
    Length {
        /// The given length, in bytes.
        length: usize,
        /// The lengths of keys of the type, in words.
        wanted: &'static str,
    },
    /// There are no bytes.
    #[error("no key was given; give the bare key")]
    Empty,
    /// Every byte is zero.
    #[error("the key is all zeros; generate one from a random source")]
    Zero,
    /// The number is zero, or not below the order of the curve.
    #[error("the key is not a scalar of P-256; give the 32 bytes of the private number, big-endian")]
    NotOnCurve,
    /// The given public key does not belong to the seed.
    #[error("the last 32 bytes are not the public key of the first 32; give the seed alone")]
    OtherPublicKey,
}

/// Why a key operation failed. No part of a message was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyUseError {
    /// Keys of the type do not support the operation.
    Unsupported {
        /// The key's type.
        kind: SecretKeyType,
        /// The operation.
        operation: KeyOperation,
    },
    /// Keys of the type authenticate no associated data.
    AssociatedData {
        /// The key's type.
        kind: SecretKeyType,
    },
    /// The message, or its associated data, is too long.
    TooLong {
        /// The given length, in bytes.
        length: usize,
        /// The longest accepted length, in bytes.
        maximum: usize,
    },
    /// The ciphertext was changed, cut, or made with another key or other associated data.
    NotAuthentic,
    /// The signature is not by this key over this message.
    SignatureMismatch,
    /// The stored key is not of its type, or the cipher refused.
    Damaged,
}

impl fmt::Display for KeyUseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported { kind, operation } => {
                let uses =
                    if kind.can(KeyOperation::Sign) { "sign and verify" } else { "encrypt and decrypt" };
                write!(f, "a {kind} key does not {operation}; its kind is made to {uses}; use another key")
            }
            Self::AssociatedData { kind } => write!(
                f,
                "a {kind} key authenticates no associated data; leave it out, or use a key of type xaes256gcm"
            ),
            Self::TooLong { length, maximum } => write!(
                f,
                "the message is {length} bytes long, at most {maximum} are taken; encrypt a key of your own, \
                 or sign a hash"
            ),
            Self::NotAuthentic => f.write_str(
                "the ciphertext was changed, or made with another key or other associated data; \
                 check which key made it",
            ),
            Self::SignatureMismatch => {
                f.write_str("the signature is not this key's over this message; check which key made it")
            }
            Self::Damaged => {
                f.write_str("the stored key cannot be used; restore it from a backup, or make a new one")
            }
        }
    }
}
