//! Which audit logs still have old keys. Whoever knows them can write other lines and checkpoints, so each of these
//! logs ends, and a new chain with new keys begins.

use petsem_keys::Keyring;
use petsem_store::Store;

use super::is_new;
use crate::keyring::unlock::{UnlockError, Unlocked};
use crate::records::{NodeRow, Scan};

/// Nodes on one page.
const PAGE: u32 = 64;

/// The nodes whose audit keys an older version of the keyring wraps. A row that differs from what was written is not
/// used by any node, and left out.
///
/// # Errors
/// The store cannot be read.
pub async fn nodes_with_old_keys(
    store: &dyn Store,
    unlocked: &Unlocked,
) -> Result<Vec<[u8; 16]>, UnlockError> {
    let is_old = |keyring: &Keyring, row: &NodeRow| !is_new(keyring, &row.audit_signing_key);
    let mut scan = Scan::<NodeRow>::new(store, &unlocked.codec, PAGE);
    let mut nodes = Vec::new();
    loop {
        let page = scan.next_page().await?;
        if page.is_empty() {
            return Ok(nodes);
        }
        let old = page.into_iter().flatten().filter(|(_, row)| is_old(&unlocked.keyring, &row.content));
        nodes.extend(old.map(|(id, _)| id));
    }
}
