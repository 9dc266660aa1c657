//! What can be wrong with a passphrase, and what to do then.

use std::error::Error;
use std::fmt;

use petsem_keys::{OpenError, SealError};

use super::Argon2Parameters;
use crate::private_file::PrivateFileError;

/// Why a passphrase was not taken, or did not open or seal. It never holds the passphrase.
#[derive(Debug)]
#[non_exhaustive]
pub enum PassphraseError {
    /// Empty, longer than 1024 bytes, with white space at an end or with a control character.
    NotTypeable,
    /// Its file was not read.
    File(PrivateFileError),
    /// Sealing: there are too few characters to withstand guessing.
    TooShort {
        /// Characters that were given.
        characters: usize,
        /// Characters that are wanted at least.
        minimum: usize,
    },
    /// The passphrase is another one, or the wrap was changed or belongs elsewhere.
    DoesNotOpen {
        /// What the opening said.
        source: OpenError,
    },
    /// Parameters outside the bounds.
    Parameters {
        /// The parameters that were given, or that the wrap names.
        parameters: Argon2Parameters,
    },
    /// There is not enough memory for the derivation.
    Memory {
        /// Memory that is needed, in KiB.
        kib: u32,
    },
    /// Argon2 refused its inputs.
    Derivation {
        /// What it said.
        source: argon2::Error,
    },
}

impl fmt::Display for PassphraseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTypeable => f.write_str(
                "this is no passphrase: it is empty, longer than 1024 bytes, begins or ends with white \
                 space, or holds a control character such as a newline; give it as one line of text",
            ),
            Self::File(source) => source.fmt(f),
            Self::TooShort { characters, minimum } => write!(
                f,
                "the passphrase has {characters} characters, a store is sealed with {minimum} at least; \
                 take six or more random words"
            ),
            Self::DoesNotOpen { source: _ } => f.write_str(
                "this passphrase does not open the root key of this store; type it again, mind the \
                 keyboard layout and upper case, or use another seal of the store",
            ),
            Self::Parameters { parameters } => write!(
                f,
                "{} KiB of memory, {} passes and {} lanes are outside what petsem accepts \
                 ({} to {} KiB, {} to {} passes, {} to {} lanes); give others, or if a stored seal \
                 says so: it was changed, restore it from a backup",
                parameters.memory_kib(),
                parameters.passes(),
                parameters.lanes(),
                Argon2Parameters::LOWEST.memory_kib(),
                Argon2Parameters::HIGHEST.memory_kib(),
                Argon2Parameters::LOWEST.passes(),
                Argon2Parameters::HIGHEST.passes(),
                Argon2Parameters::LOWEST.lanes(),
                Argon2Parameters::HIGHEST.lanes(),
            ),
            Self::Memory { kib } => write!(
                f,
                "there are no {kib} KiB of memory for the passphrase's key; free some, or use another \
                 seal of the store"
            ),
            Self::Derivation { source: _ } => {
                f.write_str("Argon2 refused the passphrase's parameters; report this as a defect of petsem")
            }
        }
    }
}

impl Error for PassphraseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::DoesNotOpen { source } => Some(source),
            Self::File(source) => source.source(),
            Self::Derivation { source } => Some(source),
            Self::NotTypeable | Self::TooShort { .. } | Self::Parameters { .. } | Self::Memory { .. } => None,
        }
    }
}

impl From<PrivateFileError> for PassphraseError {
    fn from(source: PrivateFileError) -> Self {
        Self::File(source)
    }
}

impl From<PassphraseError> for SealError {
    fn from(source: PassphraseError) -> Self {
        Self::Unavailable { source: Box::new(source) }
    }
}
