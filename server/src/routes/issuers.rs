//! `/v1/issuers`: whom this installation believes JWTs of. Registering one needs a second person.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{Approval, Issuer, IssuerList, PutIssuer};
use petsem_policy::Action;

use crate::approvals::{Wish, registration_ends};
use crate::authority::{Touched, denied};
use crate::failure::Failure;
use crate::http::{Call, finish};
use crate::issuers::{described, shown};
use crate::request::Trail;
use crate::rows::Asked;

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
    let wanted: PutIssuer = call.json().await?;
    let asker = caller
        .allows(trail, &Touched::default(), Action::Operate, call.now)
        .map_err(|refused| denied(&refused))?;
    call.core.check_issuer(&wanted, false)?;
    let wish = Wish {
        summary: format!("register {}", described(&wanted)),
        asked: Asked::Issuer(wanted),
        org: None,
        app: None,
        reason: "registration",
        ends_at: registration_ends(call.now),
    };
    call.core.ask_registration(trail, &asker.token, wish, call.now).await
}
