//! `/.well-known/macfly/3p`: the discharger, all flows (macaroon format, part 9).

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{DischargeAnswer, DischargeRequest};

use petsem_engine::{AuditRecord, Failure, Polled, Proof};

use crate::http::request::{Call, finish, json, refuse};

/// `POST /.well-known/macfly/3p`
pub(super) async fn discharge(call: Call) -> Response {
    let mut audit = call.audit("discharge");
    let result = make_discharge(&call, &mut audit).await;
    finish(&call, audit, StatusCode::CREATED, result).await
}

async fn make_discharge(call: &Call, audit: &mut AuditRecord) -> Result<DischargeAnswer, Failure> {
    let proof = call.engine.boot_proof(audit, call.authorization(), call.now).await?;
    let wanted: DischargeRequest = match &proof {
        Proof::Token(principal) => call.json_of(principal).await?,
        Proof::Jwt(_) => call.json().await?,
    };
    call.engine.discharge(audit, &proof, &wanted, call.now).await
}

/// `GET /.well-known/macfly/3p/poll/{secret}`: its answers have no more fields than the protocol names.
pub(super) async fn poll(call: Call) -> Response {
    let mut audit = call.audit("discharge.poll");
    let result = match call.param::<String>("secret") {
        Ok(secret) => call.engine.poll(&mut audit, &secret, call.now).await,
        Err(failure) => Err(failure),
    };
    let id = audit.request_id();
    if matches!(result, Ok(Polled::NotReady)) {
        // Nobody was refused, and nothing was given: no line, and no count of what was not verified.
        return json(StatusCode::ACCEPTED, id, &error("not ready"));
    }
    let (status, answer) = match call.engine.conclude(&audit, result).await {
        Ok(Polled::Ready(answer)) => (StatusCode::OK, answer),
        Ok(Polled::Refused(reason)) => (StatusCode::OK, error(reason)),
        Ok(Polled::NotReady) => (StatusCode::ACCEPTED, error("not ready")),
        Ok(Polled::NotFound) => (StatusCode::NOT_FOUND, error("not found")),
        Err(failure) => return refuse(&call.state, id, &failure),
    };
    json(status, id, &answer)
}

fn error(text: &str) -> DischargeAnswer {
    DischargeAnswer { error: Some(text.to_owned()), ..DischargeAnswer::default() }
}
