//! `petsem operator verify` and `audit verify`: whether the store and the audit log of this node are unchanged.

use petsem_audit::{Report, verify_log};
use petsem_engine::{StoreReport, unlock, verify_store as verify_rows};

use crate::error::StartError;
use crate::messages;
use crate::node::identity::known_node;
use crate::node::start::with_store;
use crate::settings::Settings;

/// Verifies the whole store, which no server may hold at the same time.
///
/// # Errors
/// [`StartError`]: the store cannot be opened or read. The report lists what is wrong in it.
pub async fn verify_store(settings: &Settings) -> Result<StoreReport, StartError> {
    with_store(settings, async |store| {
        let failed = |error| settings.unlock_failed(error);
        let unlocked = unlock(&settings.seal_sources(), store).await.map_err(failed)?;
        // Until then, rows have MACs by two keys.
        if let Some(removed) = unlocked.unfinished_removal() {
            return Err(messages::removal_unfinished(&removed));
        }
        let node = known_node(settings, store, &unlocked).await?;
        let log = node.map(|(_, keys)| (keys, settings.audit.directory.as_path()));
        verify_rows(store, &unlocked, log).await.map_err(failed)
    })
    .await
}

/// Verifies this node's audit log: chain, MACs, signatures, and that its end is not before the last checkpoint
/// in the store. No server may hold the store at the same time.
///
/// # Errors
/// [`StartError`] if the store cannot be opened; [`StartError::Refused`] with the first line that differs from what was
/// written.
pub async fn verify_audit(settings: &Settings) -> Result<Report, StartError> {
    with_store(settings, async |store| {
        let failed = |error| settings.unlock_failed(error);
        let unlocked = unlock(&settings.seal_sources(), store).await.map_err(failed)?;
        let directory = &settings.audit.directory;
        let node = known_node(settings, store, &unlocked).await?;
        let (_, keys) = node.ok_or_else(|| messages::no_audit_log(directory))?;
        verify_log(directory, keys.for_verification())
            .map_err(|finding| messages::audit_log_differs(&finding))
    })
    .await
}
