//! Requests that need a second person, and break-glass.

use std::fmt::Display;

use petsem_api::{AppId, ErrorCode, HostId, TokenUuid};

use crate::error::Failure;

/// What the requester of a discharge reads about a closed request.
pub(crate) const BREAK_GLASS_CLOSED: &str =
    "the request was denied or has expired; request again with `petsem break-glass`";
/// The name of a decision at the node. It cannot equal that of a person: people's names end with their issuer in
/// brackets.
pub(crate) const SEAL: &str = "the seal, at the node";

pub(crate) fn revocations_too_old(age: u64) -> Failure {
    Failure::new(
        ErrorCode::StoreUnavailable,
        format!(
            "this node last read revocations {age} seconds ago and refuses what needs a second person until it has \
             read them; try again, or use another node"
        ),
    )
    .retry_after(5)
}

pub(crate) fn no_holder() -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        "the token names no holder, so it can neither request nor approve; use a token that names a person",
    )
}

pub(crate) fn holder_unknown(id: TokenUuid) -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        format!(
            "token {id}, from which this token was minted, is not recorded, so its holder is unknown; use another token"
        ),
    )
}

pub(crate) fn same_person(person: &str) -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        format!(
            "{person} is behind both the request and this approval: the requester, the approver and the minters of \
             their tokens must be different persons; have another person approve"
        ),
    )
}

pub(crate) fn key_digest_missing() -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        "this request registers keys: let their owner tell you their digest, not the requester, and repeat it in \
         `key_digest` (`petsem approve ID --key-digest DIGEST`); `petsem approve --show ID` shows the requested keys",
    )
}

pub(crate) fn key_digest_differs() -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        "`key_digest` is not the digest of the keys that this request registers: if their owner told it to you, these \
         are other keys; deny the request, and find out who made it",
    )
}

pub(crate) fn no_key_to_approve() -> Failure {
    Failure::new(ErrorCode::Conflict, "this request registers no keys; leave out `key_digest`")
}

pub(crate) fn too_many_requests() -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        "too many requests wait for a second person or are in force; nothing was changed; have some decided \
         first, or deny those no longer needed (`petsem approve --list`)",
    )
}

pub(crate) fn request_in_effect() -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        "the request was approved and has taken effect; nothing was changed; undo its effect instead",
    )
}

pub(crate) fn request_approved() -> Failure {
    Failure::new(ErrorCode::Conflict, "the request was already approved; nothing was changed")
}

pub(crate) fn request_closed() -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        "the request was denied or has expired; nothing was changed; request again",
    )
}

/// The one answer to a principal that may not decide, whether the request exists or not.
pub(crate) fn request_not_decidable() -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        "there is no such request, or this token may not decide it; list those that it may decide with `petsem approve --list`",
    )
}

/// Read at the node, where all information may be known.
pub(crate) fn no_such_request() -> Failure {
    Failure::new(ErrorCode::NotFound, "there is no such request, or its target no longer exists")
}

pub(crate) fn invalid_reason() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "reason must be 1 to 512 bytes of text on one line; give the reason for the request",
    )
}

pub(crate) fn break_glass_too_long(longest: u64) -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        format!("expires_in must be 1 to {longest} seconds: break-glass lasts at most an hour"),
    )
}

pub(crate) fn second_person_of_another_installation() -> Failure {
    Failure::new(
        ErrorCode::DischargeInvalid,
        "only this petsem installation can confirm a second person; request break-glass here",
    )
}

pub(crate) fn not_the_requesting_token() -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        "the ticket's request was made with another token, or no longer exists; send the token that requested break-glass",
    )
}

pub(crate) fn break_glass_closed() -> Failure {
    Failure::new(ErrorCode::Forbidden, BREAK_GLASS_CLOSED)
}

/// The summary of a request for break-glass.
pub(crate) fn break_glass_summary(name: &dyn Display, app: AppId, until: &dyn Display) -> String {
    format!("read the values of app {name} ({app}) until {until}")
}

pub(crate) fn wrong_number_of_hosts(most: usize) -> Failure {
    Failure::new(ErrorCode::BadRequest, format!("name 1 to {most} hosts; make several requests for more"))
}

/// A host to enroll.
pub(crate) fn host_revoked(host: &HostId) -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        format!(
            "host {host} was revoked, which is for ever: it boots nothing, with any token; nothing was changed; give the \
             machine another id, and enroll that"
        ),
    )
}

pub(crate) fn enrollment_not_approved(host: &HostId) -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        format!(
            "no approved request of this token for host {host} is in force; request one with `petsem host enroll {host} \
             --reason TEXT`, have another person approve it, then mint the token again"
        ),
    )
}

/// The summary of a request to mint the tokens of hosts; the request itself names all of them.
pub(crate) fn enrollment_of(hosts: &[HostId]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<&str> = hosts.iter().take(SHOWN).map(HostId::as_str).collect();
    let shown = shown.join(", ");
    match hosts.len().saturating_sub(SHOWN) {
        0 => format!("mint the tokens of hosts {shown}"),
        more => format!("mint the tokens of hosts {shown} and {more} more"),
    }
}

/// The summary of a request to end a guard.
pub(crate) fn guard_end(org: &dyn Display) -> String {
    format!("end the guard of the policies of org {org}")
}
