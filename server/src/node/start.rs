//! Starts an engine on an installation, and stops it.
//!
//! A start reads the seal and the keyring, but no secret, so its duration does not depend on the number of secrets.

use std::path::Path;
use std::sync::Arc;

use getrandom::SysRng;
use petsem_audit::{self as audit, AuditLog, DurableCheckpoint};
use petsem_engine::{
    AuditRecord, Engine, EngineParts, Failure, MOST_KEYRING_VERSIONS, MOST_SEALS, NodeKeys, OpenedBy,
    SealedRows, Timestamp, UnfinishedReplacement, Unlocked, missing_from_store, scrubbed, unlock,
    unlock_rows,
};
use petsem_outbound::OutboundClient;
use petsem_store::{RecordKind, SqliteOptions, SqliteStore, SqliteView, Store};
use rand_core::UnwrapErr;
use tokio::sync::mpsc;

use crate::error::StartError;
use crate::fetch::OutboundFetch;
use crate::http::state::ServerState;
use crate::messages;
use crate::node::file_owner::{check_user, explained};
use crate::node::identity::{is_of_later_chain, lost_node, node};
use crate::operator::socket::{SocketCommand, send};
use crate::settings::Settings;

/// A running engine, with what belongs to the server that runs it.
pub(crate) struct Started {
    pub(crate) state: Arc<ServerState>,
    pub(crate) settings: Settings,
    pub(crate) checkpoints: mpsc::Receiver<DurableCheckpoint>,
    pub(crate) opened_by: OpenedBy,
}

/// Opens an installation: seal, keyring, audit log, control feed. Writes the audit line of each committed change
/// that has none because of a kill.
pub(crate) async fn start(settings: Settings) -> Result<Started, StartError> {
    let store = open_installed(&settings).await?;
    let unlocked = unlock_store(&settings, &*store).await?;
    start_opened(settings, store, unlocked).await
}

/// Starts, works with the engine, and stops, whatever the result of the work. A refusal has the text that an API client
/// would get.
pub(crate) async fn with_engine<T>(
    settings: &Settings,
    work: impl AsyncFnOnce(&Engine) -> Result<T, Failure>,
) -> Result<T, StartError> {
    let started = start(settings.clone()).await?;
    stop_after(started, work).await?.map_err(StartError::refusal)
}

/// Works with the engine of a server that has started, and stops it, whatever the result of the work.
pub(crate) async fn stop_after<T>(
    started: Started,
    work: impl AsyncFnOnce(&Engine) -> T,
) -> Result<T, StartError> {
    let result = work(&started.state.engine).await;
    stop(started).await.map_err(StartError::Refused)?;
    Ok(result)
}

/// Opens the store of an installation to read it, works with it, and closes it, whatever the result of the work.
pub(crate) async fn with_store<T>(
    settings: &Settings,
    work: impl AsyncFnOnce(&dyn Store) -> Result<T, StartError>,
) -> Result<T, StartError> {
    let store = open_any(settings).await?;
    let result = work(&*store).await;
    store.close().await.map_err(Failure::internal)?;
    result
}

/// Unlocks a store with the input of the settings, or with their seals.
pub(crate) async fn unlock_store(settings: &Settings, store: &dyn Store) -> Result<Unlocked, StartError> {
    unlock(&settings.seal_sources(), store).await.map_err(|error| settings.unlock_failed(error))
}

/// The same for a store that a server holds.
pub(crate) async fn unlock_held(settings: &Settings) -> Result<Unlocked, StartError> {
    let rows = view_rows(&settings.data_directory)?;
    let unlocked = unlock_rows(&settings.seal_sources(), rows).await;
    unlocked.map_err(|error| settings.unlock_failed(error))
}

/// The rows that a seal opens, read from a store that a server may hold.
pub(crate) fn view_rows(data_directory: &Path) -> Result<SealedRows, StartError> {
    let view = SqliteView::open(data_directory).map_err(StartError::Store)?;
    Ok(SealedRows {
        store: view.records(RecordKind::Store, 1)?.into_iter().next(),
        seals: view.records(RecordKind::Seal, MOST_SEALS)?,
        keyring: view.records(RecordKind::KeyringKey, MOST_KEYRING_VERSIONS)?,
    })
}

/// Opens the store of an installation, but decrypts nothing.
pub(crate) async fn open_installed(settings: &Settings) -> Result<Arc<dyn Store>, StartError> {
    // After the store is open: beside a server, a command of root hands over what it wants.
    close_if_foreign(settings, open_any(settings).await?).await
}

/// Refuses, as root, a store of another user.
pub(crate) async fn close_if_foreign(
    settings: &Settings,
    store: Arc<dyn Store>,
) -> Result<Arc<dyn Store>, StartError> {
    if let Err(refused) = check_user(settings) {
        store.close().await.map_err(Failure::internal)?;
        return Err(refused);
    }
    Ok(store)
}

