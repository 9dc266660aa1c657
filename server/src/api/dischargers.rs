//! `/v1/dischargers`: whose word about boots counts, beside petsem's own.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{Approval, Discharger, DischargerList, ErrorCode, OrgId, OrgRef, PutDischarger};
use petsem_policy::Action;
use serde::Deserialize;

use petsem_engine::{Principal, AccessTarget, Verified, denied};
use petsem_engine::{Failure};
use crate::http::request::{Call, finish};
use petsem_engine::{AuditRecord};
use crate::api::{apps::org_for};

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
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let query: ListQuery = call.query()?;
    let org = match &query.org {
        None => {
            may_register(call, audit, &principal, None)?;
            None
        }
        Some(org) => Some(org_for(call, audit, &principal, org, Action::List).await?.id),
    };
    Ok(call.engine.list_dischargers(org))
}

/// `POST /v1/dischargers`: it waits for a second person.
pub(super) async fn register(call: Call) -> Response {
    let mut audit = call.audit("discharger.ask");
    let result = register_discharger(&call, &mut audit).await;
    finish(&call, audit, StatusCode::ACCEPTED, result).await
}

async fn register_discharger(call: &Call, audit: &mut AuditRecord) -> Result<Approval, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let wanted: PutDischarger = call.json_of(&principal).await?;
    let org = match &wanted.org {
        None => None,
        Some(org) => Some(org_for(call, audit, &principal, org, Action::ManagePolicy).await?.id),
    };
    let asker = may_register(call, audit, &principal, org)?;
    if let Some(org) = org {
        audit.set_org(org);
    }
    call.engine.ask_discharger(audit, asker, &wanted, org, call.now).await
}

/// `DELETE /v1/dischargers/{id}`
pub(super) async fn delete(call: Call) -> Response {
    let mut audit = call.audit("discharger.delete");
    let result = delete_discharger(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn delete_discharger(call: &Call, audit: &mut AuditRecord) -> Result<Discharger, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let not_yours = || {
        Failure::new(
            ErrorCode::Forbidden,
            "there is no such discharger, or this token may not delete it; `petsem discharger list` shows them",
        )
    };
    let found = call.engine.find_discharger(&call.param::<String>("id")?).ok_or_else(not_yours)?;
    may_register(call, audit, &principal, found.org).map_err(|_| not_yours())?;
    call.engine.delete_discharger(audit, &found).await?;
    Ok(found)
}

/// An org's dischargers are for those who manage its policies, the platform's for operators.
fn may_register<'c>(
    call: &Call,
    audit: &mut AuditRecord,
    principal: &'c Principal,
    org: Option<OrgId>,
) -> Result<&'c Verified, Failure> {
    let action = if org.is_some() { Action::ManagePolicy } else { Action::Operate };
    principal
        .allows(audit, &AccessTarget { org, ..AccessTarget::default() }, action, call.now)
        .map_err(|refused| denied(&refused))
}
