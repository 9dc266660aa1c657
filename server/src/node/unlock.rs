//! From a seal to the keys: the root key, the keyring, the row-MAC key; and only then to the MACs of every row on
//! the way, which cannot be checked before there is a key.
//!
//! What people gave is tried alone: whoever types a wrong passphrase is told so, and is not let in by a key file
//! beside it. Where nobody gave anything, the seals of the configuration are tried in its order, but for those that
//! need people.

use data_encoding::HEXLOWER;
use petsem_api::StoreId;
use petsem_keys::{
    Keyring, NamedSealError, RootKey, RowMacKey, Seal, SealContext, SealExt as _, SealSource as _,
    WrapContext, scrubbed_call,
};
use petsem_seals::{SHAMIR_KIND, ShareSet, input_from_people};
use petsem_store::{Record, RecordKind, Store};

use petsem_engine::{Failure};
use petsem_engine::{IntegrityFault, KeyringKeyRow, RecordCodec, SealRow, StoreRow, danger_read_unverified};
use crate::settings::{Settings};
use crate::node::start::{StartError};

/// Seals that a store has at most.
pub(crate) const MOST_SEALS: u32 = 64;

/// What a seal led to.
pub(crate) struct Unlocked {
    pub(crate) store_id: StoreId,
    pub(crate) root: RootKey,
    pub(crate) keyring: Keyring,
    pub(crate) codec: RecordCodec,
    pub(crate) opened_by: OpenedBy,
}

/// The seal that opened the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenedBy {
    pub(crate) id: [u8; 16],
    pub(crate) kind: String,
    pub(crate) description: String,
}

impl OpenedBy {
    pub(crate) fn new(id: [u8; 16], row: &SealRow) -> Self {
        Self { id, kind: row.kind.clone(), description: row.description.clone() }
    }
}

/// What leads from a seal to the row-MAC key.
#[derive(Clone)]
pub(crate) struct SealedRows {
    pub(crate) store: Option<Record>,
    pub(crate) seals: Vec<Record>,
    pub(crate) keyring: Vec<Record>,
}

impl SealedRows {
    /// Reads them.
    pub(crate) async fn read(store: &dyn Store) -> Result<Self, petsem_store::ReadError> {
        Ok(Self {
            store: store.record(RecordKind::Store, &[]).await?,
            seals: store.records(RecordKind::Seal, &[], None, MOST_SEALS).await?,
            keyring: store.records(RecordKind::KeyringKey, &[], None, MOST_KEYS).await?,
        })
    }
}

/// Opens the root key by the first seal that does, then the keyring, then checks every row on the way.
pub(crate) async fn unlock(settings: &Settings, store: &dyn Store) -> Result<Unlocked, StartError> {
    unlock_rows(settings, SealedRows::read(store).await?).await
}

/// [`unlock`], on rows that were read. Seals take their time (a passphrase, a network): not on a thread of requests.
pub(crate) async fn unlock_rows(settings: &Settings, rows: SealedRows) -> Result<Unlocked, StartError> {
    let settings = settings.clone();
    tokio::task::spawn_blocking(move || scrubbed_call(|| open_rows(&settings, &rows)))
        .await
        .map_err(|error| StartError::Refused(format!("the seals were not tried to the end: {error}")))?
}

fn open_rows(settings: &Settings, rows: &SealedRows) -> Result<Unlocked, StartError> {
    let SealedRows { store, seals, keyring: records } = rows;
    // Whoever opened the store has seen that it is not empty.
    let store_record = store.as_ref().ok_or_else(|| {
        StartError::Refused(format!(
            "integrity: the store in {} has rows, and its own row is not among them: it was removed, or the file is \
             damaged\nrestore the store from a backup; do not make a new one in its place",
            settings.data_directory.display()
        ))
    })?;
    let named: StoreRow = danger_read_unverified(store_record).map_err(Failure::from)?;
    let seal_rows = seals.iter().map(UnverifiedSeal::of).collect::<Result<Vec<_>, _>>()?;
    let (root, opened_by) = open_root(settings, &named, &seal_rows)?;
    let mut keys = Vec::with_capacity(records.len());
    for record in records {
        let row: KeyringKeyRow = danger_read_unverified(record).map_err(Failure::from)?;
        let version = <[u8; 4]>::try_from(record.id.as_slice()).map(u32::from_be_bytes).unwrap_or_default();
        let key =
            root.unwrap_keyring_key(&row.wrapped, *named.store.as_bytes(), version).map_err(|error| {
                StartError::Refused(format!(
                    "version {version} of the keyring does not open: {error}; restore the store"
                ))
            })?;
        keys.push(key);
    }
    let keyring = Keyring::new(keys, named.keyring_version).map_err(|error| {
        StartError::Refused(format!("the keyring is not whole: {error}; restore the store"))
    })?;
    let row_mac: RowMacKey =
        keyring.unwrap(&named.row_mac_key, &row_mac_context(named.store)).map_err(|error| {
            StartError::Refused(format!("the row-MAC key does not open: {error}; restore the store"))
        })?;
    let codec = RecordCodec::new(row_mac, named.epoch);
    // Now that the key is at hand, everything that led to it is checked.
    codec.read::<StoreRow>(&[], store_record).map_err(Failure::from)?;
    for record in records {
        codec.read::<KeyringKeyRow>(&record.id, record).map_err(Failure::from)?;
    }
    for record in seals {
        codec.read::<SealRow>(&record.id, record).map_err(Failure::from)?;
    }
    check_seal_list(&named, seals).map_err(Failure::from)?;
    Ok(Unlocked { store_id: named.store, root, keyring, codec, opened_by })
}

