//! The seal: a way to wrap a key that is stored nowhere else, such as the root key of a store or the cache
//! key of a host.
//!
//! `petsem-seals` implements what holds a seal's own key (a file, a person, a KMS, a token). The cryptography
//! of the wrap is here and the same for every seal: `header of the seal | wrap of the key under a SealKey`. A
//! seal only provides that [`SealKey`], so it can wrap a key of any role and never sees one.

use std::error::Error;
use std::fmt;

use rand_core::CryptoRng;

use crate::context::{Context, WrapContext};
use crate::error::{EncryptError, OpenError};
use crate::key_bytes::KeyBytes;
use crate::role::KeyRole;
use crate::{role, xaes};

/// The context that a seal's wrap is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealContext {
    /// Id of the seal within the store's list of seals.
    pub seal: [u8; 16],
    /// The wrapped key. The root key has the id of the seal: a store has one root key, and a wrap of it for each seal.
    pub key: WrapContext,
}

impl SealContext {
    /// The context of version `version` of a store's root key under one of its seals.
    pub const fn root_key(store: [u8; 16], seal: [u8; 16], version: u32) -> Self {
        Self { seal, key: WrapContext { store, id: seal, owner: None, version } }
    }

    /// The AAD under which a device (a token, a TPM) encrypts the [`SealKey`] of a wrap: store, seal and the version
    /// of the wrapped key.
    pub fn seal_key_aad(&self) -> Vec<u8> {
        Context::SealKey(self).to_vec()
    }
}

/// A seal, as its kind implements it. Its users call [`SealExt::wrap`] and [`SealExt::unwrap`].
pub trait Seal: Send + Sync {
    /// The kind of seal, as in the store's list of seals, e.g. `key-file`.
    fn kind(&self) -> &'static str;

    /// The seal's name for people: a path, a key's name. Nothing secret.
    fn describe(&self) -> String;

    /// The key for one new wrap, with the header from which [`Seal::find_key`] finds it. The header may be
    /// empty.
    ///
    /// # Errors
    /// [`SealError`]: the seal is unavailable, or it refused.
    fn new_key(
        &self,
        rng: &mut dyn CryptoRng,
        context: &SealContext,
    ) -> Result<(Vec<u8>, SealKey), SealError>;

    /// The key that made this wrap, and the part of the wrap after the header.
    ///
    /// # Errors
    /// [`SealError`]: the seal is unavailable, or the header is not its own for this context.
    fn find_key<'w>(
        &self,
        wrapped: &'w [u8],
        context: &SealContext,
    ) -> Result<(SealKey, &'w [u8]), SealError>;

    /// The error if the key of the seal does not open the wrap.
    fn refusal(&self, source: OpenError) -> SealError {
        SealError::NotItsWrap { seal: self.describe(), source }
    }
}

/// The operations of every [`Seal`] on a key of any role.
pub trait SealExt: Seal {
    /// Wraps a key.
    ///
    /// # Errors
    /// [`SealError::Wrap`] with [`EncryptError::OtherKey`] if the context names another key, before the seal
    /// is called; [`SealError`] of the seal.
    fn wrap<K: KeyRole>(
        &self,
        rng: &mut dyn CryptoRng,
        key: &K,
        context: &SealContext,
    ) -> Result<Vec<u8>, SealError> {
        let failed = |source| SealError::Wrap { seal: self.describe(), source };
        if !key.is_named_by(&context.key) {
            return Err(failed(EncryptError::OtherKey));
        }
        let (mut wrapped, seal_key) = self.new_key(rng, context)?;
        wrapped.extend(seal_key.wrap(rng, key, context).map_err(failed)?);
        Ok(wrapped)
    }

    /// Opens a wrap as the key of role `K` that the context names.
    ///
    /// # Errors
    /// [`SealError`]: the seal is unavailable, or this is not its wrap for this role and context.
    fn unwrap<K: KeyRole>(&self, wrapped: &[u8], context: &SealContext) -> Result<K, SealError> {
        let (seal_key, wrapped) = self.find_key(wrapped, context)?;
        seal_key.unwrap(wrapped, context).map_err(|source| self.refusal(source))
    }
}

impl<S: Seal + ?Sized> SealExt for S {}

/// Why a seal did not wrap or unwrap a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The seal itself cannot be used; the source says why and what to do.
    #[error(transparent)]
    Unavailable {
        /// The error of this kind of seal.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The seal works, but the wrap is of another seal or another store, or damaged.
    #[error(
        "{seal} does not open the root key of this store; \
         give the seal that this store was made with, or restore the store that belongs to it"
    )]
    NotItsWrap {
        /// The seal, as in [`Seal::describe`].
        seal: String,
        /// The error of opening.
        source: OpenError,
    },
    /// The key could not be wrapped.
    #[error("{seal} could not wrap the root key; the store was left as it was")]
    Wrap {
        /// The seal, as in [`Seal::describe`].
        seal: String,
        /// The error of wrapping.
        source: EncryptError,
    },
}

/// The key under which a seal wraps: kept by the seal itself (in a file), or created for one wrap and
/// encrypted by a device.
pub struct SealKey(KeyBytes);

impl SealKey {
    /// A new key, 32 bytes from `rng`.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self(KeyBytes::generate(rng))
    }

    /// A key from the seal's own storage: `fill` writes it in place.
    ///
    /// # Errors
    /// The error of `fill`.
    pub fn filled_by<E>(fill: impl FnOnce(&mut [u8; 32]) -> Result<(), E>) -> Result<Self, E> {
        let mut bytes = KeyBytes::zeroed();
        fill(bytes.as_mut())?;
        Ok(Self(bytes))
    }

    /// The key itself, for the seal to store.
    pub fn expose_seal_key(&self) -> &[u8; 32] {
        self.0.as_array()
    }

    /// Wraps a key of any role in the format of every wrap. A seal key has no versions; the header says 0.
    ///
    /// # Errors
    /// [`EncryptError::OtherKey`] if the context names another key.
    pub fn wrap<K: KeyRole>(
        &self,
        rng: &mut dyn CryptoRng,
        key: &K,
        context: &SealContext,
    ) -> Result<Vec<u8>, EncryptError> {
        role::wrap(rng, &self.0, UNVERSIONED, key, &context.key)
    }

    /// Opens a wrap as the key of role `K` that the context names.
    ///
    /// # Errors
    /// [`OpenError`]: changed, cut, or by another seal, for another role, store, key or version.
    pub fn unwrap<K: KeyRole>(&self, wrapped: &[u8], context: &SealContext) -> Result<K, OpenError> {
        let (version, body) = xaes::split_wrap(wrapped)?;
        if version != UNVERSIONED {
            return Err(OpenError::UnknownKeyVersion { version });
        }
        role::unwrap(&self.0, UNVERSIONED, body, &context.key)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}

const UNVERSIONED: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_aad_of_a_seal_key_holds_store_seal_and_root_version() {
        let aad = SealContext::root_key([1; 16], [2; 16], 3).seal_key_aad();
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
