//! Texts of app policies, and what the policies allow.

use std::collections::BTreeMap;

use petsem_policy::evaluate::{
    AppPolicy, BootRequest, Claims, Condition, Conditions, MAX_POLICY_BYTES, MAX_RULES, PolicyError,
    PolicyQuestion, Rule, RuleAction, Scalar,
};
use proptest::collection::btree_map;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::allocations::allocations_of;
use crate::corpus::Corpus;
use crate::engine::{self, Observation};
use crate::json::{self, Vocabulary};

/// Most memory for a rule and its JSON, per byte of text; measured.
const BYTES_PER_BYTE: usize = 220;
const BYTES_BESIDE: usize = 8192;

const VOCABULARY: Vocabulary = Vocabulary {
    names: &[
        "format",
        "rules",
        "name",
        "issuer",
        "claims",
        "actions",
        "secrets",
        "names",
        "prefixes",
        "bind",
        "app",
        "machine",
        "host",
        "max_life_seconds",
        "sub",
        "env",
        "vm",
        "node",
        "extra",
        "pointers",
        "contains",
        "/env",
    ],
    values: &[
        "1",
        "2",
        "0",
        "900",
        "901",
        "[\"boot\"]",
        "[\"read_value\"]",
        "[\"boot\",\"read_value\"]",
        "[\"boot\",\"boot\"]",
        "[\"mint\"]",
        "[]",
        "{}",
        "{\"names\":[\"A\"]}",
        "{\"prefixes\":[\"\"]}",
        "[\"\"]",
        "{\"sub\":\"*\"}",
        "{\"sub\":\"w*k*\"}",
        "\"*\"",
        "\"**\"",
        "\"w*r\"",
        "\"*o*\"",
        "\"work*load\"",
        "\"\"",
        "\"i\"",
        "\"iss\"",
        "true",
        "-1",
        "1.0",
        "18446744073709551616",
        "{\"contains\":\"w*\"}",
        "{\"contains\":1}",
        "[\"w*\",\"*r\"]",
        "\"app\"",
        "\"vm\"",
        "\"sub\"",
        "{\"app\":\"app\",\"machine\":\"vm\",\"host\":\"node\"}",
    ],
    words: &[
        "\"format\":1,",
        "\"name\":\"boots\",",
        "\"sub\":\"*\",",
        "*",
        "null",
        ",",
        "{}",
        "[[",
        "\\u002a",
    ],
};

/// Claims, the boot, and the secret.
type Question = (BTreeMap<&'static str, Value>, [&'static str; 3], &'static str);

fn question() -> impl Strategy<Value = Question> {
    let names = select(["iss", "sub", "app", "vm", "node", "env"].as_slice());
    let texts = || select(["i", "work", "worker", "shop", "m1", "h1", "A", ""].as_slice());
    let values = prop_oneof![
        4 => texts().prop_map(|text| json!(text)),
        1 => select([json!(1), json!(true), json!(["work", 1]), json!([]), json!(-1)].to_vec()),
    ];
    let claims = btree_map(names, values, 0..6).prop_map(|mut claims| {
        if !claims.get("iss").is_some_and(Value::is_string) {
            claims.insert("iss", json!("i"));
        }
        claims.retain(|name, value| *name != "sub" || value.is_string());
        claims
    });
    (claims, [select(["shop", "m1", "worker"].as_slice()), texts(), texts()], texts())
}

