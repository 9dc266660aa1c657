//! Boots, their renewals, and discharges.

use petsem_api::{Delivery, ErrorCode};

use crate::error::Failure;

pub(crate) fn no_host_token() -> Failure {
    Failure::new(ErrorCode::TokenMissing, "the request has no host token; send `Authorization: FlyV1 fm2_…`")
}

pub(crate) fn no_petsem_token() -> Failure {
    Failure::new(
        ErrorCode::TokenMalformed,
        "the Authorization header has no petsem token; send the host token",
    )
}

pub(crate) fn more_than_one_host_token() -> Failure {
    Failure::new(
        ErrorCode::TokenMalformed,
        "the Authorization header of a boot must carry exactly one host token; remove the others",
    )
}

pub(crate) fn host_token_without_discharge() -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        "this is not a host token, because it needs no discharge; send the host token",
    )
}

pub(crate) fn host_token_of_an_org() -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        "this is not a host token, because an org's key signed it; send the host token",
    )
}

pub(crate) fn discharge_in_batch_header() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "the header of a batch must carry only the host token; put each discharge beside its Machine in the body",
    )
}

pub(crate) fn no_host_of_connection() -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        "this connection belongs to no host; boot through the listener that is configured for the host",
    )
}

pub(crate) fn no_renewals() -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        "the app does not allow renewals (renewal_life is 0); request a new discharge for each boot",
    )
}

pub(crate) fn discharger_of_another_org() -> Failure {
    Failure::new(
        ErrorCode::DischargeInvalid,
        "the discharger is not registered for the app's org; get a discharge from one that is",
    )
}

pub(crate) fn machine_revoked() -> Failure {
    Failure::new(ErrorCode::Revoked, "the Machine or the host was revoked and can no longer boot")
}

pub(crate) fn malformed_discharge() -> Failure {
    Failure::new(
        ErrorCode::DischargeInvalid,
        "the discharge is malformed; give exactly the discharger's answer, one fm2_… text",
    )
}

pub(crate) fn unknown_grant() -> Failure {
    Failure::new(
        ErrorCode::DischargeInvalid,
        "the boot grant has a form that this server does not support; request a new discharge",
    )
}

pub(crate) fn discharger_names_no_subject() -> Failure {
    Failure::new(
        ErrorCode::DischargeInvalid,
        "the grant of an outside discharger names a JWT or a token; it must name a subject, as docs/discharger.md says",
    )
}

pub(crate) fn grant_of_the_future() -> Failure {
    Failure::new(
        ErrorCode::DischargeInvalid,
        "the boot grant names a proof that does not exist yet; check the discharger's clock",
    )
}

pub(crate) fn grant_too_old() -> Failure {
    Failure::new(
        ErrorCode::DischargeInvalid,
        "the proof behind this boot grant is older than five minutes; request a new discharge",
    )
}

pub(crate) fn subject_of_boot_revoked() -> Failure {
    Failure::new(
        ErrorCode::Revoked,
        "the subject that requested this boot was revoked; request a new discharge, with a new proof",
    )
}

/// The host learns nothing about the rules.
pub(crate) fn policy_names_no_such_discharger() -> Failure {
    Failure::new(
        ErrorCode::PolicyDenied,
        "no rule of the app's policy lets this discharger vouch for this subject; the app's owner can add a rule with \
         \"discharger\"",
    )
}

pub(crate) fn discharge_revoked() -> Failure {
    Failure::new(ErrorCode::Revoked, "the discharge behind this renewal was revoked; request a new discharge")
}

pub(crate) fn issuer_of_boot_deleted() -> Failure {
    Failure::new(
        ErrorCode::PolicyDenied,
        "the issuer of the JWT behind this boot is no longer registered; request a new discharge",
    )
}

pub(crate) fn token_of_boot_revoked() -> Failure {
    Failure::new(
        ErrorCode::Revoked,
        "the token that requested this boot was revoked; request a new discharge with another token",
    )
}

pub(crate) fn ticket_needs_token() -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        "this ticket needs the token that requested it, not a JWT; send that token",
    )
}

pub(crate) fn ticket_not_for_a_boot() -> Failure {
    Failure::new(ErrorCode::BadRequest, "this ticket is not for a boot; remove app and machine")
}

/// Neither the body nor the proof names exactly one app, or Machine.
pub(crate) fn boot_not_named(field: &str, named: usize) -> Failure {
    let named = if named == 0 { "none" } else { "several" };
    Failure::new(
        ErrorCode::BadRequest,
        format!(
            "the request does not say which {field} boots, and its proof names {named}; give {field}, or send a proof that \
             names exactly one: a token narrowed to one boot, or a JWT of an issuer whose registration has `boot_claims`"
        ),
    )
}

pub(crate) fn ticket_of_another_discharger() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "the ticket is not for this discharger; send the ticket of the token's third-party caveat, in standard base64",
    )
}

pub(crate) fn ticket_without_host() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "the ticket does not name exactly one host; send the ticket of a host token",
    )
}

/// Whether the app exists or not.
pub(crate) fn jwt_does_not_boot() -> Failure {
    Failure::new(
        ErrorCode::PolicyDenied,
        "there is no such app, or no rule of its policy lets this JWT boot this Machine on this host; \
         the app's owner can view the policy with `petsem policy show`",
    )
}

pub(crate) fn operators_prove_no_boot() -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        "an operator's token cannot prove a boot; use a token of the app's org, or a JWT that the app's policy accepts",
    )
}

pub(crate) fn too_many_pending_discharges() -> Failure {
    Failure::new(
        ErrorCode::Busy,
        "too many discharges wait to be fetched; fetch your pending ones, or try again later",
    )
    .retry_after(60)
}

/// What the audit log says about a report.
pub(crate) fn delivered(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Proved => "the Machine proved that it has the bundle",
        Delivery::Mismatch => "the Machine's proof did not match",
        Delivery::Denied => "the Machine was denied",
        Delivery::Unanswered => "the Machine did not answer",
        Delivery::Environment => "the secrets go into the environment of a process",
    }
}

/// [`delivered`], with the number of secrets that were left out. The line names them.
pub(crate) fn delivered_without(delivery: Delivery, left_out: usize) -> String {
    format!(
        "{}; left out, because their names are reserved or were set already, or no environment carries their values: \
         {left_out}",
        delivered(delivery)
    )
}
