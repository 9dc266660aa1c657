//! Commands on the node that the server which holds the store carries out. The command opens a seal, and proves that
//! with a MAC under the row-MAC key, bound to its id and its time.

use data_encoding::BASE64;
use petsem_api::{Approval, ApprovalId, Approve, MintedToken, OrgRef, RequestId};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::Failure;
use crate::keyring::seal_list::SealChange;
use crate::messages;
use crate::records::{RecordCodec, SignedNote};

/// How old a command may be, in seconds; a longer time only helps whoever captured it.
const OLDEST: u64 = 60;

/// What a command wants.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NodeCommand {
    /// A change of the list of seals.
    Seals(Box<SealChange>),
    /// An operator's token.
    Recover {
        /// Its holder.
        operator: String,
        /// Its lifetime in seconds.
        life: u64,
    },
    /// The token of an org's owner.
    Owner {
        /// The org.
        org: OrgRef,
        /// Its holder.
        owner: String,
        /// Its lifetime in seconds.
        life: u64,
    },
    /// The approval of a request, with the seal instead of a second person.
    Approve {
        /// The request.
        request: ApprovalId,
        /// The approval.
        wanted: Approve,
    },
}

/// What came of a command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NodeAnswer {
    /// The list of seals is changed.
    Changed {},
    /// The token.
    Minted(MintedToken),
    /// The request as it is now.
    Approved(Box<Approval>),
}

/// A command and its time.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Timed {
    /// Unix seconds.
    at: i64,
    command: NodeCommand,
}

impl NodeCommand {
    /// The command as a note for the server that holds the store, under this id.
    ///
    /// # Errors
    /// It cannot be encoded as JSON.
    pub fn into_note(self, codec: &RecordCodec, id: RequestId, now: Timestamp) -> Result<String, Failure> {
        let text =
            serde_json::to_vec(&Timed { at: now.seconds(), command: self }).map_err(Failure::internal)?;
        Ok(BASE64.encode(&codec.write_note(SignedNote::Command, id, &text)))
    }
}

impl Engine {
    /// Carries out a command of a process that opened a seal. `source` is for the audit log.
    ///
    /// # Errors
    /// It is refused. Nothing was changed.
    pub async fn carry_out_command(&self, source: &str, command: NodeCommand) -> Result<NodeAnswer, Failure> {
        match command {
            NodeCommand::Seals(change) => {
                self.change_seals(source, &change).await?;
                Ok(NodeAnswer::Changed {})
            }
            NodeCommand::Recover { operator, life } => {
                tracing::warn!(operator, "an operator's token is minted on the node");
                let token = self.mint_operator_token(source, "operator.recover", &operator, life).await?;
                Ok(NodeAnswer::Minted(token))
            }
            NodeCommand::Owner { org, owner, life } => {
                Ok(NodeAnswer::Minted(self.mint_owner(source, &org, &owner, life).await?))
            }
            NodeCommand::Approve { request, wanted } => {
                let approved = self.approve_with_seal(source, request, &wanted).await?;
                Ok(NodeAnswer::Approved(Box::new(approved)))
            }
        }
    }

    /// The same, for a command that another process passes to this server.
    ///
    /// # Errors
    /// It was not written by a process that opened a seal of this store, or not now; or it is refused.
    pub async fn carry_out_note(
        &self,
        source: &str,
        id: RequestId,
        note: &str,
    ) -> Result<NodeAnswer, Failure> {
        let refused = messages::command_of_another_store;
        let note = BASE64.decode(note.as_bytes()).map_err(|_| refused())?;
        let text = self.codec.read_note(SignedNote::Command, id, &note).ok_or_else(refused)?;
        let Timed { at, command } = serde_json::from_slice(text).map_err(|_| refused())?;
        if self.now().seconds().abs_diff(at) > OLDEST {
            return Err(messages::command_too_old());
        }
        self.carry_out_command(source, command).await
    }
}
