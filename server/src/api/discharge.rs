//! `/.well-known/macfly/3p`: the discharger, all flows (macaroon format, part 9).

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{DischargeAnswer, DischargeRequest};

use crate::discharge::Proof;
use crate::failure::Failure;
use crate::http::{Call, conclude, finish, json, refuse};
use crate::polls::Polled;
use crate::request::Trail;

/// `POST /.well-known/macfly/3p`
pub(super) async fn discharge(call: Call) -> Response {
    let mut trail = call.trail("discharge");
    let result = make_discharge(&call, &mut trail).await;
    finish(&call, trail, StatusCode::CREATED, result).await
}

async fn make_discharge(call: &Call, trail: &mut Trail) -> Result<DischargeAnswer, Failure> {
    let proof = call.core.boot_proof(trail, call.authorization(), call.now).await?;
    let wanted: DischargeRequest = match &proof {
        Proof::Token(caller) => call.json_of(caller).await?,
        Proof::Jwt(_) => call.json().await?,
    };
    call.core.discharge(trail, &proof, &wanted, call.now).await
}

/// `GET /.well-known/macfly/3p/poll/{secret}`: its answers have no more fields than the protocol names.
pub(super) async fn poll(call: Call) -> Response {
    let mut trail = call.trail("discharge.poll");
    let result = match call.param::<String>("secret") {
        Ok(secret) => call.core.poll(&mut trail, &secret, call.now).await,
        Err(failure) => Err(failure),
    };
    let id = trail.request_id();
    if matches!(result, Ok(Polled::NotReady)) {
        // Nobody was refused, and nothing was given: no line, and no count of what was not verified.
        return json(StatusCode::ACCEPTED, id, &error("not ready"));
    }
    let (status, answer) = match conclude(&call.core, &trail, result).await {
        Ok(Polled::Ready(answer)) => (StatusCode::OK, answer),
        Ok(Polled::Refused(reason)) => (StatusCode::OK, error(reason)),
        Ok(Polled::NotReady) => (StatusCode::ACCEPTED, error("not ready")),
        Ok(Polled::NotFound) => (StatusCode::NOT_FOUND, error("not found")),
        Err(failure) => return refuse(&call.core, id, &failure),
    };
    json(status, id, &answer)
}

fn error(text: &str) -> DischargeAnswer {
    DischargeAnswer { error: Some(text.to_owned()), ..DischargeAnswer::default() }
}
