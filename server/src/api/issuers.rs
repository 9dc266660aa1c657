//! `/v1/issuers`: whom this installation believes JWTs of. Registering and changing one needs a second person.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{Approval, Issuer, IssuerId, IssuerList, PutIssuer};
use petsem_policy::Action;

use crate::authority::{Caller, Touched, Verified, denied};
use crate::failure::Failure;
use crate::http::{Call, finish};
use crate::issuers::shown;
use crate::request::Trail;

/// `GET /v1/issuers`
pub(super) async fn list(call: Call) -> Response {
    let mut trail = call.trail("issuer.list");
    let result = list_issuers(&call, &mut trail);
    finish(&call, trail, StatusCode::OK, result).await
}

fn list_issuers(call: &Call, trail: &mut Trail) -> Result<IssuerList, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    operator(call, trail, &caller)?;
    let control = call.core.control();
    let mut issuers: Vec<Issuer> = control.issuers().map(|entry| shown(entry)).collect();
    issuers.sort_by(|one, other| one.issuer.cmp(&other.issuer));
    Ok(IssuerList { issuers })
}

/// `POST /v1/issuers`: it waits for a second person.
pub(super) async fn register(call: Call) -> Response {
    let mut trail = call.trail("issuer.ask");
    let result = ask_issuer(&call, &mut trail).await;
    finish(&call, trail, StatusCode::ACCEPTED, result).await
}

async fn ask_issuer(call: &Call, trail: &mut Trail) -> Result<Approval, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    let wanted: PutIssuer = call.json_of(&caller).await?;
    let asker = operator(call, trail, &caller)?;
    call.core.ask_issuer(trail, &asker.token, wanted, call.now).await
}

/// `PUT /v1/issuers/{id}`: it waits for a second person.
pub(super) async fn change(call: Call) -> Response {
    let mut trail = call.trail("issuer.ask");
    let result = ask_change(&call, &mut trail).await;
    finish(&call, trail, StatusCode::ACCEPTED, result).await
}

async fn ask_change(call: &Call, trail: &mut Trail) -> Result<Approval, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    let wanted: PutIssuer = call.json_of(&caller).await?;
    let asker = operator(call, trail, &caller)?;
    let id = call.param::<IssuerId>("id")?;
    call.core.ask_issuer_change(trail, &asker.token, id, wanted, call.now).await
}

/// `DELETE /v1/issuers/{id}`
pub(super) async fn delete(call: Call) -> Response {
    let mut trail = call.trail("issuer.delete");
    let result = delete_issuer(&call, &mut trail).await;
    finish(&call, trail, StatusCode::OK, result).await
}

async fn delete_issuer(call: &Call, trail: &mut Trail) -> Result<Issuer, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    operator(call, trail, &caller)?;
    call.core.delete_issuer(trail, call.param::<IssuerId>("id")?, call.now).await
}

fn operator<'c>(call: &Call, trail: &mut Trail, caller: &'c Caller) -> Result<&'c Verified, Failure> {
    caller.allows(trail, &Touched::default(), Action::Operate, call.now).map_err(|refused| denied(&refused))
}
