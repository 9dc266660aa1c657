//! Of what waits for a second person, and of signing keys.

use super::*;

pub(crate) const NO_SECOND_PERSON: &str =
    "no second person stood behind this: the seal stood in, and the audit log says so";
pub(crate) const PLATFORM: &str = "the platform";

pub(crate) fn glass_waits(asked: &BreakGlassToken) -> String {
    format!(
        "request {} waits for a second person until {}; they type: petsem approve {}",
        asked.request, asked.expires_at, asked.request
    )
}

pub(crate) fn glass_broken(asked: &BreakGlassToken) -> String {
    format!("token {} with its discharge, good until {}", asked.id, asked.expires_at)
}

pub(crate) fn no_ticket() -> Failure {
    Failure::new(
        Exit::Refused,
        "the server made a token that asks for no discharge",
        "check that server and command are of one version",
    )
}

pub(crate) fn page_to_open(url: &str) -> String {
    let shown: String = url.chars().filter(|character| !character.is_control()).collect();
    format!("the page for whoever approves it: {shown}")
}

pub(crate) fn approval_state(state: ApprovalState) -> &'static str {
    match state {
        ApprovalState::Open => "open",
        ApprovalState::Approved => "approved",
        ApprovalState::Denied => "denied",
        ApprovalState::Expired => "over",
    }
}

pub(crate) fn approval_shown(approval: &Approval) -> String {
    let Approval { id, state, summary, asker, reason, ends_at, wanted, .. } = approval;
    let state = approval_state(*state);
    let facts = format!("request {id} is {state}, until {ends_at}: {summary}, asked by {asker}: {reason}");
    // A control character of a claim or a URL is escaped in JSON.
    match wanted {
        Some(wanted) => format!("{facts}\n{wanted:#}"),
        None => facts,
    }
}

pub(crate) fn decided(approval: &Approval) -> String {
    let Approval { id, state, summary, asker, reason, .. } = approval;
    format!("request {id} is {}: {summary}, asked by {asker}: {reason}", approval_state(*state))
}

pub(crate) fn waits(approval: &Approval) -> String {
    let Approval { id, summary, ends_at, .. } = approval;
    format!(
        "request {id} waits for a second person until {ends_at}: {summary}; they type: petsem approve {id}"
    )
}

pub(crate) fn signing_key_state(state: SigningKeyState) -> &'static str {
    match state {
        SigningKeyState::Current => "signs new tokens",
        SigningKeyState::Verifying => "verifies old ones",
        SigningKeyState::Revoked => REVOKED,
        _ => "unknown to this version",
    }
}

pub(crate) fn signing_key_rotated(key: &SigningKeyInfo) -> String {
    format!(
        "new tokens are signed with key {}; those of the key before stay good until they end or it is revoked",
        key.id
    )
}
