//! Unlocks a store: a seal opens the root key, which opens the keyring, which opens the row-MAC key. Only then can the
//! MACs of the rows that were used be verified.
//!
//! If there is input from people, only that is tried: a wrong passphrase is an error, even if a configured key file
//! would open the store. Without input, the configured seals are tried in order, except those that need people.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use petsem_api::StoreId;
use petsem_keys::{
    Keyring, NamedSealError, RootKey, RowMacKey, Seal, SealContext, SealError, SealExt as _, SealSource,
    SealUnavailable, scrubbed_call,
};
use petsem_store::{ReadError, Record, RecordKind, Store};

use crate::error::Failure;
use crate::keyring::state::{MOST_KEYRING_VERSIONS, old_row_mac_context, row_mac_context};
use crate::messages;
use crate::records::{
    IntegrityFault, KeyringKeyRow, RecordCodec, ReplacementRow, SealRow, StoreRow, danger_read_unverified,
    id_of,
};

/// Most seals of a store.
pub const MOST_SEALS: u32 = 64;

/// The seals to open a store with.
#[derive(Clone, Debug, Default)]
pub struct SealSources {
    /// The seals of the configuration, in its order. A start tries those that open without a person.
    pub configured: Vec<Arc<dyn SealSource>>,
    /// Input from people. If there is any, nothing else is tried.
    pub given: Vec<Arc<dyn SealSource>>,
}

/// The wrap of one seal, before its MAC can be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealWrap {
    /// The kind of seal.
    pub kind: String,
    /// The wrapped root key.
    pub wrapped: Vec<u8>,
}

/// Why a store cannot be unlocked, or its seals cannot be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnlockError {
    /// No seal opens the store.
    #[error("no seal opens the store")]
    Sealed {
        /// The error of each seal that was tried.
        tried: Vec<String>,
        /// The wraps of the store; they show which input from people can open it.
        wraps: Vec<SealWrap>,
    },
    /// A seal cannot be created or used.
    #[error("{0}")]
    Seal(SealUnavailable),
    /// The store has rows, but its own row is missing.
    #[error("integrity: the store's own row is missing")]
    NoStoreRow,
    /// Any other reason, as text for the operator.
    #[error("{0}")]
    Refused(String),
}

impl From<Failure> for UnlockError {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure.operator_text().to_owned())
    }
}

impl From<ReadError> for UnlockError {
    fn from(error: ReadError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// The keys of an opened store.
pub struct Unlocked {
    pub(crate) store_id: StoreId,
    /// The version of the store's own row, which names the seals.
    pub(crate) store_version: u64,
    /// Whether `petsem dev` created the store, whose keys are in files.
    pub development: bool,
    pub(crate) replacement: Option<ReplacementRow>,
    pub(crate) root: RootKey,
    pub(crate) keyring: Keyring,
    /// Reads and writes rows.
    pub codec: RecordCodec,
    /// The seal that opened the store.
    pub opened_by: OpenedBy,
}

/// The seal that opened the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedBy {
    pub(crate) id: [u8; 16],
    /// Its kind.
    pub kind: String,
    /// Which seal of that kind.
    pub description: String,
}

impl OpenedBy {
    pub(crate) fn new(id: [u8; 16], row: &SealRow) -> Self {
        Self { id, kind: row.kind.clone(), description: row.description.clone() }
    }
}

/// The rows that are needed to open the row-MAC key with a seal.
#[derive(Clone)]
pub struct SealedRows {
    /// The store's own row.
    pub store: Option<Record>,
    /// The seals.
    pub seals: Vec<Record>,
    /// The versions of the keyring.
    pub keyring: Vec<Record>,
}

impl SealedRows {
    /// Reads these rows.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn read(store: &dyn Store) -> Result<Self, ReadError> {
        Ok(Self {
            store: store.record(RecordKind::Store, &[]).await?,
            seals: store.records(RecordKind::Seal, &[], None, MOST_SEALS).await?,
            keyring: store.records(RecordKind::KeyringKey, &[], None, MOST_KEYRING_VERSIONS).await?,
        })
    }
}

/// Opens the root key with the first seal that can, then the keyring, then verifies every row that was used.
///
/// # Errors
/// [`UnlockError`].
pub async fn unlock(sources: &SealSources, store: &dyn Store) -> Result<Unlocked, UnlockError> {
    unlock_rows(sources, SealedRows::read(store).await?).await
}

/// [`unlock`], with rows that were already read. It runs on a blocking thread, because seals are slow (a key derivation,
/// a network).
///
/// # Errors
/// [`UnlockError`].
pub async fn unlock_rows(sources: &SealSources, rows: SealedRows) -> Result<Unlocked, UnlockError> {
    let sources = sources.clone();
    tokio::task::spawn_blocking(move || scrubbed_call(|| open_rows(&sources, &rows)))
        .await
        .map_err(|error| UnlockError::Refused(messages::seals_interrupted(&error)))?
}