#[test]
fn a_policy_is_refused_or_valid_and_allows_exactly_what_its_rules_allow() {
    let boots = json!({
        "name": "boots", "issuer": "i", "actions": ["boot"],
        "bind": {"app": "app", "machine": "vm", "host": "node"}, "max_life_seconds": 300,
    });
    let reads = json!({
        "name": "ci", "issuer": "i", "claims": {"sub": "work*", "env": "*"}, "actions": ["read_value"],
        "secrets": {"names": ["A"], "prefixes": ["w"]},
    });
    let typed = json!({
        "name": "typed", "issuer": "i", "actions": ["read_value"], "secrets": {"names": ["A"]},
        "claims": {"env": {"contains": "w*"}, "vm": 1, "node": true}, "pointers": {"/env": [{"contains": 1}]},
    });
    let both = json!({
        "name": "both", "issuer": "i", "claims": {"sub": "*k*r"}, "actions": ["boot", "read_value"],
        "secrets": {"names": ["A"]}, "bind": {"app": "a", "machine": "sub", "host": "h"},
    });
    let seeds = [json!([]), json!([boots]), json!([reads]), json!([boots, reads, both]), json!([typed])];
    let corpus = Corpus::new(seeds.map(|rules| json!({"format": 1, "rules": rules}).to_string()));
    let mutated = json::mutated(&corpus, VOCABULARY);
    let counts = engine::run(
        "policy text",
        &corpus,
        (mutated, question()),
        |(text, (claims, [app, machine, host], secret))| {
            let (policy, memory) = allocations_of(|| AppPolicy::parse(&text));
            prop_assert!(memory.peak <= BYTES_PER_BYTE * text.len() + BYTES_BESIDE, "{:?}", memory);
            let path = memory.allocations.min(200);
            let policy = match policy {
                Ok(policy) => policy,
                Err(error) => {
                    let (answer, problem) = match error {
                        PolicyError::TooLong => ("too long", None),
                        PolicyError::Json(_) => ("JSON", None),
                        PolicyError::Format(_) => ("format", None),
                        PolicyError::TooManyRules => ("too many rules", None),
                        PolicyError::Rule { problem, .. } => {
                            ("a rule is wrong", Some(format!("{problem:?}")))
                        }
                        _ => ("another refusal", None),
                    };
                    prop_assert_eq!(answer == "too long", text.len() > MAX_POLICY_BYTES);
                    return Ok(Observation::new(answer, (problem, path), text.as_bytes()));
                }
            };
            prop_assert!(policy.rules.len() <= MAX_RULES);
            policy.rules.iter().try_for_each(is_valid)?;
            // The policy round-trips through JSON.
            let written = serde_json::to_string(&policy).unwrap();
            prop_assert_eq!(&AppPolicy::parse(&written).unwrap(), &policy);

            let json: Value = claims.iter().map(|(name, text)| (name.to_string(), text.clone())).collect();
            let claims = Claims::danger_assume(&json.to_string()).unwrap();
            let boot = BootRequest { app_id: [2; 16], app_name: app, machine, host };
            let mut allowed = 0;
            for question in
                [PolicyQuestion::Boot(boot), PolicyQuestion::Read(secret), PolicyQuestion::ReadAnything]
            {
                let decision = policy.decide(&claims, &question);
                let expected = policy.rules.iter().find(|rule| rule_allows(rule, &json, &question));
                prop_assert_eq!(decision.as_ref().ok().map(|yes| &yes.rule), expected.map(|rule| &rule.name));
                prop_assert_eq!(&policy.explain(&claims, &question).decision, &decision);
                if let Ok(yes) = decision {
                    allowed += 1;
                    // The stored claims give the same answer.
                    let stored = Claims::from_stored(yes.claims.clone());
                    prop_assert_eq!(policy.decide(&stored, &question), Ok(yes));
                }
            }
            let answer = if allowed > 0 { "allows" } else { "valid, and refuses" };
            Ok(Observation::new(answer, (allowed, policy.rules.len(), path), text.as_bytes()))
        },
    );
    counts.reached(&["allows", "valid, and refuses", "JSON", "format", "a rule is wrong"]);
}

