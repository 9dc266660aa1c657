//! An app as one request found it; the MAC of its head is verified.

use std::sync::Arc;

use petsem_api::AppId;
use petsem_keys::Keyring;
use petsem_store::{BundleRow, PartRows, Record};

use crate::error::Failure;
use crate::messages;
use crate::records::AppHead;

/// An app at one point in time; the MAC of its head is verified.
pub(crate) struct FoundApp {
    pub(crate) id: AppId,
    /// Row version of the head.
    pub(crate) head_version: u64,
    pub(crate) head: Arc<AppHead>,
    /// Its other rows that were read; verified when they are used.
    pub(crate) part: PartRows,
    /// Taken before the rows were read, so it has every version that wraps them, even one that was destroyed since.
    pub(crate) keyring: Arc<Keyring>,
}

impl FoundApp {
    /// The row of its policy.
    pub(crate) fn policy_row(&self) -> Result<Option<&Record>, Failure> {
        match &self.part {
            PartRows::Secrets { policy, .. } | PartRows::Policy(policy) => Ok(policy.as_ref()),
            _ => Err(Failure::internal("the policy of an app was not read")),
        }
    }

    /// The row of its bundle.
    pub(crate) fn bundle_row(&self) -> Result<Option<&BundleRow>, Failure> {
        match &self.part {
            PartRows::Secrets { bundle, .. } | PartRows::Bundle(bundle) => Ok(bundle.as_ref()),
            _ => Err(Failure::internal("the bundle of an app was not read")),
        }
    }

    /// The row of its secret keys.
    pub(crate) fn secret_keys_row(&self) -> Result<Option<&Record>, Failure> {
        match &self.part {
            PartRows::SecretKeys(row) => Ok(row.as_ref()),
            _ => Err(Failure::internal("the secret keys of an app were not read")),
        }
    }

    /// Whether the head names a KEK of this version.
    pub(crate) fn has_kek(&self, version: u32) -> bool {
        self.head.keks.iter().any(|kek| kek.version == version)
    }

    /// How integrity faults name a value or a secret key of the app.
    pub(crate) fn row_name(&self, name: &str) -> Vec<u8> {
        [self.id.as_bytes().as_slice(), name.as_bytes()].concat()
    }
}

impl std::fmt::Debug for FoundApp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FoundApp({})", self.id)
    }
}

/// Checks that the app has reached the lowest version that the request accepts.
pub(crate) fn check_reached(app: &FoundApp, min_version: Option<u64>) -> Result<(), Failure> {
    match min_version {
        Some(wanted) if wanted > app.head.app_version => {
            Err(messages::app_version_not_reached(app.head.app_version, wanted))
        }
        _ => Ok(()),
    }
}
