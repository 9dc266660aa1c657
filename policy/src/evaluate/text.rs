//! The text that people read about JWTs and policies, with the types that carry it: a fact, then a hint.

use std::fmt;

use super::condition::Condition;
use super::rule_action::RuleAction;
use crate::text::Resource;

/// Why a key set cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JwksError {
    /// Over 256 KiB.
    #[error("the key set is longer than 256 KiB; give only the issuer's signing keys")]
    TooLong,
    /// Not the JSON of a key set.
    #[error("the key set is not JSON of the form {{\"keys\":[…]}}; give the issuer's JWKS")]
    Json(#[source] serde_json::Error),
    /// No key can verify any of the algorithms.
    #[error(
        "no key of the set can verify {algorithms}: {}; give the issuer's JWKS, and the algorithms of its keys",
        listed(left_out)
    )]
    NoUsableKey {
        /// The algorithms, in words.
        algorithms: String,
        /// The keys, each with its problem.
        left_out: Vec<LeftOutKey>,
    },
    /// A key with a private or symmetric part (RFC 7518 §6).
    #[error(
        "a key of the set has its private part ({member:?}); give public keys alone, and replace that key: others may have \
         seen it by now"
    )]
    PrivatePart {
        /// The member of the key, or `PRIVATE KEY-----` of a PEM.
        member: &'static str,
    },
}

/// Most keys that a refusal lists.
const KEYS_LISTED: usize = 4;

fn listed(left_out: &[LeftOutKey]) -> String {
    if left_out.is_empty() {
        return "it is empty".to_owned();
    }
    let mut keys: Vec<String> = left_out.iter().take(KEYS_LISTED).map(ToString::to_string).collect();
    if left_out.len() > KEYS_LISTED {
        keys.push(format!("and {} more", left_out.len() - KEYS_LISTED));
    }
    keys.join("; ")
}

/// A key of a set that is not used. Its text has the beginning of the key's id, on one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {position}{} {problem}", named(id.as_deref()))]
pub struct LeftOutKey {
    /// Its place in the set, from 1.
    pub position: usize,
    /// Its `kid`, if it has one.
    pub id: Option<String>,
    /// Why it is not used.
    pub problem: KeyProblem,
}

/// Characters of an id that are shown.
const ID_SHOWN: usize = 64;

fn named(id: Option<&str>) -> String {
    id.map_or_else(String::new, |id| format!(" ({:?})", id.chars().take(ID_SHOWN).collect::<String>()))
}

/// Why a key of a set is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyProblem {
    /// Not an object, or JSON that cannot be read.
    #[error("is not a JSON object")]
    NotAnObject,
    /// A private or symmetric part (RFC 7518 §6).
    #[error("has its private part ({member:?}), so others may have seen it; replace it")]
    PrivatePart {
        /// The member of the key, or `PRIVATE KEY-----` of a PEM.
        member: &'static str,
    },
    /// Another entry of the set has its private part.
    #[error("is also in the set with its private part, so others may have seen it; replace it")]
    Exposed,
    /// A kind without an [`super::Algorithm`].
    #[error("is not of kind RSA, EC (P-256, P-384, P-521) or OKP (Ed25519)")]
    Kind,
    /// `use` or `key_ops` name other uses.
    #[error("is not for verifying signatures, by its \"use\" or \"key_ops\"")]
    Use,
    /// `alg` is unknown, or not of the kind.
    #[error("has an unknown \"alg\", or one for another kind of key")]
    Algorithm,
    /// It serves only algorithms that are not registered.
    #[error("is for none of the registered algorithms")]
    NotRegistered,
    /// `kid` is not text.
    #[error("has a \"kid\" that is not text")]
    Id,
    /// A number is missing or cannot be read.
    #[error("has no {member:?}, or one that is not base64url of the right length")]
    Number {
        /// The member of the key.
        member: &'static str,
    },
    /// An RSA modulus below 2048 or above 8192 bits.
    #[error("has an RSA modulus of {bits} bits; 2048 to 8192 are accepted")]
    RsaLength {
        /// Its length.
        bits: usize,
    },
    /// An even number, or an exponent out of range.
    #[error("has an invalid RSA modulus or exponent")]
    RsaNumbers,
    /// A modulus that can be factored (CVE-2017-15361).
    #[error("can be factored (CVE-2017-15361); replace it")]
    Factorable,
    /// Not a point of the curve, or one by which anyone can sign (of small order, RFC 7748 §7).
    #[error("is not a valid point of its curve")]
    Point,
}