async fn open_any(settings: &Settings) -> Result<Arc<dyn Store>, StartError> {
    let store = match open_made_store(settings) {
        Err(StartError::Empty { directory }) if is_served(&directory).await => {
            return Err(StartError::Gone { directory });
        }
        Err(StartError::Empty { .. }) => return Err(empty(settings)),
        opened => opened.map_err(|error| explained(settings, error))?,
    };
    if store.is_empty().await? {
        return Err(empty(settings));
    }
    Ok(store)
}

/// Why there is no installation: none was created, or its database was lost.
fn empty(settings: &Settings) -> StartError {
    match lost_node(settings) {
        Ok(Some(node)) => messages::database_lost(settings, &node),
        _ => StartError::Empty { directory: settings.data_directory.clone() },
    }
}

/// Whether a server runs on this data directory.
async fn is_served(data_directory: &Path) -> bool {
    send(data_directory, &SocketCommand::Status {}).await.is_ok()
}

/// [`start`], with a store that a seal opened at this start, which is noted.
pub(crate) async fn start_opened(
    settings: Settings,
    store: Arc<dyn Store>,
    unlocked: Unlocked,
) -> Result<Started, StartError> {
    let started = start_unlocked(settings, store, unlocked).await?;
    started.state.engine.note_opened(&started.opened_by).await;
    Ok(started)
}

/// [`start`], with an unlocked store. The seal is not noted: the list of seals is new, or about to change.
pub(crate) async fn start_unlocked(
    settings: Settings,
    store: Arc<dyn Store>,
    unlocked: Unlocked,
) -> Result<Started, StartError> {
    match unlocked.unfinished_replacement() {
        Some(unfinished) => Err(messages::replacement_unfinished(&unfinished)),
        None => start_replacing(settings, store, unlocked).await,
    }
}

/// [`start_unlocked`], for the commands that replace all keys: what they replace still counts.
pub(crate) async fn start_replacing(
    settings: Settings,
    store: Arc<dyn Store>,
    unlocked: Unlocked,
) -> Result<Started, StartError> {
    if unlocked.development && !settings.development {
        return Err(StartError::Development);
    }
    let outbound = OutboundClient::new(&settings.outgoing).map_err(StartError::Outgoing)?;
    let unfinished = unlocked.unfinished_replacement();
    let is_replacing = unfinished.is_some();
    let opened_by = unlocked.opened_by.clone();
    let node = node(&settings, &*store, &unlocked).await;
    let (node, keys) = node.map_err(|error| explained(&settings, error))?;
    let (chain, lost) = (keys.chain, keys.lost.clone().filter(|_| keys.checkpoint.is_none()));
    let opened = open_audit(&settings, node, Some(keys))?;
    let audit::Opened { log, tail, checkpoints } = opened;
    // Before the engine gives the log the store's position: otherwise the next start would not detect it.
    // An acceptance that has begun knows what the store lacks.
    let is_accepted = matches!(unfinished, Some(UnfinishedReplacement::Rollback));
    let missing = missing_from_store(&*store, &unlocked, tail.seen).await?;
    if let Some(what) = missing.filter(|_| !is_accepted) {
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
    engine.check_own_discharger()?;
    // Until the store has a checkpoint of the chain, it may lack this line.
    if let Some(lost) = lost {
        let mut audit = AuditRecord::on_node(engine.now(), "node", "audit.chain");
        audit.set_detail(messages::new_chain(chain, &lost));
        engine.record(&audit).await?;
    }
    engine.recover_lines(&tail.request_ids).await?;
    // A denial changes the control state, whose pages may be about to get new MACs.
    if !is_replacing {
        engine.take_denials().await;
    }
    let state = Arc::new(ServerState::new(engine, &settings));
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
        first_segment: keys
            .as_ref()
            .and_then(|keys| keys.lost.as_ref())
            .map_or(1, |lost| lost.segment.saturating_add(1)),
        ..audit::AuditSettings::new(&settings.audit.directory)
    };
    let clock = Arc::new(|| Timestamp::now().millis());
    let chain = keys.as_ref().map(|keys| keys.chain);
    let (keys, known) = keys.map_or((None, None), |keys| (Some(keys.keys), keys.checkpoint));
    let opened = AuditLog::open(audit_settings, node, keys, known, clock);
    opened.map_err(|error| {
        match chain.filter(|chain| error.is_loss() && is_of_later_chain(settings, *chain)) {
            Some(chain) => messages::database_before_chain(settings, chain),
            None => explained(settings, StartError::Audit(error)),
        }
    })
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
        // It wraps a key with the keyring, and the server may be about to seal.
        scrubbed(state.engine.record_checkpoint(&checkpoint)).await;
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
