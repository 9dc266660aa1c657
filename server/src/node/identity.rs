//! Which node this is: its id beside the audit log, its audit keys in the store.

use std::path::Path;

use data_encoding::HEXLOWER;
use petsem_api::StoreId;
use petsem_keys::{AuditMacKey, AuditSigningKey, Keyring, WrapContext};
use petsem_store::{Change, RecordKind, RequestAudit, Store};

use petsem_engine::{Timestamp};
use petsem_engine::{expect};
use petsem_engine as entropy;
use petsem_engine::{Failure};
use petsem_engine::{RecordCodec, NodeRow, SignedNote, StoreRow};
use crate::settings::{Settings};
use crate::node::start::{StartError};
use petsem_audit::{AuditKeys, KnownCheckpoint};

/// This node's id and audit keys; made on its first start.
pub(crate) async fn node(
    settings: &Settings,
    store: &dyn Store,
    store_id: StoreId,
    keyring: &Keyring,
    codec: &RecordCodec,
) -> Result<Node, StartError> {
    match known_node(settings, store, store_id, keyring, codec).await? {
        Some(node) => Ok(node),
        None => new_node(settings, store, store_id, keyring, codec).await,
    }
}

/// A node's id, its audit keys, and its last checkpoint in the store.
pub(crate) type Node = ([u8; 16], AuditKeys, Option<KnownCheckpoint>);

/// The node that wrote the audit directory, if one has.
pub(crate) async fn known_node(
    settings: &Settings,
    store: &dyn Store,
    store_id: StoreId,
    keyring: &Keyring,
    codec: &RecordCodec,
) -> Result<Option<Node>, StartError> {
    let Some(id) = node_id(settings)? else { return Ok(None) };
    let Some(record) = store.record(RecordKind::Node, &id).await? else {
        return Err(StartError::Refused(format!(
            "integrity: the store does not know the node whose audit log lies in {}: its row was removed, or the log \
             is of another store\nname the store that belongs to it, or another audit.directory, which begins a new log",
            settings.audit.directory.display()
        )));
    };
    let row = codec.read::<NodeRow>(&id, &record).map_err(Failure::from)?.content;
    let context = WrapContext::new(*store_id.as_bytes(), id);
    let wrong =
        |error| StartError::Refused(format!("the node's audit keys do not open: {error}; restore the store"));
    let keys = AuditKeys {
        initial_mac: keyring.unwrap(&row.audit_mac_key, &context).map_err(wrong)?,
        signing: keyring.unwrap(&row.audit_signing_key, &context).map_err(wrong)?,
    };
    let known = row.checkpoint.and_then(|row| {
        let head = HEXLOWER.decode(row.head.as_bytes()).ok()?.try_into().ok()?;
        Some(KnownCheckpoint { line: row.line, head })
    });
    Ok(Some((id, keys, known)))
}

/// The id of the node that wrote the audit directory, if one has: as the file says, before any key is at hand.
pub(crate) fn node_id(settings: &Settings) -> Result<Option<[u8; 16]>, StartError> {
    let path = settings.audit.directory.join("node");
    let fault = |source| StartError::Node { path: path.clone(), source };
    match std::fs::read_to_string(&path) {
        Ok(text) => parse_node(&text)
            .map(Some)
            .ok_or_else(|| fault(std::io::Error::other("it is not 32 hex digits and a line end"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fault(error)),
    }
}

async fn new_node(
    settings: &Settings,
    store: &dyn Store,
    store_id: StoreId,
    keyring: &Keyring,
    codec: &RecordCodec,
) -> Result<Node, StartError> {
    let record = store.record(RecordKind::Store, &[]).await?;
    let store_version = record.map_or(0, |record| record.row_version);
    let id: [u8; 16] = entropy::bytes();
    let context = WrapContext::new(*store_id.as_bytes(), id);
    let rng = &mut entropy::rng();
    let keys = AuditKeys { initial_mac: AuditMacKey::generate(rng), signing: AuditSigningKey::generate(rng) };
    let now = Timestamp::now().millis();
    let row = NodeRow {
        audit_mac_key: keyring.wrap(rng, &keys.initial_mac, &context).map_err(Failure::internal)?,
        audit_signing_key: keyring.wrap(rng, &keys.signing, &context).map_err(Failure::internal)?,
        audit_public_key: keys.signing.public().to_vec(),
        checkpoint: None,
        created_at: now,
    };
    let request_id = petsem_api::RequestId::new_v7(now, &entropy::bytes());
    let line = codec.write_note(SignedNote::Line, request_id, b"");
    let mut change = Change::new(RequestAudit { node: id, request_id, line });
    change.expects.push(expect::<NodeRow>(&id, 0));
    // Should another node rotate the keyring at this moment, the next start wraps with the new version.
    change.expects.push(expect::<StoreRow>(&[], store_version));
    change.puts.push(codec.write(&id, 1, &row));
    store.commit(change).await.map_err(|error| StartError::Refused(error.to_string()))?;
    // The row first: a file without it would look like a row that somebody removed.
    let path = settings.audit.directory.join("node");
    write_node(&settings.audit.directory, &path, &id).map_err(|source| StartError::Node { path, source })?;
    Ok((id, keys, None))
}

fn parse_node(text: &str) -> Option<[u8; 16]> {
    HEXLOWER.decode(text.strip_suffix('\n')?.as_bytes()).ok()?.try_into().ok()
}

fn write_node(directory: &Path, path: &Path, id: &[u8; 16]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(format!("{}\n", HEXLOWER.encode(id)).as_bytes())?;
    file.sync_all()?;
    std::fs::File::open(directory)?.sync_all()
}