/// Tests whether a start would need people: the seal of the configuration that opens the root key without one, or why
/// each does not. The rows are not verified, and the key is wiped at once.
///
/// # Errors
/// [`UnlockError`]: a row cannot be read.
pub async fn try_automatic(
    sources: &SealSources,
    rows: SealedRows,
) -> Result<Result<OpenedBy, Vec<String>>, UnlockError> {
    let configured = sources.configured.clone();
    let attempt = move || -> Result<Result<OpenedBy, Vec<String>>, UnlockError> {
        let record = rows.store.as_ref().ok_or(UnlockError::NoStoreRow)?;
        let named: StoreRow = danger_read_unverified(record).map_err(Failure::from)?;
        let seals = rows.seals.iter().map(UnverifiedSeal::of).collect::<Result<Vec<_>, _>>()?;
        let mut tried = Vec::new();
        let mut automatic = configured.iter().filter(|source| source.is_automatic());
        let opened = automatic.find_map(|source| open_by(&**source, &named, &seals, &mut tried));
        Ok(opened.map(|(_, opened_by)| opened_by).ok_or(tried))
    };
    tokio::task::spawn_blocking(move || scrubbed_call(attempt))
        .await
        .map_err(|error| UnlockError::Refused(messages::seals_interrupted(&error)))?
}

fn open_rows(sources: &SealSources, rows: &SealedRows) -> Result<Unlocked, UnlockError> {
    let SealedRows { store, seals, keyring: records } = rows;
    let store_record = store.as_ref().ok_or(UnlockError::NoStoreRow)?;
    let named: StoreRow = danger_read_unverified(store_record).map_err(Failure::from)?;
    let seal_rows = seals.iter().map(UnverifiedSeal::of).collect::<Result<Vec<_>, _>>()?;
    let (root, opened_by) = open_root(sources, &named, &seal_rows)?;
    let mut keys = Vec::with_capacity(records.len());
    for record in records {
        let row: KeyringKeyRow = danger_read_unverified(record).map_err(Failure::from)?;
        let version = id_of::<KeyringKeyRow>(record).map_err(Failure::from)?;
        let key =
            root.unwrap_keyring_key(&row.wrapped, *named.store.as_bytes(), version).map_err(|error| {
                UnlockError::Refused(messages::keyring_version_does_not_open(version, &error))
            })?;
        keys.push(key);
    }
    let keyring = Keyring::new(keys, named.keyring_version)
        .map_err(|error| UnlockError::Refused(messages::keyring_incomplete(&error)))?;
    // The keyring's other versions may be known to a seal that was removed.
    if !Keyring::version_of(&named.row_mac_key).is_ok_and(|version| version == named.keyring_version) {
        return Err(UnlockError::Refused(messages::row_mac_key_of_another_version()));
    }
    let row_mac: RowMacKey = keyring
        .unwrap(&named.row_mac_key, &row_mac_context(named.store))
        .map_err(|error| UnlockError::Refused(messages::row_mac_key_does_not_open(&error)))?;
    let codec = RecordCodec::new(row_mac, named.epoch);
    let old = named.replacement.as_ref().map(|row| &row.old_row_mac_key).filter(|old| !old.is_empty());
    let codec = match old {
        None => codec,
        Some(old) => codec.reading_old(
            keyring
                .unwrap(old, &old_row_mac_context(named.store))
                .map_err(|error| UnlockError::Refused(messages::row_mac_key_does_not_open(&error)))?,
        ),
    };
    // Now that there is a row-MAC key, every row that led to it is verified.
    let store_version = codec.read::<StoreRow>(&[], store_record).map_err(Failure::from)?.version;
    for record in records {
        codec.read::<KeyringKeyRow>(&record.id, record).map_err(Failure::from)?;
    }
    for record in seals {
        codec.read::<SealRow>(&record.id, record).map_err(Failure::from)?;
    }
    check_seal_list(&named, seals).map_err(Failure::from)?;
    let replacement = named.replacement;
    Ok(Unlocked {
        store_id: named.store,
        store_version,
        development: named.development,
        replacement,
        root,
        keyring,
        codec,
        opened_by,
    })
}

/// Checks that the seals are those that the store's own row names: none was removed, none restored.
fn check_seal_list(named: &StoreRow, seals: &[Record]) -> Result<(), IntegrityFault> {
    let there: Vec<String> = seals.iter().map(|record| HEXLOWER.encode(&record.id)).collect();
    for id in &named.seals {
        if !there.contains(id) {
            let id = HEXLOWER.decode(id.as_bytes()).unwrap_or_default();
            return Err(IntegrityFault::new(RecordKind::Seal, &id, "it is missing"));
        }
    }
    match seals.iter().find(|record| !named.seals.contains(&HEXLOWER.encode(&record.id))) {
        Some(record) => {
            Err(IntegrityFault::new(RecordKind::Seal, &record.id, "it was removed, but exists again"))
        }
        None => Ok(()),
    }
}

