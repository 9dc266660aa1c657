//! The seal: what stands between a stored root key and its use.
//!
//! Each seal of a store wraps the same root key. What a seal is made of (a file, a KMS, a token) is
//! the business of `petsem-seals`; the cryptography of those that hold a key themselves is here.

use std::error::Error;
use std::fmt;

use rand_core::CryptoRng;

use crate::context::{Context, WrapContext};
use crate::error::{EncryptError, OpenError};
use crate::key_bytes::KeyBytes;
use crate::keyring::RootKey;
use crate::{role, xaes};

/// What a wrap of the root key is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealContext {
    /// Id of the store.
    pub store: [u8; 16],
    /// Id of the seal within the store's list of seals.
    pub seal: [u8; 16],
    /// Version of the root key.
    pub root_version: u32,
}

impl SealContext {
    /// The AAD under which a device (a token, a KMS) that has ciphers of its own keeps the key of a seal.
    pub fn seal_key_aad(&self) -> Vec<u8> {
        Context::SealKey(self).to_vec()
    }
}

/// A way to wrap the root key and to get it back.
pub trait Seal: Send + Sync {
    /// The kind of seal as it stands in the store's list of seals, e.g. `key-file`.
    fn kind(&self) -> &'static str;

    /// Which one it is, for people: a path, a key's name. Nothing secret.
    fn describe(&self) -> String;

    /// Wraps the root key.
    ///
    /// # Errors
    /// [`SealError`]: the seal cannot be reached, or refused.
    fn wrap(
        &self,
        rng: &mut dyn CryptoRng,
        root: &RootKey,
        context: &SealContext,
    ) -> Result<Vec<u8>, SealError>;

    /// Gets the root key back.
    ///
    /// # Errors
    /// [`SealError`]: the seal cannot be reached, or this is not its wrap for this context.
    fn unwrap(&self, wrapped: &[u8], context: &SealContext) -> Result<RootKey, SealError>;
}

/// Why a seal did not wrap or unwrap the root key.
#[derive(Debug)]
#[non_exhaustive]
pub enum SealError {
    /// The seal itself cannot be used; the source says what it is and what to do.
    Unavailable {
        /// The error of this kind of seal.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The seal works, but the wrap is not its own, for another store, or damaged.
    NotItsWrap {
        /// Which seal, as [`Seal::describe`] says.
        seal: String,
        /// What the opening said.
        source: OpenError,
    },
    /// The root key could not be wrapped.
    Wrap {
        /// Which seal, as [`Seal::describe`] says.
        seal: String,
        /// What the wrapping said.
        source: EncryptError,
    },
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Transparent: the kind of seal knows the fact and the remedy.
            Self::Unavailable { source } => source.fmt(f),
            Self::NotItsWrap { seal, source: _ } => write!(
                f,
                "{seal} does not open the root key of this store; \
                 give the seal that this store was made with, or restore the store that belongs to it"
            ),
            Self::Wrap { seal, source: _ } => {
                write!(f, "{seal} could not wrap the root key; the store was left as it was")
            }
        }
    }
}

impl Error for SealError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable { source } => source.source(),
            Self::NotItsWrap { source, .. } => Some(source),
            Self::Wrap { source, .. } => Some(source),
        }
    }
}

/// A key that a seal holds itself, e.g. in a file.
pub struct SealKey(KeyBytes);

impl SealKey {
    /// A new key, 32 bytes from `rng`.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self(KeyBytes::generate(rng))
    }

    /// A key from where the seal keeps it: `fill` writes it in place.
    ///
    /// # Errors
    /// The error of `fill`.
    pub fn filled_by<E>(fill: impl FnOnce(&mut [u8; 32]) -> Result<(), E>) -> Result<Self, E> {
        let mut bytes = KeyBytes::zeroed();
        fill(bytes.as_mut())?;
        Ok(Self(bytes))
    }

    /// The key itself, for the seal to keep.
    pub fn expose_seal_key(&self) -> &[u8; 32] {
        self.0.as_array()
    }

    /// Wraps the root key in the format of every wrap; a seal key has no versions, its header says 0.
    ///
    /// # Errors
    /// [`EncryptError::OtherKey`] if the context names another version than the root key has.
    pub fn wrap_root_key(
        &self,
        rng: &mut dyn CryptoRng,
        root: &RootKey,
        context: &SealContext,
    ) -> Result<Vec<u8>, EncryptError> {
        role::wrap(rng, &self.0, UNVERSIONED, root, &context.into())
    }

    /// Opens the wrap of the root key that the context names.
    ///
    /// # Errors
    /// [`OpenError`]: changed, cut, or made by another seal, for another store or version.
    pub fn unwrap_root_key(&self, wrapped: &[u8], context: &SealContext) -> Result<RootKey, OpenError> {
        let (version, body) = xaes::split_wrap(wrapped)?;
        if version != UNVERSIONED {
            return Err(OpenError::UnknownKeyVersion { version });
        }
        role::unwrap(&self.0, UNVERSIONED, body, &context.into())
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}

const UNVERSIONED: u32 = 0;

impl From<&SealContext> for WrapContext {
    fn from(context: &SealContext) -> Self {
        Self { store: context.store, id: context.seal, owner: None, version: context.root_version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_aad_of_a_seal_key_holds_store_seal_and_root_version() {
        let aad = SealContext { store: [1; 16], seal: [2; 16], root_version: 3 }.seal_key_aad();
        let expected: [&[u8]; 7] = [
            &[0x0d],
            &[0, 0, 0, 16],
            &[1; 16],
            &[0, 0, 0, 16],
            &[2; 16],
            &[0, 0, 0, 8],
            &[0, 0, 0, 0, 0, 0, 0, 3],
        ];
        assert_eq!(aad, expected.concat());
    }
}
