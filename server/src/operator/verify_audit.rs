//! `petsem operator audit verify`: is the log of this node what was written?

use petsem_store::Store;

use petsem_engine::{Failure};
use crate::node::identity::{known_node};
use crate::settings::{Settings};
use crate::node::start::{StartError, open_installed};
use crate::node::unlock::{Unlocked, unlock};
use petsem_audit::{Report, VerifyKeys, verify_log};

/// Verifies this node's audit log: chain, MACs, signatures, and that its end is not before the last checkpoint
/// in the store. No server may hold the store at the same time.
///
/// # Errors
/// [`StartError`] if the store cannot be opened; [`StartError::Refused`] with the line at which the log is not
/// what was written.
pub async fn verify_audit(settings: &Settings) -> Result<Report, StartError> {
    let store = open_installed(settings).await?;
    let result = verify(settings, &*store).await;
    store.close().await.map_err(Failure::internal)?;
    result
}

async fn verify(settings: &Settings, store: &dyn Store) -> Result<Report, StartError> {
    let Unlocked { store_id, keyring, codec, .. } = unlock(settings, store).await?;
    let (_, keys, known) =
        known_node(settings, store, store_id, &keyring, &codec).await?.ok_or_else(|| {
            StartError::Refused(format!(
                "no node has written a log in {} yet; name the directory of one that has in audit.directory",
                settings.audit.directory.display()
            ))
        })?;
    let verify_keys = VerifyKeys {
        initial_mac: Some(keys.initial_mac),
        public: Some(keys.signing.public()),
        expect_at_least: known,
        // A node that was sealed wrote lines without MACs: the report counts them.
        sealed_lines: true,
    };
    verify_log(&settings.audit.directory, verify_keys).map_err(|finding| {
        StartError::Refused(format!(
            "{finding}\nup to there the log is what was written; keep the directory as evidence, and compare \
                 it with the copies that were shipped"
        ))
    })
}
