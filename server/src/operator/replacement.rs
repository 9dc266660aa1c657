//! Replaces all keys of a store that no server holds: after the removal of a compromised seal, and after an older copy
//! of the store was accepted. Either begins with a change that makes every start refuse the store and name its command,
//! which continues after a kill.

use petsem_audit::{AuditOpenError, DurableCheckpoint, KnownCheckpoint, Opened, is_set_aside, set_aside};
use petsem_engine::{
    Engine, Failure, NodeKeys, ReplacedKeys, ReportProgress, RowMacs, Timestamp, UnlockError, Unlocked,
    begin_new_chain, nodes_with_old_keys, replace_row_macs, row_macs,
};
use petsem_store::Store;

use crate::error::StartError;
use crate::node::identity::node;
use crate::node::start::{open_audit, start_replacing, stop_after, unlock_store, with_store};
use crate::operator::root_key::hold_stopped;
use crate::settings::Settings;

/// Replaces what is not replaced yet. Returns how many rows had no valid MAC.
pub(crate) async fn replace(
    settings: &Settings,
    report: ReportProgress<'_>,
) -> Result<(u64, ReplacedKeys), StartError> {
    // Each engine is started with the keys that the step before it left.
    let mut invalid_rows = 0;
    let step = with_keys(settings, async |store, unlocked| row_macs(store, unlocked).await).await?;
    if matches!(step, RowMacs::Old | RowMacs::Begun) {
        // It also writes the audit lines that a kill kept from the log, while the key of their MACs is there.
        replacing(settings, async |engine| engine.begin_replacement().await).await?;
    }
    if step != RowMacs::New {
        let store = hold_stopped(settings).await?;
        let unlocked = unlock_store(settings, &*store).await?;
        let (this, _) = node(settings, &*store, &unlocked).await?;
        let replaced = replace_row_macs(&*store, &unlocked, this, report).await;
        invalid_rows = replaced.map_err(|error| settings.unlock_failed(error))?;
        store.close().await.map_err(Failure::internal)?;
    }
    replace_audit_keys(settings).await?;
    let replaced = replacing(settings, async |engine| engine.replace_keys(report).await).await?;
    Ok((invalid_rows, replaced))
}

/// Opens the store and its keys, works with them, and closes it.
pub(crate) async fn with_keys<T>(
    settings: &Settings,
    work: impl AsyncFnOnce(&dyn Store, &Unlocked) -> Result<T, UnlockError>,
) -> Result<T, StartError> {
    with_store(settings, async |store| {
        let unlocked = unlock_store(settings, store).await?;
        work(store, &unlocked).await.map_err(|error| settings.unlock_failed(error))
    })
    .await
}

/// Ends the chain of this node's audit log, and those of other nodes of the store, so that new ones begin.
async fn replace_audit_keys(settings: &Settings) -> Result<(), StartError> {
    let failed = |error| settings.unlock_failed(error);
    let store = hold_stopped(settings).await?;
    let unlocked = unlock_store(settings, &*store).await?;
    let (this, keys) = node(settings, &*store, &unlocked).await?;
    let mut keys = Some(keys);
    for id in nodes_with_old_keys(&*store, &unlocked).await.map_err(failed)? {
        let (end, last_segment) = match keys.take_if(|_| id == this) {
            Some(keys) => end_log(settings, this, keys).await?,
            None => (None, 0),
        };
        let now = Timestamp::now().millis();
        begin_new_chain(&*store, &unlocked, id, end, last_segment, now).await.map_err(failed)?;
    }
    store.close().await.map_err(Failure::internal)?;
    Ok(())
}

/// Moves the files of this node's log into a folder. Returns its end, and the highest number of a file.
async fn end_log(
    settings: &Settings,
    node: [u8; 16],
    keys: NodeKeys,
) -> Result<(Option<KnownCheckpoint>, u64), StartError> {
    let directory = &settings.audit.directory;
    let chain = keys.chain;
    // A store that was put back to before the end of its log does not get a new one.
    let end = match open_audit(settings, node, Some(keys)) {
        Ok(Opened { log, mut checkpoints, .. }) => {
            log.close().await.map_err(|error| StartError::Refused(error.to_string()))?;
            let mut end = None;
            while let Ok(DurableCheckpoint { checkpoint, .. }) = checkpoints.try_recv() {
                end = Some(KnownCheckpoint { line: checkpoint.line, head: checkpoint.head });
            }
            end
        }
        // A kill came after its files were moved.
        Err(StartError::Audit(AuditOpenError::Missing { .. })) if is_set_aside(directory, chain) => None,
        Err(error) => return Err(error),
    };
    let moved = set_aside(directory, chain).map_err(StartError::Audit)?;
    Ok((end, moved.map_or(0, |moved| moved.last_segment)))
}

/// Starts an engine on a store whose keys are being replaced, works with it, and stops it.
pub(crate) async fn replacing<T>(
    settings: &Settings,
    work: impl AsyncFnOnce(&Engine) -> Result<T, Failure>,
) -> Result<T, StartError> {
    let store = hold_stopped(settings).await?;
    let unlocked = unlock_store(settings, &*store).await?;
    let started = start_replacing(settings.clone(), store, unlocked).await?;
    Ok(stop_after(started, work).await??)
}
