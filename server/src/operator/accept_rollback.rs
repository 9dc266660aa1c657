//! `petsem operator accept-rollback`, while no server holds the store: goes on with an older copy of the database, when
//! the newer one is lost.

use std::sync::Arc;

use petsem_engine::{
    Failure, LostChanges, Repeated, ReplacedKeys, ReportProgress, RowMacs, UnfinishedReplacement,
    UnlockError, Unlocked, begin_acceptance, check_control_state, find_lost_changes, lost_changes_between,
    row_macs,
};
use petsem_store::{OpenError, Store};

use crate::error::StartError;
use crate::messages;
use crate::node::identity::node;
use crate::node::start::{open_installed, unlock_store};
use crate::operator::replacement::{replace, replacing, with_keys};
use crate::settings::Settings;

/// The result of an acceptance.
#[derive(Clone, Debug, serde::Serialize)]
pub struct AcceptedRollback {
    /// The epoch of the store, from now on.
    pub epoch: u64,
    /// What the copy lacks; `None` if an earlier run of the command has printed it.
    pub lost: Option<LostChanges>,
    /// What was taken away again; `None` if an earlier run did.
    pub repeated: Option<Repeated>,
    /// What was replaced.
    pub replaced: ReplacedKeys,
    /// Rows that had no valid MAC: they got no new one and are refused as before.
    pub invalid_rows: u64,
}

/// What an acceptance would lose, for a person to read first; `None` if one has begun that no longer needs to know.
/// Changes nothing.
///
/// # Errors
/// [`StartError`]: there is nothing to accept, or this copy cannot be accepted.
pub async fn rollback_to_accept(settings: &Settings) -> Result<Option<LostChanges>, StartError> {
    let store = hold(settings).await?;
    let lost = async { lost_changes(settings, &*store, &unlock_store(settings, &*store).await?).await }.await;
    store.close().await.map_err(Failure::internal)?;
    lost
}

/// Accepts the copy, or finishes that. No server may hold the store at the same time.
///
/// # Errors
/// [`StartError`]. The text says whether something was changed, and what remains to do.
pub async fn accept_rollback(
    settings: &Settings,
    report: ReportProgress<'_>,
) -> Result<AcceptedRollback, StartError> {
    // Nothing else uses the store, so nothing has to be left for it.
    let settings = &Settings { rewraps_per_second: u32::MAX, ..settings.clone() };
    let store = hold(settings).await?;
    let lost = begin(settings, &*store).await;
    store.close().await.map_err(Failure::internal)?;
    let lost = lost?;
    let finished = finish(settings, lost.as_ref(), report).await;
    let (epoch, repeated, invalid_rows, replaced) =
        finished.map_err(|error| messages::acceptance_interrupted(&error))?;
    Ok(AcceptedRollback { epoch, lost, repeated, replaced, invalid_rows })
}

async fn hold(settings: &Settings) -> Result<Arc<dyn Store>, StartError> {
    match open_installed(settings).await {
        Err(StartError::Store(OpenError::InUse { .. })) => Err(messages::store_in_use()),
        opened => opened,
    }
}

async fn lost_changes(
    settings: &Settings,
    store: &dyn Store,
    unlocked: &Unlocked,
) -> Result<Option<LostChanges>, StartError> {
    let failed = |error: UnlockError| settings.unlock_failed(error);
    if let Some(unfinished @ UnfinishedReplacement::Removal(_)) = unlocked.unfinished_replacement() {
        return Err(messages::replacement_unfinished(&unfinished));
    }
    let begun = unlocked.accepted_lines();
    if begun.is_some() && row_macs(store, unlocked).await.map_err(failed)? != RowMacs::Old {
        return Ok(None);
    }
    let (_, keys) = node(settings, store, unlocked).await?;
    let directory = &settings.audit.directory;
    match begun {
        Some(lines) => {
            lost_changes_between(store, unlocked, keys, directory, lines).await.map(Some).map_err(failed)
        }
        None => {
            let lost = find_lost_changes(store, unlocked, keys, directory).await.map_err(failed)?;
            lost.map(Some).ok_or_else(messages::not_rolled_back)
        }
    }
}

/// Begins, unless that is done: what can stop a replacement half-way is checked first.
async fn begin(settings: &Settings, store: &dyn Store) -> Result<Option<LostChanges>, StartError> {
    let failed = |error: UnlockError| settings.unlock_failed(error);
    let unlocked = unlock_store(settings, store).await?;
    let lost = lost_changes(settings, store, &unlocked).await?;
    if let Some(lost) = &lost
        && unlocked.unfinished_replacement().is_none()
    {
        check_control_state(store, &unlocked).await.map_err(failed)?;
        let (id, _) = node(settings, store, &unlocked).await?;
        begin_acceptance(store, &unlocked, id, lost).await.map_err(failed)?;
    }
    Ok(lost)
}

/// Takes away what the lost changes took away, then replaces all keys.
async fn finish(
    settings: &Settings,
    lost: Option<&LostChanges>,
    report: ReportProgress<'_>,
) -> Result<(u64, Option<Repeated>, u64, ReplacedKeys), StartError> {
    let repeated = match lost {
        None => None,
        Some(lost) => {
            let work = replacing(settings, async |engine| {
                engine.finish_keyring_rotation().await?;
                engine.take_denials().await;
                engine.take_away_again(lost).await
            });
            Some(work.await?)
        }
    };
    let (invalid_rows, replaced) = replace(settings, report).await?;
    let epoch = with_keys(settings, async |_, unlocked| Ok(unlocked.codec.epoch())).await?;
    Ok((epoch, repeated, invalid_rows, replaced))
}
