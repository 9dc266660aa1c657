//! `/v1/tokens` and `/v1/revocations`

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{CreateToken, MintedToken, OrgRef, RevokeRequest, Revoked, TokenList};
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
    let wanted: CreateToken = call.json().await?;
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
    let wanted: RevokeRequest = call.json().await?;
    call.core.revoke(trail, &caller, &wanted, call.now).await
}
