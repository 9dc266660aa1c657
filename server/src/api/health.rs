//! What the process says about itself, to any client: no credential, no secret.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use petsem_api::{Health, Readiness};

use crate::disks::DiskSpace;
use crate::http::state::ServerState;
use crate::http::{Anonymous, Route, metrics as prometheus, tag};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/healthz")
            .named("healthz", tag::SERVER, "Whether the process responds")
            .from::<Anonymous>()
            .giving::<Health>(StatusCode::OK, "The process responds.")
            .unlimited(alive),
        Route::get("/readyz")
            .named("readyz", tag::SERVER, "Whether boots are possible")
            .from::<Anonymous>()
            .giving::<Readiness>(StatusCode::OK, "Boots are possible.")
            .giving::<Readiness>(
                StatusCode::SERVICE_UNAVAILABLE,
                "They are not; `problems` says why. A sealed server says `sealed`, and answers 503 `sealed` to every other \
                 route except `/healthz` and `/metrics`.",
            )
            .unlimited(ready),
        Route::get("/metrics")
            .named("metrics", tag::SERVER, "Metrics in the text format of Prometheus")
            .from::<Anonymous>()
            .written_as("text/plain")
            .giving::<String>(StatusCode::OK, "Metrics in the text format of Prometheus.")
            .unlimited(metrics),
    ]
}

/// The answer of a process that responds, sealed or not.
pub(crate) async fn alive() -> Json<Health> {
    Json(Health { status: "ok".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() })
}

async fn ready(State(state): State<Arc<ServerState>>) -> Response {
    let problems = state.engine.problems();
    let ready = problems.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if ready { "ready" } else { "not_ready" };
    let mut warnings = state.engine.warnings();
    warnings.extend(state.disks.seen().iter().filter_map(DiskSpace::warning));
    (status, Json(Readiness { ready, status: word.to_owned(), problems, warnings })).into_response()
}

async fn metrics(State(state): State<Arc<ServerState>>) -> Response {
    ([(CONTENT_TYPE, prometheus::MEDIA_TYPE)], prometheus::page(&state)).into_response()
}
