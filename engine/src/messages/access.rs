//! Decisions: what a verified credential does not allow.

use std::error::Error;

use petsem_api::{ErrorCode, escaped};
use petsem_policy::{Action, Denial};

use crate::error::Failure;

/// Why a token of another org is refused.
pub(crate) const OTHER_ORG: &str = "the token's key belongs to another org than the request; use a token of the request's org, or an operator's";

/// The code of [`OTHER_ORG`] in an explanation.
pub(crate) const OTHER_ORG_CODE: &str = "other_org";
/// Why an operator's token, and one that was minted from it, uses no secret keys.
pub(crate) const PLATFORM_USES_NO_KEYS: &str = "an operator's token, and a token minted from one, never uses secret \
     keys; use a token of the org's owner: `petsem operator owner` creates it on the node";
/// The code of [`PLATFORM_USES_NO_KEYS`] in an explanation.
pub(crate) const PLATFORM_CODE: &str = "platform";
/// The code in an explanation if the rule behind an exchanged token refuses.
pub(crate) const RULE_CODE: &str = "rule";

/// A refusal whose text is that of the error: those of `petsem-policy` and `petsem-keys` have their own hints. The type
/// keeps out texts that were put together elsewhere.
pub(crate) fn refused(code: ErrorCode, error: &dyn Error) -> Failure {
    Failure::new(code, error.to_string())
}

/// A refusal by a caveat of the holder's own token: what it is, and what the request has that it does not allow.
pub(crate) fn denied(code: ErrorCode, denial: &Denial, caveat: &str, had: Option<&str>) -> Failure {
    const SHOWN: usize = 160;
    let mut described: String = caveat.chars().take(SHOWN).collect();
    if described.len() < caveat.len() {
        described.push('…');
    }
    let described = escaped(&described, &[]);
    let place = denial.caveat.map_or_else(String::new, |place| format!(", {place}"));
    let reason = denial.reason.to_string();
    let (fact, hint) = reason.split_once("; ").unwrap_or((&reason, "use another token"));
    let had = had.map_or_else(String::new, |had| format!(", {had}"));
    Failure::new(code, format!("token {}{place}, \"{described}\": {fact}{had}; {hint}", denial.token))
}

pub(crate) fn of_other_org() -> Failure {
    Failure::new(ErrorCode::Forbidden, OTHER_ORG)
}

pub(crate) fn platform_uses_no_keys() -> Failure {
    Failure::new(ErrorCode::Forbidden, PLATFORM_USES_NO_KEYS)
}

/// One text for all: it must not reveal whether the other app belongs to the same org.
pub(crate) fn discharge_for_another_boot() -> Failure {
    Failure::new(
        ErrorCode::DischargeInvalid,
        "the discharge is for another boot; ask for one for this app, Machine and host",
    )
}

/// Hosts must not learn which apps exist.
pub(crate) fn boot_not_allowed() -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        "there is no such app, or the host token does not allow boots of it; check the app and the token with `petsem token inspect`",
    )
}

/// Whether the app exists or not.
pub(crate) fn app_not_allowed(action: Action) -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        format!(
            "there is no such app, or this token does not allow {action} there; check the app's name and the token with `petsem token inspect`"
        ),
    )
}

/// The refusal for an app that does not exist, for principals that may know.
pub fn no_such_app() -> Failure {
    Failure::new(ErrorCode::NotFound, "there is no such app; list the apps with `petsem app list`")
}

pub(crate) fn unknown_action() -> Failure {
    let known: Vec<&str> = Action::ALL.into_iter().map(Action::name).collect();
    Failure::new(ErrorCode::BadRequest, format!("unknown action; the actions are {}", known.join(", ")))
}

/// A caveat of a discharge. Its text comes from its discharger, so only the type is shown.
pub(crate) fn discharge_condition(kind: u64) -> String {
    format!("a condition of a discharge (type {kind})")
}