/// A row of the seal list before its MAC can be checked.
pub(crate) struct UnverifiedSeal {
    pub(crate) id: [u8; 16],
    pub(crate) row: SealRow,
}

impl UnverifiedSeal {
    pub(crate) fn of(record: &Record) -> Result<Self, Failure> {
        Ok(Self { id: id_of::<SealRow>(record)?, row: danger_read_unverified(record)? })
    }

    /// Opens the root key with this seal.
    pub(crate) fn open(&self, seal: &dyn Seal, named: &StoreRow) -> Result<RootKey, SealError> {
        let context = SealContext::root_key(*named.store.as_bytes(), self.id, named.root_version);
        seal.unwrap(&self.row.wrapped_root, &context)
    }

    fn opened(&self, root: RootKey) -> (RootKey, OpenedBy) {
        (root, OpenedBy::new(self.id, &self.row))
    }
}

fn open_root(
    sources: &SealSources,
    named: &StoreRow,
    seals: &[UnverifiedSeal],
) -> Result<(RootKey, OpenedBy), UnlockError> {
    let mut tried = Vec::new();
    let opened = if sources.given.is_empty() {
        let mut automatic = sources.configured.iter().filter(|source| source.is_automatic());
        automatic.find_map(|source| open_by(&**source, named, seals, &mut tried))
    } else {
        sources.given.iter().find_map(|source| open_by(&**source, named, seals, &mut tried))
    };
    match opened {
        Some((root, opened_by)) => {
            for text in &tried {
                tracing::warn!(reason = text, "a seal did not open the store");
            }
            tracing::info!(
                seal = opened_by.description,
                kind = opened_by.kind,
                id = HEXLOWER.encode(&opened_by.id),
                "opened by seal"
            );
            Ok((root, opened_by))
        }
        None => {
            let wrap = |seal: &UnverifiedSeal| SealWrap {
                kind: seal.row.kind.clone(),
                wrapped: seal.row.wrapped_root.clone(),
            };
            Err(UnlockError::Sealed { tried, wraps: seals.iter().map(wrap).collect() })
        }
    }
}

/// Tries a source on every row of its kind.
fn open_by(
    source: &dyn SealSource,
    named: &StoreRow,
    seals: &[UnverifiedSeal],
    tried: &mut Vec<String>,
) -> Option<(RootKey, OpenedBy)> {
    match source.open() {
        Ok(Some(seal)) => open_by_seal(&*seal, named, seals, tried),
        Ok(None) => open_by_wrap(source, named, seals, tried),
        Err(error) => {
            tried.push(error.to_string());
            None
        }
    }
}

/// Tries one seal on every row of its kind.
fn open_by_seal(
    seal: &dyn Seal,
    named: &StoreRow,
    seals: &[UnverifiedSeal],
    tried: &mut Vec<String>,
) -> Option<(RootKey, OpenedBy)> {
    let mut reason = messages::no_seal_of_kind(seal.kind());
    // The row with the same description comes first: that saves a second PIN attempt or call to a KMS.
    let description = seal.describe();
    let (same, others): (Vec<_>, Vec<_>) = seals
        .iter()
        .filter(|row| row.row.kind == seal.kind())
        .partition(|row| row.row.description == description);
    for row in same.into_iter().chain(others) {
        match row.open(seal, named) {
            Ok(root) => return Some(row.opened(root)),
            Err(error) => reason = NamedSealError::new(seal.describe(), error).to_string(),
        }
    }
    tried.push(reason);
    None
}

/// Tries a source that becomes a seal only with a wrap to check it against.
fn open_by_wrap(
    source: &dyn SealSource,
    named: &StoreRow,
    seals: &[UnverifiedSeal],
    tried: &mut Vec<String>,
) -> Option<(RootKey, OpenedBy)> {
    let mut found = false;
    for row in seals.iter().filter(|row| row.row.kind == source.kind()) {
        found = true;
        let opened = match source.open_for(&row.row.wrapped_root, tried) {
            Ok(Some(seal)) => row.open(&*seal, named).map_err(|error| error.to_string()),
            Ok(None) => continue,
            Err(error) => Err(error.to_string()),
        };
        match opened {
            Ok(root) => return Some(row.opened(root)),
            Err(text) => tried.push(text),
        }
    }
    if !found {
        tried.push(messages::no_seal_of_kind(source.kind()));
    }
    None
}
