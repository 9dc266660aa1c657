//! An app's policy as its owner writes it: which JWTs may boot its Machines or read its secrets.
//!
//! No rule, no access. A policy is stored as the JSON text that its owner wrote; a record with a field or an
//! action that this version does not know is refused, never half understood.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::pattern::Pattern;
use super::unique::unique_map;

/// Most rules of one policy.
pub const MAX_RULES: usize = 100;
/// Longest text of a policy, in bytes.
pub const MAX_POLICY_BYTES: usize = 64 * 1024;
/// The one format version.
const FORMAT: u32 = 1;
/// Longest name of a rule or a claim, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// No JWT that is used directly lives longer.
const MAX_LIFE_SECONDS: u32 = 900;

/// The rules of one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppPolicy {
    /// 1.
    pub format: u32,
    /// At most [`MAX_RULES`]. One that allows is enough.
    pub rules: Vec<Rule>,
}

/// One way in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Names the rule in audit lines and denials. Unique in the policy.
    pub name: String,
    /// The `iss` of a registered issuer.
    pub issuer: String,
    /// Claims that must be text and match.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "unique_map")]
    pub claims: BTreeMap<String, Pattern>,
    /// What is allowed.
    pub actions: Vec<RuleAction>,
    /// Which secrets; for `read_value`, and only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<SecretSelection>,
    /// Which claims name what is booted; for `boot`, and only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind: Option<Bind>,
    /// Longest life of the JWT, `iat` to `exp`; at most 900.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_life_seconds: Option<u32>,
}

/// What a rule can allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RuleAction {
    /// Boot a Machine.
    Boot,
    /// Read values.
    ReadValue,
}

/// Secrets by name and by prefix; the empty prefix is every name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSelection {
    /// Exact names.
    #[serde(default)]
    pub names: Vec<String>,
    /// Beginnings of names.
    #[serde(default)]
    pub prefixes: Vec<String>,
}

/// The claims that must say which boot the JWT was made for.
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
    /// Reads and validates a policy.
    ///
    /// # Errors
    /// [`PolicyError`] with the rule and what is wrong with it.
    pub fn parse(json: &str) -> Result<Self, PolicyError> {
        if json.len() > MAX_POLICY_BYTES {
            return Err(PolicyError::TooLong);
        }
        let policy: Self = serde_json::from_str(json).map_err(PolicyError::Json)?;
        policy.validate()?;
        Ok(policy)
    }

    /// Checks what the shape alone does not say.
    ///
    /// # Errors
    /// [`PolicyError`] with the first rule that is wrong.
    pub fn validate(&self) -> Result<(), PolicyError> {
        if self.format != FORMAT {
            return Err(PolicyError::Format(self.format));
        }
        if self.rules.len() > MAX_RULES {
            return Err(PolicyError::TooManyRules);
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
        let named = |text: &str| !text.is_empty() && text.len() <= MAX_NAME_BYTES;
        if !named(&self.name) {
            return Some(RuleProblem::Name);
        }
        if self.issuer.is_empty() {
            return Some(RuleProblem::Issuer);
        }
        if !(boots || reads) || self.actions.len() != usize::from(boots) + usize::from(reads) {
            return Some(RuleProblem::Actions);
        }
        if !self.claims.keys().all(|name| named(name))
            || self.claims.values().any(|text| text.as_str().is_empty())
        {
            return Some(RuleProblem::Claims);
        }
        match &self.bind {
            None if boots => return Some(RuleProblem::BindMissing),
            Some(_) if !boots => return Some(RuleProblem::BindWithoutBoot),
            Some(bind) if !bind.is_sound() => return Some(RuleProblem::Bind),
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
        // Without a claim that says something, everybody whom the issuer knows would read.
        if reads && self.claims.values().all(Pattern::matches_everything) {
            return Some(RuleProblem::ReadsForEverybody);
        }
        match self.max_life_seconds {
            Some(0) => Some(RuleProblem::MaxLife),
            Some(longest) if longest > MAX_LIFE_SECONDS => Some(RuleProblem::MaxLife),
            _ => None,
        }
    }
}

impl SecretSelection {
    /// Whether the secret is one of them.
    pub fn selects(&self, secret: &str) -> bool {
        self.names.iter().any(|name| name == secret)
            || self.prefixes.iter().any(|prefix| secret.starts_with(prefix.as_str()))
    }
}

impl Bind {
    /// Three different claims, none of which says something else already.
    fn is_sound(&self) -> bool {
        const TAKEN: [&str; 5] = ["iss", "aud", "exp", "iat", "nbf"];
        let names = [self.app.as_str(), self.machine.as_str(), self.host.as_str()];
        self.app != self.machine
            && self.app != self.host
            && self.machine != self.host
            && names
                .iter()
                .all(|name| !name.is_empty() && name.len() <= MAX_NAME_BYTES && !TAKEN.contains(name))
    }
}

/// Why a policy cannot be set.
#[derive(Debug)]
#[non_exhaustive]
pub enum PolicyError {
    /// Over 64 KiB.
    TooLong,
    /// Not the JSON of a policy, or a field or action that is not known.
    Json(serde_json::Error),
    /// An unknown format version.
    Format(u32),
    /// Over 100 rules.
    TooManyRules,
    /// A rule is wrong.
    Rule {
        /// Its place, from 0.
        index: usize,
        /// Its name.
        name: String,
        /// What is wrong.
        problem: RuleProblem,
    },
}

/// What is wrong with a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuleProblem {
    /// No name, or a very long one.
    Name,
    /// Another rule has its name.
    RepeatedName,
    /// No issuer.
    Issuer,
    /// No action, or one twice.
    Actions,
    /// An empty claim name or pattern.
    Claims,
    /// It lets boot, and does not bind app, machine and host.
    BindMissing,
    /// `bind` names one claim twice, or one that has another meaning.
    Bind,
    /// It binds, and does not let boot.
    BindWithoutBoot,
    /// It lets read, and names no secrets.
    SecretsMissing,
    /// It names secrets, and does not let read.
    SecretsWithoutRead,
    /// It lets read, and asks for no claim but the issuer.
    ReadsForEverybody,
    /// Not between 1 and 900 seconds.
    MaxLife,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::text::policy_error(self, out)
    }
}

impl std::error::Error for PolicyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(source) => Some(source),
            _ => None,
        }
    }
}
