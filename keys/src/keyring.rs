//! The root key and the keyring, under which every other key of a store is wrapped.
//!
//! The root key wraps only keyring keys. A keyring key wraps app KEKs, signing and discharger keys, MAC keys,
//! audit keys and poll entries. Each wrap names the version that made it, so a rotation re-wraps one row
//! after the other while both versions are loaded.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rand_core::CryptoRng;

use crate::context::{Label, WrapContext};
use crate::error::{EncryptError, OpenError, RewrapError};
use crate::key_bytes::KeyBytes;
use crate::role::{self, KeyRole, WrappedByKeyring, sealed::Role};
use crate::xaes;

/// The top key: wrapped by each seal, stored nowhere else.
pub struct RootKey {
    version: u32,
    bytes: KeyBytes,
}

impl RootKey {
    /// A new root key. Versions count from 1.
    pub fn generate(rng: &mut dyn CryptoRng, version: u32) -> Self {
        Self { version, bytes: KeyBytes::generate(rng) }
    }

    /// Its version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Wraps one version of the keyring for the store with this id.
    ///
    /// # Errors
    /// [`EncryptError::Cipher`] if the cipher refuses, which is not expected.
    pub fn wrap_keyring_key(
        &self,
        rng: &mut dyn CryptoRng,
        key: &KeyringKey,
        store: [u8; 16],
    ) -> Result<Vec<u8>, EncryptError> {
        role::wrap(rng, &self.bytes, self.version, key, &keyring_context(store, key.version))
    }

    /// Opens the wrap of version `version` of the keyring.
    ///
    /// # Errors
    /// [`OpenError::UnknownKeyVersion`] if it is by another root key; otherwise as every opening.
    pub fn unwrap_keyring_key(
        &self,
        wrapped: &[u8],
        store: [u8; 16],
        version: u32,
    ) -> Result<KeyringKey, OpenError> {
        let (root_version, body) = xaes::split_wrap(wrapped)?;
        if root_version != self.version {
            return Err(OpenError::UnknownKeyVersion { version: root_version });
        }
        role::unwrap(&self.bytes, self.version, body, &keyring_context(store, version))
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(..)")
    }
}

impl Role for RootKey {
    const LABEL: Label = Label::RootKey;

    fn is_named_by(&self, context: &WrapContext) -> bool {
        self.version == context.version
    }

    fn key(&self) -> &[u8] {
        self.bytes.as_array()
    }

    fn filled(
        context: &WrapContext,
        length: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<(), OpenError>,
    ) -> Result<Self, OpenError> {
        Ok(Self { version: context.version, bytes: role::filled_key_bytes(length, fill)? })
    }
}

impl KeyRole for RootKey {}

/// One version of the keyring.
pub struct KeyringKey {
    version: u32,
    bytes: KeyBytes,
}

impl KeyringKey {
    /// A new keyring key. Versions count from 1.
    pub fn generate(rng: &mut dyn CryptoRng, version: u32) -> Self {
        Self { version, bytes: KeyBytes::generate(rng) }
    }

    /// Its version.
    pub fn version(&self) -> u32 {
        self.version
    }
}

impl fmt::Debug for KeyringKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyringKey(..)")
    }
}

impl Role for KeyringKey {
    const LABEL: Label = Label::KeyringKey;

    fn is_named_by(&self, context: &WrapContext) -> bool {
        self.version == context.version
    }

    fn key(&self) -> &[u8] {
        self.bytes.as_array()
    }

    fn filled(
        context: &WrapContext,
        length: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<(), OpenError>,
    ) -> Result<Self, OpenError> {
        Ok(Self { version: context.version, bytes: role::filled_key_bytes(length, fill)? })
    }
}

impl KeyRole for KeyringKey {}

/// The keyring: its versions, one of them current. The current one makes new wraps; existing wraps open with
/// the version in their header.
pub struct Keyring {
    current: Arc<KeyringKey>,
    others: BTreeMap<u32, Arc<KeyringKey>>,
}

impl Keyring {
    /// A keyring of these keys, in which version `current` makes new wraps.
    ///
    /// # Errors
    /// [`KeyringError::VersionTwice`] if two keys have one version;
    /// [`KeyringError::NoSuchVersion`] if the current one is missing.
    pub fn new(keys: impl IntoIterator<Item = KeyringKey>, current: u32) -> Result<Self, KeyringError> {
        let mut others = BTreeMap::new();
        for key in keys {
            let version = key.version;
            if others.insert(version, Arc::new(key)).is_some() {
                return Err(KeyringError::VersionTwice { version });
            }
        }
        let current = others.remove(&current).ok_or(KeyringError::NoSuchVersion { version: current })?;
        Ok(Self { current, others })
    }

