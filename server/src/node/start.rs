//! Starts an engine on an installation, and stops it.
//!
//! A start reads the seal and the keyring, but no secret, so its duration does not depend on the number of secrets.

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

/// Why a server does not start. Requests never return it.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The store cannot be opened.
    Store(petsem_store::OpenError),
    /// The store holds no installation.
    Empty {
        /// The data directory.
        directory: PathBuf,
    },
    /// A server runs, but its database was moved or removed.
    Gone {
        /// The data directory.
        directory: PathBuf,
    },
    /// The store already holds an installation.
    Installed {
        /// The data directory.
        directory: PathBuf,
    },
    /// No seal opens the store.
    Sealed {
        /// The error of each seal that was tried.
        tried: Vec<String>,
        /// The inputs from people that can open the store, one for each seal that needs them.
        people: Vec<String>,
    },
    /// The seal's key file.
    Seal(Box<dyn std::error::Error + Send + Sync>),
    /// The audit log cannot be opened.
    Audit(audit::AuditOpenError),
    /// The node's id in the audit directory cannot be read or written.
    Node {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store is older than the state that this node's audit log recorded, or is another store.
    RolledBack {
        /// What the store lacks.
        what: String,
    },
    /// The settings for calls to third parties cannot be used.
    Outgoing(OutboundSetupError),
    /// The store was created by `petsem dev`: anyone with the development key can read everything.
    Development,
    /// Stored data differs from what was written, or cannot be read; or the request was refused.
    Refused(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(source) => source.fmt(f),
            Self::Empty { directory } => write!(
                f,
                "the store in {} is empty: there is no installation to serve\ncreate one with `petsem operator init`, \
                 or correct data_directory in the configuration",
                directory.display()
            ),
            Self::Gone { directory } => write!(
                f,
                "a server runs on {}, but its database is no longer there: it was moved or removed; nothing was \
                 changed\nrestore petsem.db and the files next to it while that server still runs: what it writes is \
                 lost when it stops",
                directory.display()
            ),
            Self::Installed { directory } => write!(
                f,
                "the store in {} already holds an installation; nothing was changed\nfor a new one configure another \
                 data_directory",
                directory.display()
            ),
            Self::Sealed { tried, people } => write_sealed(f, tried, people),
            Self::Seal(source) => source.fmt(f),
            Self::Audit(source) => source.fmt(f),
            Self::Node { path, source } => {
                write!(f, "the node's id in {} cannot be used: {source}\nmake the user that runs petsem the owner of the directory, with mode 0700", path.display())
            }
            Self::RolledBack { what } => write!(
                f,
                "integrity: the store lacks {what}, which this node's audit log recorded: an older copy was restored, \
                 or it is another store\nrevocations may be missing, so it is not served; restore the newer database"
            ),
            Self::Outgoing(source) => write!(f, "{source}\ncorrect outgoing.ca_file in the configuration"),
            Self::Development => f.write_str(
                "this store was created by `petsem dev`, which keeps its issuer's key in a file; `petsem server` does \
                 not serve it\ncreate a separate installation with `petsem operator init`",
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
        f.write_str("the store is sealed, and the configuration has no seal that opens without a person\n")?;
    } else {
        writeln!(f, "none of the tried seals opens the store:\n{}", tried.join("\n"))?;
    }
    if !people.is_empty() {
        let people = people.join(", or ");
        write!(
            f,
            "provide {people} (--passphrase-file, --share-file), or configure a seal of this store that opens without \
             a person under [[seal]]"
        )
    } else if tried.is_empty() {
        f.write_str("configure the seal that the store was created with under [[seal]]")
    } else {
        f.write_str("correct that and try again, or configure another seal of this store under [[seal]]")
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
                "integrity: the store in {} has rows, but its own row is missing: it was removed, or the file is \
                 damaged\nrestore the store from a backup; do not create a new one in its place",
                data_directory.display()
            )),
            error => Self::Refused(error.to_string()),
        }
    }

    /// A refusal with the text that an API client would get.
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

/// A running engine, with what belongs to the server that runs it.
pub(crate) struct Started {
    pub(crate) state: Arc<ServerState>,
    pub(crate) settings: Settings,
    pub(crate) checkpoints: mpsc::Receiver<Checkpoint>,
    pub(crate) opened_by: OpenedBy,
}

/// Opens an installation: seal, keyring, audit log, control feed. Writes the audit line of each committed change
/// that has none because of a kill.
pub(crate) async fn start(settings: Settings) -> Result<Started, StartError> {
    let store = open_installed(&settings).await?;
    let unlocked = unlock(&settings.seal_sources(), &*store).await;
    let unlocked = unlocked.map_err(|error| settings.unlock_failed(error))?;
    let started = start_unlocked(settings, store, unlocked).await?;
    started.state.engine.note_opened(&started.opened_by).await;
    Ok(started)
}

/// Opens the store of an installation, but decrypts nothing.
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

/// [`start`], with an unlocked store.
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
    // Before the engine gives the log the store's position: otherwise the next start would not detect it.
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

/// Opens this node's audit log. Without keys, its lines have no MACs.
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

/// Closes the audit log, then the store, so that the last checkpoint is stored.
pub(crate) async fn stop(started: Started) -> Result<(), String> {
    let store = Arc::clone(started.state.engine.store());
    let audit = close_audit(started).await.map(drop);
    let store = store.close().await;
    audit?;
    store.map_err(|error| error.to_string())
}

/// Closes the audit log and stores its last checkpoint; the store stays open.
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

/// [`open_store`], but fails if there is no database: reading must not create one.
pub(crate) fn open_made_store(settings: &Settings) -> Result<Arc<dyn Store>, StartError> {
    if is_absent(settings) {
        return Err(StartError::Empty { directory: settings.data_directory.clone() });
    }
    open_store(settings)
}
