//! An app's policy as its owner writes it: which JWTs may boot its Machines or read its secrets.
//!
//! Without a rule there is no access. A policy is stored as its owner's JSON text. A policy with a field or action
//! that this version does not know is refused, never partly applied.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::condition::Conditions;
use super::pointer;
use super::rule_action::RuleAction;
use super::text::{PolicyError, RuleProblem};
use super::unique::unique_map;

/// Most rules of one policy.
pub const MAX_RULES: usize = 100;
/// Most conditions of one policy.
pub(super) const MAX_POLICY_CONDITIONS: usize = 512;
/// Most comparisons of an item of a list: one for each condition that wants it, and one for each star.
pub(super) const MAX_ITEM_COMPARISONS: usize = 128;
/// Longest text of a policy, in bytes.
pub const MAX_POLICY_BYTES: usize = 64 * 1024;
/// The only format version.
const FORMAT: u32 = 1;
/// Longest name of a rule or a claim, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// Longest JSON pointer, in bytes.
const MAX_POINTER_BYTES: usize = 512;
/// Longest lifetime of a JWT that a registration of an issuer can state.
pub const MAX_LIFE_SECONDS: u32 = 24 * 60 * 60;
/// The same, of a JWT that boots.
pub const MAX_BOOT_LIFE_SECONDS: u32 = 60 * 60;
/// Most audiences of a rule or a registration.
pub const MAX_AUDIENCES: usize = 16;
/// Longest audience, in bytes.
const MAX_AUDIENCE_BYTES: usize = 512;

/// The rules of one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppPolicy {
    /// 1.
    pub format: u32,
    /// At most [`MAX_RULES`]. A request needs one rule that allows it.
    pub rules: Vec<Rule>,
}

/// A rule allows some JWTs some actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Names the rule in audit records and denials. Unique in the policy.
    pub name: String,
    /// The `iss` of a registered issuer; empty in a rule for a discharger.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub issuer: String,
    /// The location of an outside discharger, in place of an issuer: its grants count that name only a subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discharger: Option<String>,
    /// Claims by name, each with its conditions. In a rule for a discharger only `sub`, its subject, with patterns.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "unique_map")]
    pub claims: BTreeMap<String, Conditions>,
    /// Values within claims, by JSON pointer (RFC 6901) through objects only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "unique_map")]
    pub pointers: BTreeMap<String, Conditions>,
    /// The allowed actions.
    pub actions: Vec<RuleAction>,
    /// The secrets; only with `read_value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<SecretSelection>,
    /// The claims that name the boot; only with `boot`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind: Option<Bind>,
    /// Audiences besides this installation's name that the rule accepts; the issuer must be registered with them. Not
    /// with `boot`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// Longest lifetime of the JWT, from `iat` to `exp`, in seconds: at most 86400, with `boot` 3600. Without it 900, to
    /// boot 300. More than that counts only if the issuer is registered with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_life_seconds: Option<u32>,
}

/// Secrets by name and by prefix; the empty prefix matches every name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSelection {
    /// Exact names.
    #[serde(default)]
    pub names: Vec<String>,
    /// Prefixes of names.
    #[serde(default)]
    pub prefixes: Vec<String>,
}

/// The claims that name the boot that the JWT was issued for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bind {
    /// Holds the app's id (UUID text) or name.
    pub app: String,
    /// Holds the Machine.
    pub machine: String,
    /// Holds the host.
    pub host: String,
}

impl AppPolicy {
    /// Parses and validates a policy.
    ///
    /// # Errors
    /// [`PolicyError`] with the first wrong rule and its problem.
    pub fn parse(json: &str) -> Result<Self, PolicyError> {
        if json.len() > MAX_POLICY_BYTES {
            return Err(PolicyError::TooLong);
        }
        let policy: Self = serde_json::from_str(json).map_err(PolicyError::Json)?;
        policy.validate()?;
        Ok(policy)
    }

    /// Checks what the JSON types do not.
    ///
    /// # Errors
    /// [`PolicyError`] with the first wrong rule.
    pub fn validate(&self) -> Result<(), PolicyError> {
        if self.format != FORMAT {
            return Err(PolicyError::Format(self.format));
        }
        if self.rules.len() > MAX_RULES {
            return Err(PolicyError::TooManyRules);
        }
        let conditions = || self.rules.iter().flat_map(Rule::conditions);
        if conditions().map(|all| all.iter().count()).sum::<usize>() > MAX_POLICY_CONDITIONS {
            return Err(PolicyError::TooManyConditions);
        }
        if conditions().map(Conditions::comparisons_of_an_item).sum::<usize>() > MAX_ITEM_COMPARISONS {
            return Err(PolicyError::TooManyComparisons);
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let repeated = self.rules.iter().take(index).any(|other| other.name == rule.name);
            let problem = if repeated { Some(RuleProblem::RepeatedName) } else { rule.problem() };
            if let Some(problem) = problem {
                return Err(PolicyError::Rule { index, name: rule.name.clone(), problem });
            }
        }
        Ok(())
    }
}

