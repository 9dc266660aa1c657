//! The secrets that a workload may read. Its claims are evaluated once, and each name is then found by search: a list
//! of an app's secrets costs a few comparisons a name, however many names the policy has.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use super::decide::PolicyQuestion;
use super::jwt::Claims;
use super::rules::{AppPolicy, Rule};

/// Names and prefixes of all rules that accept the claims of a JWT.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadableSecrets {
    /// In order.
    names: Vec<String>,
    /// In order; none begins with another.
    prefixes: Vec<String>,
}

impl AppPolicy {
    /// The secrets that a JWT with these claims may read.
    pub fn readable_secrets(&self, claims: &Claims) -> ReadableSecrets {
        ReadableSecrets::of(self.rules.iter(), claims)
    }

    /// The same for one rule. None if no rule has that name.
    pub fn readable_secrets_by_rule(&self, rule: &str, claims: &Claims) -> ReadableSecrets {
        ReadableSecrets::of(self.rules.iter().filter(|known| known.name == rule), claims)
    }
}

impl ReadableSecrets {
    fn of<'r>(rules: impl Iterator<Item = &'r Rule>, claims: &Claims) -> Self {
        let accepts = |rule: &&Rule| {
            let mut refuse = |_| ControlFlow::Break(());
            rule.evaluate(claims, &PolicyQuestion::ReadAnything, &mut refuse).is_continue()
        };
        let (mut names, mut all) = (Vec::new(), Vec::new());
        for selection in rules.filter(accepts).filter_map(|rule| rule.secrets.as_ref()) {
            names.extend(selection.names.iter().cloned());
            all.extend(selection.prefixes.iter().cloned());
        }
        names.sort_unstable();
        all.sort_unstable();
        let mut prefixes: Vec<String> = Vec::new();
        for prefix in all {
            if !prefixes.last().is_some_and(|last| prefix.starts_with(last.as_str())) {
                prefixes.push(prefix);
            }
        }
        Self { names, prefixes }
    }

    /// Whether the secret is one of them.
    pub fn contains(&self, secret: &str) -> bool {
        self.contains_by(secret, &mut |one, other| one.cmp(other))
    }

    fn contains_by(&self, secret: &str, compare: &mut dyn FnMut(&str, &str) -> Ordering) -> bool {
        if self.names.binary_search_by(|name| compare(name, secret)).is_ok() {
            return true;
        }
        // What begins with a prefix follows it at once, and no prefix begins with another.
        let after = self.prefixes.partition_point(|prefix| compare(prefix, secret).is_le());
        let before = after.checked_sub(1).and_then(|index| self.prefixes.get(index));
        before.is_some_and(|prefix| secret.starts_with(prefix.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &[(&str, &[&str], &[&str])]) -> AppPolicy {
        let rule = |(name, names, prefixes): &(&str, &[&str], &[&str])| {
            serde_json::json!({
                "name": name, "issuer": "https://ci", "claims": {"sub": name}, "actions": ["read_value"],
                "secrets": {"names": names, "prefixes": prefixes},
            })
        };
        let rules: Vec<_> = rules.iter().map(rule).collect();
        AppPolicy::parse(&serde_json::json!({"format": 1, "rules": rules}).to_string()).unwrap()
    }

    fn claims(sub: &str) -> Claims {
        let claim = |name: &str, value: &str| (name.to_owned(), value.into());
        Claims::from_stored([claim("iss", "https://ci"), claim("sub", sub)].into_iter().collect())
    }

    #[test]
    fn the_search_says_what_the_rules_say() {
        let of_worker: &[_] =
            &[("w*", &["B", "A", "DB_URL"][..], &["SMTP_", "DB", "DB_", "Z"][..]), ("other", &["C"], &["Y"])];
        let open = policy(&[("x", &["Q"], &[""])]);
        let policy = policy(of_worker);
        let texts = [
            "",
            "A",
            "AA",
            "B",
            "C",
            "D",
            "DA",
            "DB",
            "DB_",
            "DB_URL",
            "DC",
            "SMTP",
            "SMTP_USER",
            "Y",
            "Z",
            "Z1",
        ];
        for (policy, sub) in [(&policy, "worker"), (&policy, "other"), (&policy, "nobody"), (&open, "x")] {
            let claims = claims(sub);
            let readable = policy.readable_secrets(&claims);
            for text in texts {
                assert_eq!(
                    readable.contains(text),
                    policy.decide_read(&claims, text).is_ok(),
                    "{sub}: {text}"
                );
            }
        }
        let claims = claims("worker");
        assert_eq!(policy.readable_secrets_by_rule("w*", &claims), policy.readable_secrets(&claims));
        assert_eq!(policy.readable_secrets_by_rule("other", &claims), ReadableSecrets::default());
    }

    #[test]
    fn a_name_costs_a_few_comparisons_however_many_the_policy_has() {
        const NAMES: usize = 4096;
        let names: Vec<String> = (0..NAMES).map(|number| format!("N{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let readable = policy(&[("w", &names, &["P", "Q"])]).readable_secrets(&claims("w"));
        let mut compared = 0;
        let found = names.iter().chain(&["X", "PA"]).filter(|name| {
            readable.contains_by(name, &mut |one, other| {
                compared += 1;
                one.cmp(other)
            })
        });
        assert_eq!(found.count(), NAMES + 1);
        assert!(compared <= 16 * (NAMES + 2), "{compared} comparisons");
    }
}
