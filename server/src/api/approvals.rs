//! `/v1/approvals` and what is asked there: break-glass, the guard of an org's policies.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{
    AppRef, Approval, ApprovalId, ApprovalList, AskBreakGlass, BreakGlassToken, OrgGuard, OrgRef,
};
use petsem_policy::Action;
use serde::Serialize;

use crate::approvals::{Wish, registration_ends};
use crate::authority::{Touched, denied};
use crate::failure::Failure;
use crate::http::{Call, finish};
use crate::request::Trail;
use crate::routes::apps::org_for;
use crate::rows::{Asked, FeedRow};

/// What was done at once, or waits for a second person: 202.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Answered<T> {
    Done(T),
    Waits(Box<Approval>),
}

/// `POST /v1/apps/{app}/break-glass`
pub(super) async fn break_glass(call: Call) -> Response {
    let mut trail = call.trail("break_glass.ask");
    let result = ask_break_glass(&call, &mut trail).await;
    finish(&call, trail, StatusCode::CREATED, result).await
}

async fn ask_break_glass(call: &Call, trail: &mut Trail) -> Result<BreakGlassToken, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    let wanted: AskBreakGlass = call.json_of(&caller).await?;
    call.core.ask_break_glass(trail, &caller, &call.param::<AppRef>("app")?, &wanted, call.now).await
}

/// `GET /v1/approvals`
pub(super) async fn list(call: Call) -> Response {
    let mut trail = call.trail("approval.list");
    let result = list_approvals(&call, &mut trail).await;
    finish(&call, trail, StatusCode::OK, result).await
}

async fn list_approvals(call: &Call, trail: &mut Trail) -> Result<ApprovalList, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    call.core.list_approvals(trail, &caller, call.now).await
}

/// `GET /v1/approvals/{id}`
pub(super) async fn show(call: Call) -> Response {
    let mut trail = call.trail("approval.show");
    let result = show_approval(&call, &mut trail).await;
    finish(&call, trail, StatusCode::OK, result).await
}

async fn show_approval(call: &Call, trail: &mut Trail) -> Result<Approval, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    call.core.show_approval(trail, &caller, call.param::<ApprovalId>("id")?, call.now).await
}

/// `POST /v1/approvals/{id}/approve`
pub(super) async fn approve(call: Call) -> Response {
    let mut trail = call.trail("approval.approve");
    let result = approve_it(&call, &mut trail).await;
    finish(&call, trail, StatusCode::OK, result).await
}

async fn approve_it(call: &Call, trail: &mut Trail) -> Result<Approval, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    call.core.approve(trail, &caller, call.param::<ApprovalId>("id")?, call.now).await
}

/// `POST /v1/approvals/{id}/deny`
pub(super) async fn deny(call: Call) -> Response {
    let mut trail = call.trail("approval.deny");
    let result = deny_it(&call, &mut trail).await;
    finish(&call, trail, StatusCode::OK, result).await
}

async fn deny_it(call: &Call, trail: &mut Trail) -> Result<Approval, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    call.core.turn_down(trail, &caller, call.param::<ApprovalId>("id")?, call.now).await
}

/// `GET /v1/orgs/{org}/guard`
pub(super) async fn guard(call: Call) -> Response {
    let mut trail = call.trail("org.show");
    let result = show_guard(&call, &mut trail).await;
    finish(&call, trail, StatusCode::OK, result).await
}

async fn show_guard(call: &Call, trail: &mut Trail) -> Result<OrgGuard, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    let org = org_for(call, trail, &caller, &call.param::<OrgRef>("org")?, Action::List).await?;
    Ok(OrgGuard { guard_policies: call.core.control().is_org_guarded(org.id) })
}

/// `PUT /v1/orgs/{org}/guard`
pub(super) async fn set_guard(call: Call) -> Response {
    let mut trail = call.trail("org.guard");
    let result = put_guard(&call, &mut trail).await;
    finish(&call, trail, status_of(&result), result).await
}

async fn put_guard(call: &Call, trail: &mut Trail) -> Result<Answered<OrgGuard>, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    let wanted: OrgGuard = call.json_of(&caller).await?;
    let org = org_for(call, trail, &caller, &call.param::<OrgRef>("org")?, Action::ManagePolicy).await?;
    trail.set_org(org.id);
    let guarded = call.core.control().is_org_guarded(org.id);
    if !guarded && wanted.guard_policies {
        trail.set_detail("policies are guarded from now on");
        let feed = [FeedRow::OrgGuardSet { org: org.id, on: true, at: call.now.millis() }];
        call.core.commit_control(trail, &feed, |_| {}).await?;
    }
    if guarded == wanted.guard_policies || wanted.guard_policies {
        return Ok(Answered::Done(wanted));
    }
    let touched = Touched { org: Some(org.id), ..Touched::default() };
    let asker =
        caller.allows(trail, &touched, Action::ManagePolicy, call.now).map_err(|refused| denied(&refused))?;
    let wish = Wish {
        asked: Asked::GuardOff {},
        summary: format!("end the guard of the policies of org {}", org.row.content.name),
        org: Some(org.id),
        app: None,
        reason: "setting",
        ends_at: registration_ends(call.now),
    };
    let approval = call.core.ask_registration(trail, &asker.token, wish, call.now).await?;
    Ok(Answered::Waits(Box::new(approval)))
}

/// 200 for what was done, 202 for what waits.
pub(super) fn status_of<T>(result: &Result<Answered<T>, Failure>) -> StatusCode {
    match result {
        Ok(Answered::Waits(_)) => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    }
}
