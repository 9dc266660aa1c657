//! `/v1/orgs`

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{CreateOrg, Org, OrgList};
use petsem_engine::{AuditRecord, Failure};
use serde_json::{Value, json};

use crate::http::request::{Call, finish};

/// `POST /v1/orgs`
pub(super) async fn create(call: Call) -> Response {
    let mut audit = call.audit("org.create");
    let result = create_org(&call, &mut audit).await;
    finish(&call, audit, StatusCode::CREATED, result).await
}

async fn create_org(call: &Call, audit: &mut AuditRecord) -> Result<Org, Failure> {
    let principal = call.authenticate(audit)?;
    let wanted: CreateOrg = call.json_of(&principal).await?;
    call.engine.create_org(audit, &principal, &wanted.name, call.now).await
}

/// `GET /v1/orgs`
pub(super) async fn list(call: Call) -> Response {
    let mut audit = call.audit("org.list");
    let result = list_orgs(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn list_orgs(call: &Call, audit: &mut AuditRecord) -> Result<OrgList, Failure> {
    let principal = call.authenticate(audit)?;
    call.engine.list_orgs(audit, &principal, call.now).await
}

/// `GET /v1/orgs/{org}`
pub(super) async fn show(call: Call) -> Response {
    let mut audit = call.audit("org.show");
    let result = show_org(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn show_org(call: &Call, audit: &mut AuditRecord) -> Result<Org, Failure> {
    let principal = call.authenticate(audit)?;
    call.engine.show_org(audit, &principal, &call.param("org")?, call.now).await
}

/// `DELETE /v1/orgs/{org}`
pub(super) async fn delete(call: Call) -> Response {
    let mut audit = call.audit("org.delete");
    let result = delete_org(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn delete_org(call: &Call, audit: &mut AuditRecord) -> Result<Value, Failure> {
    let principal = call.authenticate(audit)?;
    let id = call.engine.delete_org(audit, &principal, &call.param("org")?, call.now).await?;
    Ok(json!({ "id": id }))
}
