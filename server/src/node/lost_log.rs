//! A lost audit log: lines of it are missing or changed, so the node does not become ready. It serves again when the
//! log is restored, or when an operator accepts the loss: then it begins a new chain that names the end of the one
//! before.

use std::sync::Arc;

use petsem_audit::{AuditOpenError, StorePosition, check_end, set_aside};
use petsem_engine::{AuditRecord, NodeKeys, Timestamp, Unlocked, begin_new_chain};
use petsem_store::Store;

use crate::error::StartError;
use crate::messages;
use crate::node::file_owner::explained;
use crate::node::identity::{is_of_later_chain, node};
use crate::node::start::{Started, start_opened};
use crate::settings::Settings;

/// Starts a node whose audit log may be lost. If it is, moves the files that are left out of the way and begins a new
/// chain. Returns what was accepted; `None` if nothing is lost.
///
/// # Errors
/// [`StartError`]. What was moved stays where it is.
pub(crate) async fn start_accepting_loss(
    settings: Settings,
    store: Arc<dyn Store>,
    unlocked: Unlocked,
    source: &str,
) -> Result<(Started, Option<String>), StartError> {
    let accepted = replace_lost_log(&settings, &*store, &unlocked).await?;
    let started = start_opened(settings, store, unlocked).await?;
    if let Some(accepted) = &accepted {
        let engine = &started.state.engine;
        let mut audit = AuditRecord::on_node(engine.now(), source, "operator.audit.accept_loss");
        audit.set_detail(accepted);
        engine.record(&audit).await?;
    }
    Ok((started, accepted))
}

/// The state of a log.
pub(crate) enum LogState {
    /// It has what the store knows of it, and has seen this much of the store.
    Whole(StorePosition),
    /// What is lost of it.
    Lost(AuditOpenError),
}

/// The state of the log. Only looks.
///
/// # Errors
/// [`StartError`]: the log cannot be read.
pub(crate) fn look_at_log(settings: &Settings, id: [u8; 16], keys: NodeKeys) -> Result<LogState, StartError> {
    let chain = keys.chain;
    match check_end(&settings.audit.directory, id, keys.keys, keys.checkpoint) {
        Ok(seen) => Ok(LogState::Whole(seen)),
        Err(error) if error.is_loss() && is_of_later_chain(settings, chain) => {
            Err(messages::database_before_chain(settings, chain))
        }
        Err(error) if error.is_loss() => Ok(LogState::Lost(error)),
        Err(error) => Err(explained(settings, StartError::Audit(error))),
    }
}

/// What is lost of the log; `None` if nothing is.
///
/// # Errors
/// As [`look_at_log`].
pub(crate) fn find_loss(
    settings: &Settings,
    id: [u8; 16],
    keys: NodeKeys,
) -> Result<Option<AuditOpenError>, StartError> {
    match look_at_log(settings, id, keys)? {
        LogState::Whole(_) => Ok(None),
        LogState::Lost(error) => Ok(Some(error)),
    }
}

/// [`start_accepting_loss`] without the start.
///
/// # Errors
/// [`StartError`]. What was moved stays where it is.
pub(crate) async fn replace_lost_log(
    settings: &Settings,
    store: &dyn Store,
    unlocked: &Unlocked,
) -> Result<Option<String>, StartError> {
    let (id, keys) = node(settings, store, unlocked).await?;
    let chain = keys.chain;
    let Some(lost) = find_loss(settings, id, keys)? else { return Ok(None) };
    let moved = set_aside(&settings.audit.directory, chain).map_err(StartError::Audit)?;
    let last_segment = moved.as_ref().map_or(0, |moved| moved.last_segment);
    let now = Timestamp::now().millis();
    let begun = begin_new_chain(store, unlocked, id, None, last_segment, now).await;
    begun.map_err(|error| settings.unlock_failed(error))?;
    Ok(Some(messages::loss_accepted(&lost, chain, moved.as_ref().map(|moved| &*moved.folder))))
}
