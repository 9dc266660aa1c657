//! Decisions that only a server makes (feature `evaluate`): whether a JWT is valid, and whether an app's policy
//! allows it.
//!
//! Keys, time and claims are arguments; the result is data: a refusal names the rule and the claim.

mod algorithm;
mod condition;
mod decide;
mod explain;
mod jwk;
mod jwks;
mod jwt;
mod pattern;
mod pointer;
mod readable;
mod roca;
mod rule_action;
mod rules;
mod text;
mod unique;

pub use algorithm::Algorithm;
pub use condition::{ClaimType, Condition, Conditions, MAX_CONDITIONS, Scalar};
pub use decide::{Allowed, BOOT_LIFE_SECONDS, BootRequest, PolicyQuestion, READ_LIFE_SECONDS};
pub use explain::{ExplainedRefusal, Explanation, RuleExplanation};
pub use jwks::{Jwks, MAX_JWKS_BYTES, MAX_KEYS_TRIED};
pub use jwt::{Claims, Issuer, JwtTypes, MAX_JWT_BYTES, UnverifiedIssuer, issuer_of, key_id_of, verify_jwt};
pub use pattern::Pattern;
pub use readable::ReadableSecrets;
pub use rule_action::RuleAction;
pub use rules::{
    AppPolicy, Bind, MAX_AUDIENCES, MAX_BOOT_LIFE_SECONDS, MAX_LIFE_SECONDS, MAX_POLICY_BYTES, MAX_RULES,
    Rule, SecretSelection, are_audiences, are_boot_claims, is_audience_claim,
};
pub use text::{
    Change, JwksError, JwtError, KeyProblem, LeftOutKey, PolicyDenial, PolicyError, RuleProblem, RuleReason,
    RuleRefusal,
};

#[cfg(test)]
mod tests;
