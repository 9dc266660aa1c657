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
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::http::state::ServerState;
use crate::http::{self, Anonymous, Route, refuse, request_id, tag};
use crate::messages;

/// Every route.
pub(crate) fn router(state: Arc<ServerState>) -> Router {
    let routes = routes().into_iter();
    routes
        .fold(Router::new(), |router, route| router.route(route.path, route.handlers))
        .fallback(no_route)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state)
}

fn routes() -> Vec<Route> {
    [
        boot::routes(),
        discharge::routes(),
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
        process(),
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
        .unlimited(openapi);
    health::routes().into_iter().chain([openapi]).collect()
}

/// The description of the API, from the declarations of the routes. `server/openapi.json` is a copy.
static OPENAPI: LazyLock<String> = LazyLock::new(document);

async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI.as_str()).into_response()
}

/// The OpenAPI document of all routes.
fn document() -> String {
    let document = http::document(routes());
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

async fn no_route(State(state): State<Arc<ServerState>>) -> Response {
    refuse(&state, request_id(&state.engine), &messages::no_such_route())
}

async fn method_not_allowed(State(state): State<Arc<ServerState>>) -> Response {
    refuse(&state, request_id(&state.engine), &messages::method_not_allowed())
}

#[cfg(test)]
mod openapi_tests;
