//! `/v1/tokens`, `/v1/signing-keys` and `/v1/revocations`

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{
    CreateToken, ExplainToken, Explanation, MintedToken, OrgRef, RevokeRequest, Revoked, RotateSigningKey,
    SigningKeyInfo, SigningKeyList, TokenList,
};
use petsem_policy::Action;
use serde::Deserialize;

use crate::authority::{Touched, denied};
use crate::failure::Failure;
use crate::http::{Call, finish};
use crate::request::Trail;
use crate::routes::apps::org_for;

/// `POST /v1/tokens`
pub(super) async fn create(call: Call) -> Response {
    let mut trail = call.trail("token.mint");
    let result = create_token(&call, &mut trail).await;
    finish(&call, trail, StatusCode::CREATED, result).await
}

async fn create_token(call: &Call, trail: &mut Trail) -> Result<MintedToken, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    let wanted: CreateToken = call.json_of(&caller).await?;
    call.core.create_token(trail, &caller, &wanted, call.now).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    org: Option<OrgRef>,
}

/// `GET /v1/tokens?org=…`
pub(super) async fn list(call: Call) -> Response {
    let mut trail = call.trail("token.list");
    let result = list_tokens(&call, &mut trail).await;
    finish(&call, trail, StatusCode::OK, result).await
}

async fn list_tokens(call: &Call, trail: &mut Trail) -> Result<TokenList, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    let query: ListQuery = call.query()?;
    let org = match &query.org {
        // Without an org all tokens are meant: an operator's question.
        None => {
            caller
                .allows(trail, &Touched::default(), Action::Operate, call.now)
                .map_err(|refused| denied(&refused))?;
            None
        }
        Some(org) => Some(org_for(call, trail, &caller, org, Action::List).await?.id),
    };
    call.core.list_tokens(org).await
}

/// `POST /v1/revocations`
pub(super) async fn revoke(call: Call) -> Response {
    let mut trail = call.trail("revoke");
    let result = revoke_it(&call, &mut trail).await;
    finish(&call, trail, StatusCode::CREATED, result).await
}

async fn revoke_it(call: &Call, trail: &mut Trail) -> Result<Revoked, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    let wanted: RevokeRequest = call.json_of(&caller).await?;
    call.core.revoke(trail, &caller, &wanted, call.now).await
}

/// `POST /v1/tokens/explain`
pub(super) async fn explain(call: Call) -> Response {
    let mut trail = call.trail("token.explain");
    let result = explain_tokens(&call, &mut trail).await;
    finish(&call, trail, StatusCode::OK, result).await
}

async fn explain_tokens(call: &Call, trail: &mut Trail) -> Result<Explanation, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    let wanted: ExplainToken = call.json_of(&caller).await?;
    call.core.explain(trail, &caller, &wanted, call.now).await
}

/// `GET /v1/signing-keys`
pub(super) async fn signing_keys(call: Call) -> Response {
    let mut trail = call.trail("signing_key.list");
    let result = list_signing_keys(&call, &mut trail).await;
    finish(&call, trail, StatusCode::OK, result).await
}

async fn list_signing_keys(call: &Call, trail: &mut Trail) -> Result<SigningKeyList, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    call.core.list_signing_keys(trail, &caller, call.now).await
}

/// `POST /v1/signing-keys`
pub(super) async fn rotate_signing_key(call: Call) -> Response {
    let mut trail = call.trail("signing_key.rotate");
    let result = new_signing_key(&call, &mut trail).await;
    finish(&call, trail, StatusCode::CREATED, result).await
}

async fn new_signing_key(call: &Call, trail: &mut Trail) -> Result<SigningKeyInfo, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    let wanted: RotateSigningKey = call.json_of(&caller).await?;
    call.core.rotate_signing_key(trail, &caller, &wanted, call.now).await
}
