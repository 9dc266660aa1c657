//! The routes: one file for each group. A handler authenticates, reads the body, asks policy about the very
//! object that it then touches, and hands its result to `finish`, which records and answers.

mod apps;
mod boot;
mod discharge;
mod health;
mod issuers;
mod orgs;
mod secrets;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use petsem_api::{ErrorCode, RequestId};
use tokio::sync::Semaphore;

use crate::core::Core;
use crate::entropy;
use crate::failure::Failure;
use crate::http::refuse;

/// Every route.
pub(crate) fn router(core: Arc<Core>) -> Router {
    let room = Arc::new(Semaphore::new(core.settings.limits.requests));
    let api = Router::new()
        .route("/v1/orgs", get(orgs::list).post(orgs::create))
        .route("/v1/orgs/{org}", get(orgs::show).delete(orgs::delete))
        .route("/v1/apps", get(apps::list).post(apps::create))
        .route("/v1/apps/{app}", get(apps::show).delete(apps::delete))
        .route("/v1/apps/{app}/policy", get(apps::policy).put(apps::set_policy))
        .route("/v1/apps/{app}/secrets", get(secrets::list).post(secrets::update))
        .route("/v1/apps/{app}/secrets/{name}", get(secrets::show).post(secrets::set).delete(secrets::unset))
        .route("/v1/apps/{app}/secrets/{name}/history", get(secrets::history))
        .route("/v1/apps/{app}/secrets/{name}/rollback", post(secrets::rollback))
        .route("/v1/apps/{app}/boot", post(boot::single))
        .route("/v1/apps/{app}/boot/renew", post(boot::renew))
        .route("/v1/apps/{app}/boot/report", post(boot::report))
        .route("/v1/boot", post(boot::batch))
        .route("/v1/tokens", get(tokens::list).post(tokens::create))
        .route("/v1/revocations", post(tokens::revoke))
        .route("/v1/issuers", get(issuers::list))
        .route("/.well-known/macfly/3p", post(discharge::discharge))
        .route("/discharger/.well-known/macfly/3p", post(discharge::discharge))
        .layer(from_fn_with_state((Arc::clone(&core), room), bounded));
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(health::openapi))
        .merge(api)
        .fallback(no_route)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(core)
}

/// Requests beyond the limit are told so at once; health stays honest beside them.
async fn bounded(
    State((core, room)): State<(Arc<Core>, Arc<Semaphore>)>,
    request: Request,
    next: Next,
) -> Response {
    core.counters.request();
    match room.try_acquire() {
        Ok(_place) => next.run(request).await,
        Err(_) => {
            let failure =
                Failure::new(ErrorCode::Busy, "too many requests at once; nothing was changed; try again")
                    .retry_after(1);
            refuse(&core, request_id(&core), &failure)
        }
    }
}

async fn no_route(State(core): State<Arc<Core>>) -> Response {
    let failure = Failure::new(ErrorCode::NoRoute, "there is no such route; /openapi.json lists all");
    refuse(&core, request_id(&core), &failure)
}

async fn method_not_allowed(State(core): State<Arc<Core>>) -> Response {
    let failure = Failure::new(
        ErrorCode::MethodNotAllowed,
        "this route does not know that method; /openapi.json lists all",
    );
    refuse(&core, request_id(&core), &failure)
}

fn request_id(core: &Core) -> RequestId {
    RequestId::new_v7(core.now().millis(), &entropy::bytes())
}
