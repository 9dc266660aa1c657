//! From an empty directory to an installation, and from an installation to a running core.
//!
//! A start reads the seal and the keyring, never the secrets: it takes as long with ten million of them as
//! with ten.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use petsem_api::{MintedToken, StoreId};
use petsem_client::{Outside, OutsideSetupError};
use petsem_keys::{
    AuditMacKey, AuditSigningKey, DischargerKey, Keyring, KeyringKey, RootKey, RowMacKey, Seal, SealContext,
    SigningKey, WrapContext,
};
use petsem_policy::Subject;
use petsem_seals::{KEY_FILE_KIND, KeyFile};
use petsem_store::{Change, Record, RecordKind, RequestAudit, SqliteOptions, SqliteStore, Store};
use tokio::sync::mpsc;

use crate::audit::{self, AuditEvent, AuditKeys, AuditLog, Checkpoint, KnownCheckpoint, Outcome, Revision};
use crate::clock::Moment;
use crate::control::owned;
use crate::core::{Core, Parts, expect};
use crate::entropy;
use crate::failure::Failure;
use crate::request::{Peer, Trail, recovered_event};
use crate::rows::{
    CheckpointRow, DischargerRow, FeedHeadRow, FeedRow, IntegrityFault, KeyringKeyRow, Ledger, NodeRow, Note,
    SealRow, SigningKeyRow, StoreRow, danger_read_unverified,
};
use crate::settings::{SealSettings, Settings};
use crate::tokens::discharger_location;

/// Seals that a store has at most.
pub(crate) const MOST_SEALS: u32 = 64;
/// Versions of a keyring that are read at most.
pub(crate) const MOST_KEYS: u32 = 10_000;

/// Why a server does not start. Never seen by a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The store cannot be opened.
    Store(petsem_store::OpenError),
    /// The store has no installation in it.
    Empty {
        /// The data directory.
        directory: PathBuf,
    },
    /// The store has an installation in it already.
    Installed {
        /// The data directory.
        directory: PathBuf,
    },
    /// No configured seal opens the store; one line for each that was tried.
    Sealed {
        /// What each said.
        tried: Vec<String>,
    },
    /// The seal's key file.
    Seal(Box<dyn std::error::Error + Send + Sync>),
    /// The audit log cannot be opened.
    Audit(audit::AuditOpenError),
    /// The node's id beside the audit log cannot be read or written.
    Node {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store is older than what this node's audit log saw of it, or another one.
    RolledBack {
        /// What it lacks.
        what: String,
    },
    /// Third parties cannot be called as configured.
    Outgoing(OutsideSetupError),
    /// The store was made by `petsem dev`: whoever has the development key reads everything.
    Development,
    /// What is stored is not what was written, or cannot be read.
    Refused(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(source) => source.fmt(f),
            Self::Empty { directory } => write!(
                f,
                "the store in {} is empty: there is no installation to serve\nmake one with `petsem operator init`, or \
                 correct data_directory in the configuration",
                directory.display()
            ),
            Self::Installed { directory } => write!(
                f,
                "the store in {} holds an installation already; nothing was changed\nfor a new one name another \
                 data_directory",
                directory.display()
            ),
            Self::Sealed { tried } => write!(
                f,
                "no configured seal opens the store:\n{}\ngive the seal that the store was made with, under [[seal]]",
                tried.join("\n")
            ),
            Self::Seal(source) => source.fmt(f),
            Self::Audit(source) => source.fmt(f),
            Self::Node { path, source } => {
                write!(f, "the node's id in {} cannot be used: {source}\nlet the user that runs petsem own the directory, with mode 0700", path.display())
            }
            Self::RolledBack { what } => write!(
                f,
                "integrity: the store lacks {what}, which this node's audit log has seen: an older copy of it was \
                 put back, or another store\nrevocations may be missing in it, so it is not served; put the newer \
                 database back"
            ),
            Self::Outgoing(source) => write!(f, "{source}\nthat is outgoing.ca_file in the configuration"),
            Self::Development => f.write_str(
                "this store was made by `petsem dev`, whose issuer key lies in a file; `petsem server` does not serve it\n\
                 make an installation of its own with `petsem operator init`",
            ),
            Self::Refused(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(source) => source.source(),
            Self::Audit(source) => source.source(),
            Self::Seal(source) => source.source(),
            Self::Node { source, .. } => Some(source),
            Self::Outgoing(source) => Some(source),
            Self::Empty { .. }
            | Self::Installed { .. }
            | Self::Sealed { .. }
            | Self::RolledBack { .. }
            | Self::Development
            | Self::Refused(_) => None,
        }
    }
}

