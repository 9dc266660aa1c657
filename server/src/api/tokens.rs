//! `/v1/tokens`, `/v1/signing-keys` and `/v1/revocations`

use axum::http::StatusCode;
use petsem_api::{
    CreateToken, ErrorCode, ExplainToken, Explanation, MintedToken, OrgRef, RevokeRequest, Revoked,
    RotateSigningKey, SigningKeyInfo, SigningKeyList, TokenList,
};
use petsem_engine::{AuditRecord, Failure, Principal};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::{Call, NoBody, Route, tag};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/tokens")
            .named("listTokens", tag::TOKENS, "List what is known of tokens; never the tokens")
            .audited("token.list")
            .answers(StatusCode::OK, "Tokens that the caller may see.")
            .refuses(&[ErrorCode::NotFound])
            .by(list),
        Route::post("/v1/tokens")
            .named("createToken", tag::TOKENS, "Mint a token from the token of the caller")
            .described("Needs the action `mint`; for a host token `enroll`, and an approved `POST /v1/enrollments`.")
            .audited("token.mint")
            .answers(StatusCode::CREATED, "The token, shown once.")
            .refuses(&[ErrorCode::BadName, ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(create),
        Route::post("/v1/tokens/explain")
            .named("explainToken", tag::TOKENS, "Explain why a request would be denied; the request is not made")
            .described("For the holder of the tokens, who knows their caveats. Of apps and orgs it tells no more than the request itself would.")
            .audited("token.explain")
            .answers(StatusCode::OK, "What each token says.")
            .refuses(&[ErrorCode::BadName, ErrorCode::NotFound])
            .by(explain),
        Route::get("/v1/signing-keys")
            .named("listSigningKeys", tag::TOKENS, "List the signing keys")
            .described("Needs the action `operate`. Never the keys themselves.")
            .audited("signing_key.list")
            .answers(StatusCode::OK, "All signing keys.")
            .by(signing_keys),
        Route::post("/v1/signing-keys")
            .named("rotateSigningKey", tag::TOKENS, "Sign new tokens with a new key")
            .described("Needs the action `operate`. Tokens of the old key stay valid until they expire or the key is revoked.")
            .audited("signing_key.rotate")
            .answers(StatusCode::CREATED, "The new key.")
            .refuses(&[ErrorCode::BadName, ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(rotate_signing_key),
        Route::post("/v1/revocations")
            .named("revoke", tag::TOKENS, "Revoke a token, a signing key, a Machine, a host, or JWTs")
            .audited("revoke")
            .answers(StatusCode::CREATED, "The control change with the revocation.")
            .refuses(&[ErrorCode::BadName, ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(revoke),
    ]
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only tokens of this org. Absent: all tokens, which needs the action `operate`.
    org: Option<OrgRef>,
}

async fn create(
    call: &Call<Principal, CreateToken>,
    audit: &mut AuditRecord,
) -> Result<MintedToken, Failure> {
    let wanted = call.body().await?;
    call.engine.create_token(audit, &call.credential, &wanted, call.now).await
}

async fn list(
    call: &Call<Principal, NoBody, ListQuery>,
    audit: &mut AuditRecord,
) -> Result<TokenList, Failure> {
    call.engine.list_tokens(audit, &call.credential, call.query.org.as_ref(), call.now).await
}

async fn revoke(call: &Call<Principal, RevokeRequest>, audit: &mut AuditRecord) -> Result<Revoked, Failure> {
    let wanted = call.body().await?;
    call.engine.revoke(audit, &call.credential, &wanted, call.now).await
}

async fn explain(
    call: &Call<Principal, ExplainToken>,
    audit: &mut AuditRecord,
) -> Result<Explanation, Failure> {
    let wanted = call.body().await?;
    call.engine.explain(audit, &call.credential, &wanted, call.now).await
}

async fn signing_keys(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<SigningKeyList, Failure> {
    call.engine.list_signing_keys(audit, &call.credential, call.now).await
}

async fn rotate_signing_key(
    call: &Call<Principal, RotateSigningKey>,
    audit: &mut AuditRecord,
) -> Result<SigningKeyInfo, Failure> {
    let wanted = call.body().await?;
    call.engine.rotate_signing_key(audit, &call.credential, &wanted, call.now).await
}
