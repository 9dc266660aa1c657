//! `/v1/rotations`, and what starts one.

use axum::http::StatusCode;
use petsem_api::{AppRotation, ErrorCode, RotateApp, RotationList};
use petsem_engine::{AuditRecord, Failure, Principal};

use crate::http::{Call, Route, tag};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/rotations")
            .named("listRotations", tag::KEYS, "List the rotations in progress")
            .described(
                "Needs the action `operate`. The versions of the keyring and, while there is more than one, the progress of \
                 the rotation; apps whose KEK is being rotated. A rotation that is done is not listed.",
            )
            .audited("rotation.list")
            .answers(StatusCode::OK, "The rotations in progress.")
            .by(list),
        Route::post("/v1/keyring/rotate")
            .named("rotateKeyring", tag::KEYS, "Create a new version of the keyring")
            .described(
                "Needs the action `operate`. The new version wraps from now on. All keys are wrapped under it in the \
                 background, at `rotation.rewraps_per_second`, also after a restart. The old version is destroyed once it \
                 wraps nothing any more. While a rotation is in progress, another is 409.",
            )
            .audited("keyring.rotate")
            .answers(StatusCode::ACCEPTED, "The rotation has started.")
            .refuses(&[ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(rotate_keyring),
        Route::post("/v1/apps/{app}/rotate")
            .named("rotateApp", tag::KEYS, "Give an app a new KEK")
            .described(
                "Needs the action `operate`. Boots, reads and sets use the new KEK at once. The history is wrapped under it \
                 in the background, also after a restart; then the old KEK is destroyed. With `rewrite`, values are \
                 encrypted again under new DEKs. While a rotation is in progress, another is 409.",
            )
            .audited("app.rotate")
            .answers(StatusCode::ACCEPTED, "The rotation has started.")
            .refuses(&[ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(rotate_app),
    ]
}

async fn list(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<RotationList, Failure> {
    call.engine.list_rotations(audit, &call.credential, call.now).await
}

async fn rotate_keyring(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<RotationList, Failure> {
    call.engine.rotate_keyring(audit, &call.credential, call.now).await
}

async fn rotate_app(
    call: &Call<Principal, RotateApp>,
    audit: &mut AuditRecord,
) -> Result<AppRotation, Failure> {
    let wanted = call.body().await?;
    call.engine.rotate_app(audit, &call.credential, &call.param("app")?, wanted.rewrite, call.now).await
}
