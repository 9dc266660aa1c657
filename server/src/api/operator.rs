//! `/v1/operator/seal`. Unsealing is no route: it is done on the node, where no stranger can stand in its way.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::Sealing;
use petsem_policy::Action;

use crate::authority::{Touched, denied};
use crate::failure::Failure;
use crate::http::{Call, finish};
use crate::request::Trail;

/// `POST /v1/operator/seal`: the answer leaves first, then the keys go; `/readyz` says when they are gone.
pub(super) async fn seal(call: Call) -> Response {
    let mut trail = call.trail("operator.seal");
    let result = seal_it(&call, &mut trail);
    let response = finish(&call, trail, StatusCode::ACCEPTED, result).await;
    if response.status() == StatusCode::ACCEPTED {
        call.core.sealing.notify_one();
    }
    response
}

fn seal_it(call: &Call, trail: &mut Trail) -> Result<Sealing, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    caller
        .allows(trail, &Touched::default(), Action::Operate, call.now)
        .map_err(|refused| denied(&refused))?;
    Ok(Sealing { status: "sealing".to_owned() })
}