impl From<Failure> for StartError {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure.internal_text().unwrap_or(failure.external()).to_owned())
    }
}

impl From<petsem_store::ReadError> for StartError {
    fn from(error: petsem_store::ReadError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// A core with what only its owner may do.
pub(crate) struct Started {
    pub(crate) core: Arc<Core>,
    pub(crate) checkpoints: mpsc::Receiver<Checkpoint>,
}

/// Opens an installation: seal, keyring, audit log, control feed; and gives each committed change the line that
/// a kill took from it.
pub(crate) async fn start(settings: Settings) -> Result<Started, StartError> {
    let store = open_made_store(&settings)?;
    if store.is_empty().await? {
        return Err(StartError::Empty { directory: settings.data_directory });
    }
    start_on(settings, store).await
}

async fn start_on(settings: Settings, store: Arc<dyn Store>) -> Result<Started, StartError> {
    let outside = Outside::new(&settings.outgoing).map_err(StartError::Outgoing)?;
    let Unlocked { store_id, keyring, ledger } = unlock(&settings, &*store).await?;
    let (node, keys, known) = node(&settings, &*store, store_id, &keyring, &ledger).await?;
    let audit_settings = audit::AuditSettings {
        segment_bytes: settings.audit.segment_bytes,
        reserve_bytes: settings.audit.reserve_bytes,
        ..audit::AuditSettings::new(&settings.audit.directory)
    };
    let clock = Arc::new(|| Moment::now().millis());
    let opened = AuditLog::open(audit_settings, node, Some(keys), known, clock).map_err(StartError::Audit)?;
    let audit::Opened { log, tail, checkpoints } = opened;
    let development = settings.development;
    // Before the core tells the log where the store stands: the next start must notice it too.
    check_revision(&*store, tail.seen_revision).await?;
    check_feed(&*store, &ledger, tail.seen_feed).await?;
    let core =
        Core::start(Parts { settings, store, store_id, node, keyring, ledger, audit: log, outside }).await?;
    if !development && core.control().issuers().any(|issuer| issuer.row.development) {
        return Err(StartError::Development);
    }
    recover_lines(&core, &tail.request_ids).await?;
    core.take_denials().await;
    Ok(Started { core: Arc::new(core), checkpoints })
}

/// The store must still hold the last revision that this node's audit log saw.
async fn check_revision(store: &dyn Store, seen: Option<Revision>) -> Result<(), StartError> {
    let Some(revision) = seen else { return Ok(()) };
    if store.mark(revision.revision).await? == Some(revision.mark) {
        return Ok(());
    }
    Err(StartError::RolledBack { what: format!("revision {}", revision.revision) })
}

/// The control feed must still reach the last change that this node's audit log saw.
async fn check_feed(store: &dyn Store, ledger: &Ledger, seen: Option<u64>) -> Result<(), StartError> {
    let Some(seen) = seen else { return Ok(()) };
    let number = match store.record(RecordKind::FeedHead, &[]).await? {
        None => 0,
        Some(record) => ledger.read::<FeedHeadRow>(&[], &record).map_err(Failure::from)?.content.number,
    };
    if number < seen {
        return Err(StartError::RolledBack { what: format!("control change {seen}") });
    }
    Ok(())
}

/// Closes what was opened, in the order that loses nothing.
pub(crate) async fn stop(started: Started) -> Result<(), String> {
    let Started { core, mut checkpoints } = started;
    let audit = core.audit.close().await;
    while let Ok(checkpoint) = checkpoints.try_recv() {
        record_checkpoint(&core, &checkpoint).await;
    }
    let store = core.store.close().await;
    audit.map_err(|error| error.to_string())?;
    store.map_err(|error| error.to_string())
}

/// Keeps a checkpoint in the store: a log whose tail is cut is then noticed.
pub(crate) async fn record_checkpoint(core: &Core, checkpoint: &Checkpoint) {
    if let Err(error) = keep_checkpoint(core, checkpoint).await {
        tracing::warn!(
            reason = error.internal_text().unwrap_or(error.external()),
            "an audit checkpoint was not kept in the store; a later one will be"
        );
    }
}

async fn keep_checkpoint(core: &Core, checkpoint: &Checkpoint) -> Result<(), Failure> {
    let missing = || IntegrityFault::new(RecordKind::Node, &core.node, "it is missing");
    let record = core.store.record(RecordKind::Node, &core.node).await?.ok_or_else(missing)?;
    let row = core.ledger.read::<NodeRow>(&core.node, &record)?;
    let kept = CheckpointRow {
        line: checkpoint.line,
        head: HEXLOWER.encode(&checkpoint.head),
        signature: checkpoint.signature.map(|signature| HEXLOWER.encode(&signature)),
    };
    let content = NodeRow { checkpoint: Some(kept), ..row.content };
    let id = petsem_api::RequestId::new_v7(core.now().millis(), &entropy::bytes());
    let line = core.ledger.write_note(Note::Line, id, b"");
    let mut change = Change::new(RequestAudit { node: core.node, request_id: id, line });
    change.expects.push(expect::<NodeRow>(&core.node, row.version));
    change.puts.push(core.ledger.write(&core.node, row.version + 1, &content));
    let committed = core.store.commit(change).await?;
    core.store.audited(core.node, &[committed.revision]);
    Ok(())
}

/// Who gets an operator's token that is made on the node.
#[derive(Clone, Debug)]
pub struct InstallOptions {
    /// The person.
    pub operator: String,
    /// Seconds that it lives.
    pub life: u64,
}

/// An installation that was just made.
#[derive(Debug)]
pub struct Installed {
    /// Its id.
    pub store: StoreId,
    /// The seals that open it.
    pub seals: Vec<String>,
    /// The first operator's token.
    pub token: MintedToken,
}

/// Makes an installation in an empty store: seal, keyring, keys, first operator's token. A key file that is not
/// there yet is made.
///
/// # Errors
/// [`StartError`]; a store that holds an installation is left as it is.
pub async fn install(settings: &Settings, options: &InstallOptions) -> Result<Installed, StartError> {
    let started = make(settings, false).await?;
    let result = operator_token(&started.core, "operator.init", options).await;
    let store = started.core.store_id;
    let stopped = stop(started).await;
    let token = result?;
    stopped.map_err(StartError::Refused)?;
    let seals =
        settings.seals.iter().map(|SealSettings::KeyFile { path }| format!("key file {}", path.display()));
    Ok(Installed { store, seals: seals.collect(), token })
}

/// Makes the installation and starts on it.
pub(crate) async fn make(settings: &Settings, development: bool) -> Result<Started, StartError> {
    let store = open_store(settings)?;
    if !store.is_empty().await? {
        return Err(StartError::Installed { directory: settings.data_directory.clone() });
    }
    let mut settings = settings.clone();
    settings.development = development;
    let now = Moment::now().millis();
    let rng = &mut entropy::rng();
    let store_id = StoreId::new_v7(now, &entropy::bytes());
    let root = RootKey::generate(rng, 1);
    let keyring_key = KeyringKey::generate(rng, 1);
    let wrapped_keyring =
        root.wrap_keyring_key(rng, &keyring_key, *store_id.as_bytes()).map_err(Failure::internal)?;
    let keyring = Keyring::new([keyring_key], 1).map_err(Failure::internal)?;
    let row_mac = RowMacKey::generate(rng);
    let wrapped_row_mac =
        keyring.wrap(rng, &row_mac, &row_mac_context(store_id)).map_err(Failure::internal)?;
    let ledger = Ledger::new(row_mac, 1);

    let mut change = Change::new(RequestAudit {
        node: [0; 16],
        request_id: petsem_api::RequestId::new_v7(now, &entropy::bytes()),
        line: Vec::new(),
    });
    change.expects.push(expect::<StoreRow>(&[], 0));
    for seal in &settings.seals {
        let SealSettings::KeyFile { path } = seal;
        let seal = if path.exists() { KeyFile::open(path) } else { KeyFile::create(rng, path) }
            .map_err(|error| StartError::Seal(Box::new(error)))?;
        let id: [u8; 16] = entropy::bytes();
        let context = SealContext { store: *store_id.as_bytes(), seal: id, root_version: 1 };
        let wrapped_root =
            seal.wrap(rng, &root, &context).map_err(|error| StartError::Seal(Box::new(error)))?;
        let row = SealRow {
            kind: seal.kind().to_owned(),
            description: seal.describe(),
            wrapped_root,
            created_at: now,
        };
        change.puts.push(ledger.write(&id, 1, &row));
    }
    let store_row = StoreRow {
        store: store_id,
        epoch: 1,
        root_version: 1,
        keyring_version: 1,
        row_mac_key: wrapped_row_mac,
        created_at: now,
    };
    change.puts.push(ledger.write(&[], 1, &store_row));
    change.puts.push(ledger.write(
        &1_u32.to_be_bytes(),
        1,
        &KeyringKeyRow { wrapped: wrapped_keyring, created_at: now },
    ));

    let kid: [u8; 16] = entropy::bytes();
    let signing = SigningKey::generate(rng);
    let wrapped = keyring.wrap(rng, &signing, &owned(store_id, kid, None)).map_err(Failure::internal)?;
    change.puts.push(ledger.write(&kid, 1, &SigningKeyRow { org: None, wrapped, created_at: now }));
    let discharger_id: [u8; 16] = entropy::bytes();
    let discharger = DischargerKey::generate(rng);
    let wrapped =
        keyring.wrap(rng, &discharger, &owned(store_id, discharger_id, None)).map_err(Failure::internal)?;
    let location = discharger_location(&settings.location);
    change.puts.push(ledger.write(
        &discharger_id,
        1,
        &DischargerRow { location, org: None, wrapped, created_at: now },
    ));
    let feed = [
        FeedRow::SigningKeySet { key: HEXLOWER.encode(&kid), org: None, version: 1, at: now },
        FeedRow::DischargerSet { discharger: HEXLOWER.encode(&discharger_id), version: 1, at: now },
    ];
    let (mut number, mut mac) = (0, [0; 32]);
    for row in &feed {
        number += 1;
        let entry = ledger.write_feed(number, &mac, row);
        mac = <[u8; 32]>::try_from(entry.mac.as_slice()).unwrap_or_default();
        change.feed.push(entry);
    }
    change.puts.push(ledger.write(&[], 1, &FeedHeadRow { number, mac: HEXLOWER.encode(&mac) }));
    store.commit(change).await.map_err(|error| StartError::Refused(error.to_string()))?;
    start_on(settings, store).await
}

/// Mints an operator's token, with its line.
pub(crate) async fn operator_token(
    core: &Core,
    action: &'static str,
    options: &InstallOptions,
) -> Result<MintedToken, StartError> {
    let now = core.now();
    let mut trail = local_trail(now, action);
    let subject = Subject { issuer: core.settings.name.clone(), sub: options.operator.clone() };
    let token = core.mint_first_token(&mut trail, subject, options.life, now).await?;
    record(core, &trail).await?;
    Ok(token)
}

/// The trail of what is done at the node itself.
pub(crate) fn local_trail(now: Moment, action: &'static str) -> Trail {
    let mut trail = Trail::new(now, &Peer { source: "node".to_owned(), host: None }, action);
    trail.local();
    trail
}

/// Writes the line of what was done at the node itself.
pub(crate) async fn record(core: &Core, trail: &Trail) -> Result<(), StartError> {
    core.audit(trail.event(Outcome::Allowed, None)).await?;
    if let Some(revision) = trail.revision() {
        core.store.audited(core.node, &[revision]);
    }
    Ok(())
}

/// Opens the embedded store of the data directory.
pub(crate) fn open_store(settings: &Settings) -> Result<Arc<dyn Store>, StartError> {
    let options = SqliteOptions::new(&settings.data_directory);
    let store = SqliteStore::open(&options, Box::new(entropy::rng())).map_err(StartError::Store)?;
    Ok(Arc::new(store))
}

/// The same, if a store was made there: looking at one makes nothing.
pub(crate) fn open_made_store(settings: &Settings) -> Result<Arc<dyn Store>, StartError> {
    if SqliteStore::is_absent(&SqliteOptions::new(&settings.data_directory)) {
        return Err(StartError::Empty { directory: settings.data_directory.clone() });
    }
    open_store(settings)
}

pub(crate) struct Unlocked {
    pub(crate) store_id: StoreId,
    pub(crate) keyring: Keyring,
    pub(crate) ledger: Ledger,
}

/// Opens the root key by the first seal that does, then the keyring, then checks every row on the way.
pub(crate) async fn unlock(settings: &Settings, store: &dyn Store) -> Result<Unlocked, StartError> {
    unlock_rows(
        settings,
        &SealedRows {
            store: store.record(RecordKind::Store, &[]).await?,
            seals: store.records(RecordKind::Seal, &[], None, MOST_SEALS).await?,
            keyring: store.records(RecordKind::KeyringKey, &[], None, MOST_KEYS).await?,
        },
    )
}

/// What leads from a seal to the row-MAC key.
pub(crate) struct SealedRows {
    pub(crate) store: Option<Record>,
    pub(crate) seals: Vec<Record>,
    pub(crate) keyring: Vec<Record>,
}

/// [`unlock`], on rows that were read.
pub(crate) fn unlock_rows(settings: &Settings, rows: &SealedRows) -> Result<Unlocked, StartError> {
    let SealedRows { store, seals, keyring: records } = rows;
    let store_record =
        store.as_ref().ok_or_else(|| StartError::Empty { directory: settings.data_directory.clone() })?;
    let named: StoreRow = danger_read_unverified(store_record).map_err(Failure::from)?;
    let root = open_root(settings, &named, seals)?;
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
    let ledger = Ledger::new(row_mac, named.epoch);
    // Now that the key is at hand, everything that led to it is checked.
    ledger.read::<StoreRow>(&[], store_record).map_err(Failure::from)?;
    for record in records {
        ledger.read::<KeyringKeyRow>(&record.id, record).map_err(Failure::from)?;
    }
    for record in seals {
        ledger.read::<SealRow>(&record.id, record).map_err(Failure::from)?;
    }
    Ok(Unlocked { store_id: named.store, keyring, ledger })
}

fn open_root(settings: &Settings, named: &StoreRow, seals: &[Record]) -> Result<RootKey, StartError> {
    let mut tried = Vec::new();
    for SealSettings::KeyFile { path } in &settings.seals {
        let seal = match KeyFile::open(path) {
            Ok(seal) => seal,
            Err(error) => {
                tried.push(error.to_string());
                continue;
            }
        };
        let mut said = "the store has no seal of kind key-file".to_owned();
        for record in seals {
            let row: SealRow = danger_read_unverified(record).map_err(Failure::from)?;
            let Ok(id) = <[u8; 16]>::try_from(record.id.as_slice()) else { continue };
            if row.kind != KEY_FILE_KIND {
                continue;
            }
            let context =
                SealContext { store: *named.store.as_bytes(), seal: id, root_version: named.root_version };
            match seal.unwrap(&row.wrapped_root, &context) {
                Ok(root) => {
                    tracing::info!(seal = seal.describe(), "opened by seal");
                    return Ok(root);
                }
                Err(error) => said = error.to_string(),
            }
        }
        tried.push(said);
    }
    Err(StartError::Sealed { tried })
}

/// This node's id and audit keys; made on its first start.
async fn node(
    settings: &Settings,
    store: &dyn Store,
    store_id: StoreId,
    keyring: &Keyring,
    ledger: &Ledger,
) -> Result<Node, StartError> {
    match known_node(settings, store, store_id, keyring, ledger).await? {
        Some(node) => Ok(node),
        None => new_node(settings, store, store_id, keyring, ledger).await,
    }
}

/// A node's id, its audit keys, and its last checkpoint in the store.
pub(crate) type Node = ([u8; 16], AuditKeys, Option<KnownCheckpoint>);

/// The node that wrote the audit directory, if one has.
pub(crate) async fn known_node(
    settings: &Settings,
    store: &dyn Store,
    store_id: StoreId,
    keyring: &Keyring,
    ledger: &Ledger,
) -> Result<Option<Node>, StartError> {
    let path = settings.audit.directory.join("node");
    let fault = |source| StartError::Node { path: path.clone(), source };
    let id = match std::fs::read_to_string(&path) {
        Ok(text) => parse_node(&text)
            .ok_or_else(|| fault(std::io::Error::other("it is not 32 hex digits and a line end")))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(error)),
    };
    let Some(record) = store.record(RecordKind::Node, &id).await? else {
        return Err(StartError::Refused(format!(
            "integrity: the store does not know the node whose audit log lies in {}: its row was removed, or the log \
             is of another store\nname the store that belongs to it, or another audit.directory, which begins a new log",
            settings.audit.directory.display()
        )));
    };
    let row = ledger.read::<NodeRow>(&id, &record).map_err(Failure::from)?.content;
    let context = WrapContext::new(*store_id.as_bytes(), id);
    let wrong =
        |error| StartError::Refused(format!("the node's audit keys do not open: {error}; restore the store"));
    let keys = AuditKeys {
        initial_mac: keyring.unwrap(&row.audit_mac_key, &context).map_err(wrong)?,
        signing: keyring.unwrap(&row.audit_signing_key, &context).map_err(wrong)?,
    };
    let known = row.checkpoint.and_then(|row| {
        let head = HEXLOWER.decode(row.head.as_bytes()).ok()?.try_into().ok()?;
        Some(KnownCheckpoint { line: row.line, head })
    });
    Ok(Some((id, keys, known)))
}

async fn new_node(
    settings: &Settings,
    store: &dyn Store,
    store_id: StoreId,
    keyring: &Keyring,
    ledger: &Ledger,
) -> Result<Node, StartError> {
    let id: [u8; 16] = entropy::bytes();
    let context = WrapContext::new(*store_id.as_bytes(), id);
    let rng = &mut entropy::rng();
    let keys = AuditKeys { initial_mac: AuditMacKey::generate(rng), signing: AuditSigningKey::generate(rng) };
    let now = Moment::now().millis();
    let row = NodeRow {
        audit_mac_key: keyring.wrap(rng, &keys.initial_mac, &context).map_err(Failure::internal)?,
        audit_signing_key: keyring.wrap(rng, &keys.signing, &context).map_err(Failure::internal)?,
        audit_public_key: keys.signing.public().to_vec(),
        checkpoint: None,
        created_at: now,
    };
    let request_id = petsem_api::RequestId::new_v7(now, &entropy::bytes());
    let line = ledger.write_note(Note::Line, request_id, b"");
    let mut change = Change::new(RequestAudit { node: id, request_id, line });
    change.expects.push(expect::<NodeRow>(&id, 0));
    change.puts.push(ledger.write(&id, 1, &row));
    store.commit(change).await.map_err(|error| StartError::Refused(error.to_string()))?;
    // The row first: a file without it would look like a row that somebody removed.
    let path = settings.audit.directory.join("node");
    write_node(&settings.audit.directory, &path, &id).map_err(|source| StartError::Node { path, source })?;
    Ok((id, keys, None))
}

fn parse_node(text: &str) -> Option<[u8; 16]> {
    HEXLOWER.decode(text.strip_suffix('\n')?.as_bytes()).ok()?.try_into().ok()
}

fn write_node(directory: &Path, path: &Path, id: &[u8; 16]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(format!("{}\n", HEXLOWER.encode(id)).as_bytes())?;
    file.sync_all()?;
    std::fs::File::open(directory)?.sync_all()
}

async fn recover_lines(core: &Core, written: &std::collections::HashSet<String>) -> Result<(), StartError> {
    let mut done = Vec::new();
    for change in core.store.unaudited(core.node).await? {
        let line = core.ledger.read_note(Note::Line, change.request_id, &change.line);
        // What a node keeps for itself (a checkpoint) owes no line.
        let is_owed = line.is_none_or(|line| !line.is_empty());
        if is_owed && !written.contains(&change.request_id.to_string()) {
            tracing::warn!(request = %change.request_id, "a committed change had no audit line; it has one now");
            let event = line.and_then(recovered_event).unwrap_or_else(|| {
                let mut event = AuditEvent::new(
                    core.now().millis(),
                    change.request_id.to_string(),
                    "unknown",
                    Outcome::Recovered,
                );
                event.detail = Some("what was kept of this change was altered in the store".to_owned());
                event
            });
            core.audit(event).await?;
        }
        done.push(change.revision);
    }
    core.store.audited(core.node, &done);
    Ok(())
}

fn row_mac_context(store: StoreId) -> WrapContext {
    WrapContext::new(*store.as_bytes(), *store.as_bytes())
}