/// The requirements of design §7 and of the rules' documentation.
fn is_valid(rule: &Rule) -> Result<(), TestCaseError> {
    let lets = |action| rule.actions.contains(&action);
    prop_assert!(!rule.name.is_empty() && !rule.issuer.is_empty() && !rule.actions.is_empty());
    prop_assert_eq!(rule.bind.is_some(), lets(RuleAction::Boot));
    prop_assert_eq!(rule.secrets.is_some(), lets(RuleAction::ReadValue));
    if let Some(bind) = &rule.bind {
        let bound = [&bind.app, &bind.machine, &bind.host];
        prop_assert!(bound[0] != bound[1] && bound[1] != bound[2] && bound[0] != bound[2]);
        prop_assert!(
            bound.iter().all(|name| !["", "iss", "aud", "exp", "iat", "nbf"].contains(&name.as_str()))
        );
    }
    if lets(RuleAction::ReadValue) {
        let restricts = |condition: &Condition| match condition {
            Condition::Is(scalar) | Condition::Contains(scalar) => match scalar {
                Scalar::Text(pattern) => pattern.as_str().bytes().any(|byte| byte != b'*'),
                Scalar::Integer(_) => true,
                Scalar::Boolean(_) => false,
            },
        };
        let mut conditions = rule.claims.values().chain(rule.pointers.values()).flat_map(Conditions::iter);
        prop_assert!(conditions.any(restricts));
    }
    let most = if lets(RuleAction::Boot) { 3600 } else { 86_400 };
    prop_assert!(rule.max_life_seconds.is_none_or(|longest| (1..=most).contains(&longest)));
    prop_assert!(rule.audiences.is_empty() || !lets(RuleAction::Boot));
    Ok(())
}

/// A reference evaluation of a rule. Claims without times have no lifetime limit.
fn rule_allows(rule: &Rule, claims: &Value, question: &PolicyQuestion<'_>) -> bool {
    let is = |name: &str, wanted: &str| claims[name] == wanted;
    let matching = |claim: &Value, conditions: &Conditions| {
        conditions.iter().all(|condition| match condition {
            Condition::Is(scalar) => is_scalar(claim, scalar),
            Condition::Contains(scalar) => {
                claim.as_array().is_some_and(|items| items.iter().any(|item| is_scalar(item, scalar)))
            }
        })
    };
    // The claims here are one deep, so a pointer with more steps finds nothing.
    let pointed = |path: &str| claims.pointer(path).filter(|_| path.matches('/').count() == 1);
    let matching = rule
        .claims
        .iter()
        .all(|(name, all)| claims.get(name).is_some_and(|claim| matching(claim, all)))
        && rule.pointers.iter().all(|(path, all)| pointed(path).is_some_and(|claim| matching(claim, all)));
    if !is("iss", &rule.issuer) || !matching {
        return false;
    }
    match question {
        PolicyQuestion::Boot(boot) => rule.bind.as_ref().is_some_and(|bind| {
            let app = is(&bind.app, boot.app_name) || is(&bind.app, "02020202-0202-0202-0202-020202020202");
            app && is(&bind.machine, boot.machine) && is(&bind.host, boot.host)
        }),
        PolicyQuestion::Read(name) => rule.secrets.as_ref().is_some_and(|secrets| {
            secrets.names.iter().any(|exact| exact == name)
                || secrets.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
        }),
        PolicyQuestion::ReadAnything => rule.secrets.is_some(),
    }
}

fn is_scalar(value: &Value, scalar: &Scalar) -> bool {
    match scalar {
        Scalar::Text(pattern) => {
            value.as_str().is_some_and(|text| matches(pattern.as_str().as_bytes(), text.as_bytes()))
        }
        Scalar::Integer(integer) => value.is_number() && value.to_string().parse() == Ok(*integer),
        Scalar::Boolean(boolean) => value == &json!(boolean),
    }
}

/// A reference implementation of patterns: `*` matches any text, every other byte itself.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // For each prefix of the text: whether the pattern so far matches it.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for byte in pattern {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            next[at] = match byte {
                b'*' => reached[at] || (at > 0 && next[at - 1]),
                byte => at > 0 && reached[at - 1] && text[at - 1] == *byte,
            };
        }
        reached = next;
    }
    reached[text.len()]
}
