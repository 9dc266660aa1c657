//! `/v1/orgs`

use axum::http::StatusCode;
use petsem_api::{CreateOrg, DeletedOrg, ErrorCode, Org, OrgList};
use petsem_engine::{AuditRecord, Failure, Principal};

use crate::http::{Call, Route, tag};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/orgs")
            .named("listOrgs", tag::ORGS, "List the orgs that the caller may list")
            .audited("org.list")
            .answers(StatusCode::OK, "The orgs.")
            .by(list),
        Route::post("/v1/orgs")
            .named("createOrg", tag::ORGS, "Create an org")
            .described("Needs the action `operate`.")
            .audited("org.create")
            .answers(StatusCode::CREATED, "The org.")
            .refuses(&[ErrorCode::BadName, ErrorCode::NameTaken, ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(create),
        Route::get("/v1/orgs/{org}")
            .named("showOrg", tag::ORGS, "Show an org")
            .audited("org.show")
            .answers(StatusCode::OK, "The org.")
            .refuses(&[ErrorCode::NotFound])
            .by(show),
        Route::delete("/v1/orgs/{org}")
            .named("deleteOrg", tag::ORGS, "Delete an org that has no apps")
            .described("Needs the action `operate`. Its signing key is deleted with it, so its tokens no longer verify.")
            .audited("org.delete")
            .answers(StatusCode::OK, "The org that was deleted.")
            .refuses(&[ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(delete),
    ]
}

async fn create(call: &Call<Principal, CreateOrg>, audit: &mut AuditRecord) -> Result<Org, Failure> {
    let wanted = call.body().await?;
    call.engine.create_org(audit, &call.credential, &wanted.name, call.now).await
}

async fn list(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<OrgList, Failure> {
    call.engine.list_orgs(audit, &call.credential, call.now).await
}

async fn show(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<Org, Failure> {
    call.engine.show_org(audit, &call.credential, &call.param("org")?, call.now).await
}

async fn delete(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<DeletedOrg, Failure> {
    let id = call.engine.delete_org(audit, &call.credential, &call.param("org")?, call.now).await?;
    Ok(DeletedOrg { id })
}
