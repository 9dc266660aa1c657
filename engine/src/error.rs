//! Why a request was refused: two messages, of which only one crosses the wire.

use std::fmt;

use petsem_api::ErrorCode;
use petsem_store::{CommitError, ReadError, RecordKind};

use crate::records::{BundleError, IntegrityFault};

/// A refusal. The external text says what happened and what to do, and no more than the principal may know; the
/// internal one goes to the log. Neither ever holds a value or a token.
#[derive(Debug)]
pub struct Failure {
    code: ErrorCode,
    external: String,
    internal: Option<String>,
    retry_after: Option<u32>,
}

impl Failure {
    /// A refusal with its external text.
    pub fn new(code: ErrorCode, external: impl Into<String>) -> Self {
        Self { code, external: external.into(), internal: None, retry_after: None }
    }

    /// The same, with what the log shall say.
    pub(crate) fn because(mut self, internal: impl fmt::Display) -> Self {
        self.internal = Some(internal.to_string());
        self
    }

    /// The same, with a time in seconds after which trying again makes sense.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Something failed inside.
    pub fn internal(internal: impl fmt::Display) -> Self {
        Self::new(
            ErrorCode::Internal,
            "something failed inside petsem; nothing was changed; its operator finds the reason in the log \
             under the request id",
        )
        .because(internal)
    }

    /// The machine's code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// What the principal reads.
    pub fn external(&self) -> &str {
        &self.external
    }

    /// What the log says beside it.
    pub fn internal_text(&self) -> Option<&str> {
        self.internal.as_deref()
    }

    /// Seconds for `Retry-After`.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        self.retry_after
    }
}

impl From<IntegrityFault> for Failure {
    fn from(fault: IntegrityFault) -> Self {
        Self::new(
            ErrorCode::Integrity,
            "what is stored is not what was written; nothing was answered; tell the operator of this petsem \
             the request id",
        )
        .because(fault)
    }
}

impl From<BundleError> for Failure {
    fn from(error: BundleError) -> Self {
        Self::internal(error)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable => unavailable("the store takes no reads now").because(error),
            ReadError::Corrupt(_) => {
                Self::from(IntegrityFault::new("database", &[], "its structure is damaged")).because(error)
            }
            error => Self::internal(error),
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Full => Self::new(
                ErrorCode::StoreFull,
                "the store's disk is full; nothing was changed; reads and boots go on; free space and try again",
            )
            .retry_after(30),
            // Of what was wrapped under a version of the keyring that is no longer current.
            CommitError::Conflict { kind: RecordKind::Store, .. } => Self::new(
                ErrorCode::Busy,
                "the keyring was rotated just now; nothing was changed; try again",
            )
            .retry_after(1),
            CommitError::Conflict { .. } | CommitError::FeedConflict { .. } => Self::new(
                ErrorCode::Conflict,
                "something else changed the same thing at the same time; nothing was changed; try again",
            )
            .because(error),
            CommitError::ReadOnly => unavailable("the store cannot be written").because(error),
            CommitError::Unavailable => unavailable("the store takes no writes now").because(error),
            CommitError::Corrupt(_) => Self::from(IntegrityFault::new("database", &[], "its structure is damaged"))
                .because(error),
            error => Self::internal(error),
        }
    }
}

fn unavailable(what: &str) -> Failure {
    Failure::new(ErrorCode::StoreUnavailable, format!("{what}; nothing was changed; try again"))
        .retry_after(2)
}

/// Decisions fail closed while what is stored is not what was written.
pub(crate) fn untrusted(fault: &str) -> Failure {
    Failure::new(
        ErrorCode::Integrity,
        "what is stored is not what was written, so nothing is decided; tell the operator of this petsem the request id",
    )
    .because(fault)
}
