//! `/v1/issuers`: whom this installation believes JWTs of. Registering and changing one needs a second person.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{Approval, Issuer, IssuerId, IssuerList, PutIssuer};
use petsem_policy::Action;

use petsem_engine::{Principal, AccessTarget, Verified, denied};
use petsem_engine::{Failure};
use crate::http::request::{Call, finish};
use petsem_engine::{shown};
use petsem_engine::{AuditRecord};

/// `GET /v1/issuers`
pub(super) async fn list(call: Call) -> Response {
    let mut audit = call.audit("issuer.list");
    let result = list_issuers(&call, &mut audit);
    finish(&call, audit, StatusCode::OK, result).await
}

fn list_issuers(call: &Call, audit: &mut AuditRecord) -> Result<IssuerList, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    operator(call, audit, &principal)?;
    let control = call.engine.control();
    let mut issuers: Vec<Issuer> = control.issuers().map(|entry| shown(entry)).collect();
    issuers.sort_by(|one, other| one.issuer.cmp(&other.issuer));
    Ok(IssuerList { issuers })
}

/// `POST /v1/issuers`: it waits for a second person.
pub(super) async fn register(call: Call) -> Response {
    let mut audit = call.audit("issuer.ask");
    let result = ask_issuer(&call, &mut audit).await;
    finish(&call, audit, StatusCode::ACCEPTED, result).await
}

async fn ask_issuer(call: &Call, audit: &mut AuditRecord) -> Result<Approval, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let wanted: PutIssuer = call.json_of(&principal).await?;
    let asker = operator(call, audit, &principal)?;
    call.engine.ask_issuer(audit, &asker.token, wanted, call.now).await
}

/// `PUT /v1/issuers/{id}`: it waits for a second person.
pub(super) async fn change(call: Call) -> Response {
    let mut audit = call.audit("issuer.ask");
    let result = ask_change(&call, &mut audit).await;
    finish(&call, audit, StatusCode::ACCEPTED, result).await
}

async fn ask_change(call: &Call, audit: &mut AuditRecord) -> Result<Approval, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let wanted: PutIssuer = call.json_of(&principal).await?;
    let asker = operator(call, audit, &principal)?;
    let id = call.param::<IssuerId>("id")?;
    call.engine.ask_issuer_change(audit, &asker.token, id, wanted, call.now).await
}

/// `DELETE /v1/issuers/{id}`
pub(super) async fn delete(call: Call) -> Response {
    let mut audit = call.audit("issuer.delete");
    let result = delete_issuer(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn delete_issuer(call: &Call, audit: &mut AuditRecord) -> Result<Issuer, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    operator(call, audit, &principal)?;
    call.engine.delete_issuer(audit, call.param::<IssuerId>("id")?, call.now).await
}

fn operator<'c>(call: &Call, audit: &mut AuditRecord, principal: &'c Principal) -> Result<&'c Verified, Failure> {
    principal.allows(audit, &AccessTarget::default(), Action::Operate, call.now).map_err(|refused| denied(&refused))
}
