//! What people read about JWTs and policies: fact, then hint.

use std::fmt;

use super::decide::{PolicyDenial, RuleReason};
use super::explain::Change;
use super::jwks::JwksError;
use super::jwt::JwtError;
use super::rules::{PolicyError, RuleAction, RuleProblem};

pub(super) fn jwks_error(error: &JwksError) -> &'static str {
    match error {
        JwksError::TooLong => "the key set is longer than 256 KiB; give the issuer's signing keys only",
        JwksError::Json(_) => "the key set is not JSON of the form {\"keys\":[…]}; give the issuer's JWKS",
        JwksError::NoUsableKey => {
            "the key set has no signing key of RSA (2048 to 8192 bits), P-256, P-384 or Ed25519; give the issuer's JWKS"
        }
        JwksError::RepeatedId => "two keys of the set have one kid; give each its own",
    }
}

pub(super) fn jwt_error(error: JwtError, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    out.write_str(match error {
        JwtError::TooLong => "the JWT is longer than 16 KiB; ask the issuer for fewer claims",
        JwtError::NotAJwt => "this is no JWT; send the three base64url parts with dots between them",
        JwtError::Type => "the JWT was made for another purpose (typ); ask for one of typ JWT or at+jwt",
        JwtError::Extension => "the JWT asks for an extension (crit, b64 or zip); issue it without",
        JwtError::Algorithm => {
            "the JWT's algorithm is not one that its issuer is registered with; register it"
        }
        JwtError::UnknownKey => {
            "the issuer has no such key for the algorithm; check kid and the registered keys"
        }
        JwtError::Signature => "the JWT's signature is wrong; get a new one from the issuer",
        JwtError::NotYetValid => "the JWT's time has not come; check the clocks",
        JwtError::Expired => "the JWT's time is over; get a new one from the issuer",
        JwtError::TooLongLived => "the JWT lives too long from iat to exp; ask the issuer for a shorter one",
        JwtError::Claim(name) => {
            return write!(out, "the JWT's claim {name} is missing or wrong; have the issuer set it");
        }
    })
}

pub(super) fn policy_error(error: &PolicyError, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        PolicyError::TooLong => {
            out.write_str("the policy is longer than 64 KiB; use fewer rules, with patterns")
        }
        PolicyError::Json(source) => {
            write!(out, "the policy does not read ({source}); see `petsem policy show`")
        }
        PolicyError::Format(version) => {
            write!(out, "policy format {version} is not known; write \"format\": 1")
        }
        PolicyError::TooManyRules => out.write_str("the policy has more than 100 rules; use patterns"),
        PolicyError::Rule { index, name, problem } => {
            write!(out, "rule {index} ({name:?}): {}", rule_problem(*problem))
        }
    }
}

fn rule_problem(problem: RuleProblem) -> &'static str {
    match problem {
        RuleProblem::Name => "it has no name, or one over 128 bytes; name it",
        RuleProblem::RepeatedName => "another rule has this name; give each its own",
        RuleProblem::Issuer => "it names no issuer; write the iss of a registered one",
        RuleProblem::Actions => "it needs the actions \"boot\" or \"read_value\", each once",
        RuleProblem::Claims => "a claim name or pattern is empty; write it, or leave the claim out",
        RuleProblem::BindMissing => {
            "a rule that lets boot binds app, machine and host to claims; add \"bind\""
        }
        RuleProblem::Bind => "\"bind\" needs three different claims, none of iss, aud, exp, iat, nbf",
        RuleProblem::BindWithoutBoot => "\"bind\" is for the action \"boot\"; add that, or leave bind out",
        RuleProblem::SecretsMissing => {
            "a rule that lets read names secrets; add \"secrets\" with names or prefixes"
        }
        RuleProblem::SecretsWithoutRead => {
            "\"secrets\" is for the action \"read_value\"; add that, or leave secrets out"
        }
        RuleProblem::ReadsForEverybody => {
            "it lets everybody read whom the issuer knows; ask for a claim with a pattern that is not only *"
        }
        RuleProblem::MaxLife => "\"max_life_seconds\" is between 1 and 900",
    }
}

pub(super) fn policy_denial(denial: &PolicyDenial, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(nearest) = &denial.nearest else {
        return out.write_str(
            "the app's policy has no rules, so nothing is allowed; set one with `petsem policy set`",
        );
    };
    write!(out, "no rule of the app's policy allows this; the nearest, {:?}, ", nearest.rule)?;
    match &nearest.reason {
        RuleReason::Issuer => out.write_str("is for another issuer; add a rule for this one"),
        RuleReason::ClaimMissing(claim) => write!(out, "needs the claim {claim}; have the issuer set it"),
        RuleReason::ClaimNotText(claim) => {
            write!(out, "needs the claim {claim} as text; have the issuer set it so")
        }
        RuleReason::Claim(claim) => write!(out, "does not match the claim {claim}; compare its pattern"),
        RuleReason::TooLongLived => {
            out.write_str("asks for a JWT with a shorter life; ask the issuer for one")
        }
        RuleReason::Action(RuleAction::Boot) => {
            out.write_str("does not let boot; add the action and \"bind\"")
        }
        RuleReason::Action(RuleAction::ReadValue) => {
            out.write_str("does not let read; add the action and \"secrets\"")
        }
        RuleReason::Bound { claim, resource } => {
            write!(out, "binds claim {claim}, which names another {resource}; get a JWT for this one")
        }
        RuleReason::Secret => out.write_str("does not name this secret; add it to \"secrets\""),
    }
}

pub(super) fn change(change: &Change, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    match change {
        Change::Issuer(issuer) => write!(out, "present a JWT of the issuer {issuer:?}"),
        Change::Claim { claim, pattern } => {
            write!(out, "have the issuer set the claim {claim} to text that matches {:?}", pattern.as_str())
        }
        Change::Bound { claim, text } => {
            write!(out, "present a JWT that was made for this: with the claim {claim} as {text:?}")
        }
        Change::Life { seconds } => {
            write!(out, "present a JWT that lives at most {seconds} s from iat to exp")
        }
        Change::RulePattern { claim, text } => {
            write!(out, "the rule contradicts itself; let its pattern for the claim {claim} match {text:?}")
        }
        Change::RuleAction(RuleAction::Boot) => out.write_str(
            "add the action \"boot\" to the rule, and \"bind\" with the claims for app, machine and host",
        ),
        Change::RuleAction(RuleAction::ReadValue) => {
            out.write_str("add the action \"read_value\" to the rule, and \"secrets\" with the names")
        }
        Change::RuleSecret(secret) => write!(out, "add {secret:?} to the names of the rule's \"secrets\""),
    }
}
