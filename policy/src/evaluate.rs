//! What only a server decides (feature `evaluate`): is a JWT good, and does an app's policy accept it.
//!
//! Both are data in, data out: keys, time and claims are arguments, and a refusal says which rule and claim.

mod decide;
mod explain;
mod jwks;
mod jwt;
mod pattern;
mod roca;
mod rules;
mod text;
mod unique;

pub use decide::{Allowed, BootRequest, PolicyDenial, PolicyQuestion, RuleReason, RuleRefusal};
pub use explain::{Change, ExplainedRefusal, Explanation, RuleExplanation};
pub use jwks::{Algorithm, Jwks, JwksError, MAX_JWKS_BYTES};
pub use jwt::{Claims, Issuer, JwtError, MAX_JWT_BYTES, UnverifiedIssuer, issuer_of, verify_jwt};
pub use pattern::Pattern;
pub use rules::{
    AppPolicy, Bind, MAX_POLICY_BYTES, MAX_RULES, PolicyError, Rule, RuleAction, RuleProblem, SecretSelection,
};

#[cfg(test)]
mod tests;
