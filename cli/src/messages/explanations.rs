//! Why a token or a policy denies a request.

use std::path::Path;

use petsem_api::{AppRef, ExplainedRefusal, Explanation, escaped};
use petsem_policy::evaluate::{PolicyError, RuleAction, RuleReason};

use super::phrasing::file_name;
use super::tokens::time_text;
use crate::commands::{TakenAway, Unmatched};
use crate::failure::{Exit, Failure};
use crate::report::PolicyTest;

pub(crate) fn token_explanation(explanation: &Explanation) -> String {
    let mut text = String::new();
    for token in &explanation.tokens {
        if token.refusals.is_empty() {
            text.push_str(&format!("token {} allows the request\n", token.id));
            continue;
        }
        text.push_str(&format!("token {} refuses the request\n", token.id));
        for refusal in &token.refusals {
            let reason = escaped(&format!("{} ({})", refusal.reason, refusal.code), &[]);
            match &refusal.caveat {
                Some(caveat) => text.push_str(&format!("  {}: {reason}\n", escaped(caveat, &[]))),
                None => text.push_str(&format!("  {reason}\n")),
            }
        }
    }
    text
}

pub(crate) fn not_allowed() -> Failure {
    Failure::new(
        Exit::Refused,
        "no token allows the request",
        "tokens do not add up: a single one must allow all of it",
    )
}

pub(crate) fn offline_needs_ids() -> Failure {
    Failure::new(
        Exit::Usage,
        "--offline calls no server, and only the server can resolve names",
        "give the id (`petsem app list`, `petsem org list`), or omit --offline",
    )
}

pub(crate) fn discharge_missing(location: &str) -> ExplainedRefusal {
    ExplainedRefusal {
        caveat: Some(format!("only with a discharge from {location}")),
        code: "discharge_missing".to_owned(),
        reason: "there is no such discharge; get one there, and give both".to_owned(),
    }
}

pub(crate) fn discharge_caveat(kind: u64) -> String {
    format!("a caveat of a discharge (type {kind})")
}

/// Before what a change takes away that waits for a second person.
pub(crate) const ONCE_APPROVED: &str = "once it is approved, ";

/// A rule of the policy before, with what it allowed: nothing stores it.
pub(crate) fn rule_taken_away(lost: &TakenAway<'_>) -> String {
    let TakenAway { rule, actions } = lost;
    let who = match &rule.discharger {
        Some(location) => format!("what {location} vouches for"),
        None => format!("JWTs of {}", rule.issuer),
    };
    let may = match actions.as_slice() {
        [RuleAction::Boot] => "boot",
        [RuleAction::ReadValue] => "read all that they could",
        _ => "boot, nor read all that they could",
    };
    let was = serde_json::to_string(rule).unwrap_or_default();
    format!(
        "{who} that the rule {} accepted can no longer {may}, unless another rule lets them; it was {}",
        rule.name,
        escaped(&was, &[])
    )
}

pub(crate) fn no_rule_boots(app: &AppRef) -> String {
    format!(
        "this policy has no rule that boots: no Machine of {app} boots any more, also not by a renewal that a host has"
    )
}

pub(crate) fn no_rule_at_all(app: &AppRef) -> String {
    format!("this policy has no rules: nothing boots, and no workload reads a secret of {app} any more")
}

/// A rule may be set before its secrets are.
pub(crate) fn unmatched(found: &Unmatched<'_>, app: &AppRef) -> String {
    match found {
        Unmatched::Name { rule, name } => {
            format!("the rule {rule} names the secret {name}, and {app} has none of that name now")
        }
        Unmatched::Prefix { rule, prefix } => {
            format!("the rule {rule} names the prefix {prefix}, and no secret of {app} begins with it now")
        }
    }
}

pub(crate) fn no_rule_reads(app: &AppRef) -> String {
    format!("this policy has no rule that reads: no workload reads a secret of {app} any more")
}

