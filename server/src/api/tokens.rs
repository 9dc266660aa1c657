//! `/v1/tokens`, `/v1/signing-keys` and `/v1/revocations`

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{
    CreateToken, ExplainToken, Explanation, MintedToken, OrgRef, RevokeRequest, Revoked, RotateSigningKey,
    SigningKeyInfo, SigningKeyList, TokenList,
};
use petsem_engine::{AuditRecord, Failure};
use serde::Deserialize;

use crate::http::request::{Call, finish};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    org: Option<OrgRef>,
}

/// `POST /v1/tokens`
pub(super) async fn create(call: Call) -> Response {
    let mut audit = call.audit("token.mint");
    let result = create_token(&call, &mut audit).await;
    finish(&call, audit, StatusCode::CREATED, result).await
}

async fn create_token(call: &Call, audit: &mut AuditRecord) -> Result<MintedToken, Failure> {
    let principal = call.authenticate(audit)?;
    let wanted: CreateToken = call.json_of(&principal).await?;
    call.engine.create_token(audit, &principal, &wanted, call.now).await
}

/// `GET /v1/tokens?org=…`
pub(super) async fn list(call: Call) -> Response {
    let mut audit = call.audit("token.list");
    let result = list_tokens(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn list_tokens(call: &Call, audit: &mut AuditRecord) -> Result<TokenList, Failure> {
    let principal = call.authenticate(audit)?;
    let query: ListQuery = call.query()?;
    call.engine.list_tokens(audit, &principal, query.org.as_ref(), call.now).await
}

/// `POST /v1/revocations`
pub(super) async fn revoke(call: Call) -> Response {
    let mut audit = call.audit("revoke");
    let result = revoke_it(&call, &mut audit).await;
    finish(&call, audit, StatusCode::CREATED, result).await
}

async fn revoke_it(call: &Call, audit: &mut AuditRecord) -> Result<Revoked, Failure> {
    let principal = call.authenticate(audit)?;
    let wanted: RevokeRequest = call.json_of(&principal).await?;
    call.engine.revoke(audit, &principal, &wanted, call.now).await
}

/// `POST /v1/tokens/explain`
pub(super) async fn explain(call: Call) -> Response {
    let mut audit = call.audit("token.explain");
    let result = explain_tokens(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn explain_tokens(call: &Call, audit: &mut AuditRecord) -> Result<Explanation, Failure> {
    let principal = call.authenticate(audit)?;
    let wanted: ExplainToken = call.json_of(&principal).await?;
    call.engine.explain(audit, &principal, &wanted, call.now).await
}

/// `GET /v1/signing-keys`
pub(super) async fn signing_keys(call: Call) -> Response {
    let mut audit = call.audit("signing_key.list");
    let result = list_signing_keys(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn list_signing_keys(call: &Call, audit: &mut AuditRecord) -> Result<SigningKeyList, Failure> {
    let principal = call.authenticate(audit)?;
    call.engine.list_signing_keys(audit, &principal, call.now).await
}

/// `POST /v1/signing-keys`
pub(super) async fn rotate_signing_key(call: Call) -> Response {
    let mut audit = call.audit("signing_key.rotate");
    let result = new_signing_key(&call, &mut audit).await;
    finish(&call, audit, StatusCode::CREATED, result).await
}

async fn new_signing_key(call: &Call, audit: &mut AuditRecord) -> Result<SigningKeyInfo, Failure> {
    let principal = call.authenticate(audit)?;
    let wanted: RotateSigningKey = call.json_of(&principal).await?;
    call.engine.rotate_signing_key(audit, &principal, &wanted, call.now).await
}
