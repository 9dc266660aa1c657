//! `petsem operator deny`: a revocation at the node, with the seal opened for it, whether a server runs or not.

use std::time::Duration;

use petsem_api::{AppRef, RevokeRequest};
use petsem_engine::{
    DenialAnswer, DenialError, DenialFolder, DenialOutcome, Failure, Timestamp, check_revocation,
    new_request_id, no_such_app, no_such_signing_key, unlock_rows,
};
use petsem_store::{OpenError, RecordKind, SqliteView};

use crate::node::start::{Started, start, stop};
use crate::node::start_error::StartError;
use crate::operator::socket::{Answer, Ask, ask};
use crate::operator::status::view_rows;
use crate::settings::Settings;

/// How long a running server gets for its answer: it looks twice a second.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the answer is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// What became of a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// It stands in the control feed, under this number, for every node.
    Everywhere {
        /// The number of the change.
        number: u64,
    },
    /// It is in force on this node; the store takes no writes now.
    Here,
    /// It lies in the data directory: a server takes it before it serves anybody.
    AtStart,
    /// The same, of the server that runs here sealed.
    AtUnseal,
}

/// Denies: refused at once by the server that runs on this node, if one does, and kept in the store.
///
/// # Errors
/// [`StartError`]: no seal opens the store, what shall be denied is not there, or the running server did not answer
/// (then the denial still lies in its data directory).
pub async fn deny(settings: &Settings, request: &RevokeRequest) -> Result<Denied, StartError> {
    match start(settings.clone()).await {
        Ok(started) => deny_in_store(started, request).await,
        Err(StartError::Store(OpenError::InUse { .. })) => hand_over(settings, request).await,
        Err(error) => Err(error),
    }
}

async fn deny_in_store(started: Started, request: &RevokeRequest) -> Result<Denied, StartError> {
    let result = match started.state.engine.deny_now(request).await {
        Ok(DenialOutcome::InFeed(number)) => Ok(Denied::Everywhere { number }),
        Ok(DenialOutcome::Kept) => Ok(Denied::AtStart),
        Err(DenialError::Refused(failure)) => Err(StartError::refusal(failure)),
        Err(DenialError::NotWritten(error)) => Err(not_written(&error)),
    };
    stop(started).await.map_err(StartError::Refused)?;
    result
}

/// Lays the denial before the server that holds the store, and waits for its answer.
async fn hand_over(settings: &Settings, request: &RevokeRequest) -> Result<Denied, StartError> {
    // The seal opened on a store that another process holds.
    let rows = view_rows(&settings.data_directory)?;
    let unlocked = unlock_rows(&settings.seal_sources(), rows).await;
    let codec = unlocked.map_err(|error| settings.unlock_failed(error))?.codec;
    if is_sealed(settings).await {
        // It answers nothing yet, and who mistyped must hear of it now.
        check_revocation(request, Timestamp::now())
            .and_then(|()| is_there(settings, request))
            .map_err(StartError::refusal)?;
    }
    let folder = DenialFolder::of(&settings.data_directory);
    let id = new_request_id(Timestamp::now());
    folder.put(&codec, id, request).map_err(|error| not_written(&error))?;
    // Asked after it lies there: whatever unseals the server from now on takes it first.
    if is_sealed(settings).await {
        return Ok(Denied::AtUnseal);
    }
    let answered = async {
        let mut ticks = tokio::time::interval(LOOK);
        loop {
            ticks.tick().await;
            if let Some(answer) = folder.read_answer(&codec, id) {
                return answer;
            }
        }
    };
    let answer = match tokio::time::timeout(PATIENCE, answered).await {
        Ok(answer) => answer,
        // It was sealed meanwhile.
        Err(_) if is_sealed(settings).await => return Ok(Denied::AtUnseal),
        Err(_) => {
            return Err(StartError::Refused(format!(
                "the server that holds the store did not answer within {} s, so it is not known that it denies\nlook \
                 at its log; the denial lies in {}/denials and is taken when the server looks again",
                PATIENCE.as_secs(),
                settings.data_directory.display()
            )));
        }
    };
    folder.forget_answer(id);
    match answer {
        DenialAnswer::Taken { number } => Ok(Denied::Everywhere { number }),
        DenialAnswer::Held => Ok(Denied::Here),
        DenialAnswer::Refused { reason } => Err(StartError::Refused(reason)),
    }
}

/// Whether the server that runs here has no keys.
async fn is_sealed(settings: &Settings) -> bool {
    matches!(ask(&settings.data_directory, &Ask::Status {}).await, Ok(Answer::Status { status }) if status.sealed)
}

/// Whether the database has what a request names, as far as it can be seen without the server.
fn is_there(settings: &Settings, request: &RevokeRequest) -> Result<(), Failure> {
    let (kind, id, absent): (_, _, fn() -> Failure) = match request {
        RevokeRequest::Machine { app: AppRef::Id(app), .. } => {
            (RecordKind::AppHead, app.as_bytes().to_vec(), no_such_app)
        }
        RevokeRequest::Machine { app: AppRef::Name(app), .. } => {
            (RecordKind::AppName, app.as_str().as_bytes().to_vec(), no_such_app)
        }
        RevokeRequest::SigningKey { id } => {
            (RecordKind::SigningKey, id.as_bytes().to_vec(), no_such_signing_key)
        }
        _ => return Ok(()),
    };
    let view = SqliteView::open(&settings.data_directory).map_err(Failure::internal)?;
    match view.record(kind, &id)? {
        Some(_) => Ok(()),
        None => Err(absent()),
    }
}

fn not_written(error: &std::io::Error) -> StartError {
    StartError::Refused(format!(
        "the denial cannot be written to the data directory: {error}\ncheck its owner, mode and disk; nothing was denied"
    ))
}
