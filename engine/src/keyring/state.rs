//! The current root key and keyring.
//!
//! A request takes a handle and uses it until it ends. A version that is removed in the meantime is wiped when the last
//! handle to it is dropped. No request waits for a rotation.
//!
//! The root key stays in memory while the store is unsealed: otherwise a rotation of the keyring would need the seal
//! again, and some seals need people. SECURITY.md describes the cost.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use petsem_api::{OrgId, StoreId};
use petsem_keys::{Keyring, OpenError, RootKey, WrapContext, WrappedByKeyring};

/// Most versions of a keyring that are read.
pub const MOST_KEYRING_VERSIONS: u32 = 10_000;

/// Root key and keyring of a store that is unsealed.
pub(crate) struct KeyringState(RwLock<Keys>);

#[derive(Clone)]
struct Keys {
    root: Arc<RootKey>,
    keyring: Arc<Keyring>,
}

impl KeyringState {
    /// The keys that a seal opened.
    pub(crate) fn new(root: RootKey, keyring: Keyring) -> Self {
        Self(RwLock::new(Keys { root: Arc::new(root), keyring: Arc::new(keyring) }))
    }

    /// The current keyring.
    pub(crate) fn keyring(&self) -> Arc<Keyring> {
        self.read().keyring
    }

    /// Opens a wrap with the keyring that was current before the wrap was read, else with the current one: whatever a
    /// rotation did in between, one of the two has the version.
    pub(crate) fn unwrap<K: WrappedByKeyring>(
        &self,
        before: &Keyring,
        wrapped: &[u8],
        context: &WrapContext,
    ) -> Result<K, OpenError> {
        match before.unwrap(wrapped, context) {
            Err(OpenError::UnknownKeyVersion { .. }) => self.keyring().unwrap(wrapped, context),
            opened => opened,
        }
    }

    /// The current root key.
    pub(crate) fn root(&self) -> Arc<RootKey> {
        self.read().root
    }

    /// Replaces the keyring for all handles taken from now on.
    pub(crate) fn change_keyring<E>(
        &self,
        change: impl FnOnce(&mut Keyring) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut keyring = keys.keyring.share();
        change(&mut keyring)?;
        keys.keyring = Arc::new(keyring);
        Ok(())
    }

    fn read(&self) -> Keys {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for KeyringState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyringState(..)")
    }
}

/// The wrap context of a key that an org or the platform owns.
pub(crate) fn owned(store: StoreId, id: [u8; 16], org: Option<OrgId>) -> WrapContext {
    let context = WrapContext::new(*store.as_bytes(), id);
    match org {
        None => context,
        Some(org) => context.owned_by(*org.as_bytes()),
    }
}

/// The wrap context of the row-MAC key.
pub(crate) fn row_mac_context(store: StoreId) -> WrapContext {
    WrapContext::new(*store.as_bytes(), *store.as_bytes())
}

/// The wrap context of a row-MAC key that is being replaced. A store whose row names it in the place of the current one
/// does not open.
pub(crate) fn old_row_mac_context(store: StoreId) -> WrapContext {
    WrapContext { version: 1, ..row_mac_context(store) }
}
