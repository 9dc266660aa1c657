//! `/v1/apps`, an app, and its policy.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{
    App, AppId, AppList, AppRef, CreateApp, DeletedApp, ErrorCode, OrgRef, PolicyDocument, PutPolicy,
};
use petsem_policy::Action;
use serde::Deserialize;

use petsem_engine::{ApprovalRequest, registration_ends};
use petsem_engine::{check_policy_version, shown};
use petsem_engine::{Principal, AccessTarget, denied};
use petsem_engine::{Failure};
use crate::http::request::{Call, finish};
use petsem_engine::{OpenOrg};
use petsem_engine::{AuditRecord};
use crate::api::{approvals::{Answered, status_of}};
use petsem_engine::{ProtectedChange};

/// `POST /v1/apps`
pub(super) async fn create(call: Call) -> Response {
    let mut audit = call.audit("app.create");
    let result = create_app(&call, &mut audit).await;
    finish(&call, audit, StatusCode::CREATED, result).await
}

async fn create_app(call: &Call, audit: &mut AuditRecord) -> Result<App, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let wanted: CreateApp = call.json_of(&principal).await?;
    let org = org_for(call, audit, &principal, &wanted.org, Action::Write).await?;
    call.engine.create_app(audit, &org, &wanted.name, wanted.settings).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    org: Option<OrgRef>,
    after: Option<AppId>,
}

/// `GET /v1/apps?org=…&after=…`
pub(super) async fn list(call: Call) -> Response {
    let mut audit = call.audit("app.list");
    let result = list_apps(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn list_apps(call: &Call, audit: &mut AuditRecord) -> Result<AppList, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let query: ListQuery = call.query()?;
    let org = query.org.ok_or_else(|| Failure::new(ErrorCode::BadRequest, "say of which org: ?org=NAME"))?;
    let org = org_for(call, audit, &principal, &org, Action::List).await?;
    audit.set_org(org.id);
    call.engine.list_apps(org.id, query.after).await
}

/// `GET /v1/apps/{app}`
pub(super) async fn show(call: Call) -> Response {
    let mut audit = call.audit("app.show");
    let result = show_app(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn show_app(call: &Call, audit: &mut AuditRecord) -> Result<App, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let app =
        call.engine.app_for(&principal, audit, &call.param::<AppRef>("app")?, &[(Action::List, None)]).await?;
    Ok(shown(app.id, &app.head))
}

/// `DELETE /v1/apps/{app}`
pub(super) async fn delete(call: Call) -> Response {
    let mut audit = call.audit("app.delete");
    let result = delete_app(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn delete_app(call: &Call, audit: &mut AuditRecord) -> Result<DeletedApp, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let app =
        call.engine.app_for(&principal, audit, &call.param::<AppRef>("app")?, &[(Action::Delete, None)]).await?;
    call.engine.delete_app(audit, &app).await
}

/// `GET /v1/apps/{app}/policy`
pub(super) async fn policy(call: Call) -> Response {
    let mut audit = call.audit("policy.show");
    let result = show_policy(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn show_policy(call: &Call, audit: &mut AuditRecord) -> Result<PolicyDocument, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let app = call
        .core
        .app_for(&principal, audit, &call.param::<AppRef>("app")?, &[(Action::ManagePolicy, None)])
        .await?;
    let (version, _, policy) = call.engine.policy_of(&app).await?;
    Ok(PolicyDocument { version, policy })
}

/// `PUT /v1/apps/{app}/policy`
pub(super) async fn set_policy(call: Call) -> Response {
    let mut audit = call.audit("policy.set");
    let result = put_policy(&call, &mut audit).await;
    finish(&call, audit, status_of(&result), result).await
}

async fn put_policy(call: &Call, audit: &mut AuditRecord) -> Result<Answered<PolicyDocument>, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let wanted: PutPolicy = call.json_of(&principal).await?;
    let app = call
        .core
        .app_for(&principal, audit, &call.param::<AppRef>("app")?, &[(Action::ManagePolicy, None)])
        .await?;
    if !call.engine.control().is_org_guarded(app.head.org) || !has_rules(&wanted.policy) {
        let author = principal.author();
        let set = call.engine.set_policy(audit, &app, wanted.policy, wanted.expected_version, &author, |_| {});
        return Ok(Answered::Done(set.await?));
    }
    // What could never take effect waits for nobody.
    call.engine.check_policy(&wanted.policy)?;
    check_policy_version(&app, wanted.expected_version)?;
    let target = AccessTarget { app: Some(&app), ..AccessTarget::default() };
    let asker =
        principal.allows(audit, &target, Action::ManagePolicy, call.now).map_err(|refused| denied(&refused))?;
    let expected_version = wanted.expected_version.unwrap_or(app.head.policy_version);
    let request = ApprovalRequest {
        asked: ProtectedChange::Policy { policy: wanted.policy, expected_version },
        summary: format!("set the policy of app {} ({})", app.head.name, app.id),
        org: Some(app.head.org),
        app: Some(app.id),
        reason: "policy",
        ends_at: registration_ends(call.now),
    };
    let approval = call.engine.ask_registration(audit, &asker.token, request, call.now).await?;
    Ok(Answered::Waits(Box::new(approval)))
}

/// A policy without rules lets nobody in, so nobody need guard it; whatever cannot be read is refused later.
fn has_rules(policy: &serde_json::Value) -> bool {
    policy.get("rules").and_then(serde_json::Value::as_array).is_none_or(|rules| !rules.is_empty())
}

/// The org that a request names, if the principal may do that there.
pub(super) async fn org_for(
    call: &Call,
    audit: &mut AuditRecord,
    principal: &Principal,
    org: &OrgRef,
    action: Action,
) -> Result<OpenOrg, Failure> {
    let found = call.engine.find_org(org).await?;
    let target = AccessTarget { org: found.as_ref().map(|org| org.id), ..AccessTarget::default() };
    match (principal.allows(audit, &target, action, call.now), found) {
        (Ok(_), Some(org)) => Ok(org),
        (Ok(_), None) => Err(Failure::new(
            ErrorCode::NotFound,
            "there is no such org; `petsem org list` shows what there is",
        )),
        (Err(refused), Some(org)) if principal.is_of(org.id) => Err(denied(&refused)),
        (Err(_), _) => Err(Failure::new(
            ErrorCode::Forbidden,
            format!("there is no such org, or this token does not allow {action} there"),
        )),
    }
}
