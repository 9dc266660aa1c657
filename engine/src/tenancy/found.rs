//! An app as one request found it, its head's MAC checked.

use std::sync::Arc;

use petsem_api::AppId;
use petsem_keys::Keyring;
use petsem_store::BundleRow;

use crate::records::AppHead;

/// An app as of one moment: its head's MAC was checked.
pub(crate) struct OpenApp {
    pub(crate) id: AppId,
    /// Row version of the head.
    pub(crate) head_version: u64,
    pub(crate) head: AppHead,
    bundle: Option<BundleRow>,
    /// As it was before the rows were read: a version that is destroyed meanwhile still opens them.
    keyring: Arc<Keyring>,
}

impl OpenApp {
    /// The sealed bundle; [`Engine::open_bundle`] checks it.
    pub(crate) fn bundle_row(&self) -> Option<&BundleRow> {
        self.bundle.as_ref()
    }

    /// Whether the head names a KEK of this version.
    pub(crate) fn has_kek(&self, version: u32) -> bool {
        self.head.keks.iter().any(|kek| kek.version == version)
    }
}

impl std::fmt::Debug for OpenApp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenApp({})", self.id)
    }
}

