//! `petsem operator audit accept-loss`: a node whose audit log is lost serves again, with a new chain.

use petsem_engine::Failure;

use crate::error::StartError;
use crate::messages;
use crate::node::identity::node;
use crate::node::lost_log::{find_loss, replace_lost_log, start_accepting_loss};
use crate::node::start::{open_installed, stop, unlock_store};
use crate::operator::socket::{Answer, CommandError, SocketCommand, accept_loss_command, send};
use crate::settings::Settings;

/// What is lost of this node's audit log, for a person to accept.
///
/// # Errors
/// [`StartError`]: nothing is lost, or a server on this node has no key to tell.
pub async fn audit_loss(settings: &Settings) -> Result<String, StartError> {
    match send(&settings.data_directory, &SocketCommand::Status {}).await {
        Ok(Answer::Status { status }) if status.audit_lost => Ok(status.audit_loss.unwrap_or_default()),
        Ok(Answer::Status { status }) if status.sealed => Err(messages::sealed().into()),
        Ok(Answer::Status { .. }) => Err(messages::no_log_lost()),
        Ok(Answer::Refused { error, .. }) => Err(StartError::Refused(error)),
        Ok(_) => Err(CommandError::NoServer.into()),
        Err(CommandError::NoServer) => loss_without_server(settings).await,
        Err(error) => Err(error.into()),
    }
}

async fn loss_without_server(settings: &Settings) -> Result<String, StartError> {
    let store = open_installed(settings).await?;
    let unlocked = unlock_store(settings, &*store).await?;
    let (id, keys) = node(settings, &*store, &unlocked).await?;
    let lost = find_loss(settings, id, keys)?;
    store.close().await.map_err(Failure::internal)?;
    lost.and_then(|lost| lost.loss()).ok_or_else(messages::no_log_lost)
}

/// Accepts the loss of this node's audit log: in the server that waits for it, or without one. Returns what was
/// accepted.
///
/// # Errors
/// [`StartError`]: nothing is lost, or the log cannot be replaced.
pub async fn accept_loss(settings: &Settings) -> Result<String, StartError> {
    match send(&settings.data_directory, &accept_loss_command(&settings.input)).await {
        Ok(Answer::LossAccepted { detail }) => detail.ok_or_else(messages::no_log_lost),
        Ok(Answer::Refused { error, .. }) => Err(StartError::Refused(error)),
        Ok(_) => Err(CommandError::NoServer.into()),
        Err(CommandError::NoServer) => accept_without_server(settings).await,
        Err(error) => Err(error.into()),
    }
}

async fn accept_without_server(settings: &Settings) -> Result<String, StartError> {
    let store = open_installed(settings).await?;
    let unlocked = unlock_store(settings, &*store).await?;
    if unlocked.unfinished_replacement().is_some() {
        // No engine starts on such a store. The command that finishes the removal of the seal needs its log.
        let accepted = replace_lost_log(settings, &*store, &unlocked).await?;
        store.close().await.map_err(Failure::internal)?;
        return accepted.ok_or_else(messages::no_log_lost);
    }
    let (started, accepted) = start_accepting_loss(settings.clone(), store, unlocked, "node").await?;
    stop(started).await.map_err(StartError::Refused)?;
    accepted.ok_or_else(messages::no_log_lost)
}
