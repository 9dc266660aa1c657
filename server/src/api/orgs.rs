//! `/v1/orgs`

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{CreateOrg, ErrorCode, Org, OrgList, OrgRef};
use petsem_policy::Action;
use serde_json::{Value, json};

use petsem_engine::{AccessTarget, denied};
use petsem_engine::{Failure};
use crate::http::request::{Call, finish};
use petsem_engine::{shown};
use petsem_engine::{AuditRecord};

/// `POST /v1/orgs`
pub(super) async fn create(call: Call) -> Response {
    let mut audit = call.audit("org.create");
    let result = create_org(&call, &mut audit).await;
    finish(&call, audit, StatusCode::CREATED, result).await
}

async fn create_org(call: &Call, audit: &mut AuditRecord) -> Result<Org, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let wanted: CreateOrg = call.json_of(&principal).await?;
    principal
        .allows(audit, &AccessTarget::default(), Action::Operate, call.now)
        .map_err(|refused| denied(&refused))?;
    call.engine.create_org(audit, &wanted.name).await
}

/// `GET /v1/orgs`
pub(super) async fn list(call: Call) -> Response {
    let mut audit = call.audit("org.list");
    let result = list_orgs(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn list_orgs(call: &Call, audit: &mut AuditRecord) -> Result<OrgList, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let mut orgs = call.engine.list_orgs().await?;
    // Each org is asked about alone: a token of an org sees its own.
    orgs.retain(|org| {
        principal
            .allows(audit, &AccessTarget { org: Some(org.id), ..AccessTarget::default() }, Action::List, call.now)
            .is_ok()
    });
    Ok(OrgList { orgs })
}

/// `GET /v1/orgs/{org}`
pub(super) async fn show(call: Call) -> Response {
    let mut audit = call.audit("org.show");
    let result = show_org(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn show_org(call: &Call, audit: &mut AuditRecord) -> Result<Org, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let found = call.engine.find_org(&call.param::<OrgRef>("org")?).await?;
    let target = AccessTarget { org: found.as_ref().map(|org| org.id), ..AccessTarget::default() };
    match (principal.allows(audit, &target, Action::List, call.now), found) {
        (Ok(_), Some(org)) => Ok(shown(org.id, &org.row.content)),
        (Ok(_), None) => Err(no_such_org()),
        (Err(refused), _) if principal.is_platform() => Err(denied(&refused)),
        (Err(_), _) => Err(not_yours()),
    }
}

/// `DELETE /v1/orgs/{org}`
pub(super) async fn delete(call: Call) -> Response {
    let mut audit = call.audit("org.delete");
    let result = delete_org(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn delete_org(call: &Call, audit: &mut AuditRecord) -> Result<Value, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    principal
        .allows(audit, &AccessTarget::default(), Action::Operate, call.now)
        .map_err(|refused| denied(&refused))?;
    let org = call.engine.find_org(&call.param::<OrgRef>("org")?).await?.ok_or_else(no_such_org)?;
    audit.set_org(org.id);
    call.engine.delete_org(audit, &org).await?;
    Ok(json!({ "id": org.id }))
}

fn no_such_org() -> Failure {
    Failure::new(ErrorCode::NotFound, "there is no such org; `petsem org list` shows what there is")
}

fn not_yours() -> Failure {
    Failure::new(ErrorCode::Forbidden, "there is no such org, or this token does not allow that there")
}
