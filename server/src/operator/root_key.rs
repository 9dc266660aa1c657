//! `petsem operator rotate-root`, while no server holds the store.

use std::sync::Arc;

use petsem_engine::{RotatedRoot, SealedRows, Timestamp, plan_new_root};
use petsem_store::{OpenError, Store};

use crate::error::StartError;
use crate::messages;
use crate::node::start::{open_installed, start_unlocked, stop_after};
use crate::settings::Settings;

/// Creates a new root key, and removes the seals named in `drop`. No server may hold the store at the same time.
///
/// # Errors
/// [`StartError`]; nothing was changed.
pub async fn rotate_root(settings: &Settings, drop: &[String]) -> Result<RotatedRoot, StartError> {
    new_root(settings, drop, None).await
}

/// The same. A seal that is `compromised` is removed, too, and the replacement of all keys that it could open begins.
pub(crate) async fn new_root(
    settings: &Settings,
    drop: &[String],
    compromised: Option<&str>,
) -> Result<RotatedRoot, StartError> {
    let held = hold_stopped(settings).await?;
    let rows = SealedRows::read(&*held).await?;
    let now = Timestamp::now().millis();
    let sources = settings.seal_sources();
    let planned = plan_new_root(&sources, rows, drop, compromised, now, messages::seal_not_tried).await;
    let planned = planned.map_err(|error| settings.unlock_failed(error))?;
    let started = start_unlocked(settings.clone(), held, planned.unlocked).await?;
    let report = planned.report;
    stop_after(started, async |engine| engine.commit_new_root(&planned.rows, &report).await).await??;
    Ok(report)
}

/// The store, which no server holds.
pub(crate) async fn hold_stopped(settings: &Settings) -> Result<Arc<dyn Store>, StartError> {
    match open_installed(settings).await {
        Err(StartError::Store(OpenError::InUse { .. })) => Err(messages::root_key_in_use()),
        opened => opened,
    }
}
