//! `petsem operator approve`: approves a request with the seal instead of a second person's token.

use petsem_api::{Approval, ApprovalId, Approve};
use petsem_engine::{NodeAnswer, NodeCommand};

use crate::error::StartError;
use crate::operator::hand_over::carry_out;
use crate::operator::socket::CommandError;
use crate::settings::Settings;

/// Approves a request in the store of this node, with the seal instead of a second person's token.
///
/// # Errors
/// [`StartError`]: the store cannot be opened, or the request is not open. In both cases nothing was changed.
pub async fn approve_with_seal(
    settings: &Settings,
    request: ApprovalId,
    wanted: Approve,
) -> Result<Approval, StartError> {
    match carry_out(settings, NodeCommand::Approve { request, wanted }).await? {
        NodeAnswer::Approved(approval) => Ok(*approval),
        _ => Err(CommandError::NoServer.into()),
    }
}
