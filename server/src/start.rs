//! From an empty directory to an installation, and from an installation to a running core.
//!
//! A start reads the seal and the keyring, never the secrets: it takes as long with ten million of them as
//! with ten.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use petsem_api::MintedToken;
use petsem_outbound::{OutboundClient, OutboundSetupError};
use petsem_policy::Subject;
use petsem_store::{Change, RecordKind, RequestAudit, SqliteOptions, SqliteStore, Store};
use tokio::sync::mpsc;

use crate::audit::{self, AuditEvent, AuditKeys, AuditLog, Checkpoint, KnownCheckpoint, Outcome, Revision};
use crate::clock::Moment;
use crate::core::{Core, Parts, expect};
use crate::entropy;
use crate::failure::Failure;
use crate::install::InstallOptions;
use crate::keyring_state::KeyringState;
use crate::node::node;
use crate::operator_socket::{Ask, ask};
use crate::request::{Peer, Trail, recovered_event};
use crate::rows::{CheckpointRow, FeedHeadRow, IntegrityFault, Ledger, NodeRow, Note};
use crate::seal_list::note_opened;
use crate::settings::Settings;
use crate::unlock::{OpenedBy, Unlocked, unlock};

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
    /// A server runs, and its database is not where it opened it.
    Gone {
        /// The data directory.
        directory: PathBuf,
    },
    /// The store has an installation in it already.
    Installed {
        /// The data directory.
        directory: PathBuf,
    },
    /// No seal opens the store.
    Sealed {
        /// What each that was tried said.
        tried: Vec<String>,
        /// What people can give, one line for each seal that needs them.
        people: Vec<String>,
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
    Outgoing(OutboundSetupError),
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
            Self::Gone { directory } => write!(
                f,
                "a server runs on {}, and its database is no longer there: it was moved or removed; nothing was \
                 changed\nput petsem.db and what lies beside it back while that server still runs: what it writes is \
                 lost when it ends",
                directory.display()
            ),
            Self::Installed { directory } => write!(
                f,
                "the store in {} holds an installation already; nothing was changed\nfor a new one name another \
                 data_directory",
                directory.display()
            ),
            Self::Sealed { tried, people } => write_sealed(f, tried, people),
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
            | Self::Gone { .. }
            | Self::Installed { .. }
            | Self::Sealed { .. }
            | Self::RolledBack { .. }
            | Self::Development
            | Self::Refused(_) => None,
        }
    }
}

fn write_sealed(f: &mut fmt::Formatter<'_>, tried: &[String], people: &[String]) -> fmt::Result {
    if tried.is_empty() {
        f.write_str(
            "the store is sealed, and the configuration names no seal that opens without a person\n",
        )?;
    } else {
        writeln!(f, "no seal that was tried opens the store:\n{}", tried.join("\n"))?;
    }
    if !people.is_empty() {
        let people = people.join(", or ");
        write!(
            f,
            "give {people} (--passphrase-file, --share-file), or a seal of this store that opens without a person, \
             under [[seal]]"
        )
    } else if tried.is_empty() {
        f.write_str("give the seal that the store was made with, under [[seal]]")
    } else {
        f.write_str("put that right and try again, or give another seal of this store, under [[seal]]")
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
    pub(crate) opened_by: OpenedBy,
}

/// Opens an installation: seal, keyring, audit log, control feed; and gives each committed change the line that
/// a kill took from it.
pub(crate) async fn start(settings: Settings) -> Result<Started, StartError> {
    let store = open_installed(&settings).await?;
    let unlocked = unlock(&settings, &*store).await?;
    let started = start_unlocked(settings, store, unlocked).await?;
    note_opened(&started).await;
    Ok(started)
}

/// Opens the store of an installation, and nothing of it.
pub(crate) async fn open_installed(settings: &Settings) -> Result<Arc<dyn Store>, StartError> {
    let store = match open_made_store(settings) {
        Err(StartError::Empty { directory }) if is_served(&directory).await => {
            return Err(StartError::Gone { directory });
        }
        opened => opened?,
    };
    if store.is_empty().await? {
        return Err(StartError::Empty { directory: settings.data_directory.clone() });
    }
    Ok(store)
}

/// Whether a server runs on this data directory.
async fn is_served(data_directory: &Path) -> bool {
    ask(data_directory, &Ask::Status {}).await.is_ok()
}

/// [`start`], with the keys at hand.
pub(crate) async fn start_unlocked(
    settings: Settings,
    store: Arc<dyn Store>,
    unlocked: Unlocked,
) -> Result<Started, StartError> {
    let outside = OutboundClient::new(&settings.outgoing).map_err(StartError::Outgoing)?;
    let Unlocked { store_id, root, keyring, ledger, opened_by } = unlocked;
    let (node, keys, known) = node(&settings, &*store, store_id, &keyring, &ledger).await?;
    let opened = open_audit(&settings, node, Some(keys), known)?;
    let audit::Opened { log, tail, checkpoints } = opened;
    let development = settings.development;
    // Before the core tells the log where the store stands: the next start must notice it too.
    check_revision(&*store, tail.seen_revision).await?;
    check_feed(&*store, &ledger, tail.seen_feed).await?;
    let keys = KeyringState::new(root, keyring);
    let core =
        Core::start(Parts { settings, store, store_id, node, keys, ledger, audit: log, outside }).await?;
    if !development && core.control().issuers().any(|issuer| issuer.row.development) {
        return Err(StartError::Development);
    }
    recover_lines(&core, &tail.request_ids).await?;
    core.take_denials().await;
    Ok(Started { core: Arc::new(core), checkpoints, opened_by })
}

/// Opens this node's audit log; without keys its lines have no MACs until it gets some.
pub(crate) fn open_audit(
    settings: &Settings,
    node: [u8; 16],
    keys: Option<AuditKeys>,
    known: Option<KnownCheckpoint>,
) -> Result<audit::Opened, StartError> {
    let audit_settings = audit::AuditSettings {
        segment_bytes: settings.audit.segment_bytes,
        reserve_bytes: settings.audit.reserve_bytes,
        ..audit::AuditSettings::new(&settings.audit.directory)
    };
    let clock = Arc::new(|| Moment::now().millis());
    AuditLog::open(audit_settings, node, keys, known, clock).map_err(StartError::Audit)
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
    let store = Arc::clone(&started.core.store);
    let audit = close_audit(started).await.map(drop);
    let store = store.close().await;
    audit?;
    store.map_err(|error| error.to_string())
}

/// Closes the audit log and keeps its last checkpoint; the store stays open.
pub(crate) async fn close_audit(started: Started) -> Result<Arc<Core>, String> {
    let Started { core, mut checkpoints, opened_by: _ } = started;
    let audit = core.audit.close().await;
    while let Ok(checkpoint) = checkpoints.try_recv() {
        record_checkpoint(&core, &checkpoint).await;
    }
    audit.map_err(|error| error.to_string())?;
    Ok(core)
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
    let mut trail = Trail::new(now, &Peer { source: "node".to_owned(), address: None, host: None }, action);
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

/// Whether there is no database in the data directory.
pub(crate) fn is_absent(settings: &Settings) -> bool {
    SqliteStore::is_absent(&SqliteOptions::new(&settings.data_directory))
}

/// The same, if a store was made there: looking at one makes nothing.
pub(crate) fn open_made_store(settings: &Settings) -> Result<Arc<dyn Store>, StartError> {
    if is_absent(settings) {
        return Err(StartError::Empty { directory: settings.data_directory.clone() });
    }
    open_store(settings)
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