/// Why a JWT is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwtError {
    /// Over 16 KiB.
    #[error("the JWT is longer than 16 KiB; ask the issuer for fewer claims")]
    TooLong,
    /// Not three parts of base64url, or their content is not JSON objects with unique names.
    #[error("not a JWT; send the three base64url parts with dots between them")]
    NotAJwt,
    /// The header declares another purpose.
    #[error(
        "the JWT's typ is not one that its issuer is registered with; get one for this use, or register its typ"
    )]
    Type,
    /// The header requires an extension.
    #[error("the JWT requires an extension (crit, b64 or zip); issue it without")]
    Extension,
    /// The algorithm is not registered for the issuer.
    #[error("the JWT's algorithm is not registered for its issuer; register it")]
    Algorithm,
    /// `kid` is not text.
    #[error("the JWT's kid is not text; have the issuer correct it")]
    KeyId,
    /// The issuer has no key with this id. A caller may fetch its keys again.
    #[error("the issuer's key set has no key with the JWT's kid; publish or register that key")]
    UnknownKey,
    /// The issuer's key with this id is left out. A caller may fetch its keys again.
    #[error("the issuer's key with the JWT's kid {}; correct the issuer's key set", shown(*.0))]
    KeyLeftOut(KeyProblem),
    /// The issuer's key with this id is not for the algorithm.
    #[error("the issuer's key with the JWT's kid is for another algorithm; correct the alg of one of them")]
    KeyDoesNotFit,
    /// The JWT names no key, and none fits. A caller may fetch its keys, if it has none yet.
    #[error("the issuer's key set has no usable key for the JWT's algorithm; publish or register one")]
    NoKey,
    /// The JWT names no single key, and more keys fit than are tried.
    #[error("more than 8 keys of the issuer fit the JWT; have the issuer give each its own kid, in both")]
    TooManyKeys,
    /// The signature is wrong.
    #[error("the JWT's signature is wrong; get a new one from the issuer")]
    Signature,
    /// A required claim is missing or has a wrong value.
    #[error("the JWT's claim {0} is missing or wrong; have the issuer set it")]
    Claim(&'static str),
    /// The claim that the registration names as the audience is missing or has a wrong value.
    #[error(
        "the JWT's audience is missing or not registered, in the claim that its issuer is registered with; have the \
         issuer set it, or register it"
    )]
    AudienceClaim,
    /// The JWT is not valid yet.
    #[error("the JWT is not valid yet; check the clocks")]
    NotYetValid,
    /// The JWT has expired.
    #[error("the JWT has expired; get a new one from the issuer")]
    Expired,
    /// It lives longer than its use here allows.
    #[error(
        "the JWT lives longer from iat to exp than its issuer is registered with; ask the issuer for a shorter one, or \
         register its life"
    )]
    TooLongLived,
}

/// What a refused caller reads of a key: not that its private part is known.
fn shown(problem: KeyProblem) -> String {
    match problem {
        KeyProblem::PrivatePart { .. } | KeyProblem::Exposed => "is not used here".to_owned(),
        other => other.to_string(),
    }
}

impl JwtError {
    /// Whether the answer may be another with keys that the issuer published since.
    pub fn newer_keys_may_help(&self) -> bool {
        matches!(self, Self::UnknownKey | Self::KeyLeftOut(_) | Self::NoKey)
    }
}

/// Why a policy cannot be set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Over 64 KiB.
    #[error("the policy is longer than 64 KiB; use fewer rules, with patterns")]
    TooLong,
    /// Not the JSON of a policy, or with an unknown field or action.
    #[error("the policy does not parse ({0}); see `petsem policy show`")]
    Json(#[source] serde_json::Error),
    /// An unknown format version.
    #[error("policy format {0} is unknown; write \"format\": 1")]
    Format(u32),
    /// Over 100 rules.
    #[error("the policy has more than 100 rules; use patterns")]
    TooManyRules,
    /// Over 512 conditions.
    #[error("the policy has more than 512 conditions; use patterns, or split the app")]
    TooManyConditions,
    /// Over 128 comparisons of an item of a list.
    #[error(
        "the policy has more than 128 conditions for items of lists, each counted once and once more for each *; name \
         items exactly, or split the app"
    )]
    TooManyComparisons,
    /// A rule is wrong.
    #[error("rule {index} ({name:?}): {problem}")]
    Rule {
        /// Its index, from 0.
        index: usize,
        /// Its name.
        name: String,
        /// What is wrong.
        problem: RuleProblem,
    },
}

