//! From an empty directory to an installation, and from an installation to a running core.
//!
//! A start reads the seal and the keyring, never the secrets: it takes as long with ten million of them as
//! with ten.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use getrandom::SysRng;
use petsem_audit::{self as audit, AuditLog, Checkpoint};
use petsem_engine::{
    Engine, EngineParts, Failure, NodeKeys, OpenedBy, Timestamp, UnlockError, Unlocked, missing_from_store,
    unlock,
};
use petsem_outbound::{OutboundClient, OutboundSetupError};
use petsem_seals::input_from_people;
use petsem_store::{SqliteOptions, SqliteStore, Store};
use rand_core::UnwrapErr;
use tokio::sync::mpsc;

use crate::fetch::OutboundFetch;
use crate::http::state::ServerState;
use crate::node::identity::node;
use crate::operator::socket::{Ask, ask};
use crate::settings::Settings;

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

impl StartError {
    /// Why the store in this directory was not unlocked.
    pub(crate) fn of_unlock(error: UnlockError, data_directory: &Path) -> Self {
        match error {
            UnlockError::Sealed { tried, wraps } => {
                let people = wraps.iter().filter_map(|wrap| input_from_people(&wrap.kind, &wrap.wrapped));
                Self::Sealed { tried, people: people.collect() }
            }
            UnlockError::Seal(source) => Self::Seal(source),
            UnlockError::NoStoreRow => Self::Refused(format!(
                "integrity: the store in {} has rows, and its own row is not among them: it was removed, or the file \
                 is damaged\nrestore the store from a backup; do not make a new one in its place",
                data_directory.display()
            )),
            error => Self::Refused(error.to_string()),
        }
    }

    /// A refusal that the person at the node reads as a caller would.
    pub(crate) fn refusal(failure: Failure) -> Self {
        Self::Refused(failure.external().to_owned())
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
    pub(crate) state: Arc<ServerState>,
    pub(crate) settings: Settings,
    pub(crate) checkpoints: mpsc::Receiver<Checkpoint>,
    pub(crate) opened_by: OpenedBy,
}

/// Opens an installation: seal, keyring, audit log, control feed; and gives each committed change the line that
/// a kill took from it.
pub(crate) async fn start(settings: Settings) -> Result<Started, StartError> {
    let store = open_installed(&settings).await?;
    let unlocked = unlock(&settings.seal_sources(), &*store).await;
    let unlocked = unlocked.map_err(|error| settings.unlock_failed(error))?;
    let started = start_unlocked(settings, store, unlocked).await?;
    started.state.engine.note_opened(&started.opened_by).await;
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
    let outbound = OutboundClient::new(&settings.outgoing).map_err(StartError::Outgoing)?;
    let opened_by = unlocked.opened_by.clone();
    let (node, keys) = node(&settings, &*store, &unlocked).await?;
    let opened = open_audit(&settings, node, Some(keys))?;
    let audit::Opened { log, tail, checkpoints } = opened;
    // Before the engine tells the log where the store stands: the next start must notice it too.
    if let Some(what) = missing_from_store(&*store, &unlocked, &tail).await? {
        return Err(StartError::RolledBack { what });
    }
    let parts = EngineParts {
        settings: settings.for_engine(),
        store,
        unlocked,
        node,
        audit: log,
        fetch: Arc::new(OutboundFetch(outbound)),
    };
    let engine = Engine::start(parts).await?;
    if !settings.development && engine.has_development_issuer() {
        return Err(StartError::Development);
    }
    engine.recover_lines(&tail.request_ids).await?;
    engine.take_denials().await;
    let state = Arc::new(ServerState::new(engine, settings.limits));
    Ok(Started { state, settings, checkpoints, opened_by })
}

/// Opens this node's audit log; without keys its lines have no MACs until it gets some.
pub(crate) fn open_audit(
    settings: &Settings,
    node: [u8; 16],
    keys: Option<NodeKeys>,
) -> Result<audit::Opened, StartError> {
    let audit_settings = audit::AuditSettings {
        segment_bytes: settings.audit.segment_bytes,
        reserve_bytes: settings.audit.reserve_bytes,
        ..audit::AuditSettings::new(&settings.audit.directory)
    };
    let clock = Arc::new(|| Timestamp::now().millis());
    let (keys, known) = keys.map_or((None, None), |keys| (Some(keys.keys), keys.checkpoint));
    AuditLog::open(audit_settings, node, keys, known, clock).map_err(StartError::Audit)
}

/// Closes what was opened, in the order that loses nothing.
pub(crate) async fn stop(started: Started) -> Result<(), String> {
    let store = Arc::clone(started.state.engine.store());
    let audit = close_audit(started).await.map(drop);
    let store = store.close().await;
    audit?;
    store.map_err(|error| error.to_string())
}

/// Closes the audit log and keeps its last checkpoint; the store stays open.
pub(crate) async fn close_audit(started: Started) -> Result<Arc<ServerState>, String> {
    let Started { state, mut checkpoints, opened_by: _, settings: _ } = started;
    let closed = state.engine.close_audit().await;
    while let Ok(checkpoint) = checkpoints.try_recv() {
        state.engine.record_checkpoint(&checkpoint).await;
    }
    closed.map_err(|error| error.to_string())?;
    Ok(state)
}

/// Opens the embedded store of the data directory.
pub(crate) fn open_store(settings: &Settings) -> Result<Arc<dyn Store>, StartError> {
    let options = SqliteOptions::new(&settings.data_directory);
    let store = SqliteStore::open(&options, Box::new(UnwrapErr(SysRng))).map_err(StartError::Store)?;
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
