//! The passphrase seal: a key that Argon2id derives from a person's passphrase.
//!
//! A wrap is `0x01 | salt 16 | memory KiB u32 | passes u32 | lanes u32 | wrap of the root key`, numbers
//! big-endian. The key is Argon2id v1.3 (RFC 9106) with 32 bytes of output and the associated data `store id
//! | seal id`; it wraps the root key like every [`SealKey`], with store, seal and root version as AAD. RFC
//! 9106 §3.2 hashes all parameters, salt and associated data into the first block: changing one of them in
//! the database gives another key, which opens nothing. They are checked against bounds before they cost
//! memory or time, so a changed wrap neither weakens nor stalls a start.
//!
//! Each wrap has a new salt and the seal's parameters, not those of the previous wrap: sealing again raises
//! them ([`Passphrase::is_stronger_than`] says whether it would).

mod error;
mod parameters;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

use argon2::{Algorithm, Argon2, Block, ParamsBuilder, Version};
use petsem_keys::{OpenError, Seal, SealContext, SealError, SealKey};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::private_file;

pub use error::PassphraseError;
pub use parameters::Argon2Parameters;

/// The kind of this seal in a store's list of seals.
pub const PASSPHRASE_KIND: &str = "passphrase";

/// The fewest characters of a passphrase for a new wrap.
const SHORTEST: usize = 12;

/// The most bytes of a passphrase.
const LONGEST: usize = 1024;

const FORMAT: u8 = 0x01;
const SALT_LENGTH: usize = 16;
const HEADER_LENGTH: usize = 1 + SALT_LENGTH + Argon2Parameters::LENGTH;

/// A seal whose key is derived from a passphrase.
pub struct Passphrase {
    text: Zeroizing<String>,
    parameters: Argon2Parameters,
}

impl Passphrase {
    /// The seal of this passphrase, with [`Argon2Parameters::RECOMMENDED`] for new wraps. The text is used
    /// byte for byte in UTF-8, so it must be typed identically each time.
    ///
    /// # Errors
    /// [`PassphraseError::NotTypeable`] if it is empty, longer than 1024 bytes, begins or ends with white
    /// space or has a control character: a person could not tell it from the intended one.
    pub fn new(text: Zeroizing<String>) -> Result<Self, PassphraseError> {
        let spaced = text.trim().len() != text.len();
        if text.is_empty() || text.len() > LONGEST || spaced || text.contains(char::is_control) {
            return Err(PassphraseError::NotTypeable);
        }
        Ok(Self { text, parameters: Argon2Parameters::RECOMMENDED })
    }

    /// The seal of the passphrase in a file that only its owner can read, as [`Passphrase::from_text`] takes it.
    ///
    /// # Errors
    /// [`PassphraseError::File`] if it cannot be read, is open to others, or is not a file; as
    /// [`Passphrase::new`] for its content.
    pub fn from_file(path: &Path) -> Result<Self, PassphraseError> {
        // One byte more than a passphrase and what is ignored: longer content is refused, not cut.
        let mut content = Zeroizing::new([0; private_file::MARK_AND_NEWLINE + LONGEST + 1]);
        Self::from_text(private_file::read(path, content.as_mut())?)
    }

    /// The seal of a passphrase that comes from a file or a pipe. A byte order mark and one newline are ignored: who types
    /// the passphrase types neither.
    ///
    /// # Errors
    /// As [`Passphrase::new`].
    pub fn from_text(content: &[u8]) -> Result<Self, PassphraseError> {
        let text = std::str::from_utf8(private_file::without_mark_and_newline(content));
        Self::new(Zeroizing::new(text.map_err(|_| PassphraseError::NotTypeable)?.to_owned()))
    }

    /// The passphrase itself, for the process that opens the store with it.
    pub fn expose_text(&self) -> Zeroizing<String> {
        self.text.clone()
    }

    /// The same passphrase, with these parameters for new wraps.
    #[must_use]
    pub fn with_parameters(self, parameters: Argon2Parameters) -> Self {
        Self { parameters, ..self }
    }

    /// Whether a wrap made now would cost an attacker more memory or more passes than this one does.
    /// `false` for bytes that are not a wrap of a passphrase.
    pub fn is_stronger_than(&self, wrapped: &[u8]) -> bool {
        Header::split(wrapped).is_ok_and(|(header, _)| {
            header.parameters.memory_kib() < self.parameters.memory_kib()
                || header.parameters.passes() < self.parameters.passes()
        })
    }

