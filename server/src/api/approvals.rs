//! `/v1/approvals` and what is asked there: break-glass, the guard of an org's policies.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{
    AppRef, Approval, ApprovalId, ApprovalList, AskBreakGlass, BreakGlassToken, OrgGuard, OrgRef,
};
use petsem_policy::Action;
use serde::Serialize;

use petsem_engine::{ApprovalRequest, registration_ends};
use petsem_engine::{AccessTarget, denied};
use petsem_engine::{Failure};
use crate::http::request::{Call, finish};
use petsem_engine::{AuditRecord};
use crate::api::{apps::org_for};
use petsem_engine::{ProtectedChange, FeedRow};

/// What was done at once, or waits for a second person: 202.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Answered<T> {
    Done(T),
    Waits(Box<Approval>),
}

/// `POST /v1/apps/{app}/break-glass`
pub(super) async fn break_glass(call: Call) -> Response {
    let mut audit = call.audit("break_glass.ask");
    let result = ask_break_glass(&call, &mut audit).await;
    finish(&call, audit, StatusCode::CREATED, result).await
}

async fn ask_break_glass(call: &Call, audit: &mut AuditRecord) -> Result<BreakGlassToken, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let wanted: AskBreakGlass = call.json_of(&principal).await?;
    call.engine.ask_break_glass(audit, &principal, &call.param::<AppRef>("app")?, &wanted, call.now).await
}

/// `GET /v1/approvals`
pub(super) async fn list(call: Call) -> Response {
    let mut audit = call.audit("approval.list");
    let result = list_approvals(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn list_approvals(call: &Call, audit: &mut AuditRecord) -> Result<ApprovalList, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    call.engine.list_approvals(audit, &principal, call.now).await
}

/// `GET /v1/approvals/{id}`
pub(super) async fn show(call: Call) -> Response {
    let mut audit = call.audit("approval.show");
    let result = show_approval(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn show_approval(call: &Call, audit: &mut AuditRecord) -> Result<Approval, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    call.engine.show_approval(audit, &principal, call.param::<ApprovalId>("id")?, call.now).await
}

/// `POST /v1/approvals/{id}/approve`
pub(super) async fn approve(call: Call) -> Response {
    let mut audit = call.audit("approval.approve");
    let result = approve_it(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn approve_it(call: &Call, audit: &mut AuditRecord) -> Result<Approval, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    call.engine.approve(audit, &principal, call.param::<ApprovalId>("id")?, call.now).await
}

/// `POST /v1/approvals/{id}/deny`
pub(super) async fn deny(call: Call) -> Response {
    let mut audit = call.audit("approval.deny");
    let result = deny_it(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn deny_it(call: &Call, audit: &mut AuditRecord) -> Result<Approval, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    call.engine.turn_down(audit, &principal, call.param::<ApprovalId>("id")?, call.now).await
}

/// `GET /v1/orgs/{org}/guard`
pub(super) async fn guard(call: Call) -> Response {
    let mut audit = call.audit("org.show");
    let result = show_guard(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn show_guard(call: &Call, audit: &mut AuditRecord) -> Result<OrgGuard, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let org = org_for(call, audit, &principal, &call.param::<OrgRef>("org")?, Action::List).await?;
    Ok(OrgGuard { guard_policies: call.engine.control().is_org_guarded(org.id) })
}

/// `PUT /v1/orgs/{org}/guard`
pub(super) async fn set_guard(call: Call) -> Response {
    let mut audit = call.audit("org.guard");
    let result = put_guard(&call, &mut audit).await;
    finish(&call, audit, status_of(&result), result).await
}

async fn put_guard(call: &Call, audit: &mut AuditRecord) -> Result<Answered<OrgGuard>, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let wanted: OrgGuard = call.json_of(&principal).await?;
    let org = org_for(call, audit, &principal, &call.param::<OrgRef>("org")?, Action::ManagePolicy).await?;
    audit.set_org(org.id);
    let guarded = call.engine.control().is_org_guarded(org.id);
    if !guarded && wanted.guard_policies {
        audit.set_detail("policies are guarded from now on");
        let feed = [FeedRow::OrgGuardSet { org: org.id, on: true, at: call.now.millis() }];
        call.engine.commit_control(audit, &feed, |_| {}).await?;
    }
    if guarded == wanted.guard_policies || wanted.guard_policies {
        return Ok(Answered::Done(wanted));
    }
    let target = AccessTarget { org: Some(org.id), ..AccessTarget::default() };
    let asker =
        principal.allows(audit, &target, Action::ManagePolicy, call.now).map_err(|refused| denied(&refused))?;
    let request = ApprovalRequest {
        asked: ProtectedChange::GuardOff {},
        summary: format!("end the guard of the policies of org {}", org.row.content.name),
        org: Some(org.id),
        app: None,
        reason: "setting",
        ends_at: registration_ends(call.now),
    };
    let approval = call.engine.ask_registration(audit, &asker.token, request, call.now).await?;
    Ok(Answered::Waits(Box::new(approval)))
}

/// 200 for what was done, 202 for what waits.
pub(super) fn status_of<T>(result: &Result<Answered<T>, Failure>) -> StatusCode {
    match result {
        Ok(Answered::Waits(_)) => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    }
}
