//! `/v1/apps/{app}/secrets`, in the Machines-API shapes.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{
    AppRef, AppSecret, BulkUpdate, BulkUpdateResponse, Deleted, History, RollbackRequest, SecretList,
    SecretName, SetSecret, SetSecretResponse,
};
use petsem_engine::{AuditRecord, Failure, ReadQuery};
use serde::Deserialize;

use crate::http::request::{Call, finish};

/// `version` is the lowest version that will do; `min_version` is its newer name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretsQuery {
    version: Option<u64>,
    min_version: Option<u64>,
    #[serde(default)]
    show_secrets: bool,
}

impl From<SecretsQuery> for ReadQuery {
    fn from(query: SecretsQuery) -> Self {
        Self { min_version: query.version.max(query.min_version), show_values: query.show_secrets }
    }
}

/// `GET /v1/apps/{app}/secrets`
pub(super) async fn list(call: Call) -> Response {
    let mut audit = call.audit(reading(&call, "secret.list"));
    let result = list_secrets(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn list_secrets(call: &Call, audit: &mut AuditRecord) -> Result<SecretList, Failure> {
    let reader = call.engine.reader(call.authorization(), audit)?;
    let app: AppRef = call.param("app")?;
    let query = call.query::<SecretsQuery>()?.into();
    call.engine.list_secrets(audit, &reader, &app, &query, call.now).await
}

/// `GET /v1/apps/{app}/secrets/{name}`
pub(super) async fn show(call: Call) -> Response {
    let mut audit = call.audit(reading(&call, "secret.show"));
    let result = show_secret(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn show_secret(call: &Call, audit: &mut AuditRecord) -> Result<AppSecret, Failure> {
    let reader = call.engine.reader(call.authorization(), audit)?;
    let app: AppRef = call.param("app")?;
    let name: SecretName = call.param("name")?;
    let query = call.query::<SecretsQuery>()?.into();
    call.engine.show_secret(audit, &reader, &app, &name, &query, call.now).await
}

/// `POST /v1/apps/{app}/secrets/{name}`
pub(super) async fn set(call: Call) -> Response {
    let mut audit = call.audit("secret.set");
    let result = set_secret(&call, &mut audit).await;
    finish(&call, audit, StatusCode::CREATED, result).await
}

async fn set_secret(call: &Call, audit: &mut AuditRecord) -> Result<SetSecretResponse, Failure> {
    let principal = call.authenticate(audit)?;
    let name = call.param("name")?;
    let wanted: SetSecret = call.json_of(&principal).await?;
    call.engine.set_secret(audit, &principal, &call.param("app")?, name, &wanted, call.now).await
}

/// `POST /v1/apps/{app}/secrets`
pub(super) async fn update(call: Call) -> Response {
    let mut audit = call.audit("secret.update");
    let result = update_secrets(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn update_secrets(call: &Call, audit: &mut AuditRecord) -> Result<BulkUpdateResponse, Failure> {
    let principal = call.authenticate(audit)?;
    let wanted: BulkUpdate = call.json_of(&principal).await?;
    call.engine.update_secrets(audit, &principal, &call.param("app")?, &wanted, call.now).await
}

/// `DELETE /v1/apps/{app}/secrets/{name}`
pub(super) async fn unset(call: Call) -> Response {
    let mut audit = call.audit("secret.unset");
    let result = unset_secret(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn unset_secret(call: &Call, audit: &mut AuditRecord) -> Result<Deleted, Failure> {
    let principal = call.authenticate(audit)?;
    let name = call.param("name")?;
    call.engine.unset_secret(audit, &principal, &call.param("app")?, name, call.now).await
}

/// `GET /v1/apps/{app}/secrets/{name}/history`
pub(super) async fn history(call: Call) -> Response {
    let mut audit = call.audit("secret.history");
    let result = show_history(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn show_history(call: &Call, audit: &mut AuditRecord) -> Result<History, Failure> {
    let principal = call.authenticate(audit)?;
    let name = call.param("name")?;
    call.engine.secret_history(audit, &principal, &call.param("app")?, &name).await
}

/// `POST /v1/apps/{app}/secrets/{name}/rollback`
pub(super) async fn rollback(call: Call) -> Response {
    let mut audit = call.audit("secret.rollback");
    let result = roll_back(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn roll_back(call: &Call, audit: &mut AuditRecord) -> Result<SetSecretResponse, Failure> {
    let principal = call.authenticate(audit)?;
    let name = call.param("name")?;
    let wanted: RollbackRequest = call.json_of(&principal).await?;
    call.engine.roll_back_secret(audit, &principal, &call.param("app")?, name, &wanted, call.now).await
}

/// What the audit line calls it: whether values were asked for must be visible at a glance.
fn reading(call: &Call, otherwise: &'static str) -> &'static str {
    match call.query::<SecretsQuery>() {
        Ok(query) if query.show_secrets => "secret.read",
        _ => otherwise,
    }
}
