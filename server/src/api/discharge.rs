//! `/.well-known/macfly/3p`: the discharger, all flows (macaroon format, part 9).

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{DischargeAnswer, DischargeRequest, ErrorCode};
use petsem_engine::{AuditRecord, Failure, Polled, Proof};

use crate::http::{ALWAYS, Anonymous, Call, Incoming, PollSecret, Route, json, refuse, tag};
use crate::messages;

pub(super) fn routes() -> Vec<Route> {
    vec![
        discharge_at("/.well-known/macfly/3p", "discharge", "Request a discharge"),
        discharge_at(
            "/discharger/.well-known/macfly/3p",
            "dischargeAtLocation",
            "Request a discharge, at the location that tickets of this installation name",
        ),
        poll_at("/.well-known/macfly/3p/poll/{secret}", "pollDischarge"),
        poll_at("/discharger/.well-known/macfly/3p/poll/{secret}", "pollDischargeAtLocation"),
    ]
}

fn discharge_at(path: &'static str, id: &'static str, summary: &'static str) -> Route {
    Route::post(path)
        .named(id, tag::BOOTS, summary)
        .described(
            "The proof is a JWT that a rule of the app's policy accepts and that lives at most five minutes, or up to an \
             hour if the rule and its issuer's registration say so; or a token narrowed to exactly this app, Machine, host \
             and the action `boot` that expires within five minutes. The body \
             may leave out app and machine if the proof names exactly one of each: the token by its caveats, the JWT by \
             the `boot_claims` of its issuer's registration.",
        )
        .audited("discharge")
        .answers(StatusCode::CREATED, "The discharge, or where to poll for it.")
        .refuses(&[ErrorCode::BadName, ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::StoreFull])
        .by(discharge)
}

fn poll_at(path: &'static str, id: &'static str) -> Route {
    Route::get(path)
        .param::<PollSecret>("secret", "The poll secret.")
        .named(id, tag::BOOTS, "Fetch a discharge that was not ready")
        .described(
            "Only the secret in the path is needed. The first response with 200 is the last: after it, 404.",
        )
        .from::<Anonymous>()
        .giving::<DischargeAnswer>(StatusCode::OK, "The discharge, or why there is none.")
        .giving::<DischargeAnswer>(StatusCode::ACCEPTED, "Not ready: poll again after 1, 2, 4 … seconds.")
        .giving::<DischargeAnswer>(StatusCode::NOT_FOUND, "Unknown, expired, or fetched already.")
        .refuses(ALWAYS)
        .raw(poll)
}

async fn discharge(
    call: &Call<Proof, DischargeRequest>,
    audit: &mut AuditRecord,
) -> Result<DischargeAnswer, Failure> {
    let wanted = call.body().await?;
    call.engine.discharge(audit, &call.credential, &wanted, call.now).await
}

/// Its responses have no more fields than the protocol names.
async fn poll(call: Incoming) -> Response {
    let mut audit = call.audit("discharge.poll");
    let result = match call.param::<String>("secret") {
        Ok(secret) => call.engine.poll(&mut audit, &secret, call.now).await,
        Err(failure) => Err(failure),
    };
    let id = audit.request_id();
    if matches!(result, Ok(Polled::NotReady)) {
        // Nothing was refused and nothing was given: no line, and no count of unverified requests.
        return json(StatusCode::ACCEPTED, id, &error(messages::DISCHARGE_NOT_READY));
    }
    let (status, answer) = match call.engine.conclude(&mut audit, result).await {
        Ok(Polled::Ready(answer)) => (StatusCode::OK, answer),
        Ok(Polled::Refused(reason)) => (StatusCode::OK, error(reason)),
        Ok(Polled::NotReady) => (StatusCode::ACCEPTED, error(messages::DISCHARGE_NOT_READY)),
        Ok(Polled::NotFound) => (StatusCode::NOT_FOUND, error(messages::DISCHARGE_NOT_FOUND)),
        Err(failure) => return refuse(&call.state, id, &failure),
    };
    json(status, id, &answer)
}

fn error(text: &str) -> DischargeAnswer {
    DischargeAnswer { error: Some(text.to_owned()), ..DischargeAnswer::default() }
}
