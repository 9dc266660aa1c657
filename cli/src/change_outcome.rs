//! The server's answer to a change that may need a second person.

use petsem_api::Approval;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::{messages, output};

/// The change, or a request that waits for a second person.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum ChangeOutcome<T> {
    AwaitsApproval(Box<Approval>),
    Done(T),
}

impl<T: Serialize> ChangeOutcome<T> {
    /// Prints which of the two it is.
    pub(crate) fn confirm(&self, json: bool, done: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        let text = match self {
            Self::AwaitsApproval(approval) => messages::awaits_approval(approval),
            Self::Done(answer) => done(answer),
        };
        output::confirm(json, self, &text)
    }

    /// Fails if the change only waits: a script must not take it as made.
    pub(crate) fn finished(&self) -> Result<(), Failure> {
        match self {
            Self::AwaitsApproval(approval) => Err(messages::not_changed_yet(approval)),
            Self::Done(_) => Ok(()),
        }
    }
}
