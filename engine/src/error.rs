//! The refusal of a request. It has two messages, and only the external one crosses the wire.

use std::fmt;

use petsem_api::ErrorCode;
use petsem_store::{CommitError, ReadError, RecordKind};

use crate::records::{BundleError, IntegrityFault};

/// A refusal. The external text says what happened and what to do, and no more than the principal may know. The
/// internal text goes to the log. Neither ever contains a value or a token.
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

    /// The same, with an internal text for the log, after the one that it has: that one may name the row.
    pub(crate) fn because(mut self, internal: impl fmt::Display) -> Self {
        self.internal = Some(match self.internal {
            Some(text) => format!("{text}: {internal}"),
            None => internal.to_string(),
        });
        self
    }

    /// The same, with the number of seconds after which a retry makes sense.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// A failure inside petsem.
    pub fn internal(internal: impl fmt::Display) -> Self {
        Self::new(
            ErrorCode::Internal,
            "something failed inside petsem; nothing was changed; the operator can find the reason in the log by the \
             request id",
        )
        .because(internal)
    }

    /// The machine-readable code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The text for the client.
    pub fn external(&self) -> &str {
        &self.external
    }

    /// The additional text for the log.
    pub fn internal_text(&self) -> Option<&str> {
        self.internal.as_deref()
    }

    /// The text for the operator: the internal one, else the external one.
    pub fn operator_text(&self) -> &str {
        self.internal_text().unwrap_or(&self.external)
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
            "the stored data is not what was written; nothing was answered; give the operator of this petsem \
             installation the request id",
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
            ReadError::Unavailable => unavailable("the store cannot be read now").because(error),
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
                "the store's disk is full; nothing was changed; reads and boots continue; free space and try again",
            )
            .retry_after(30),
            // Something in the change was wrapped under a keyring version that is no longer current.
            CommitError::Conflict { kind: RecordKind::Store, .. } => Self::new(
                ErrorCode::Busy,
                "the keyring was just rotated; nothing was changed; try again",
            )
            .retry_after(1),
            CommitError::Conflict { .. } | CommitError::FeedConflict { .. } => Self::new(
                ErrorCode::Conflict,
                "another request changed the same data at the same time; nothing was changed; try again",
            )
            .because(error),
            CommitError::ReadOnly => unavailable("the store cannot be written").because(error),
            CommitError::Unavailable => unavailable("the store cannot be written now").because(error),
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

/// The refusal of every decision while there is an integrity fault.
pub(crate) fn untrusted(fault: &str) -> Failure {
    Failure::new(
        ErrorCode::Integrity,
        "the stored data is not what was written, so all requests are refused; give the operator of this petsem installation the request id",
    )
    .because(fault)
}
