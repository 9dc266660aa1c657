//! Why was I denied? And of what is registered: guards, outside dischargers.

use super::*;

pub(crate) fn explained(explanation: &Explanation) -> String {
    let mut text = String::new();
    for token in &explanation.tokens {
        if token.refusals.is_empty() {
            text.push_str(&format!("token {} allows it\n", token.id));
            continue;
        }
        text.push_str(&format!("token {} refuses it\n", token.id));
        for refusal in &token.refusals {
            let reason = harmless(&format!("{} ({})", refusal.reason, refusal.code));
            match &refusal.caveat {
                Some(caveat) => text.push_str(&format!("  {}: {reason}\n", harmless(caveat))),
                None => text.push_str(&format!("  {reason}\n")),
            }
        }
    }
    text
}

pub(crate) fn not_allowed() -> Failure {
    Failure::new(
        Exit::Refused,
        "none of the tokens allows it",
        "tokens never add up: one alone has to allow all of it",
    )
}

pub(crate) fn offline_needs_ids() -> Failure {
    Failure::new(
        Exit::Usage,
        "--offline asks no server, which alone knows names",
        "give the id (`petsem app list`, `petsem org list`), or leave --offline out",
    )
}

pub(crate) fn discharge_missing(location: &str) -> ExplainedRefusal {
    ExplainedRefusal {
        caveat: Some(format!("only with a discharge from {location}")),
        code: "discharge_missing".to_owned(),
        reason: "there is none; get one there, and give both".to_owned(),
    }
}

pub(crate) fn of_discharge(kind: u64) -> String {
    format!("a condition of a discharge (type {kind})")
}

pub(crate) fn policy_tested(tested: &Tested) -> String {
    if let Some(rule) = &tested.allowed_by {
        return format!("rule {rule} allows it");
    }
    if tested.rules.is_empty() {
        return "the policy has no rule, and without one nothing is allowed".to_owned();
    }
    let mut text = String::new();
    for rule in &tested.rules {
        let nearest = if tested.nearest.as_ref() == Some(&rule.rule) { ", the nearest," } else { "" };
        text.push_str(&format!("rule {}{nearest} refuses it; it would pass with\n", rule.rule));
        for change in &rule.changes {
            text.push_str(&format!("  {change}\n"));
        }
    }
    text
}

pub(crate) fn policy_refuses() -> Failure {
    Failure::new(
        Exit::Refused,
        "no rule of the policy allows it",
        "change the JWT or, if it shall be allowed, a rule, and `petsem policy set` it",
    )
}

pub(crate) fn policy_unreadable(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, format!("the policy is not one: {error}"), "mend it and try again")
}

pub(crate) fn policy_not_text() -> Failure {
    Failure::new(Exit::Usage, "the policy is not UTF-8 text", "give JSON, as `petsem policy show` prints it")
}

pub(crate) fn claims_not_text() -> Failure {
    Failure::new(Exit::Usage, "the claims are not UTF-8 text", "give a JSON object, or a JWT")
}

pub(crate) fn no_claims(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, format!("these are no claims: {error}"), "give a JSON object, or a JWT")
}

pub(crate) fn nothing_to_test() -> Failure {
    Failure::new(Exit::Usage, "there is nothing to ask", "give --secret, or --machine and --host")
}

pub(crate) fn test_needs_app() -> Failure {
    Failure::new(
        Exit::Usage,
        "a policy from a file does not say which app it is of, and a boot is of one",
        "give the app's name as --app and its id as --app-id, or leave --policy out",
    )
}

pub(crate) fn org_guarded(org: &OrgRef, guarded: bool) -> String {
    if guarded {
        format!("in {org} a second person approves each policy with rules")
    } else {
        format!(
            "in {org} policies take effect at once; `petsem org guard {org} --on` asks for a second person"
        )
    }
}

pub(crate) fn no_shared_key() -> Failure {
    Failure::new(
        Exit::Usage,
        "this is no shared key",
        "give 32 bytes in base64, as the discharger shows them",
    )
}

pub(crate) fn no_discharger_id() -> Failure {
    Failure::new(
        Exit::Usage,
        "this is no discharger's id",
        "give 32 hex digits, as `petsem discharger list` shows",
    )
}

pub(crate) fn discharger_added(discharger: &Discharger) -> String {
    format!("the discharger at {} is registered as {}", discharger.location, discharger.id)
}

pub(crate) fn discharger_deleted(discharger: &Discharger) -> String {
    format!("the discharger {} at {} is deleted", discharger.id, discharger.location)
}
