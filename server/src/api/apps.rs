//! `/v1/apps`, an app, and its policy.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{App, AppId, AppList, CreateApp, DeletedApp, ErrorCode, OrgRef, PolicyDocument, PutPolicy};
use petsem_engine::{AuditRecord, Failure, Requested};
use serde::Deserialize;

use crate::api::approvals::status_of;
use crate::http::request::{Call, finish};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    org: Option<OrgRef>,
    after: Option<AppId>,
}

/// `POST /v1/apps`
pub(super) async fn create(call: Call) -> Response {
    let mut audit = call.audit("app.create");
    let result = create_app(&call, &mut audit).await;
    finish(&call, audit, StatusCode::CREATED, result).await
}

async fn create_app(call: &Call, audit: &mut AuditRecord) -> Result<App, Failure> {
    let principal = call.authenticate(audit)?;
    let wanted: CreateApp = call.json_of(&principal).await?;
    call.engine.create_app(audit, &principal, wanted, call.now).await
}

/// `GET /v1/apps?org=…&after=…`
pub(super) async fn list(call: Call) -> Response {
    let mut audit = call.audit("app.list");
    let result = list_apps(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn list_apps(call: &Call, audit: &mut AuditRecord) -> Result<AppList, Failure> {
    let principal = call.authenticate(audit)?;
    let query: ListQuery = call.query()?;
    let org = query.org.ok_or_else(|| Failure::new(ErrorCode::BadRequest, "say of which org: ?org=NAME"))?;
    call.engine.list_apps(audit, &principal, &org, query.after, call.now).await
}

/// `GET /v1/apps/{app}`
pub(super) async fn show(call: Call) -> Response {
    let mut audit = call.audit("app.show");
    let result = show_app(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn show_app(call: &Call, audit: &mut AuditRecord) -> Result<App, Failure> {
    let principal = call.authenticate(audit)?;
    call.engine.show_app(audit, &principal, &call.param("app")?).await
}

/// `DELETE /v1/apps/{app}`
pub(super) async fn delete(call: Call) -> Response {
    let mut audit = call.audit("app.delete");
    let result = delete_app(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn delete_app(call: &Call, audit: &mut AuditRecord) -> Result<DeletedApp, Failure> {
    let principal = call.authenticate(audit)?;
    call.engine.delete_app(audit, &principal, &call.param("app")?).await
}

/// `GET /v1/apps/{app}/policy`
pub(super) async fn policy(call: Call) -> Response {
    let mut audit = call.audit("policy.show");
    let result = show_policy(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn show_policy(call: &Call, audit: &mut AuditRecord) -> Result<PolicyDocument, Failure> {
    let principal = call.authenticate(audit)?;
    call.engine.show_policy(audit, &principal, &call.param("app")?).await
}

/// `PUT /v1/apps/{app}/policy`
pub(super) async fn set_policy(call: Call) -> Response {
    let mut audit = call.audit("policy.set");
    let result = put_policy(&call, &mut audit).await;
    finish(&call, audit, status_of(&result), result).await
}

async fn put_policy(call: &Call, audit: &mut AuditRecord) -> Result<Requested<PolicyDocument>, Failure> {
    let principal = call.authenticate(audit)?;
    let wanted: PutPolicy = call.json_of(&principal).await?;
    call.engine.put_policy(audit, &principal, &call.param("app")?, wanted, call.now).await
}
