//! Requests that wait for a second person, and signing keys.

use petsem_api::{Approval, ApprovalState, BreakGlassToken, SigningKeyInfo, SigningKeyState};

use super::tokens::REVOKED;
use crate::failure::{Exit, Failure};

pub(crate) const NO_SECOND_PERSON: &str =
    "no second person approved this: the seal replaced that approval, and the audit log records it";
pub(crate) const PLATFORM: &str = "the platform";

pub(crate) fn break_glass_waits(requested: &BreakGlassToken) -> String {
    format!(
        "request {} waits for a second person until {}; that person types: petsem approve {}",
        requested.request, requested.expires_at, requested.request
    )
}

pub(crate) fn break_glass_approved(requested: &BreakGlassToken) -> String {
    format!("token {} with its discharge, valid until {}", requested.id, requested.expires_at)
}

pub(crate) fn no_ticket() -> Failure {
    Failure::new(
        Exit::Refused,
        "the server minted a token that needs no discharge",
        "check that the server and this command have the same version",
    )
}

pub(crate) fn approval_page(url: &str) -> String {
    format!("the approver's page: {}", petsem_api::escaped(url, &[]))
}

pub(crate) fn approval_state(state: ApprovalState) -> &'static str {
    match state {
        ApprovalState::Open => "open",
        ApprovalState::Approved => "approved",
        ApprovalState::Denied => "denied",
        ApprovalState::Expired => "expired",
    }
}

/// The state of a request, and whether it can still take effect.
pub(crate) fn state_of_request(approval: &Approval) -> &'static str {
    if approval.outdated { "open, but outdated" } else { approval_state(approval.state) }
}

/// What others wrote must not look like a line of its own.
fn on_one_line<const N: usize>(texts: [&String; N]) -> [String; N] {
    texts.map(|text| petsem_api::escaped(text, &[]))
}

pub(crate) fn approval_details(approval: &Approval) -> String {
    let Approval { id, summary, requester, reason, ends_at, key_digest, wanted, .. } = approval;
    let state = state_of_request(approval);
    let [summary, requester, reason] = on_one_line([summary, requester, reason]);
    let facts =
        format!("request {id} is {state} (until {ends_at}): {summary}, requested by {requester}: {reason}");
    let facts = match approval.outdated {
        true => format!(
            "{facts}\nwhat it would change has changed since, so it can no longer be approved: deny it, and request again"
        ),
        false => facts,
    };
    let facts = match key_digest {
        Some(_) => format!(
            "{facts}\nget the keys' digest from their owner, not from the requester, and type: petsem approve {id} \
             --key-digest DIGEST"
        ),
        None => facts,
    };
    // JSON escapes control characters in claims and URLs.
    match wanted {
        Some(wanted) => format!("{facts}\n{wanted:#}"),
        None => facts,
    }
}

pub(crate) fn approval_decided(approval: &Approval) -> String {
    let Approval { id, state, summary, requester, reason, .. } = approval;
    let [summary, requester, reason] = on_one_line([summary, requester, reason]);
    format!("request {id} is {}: {summary}, requested by {requester}: {reason}", approval_state(*state))
}

pub(crate) fn awaits_approval(approval: &Approval) -> String {
    let Approval { id, summary, ends_at, .. } = approval;
    let [summary] = on_one_line([summary]);
    let (digest, whose) = match &approval.key_digest {
        Some(_) => (
            " --key-digest DIGEST",
            "\nDIGEST is that of the keys; the person who approves gets it from their owner, not from you",
        ),
        None => ("", ""),
    };
    format!(
        "request {id} waits for a second person until {ends_at}: {summary}; that person types: petsem approve {id}{digest}\n\
         if there is no such person, the seal approves, on the node: `petsem operator approve {id}{digest} --config FILE` \
         (of `petsem dev`: petsem-dev/petsem.toml){whose}"
    )
}

/// A change that was only requested. Scripts read the exit status, people this.
pub(crate) fn not_changed_yet(approval: &Approval) -> Failure {
    Failure::new(
        Exit::AwaitsApproval,
        format!("nothing is changed yet: request {} waits for a second person", approval.id),
        "`petsem approve --list` shows whether it was approved; the exit status is 4",
    )
}

pub(crate) fn signing_key_state(state: SigningKeyState) -> &'static str {
    match state {
        SigningKeyState::Current => "signs new tokens",
        SigningKeyState::Verifying => "verifies older tokens",
        SigningKeyState::Revoked => REVOKED,
        _ => "unknown to this version",
    }
}

pub(crate) fn signing_key_rotated(key: &SigningKeyInfo) -> String {
    format!(
        "new tokens are signed with key {}; tokens of the previous key stay valid until they expire or it is revoked",
        key.id
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn waits(key_digest: Option<&str>) -> Approval {
        let mut approval = json!({
            "id": "0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00", "kind": "issuer", "summary": "register it", "asker": "kim",
            "reason": "", "state": "open", "asked_at": "2026-01-01T00:00:00.000Z",
            "ends_at": "2026-01-02T00:00:00Z",
        });
        if let Some(digest) = key_digest {
            approval["key_digest"] = json!(digest);
        }
        serde_json::from_value(approval).unwrap()
    }

    /// The command on the node was without the digest, and so refused.
    #[test]
    fn both_commands_that_approve_a_request_with_keys_have_the_digest() {
        let id = "0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00";
        let lines = |approval: &Approval| -> Vec<String> {
            awaits_approval(approval).lines().map(str::to_owned).collect()
        };
        let with = lines(&waits(Some("CANARY")));
        assert!(with[0].ends_with(&format!("types: petsem approve {id} --key-digest DIGEST")), "{}", with[0]);
        let seal = format!("`petsem operator approve {id} --key-digest DIGEST --config FILE`");
        assert!(with[1].contains(&seal), "{}", with[1]);
        assert!(with[2].starts_with("DIGEST is that of the keys"), "{}", with[2]);
        let without = lines(&waits(None));
        assert!(without[0].ends_with(&format!("types: petsem approve {id}")), "{}", without[0]);
        assert_eq!((without.len(), without.join("").contains("DIGEST")), (2, false));
        assert!(!with.join("").contains("CANARY"), "the requester does not tell the approver the digest");
    }

    #[test]
    fn a_change_that_only_waits_has_an_exit_status_of_its_own() {
        let failure = not_changed_yet(&waits(None));
        let fact =
            "nothing is changed yet: request 0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00 waits for a second person";
        assert_eq!((failure.exit.code(), failure.fact.as_str()), (4, fact));
    }
}
