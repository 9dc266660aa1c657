//! A command that needs a seal works in the store of this node: in this process, or, if a server holds the store,
//! there.

use petsem_engine::{NodeAnswer, NodeCommand, RecordCodec, Timestamp, new_request_id};
use petsem_store::OpenError;

use crate::error::StartError;
use crate::node::start::{open_installed, start_opened, stop_after, unlock_held, unlock_store};
use crate::operator::socket::{Answer, CommandError, SocketCommand, send};
use crate::settings::Settings;

/// Opens a seal, and carries out the command.
///
/// # Errors
/// [`StartError`]: no seal opens the store, or the command is refused. Nothing was changed.
pub(crate) async fn carry_out(settings: &Settings, command: NodeCommand) -> Result<NodeAnswer, StartError> {
    match open_installed(settings).await {
        Ok(store) => {
            let unlocked = unlock_store(settings, &*store).await?;
            let started = start_opened(settings.clone(), store, unlocked).await?;
            let done =
                stop_after(started, async |engine| engine.carry_out_command("node", command).await).await?;
            done.map_err(StartError::refusal)
        }
        Err(StartError::Store(OpenError::InUse { .. })) => {
            hand_over(settings, &unlock_held(settings).await?.codec, command).await
        }
        Err(error) => Err(error),
    }
}

/// Passes a command to the server that holds the store, with the proof that a seal was opened.
///
/// # Errors
/// [`StartError`]: the server is sealed, or refuses the command.
pub(crate) async fn hand_over(
    settings: &Settings,
    codec: &RecordCodec,
    command: NodeCommand,
) -> Result<NodeAnswer, StartError> {
    let now = Timestamp::now();
    let id = new_request_id(now);
    let note = command.into_note(codec, id, now)?;
    match send(&settings.data_directory, &SocketCommand::CarryOut { id, note }).await? {
        Answer::CarriedOut { result } => Ok(result),
        Answer::Refused { error, .. } => Err(StartError::Refused(error)),
        _ => Err(CommandError::NoServer.into()),
    }
}
