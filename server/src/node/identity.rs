//! The identity of this node: its id is in the audit directory, its audit keys are in the store.

use std::path::Path;

use data_encoding::HEXLOWER;
use petsem_engine::{NodeKeys, Timestamp, Unlocked, create_node, node_keys};
use petsem_store::Store;

use crate::error::StartError;
use crate::messages;
use crate::settings::Settings;

/// This node's id and audit keys; created on its first start.
pub(crate) async fn node(
    settings: &Settings,
    store: &dyn Store,
    unlocked: &Unlocked,
) -> Result<([u8; 16], NodeKeys), StartError> {
    match known_node(settings, store, unlocked).await? {
        Some(node) => Ok(node),
        None => new_node(settings, store, unlocked).await,
    }
}

/// The node that wrote the audit directory, if one has.
pub(crate) async fn known_node(
    settings: &Settings,
    store: &dyn Store,
    unlocked: &Unlocked,
) -> Result<Option<([u8; 16], NodeKeys)>, StartError> {
    let Some(id) = node_id(settings)? else { return Ok(None) };
    let keys = node_keys(store, unlocked, id).await.map_err(|error| settings.unlock_failed(error))?;
    match keys {
        Some(keys) => Ok(Some((id, keys))),
        None => Err(messages::unknown_node(&settings.audit.directory)),
    }
}

/// The id of the node that wrote the audit directory, if one has: read from its file, without any key.
pub(crate) fn node_id(settings: &Settings) -> Result<Option<[u8; 16]>, StartError> {
    let path = settings.audit.directory.join("node");
    let fault = |source| StartError::Node { path: path.clone(), source };
    match std::fs::read_to_string(&path) {
        Ok(text) => parse_node(&text).map(Some).ok_or_else(|| fault(messages::invalid_node_id())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fault(error)),
    }
}

async fn new_node(
    settings: &Settings,
    store: &dyn Store,
    unlocked: &Unlocked,
) -> Result<([u8; 16], NodeKeys), StartError> {
    let created = create_node(store, unlocked, Timestamp::now().millis()).await;
    let (id, keys) = created.map_err(|error| settings.unlock_failed(error))?;
    // The row first: a file without a row would look like a removed row.
    let path = settings.audit.directory.join("node");
    write_node(&settings.audit.directory, &path, &id).map_err(|source| StartError::Node { path, source })?;
    Ok((id, keys))
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
