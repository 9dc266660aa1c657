//! The identity of this node: its id is in the data directory, its audit keys are in the store.
//!
//! The id is not in the audit directory: a log that is lost or replaced is then missing, and the node not a new one.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use petsem_audit::{is_set_aside, logged_node};
use petsem_engine::{NodeKeys, Timestamp, Unlocked, create_node, node_before_its_first_start, node_keys};
use petsem_store::Store;

use crate::error::StartError;
use crate::messages;
use crate::settings::Settings;

/// The node of the data directory.
pub(crate) async fn node(
    settings: &Settings,
    store: &dyn Store,
    unlocked: &Unlocked,
) -> Result<([u8; 16], NodeKeys), StartError> {
    let known = known_node(settings, store, unlocked).await?;
    known.ok_or_else(|| messages::no_node(&id_file(settings), &settings.audit.directory))
}

/// The node of the data directory, if it has one.
pub(crate) async fn known_node(
    settings: &Settings,
    store: &dyn Store,
    unlocked: &Unlocked,
) -> Result<Option<([u8; 16], NodeKeys)>, StartError> {
    let Some(id) = node_id(settings)? else { return Ok(None) };
    let keys = node_keys(store, unlocked, id).await.map_err(|error| settings.unlock_failed(error))?;
    match keys {
        Some(keys) => Ok(Some((id, keys))),
        None => Err(messages::unknown_node(&id_file(settings))),
    }
}

/// The node whose database was lost: its id, or its audit log, is still there.
pub(crate) fn lost_node(settings: &Settings) -> Result<Option<[u8; 16]>, StartError> {
    let directory = &settings.audit.directory;
    match logged_node(directory).map_err(|source| StartError::Node { path: directory.clone(), source })? {
        Some(node) => Ok(Some(node)),
        None => node_id(settings),
    }
}

/// The id of the node of the data directory, if it has one: read from its file, without any key.
pub(crate) fn node_id(settings: &Settings) -> Result<Option<[u8; 16]>, StartError> {
    let path = id_file(settings);
    let fault = |source| StartError::Node { path: path.clone(), source };
    match std::fs::read_to_string(&path) {
        Ok(text) => parse_node(&text).map(Some).ok_or_else(|| fault(messages::invalid_node_id())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => no_lost_id(settings),
        Err(error) => Err(fault(error)),
    }
}

/// There is no id, unless its file was lost: then its log is still there, and a new node must not take its place.
fn no_lost_id(settings: &Settings) -> Result<Option<[u8; 16]>, StartError> {
    let directory = &settings.audit.directory;
    let logged = logged_node(directory);
    match logged.map_err(|source| StartError::Node { path: directory.clone(), source })? {
        Some(node) => Err(messages::node_id_missing(&id_file(settings), directory, &HEXLOWER.encode(&node))),
        None => Ok(None),
    }
}

/// Creates the node of a data directory that has none. No start does this: a node whose id and log were removed would
/// continue as another one.
pub(crate) async fn new_node(
    settings: &Settings,
    store: &dyn Store,
    unlocked: &Unlocked,
    action: Option<&'static str>,
) -> Result<[u8; 16], StartError> {
    let now = Timestamp::now().millis();
    let created = create_node(store, unlocked, &settings.node_name, now, action).await;
    let (id, _) = created.map_err(|error| settings.unlock_failed(error))?;
    // The row first: a file without a row would look like a removed row.
    let path = id_file(settings);
    write_node(&settings.data_directory, &path, &id).map_err(|source| StartError::Node { path, source })?;
    Ok(id)
}

/// The node of an installation whose creation was interrupted before the node's id was written: the one that the store
/// has, or a new one.
pub(crate) async fn first_node(
    settings: &Settings,
    store: &dyn Store,
    unlocked: &Unlocked,
) -> Result<[u8; 16], StartError> {
    let known = node_before_its_first_start(store, unlocked).await;
    match known.map_err(|error| settings.unlock_failed(error))? {
        Some(id) => {
            let path = id_file(settings);
            let written = write_node(&settings.data_directory, &path, &id);
            written.map(|()| id).map_err(|source| StartError::Node { path, source })
        }
        None => new_node(settings, store, unlocked, None).await,
    }
}

/// Whether the audit log of this node has lines.
pub(crate) fn has_lines(settings: &Settings) -> bool {
    // A log that cannot be read is not an empty one.
    logged_node(&settings.audit.directory).map_or(true, |node| node.is_some())
}

/// Whether the log has ended this chain and has lines of a later one: a database that names this chain is an older copy.
pub(crate) fn is_of_later_chain(settings: &Settings, chain: u64) -> bool {
    is_set_aside(&settings.audit.directory, chain) && has_lines(settings)
}

pub(crate) fn id_file(settings: &Settings) -> PathBuf {
    settings.data_directory.join("node.id")
}

fn parse_node(text: &str) -> Option<[u8; 16]> {
    HEXLOWER.decode(text.strip_suffix('\n')?.as_bytes()).ok()?.try_into().ok()
}

/// Writes the file as a whole or not at all. The store's lock keeps other processes from doing the same.
fn write_node(directory: &Path, path: &Path, id: &[u8; 16]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let draft = path.with_extension("id.new");
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(format!("{}\n", HEXLOWER.encode(id)).as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    std::fs::File::open(directory)?.sync_all()
}
