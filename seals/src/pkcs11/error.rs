//! What can be wrong with a token, and what to do.

use std::path::PathBuf;

use cryptoki::error::{Error as CryptokiError, RvError};
use petsem_keys::SealError;

use crate::private_file::PrivateFileError;

/// Why a token did not seal or open. It never contains a PIN.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Pkcs11Error {
    /// The module cannot be loaded.
    #[error(
        "the PKCS#11 module {path} cannot be used; give the path of the library that came with the token, \
         and check its configuration"
    )]
    Module {
        /// Its configured path.
        path: PathBuf,
        /// The error.
        source: CryptokiError,
    },
    /// The module has no token with that label.
    #[error("{}", absent(token, seen))]
    TokenAbsent {
        /// The label.
        token: String,
        /// Labels of the tokens that it has.
        seen: Vec<String>,
    },
    /// Several tokens have that label.
    #[error("{count} tokens have the label {token}; connect only one, or give each its own label")]
    TokenAmbiguous {
        /// The label.
        token: String,
        /// Their number.
        count: usize,
    },
    /// The token has no AES-GCM.
    #[error("token {token} has no AES-GCM (CKM_AES_GCM); use one that has, or another kind of seal")]
    NoGcm {
        /// Label of the token.
        token: String,
    },
    /// The PIN file cannot be used.
    #[error("the PIN was not read: {source}")]
    PinFile {
        /// The error.
        source: PrivateFileError,
    },
    /// The PIN file does not contain one line of text.
    #[error("{pin_file} has no PIN; write the PIN there in one line, with nothing else")]
    PinText {
        /// Its path.
        pin_file: PathBuf,
    },
    /// The token refused the PIN.
    #[error(
        "token {token} refused the PIN in {pin_file}; correct it before you try again: a token locks \
         itself after a few wrong PINs"
    )]
    PinWrong {
        /// Label of the token.
        token: String,
        /// The path of the PIN file.
        pin_file: PathBuf,
    },
    /// One more wrong PIN would lock the token, so it was not tried.
    #[error(
        "token {token} locks itself after one more wrong PIN, so petsem did not try; check the PIN in the \
         PIN file and log in once with the token's own tool"
    )]
    PinLastTry {
        /// Label of the token.
        token: String,
    },
    /// The token is locked.
    #[error("token {token} is locked after too many wrong PINs; have its security officer set a new PIN")]
    PinLocked {
        /// Label of the token.
        token: String,
    },
    /// The user's PIN of the token is not set.
    #[error("token {token} has no user's PIN yet; have its security officer set one")]
    PinNotSet {
        /// Label of the token.
        token: String,
    },
    /// The token has no AES key with that label.
    #[error(
        "there is no AES key {key} on token {token}; name the one that this store was sealed with, or \
         restore the token from its backup"
    )]
    KeyAbsent {
        /// Label of the token.
        token: String,
        /// Label of the key.
        key: String,
    },
    /// Several AES keys have that label.
    #[error("{count} AES keys of token {token} have the label {key}; give each its own")]
    KeyAmbiguous {
        /// Label of the token.
        token: String,
        /// Label of the keys.
        key: String,
        /// Their number.
        count: usize,
    },
    /// The key can be extracted from the token.
    #[error(
        "key {key} of token {token} can be read out of it; let petsem make a key, or make one that is \
         sensitive and not extractable"
    )]
    KeyReadable {
        /// Label of the token.
        token: String,
        /// Label of the key.
        key: String,
    },
    /// The token's AES-GCM returned another length than that of nonce, key and tag.
    #[error(
        "the token's AES-GCM gave {length} bytes instead of {expected}; use another token, or another kind \
         of seal"
    )]
    NotGcm {
        /// The returned length, in bytes.
        length: usize,
        /// The expected length, in bytes.
        expected: usize,
    },
    /// The token did not decrypt its own ciphertext to the same key.
    #[error(
        "the token did not decrypt its own ciphertext; nothing was sealed; use another token, or another \
         kind of seal"
    )]
    NotReadBack,
    /// Another call failed.
    #[error("the token did not {doing}; check whether it works with its own tool")]
    Call {
        /// The operation, as an infinitive.
        doing: &'static str,
        /// The token's error.
        source: CryptokiError,
    },
}

fn absent(token: &str, seen: &[String]) -> String {
    if seen.is_empty() {
        return format!(
            "there is no token {token}, and no other token; connect it, or initialize one with that label"
        );
    }
    format!("there is no token {token}; connect it, or name one of these: {}", seen.join(", "))
}

/// Whether the error is about the ciphertext, and not about the token.
pub(super) fn is_about_the_ciphertext(error: &CryptokiError) -> bool {
    matches!(
        error,
        CryptokiError::Pkcs11(
            RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange | RvError::GeneralError,
            _
        )
    )
}

impl From<Pkcs11Error> for SealError {
    fn from(source: Pkcs11Error) -> Self {
        Self::Unavailable { source: Box::new(source) }
    }
}
