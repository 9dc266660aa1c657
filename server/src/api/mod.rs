//! The routes: one file for each group, with their declarations at the top. A handler reads the body, asks for a decision
//! about the very object that it then touches, and returns its result; the route records and responds.

mod approvals;
mod apps;
mod boot;
mod discharge;
mod dischargers;
mod health;
mod issuers;
mod operator;
mod orgs;
mod rotations;
mod secret_keys;
mod secrets;
mod tokens;

pub(crate) use health::alive;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use petsem_api::RequestId;
use petsem_engine::{Engine, Failure, new_request_id};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::http::state::ServerState;
use crate::http::{self, Anonymous, Panicked, Route, finished, refuse, tag};
use crate::messages;

/// Every route.
pub(crate) fn router(state: Arc<ServerState>) -> Router {
    of(boots())
        .layer(from_fn_with_state(Arc::clone(&state), bounded))
        .merge(of(others()).layer(from_fn_with_state(Arc::clone(&state), bounded_after_boots)))
        .merge(of(process()))
        .fallback(no_route)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state)
}

/// What a booting Machine waits for.
fn boots() -> Vec<Route> {
    boot::routes().into_iter().chain(discharge::routes()).collect()
}

/// The other routes for clients with a credential.
fn others() -> Vec<Route> {
    [
        orgs::routes(),
        apps::routes(),
        approvals::routes(),
        secrets::routes(),
        secret_keys::routes(),
        crate::oauth::exchange::routes(),
        tokens::routes(),
        rotations::routes(),
        operator::routes(),
        issuers::routes(),
        dischargers::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What the process says about itself, without a limit of requests.
fn process() -> Vec<Route> {
    let openapi = Route::get("/openapi.json")
        .named("openapi", tag::SERVER, "This document")
        .from::<Anonymous>()
        .giving::<serde_json::Value>(StatusCode::OK, "This document.")
        .raw(openapi);
    health::routes().into_iter().chain([openapi]).collect()
}

/// The description of the API, from the declarations of the routes. `server/openapi.json` is a copy.
static OPENAPI: LazyLock<String> = LazyLock::new(document);

async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI.as_str()).into_response()
}

/// The OpenAPI document of all routes.
fn document() -> String {
    let document = http::document(boots().into_iter().chain(others()).chain(process()));
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn of(routes: Vec<Route>) -> Router<Arc<ServerState>> {
    routes.into_iter().fold(Router::new(), |router, route| router.route(route.path, route.handlers))
}

/// Requests over the limit are refused immediately; `/healthz`, `/readyz` and `/metrics` have no limit. The work
/// continues if the client disconnects, so a committed change gets its audit line.
async fn bounded(State(state): State<Arc<ServerState>>, request: Request, next: Next) -> Response {
    answer(&state, None, request, next).await
}

/// The same for all but boots, which have a part of the places for themselves.
async fn bounded_after_boots(
    State(state): State<Arc<ServerState>>,
    request: Request,
    next: Next,
) -> Response {
    answer(&state, Some(&state.other_permits), request, next).await
}

async fn answer(
    state: &Arc<ServerState>,
    part: Option<&Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Response {
    state.metrics.request();
    let begun = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = within_permits(state, part, request, next).await;
    if let Some(route) = route {
        state.metrics.answered(method.as_str(), route.as_str(), begun.elapsed());
    }
    response
}

async fn within_permits(
    state: &Arc<ServerState>,
    part: Option<&Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Response {
    let part = part.map(|part| Arc::clone(part).try_acquire_owned()).transpose();
    match part.and_then(|part| Ok((part, Arc::clone(&state.request_permits).try_acquire_owned()?))) {
        Ok(place) => {
            let held = Arc::clone(state);
            let mut cut_off = state.cut_off.subscribe();
            let work = async move {
                // A change that is cut off after its commit gets its line when the store is opened again.
                let response = tokio::select! {
                    biased;
                    response = next.run(request) => response,
                    _ = cut_off.wait_for(|is_cut| *is_cut) => refuse(&held, request_id(&held.engine), &messages::cut_off_by_sealing()),
                };
                drop(held);
                drop(place);
                response
            };
            match finished(work).await {
                Ok(response) => response,
                Err(Panicked) => refuse(state, request_id(&state.engine), &Failure::internal(Panicked)),
            }
        }
        Err(_) => refuse(state, request_id(&state.engine), &messages::too_many_requests()),
    }
}

async fn no_route(State(state): State<Arc<ServerState>>) -> Response {
    refuse(&state, request_id(&state.engine), &messages::no_such_route())
}

async fn method_not_allowed(State(state): State<Arc<ServerState>>) -> Response {
    refuse(&state, request_id(&state.engine), &messages::method_not_allowed())
}

fn request_id(engine: &Engine) -> RequestId {
    new_request_id(engine.now())
}

#[cfg(test)]
mod openapi_tests;
