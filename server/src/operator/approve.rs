//! `petsem operator approve`: approves a request with the seal instead of a second person's token.

use petsem_api::{Approval, ApprovalId};

use crate::error::StartError;
use crate::node::start::with_engine;
use crate::settings::Settings;

/// Approves a request in the store of this node, with the seal instead of a second person's token. No server may hold
/// the store at the same time.
///
/// # Errors
/// [`StartError`]: the store cannot be opened, or the request is not open. In both cases nothing was changed.
pub async fn approve_with_seal(settings: &Settings, id: ApprovalId) -> Result<Approval, StartError> {
    with_engine(settings, async |engine| engine.approve_with_seal(id).await).await
}
