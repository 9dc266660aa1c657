//! A node's audit keys in the store.

use data_encoding::HEXLOWER;
use petsem_api::StoreId;
use petsem_audit::{AuditKeys, KnownCheckpoint, Resume, VerifyKeys};
use petsem_keys::{AuditMacKey, AuditRatchetKey, AuditSigningKey, Keyring, WrapContext};
use petsem_store::{Record, RecordKind, RequestAudit, Store};

use crate::clock::Timestamp;
use crate::engine::change_without_line;
use crate::entropy;
use crate::error::Failure;
use crate::keyring::unlock::{UnlockError, Unlocked};
use crate::messages;
use crate::records::{
    ChainEndRow, ChainRow, IntegrityFault, NodeRow, Row, Scan, SignedNote, StoreRow, expect, read_row,
};
use crate::request::AuditRecord;

/// Rows read at once.
const PAGE: u32 = 100;

/// A node's audit keys, and its last checkpoint in the store.
pub struct NodeKeys {
    /// Which of the node's chains they are of, from 1.
    pub chain: u64,
    /// The chain before it.
    pub lost: Option<LostChain>,
    /// The keys.
    pub keys: AuditKeys,
    /// The last checkpoint that the store holds.
    pub checkpoint: Option<KnownCheckpoint>,
}

/// The end of a chain whose loss was accepted, or whose keys were replaced, as far as the store knew it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostChain {
    /// The number of its last line.
    pub line: u64,
    /// The chain of that line, 64 hex digits; empty if the store knew no line.
    pub head: String,
    /// The highest number of its files.
    pub segment: u64,
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
    let Some(record) = store.record(RecordKind::Node, &node).await? else { return Ok(None) };
    node_keys_in(&record, unlocked, node).map(Some)
}

/// The keys of a node in its row, which was read from a store that another process may hold.
///
/// # Errors
/// As [`node_keys`].
pub fn node_keys_in(record: &Record, unlocked: &Unlocked, node: [u8; 16]) -> Result<NodeKeys, UnlockError> {
    let Unlocked { store_id, keyring, codec, .. } = unlocked;
    let row: Row<NodeRow> = codec.read(&node, record).map_err(Failure::from)?;
    let row = row.content;
    let context = WrapContext::new(*store_id.as_bytes(), node);
    let fault = |what| IntegrityFault::new(RecordKind::Node, &node, what);
    let wrong = |error| UnlockError::Refused(messages::audit_keys_do_not_open(&error));
    let mut keys = AuditKeys {
        initial_mac: keyring.unwrap(&row.audit_mac_key, &context).map_err(wrong)?,
        signing: keyring.unwrap(&row.audit_signing_key, &context).map_err(wrong)?,
        resume: None,
    };
    let mut checkpoint = None;
    if let Some(row) = row.checkpoint {
        let head = HEXLOWER.decode(row.head.as_bytes()).ok().and_then(|head| head.try_into().ok());
        let head = head.ok_or_else(|| Failure::from(fault("its checkpoint has no head")))?;
        checkpoint = Some(KnownCheckpoint { line: row.line, head });
        let context = ratchet_context(*store_id, node, row.number);
        let mac: AuditRatchetKey = keyring.unwrap(&row.audit_ratchet_key, &context).map_err(wrong)?;
        keys.resume = Some(Resume { number: row.number, segment: row.segment, offset: row.offset, mac });
    }
    let lost = row.chain.after.map(|ChainEndRow { line, head, segment }| LostChain { line, head, segment });
    Ok(NodeKeys { chain: row.chain.number, lost, keys, checkpoint })
}

/// A node that has written no checkpoint: the one of an installation whose creation was interrupted.
///
/// # Errors
/// A row differs from what was written, or cannot be read.
pub async fn node_before_its_first_start(
    store: &dyn Store,
    unlocked: &Unlocked,
) -> Result<Option<[u8; 16]>, UnlockError> {
    let mut scan = Scan::<NodeRow>::new(store, &unlocked.codec, PAGE);
    loop {
        let page = scan.next_page().await?;
        if page.is_empty() {
            return Ok(None);
        }
        for entry in page {
            let (id, row) = entry.map_err(Failure::from)?;
            if row.content.checkpoint.is_none() && row.content.chain.after.is_none() {
                return Ok(Some(id));
            }
        }
    }
}

