//! What can be wrong with a token, and what to do then.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use cryptoki::error::{Error as CryptokiError, RvError};
use petsem_keys::SealError;

use crate::private_file::PrivateFileError;

/// Why a token did not seal or open. It never holds a PIN.
#[derive(Debug)]
#[non_exhaustive]
pub enum Pkcs11Error {
    /// The module cannot be loaded.
    Module {
        /// Where it should be.
        path: PathBuf,
        /// The error.
        source: CryptokiError,
    },
    /// The module shows no token of that label.
    TokenAbsent {
        /// The label.
        token: String,
        /// Labels of the tokens that it shows.
        seen: Vec<String>,
    },
    /// Several tokens have that label.
    TokenAmbiguous {
        /// The label.
        token: String,
        /// How many.
        count: usize,
    },
    /// The token has no AES-GCM.
    NoGcm {
        /// Label of the token.
        token: String,
    },
    /// The PIN file cannot be used.
    PinFile {
        /// Why.
        source: PrivateFileError,
    },
    /// The PIN file does not hold one line of text.
    PinText {
        /// Where it is.
        pin_file: PathBuf,
    },
    /// The token refused the PIN.
    PinWrong {
        /// Label of the token.
        token: String,
        /// Where the PIN is.
        pin_file: PathBuf,
    },
    /// One more wrong PIN would lock the token, so it was not tried.
    PinLastTry {
        /// Label of the token.
        token: String,
    },
    /// The token is locked.
    PinLocked {
        /// Label of the token.
        token: String,
    },
    /// The token has no user's PIN yet.
    PinNotSet {
        /// Label of the token.
        token: String,
    },
    /// The token holds no AES key of that label.
    KeyAbsent {
        /// Label of the token.
        token: String,
        /// Label of the key.
        key: String,
    },
    /// Several AES keys have that label.
    KeyAmbiguous {
        /// Label of the token.
        token: String,
        /// Label of the keys.
        key: String,
        /// How many.
        count: usize,
    },
    /// The key can be read out of the token.
    KeyReadable {
        /// Label of the token.
        token: String,
        /// Label of the key.
        key: String,
    },
    /// The token's AES-GCM gave another length than nonce, key and tag have.
    NotGcm {
        /// Length that it gave, in bytes.
        length: usize,
        /// Length that it should have given, in bytes.
        expected: usize,
    },
    /// What the token had encrypted it did not decrypt to the same.
    NotReadBack,
    /// Another call failed.
    Call {
        /// The operation, as an infinitive.
        doing: &'static str,
        /// The token's error.
        source: CryptokiError,
    },
}

/// Whether a token says that the ciphertext, and not the token, is the matter.
pub(super) fn is_about_the_ciphertext(error: &CryptokiError) -> bool {
    matches!(
        error,
        CryptokiError::Pkcs11(
            RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange | RvError::GeneralError,
            _
        )
    )
}

impl fmt::Display for Pkcs11Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module { path, source: _ } => write!(
                f,
                "the PKCS#11 module {} cannot be used; give the path of the library that came with the \
                 token, and look at its own configuration",
                path.display()
            ),
            Self::TokenAbsent { token, seen } if seen.is_empty() => {
                write!(
                    f,
                    "there is no token {token}, nor any other; connect it, or initialise one of that label"
                )
            }
            Self::TokenAbsent { token, seen } => {
                write!(
                    f,
                    "there is no token {token}; connect it, or name one that is there: {}",
                    seen.join(", ")
                )
            }
            Self::TokenAmbiguous { token, count } => {
                write!(
                    f,
                    "{count} tokens have the label {token}; connect only one, or give each its own label"
                )
            }
            Self::NoGcm { token } => {
                write!(
                    f,
                    "token {token} has no AES-GCM (CKM_AES_GCM); use one that has, or another kind of seal"
                )
            }
            Self::PinFile { source } => write!(f, "the PIN was not read: {source}"),
            Self::PinText { pin_file } => write!(
                f,
                "{} holds no PIN; write it there in one line, with nothing else",
                pin_file.display()
            ),
            Self::PinWrong { token, pin_file } => write!(
                f,
                "token {token} refused the PIN in {}; correct it before you try again, tokens lock \
                 themselves after a few wrong ones",
                pin_file.display()
            ),
            Self::PinLastTry { token } => write!(
                f,
                "token {token} locks itself after one more wrong PIN, so petsem did not try; check the \
                 PIN in the PIN file and log in once with the token's own tool"
            ),
            Self::PinLocked { token } => write!(
                f,
                "token {token} is locked after too many wrong PINs; have its security officer set a new PIN"
            ),
            Self::PinNotSet { token } => {
                write!(f, "token {token} has no user's PIN yet; have its security officer set one")
            }
            Self::KeyAbsent { token, key } => write!(
                f,
                "there is no AES key {key} on token {token}; name the one that this store was sealed \
                 with, or restore the token from its backup"
            ),
            Self::KeyAmbiguous { token, key, count } => {
                write!(f, "{count} AES keys of token {token} have the label {key}; give each its own")
            }
            Self::KeyReadable { token, key } => write!(
                f,
                "key {key} of token {token} can be read out of it; let petsem make a key, or make one \
                 that is sensitive and not extractable"
            ),
            Self::NotGcm { length, expected } => write!(
                f,
                "the token's AES-GCM gave {length} bytes instead of {expected}; use another token, or \
                 another kind of seal"
            ),
            Self::NotReadBack => f.write_str(
                "the token did not decrypt what it had encrypted, nothing was sealed; use another \
                 token, or another kind of seal",
            ),
            Self::Call { doing, source: _ } => {
                write!(f, "the token did not {doing}; see whether it works with its own tool")
            }
        }
    }
}

impl Error for Pkcs11Error {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Module { source, .. } | Self::Call { source, .. } => Some(source),
            // The text of this error includes its text.
            Self::PinFile { source } => source.source(),
            Self::TokenAbsent { .. }
            | Self::TokenAmbiguous { .. }
            | Self::NoGcm { .. }
            | Self::PinText { .. }
            | Self::PinWrong { .. }
            | Self::PinLastTry { .. }
            | Self::PinLocked { .. }
            | Self::PinNotSet { .. }
            | Self::KeyAbsent { .. }
            | Self::KeyAmbiguous { .. }
            | Self::KeyReadable { .. }
            | Self::NotGcm { .. }
            | Self::NotReadBack => None,
        }
    }
}

impl From<Pkcs11Error> for SealError {
    fn from(source: Pkcs11Error) -> Self {
        Self::Unavailable { source: Box::new(source) }
    }
}
