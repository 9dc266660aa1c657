//! `/v1/approvals` and what is asked there: break-glass, the guard of an org's policies.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{Approval, ApprovalList, AskBreakGlass, BreakGlassToken, OrgGuard};
use petsem_engine::{AuditRecord, Failure, Requested};

use crate::http::request::{Call, finish};

/// `POST /v1/apps/{app}/break-glass`
pub(super) async fn break_glass(call: Call) -> Response {
    let mut audit = call.audit("break_glass.ask");
    let result = ask_break_glass(&call, &mut audit).await;
    finish(&call, audit, StatusCode::CREATED, result).await
}

async fn ask_break_glass(call: &Call, audit: &mut AuditRecord) -> Result<BreakGlassToken, Failure> {
    let principal = call.authenticate(audit)?;
    let wanted: AskBreakGlass = call.json_of(&principal).await?;
    call.engine.ask_break_glass(audit, &principal, &call.param("app")?, &wanted, call.now).await
}

/// `GET /v1/approvals`
pub(super) async fn list(call: Call) -> Response {
    let mut audit = call.audit("approval.list");
    let result = list_approvals(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn list_approvals(call: &Call, audit: &mut AuditRecord) -> Result<ApprovalList, Failure> {
    let principal = call.authenticate(audit)?;
    call.engine.list_approvals(audit, &principal, call.now).await
}

/// `GET /v1/approvals/{id}`
pub(super) async fn show(call: Call) -> Response {
    let mut audit = call.audit("approval.show");
    let result = show_approval(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn show_approval(call: &Call, audit: &mut AuditRecord) -> Result<Approval, Failure> {
    let principal = call.authenticate(audit)?;
    call.engine.show_approval(audit, &principal, call.param("id")?, call.now).await
}

/// `POST /v1/approvals/{id}/approve`
pub(super) async fn approve(call: Call) -> Response {
    let mut audit = call.audit("approval.approve");
    let result = approve_it(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn approve_it(call: &Call, audit: &mut AuditRecord) -> Result<Approval, Failure> {
    let principal = call.authenticate(audit)?;
    call.engine.approve(audit, &principal, call.param("id")?, call.now).await
}

/// `POST /v1/approvals/{id}/deny`
pub(super) async fn deny(call: Call) -> Response {
    let mut audit = call.audit("approval.deny");
    let result = deny_it(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn deny_it(call: &Call, audit: &mut AuditRecord) -> Result<Approval, Failure> {
    let principal = call.authenticate(audit)?;
    call.engine.deny_request(audit, &principal, call.param("id")?, call.now).await
}

/// `GET /v1/orgs/{org}/guard`
pub(super) async fn guard(call: Call) -> Response {
    let mut audit = call.audit("org.show");
    let result = show_guard(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn show_guard(call: &Call, audit: &mut AuditRecord) -> Result<OrgGuard, Failure> {
    let principal = call.authenticate(audit)?;
    call.engine.show_guard(audit, &principal, &call.param("org")?, call.now).await
}

/// `PUT /v1/orgs/{org}/guard`
pub(super) async fn set_guard(call: Call) -> Response {
    let mut audit = call.audit("org.guard");
    let result = put_guard(&call, &mut audit).await;
    finish(&call, audit, status_of(&result), result).await
}

async fn put_guard(call: &Call, audit: &mut AuditRecord) -> Result<Requested<OrgGuard>, Failure> {
    let principal = call.authenticate(audit)?;
    let wanted: OrgGuard = call.json_of(&principal).await?;
    call.engine.put_guard(audit, &principal, &call.param("org")?, wanted, call.now).await
}

/// 200 for what was done, 202 for what waits for a second person.
pub(super) fn status_of<T>(result: &Result<Requested<T>, Failure>) -> StatusCode {
    match result {
        Ok(Requested::Pending(_)) => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    }
}
