//! `petsem operator verify` and `audit verify`: whether the store and the audit log of this node are unchanged.

use petsem_audit::{Report, verify_log};
use petsem_engine::{Failure, StoreReport, node_keys_in, verify_store as verify_rows};
use petsem_store::{OpenError, RecordKind, SqliteView};

use crate::error::StartError;
use crate::messages;
use crate::node::identity::{id_file, known_node, node_id};
use crate::node::start::{open_installed, unlock_held, unlock_store, with_store};
use crate::settings::Settings;

/// Verifies the whole store, which no server may hold at the same time.
///
/// # Errors
/// [`StartError`]: the store cannot be opened or read. The report lists what is wrong in it.
pub async fn verify_store(settings: &Settings) -> Result<StoreReport, StartError> {
    with_store(settings, async |store| {
        let unlocked = unlock_store(settings, store).await?;
        // Until then, rows have MACs by two keys.
        if let Some(unfinished) = unlocked.unfinished_replacement() {
            return Err(messages::replacement_unfinished(&unfinished));
        }
        let node = known_node(settings, store, &unlocked).await?;
        let log = node.map(|(_, keys)| (keys, settings.audit.directory.as_path()));
        verify_rows(store, &unlocked, log).await.map_err(|error| settings.unlock_failed(error))
    })
    .await
}

/// Verifies this node's audit log: chain, MACs, signatures, and that its end is not before the last checkpoint in the
/// store. A server may run on the node; it is not asked, so one that was manipulated cannot answer.
///
/// # Errors
/// [`StartError`] if the store cannot be opened; [`StartError::Refused`] with the first line that differs from what was
/// written.
pub async fn verify_audit(settings: &Settings) -> Result<Report, StartError> {
    let node = match open_installed(settings).await {
        Ok(store) => {
            let node = async {
                let unlocked = unlock_store(settings, &*store).await?;
                known_node(settings, &*store, &unlocked).await
            };
            let node = node.await;
            store.close().await.map_err(Failure::internal)?;
            node?.map(|(_, keys)| keys)
        }
        Err(StartError::Store(OpenError::InUse { .. })) => {
            let unlocked = unlock_held(settings).await?;
            let view = SqliteView::open(&settings.data_directory).map_err(StartError::Store)?;
            match node_id(settings)? {
                Some(id) => match view.record(RecordKind::Node, &id)? {
                    Some(row) => {
                        let keys = node_keys_in(&row, &unlocked, id);
                        Some(keys.map_err(|error| settings.unlock_failed(error))?)
                    }
                    None => return Err(messages::unknown_node(&id_file(settings))),
                },
                None => None,
            }
        }
        Err(error) => return Err(error),
    };
    let directory = settings.audit.directory.clone();
    let keys = node.ok_or_else(|| messages::no_audit_log(&directory))?;
    let verified = tokio::task::spawn_blocking(move || verify_log(&directory, keys.for_verification()));
    verified.await.map_err(Failure::internal)?.map_err(|finding| messages::audit_log_differs(&finding))
}
