//! `petsem operator rotate-root` and `seal remove --compromised`, while no server holds the store.

use petsem_engine::{RotatedRoot, SealedRows, Timestamp, plan_new_root};
use petsem_store::OpenError;

use crate::error::StartError;
use crate::messages;
use crate::node::start::{open_installed, start, start_unlocked, stop_after};
use crate::settings::Settings;

/// Creates a new root key, and removes the seals named in `drop`. No server may hold the store at the same time.
///
/// # Errors
/// [`StartError`]; nothing was changed.
pub async fn rotate_root(settings: &Settings, drop: &[String]) -> Result<RotatedRoot, StartError> {
    let held = match open_installed(settings).await {
        Err(StartError::Store(OpenError::InUse { .. })) => {
            return Err(messages::root_key_in_use());
        }
        other => other?,
    };
    let rows = SealedRows::read(&*held).await?;
    let now = Timestamp::now().millis();
    let planned = plan_new_root(&settings.seal_sources(), rows, drop, now, messages::seal_not_tried).await;
    let planned = planned.map_err(|error| settings.unlock_failed(error))?;
    let started = start_unlocked(settings.clone(), held, planned.unlocked).await?;
    let report = planned.report;
    stop_after(started, async |engine| engine.commit_new_root(&planned.rows, &report).await).await??;
    Ok(report)
}

/// The result of the removal of a compromised seal.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Compromised {
    /// The new root key, and the seals.
    pub root: RotatedRoot,
    /// The keyring's new version.
    pub keyring_version: u32,
    /// Whether everything is wrapped by it, and the old version is destroyed; else a server carries on.
    pub rewrapped: bool,
}

/// Removes a compromised seal: creates a new root key and a new version of the keyring, and re-wraps everything under
/// it. No server may hold the store at the same time.
///
/// # Errors
/// [`StartError`]. If the root key is already rotated, the text states that and what remains to do.
pub async fn remove_compromised(settings: &Settings, which: &str) -> Result<Compromised, StartError> {
    let root = rotate_root(settings, &[which.to_owned()]).await?;
    let left = |error: StartError| messages::keyring_not_rotated(&error);
    // Started again: the previous engine has the old root key.
    let started = start(settings.clone()).await.map_err(left)?;
    let renewed = stop_after(started, async |engine| engine.renew_keyring().await).await?;
    let (keyring_version, rewrapped) = renewed.map_err(|failure| left(failure.into()))?;
    Ok(Compromised { root, keyring_version, rewrapped })
}