/// The seals that are there must be those that the store's own row names: none was taken away, none put back.
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
            Err(IntegrityFault::new(RecordKind::Seal, &record.id, "it was removed, and is there again"))
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
        let row = danger_read_unverified(record)?;
        let id = <[u8; 16]>::try_from(record.id.as_slice())
            .map_err(|_| IntegrityFault::new(RecordKind::Seal, &record.id, "its id has the wrong length"))?;
        Ok(Self { id, row })
    }

    /// Opens the root key by this seal.
    pub(crate) fn open(&self, seal: &dyn Seal, named: &StoreRow) -> Result<RootKey, petsem_keys::SealError> {
        seal.unwrap(&self.row.wrapped_root, &self.context(named))
    }

    fn context(&self, named: &StoreRow) -> SealContext {
        SealContext::root_key(*named.store.as_bytes(), self.id, named.root_version)
    }

    fn opened(&self, root: RootKey) -> (RootKey, OpenedBy) {
        (root, OpenedBy::new(self.id, &self.row))
    }
}

fn open_root(
    settings: &Settings,
    named: &StoreRow,
    seals: &[UnverifiedSeal],
) -> Result<(RootKey, OpenedBy), StartError> {
    let mut tried = Vec::new();
    let opened = if settings.given.is_empty() {
        open_automatically(settings, named, seals, &mut tried)
    } else {
        open_by_people(settings, named, seals, &mut tried)
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
        None => Err(StartError::Sealed { tried, people: people_of(seals) }),
    }
}

fn open_automatically(
    settings: &Settings,
    named: &StoreRow,
    seals: &[UnverifiedSeal],
    tried: &mut Vec<String>,
) -> Option<(RootKey, OpenedBy)> {
    for wanted in settings.seals.iter().filter(|wanted| wanted.is_automatic()) {
        let seal = match wanted.open() {
            Ok(Some(seal)) => seal,
            Ok(None) => continue,
            Err(error) => {
                tried.push(error.to_string());
                continue;
            }
        };
        if let Some(opened) = open_by(&*seal, named, seals, tried) {
            return Some(opened);
        }
    }
    None
}

/// Tries a seal on every row of its kind.
fn open_by(
    seal: &dyn Seal,
    named: &StoreRow,
    seals: &[UnverifiedSeal],
    tried: &mut Vec<String>,
) -> Option<(RootKey, OpenedBy)> {
    let mut said = format!("the store has no seal of kind {}", seal.kind());
    // The one that was made with this very description first: no second PIN, no second call to a KMS.
    let description = seal.describe();
    let (same, others): (Vec<_>, Vec<_>) = seals
        .iter()
        .filter(|row| row.row.kind == seal.kind())
        .partition(|row| row.row.description == description);
    for row in same.into_iter().chain(others) {
        match row.open(seal, named) {
            Ok(root) => return Some(row.opened(root)),
            Err(error) => said = NamedSealError::new(seal.describe(), error).to_string(),
        }
    }
    tried.push(said);
    None
}

fn open_by_people(
    settings: &Settings,
    named: &StoreRow,
    seals: &[UnverifiedSeal],
    tried: &mut Vec<String>,
) -> Option<(RootKey, OpenedBy)> {
    if let Some(passphrase) = &settings.given.passphrase
        && let Some(opened) = open_by(&**passphrase, named, seals, tried)
    {
        return Some(opened);
    }
    if settings.given.shares.is_empty() {
        return None;
    }
    let mut found = false;
    for row in seals.iter().filter(|row| row.row.kind == SHAMIR_KIND) {
        found = true;
        match open_by_shares(settings, named, row, tried) {
            Ok(root) => return Some(row.opened(root)),
            Err(text) => tried.push(text),
        }
    }
    if !found {
        tried.push(format!("the store has no seal of kind {SHAMIR_KIND}"));
    }
    None
}

fn open_by_shares(
    settings: &Settings,
    named: &StoreRow,
    row: &UnverifiedSeal,
    tried: &mut Vec<String>,
) -> Result<RootKey, String> {
    let mut set = ShareSet::for_wrap(&row.row.wrapped_root).map_err(|error| error.to_string())?;
    for share in settings.given.shares.iter() {
        if let Err(error) = set.add(share) {
            tried.push(error.to_string());
        }
    }
    let seal = set.combine().map_err(|error| error.to_string())?;
    row.open(&seal, named).map_err(|error| error.to_string())
}

/// What people can give: one line for each seal that needs them.
fn people_of(seals: &[UnverifiedSeal]) -> Vec<String> {
    seals.iter().filter_map(|seal| input_from_people(&seal.row.kind, &seal.row.wrapped_root)).collect()
}