impl Rule {
    fn problem(&self) -> Option<RuleProblem> {
        let boots = self.actions.contains(&RuleAction::Boot);
        let reads = self.actions.contains(&RuleAction::ReadValue);
        let is_name = |text: &str| (1..=MAX_NAME_BYTES).contains(&text.len());
        if !is_name(&self.name) {
            return Some(RuleProblem::Name);
        }
        match (&self.discharger, self.issuer.is_empty()) {
            (None, false) => {}
            (Some(location), true) if !location.is_empty() => return self.problem_of_discharger(),
            _ => return Some(RuleProblem::Issuer),
        }
        if !(boots || reads) || self.actions.len() != usize::from(boots) + usize::from(reads) {
            return Some(RuleProblem::Actions);
        }
        if !self.claims.keys().all(|name| is_name(name)) || !self.conditions().all(Conditions::are_valid) {
            return Some(RuleProblem::Claims);
        }
        let is_pointer = |text: &String| text.len() <= MAX_POINTER_BYTES && pointer::steps(text).is_some();
        if !self.pointers.keys().all(is_pointer) {
            return Some(RuleProblem::Pointer);
        }
        match &self.bind {
            None if boots => return Some(RuleProblem::BindMissing),
            Some(_) if !boots => return Some(RuleProblem::BindWithoutBoot),
            Some(bind) if !bind.is_valid() => return Some(RuleProblem::Bind),
            _ => {}
        }
        match &self.secrets {
            None if reads => return Some(RuleProblem::SecretsMissing),
            Some(_) if !reads => return Some(RuleProblem::SecretsWithoutRead),
            Some(selection) if selection.names.is_empty() && selection.prefixes.is_empty() => {
                return Some(RuleProblem::SecretsMissing);
            }
            _ => {}
        }
        // Without a restricting claim, every JWT of the issuer could read.
        if reads && !self.restricts() {
            return Some(RuleProblem::ReadsUnrestricted);
        }
        if !are_audiences(&self.audiences) || (boots && !self.audiences.is_empty()) {
            return Some(RuleProblem::Audiences);
        }
        let most = if boots { MAX_BOOT_LIFE_SECONDS } else { MAX_LIFE_SECONDS };
        match self.max_life_seconds {
            Some(longest) if !(1..=most).contains(&longest) => Some(RuleProblem::MaxLife),
            _ => None,
        }
    }

    /// Whether a condition tells JWTs of the issuer apart. Every JWT has the issuer and an audience.
    fn restricts(&self) -> bool {
        let of_all = |name: &str| ["iss", "aud", "exp", "iat", "nbf"].contains(&name);
        let claims = self.claims.iter().filter(|(name, _)| !of_all(name));
        let pointers = self.pointers.iter().filter(|(path, _)| {
            !pointer::steps(path).is_some_and(|steps| steps.first().is_some_and(|first| of_all(first)))
        });
        claims.chain(pointers).any(|(_, conditions)| conditions.restrict())
    }

    fn conditions(&self) -> impl Iterator<Item = &Conditions> {
        self.claims.values().chain(self.pointers.values())
    }

    /// The grant itself names app, Machine and host, and lives as long as its discharger says.
    fn problem_of_discharger(&self) -> Option<RuleProblem> {
        let fits = self.actions == [RuleAction::Boot]
            && self.bind.is_none()
            && self.secrets.is_none()
            && self.max_life_seconds.is_none()
            && self.pointers.is_empty()
            && self.audiences.is_empty()
            && self.claims.iter().all(|(name, all)| name == "sub" && all.are_texts() && all.are_valid());
        (!fits).then_some(RuleProblem::Discharger)
    }
}

impl SecretSelection {
    /// Whether the selection contains the secret.
    pub fn selects(&self, secret: &str) -> bool {
        self.names.iter().any(|name| name == secret)
            || self.prefixes.iter().any(|prefix| secret.starts_with(prefix.as_str()))
    }
}

impl Bind {
    fn is_valid(&self) -> bool {
        are_boot_claims(&[&self.app, &self.machine, &self.host])
    }
}

/// Whether these can be audiences: at most sixteen of 1 to 512 bytes.
pub fn are_audiences(audiences: &[String]) -> bool {
    audiences.len() <= MAX_AUDIENCES
        && audiences.iter().all(|audience| (1..=MAX_AUDIENCE_BYTES).contains(&audience.len()))
}

/// Whether this can be the claim that is the audience: none with another meaning, which would then decide both.
pub fn is_audience_claim(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && !name.contains(char::is_control)
        && !["iss", "sub", "exp", "iat", "nbf", "jti"].contains(&name)
}

/// Whether these can be the claims that name a boot: all different, none with a reserved meaning.
pub fn are_boot_claims(names: &[&str]) -> bool {
    const RESERVED: [&str; 5] = ["iss", "aud", "exp", "iat", "nbf"];
    names.iter().enumerate().all(|(index, name)| {
        (1..=MAX_NAME_BYTES).contains(&name.len())
            && !RESERVED.contains(name)
            && !names.iter().take(index).any(|other| other == name)
    })
}
