//! Batches of boots, and polls for discharges.

use petsem_api::{ErrorCode, MAX_BATCH};
use petsem_engine::Failure;

/// Words of the discharge protocol.
pub(crate) const DISCHARGE_NOT_READY: &str = "not ready";
pub(crate) const DISCHARGE_NOT_FOUND: &str = "not found";

pub(crate) fn batch_too_long() -> Failure {
    Failure::new(ErrorCode::BadRequest, format!("a batch has at most {MAX_BATCH} boots; split it"))
}

pub(crate) fn batch_response_full() -> Failure {
    Failure::new(ErrorCode::Busy, "the response to this batch is full; request this Machine in another batch")
}
