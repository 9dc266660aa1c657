//! Requests in progress: how many there may be, and how they end.

use std::sync::Arc;

use axum::response::Response;
use futures_util::future::BoxFuture;
use petsem_engine::Failure;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};

use super::finish::{Panicked, finished};
use super::respond::{refuse, request_id};
use crate::http::state::ServerState;
use crate::messages;

/// Which permits a request can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
    /// What a booting Machine waits for: any.
    Boot,
    /// All others: a part is for boots alone.
    Other,
}

/// A permit, until it is dropped.
struct Permit {
    _any: OwnedSemaphorePermit,
    _other: Option<OwnedSemaphorePermit>,
}

impl Priority {
    fn permit(self, state: &ServerState) -> Result<Permit, TryAcquireError> {
        let other = match self {
            Self::Boot => None,
            Self::Other => Some(Arc::clone(&state.other_permits).try_acquire_owned()?),
        };
        Ok(Permit { _any: Arc::clone(&state.request_permits).try_acquire_owned()?, _other: other })
    }
}

/// Does the work of a request. Requests over the limit are refused at once. The work continues if the client
/// disconnects, so a committed change gets its audit line.
pub(super) async fn with_permit(
    state: &Arc<ServerState>,
    priority: Priority,
    work: BoxFuture<'static, Response>,
) -> Response {
    state.metrics.request();
    let Ok(permit) = priority.permit(state) else {
        return refuse(state, request_id(&state.engine), &messages::too_many_requests());
    };
    let held = Arc::clone(state);
    let mut cut_off = state.cut_off.subscribe();
    let work = async move {
        // A change that is cut off after its commit gets its line when the store is opened again.
        let response = tokio::select! {
            biased;
            response = work => response,
            _ = cut_off.wait_for(|is_cut| *is_cut) => {
                refuse(&held, request_id(&held.engine), &messages::cut_off_by_sealing())
            }
        };
        drop(held);
        drop(permit);
        response
    };
    match finished(work).await {
        Ok(response) => response,
        Err(Panicked) => refuse(state, request_id(&state.engine), &Failure::internal(Panicked)),
    }
}
