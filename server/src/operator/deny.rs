//! `petsem operator deny`: a revocation on the node, authorized by opening the seal, with or without a running server.

use std::time::Duration;

use petsem_api::{AppRef, RevokeRequest};
use petsem_engine::{
    DenialAnswer, DenialError, DenialFolder, DenialOutcome, Failure, Timestamp, check_revocation,
    new_request_id, no_such_app, no_such_signing_key, unknown_token,
};
use petsem_store::{OpenError, RecordKind, SqliteView};

use crate::error::StartError;
use crate::messages;
use crate::node::start::{Started, start, stop_after, unlock_held};
use crate::operator::socket::{Answer, SocketCommand, send};
use crate::settings::Settings;

/// How long to wait for a running server's answer. The server reads the directory twice a second, and waits five seconds
/// for a store that another program locks.
const WAIT: Duration = Duration::from_secs(15);
/// How often to read the answer.
const POLL: Duration = Duration::from_millis(50);

/// Where a denial is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// On every node: it is in the control feed, under this number.
    Everywhere {
        /// The number of the change.
        number: u64,
    },
    /// On this node: the store accepts no writes at present.
    Here,
    /// From the next start: it is in the data directory, and a server applies it before it serves requests.
    AtStart,
    /// From the unsealing of the sealed server that runs here.
    AtUnseal,
}

/// Denies a token, key or Machine: a server that runs on this node refuses it at once. The denial is kept in the store.
///
/// # Errors
/// [`StartError`]: no seal opens the store, the named object does not exist, or the running server did not answer
/// (then the denial is still in its data directory).
pub async fn deny(settings: &Settings, request: &RevokeRequest) -> Result<Denied, StartError> {
    match start(settings.clone()).await {
        Ok(started) => deny_in_store(started, request).await,
        Err(StartError::Store(OpenError::InUse { .. })) => hand_over(settings, request).await,
        Err(error) => Err(error),
    }
}

async fn deny_in_store(started: Started, request: &RevokeRequest) -> Result<Denied, StartError> {
    let denied = stop_after(started, async |engine| engine.deny_now(request).await).await?;
    match denied {
        Ok(DenialOutcome::InFeed(number)) => Ok(Denied::Everywhere { number }),
        Ok(DenialOutcome::Kept) => Ok(Denied::AtStart),
        Err(DenialError::Refused(failure)) => Err(StartError::refusal(failure)),
        Err(DenialError::NotWritten(error)) => Err(messages::denial_not_written(&error)),
    }
}

/// Passes the denial to the server that holds the store, and waits for its answer.
async fn hand_over(settings: &Settings, request: &RevokeRequest) -> Result<Denied, StartError> {
    let codec = unlock_held(settings).await?.codec;
    let mut request = request.clone();
    if is_sealed(settings).await {
        // A sealed server does not check the request, so a mistyped id must be refused here.
        check_revocation(&request, Timestamp::now())
            .and_then(|()| check_exists(settings, &request))
            .map_err(StartError::refusal)?;
        // What only the server can look up must not be refused when nobody waits for the answer.
        request.accept_unknown();
    }
    let folder = DenialFolder::of(&settings.data_directory);
    let id = new_request_id(Timestamp::now());
    folder.put(&codec, id, &request).map_err(|error| messages::denial_not_written(&error))?;
    // Checked after the denial is in the directory: if the server is unsealed from now on, it applies it first.
    if is_sealed(settings).await {
        return Ok(Denied::AtUnseal);
    }
    let answered = async {
        let mut ticks = tokio::time::interval(POLL);
        loop {
            ticks.tick().await;
            if let Some(answer) = folder.read_answer(&codec, id) {
                return answer;
            }
        }
    };
    let answer = match tokio::time::timeout(WAIT, answered).await {
        Ok(answer) => answer,
        Err(_) => {
            // Nobody waits for an answer any more, so what is unknown then is no reason to refuse it.
            folder.put_checked(&codec, id, request).map_err(|error| messages::denial_not_written(&error))?;
            // It was sealed in the meantime.
            if is_sealed(settings).await {
                return Ok(Denied::AtUnseal);
            }
            return Err(messages::denial_not_answered(WAIT, &settings.data_directory));
        }
    };
    folder.forget_answer(id);
    match answer {
        DenialAnswer::Taken { number } => Ok(Denied::Everywhere { number }),
        DenialAnswer::Held => Ok(Denied::Here),
        DenialAnswer::Refused { reason } => Err(StartError::Refused(reason)),
    }
}

/// Whether a sealed server runs here.
async fn is_sealed(settings: &Settings) -> bool {
    let answer = send(&settings.data_directory, &SocketCommand::Status {}).await;
    matches!(answer, Ok(Answer::Status { status }) if status.sealed)
}

/// Checks that the database has the object that a request names, as far as that is possible without the server.
fn check_exists(settings: &Settings, request: &RevokeRequest) -> Result<(), Failure> {
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
        RevokeRequest::Token { id, unknown: false } => {
            let view = SqliteView::open(&settings.data_directory).map_err(Failure::internal)?;
            return match view.record(RecordKind::Token, id.as_bytes())? {
                Some(_) => Ok(()),
                None => Err(unknown_token(*id)),
            };
        }
        _ => return Ok(()),
    };
    let view = SqliteView::open(&settings.data_directory).map_err(Failure::internal)?;
    match view.record(kind, &id)? {
        Some(_) => Ok(()),
        None => Err(absent()),
    }
}
