//! What a server says to a change that may need a second person.

use petsem_api::Approval;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::{messages, output};

/// Done, or a request that waits for somebody else.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Answered<T> {
    Waits(Box<Approval>),
    Done(T),
}

impl<T: Serialize> Answered<T> {
    /// Says which of the two it is.
    pub(crate) fn confirm(&self, json: bool, done: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        let said = match self {
            Self::Waits(approval) => messages::waits(approval),
            Self::Done(answer) => done(answer),
        };
        output::confirm(json, self, &said)
    }
}
