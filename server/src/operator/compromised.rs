//! `petsem operator seal remove --compromised`, while no server holds the store: removes the seal, then replaces every
//! key that it could open.
//!
//! The removal of the seal and the begin of the replacement are one change. From then on every start refuses the store
//! and names this command, which continues after a kill.

use petsem_engine::{
    CompromisedSeal, Failure, ReplacedKeys, ReportProgress, SealInfo, UnfinishedReplacement,
    check_control_state,
};

use crate::error::StartError;
use crate::messages;
use crate::node::start::{start, stop_after, unlock_store};
use crate::operator::replacement::{replace, with_keys};
use crate::operator::root_key::{hold_stopped, new_root};
use crate::operator::seals::list_seals;
use crate::settings::Settings;

/// The result of the removal of a compromised seal.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Compromised {
    /// The removed seal.
    pub removed: CompromisedSeal,
    /// The seals that open the store.
    pub seals: Vec<SealInfo>,
    /// What was replaced.
    pub replaced: ReplacedKeys,
    /// Rows that had no valid MAC: they got no new one and are refused as before.
    pub invalid_rows: u64,
}

/// Removes a compromised seal, and replaces every key that it could open; or finishes that. No server may hold the
/// store at the same time.
///
/// # Errors
/// [`StartError`]. The text says whether something was changed, and what remains to do.
pub async fn remove_compromised(
    settings: &Settings,
    which: &str,
    report: ReportProgress<'_>,
) -> Result<Compromised, StartError> {
    // Nothing else uses the store, so nothing has to be left for it.
    let settings = &Settings { rewraps_per_second: u32::MAX, ..settings.clone() };
    let removed = match unfinished(settings).await? {
        Some(UnfinishedReplacement::Removal(removed)) if removed.is_meant_by(which) => removed,
        Some(UnfinishedReplacement::Removal(other)) => {
            return Err(messages::another_removal_unfinished(which, &other));
        }
        Some(other @ UnfinishedReplacement::Rollback) => {
            return Err(messages::replacement_unfinished(&other));
        }
        None => remove(settings, which).await?,
    };
    let replaced = replace(settings, report).await;
    let (invalid_rows, replaced) =
        replaced.map_err(|error| messages::replacement_interrupted(&removed, &error))?;
    Ok(Compromised { removed, seals: list_seals(settings).await?, replaced, invalid_rows })
}

/// What has begun and is not finished.
async fn unfinished(settings: &Settings) -> Result<Option<UnfinishedReplacement>, StartError> {
    let store = hold_stopped(settings).await?;
    let unlocked = unlock_store(settings, &*store).await;
    store.close().await.map_err(Failure::internal)?;
    Ok(unlocked?.unfinished_replacement())
}

/// Begins: what can stop a replacement half-way is checked before the seal is removed.
async fn remove(settings: &Settings, which: &str) -> Result<CompromisedSeal, StartError> {
    let started = start(settings.clone()).await?;
    stop_after(started, async |engine| engine.finish_keyring_rotation().await).await??;
    with_keys(settings, async |store, unlocked| check_control_state(store, unlocked).await).await?;
    new_root(settings, &[], Some(which)).await?;
    match with_keys(settings, async |_, unlocked| Ok(unlocked.unfinished_replacement())).await? {
        Some(UnfinishedReplacement::Removal(removed)) => Ok(removed),
        Some(UnfinishedReplacement::Rollback) | None => Err(messages::removal_vanished()),
    }
}
