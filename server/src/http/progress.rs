//! Requests in progress: each has a permit, and ends even if its client is gone.

use std::sync::Arc;

use axum::response::Response;
use futures_util::future::BoxFuture;
use petsem_engine::Failure;

use super::finish::{Panicked, finished};
use super::permits::Priority;
use super::respond::{refuse, request_id};
use crate::http::state::ServerState;
use crate::messages;

/// Does the work of a request. Requests over the limit are refused at once. The work continues if the client
/// disconnects, so a committed change gets its audit line.
pub(super) async fn with_permit(
    state: &Arc<ServerState>,
    priority: Priority,
    is_of_host: bool,
    work: BoxFuture<'static, Response>,
) -> Response {
    state.metrics.request();
    let Ok(permit) = state.permits.permit(priority, is_of_host) else {
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
