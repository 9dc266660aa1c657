//! `/v1/issuers`: whom this installation believes JWTs of. Registering one is done on the node, with the seal.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{Issuer, IssuerList};
use petsem_policy::Action;

use crate::authority::{Touched, denied};
use crate::failure::Failure;
use crate::http::{Call, finish};
use crate::request::Trail;

/// `GET /v1/issuers`
pub(super) async fn list(call: Call) -> Response {
    let mut trail = call.trail("issuer.list");
    let result = list_issuers(&call, &mut trail);
    finish(&call, trail, StatusCode::OK, result).await
}

fn list_issuers(call: &Call, trail: &mut Trail) -> Result<IssuerList, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    caller
        .allows(trail, &Touched::default(), Action::Operate, call.now)
        .map_err(|refused| denied(&refused))?;
    let control = call.core.control();
    let mut issuers: Vec<Issuer> = control
        .issuers()
        .map(|entry| Issuer {
            id: entry.id,
            issuer: entry.row.issuer.clone(),
            algorithms: entry.row.algorithms.clone(),
            development: entry.row.development,
        })
        .collect();
    issuers.sort_by(|one, other| one.issuer.cmp(&other.issuer));
    Ok(IssuerList { issuers })
}
