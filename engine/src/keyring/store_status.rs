//! The status of the store's keys and seals.

use petsem_api::StoreId;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::error::Failure;
use crate::keyring::seal_list::{SealInfo, info};
use crate::keyring::unlock::{SealWrap, SealedRows, UnlockError};
use crate::records::{SealRow, StoreRow, danger_read_unverified};

/// The status of the store's keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// The installation.
    pub store: StoreId,
    /// Increases with every restore.
    pub epoch: u64,
    /// Version of the root key.
    pub root_version: u32,
    /// Version of the keyring that wraps new keys.
    pub keyring_version: u32,
    /// All versions of the keyring.
    pub keyring_versions: usize,
    /// Its seals.
    pub seals: Vec<SealInfo>,
    /// Whether the MACs of these rows were verified, which needs a seal.
    pub checked: bool,
}

impl StoreStatus {
    /// The status according to these rows; `checked` states whether their MACs were verified.
    ///
    /// # Errors
    /// A row is missing or cannot be parsed.
    pub fn of_rows(rows: &SealedRows, checked: bool) -> Result<Self, UnlockError> {
        let record = rows.store.as_ref().ok_or(UnlockError::NoStoreRow)?;
        let row: StoreRow = danger_read_unverified(record).map_err(Failure::from)?;
        let mut seals = Vec::new();
        for record in &rows.seals {
            let seal: SealRow = danger_read_unverified(record).map_err(Failure::from)?;
            seals.push(info(&record.id, &seal));
        }
        Ok(Self {
            store: row.store,
            epoch: row.epoch,
            root_version: row.root_version,
            keyring_version: row.keyring_version,
            keyring_versions: rows.keyring.len(),
            seals,
            checked,
        })
    }
}

impl SealedRows {
    /// The wraps of the seals; their MACs are not verified.
    ///
    /// # Errors
    /// A row cannot be parsed.
    pub fn wraps(&self) -> Result<Vec<SealWrap>, UnlockError> {
        let wrap = |record| {
            let row: SealRow = danger_read_unverified(record).map_err(Failure::from)?;
            Ok(SealWrap { kind: row.kind, wrapped: row.wrapped_root })
        };
        self.seals.iter().map(wrap).collect()
    }
}

impl Engine {
    /// The store's keys and seals; every MAC is verified.
    ///
    /// # Errors
    /// The store cannot be read, or a row differs from what was written.
    pub async fn store_status(&self) -> Result<StoreStatus, Failure> {
        let rows = SealedRows::read(&*self.store).await?;
        if let Some(record) = &rows.store {
            self.codec.read::<StoreRow>(&[], record)?;
        }
        for record in &rows.seals {
            self.codec.read::<SealRow>(&record.id, record)?;
        }
        StoreStatus::of_rows(&rows, true).map_err(Failure::internal)
    }
}