/// What is wrong with a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleProblem {
    /// The name is missing or too long.
    #[error("it has no name, or one over 128 bytes; name it")]
    Name,
    /// Another rule has the same name.
    #[error("another rule has this name; give each its own")]
    RepeatedName,
    /// Not exactly one of an issuer and a discharger.
    #[error("it must name an issuer or a discharger; write the iss or the location of a registered one")]
    Issuer,
    /// A rule for a discharger with what only applies to JWTs.
    #[error(
        "a rule for a discharger has the one action \"boot\", and besides its name at most the claim \"sub\""
    )]
    Discharger,
    /// No action, or a repeated one.
    #[error("it needs the actions \"boot\" or \"read_value\", each once")]
    Actions,
    /// An empty or overlong claim name, an empty pattern, or too many or no conditions.
    #[error(
        "a claim name or pattern is empty, a name is over 128 bytes, or a claim has none or more than 16 conditions; \
         correct it, or remove the claim"
    )]
    Claims,
    /// Not a JSON pointer with one to eight steps.
    #[error(
        "a key of \"pointers\" is no JSON pointer such as \"/realm_access/roles\", of at most 8 steps and 512 bytes"
    )]
    Pointer,
    /// It allows boot but does not bind app, machine and host.
    #[error("a rule that allows boot must bind app, machine and host to claims; add \"bind\"")]
    BindMissing,
    /// `bind` names a claim twice, or a claim with a reserved meaning.
    #[error("\"bind\" needs three different claims, none of them iss, aud, exp, iat or nbf")]
    Bind,
    /// It has `bind` but does not allow boot.
    #[error("\"bind\" is for the action \"boot\"; add that action, or remove \"bind\"")]
    BindWithoutBoot,
    /// It allows reading but names no secrets.
    #[error("a rule that allows reading must name secrets; add \"secrets\" with names or prefixes")]
    SecretsMissing,
    /// It names secrets but does not allow reading.
    #[error("\"secrets\" is for the action \"read_value\"; add that action, or remove \"secrets\"")]
    SecretsWithoutRead,
    /// It allows reading but requires no claim besides the issuer.
    #[error(
        "every JWT of the issuer could read; require a claim other than iss and aud with a pattern other than *; booleans \
         alone do not count"
    )]
    ReadsUnrestricted,
    /// Out of range.
    #[error("\"max_life_seconds\" must be between 1 and 86400, and at most 3600 in a rule that boots")]
    MaxLife,
    /// Audiences of a rule that boots, or too many or overlong ones.
    #[error(
        "\"audiences\" are at most 16 of 1 to 512 bytes, in a rule that does not boot: a JWT for another audience never \
         boots"
    )]
    Audiences,
}

/// No rule allows the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct PolicyDenial {
    /// What was requested.
    pub action: RuleAction,
    /// The nearest of the rules for that action; `None` if there is none.
    pub nearest: Option<Box<RuleRefusal>>,
}

impl PolicyDenial {
    fn text(&self) -> String {
        match &self.nearest {
            None => {
                let action = does(self.action);
                format!("no rule of the app's policy can {action}; add one with `petsem policy set`")
            }
            Some(refusal) => {
                let RuleRefusal { rule, reason } = &**refusal;
                format!("no rule of the app's policy allows this; the nearest, {rule:?}, {reason}")
            }
        }
    }
}

/// Why a rule does not allow the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRefusal {
    /// The rule's name.
    pub rule: String,
    /// What refused.
    pub reason: RuleReason,
}

