//! `/v1/issuers`: whose JWTs this installation accepts. Registering and changing one needs a second person.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{Approval, Issuer, IssuerList, PutIssuer};
use petsem_engine::{AuditRecord, Failure};

use crate::http::request::{Call, finish};

/// `GET /v1/issuers`
pub(super) async fn list(call: Call) -> Response {
    let mut audit = call.audit("issuer.list");
    let result = list_issuers(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn list_issuers(call: &Call, audit: &mut AuditRecord) -> Result<IssuerList, Failure> {
    let principal = call.authenticate(audit)?;
    call.engine.list_issuers(audit, &principal, call.now)
}

/// `POST /v1/issuers`: it waits for a second person.
pub(super) async fn register(call: Call) -> Response {
    let mut audit = call.audit("issuer.ask");
    let result = ask_issuer(&call, &mut audit).await;
    finish(&call, audit, StatusCode::ACCEPTED, result).await
}

async fn ask_issuer(call: &Call, audit: &mut AuditRecord) -> Result<Approval, Failure> {
    let principal = call.authenticate(audit)?;
    let wanted: PutIssuer = call.json_of(&principal).await?;
    call.engine.ask_issuer(audit, &principal, wanted, call.now).await
}

/// `PUT /v1/issuers/{id}`: it waits for a second person.
pub(super) async fn change(call: Call) -> Response {
    let mut audit = call.audit("issuer.ask");
    let result = ask_change(&call, &mut audit).await;
    finish(&call, audit, StatusCode::ACCEPTED, result).await
}

async fn ask_change(call: &Call, audit: &mut AuditRecord) -> Result<Approval, Failure> {
    let principal = call.authenticate(audit)?;
    let wanted: PutIssuer = call.json_of(&principal).await?;
    call.engine.ask_issuer_change(audit, &principal, call.param("id")?, wanted, call.now).await
}

/// `DELETE /v1/issuers/{id}`
pub(super) async fn delete(call: Call) -> Response {
    let mut audit = call.audit("issuer.delete");
    let result = delete_issuer(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn delete_issuer(call: &Call, audit: &mut AuditRecord) -> Result<Issuer, Failure> {
    let principal = call.authenticate(audit)?;
    call.engine.delete_issuer(audit, &principal, call.param("id")?, call.now).await
}
