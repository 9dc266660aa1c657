//! `/v1/rotations`, and what begins one.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{AppRotation, RotateApp, RotationList};
use petsem_engine::{AuditRecord, Failure};

use crate::http::request::{Call, finish};

/// `GET /v1/rotations`
pub(super) async fn list(call: Call) -> Response {
    let mut audit = call.audit("rotation.list");
    let result = list_rotations(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn list_rotations(call: &Call, audit: &mut AuditRecord) -> Result<RotationList, Failure> {
    let principal = call.authenticate(audit)?;
    call.engine.list_rotations(audit, &principal, call.now).await
}

/// `POST /v1/keyring/rotate`
pub(super) async fn rotate_keyring(call: Call) -> Response {
    let mut audit = call.audit("keyring.rotate");
    let result = begin_keyring(&call, &mut audit).await;
    finish(&call, audit, StatusCode::ACCEPTED, result).await
}

async fn begin_keyring(call: &Call, audit: &mut AuditRecord) -> Result<RotationList, Failure> {
    let principal = call.authenticate(audit)?;
    call.engine.rotate_keyring(audit, &principal, call.now).await
}

/// `POST /v1/apps/{app}/rotate`
pub(super) async fn rotate_app(call: Call) -> Response {
    let mut audit = call.audit("app.rotate");
    let result = begin_app(&call, &mut audit).await;
    finish(&call, audit, StatusCode::ACCEPTED, result).await
}

async fn begin_app(call: &Call, audit: &mut AuditRecord) -> Result<AppRotation, Failure> {
    let principal = call.authenticate(audit)?;
    let wanted: RotateApp = call.json_of(&principal).await?;
    call.engine.rotate_app(audit, &principal, &call.param("app")?, wanted.rewrite, call.now).await
}
