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
use crate::node::lost_log::look_at_log;
use crate::node::start::{open_installed, unlock_store};
use crate::operator::replacement::{replace, replacing, with_keys};
use crate::settings::Settings;

/// The result of an acceptance.
#[derive(Clone, Debug, serde::Serialize)]
pub struct AcceptedRollback {
    /// The epoch of the store, from now on.
    pub epoch: u64,
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

/// Accepts the copy, and takes away what the lost changes took away; `None` if an earlier run did. No server may hold the
/// store at the same time, and none starts before [`finish_acceptance`].
///
/// # Errors
/// [`StartError`]. The text says whether something was changed, and what remains to do.
pub async fn accept_rollback(settings: &Settings) -> Result<Option<Repeated>, StartError> {
    let settings = &undisturbed(settings);
    let store = hold(settings).await?;
    let lost = begin(settings, &*store).await;
    store.close().await.map_err(Failure::internal)?;
    let Some(lost) = lost? else { return Ok(None) };
    let repeated = replacing(settings, async |engine| {
        engine.finish_keyring_rotation().await?;
        engine.take_denials().await;
        engine.take_away_again(&lost).await
    });
    repeated.await.map(Some).map_err(|error| messages::acceptance_interrupted(&error))
}

/// Replaces all keys of an accepted copy.
///
/// # Errors
/// [`StartError`]: no server starts before the command is repeated.
pub async fn finish_acceptance(
    settings: &Settings,
    report: ReportProgress<'_>,
) -> Result<AcceptedRollback, StartError> {
    let settings = &undisturbed(settings);
    let interrupted = |error: StartError| messages::acceptance_interrupted(&error);
    let (invalid_rows, replaced) = replace(settings, report).await.map_err(interrupted)?;
    let epoch = with_keys(settings, async |_, unlocked| Ok(unlocked.codec.epoch())).await?;
    Ok(AcceptedRollback { epoch, replaced, invalid_rows })
}

/// Nothing else uses the store, so nothing has to be left for it.
fn undisturbed(settings: &Settings) -> Settings {
    Settings { rewraps_per_second: u32::MAX, ..settings.clone() }
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
            let (id, of_end) = node(settings, store, unlocked).await?;
            look_at_log(settings, id, of_end)?;
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