/// Which part of a rule refused. It contains names of claims, but not their values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleReason {
    /// The rule is for another issuer.
    #[error("is for another issuer; add a rule for this one")]
    Issuer,
    /// The claim is missing.
    #[error("requires the claim {0}; have the issuer set it")]
    ClaimMissing(String),
    /// The claim has another type.
    #[error(
        "requires the claim {claim} as {}; have the issuer set it so, or change the condition",
        condition.claim_type()
    )]
    ClaimType {
        /// Its name, or the pointer to it.
        claim: String,
        /// The condition for another type.
        condition: Condition,
    },
    /// The claim does not match. The text does not show the condition: the refused may not know the policy.
    #[error("does not match the claim {claim}; compare its condition")]
    Claim {
        /// Its name, or the pointer to it.
        claim: String,
        /// The condition that does not hold.
        condition: Condition,
    },
    /// The JWT lives longer than the rule allows.
    #[error(
        "requires a JWT with a shorter lifetime; ask the issuer for one, or name it in \"max_life_seconds\""
    )]
    TooLongLived,
    /// The JWT was issued for an audience that the rule does not name.
    #[error("does not name the audience that the JWT was issued for; add it to \"audiences\"")]
    Audience,
    /// The JWT was issued for another audience than this installation, and such JWTs never boot.
    #[error("never boots with a JWT for another audience; get one for this installation's name")]
    ForeignBoot,
    /// The rule does not allow this action.
    #[error("does not {}; add another rule that does", does(*.0))]
    Action(RuleAction),
    /// The JWT was issued for another resource.
    #[error("binds the claim {claim}, which names another {resource}; get a JWT for this one")]
    Bound {
        /// The claim that names it.
        claim: String,
        /// The kind of resource.
        resource: Resource,
    },
    /// The rule does not name this secret.
    #[error("does not name this secret; if such JWTs may read it, add it to \"secrets\"")]
    Secret,
}

fn does(action: RuleAction) -> &'static str {
    match action {
        RuleAction::Boot => "boot Machines",
        RuleAction::ReadValue => "allow reading",
    }
}

/// A change after which a part of a rule would not refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The JWT: from this issuer.
    Issuer(String),
    /// The JWT: this claim as the conditions require.
    Claim {
        /// Its name, or the pointer to it.
        claim: String,
        /// The rule's conditions that it must satisfy.
        conditions: Vec<Condition>,
    },
    /// The JWT: this claim as exactly this text.
    Bound {
        /// Its name.
        claim: String,
        /// The required text.
        text: String,
    },
    /// The JWT: at most this long from `iat` to `exp`.
    Life {
        /// The longest lifetime that the rule allows.
        seconds: u32,
    },
    /// The JWT: for this installation.
    OwnAudience,
    /// The rule: name one of these audiences of the JWT.
    RuleAudience(Vec<String>),
    /// The rule: this claim's pattern, and then the JWT. The rule also binds the claim, and the pattern does not
    /// match the bound text: no JWT can satisfy both.
    RulePattern {
        /// Its name.
        claim: String,
        /// The text that the pattern must match.
        text: String,
    },
    /// Another rule: this one is not for the action. One that boots is never extended to read.
    OtherRule(RuleAction),
    /// The rule: add this secret.
    RuleSecret(String),
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer(issuer) => write!(out, "present a JWT of the issuer {issuer:?}"),
            Self::Claim { claim, conditions } => {
                let conditions: Vec<String> = conditions.iter().map(ToString::to_string).collect();
                write!(out, "have the issuer set the claim {claim} to {}", conditions.join(" and "))
            }
            Self::Bound { claim, text } => {
                write!(out, "present a JWT for this request, with the claim {claim} as {text:?}")
            }
            Self::Life { seconds } => {
                write!(out, "present a JWT that lives at most {seconds} s from iat to exp")
            }
            Self::OwnAudience => out.write_str("present a JWT whose audience is this installation's name"),
            Self::RuleAudience(audiences) => {
                write!(out, "if such JWTs may read, add one of {audiences:?} to the rule's \"audiences\"")
            }
            Self::RulePattern { claim, text } => write!(
                out,
                "the rule contradicts itself; let its pattern for the claim {claim} match {text:?}"
            ),
            Self::OtherRule(action) => write!(out, "add another rule: this one does not {}", does(*action)),
            Self::RuleSecret(secret) => {
                write!(out, "if such JWTs may read it, add {secret:?} to the names in the rule's \"secrets\"")
            }
        }
    }
}
