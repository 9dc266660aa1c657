//! `/v1/dischargers`: the dischargers whose grants count, beside petsem's own.

use axum::http::StatusCode;
use petsem_api::{Approval, Discharger, DischargerList, ErrorCode, OrgRef, PutDischarger};
use petsem_engine::{AuditRecord, Failure, Principal};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::{Call, DischargerId, NoBody, Route, tag};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/dischargers")
            .named("listDischargers", tag::APPROVALS, "List the registered dischargers")
            .described("Needs the action `operate`; with `org`, the action `list` on that org.")
            .audited("discharger.list")
            .answers(StatusCode::OK, "The dischargers, never their keys.")
            .refuses(&[ErrorCode::NotFound])
            .by(list),
        Route::post("/v1/dischargers")
            .named("registerDischarger", tag::APPROVALS, "Request to register a key that is shared with an outside discharger")
            .described("Needs the action `operate`; for one org, `manage_policy` on it. Takes effect when a second person approves.")
            .audited("discharger.ask")
            .answers(StatusCode::ACCEPTED, "The request waits for a second person.")
            .refuses(&[ErrorCode::BadName, ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(register),
        Route::delete("/v1/dischargers/{id}")
            .param::<DischargerId>("id", "The discharger.")
            .named("deleteDischarger", tag::APPROVALS, "Delete the key of a discharger")
            .described("Needs what registering it needs, and no second person: its grants no longer count.")
            .audited("discharger.delete")
            .answers(StatusCode::OK, "The discharger that was deleted.")
            .refuses(&[ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(delete),
    ]
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only those that speak for this org.
    org: Option<OrgRef>,
}

async fn list(
    call: &Call<Principal, NoBody, ListQuery>,
    audit: &mut AuditRecord,
) -> Result<DischargerList, Failure> {
    call.engine.list_dischargers(audit, &call.credential, call.query.org.as_ref(), call.now).await
}

async fn register(
    call: &Call<Principal, PutDischarger>,
    audit: &mut AuditRecord,
) -> Result<Approval, Failure> {
    let wanted = call.body().await?;
    call.engine.register_discharger(audit, &call.credential, &wanted, call.now).await
}

async fn delete(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<Discharger, Failure> {
    call.engine.delete_discharger(audit, &call.credential, &call.param::<String>("id")?, call.now).await
}
