//! What a new policy takes from the old one: a policy replaces all rules, and the old one is not stored.

use petsem_policy::evaluate::{AppPolicy, Rule, RuleAction};

/// An old rule, and what no new rule allows to the same JWTs any more. Other rules may allow it to some of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TakenAway<'p> {
    pub(crate) rule: &'p Rule,
    pub(crate) actions: Vec<RuleAction>,
}

/// What each old rule loses, in the order of the rules.
pub(super) fn taken_away<'p>(old: &'p AppPolicy, new: &AppPolicy) -> Vec<TakenAway<'p>> {
    let lost = |rule: &'p Rule| {
        let is_lost = |action: &RuleAction| !new.rules.iter().any(|other| keeps(other, rule, *action));
        let actions: Vec<_> = rule.actions.iter().copied().filter(is_lost).collect();
        (!actions.is_empty()).then_some(TakenAway { rule, actions })
    };
    old.rules.iter().filter_map(lost).collect()
}

/// Whether a rule allows an action.
pub(super) fn allows(policy: &AppPolicy, action: RuleAction) -> bool {
    policy.rules.iter().any(|rule| rule.actions.contains(&action))
}

/// Whether a new rule allows an action to the same JWTs as an old one, whatever else it allows.
fn keeps(new: &Rule, old: &Rule, action: RuleAction) -> bool {
    let alone = |rule: &Rule| Rule {
        name: String::new(),
        actions: vec![action],
        secrets: None,
        bind: rule.bind.clone().filter(|_| action == RuleAction::Boot),
        ..rule.clone()
    };
    let reads = || match (&new.secrets, &old.secrets) {
        (Some(new), Some(old)) => {
            old.names.iter().all(|name| new.selects(name))
                && old
                    .prefixes
                    .iter()
                    .all(|prefix| new.prefixes.iter().any(|wider| prefix.starts_with(wider)))
        }
        (_, old) => old.is_none(),
    };
    new.actions.contains(&action) && alone(new) == alone(old) && (action == RuleAction::Boot || reads())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn policy(rules: &[Value]) -> AppPolicy {
        AppPolicy::parse(&json!({"format": 1, "rules": rules}).to_string()).unwrap()
    }

    fn rule(name: &str, claims: Value, more: Value) -> Value {
        let mut rule = json!({"name": name, "issuer": "https://ci.example", "claims": claims});
        for (field, value) in more.as_object().unwrap() {
            rule[field] = value.clone();
        }
        rule
    }

    #[test]
    fn a_rule_that_is_gone_or_narrower_takes_away_and_one_that_is_moved_renamed_or_wider_does_not() {
        let bind = json!({"app": "app", "machine": "machine", "host": "host"});
        let boot = |name: &str, sub: &str| {
            rule(name, json!({"sub": sub}), json!({"actions": ["boot"], "bind": bind}))
        };
        let read = |name: &str, secrets: Value| {
            rule(name, json!({"sub": "web"}), json!({"actions": ["read_value"], "secrets": secrets}))
        };
        let old =
            policy(&[boot("boot", "a"), read("web", json!({"names": ["DB_URL"], "prefixes": ["WEB_"]}))]);
        let both = rule(
            "both",
            json!({"sub": "a"}),
            json!({"actions": ["boot", "read_value"], "bind": bind, "secrets": {"prefixes": [""]}}),
        );
        let lost = |new: &[Value]| -> Vec<(String, Vec<RuleAction>)> {
            let new = policy(new);
            let lost = taken_away(&old, &new).into_iter();
            lost.map(|lost| (lost.rule.name.clone(), lost.actions)).collect()
        };
        let boots = ("boot".to_owned(), vec![RuleAction::Boot]);
        let reads = ("web".to_owned(), vec![RuleAction::ReadValue]);
        let same = read("web", json!({"names": ["DB_URL"], "prefixes": ["WEB_"]}));
        let wider = read("renamed", json!({"prefixes": ["WEB", "DB_"]}));
        for kept in [[&same, &boot("boot", "a")], [&wider, &boot("other", "a")], [&wider, &both]] {
            assert_eq!(lost(&kept.map(Clone::clone)), []);
        }
        assert_eq!(lost(std::slice::from_ref(&same)), std::slice::from_ref(&boots));
        assert_eq!(lost(&[same, boot("boot", "b")]), std::slice::from_ref(&boots));
        let narrower = read("web", json!({"names": ["DB_URL"], "prefixes": ["WEB_A"]}));
        assert_eq!(lost(&[narrower, both]), std::slice::from_ref(&reads));
        assert_eq!(lost(&[]), [boots, reads]);
    }
}
