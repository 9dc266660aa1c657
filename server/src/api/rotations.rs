//! `/v1/rotations`, and what begins one.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{AppRef, AppRotation, RotateApp, RotationList};
use petsem_policy::Action;

use crate::failure::Failure;
use crate::http::{Call, finish};
use crate::request::Trail;

/// `GET /v1/rotations`
pub(super) async fn list(call: Call) -> Response {
    let mut trail = call.trail("rotation.list");
    let result = list_rotations(&call, &mut trail).await;
    finish(&call, trail, StatusCode::OK, result).await
}

async fn list_rotations(call: &Call, trail: &mut Trail) -> Result<RotationList, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    call.core.list_rotations(trail, &caller, call.now).await
}

/// `POST /v1/keyring/rotate`
pub(super) async fn rotate_keyring(call: Call) -> Response {
    let mut trail = call.trail("keyring.rotate");
    let result = begin_keyring(&call, &mut trail).await;
    finish(&call, trail, StatusCode::ACCEPTED, result).await
}

async fn begin_keyring(call: &Call, trail: &mut Trail) -> Result<RotationList, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    call.core.rotate_keyring(trail, &caller, call.now).await
}

/// `POST /v1/apps/{app}/rotate`
pub(super) async fn rotate_app(call: Call) -> Response {
    let mut trail = call.trail("app.rotate");
    let result = begin_app(&call, &mut trail).await;
    finish(&call, trail, StatusCode::ACCEPTED, result).await
}

async fn begin_app(call: &Call, trail: &mut Trail) -> Result<AppRotation, Failure> {
    let caller = call.core.authenticate(call.authorization(), trail)?;
    let wanted: RotateApp = call.json_of(&caller).await?;
    let app =
        call.core.app_for(&caller, trail, &call.param::<AppRef>("app")?, &[(Action::Operate, None)]).await?;
    call.core.rotate_app(trail, app.id, wanted.rewrite, &caller.author(), call.now).await
}
