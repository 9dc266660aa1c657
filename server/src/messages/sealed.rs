//! A sealed server: its notices, why it is sealed, what opened it, and a sealing that did not succeed.

use std::fmt::Display;

use petsem_api::ErrorCode;
use petsem_engine::{Failure, OpenedBy};

use crate::error::{ServeError, StartError};

/// `Retry-After` of the two notices, in seconds: unsealing may need people.
const RETRY_SECONDS: u32 = 30;
/// Why it is sealed.
pub(crate) const SEALED_BY_OPERATOR: &str = "an operator sealed it";
pub(crate) const NO_SEAL_WITHOUT_A_PERSON: &str = "the configuration has no seal that opens without a person";

/// The notice for every client. `petsem operator status` tells users of the node more.
pub(crate) fn node_sealed() -> Failure {
    Failure::new(
        ErrorCode::Sealed,
        "this server is sealed: it has no key, so nothing can be read or written; on its node, `petsem operator \
         unseal` opens it and `petsem operator status` shows why it is sealed",
    )
    .retry_after(RETRY_SECONDS)
}

/// The notice of a node whose audit log is lost.
pub(crate) fn log_lost() -> Failure {
    Failure::new(
        ErrorCode::AuditLost,
        "the audit log of this node is missing or changed, so it serves nothing; on the node, `petsem operator status` \
         shows which log, and how to continue with it or without it",
    )
    .retry_after(RETRY_SECONDS)
}

/// The notice while the keys are being dropped.
pub(crate) fn node_sealing() -> Failure {
    Failure::new(
        ErrorCode::Stopping,
        "an operator is sealing this server: it accepts no more requests and drops its keys",
    )
    .retry_after(RETRY_SECONDS)
}

/// One reason why it is sealed: the input that is missing.
pub(crate) fn opened_with(input: &str) -> String {
    format!("it can be opened with {input}")
}

/// The seal that opened the store, for `status` and the answer to `unseal`.
pub(crate) fn opening_seal(opened_by: &OpenedBy) -> String {
    format!("{} ({})", opened_by.description, opened_by.kind)
}

/// The detail of the audit line of an unsealing.
pub(crate) fn opened_by(seal: &str) -> String {
    format!("opened by {seal}")
}

pub(crate) fn sealed() -> Failure {
    Failure::new(ErrorCode::Sealed, "the server is sealed; unseal it first with `petsem operator unseal`")
}

/// The server stays sealed.
pub(crate) fn not_unsealed(error: &StartError) -> Failure {
    Failure::new(ErrorCode::Sealed, error.to_string())
}

/// A seal opened the store, which cannot be served.
pub(crate) fn not_served(error: &StartError) -> Failure {
    Failure::new(ErrorCode::Integrity, error.to_string())
}

pub(crate) fn invalid_passphrase(error: &dyn Display) -> Failure {
    Failure::new(ErrorCode::BadRequest, error.to_string())
}

pub(crate) fn audit_log_blocks_unsealing(error: &dyn Display) -> StartError {
    StartError::Refused(format!("the audit log cannot be closed: {error}"))
}

pub(crate) fn requests_not_ended() -> ServeError {
    keys_not_dropped("requests are still in progress")
}

pub(crate) fn audit_log_not_closed(error: &str) -> ServeError {
    keys_not_dropped(&format!("the audit log was not closed: {error}"))
}

pub(crate) fn keys_still_held() -> ServeError {
    keys_not_dropped("a task still holds the keys")
}

fn keys_not_dropped(why: &str) -> ServeError {
    ServeError::Stop(format!(
        "an operator sealed it, and {why}: the process ends, so that no key stays in memory"
    ))
}