    /// A keyring of the same keys, which can be changed while this one is in use. No key is copied: each is
    /// wiped when the last keyring with it is dropped.
    #[must_use]
    pub fn share(&self) -> Self {
        Self { current: Arc::clone(&self.current), others: self.others.clone() }
    }

    /// The version that makes new wraps.
    pub fn current_version(&self) -> u32 {
        self.current.version
    }

    /// All versions, lowest first.
    pub fn versions(&self) -> Vec<u32> {
        let mut versions: Vec<u32> = self.others.keys().copied().collect();
        versions.push(self.current.version);
        versions.sort_unstable();
        versions
    }

    /// The keyring key of this version, for the root key to wrap.
    pub fn key(&self, version: u32) -> Option<&KeyringKey> {
        if version == self.current.version {
            Some(&self.current)
        } else {
            self.others.get(&version).map(|key| &**key)
        }
    }

    /// Adds a version; the current one does not change.
    ///
    /// # Errors
    /// [`KeyringError::VersionTwice`] if the version already exists.
    pub fn add(&mut self, key: KeyringKey) -> Result<(), KeyringError> {
        let version = key.version;
        if self.key(version).is_some() {
            return Err(KeyringError::VersionTwice { version });
        }
        self.others.insert(version, Arc::new(key));
        Ok(())
    }

    /// Makes this version the current one.
    ///
    /// # Errors
    /// [`KeyringError::NoSuchVersion`] if it does not exist.
    pub fn make_current(&mut self, version: u32) -> Result<(), KeyringError> {
        if version == self.current.version {
            return Ok(());
        }
        let next = self.others.remove(&version).ok_or(KeyringError::NoSuchVersion { version })?;
        let before = std::mem::replace(&mut self.current, next);
        self.others.insert(before.version, before);
        Ok(())
    }

    /// Removes a version that no longer wraps anything.
    ///
    /// # Errors
    /// [`KeyringError::IsCurrent`] for the current one; [`KeyringError::NoSuchVersion`].
    pub fn remove(&mut self, version: u32) -> Result<(), KeyringError> {
        if version == self.current.version {
            return Err(KeyringError::IsCurrent { version });
        }
        self.others.remove(&version).map(drop).ok_or(KeyringError::NoSuchVersion { version })
    }

    /// Wraps a key under the current version:
    /// `0x01 | version u32 | nonce 24 | ciphertext | tag 16`, XAES-256-GCM.
    ///
    /// # Errors
    /// [`EncryptError::OtherKey`] if the context names another app or version than a KEK has.
    pub fn wrap<K: WrappedByKeyring>(
        &self,
        rng: &mut dyn CryptoRng,
        key: &K,
        context: &WrapContext,
    ) -> Result<Vec<u8>, EncryptError> {
        role::wrap(rng, &self.current.bytes, self.current.version, key, context)
    }

    /// Opens a wrap as the key of role `K` that `context` names, with the version in its header.
    ///
    /// # Errors
    /// [`OpenError`]: the format, the version or the bytes do not fit the context.
    pub fn unwrap<K: WrappedByKeyring>(&self, wrapped: &[u8], context: &WrapContext) -> Result<K, OpenError> {
        let (version, body) = xaes::split_wrap(wrapped)?;
        let key = self.key(version).ok_or(OpenError::UnknownKeyVersion { version })?;
        role::unwrap(&key.bytes, key.version, body, context)
    }

    /// The version in the header of a wrap; only [`Keyring::unwrap`] verifies it.
    ///
    /// # Errors
    /// [`OpenError`] if it is not a wrap.
    pub fn version_of(wrapped: &[u8]) -> Result<u32, OpenError> {
        xaes::split_wrap(wrapped).map(|(version, _)| version)
    }

    /// The same key under the current version.
    ///
    /// # Errors
    /// [`RewrapError`] says which half failed.
    pub fn rewrap<K: WrappedByKeyring>(
        &self,
        rng: &mut dyn CryptoRng,
        wrapped: &[u8],
        context: &WrapContext,
    ) -> Result<Vec<u8>, RewrapError> {
        let key: K = self.unwrap(wrapped, context)?;
        Ok(self.wrap(rng, &key, context)?)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring(.., current version {})", self.current.version)
    }
}

/// Why the versions of a keyring are invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// Two keys have one version.
    #[error("the keyring has two keys of version {version}; give the new one the next number")]
    VersionTwice {
        /// The version.
        version: u32,
    },
    /// No key has this version.
    #[error("the keyring has no key of version {version}; load all versions of the store")]
    NoSuchVersion {
        /// The version.
        version: u32,
    },
    /// The current version cannot be removed.
    #[error("keyring version {version} makes new wraps; make another one current first")]
    IsCurrent {
        /// The version.
        version: u32,
    },
}

fn keyring_context(store: [u8; 16], version: u32) -> WrapContext {
    WrapContext { store, id: [0; 16], owner: None, version }
}
