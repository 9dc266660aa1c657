//! `petsem operator node add`: the data directory of a node that the store does not know yet.

use crate::error::StartError;
use crate::messages;
use crate::node::identity::{new_node, node_id};
use crate::node::start::{open_installed, start_unlocked, stop_after, unlock_store};
use crate::settings::Settings;

/// Creates the node of this data directory, and its audit log. Returns its id. No server may hold the store at the same
/// time.
///
/// # Errors
/// [`StartError`]: the directory has a node, or the audit directory has the log of one; nothing was changed.
pub async fn add_node(settings: &Settings) -> Result<[u8; 16], StartError> {
    let store = open_installed(settings).await?;
    let unlocked = unlock_store(settings, &*store).await?;
    if unlocked.development && !settings.development {
        return Err(StartError::Development);
    }
    if let Some(node) = node_id(settings)? {
        return Err(messages::has_node(&settings.data_directory, &node));
    }
    let node = new_node(settings, &*store, &unlocked, Some("operator.node.add")).await?;
    // The start writes the line of the node's creation.
    let started = start_unlocked(settings.clone(), store, unlocked).await?;
    stop_after(started, async |_| ()).await?;
    Ok(node)
}
