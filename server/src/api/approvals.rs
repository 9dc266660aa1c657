//! `/v1/approvals` and what is requested there: break-glass, hosts, and the guard of the policies of an org.

use axum::http::StatusCode;
use petsem_api::{
    Approval, ApprovalId, ApprovalList, Approve, BreakGlassRequest, BreakGlassToken, EnrollmentRequest,
    ErrorCode, OrgGuard,
};
use petsem_engine::{AuditRecord, Failure, Principal};

use crate::http::{Answered, Call, Route, tag};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/apps/{app}/break-glass")
            .named("askBreakGlass", tag::APPROVALS, "Request to read the values of an app for at most an hour")
            .described(
                "Needs the action `mint` on the app. The token opens nothing without the discharge of its ticket, which \
                 petsem's own discharger gives once a second person has approved the request. Then \
                 `GET /v1/apps/{app}/secrets?show_secrets=true` answers values.",
            )
            .audited("break_glass.ask")
            .answers(StatusCode::CREATED, "The token, shown once.")
            .refuses(&[ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(break_glass),
        Route::post("/v1/enrollments")
            .named("askEnrollment", tag::APPROVALS, "Request to mint the tokens of hosts")
            .described(
                "Needs the action `enroll` for each host. Once a second person, whose token may `operate`, has approved, \
                 the holder of this token mints them with `POST /v1/tokens`, until a day after the request.",
            )
            .audited("enrollment.ask")
            .answers(StatusCode::ACCEPTED, "The request waits for a second person.")
            .refuses(&[ErrorCode::BadName, ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(enroll),
        Route::get("/v1/orgs/{org}/guard")
            .named("showGuard", tag::ORGS, "Show whether rules that allow boots or reads need a second person")
            .described("Needs the action `list` on the org.")
            .audited("org.show")
            .answers(StatusCode::OK, "The guard.")
            .refuses(&[ErrorCode::NotFound])
            .by(guard),
        Route::put("/v1/orgs/{org}/guard")
            .named("setGuard", tag::ORGS, "Guard the policies of the apps of an org, or end that")
            .described("Needs the action `manage_policy` on the org. Ending it needs a second person: 202.")
            .audited("org.guard")
            .answers(StatusCode::OK, "The guard as it is now.")
            .refuses(&[ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(set_guard),
        Route::get("/v1/approvals")
            .named("listApprovals", tag::APPROVALS, "List the requests that need a second person")
            .described("Those that the token could decide, or that its holder made.")
            .audited("approval.list")
            .answers(StatusCode::OK, "The requests.")
            .by(list),
        Route::get("/v1/approvals/{id}")
            .param::<ApprovalId>("id", "The request.")
            .named("showApproval", tag::APPROVALS, "Show a request")
            .described("For a token that may decide it, or whose holder made it.")
            .audited("approval.show")
            .answers(StatusCode::OK, "The request.")
            .by(show),
        Route::post("/v1/approvals/{id}/approve")
            .param::<ApprovalId>("id", "The request.")
            .named("approve", tag::APPROVALS, "Approve what another person requested")
            .described(
                "Needs what the request itself needs; for hosts the action `operate`. The two tokens, and the tokens that they were minted from, have \
                 different holders. If the request registers keys, the approver repeats their digest.",
            )
            .audited("approval.approve")
            .answers(StatusCode::OK, "The request as it is now.")
            .refuses(&[
                ErrorCode::BadPolicy,
                ErrorCode::NotFound,
                ErrorCode::NameTaken,
                ErrorCode::Conflict,
                ErrorCode::StaleVersion,
                ErrorCode::StoreFull,
            ])
            .by(approve),
        Route::post("/v1/approvals/{id}/deny")
            .param::<ApprovalId>("id", "The request.")
            .named("deny", tag::APPROVALS, "Deny a request, or withdraw one's own")
            .described("Break-glass and an enrollment can also be denied after their approval: they end at once.")
            .audited("approval.deny")
            .answers(StatusCode::OK, "The request as it is now.")
            .refuses(&[ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(deny),
    ]
}

async fn break_glass(
    call: &Call<Principal, BreakGlassRequest>,
    audit: &mut AuditRecord,
) -> Result<BreakGlassToken, Failure> {
    let wanted = call.body().await?;
    call.engine.request_break_glass(audit, &call.credential, &call.param("app")?, &wanted, call.now).await
}

async fn enroll(
    call: &Call<Principal, EnrollmentRequest>,
    audit: &mut AuditRecord,
) -> Result<Approval, Failure> {
    let wanted = call.body().await?;
    call.engine.request_enrollment(audit, &call.credential, &wanted, call.now).await
}

async fn list(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<ApprovalList, Failure> {
    call.engine.list_approvals(audit, &call.credential, call.now).await
}

async fn show(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<Approval, Failure> {
    call.engine.show_approval(audit, &call.credential, call.param("id")?, call.now).await
}

async fn approve(call: &Call<Principal, Approve>, audit: &mut AuditRecord) -> Result<Approval, Failure> {
    let wanted = call.body().await?;
    call.engine.approve(audit, &call.credential, call.param("id")?, &wanted, call.now).await
}

async fn deny(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<Approval, Failure> {
    call.engine.deny_request(audit, &call.credential, call.param("id")?, call.now).await
}

async fn guard(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<OrgGuard, Failure> {
    call.engine.show_guard(audit, &call.credential, &call.param("org")?, call.now).await
}

async fn set_guard(
    call: &Call<Principal, OrgGuard>,
    audit: &mut AuditRecord,
) -> Result<Answered<OrgGuard>, Failure> {
    let wanted = call.body().await?;
    call.engine.put_guard(audit, &call.credential, &call.param("org")?, wanted, call.now).await.map(Answered)
}
