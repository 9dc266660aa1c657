//! `petsem secrets get`: nobody reads a value alone, so it says who can read this one, and how.

use clap::Args;
use petsem_api::{AppRef, AppSecret, PolicyDocument, SecretList, SecretName};
use petsem_policy::Action;
use petsem_policy::evaluate::SecretSelection;
use serde::Serialize;
use serde_json::Value;

use crate::arguments::{AppArguments, secret_name};
use crate::failure::Failure;
use crate::held_token::held;
use crate::remote::Remote;
use crate::{clock, messages, output, value_source};

/// Show who can read a secret's value, and how; it reads no value itself
///
/// It names the rules of the app's policy that let workloads read the secret, or Machines boot with it; to see them, the
/// token needs the action manage_policy. The exit status is never 0: no value was read.
#[derive(Args)]
pub(crate) struct Get {
    /// The secret's name
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    common: AppArguments,
}

/// A secret, and who can read it.
#[derive(Debug, Serialize)]
pub(crate) struct Readers {
    pub(crate) app: AppRef,
    pub(crate) secret: AppSecret,
    /// `None` if the token may not see the policy.
    pub(crate) rules: Option<Vec<ReadingRule>>,
}

/// A rule that lets somebody have the value.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ReadingRule {
    pub(crate) name: String,
    /// Whether Machines get the value as they boot; else workloads read it.
    pub(crate) boots: bool,
    /// The issuer of the JWTs, or the discharger, that it accepts.
    pub(crate) accepts: String,
    /// Its conditions, as the policy has them.
    pub(crate) claims: Option<Value>,
}

impl Get {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let name = secret_name(&self.name)?;
        let (resolved, app) = self.common.resolve()?;
        let file = resolved.token_file()?;
        let text = value_source::token(file)?;
        let remote = Remote::with_token(&resolved, file, &text)?;
        let mut list: SecretList = remote.get(&format!("/v1/apps/{app}/secrets"))?;
        let Some(at) = list.secrets.iter().position(|secret| secret.name == name) else {
            let similar = list.secrets.iter().find(|secret| is_similar(&secret.name, &name));
            return Err(messages::no_such_secret(&name, &app, similar.map(|secret| &secret.name)));
        };
        // A request that the token cannot make would be one more denial in the audit log.
        let rules = match may_see_policy(&text) {
            true => {
                let document: PolicyDocument = remote.get(&format!("/v1/apps/{app}/policy"))?;
                Some(reading_rules(&document.policy, name.as_str()))
            }
            false => None,
        };
        let readers = Readers { app, secret: list.secrets.swap_remove(at), rules };
        output::confirm(self.common.json(), &readers, &messages::readers(&readers))?;
        Err(messages::no_value_read(&readers.secret.name, &readers.app))
    }
}

fn may_see_policy(text: &str) -> bool {
    let now = i64::try_from(clock::unix_now()).unwrap_or(i64::MAX);
    let tokens = held(value_source::without_scheme(text), now).unwrap_or_default();
    tokens.iter().any(|token| token.may.contains(&Action::ManagePolicy.name()))
}

fn is_similar(one: &SecretName, other: &SecretName) -> bool {
    let letters = |name: &SecretName| name.as_str().replace('_', "").to_ascii_lowercase();
    letters(one) == letters(other)
}

/// The rules are read as JSON: a newer server may have conditions that this command does not know.
fn reading_rules(policy: &Value, secret: &str) -> Vec<ReadingRule> {
    let rules = policy.get("rules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    rules.iter().filter_map(|rule| reading_rule(rule, secret)).collect()
}

fn reading_rule(rule: &Value, secret: &str) -> Option<ReadingRule> {
    let text = |field: &str| rule.get(field).and_then(Value::as_str).map(str::to_owned);
    let has = |action: &str| {
        let actions = rule.get("actions").and_then(Value::as_array);
        actions.is_some_and(|actions| actions.iter().any(|one| one == action))
    };
    let selects = rule
        .get("secrets")
        .and_then(|secrets| serde_json::from_value::<SecretSelection>(secrets.clone()).ok())
        .is_some_and(|selection| selection.selects(secret));
    let (boots, reads) = (has("boot"), has("read_value") && selects);
    (boots || reads).then(|| ReadingRule {
        name: text("name").unwrap_or_default(),
        boots: !reads,
        accepts: text("issuer").or_else(|| text("discharger")).unwrap_or_default(),
        claims: rule.get("claims").cloned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_that_read_the_secret_and_rules_that_boot_are_named() {
        let policy = json!({"format": 1, "rules": [
            {"name": "boot", "issuer": "https://ci.example", "actions": ["boot"], "bind": {}},
            {"name": "outside", "discharger": "https://d.example", "actions": ["boot"]},
            {"name": "mailer", "issuer": "https://ci.example", "claims": {"sub": "mailer-*"},
             "actions": ["read_value"], "secrets": {"prefixes": ["SMTP_"]}},
            {"name": "db", "issuer": "https://ci.example", "actions": ["read_value"], "secrets": {"names": ["DB"]}},
        ]});
        let named = |secret: &str| -> Vec<(String, bool, String)> {
            let rules = reading_rules(&policy, secret).into_iter();
            rules.map(|rule| (rule.name, rule.boots, rule.accepts)).collect()
        };
        let rule = |name: &str, boots, accepts: &str| (name.to_owned(), boots, accepts.to_owned());
        let boots = [rule("boot", true, "https://ci.example"), rule("outside", true, "https://d.example")];
        let with = |rule: (String, bool, String)| -> Vec<_> { boots.iter().cloned().chain([rule]).collect() };
        assert_eq!(named("SMTP_HOST"), with(rule("mailer", false, "https://ci.example")));
        assert_eq!(named("DB"), with(rule("db", false, "https://ci.example")));
        assert_eq!(named("OTHER"), boots);
        assert_eq!(reading_rules(&json!({"format": 1, "rules": []}), "DB"), []);
    }

    #[test]
    fn a_name_that_differs_in_case_or_underscores_is_similar() {
        let name = |text: &str| text.parse::<SecretName>().unwrap();
        assert!(is_similar(&name("DB_URL"), &name("db_url")) && is_similar(&name("DBURL"), &name("DB_URL")));
        assert!(!is_similar(&name("DB_URL"), &name("DB_URI")));
    }
}