/// What a server checks before it asks the policy, and only it can.
const NOT_TESTED: &str =
    "not tested: the JWT's signature and type, what its issuer is registered with, and revocations";

pub(crate) fn policy_tested(tested: &PolicyTest) -> String {
    let mut text = decided(tested);
    for check in tested.jwt.iter().map(String::as_str).chain([NOT_TESTED]) {
        text.push_str(&format!("{check}\n"));
    }
    text
}

/// The policy is only one of the checks.
pub(crate) fn jwt_expiry(exp: i64, is_over: bool) -> String {
    let at = time_text(exp);
    if is_over {
        format!("the JWT has EXPIRED, at {at}: every server refuses it, whatever the policy says")
    } else {
        format!("the JWT expires at {at}")
    }
}

pub(crate) const NO_EXPIRY: &str = "the JWT's expiry is not tested: the claims have no `exp`, and a server refuses a JWT \
     without it";
/// The JWT's `aud`, as JSON.
pub(crate) fn jwt_audience(audience: Option<&str>) -> String {
    let audience = audience.map_or_else(|| "missing".to_owned(), |audience| escaped(audience, &[]));
    format!(
        "the JWT's `aud` is {audience}, not tested: it must be the `name` of the server's configuration, unless the issuer's \
         registration and the rule name another one"
    )
}

fn decided(tested: &PolicyTest) -> String {
    if let Some(rule) = &tested.allowed_by {
        return format!("rule {rule} allows the request\n");
    }
    if tested.rules.is_empty() {
        return "the policy has no rules, so nothing is allowed\n".to_owned();
    }
    let mut text = String::new();
    for rule in &tested.rules {
        let nearest = if tested.nearest.as_ref() == Some(&rule.rule) { " (the nearest)" } else { "" };
        text.push_str(&format!("rule {}{nearest} refuses the request; to allow it:\n", rule.rule));
        for change in &rule.changes {
            text.push_str(&format!("  {change}\n"));
        }
    }
    text
}

/// A change, and what the claims have now.
pub(crate) fn needed_change(refusal: &petsem_policy::evaluate::ExplainedRefusal) -> String {
    match (&refusal.had, &refusal.reason) {
        (Some(had), _) => format!("{}; it is {had}", refusal.change),
        (None, RuleReason::ClaimMissing(_)) => format!("{}; it is missing", refusal.change),
        (None, _) => refusal.change.to_string(),
    }
}

pub(crate) fn policy_refuses() -> Failure {
    Failure::new(
        Exit::Refused,
        "no rule of the policy allows the request",
        "change the JWT or, if the request should be allowed, a rule, and set it with `petsem policy set`",
    )
}

/// A policy of a file, or of the server.
pub(crate) fn invalid_policy(file: Option<&Path>, error: &PolicyError) -> Failure {
    let file = file.map_or_else(String::new, |file| format!("{}: ", file_name(file)));
    Failure::new(Exit::Usage, format!("{file}invalid policy: {error}"), "correct it and try again")
}

pub(crate) fn policy_not_text() -> Failure {
    Failure::new(Exit::Usage, "the policy is not UTF-8 text", "give JSON, as `petsem policy show` prints it")
}

pub(crate) fn claims_not_text() -> Failure {
    Failure::new(Exit::Usage, "the claims are not UTF-8 text", "give a JSON object, or a JWT")
}

pub(crate) fn invalid_claims(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, format!("invalid claims: {error}"), "give a JSON object, or a JWT")
}

pub(crate) fn nothing_to_test() -> Failure {
    Failure::new(Exit::Usage, "no request given to test", "give --secret, or --machine and --host")
}

pub(crate) fn test_needs_app() -> Failure {
    Failure::new(
        Exit::Usage,
        "a policy file does not name its app, and a boot is for one app",
        "give the app's name as --app and its id as --app-id, or omit --policy",
    )
}
