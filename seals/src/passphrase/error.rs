//! What can be wrong with a passphrase, and what to do.

use petsem_keys::{OpenError, SealError};

use super::Argon2Parameters;
use crate::private_file::PrivateFileError;

/// Why a passphrase was not accepted, or did not open or seal. It never contains the passphrase.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// Empty, longer than 1024 bytes, with white space at an end or with a control character.
    #[error(
        "invalid passphrase: it is empty, longer than 1024 bytes, begins or ends with white \
         space, or holds a control character such as a newline; give it as one line of text"
    )]
    NotTypeable,
    /// Its file was not read.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// Sealing: too short to withstand guessing.
    #[error(
        "the passphrase has {characters} characters, a seal needs at least {minimum}; \
         take six or more random words"
    )]
    TooShort {
        /// Its number of characters.
        characters: usize,
        /// The fewest accepted characters.
        minimum: usize,
    },
    /// The passphrase is wrong, or the wrap was changed or belongs elsewhere.
    #[error(
        "this passphrase does not open the root key of this store; type it again, mind the \
         keyboard layout and upper case, or use another seal of the store"
    )]
    DoesNotOpen {
        /// The error of opening.
        source: OpenError,
    },
    /// Parameters outside the bounds.
    #[error(
        "{} KiB of memory, {} passes and {} lanes are outside what petsem accepts \
         ({} to {} KiB, {} to {} passes, {} to {} lanes); give others, or if a stored seal says so: it \
         was changed, restore it from a backup",
        .parameters.memory_kib(),
        .parameters.passes(),
        .parameters.lanes(),
        Argon2Parameters::LOWEST.memory_kib(),
        Argon2Parameters::HIGHEST.memory_kib(),
        Argon2Parameters::LOWEST.passes(),
        Argon2Parameters::HIGHEST.passes(),
        Argon2Parameters::LOWEST.lanes(),
        Argon2Parameters::HIGHEST.lanes(),
    )]
    Parameters {
        /// The given parameters, or those of the wrap.
        parameters: Argon2Parameters,
    },
    /// There is not enough memory for the derivation.
    #[error(
        "not enough memory for the passphrase's key, which needs {kib} KiB; free some, or use another \
         seal of the store"
    )]
    Memory {
        /// The needed memory, in KiB.
        kib: u32,
    },
    /// Argon2 refused its inputs.
    #[error("Argon2 refused the passphrase's parameters; report this as a defect of petsem")]
    Derivation {
        /// Its error.
        source: argon2::Error,
    },
}

impl From<PassphraseError> for SealError {
    fn from(source: PassphraseError) -> Self {
        Self::Unavailable { source: Box::new(source) }
    }
}
