//! The routes: one file for each group. A handler authenticates, reads the body, asks policy about the very
//! object that it then touches, and hands its result to `finish`, which records and answers.

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

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post, put};
use petsem_api::{ErrorCode, RequestId};
use petsem_engine::{Engine, Failure, new_request_id, scrubbed};

use crate::http::request::refuse;
use crate::http::state::ServerState;

/// Every route.
pub(crate) fn router(state: Arc<ServerState>) -> Router {
    of(api())
        .layer(from_fn_with_state(Arc::clone(&state), bounded))
        .merge(of(process()))
        .fallback(no_route)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state)
}

/// A path with its handlers. A test compares all of them with `openapi.json`.
type Route = (&'static str, MethodRouter<Arc<ServerState>>);

/// What callers with a credential ask.
fn api() -> Vec<Route> {
    vec![
        ("/v1/orgs", get(orgs::list).post(orgs::create)),
        ("/v1/orgs/{org}", get(orgs::show).delete(orgs::delete)),
        ("/v1/orgs/{org}/guard", get(approvals::guard).put(approvals::set_guard)),
        ("/v1/apps", get(apps::list).post(apps::create)),
        ("/v1/apps/{app}", get(apps::show).delete(apps::delete)),
        ("/v1/apps/{app}/policy", get(apps::policy).put(apps::set_policy)),
        ("/v1/apps/{app}/rotate", post(rotations::rotate_app)),
        ("/v1/apps/{app}/break-glass", post(approvals::break_glass)),
        ("/v1/apps/{app}/secrets", get(secrets::list).post(secrets::update)),
        ("/v1/apps/{app}/secrets/{name}", get(secrets::show).post(secrets::set).delete(secrets::unset)),
        ("/v1/apps/{app}/secrets/{name}/history", get(secrets::history)),
        ("/v1/apps/{app}/secrets/{name}/rollback", post(secrets::rollback)),
        ("/v1/apps/{app}/secretkeys", get(secret_keys::list)),
        (
            "/v1/apps/{app}/secretkeys/{name}",
            get(secret_keys::show).post(secret_keys::set).delete(secret_keys::delete),
        ),
        ("/v1/apps/{app}/secretkeys/{name}/generate", post(secret_keys::generate)),
        ("/v1/apps/{app}/secretkeys/{name}/encrypt", post(secret_keys::encrypt)),
        ("/v1/apps/{app}/secretkeys/{name}/decrypt", post(secret_keys::decrypt)),
        ("/v1/apps/{app}/secretkeys/{name}/sign", post(secret_keys::sign)),
        ("/v1/apps/{app}/secretkeys/{name}/verify", post(secret_keys::verify)),
        ("/v1/apps/{app}/boot", post(boot::single)),
        ("/v1/apps/{app}/boot/renew", post(boot::renew)),
        ("/v1/apps/{app}/boot/report", post(boot::report)),
        ("/v1/boot", post(boot::batch)),
        ("/v1/token", post(crate::oauth::exchange::exchange)),
        ("/v1/tokens", get(tokens::list).post(tokens::create)),
        ("/v1/tokens/explain", post(tokens::explain)),
        ("/v1/rotations", get(rotations::list)),
        ("/v1/keyring/rotate", post(rotations::rotate_keyring)),
        ("/v1/signing-keys", get(tokens::signing_keys).post(tokens::rotate_signing_key)),
        ("/v1/revocations", post(tokens::revoke)),
        ("/v1/operator/seal", post(operator::seal)),
        ("/v1/issuers", get(issuers::list).post(issuers::register)),
        ("/v1/issuers/{id}", put(issuers::change).delete(issuers::delete)),
        ("/v1/dischargers", get(dischargers::list).post(dischargers::register)),
        ("/v1/dischargers/{id}", delete(dischargers::delete)),
        ("/v1/approvals", get(approvals::list)),
        ("/v1/approvals/{id}", get(approvals::show)),
        ("/v1/approvals/{id}/approve", post(approvals::approve)),
        ("/v1/approvals/{id}/deny", post(approvals::deny)),
        ("/.well-known/macfly/3p", post(discharge::discharge)),
        ("/.well-known/macfly/3p/poll/{secret}", get(discharge::poll)),
        ("/discharger/.well-known/macfly/3p", post(discharge::discharge)),
        ("/discharger/.well-known/macfly/3p/poll/{secret}", get(discharge::poll)),
    ]
}

/// What the process says of itself, however busy it is.
fn process() -> Vec<Route> {
    vec![
        ("/healthz", get(health::alive)),
        ("/readyz", get(health::ready)),
        ("/metrics", get(health::metrics)),
        ("/openapi.json", get(health::openapi)),
    ]
}

fn of(routes: Vec<Route>) -> Router<Arc<ServerState>> {
    routes.into_iter().fold(Router::new(), |router, (path, handlers)| router.route(path, handlers))
}

/// Requests beyond the limit are told so at once; health stays honest beside them.
///
/// The work goes on when the principal hangs up: what was committed gets its line.
async fn bounded(State(state): State<Arc<ServerState>>, request: Request, next: Next) -> Response {
    state.counters.request();
    match Arc::clone(&state.request_permits).try_acquire_owned() {
        Ok(place) => {
            let held = Arc::clone(&state);
            let mut cut_off = state.cut_off.subscribe();
            let work = tokio::spawn(scrubbed(async move {
                // A change that is cut off after its commit gets its line when the store is opened again.
                let response = tokio::select! {
                    response = next.run(request) => response,
                    _ = cut_off.wait_for(|is_cut| *is_cut) => refuse(&held, request_id(&held.engine), &sealing()),
                };
                drop(held);
                drop(place);
                response
            }));
            match work.await {
                Ok(response) => response,
                Err(error) => refuse(&state, request_id(&state.engine), &Failure::internal(error)),
            }
        }
        Err(_) => {
            let failure =
                Failure::new(ErrorCode::Busy, "too many requests at once; nothing was changed; try again")
                    .retry_after(1);
            refuse(&state, request_id(&state.engine), &failure)
        }
    }
}

fn sealing() -> Failure {
    Failure::new(ErrorCode::Stopping, "an operator seals this server; look whether what you asked was done")
}

async fn no_route(State(state): State<Arc<ServerState>>) -> Response {
    let failure = Failure::new(ErrorCode::NoRoute, "there is no such route; /openapi.json lists all");
    refuse(&state, request_id(&state.engine), &failure)
}

async fn method_not_allowed(State(state): State<Arc<ServerState>>) -> Response {
    let failure = Failure::new(
        ErrorCode::MethodNotAllowed,
        "this route does not know that method; /openapi.json lists all",
    );
    refuse(&state, request_id(&state.engine), &failure)
}

fn request_id(engine: &Engine) -> RequestId {
    new_request_id(engine.now())
}

#[cfg(test)]
mod openapi_tests;
