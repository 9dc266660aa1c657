//! `/v1/dischargers`: whose word about boots counts, beside petsem's own.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{Approval, Discharger, DischargerList, OrgRef, PutDischarger};
use petsem_engine::{AuditRecord, Failure};
use serde::Deserialize;

use crate::http::request::{Call, finish};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    org: Option<OrgRef>,
}

/// `GET /v1/dischargers?org=…`
pub(super) async fn list(call: Call) -> Response {
    let mut audit = call.audit("discharger.list");
    let result = list_dischargers(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn list_dischargers(call: &Call, audit: &mut AuditRecord) -> Result<DischargerList, Failure> {
    let principal = call.authenticate(audit)?;
    let query: ListQuery = call.query()?;
    call.engine.list_dischargers(audit, &principal, query.org.as_ref(), call.now).await
}

/// `POST /v1/dischargers`: it waits for a second person.
pub(super) async fn register(call: Call) -> Response {
    let mut audit = call.audit("discharger.ask");
    let result = register_discharger(&call, &mut audit).await;
    finish(&call, audit, StatusCode::ACCEPTED, result).await
}

async fn register_discharger(call: &Call, audit: &mut AuditRecord) -> Result<Approval, Failure> {
    let principal = call.authenticate(audit)?;
    let wanted: PutDischarger = call.json_of(&principal).await?;
    call.engine.register_discharger(audit, &principal, &wanted, call.now).await
}

/// `DELETE /v1/dischargers/{id}`
pub(super) async fn delete(call: Call) -> Response {
    let mut audit = call.audit("discharger.delete");
    let result = delete_discharger(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn delete_discharger(call: &Call, audit: &mut AuditRecord) -> Result<Discharger, Failure> {
    let principal = call.authenticate(audit)?;
    call.engine.delete_discharger(audit, &principal, &call.param::<String>("id")?, call.now).await
}