    /// A copy of the passphrase, wiped like the original.
    pub(crate) fn duplicate(&self) -> Self {
        Self { text: self.text.clone(), parameters: self.parameters }
    }

    /// Argon2id of the passphrase.
    fn derive(
        &self,
        salt: &[u8; SALT_LENGTH],
        parameters: Argon2Parameters,
        context: &SealContext,
    ) -> Result<SealKey, PassphraseError> {
        let owner: [u8; 32] = {
            let mut joined = [0; 32];
            let (store, seal) = joined.split_at_mut(16);
            store.copy_from_slice(&context.key.store);
            seal.copy_from_slice(&context.seal);
            joined
        };
        let failed = |source| PassphraseError::Derivation { source };
        let params = ParamsBuilder::new()
            .m_cost(parameters.memory_kib())
            .t_cost(parameters.passes())
            .p_cost(parameters.lanes())
            .output_len(32)
            .data(argon2::AssociatedData::new(&owner).map_err(failed)?)
            .build()
            .map_err(failed)?;
        let mut memory = wiped_memory(params.block_count(), parameters)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        SealKey::filled_by(|key| {
            argon2
                .hash_password_into_with_memory(self.text.as_bytes(), salt, key, memory.as_mut_slice())
                .map_err(failed)
        })
    }
}

impl Seal for Passphrase {
    fn kind(&self) -> &'static str {
        PASSPHRASE_KIND
    }

    fn describe(&self) -> String {
        "passphrase".to_owned()
    }

    fn new_key(
        &self,
        rng: &mut dyn CryptoRng,
        context: &SealContext,
    ) -> Result<(Vec<u8>, SealKey), SealError> {
        let characters = self.text.chars().count();
        if characters < SHORTEST {
            return Err(PassphraseError::TooShort { characters, minimum: SHORTEST }.into());
        }
        let mut salt = [0; SALT_LENGTH];
        rng.fill_bytes(&mut salt);
        let key = self.derive(&salt, self.parameters, context)?;
        Ok((Header { salt: &salt, parameters: self.parameters }.to_vec(), key))
    }

    fn find_key<'w>(
        &self,
        wrapped: &'w [u8],
        context: &SealContext,
    ) -> Result<(SealKey, &'w [u8]), SealError> {
        let (header, wrapped_key) = Header::split(wrapped)
            .map_err(|source| SealError::NotItsWrap { seal: self.describe(), source })?;
        header.parameters.check()?;
        Ok((self.derive(header.salt, header.parameters, context)?, wrapped_key))
    }

    fn refusal(&self, source: OpenError) -> SealError {
        match source {
            OpenError::NotAuthentic => PassphraseError::DoesNotOpen { source }.into(),
            source => SealError::NotItsWrap { seal: self.describe(), source },
        }
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passphrase").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

/// The header of a wrap, not yet trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header<'a> {
    salt: &'a [u8; SALT_LENGTH],
    parameters: Argon2Parameters,
}

impl<'a> Header<'a> {
    /// Splits a wrap into its header and the wrapped key.
    fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), OpenError> {
        let too_short = OpenError::TooShort { length: bytes.len(), minimum: HEADER_LENGTH };
        let rest = match bytes.split_first() {
            None => return Err(too_short),
            Some((&FORMAT, rest)) => rest,
            Some((&format, _)) => return Err(OpenError::UnknownFormat { format }),
        };
        let (salt, rest) = rest.split_first_chunk().ok_or(too_short)?;
        let (parameters, wrapped_key) = rest.split_first_chunk().ok_or(too_short)?;
        let parameters = Argon2Parameters::danger_from_unchecked_bytes(parameters);
        Ok((Self { salt, parameters }, wrapped_key))
    }

    fn to_vec(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LENGTH);
        bytes.push(FORMAT);
        bytes.extend_from_slice(self.salt);
        bytes.extend_from_slice(&self.parameters.to_bytes());
        bytes
    }
}

/// Memory for Argon2, wiped on drop; too little memory is an error, not an abort.
fn wiped_memory(
    blocks: usize,
    parameters: Argon2Parameters,
) -> Result<Zeroizing<Vec<Block>>, PassphraseError> {
    let mut memory = Zeroizing::new(Vec::new());
    memory.try_reserve_exact(blocks).map_err(|_| PassphraseError::Memory { kib: parameters.memory_kib() })?;
    memory.resize(blocks, Block::new());
    Ok(memory)
}
