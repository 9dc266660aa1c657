//! `/v1/issuers`: the issuers whose JWTs this installation accepts. Registering and changing one needs a second person.

use axum::http::StatusCode;
use petsem_api::{Approval, ErrorCode, Issuer, IssuerId, IssuerList, PutIssuer};
use petsem_engine::{AuditRecord, Failure, Principal};

use crate::http::{Call, Route, tag};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/issuers")
            .named("listIssuers", tag::TOKENS, "List the issuers whose JWTs are accepted")
            .described("Needs the action `operate`. Registering one needs a second person, or the seal on the node.")
            .audited("issuer.list")
            .answers(StatusCode::OK, "All issuers.")
            .by(list),
        Route::post("/v1/issuers")
            .named("registerIssuer", tag::TOKENS, "Request to register an issuer")
            .described("Needs the action `operate`. Takes effect when a second person approves.")
            .audited("issuer.ask")
            .answers(StatusCode::ACCEPTED, "The request waits for a second person.")
            .refuses(&[ErrorCode::NameTaken, ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(register),
        Route::put("/v1/issuers/{id}")
            .param::<IssuerId>("id", "The issuer.")
            .named("changeIssuer", tag::TOKENS, "Request another registration of an issuer")
            .described(
                "Needs the action `operate`. Other keys, algorithms or sources of keys; the `iss` stays. Takes effect when a \
                 second person approves: from then on no JWT is verified with the earlier registration. Renewals and tokens \
                 from such JWTs stay valid; `jwt_issuer` at `/v1/revocations` revokes them.",
            )
            .audited("issuer.ask")
            .answers(StatusCode::ACCEPTED, "The request waits for a second person.")
            .refuses(&[ErrorCode::NotFound, ErrorCode::StaleVersion, ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(change),
        Route::delete("/v1/issuers/{id}")
            .param::<IssuerId>("id", "The issuer.")
            .named("deleteIssuer", tag::TOKENS, "Delete an issuer")
            .described(
                "Needs the action `operate`, and no second person: it opens nothing. All JWTs that it has issued so far are \
                 revoked, with the renewals and tokens from them, also if it is registered again. Rules of app policies that \
                 name it stay and allow nothing.",
            )
            .audited("issuer.delete")
            .answers(StatusCode::OK, "The issuer that was deleted.")
            .refuses(&[ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(delete),
    ]
}

async fn list(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<IssuerList, Failure> {
    call.engine.list_issuers(audit, &call.credential, call.now)
}

async fn register(call: &Call<Principal, PutIssuer>, audit: &mut AuditRecord) -> Result<Approval, Failure> {
    let wanted = call.body().await?;
    call.engine.request_issuer(audit, &call.credential, wanted, call.now).await
}

async fn change(call: &Call<Principal, PutIssuer>, audit: &mut AuditRecord) -> Result<Approval, Failure> {
    let wanted = call.body().await?;
    call.engine.request_issuer_change(audit, &call.credential, call.param("id")?, wanted, call.now).await
}

async fn delete(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<Issuer, Failure> {
    call.engine.delete_issuer(audit, &call.credential, call.param("id")?, call.now).await
}
