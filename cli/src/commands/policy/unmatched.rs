//! Names and prefixes in rules that fit no secret of the app: nothing is wrong with them, but they may be mistyped.

use petsem_api::{AppRef, SecretList};
use petsem_policy::evaluate::AppPolicy;

use crate::remote::Remote;
use crate::{messages, output};

/// What a rule selects, and no secret has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unmatched<'p> {
    Name { rule: &'p str, name: &'p str },
    Prefix { rule: &'p str, prefix: &'p str },
}

/// Notes each of them, if this token may list the secrets. It never fails: the policy is set, or tested.
pub(super) fn warn(remote: &Remote, app: &AppRef, policy: &AppPolicy) {
    if policy.rules.iter().all(|rule| rule.secrets.is_none()) || !remote.may_list() {
        return;
    }
    let Ok(list) = remote.get::<SecretList>(&format!("/v1/apps/{app}/secrets")) else { return };
    let names: Vec<&str> = list.secrets.iter().map(|secret| secret.name.as_str()).collect();
    unmatched(policy, &names).iter().for_each(|found| output::notice(&messages::unmatched(found, app)));
}

/// In the order of the rules. The empty prefix means every secret, also if there is none.
fn unmatched<'p>(policy: &'p AppPolicy, secrets: &[&str]) -> Vec<Unmatched<'p>> {
    let mut found = Vec::new();
    for rule in &policy.rules {
        let Some(selection) = &rule.secrets else { continue };
        let rule = rule.name.as_str();
        let absent = selection.names.iter().filter(|name| !secrets.contains(&name.as_str()));
        found.extend(absent.map(|name| Unmatched::Name { rule, name }));
        let fits = |prefix: &String| secrets.iter().any(|name| name.starts_with(prefix.as_str()));
        let absent = selection.prefixes.iter().filter(|prefix| !prefix.is_empty() && !fits(prefix));
        found.extend(absent.map(|prefix| Unmatched::Prefix { rule, prefix }));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_prefixes_that_no_secret_has_are_found() {
        let rule = |name: &str, secrets| {
            json!({"name": name, "issuer": "https://ci.example", "claims": {"sub": name},
                   "actions": ["read_value"], "secrets": secrets})
        };
        let rules = [
            rule("web", json!({"names": ["DB_URL", "DB_ULR"], "prefixes": ["WEB_", "WBE_"]})),
            rule("all", json!({"prefixes": [""]})),
        ];
        let policy = AppPolicy::parse(&json!({"format": 1, "rules": rules}).to_string()).unwrap();
        let (name, prefix) = (
            Unmatched::Name { rule: "web", name: "DB_ULR" },
            Unmatched::Prefix { rule: "web", prefix: "WBE_" },
        );
        assert_eq!(unmatched(&policy, &["DB_URL", "WEB_A"]), [name, prefix]);
        assert_eq!(unmatched(&policy, &["DB_URL", "DB_ULR", "WEB_", "WBE_X"]), []);
        assert_eq!(unmatched(&policy, &[]).len(), 4);
    }
}
