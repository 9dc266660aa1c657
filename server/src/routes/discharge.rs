//! `/.well-known/macfly/3p`: the discharger, immediate flow.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{DischargeRequest, DischargeResponse};

use crate::failure::Failure;
use crate::http::{Call, finish};
use crate::request::Trail;

/// `POST /.well-known/macfly/3p`
pub(super) async fn discharge(call: Call) -> Response {
    let mut trail = call.trail("discharge");
    let result = make_discharge(&call, &mut trail).await;
    finish(&call, trail, StatusCode::CREATED, result).await
}

async fn make_discharge(call: &Call, trail: &mut Trail) -> Result<DischargeResponse, Failure> {
    let proof = call.core.boot_proof(trail, call.authorization(), call.now)?;
    let wanted: DischargeRequest = call.json().await?;
    call.core.discharge(trail, &proof, &wanted, call.now).await
}
