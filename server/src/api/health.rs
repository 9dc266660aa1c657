//! What the process says of itself, to anybody: no credential, no secret.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use petsem_api::{Health, Readiness};

use crate::http::metrics;
use crate::http::state::ServerState;

/// The API's description; a test compares it with the router.
const OPENAPI: &str = include_str!("../../openapi.json");

/// `GET /healthz`
pub(super) async fn alive() -> Json<Health> {
    Json(Health { status: "ok".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() })
}

/// `GET /readyz`
pub(super) async fn ready(State(state): State<Arc<ServerState>>) -> Response {
    let problems = state.engine.problems();
    let ready = problems.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if ready { "ready" } else { "not_ready" };
    let warnings = state.engine.warnings();
    (status, Json(Readiness { ready, status: word.to_owned(), problems, warnings })).into_response()
}

/// `GET /metrics`
pub(super) async fn metrics(State(state): State<Arc<ServerState>>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics::page(&state)).into_response()
}

/// `GET /openapi.json`
pub(super) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}
