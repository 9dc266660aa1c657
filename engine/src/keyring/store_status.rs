//! What the store says of its keys and seals.

use petsem_api::StoreId;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::error::Failure;
use crate::keyring::seal_list::{SealInfo, info};
use crate::keyring::unlock::{SealWrap, SealedRows, UnlockError};
use crate::records::{SealRow, StoreRow, danger_read_unverified};

/// What the store says of its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// The installation.
    pub store: StoreId,
    /// It goes up with every restore.
    pub epoch: u64,
    /// Version of the root key.
    pub root_version: u32,
    /// Version of the keyring that wraps anew.
    pub keyring_version: u32,
    /// Versions of the keyring that there are.
    pub keyring_versions: usize,
    /// Its seals.
    pub seals: Vec<SealInfo>,
    /// Whether the MACs of all this were checked, which takes a seal.
    pub checked: bool,
}

impl StoreStatus {
    /// The status that these rows give; `checked` says whether their MACs were checked.
    ///
    /// # Errors
    /// A row is missing or does not read.
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
    /// The wraps of the seals, their MACs unchecked.
    ///
    /// # Errors
    /// A row does not read.
    pub fn wraps(&self) -> Result<Vec<SealWrap>, UnlockError> {
        let wrap = |record| {
            let row: SealRow = danger_read_unverified(record).map_err(Failure::from)?;
            Ok(SealWrap { kind: row.kind, wrapped: row.wrapped_root })
        };
        self.seals.iter().map(wrap).collect()
    }
}

impl Engine {
    /// The store's keys and seals, every MAC checked.
    ///
    /// # Errors
    /// The store cannot be read, or a row is not what was written.
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
