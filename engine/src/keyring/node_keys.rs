//! A node's audit keys in the store.

use data_encoding::HEXLOWER;
use petsem_audit::{AuditKeys, KnownCheckpoint, VerifyKeys};
use petsem_keys::{AuditMacKey, AuditSigningKey, WrapContext};
use petsem_store::{RecordKind, Store};

use crate::clock::Timestamp;
use crate::engine::change_without_line;
use crate::entropy;
use crate::error::Failure;
use crate::keyring::unlock::{UnlockError, Unlocked};
use crate::messages;
use crate::records::{NodeRow, StoreRow, expect, read_row};

/// A node's audit keys, and its last checkpoint in the store.
pub struct NodeKeys {
    /// The keys.
    pub keys: AuditKeys,
    /// The last checkpoint that the store holds.
    pub checkpoint: Option<KnownCheckpoint>,
}

impl NodeKeys {
    /// The keys and the checkpoint for a verification of the node's log.
    pub fn for_verification(self) -> VerifyKeys {
        VerifyKeys {
            initial_mac: Some(self.keys.initial_mac),
            public: Some(self.keys.signing.public()),
            expect_at_least: self.checkpoint,
            // A sealed node writes lines without MACs; the report counts them.
            sealed_lines: true,
        }
    }
}

/// The keys of a node that the store knows; `None` if it has no row.
///
/// # Errors
/// The row differs from what was written, or its keys cannot be unwrapped.
pub async fn node_keys(
    store: &dyn Store,
    unlocked: &Unlocked,
    node: [u8; 16],
) -> Result<Option<NodeKeys>, UnlockError> {
    let Unlocked { store_id, keyring, codec, .. } = unlocked;
    let Some(row) = read_row::<NodeRow>(store, codec, &node).await? else { return Ok(None) };
    let row = row.map_err(Failure::from)?.content;
    let context = WrapContext::new(*store_id.as_bytes(), node);
    let wrong = |error| UnlockError::Refused(messages::audit_keys_do_not_open(&error));
    let keys = AuditKeys {
        initial_mac: keyring.unwrap(&row.audit_mac_key, &context).map_err(wrong)?,
        signing: keyring.unwrap(&row.audit_signing_key, &context).map_err(wrong)?,
    };
    let checkpoint = row.checkpoint.and_then(|row| {
        let head = HEXLOWER.decode(row.head.as_bytes()).ok()?.try_into().ok()?;
        Some(KnownCheckpoint { line: row.line, head })
    });
    Ok(Some(NodeKeys { keys, checkpoint }))
}

/// Creates the id and audit keys of a new node.
///
/// # Errors
/// The store accepts no writes.
pub async fn create_node(
    store: &dyn Store,
    unlocked: &Unlocked,
    now: u64,
) -> Result<([u8; 16], NodeKeys), UnlockError> {
    let Unlocked { store_id, keyring, codec, .. } = unlocked;
    let record = store.record(RecordKind::Store, &[]).await?;
    let store_version = record.map_or(0, |record| record.row_version);
    let id: [u8; 16] = entropy::bytes();
    let context = WrapContext::new(*store_id.as_bytes(), id);
    let rng = &mut entropy::rng();
    let keys = AuditKeys { initial_mac: AuditMacKey::generate(rng), signing: AuditSigningKey::generate(rng) };
    let row = NodeRow {
        audit_mac_key: keyring.wrap(rng, &keys.initial_mac, &context).map_err(Failure::internal)?,
        audit_signing_key: keyring.wrap(rng, &keys.signing, &context).map_err(Failure::internal)?,
        audit_public_key: keys.signing.public().to_vec(),
        checkpoint: None,
        created_at: now,
    };
    let mut change = change_without_line(codec, id, Timestamp::from_millis(now));
    change.expects.push(expect::<NodeRow>(&id, 0));
    // If another node rotates the keyring at this moment, the next start wraps with the new version.
    change.expects.push(expect::<StoreRow>(&[], store_version));
    change.puts.push(codec.write(&id, 1, &row));
    store.commit(change).await.map_err(|error| UnlockError::Refused(error.to_string()))?;
    Ok((id, NodeKeys { keys, checkpoint: None }))
}