/// Begins a new chain of a node's audit log, with new keys, after one that was lost or whose keys end. `end` is the end
/// of that chain; `None` if only the store knows it. `last_segment` is the highest number of a file that is still
/// there. The chain before stays named in the node's row.
///
/// # Errors
/// The store accepts no writes, or has no row of the node.
pub async fn begin_new_chain(
    store: &dyn Store,
    unlocked: &Unlocked,
    node: [u8; 16],
    end: Option<KnownCheckpoint>,
    last_segment: u64,
    now: u64,
) -> Result<(), UnlockError> {
    let Unlocked { store_id, store_version, keyring, codec, .. } = unlocked;
    let missing = || Failure::from(IntegrityFault::new(RecordKind::Node, &node, "it is missing"));
    let row = read_row::<NodeRow>(store, codec, &node).await?.ok_or_else(missing)?;
    let Row { version, content: row, .. } = row.map_err(Failure::from)?;
    let known = row.checkpoint.as_ref();
    let (line, head) = match end {
        Some(end) => (end.line, HEXLOWER.encode(&end.head)),
        None => known.map_or((0, String::new()), |known| (known.line, known.head.clone())),
    };
    let after = ChainEndRow {
        line,
        head,
        segment: next_to(known.map_or(0, |checkpoint| checkpoint.segment), last_segment),
    };
    let number = row.chain.number.saturating_add(1);
    let (_, keys) = NewKeys::generate(keyring, &WrapContext::new(*store_id.as_bytes(), node))?;
    let chain = ChainRow { number, after: Some(after) };
    let content = keys.into_row(row.name, chain, row.created_at);
    let mut change = change_without_line(codec, node, Timestamp::from_millis(now));
    change.expects.push(expect::<NodeRow>(&node, version));
    change.expects.push(expect::<StoreRow>(&[], *store_version));
    change.puts.push(codec.write(&node, version + 1, &content));
    store.commit(change).await.map_err(|error| UnlockError::Refused(error.to_string()))?;
    Ok(())
}

/// The highest number of a file of a lost chain: of those that the store knew, and those that are left. A name that is
/// far from them is not the node's.
fn next_to(known: u64, left: u64) -> u64 {
    const MOST_UNKNOWN: u64 = 1_000_000;
    if left.saturating_sub(known) > MOST_UNKNOWN { known } else { known.max(left) }
}

/// The wrapped keys of a new chain.
struct NewKeys {
    mac: Vec<u8>,
    signing: Vec<u8>,
    public: Vec<u8>,
}

impl NewKeys {
    fn generate(keyring: &Keyring, context: &WrapContext) -> Result<(AuditKeys, Self), Failure> {
        let rng = &mut entropy::rng();
        let keys = AuditKeys {
            initial_mac: AuditMacKey::generate(rng),
            signing: AuditSigningKey::generate(rng),
            resume: None,
        };
        let wrapped = Self {
            mac: keyring.wrap(rng, &keys.initial_mac, context).map_err(Failure::internal)?,
            signing: keyring.wrap(rng, &keys.signing, context).map_err(Failure::internal)?,
            public: keys.signing.public().to_vec(),
        };
        Ok((keys, wrapped))
    }

    fn into_row(self, name: String, chain: ChainRow, created_at: u64) -> NodeRow {
        NodeRow {
            name,
            chain,
            audit_mac_key: self.mac,
            audit_signing_key: self.signing,
            audit_public_key: self.public,
            checkpoint: None,
            created_at,
        }
    }
}

/// Creates the id and audit keys of a new node. `name` is for people. If it joins an installation, its first start
/// writes the line of `action`, which the same transaction keeps.
///
/// # Errors
/// The store accepts no writes.
pub async fn create_node(
    store: &dyn Store,
    unlocked: &Unlocked,
    name: &str,
    now: u64,
    action: Option<&'static str>,
) -> Result<([u8; 16], NodeKeys), UnlockError> {
    let Unlocked { store_id, keyring, codec, .. } = unlocked;
    let record = store.record(RecordKind::Store, &[]).await?;
    let store_version = record.map_or(0, |record| record.row_version);
    let id: [u8; 16] = entropy::bytes();
    let context = WrapContext::new(*store_id.as_bytes(), id);
    let (keys, wrapped) = NewKeys::generate(keyring, &context)?;
    let row = wrapped.into_row(name.to_owned(), ChainRow { number: 1, after: None }, now);
    let mut change = change_without_line(codec, id, Timestamp::from_millis(now));
    if let Some(action) = action {
        let mut audit = AuditRecord::on_node(Timestamp::from_millis(now), "node", action);
        audit.set_detail(messages::node_added(name, &id));
        change.request = RequestAudit {
            node: id,
            request_id: audit.request_id(),
            line: codec.write_note(SignedNote::Line, audit.request_id(), audit.recovery_line().as_bytes()),
        };
    }
    // Its log will name no revision before this one.
    change.hold_marks_from = Some(store.revision().await?.map_or(0, |newest| newest.revision));
    change.expects.push(expect::<NodeRow>(&id, 0));
    // If another node rotates the keyring at this moment, the next start wraps with the new version.
    change.expects.push(expect::<StoreRow>(&[], store_version));
    change.puts.push(codec.write(&id, 1, &row));
    store.commit(change).await.map_err(|error| UnlockError::Refused(error.to_string()))?;
    Ok((id, NodeKeys { chain: 1, lost: None, keys, checkpoint: None }))
}

/// The context of a node's audit MAC key as of the checkpoint of this number.
pub(crate) fn ratchet_context(store: StoreId, node: [u8; 16], number: u64) -> WrapContext {
    // A log of 2³² checkpoints, one a second, is 136 years old.
    let version = u32::try_from(number).unwrap_or(u32::MAX);
    WrapContext { version, ..WrapContext::new(*store.as_bytes(), node) }
}
