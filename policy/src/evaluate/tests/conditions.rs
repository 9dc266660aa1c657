//! What rules can ask of claims: types against conditions, values within claims, and evaluation again from what was stored.

use super::*;

/// Whether a rule with these conditions lets these claims read; the condition is for the claim `c`.
fn reads(condition: &Value, claim: &Value) -> bool {
    let claims = json!({"iss": "i", "sub": "s", "c": claim});
    let rule = json!({"claims": {"sub": "s", "c": condition}});
    let by_name = read(&rule, &claims).is_ok();
    // A pointer with one step is the same.
    let by_pointer = json!({"claims": {"sub": "s"}, "pointers": {"/c": condition}});
    assert_eq!(read(&by_pointer, &claims).is_ok(), by_name, "{condition} on {claim}");
    by_name
}

fn policy_with(fields: &Value) -> Result<AppPolicy, PolicyError> {
    let mut rule = json!({
        "name": "r", "issuer": "i", "actions": ["read_value"], "secrets": {"names": ["A"]},
    });
    rule.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    AppPolicy::parse(&json!({"format": 1, "rules": [rule]}).to_string())
}

/// The decision, which is the same again from what was stored, in the form of tokens and grants.
fn read(fields: &Value, claims: &Value) -> Result<Allowed, PolicyDenial> {
    let policy = policy_with(fields).unwrap();
    let claims = Claims::danger_assume(&claims.to_string()).unwrap();
    let decision = policy.decide_read(&claims, "A");
    if let Ok(allowed) = &decision {
        let text = serde_json::to_string(&allowed.claims).unwrap();
        let stored = Claims::from_stored(serde_json::from_str(&text).unwrap());
        assert_eq!(policy.decide_read(&stored, "A"), decision, "{fields}");
    }
    decision
}

#[test]
fn a_claim_matches_only_conditions_of_its_type() {
    let claims = [
        json!("1"),
        json!(1),
        json!(1.0),
        json!(true),
        json!("true"),
        json!(["1"]),
        json!([1]),
        json!([true]),
        json!([["1"]]),
        json!({"contains": "1"}),
        json!(null),
        json!([]),
        json!(""),
    ];
    let matching = |condition: Value| -> Vec<String> {
        claims.iter().filter(|claim| reads(&condition, claim)).map(ToString::to_string).collect()
    };
    assert_eq!(matching(json!("1")), ["\"1\""]);
    assert_eq!(matching(json!("*")), ["\"1\"", "\"true\"", "\"\""]);
    assert_eq!(matching(json!("true")), ["\"true\""]);
    assert_eq!(matching(json!(1)), ["1"]);
    assert_eq!(matching(json!(true)), ["true"]);
    assert_eq!(matching(json!(false)), [""; 0]);
    assert_eq!(matching(json!({"contains": "1"})), ["[\"1\"]"]);
    assert_eq!(matching(json!({"contains": "*"})), ["[\"1\"]"]);
    assert_eq!(matching(json!({"contains": 1})), ["[1]"]);
    assert_eq!(matching(json!({"contains": true})), ["[true]"]);
}

#[test]
fn integers_are_compared_exactly() {
    let both = [
        ("0", true),
        ("-1", true),
        ("9007199254740993", true),
        ("9223372036854775807", true),
        ("9223372036854775808", true),
        ("18446744073709551615", true),
        ("-9223372036854775808", true),
    ];
    for (text, expected) in both {
        let number: Value = serde_json::from_str(text).unwrap();
        assert_eq!(reads(&number, &number), expected, "{text}");
        for other in ["1", "9007199254740992", "9223372036854775806", "18446744073709551614"] {
            assert!(!reads(&number, &serde_json::from_str(other).unwrap()), "{text} on {other}");
        }
    }
    // A parser rounds what has more than 64 bits, so it is no integer, in a claim or in a condition.
    let claims = r#"{"iss":"i","sub":"s","c":18446744073709551616}"#;
    let huge = policy_with(&json!({"claims": {"sub": "s", "c": u64::MAX}})).unwrap();
    let refused = huge.decide_read(&Claims::danger_assume(claims).unwrap(), "A");
    let condition = Condition::Is(Scalar::Integer(u64::MAX.into()));
    assert_eq!(nearest(refused).1, RuleReason::ClaimType { claim: "c".to_owned(), condition });
    for text in ["18446744073709551616", "1.0", "1e3", "0.5"] {
        let condition: Value = serde_json::from_str(text).unwrap();
        let refused = policy_with(&json!({"claims": {"sub": "s", "c": condition}}));
        assert!(matches!(refused, Err(PolicyError::Json(_))), "{text}");
    }
}

#[test]
fn several_conditions_of_one_claim_must_all_hold() {
    let groups = json!(["users", "deployers", 7]);
    let contains = |item: &str| json!({ "contains": item });
    assert!(reads(&json!([contains("users"), contains("deploy*")]), &groups));
    assert!(reads(&json!([contains("users"), {"contains": 7}]), &groups));
    assert!(!reads(&json!([contains("users"), contains("admins")]), &groups));
    assert!(!reads(&json!([contains("users"), "users"]), &groups));
    assert!(reads(&json!(["repo:org/*", "*:main"]), &json!("repo:org/app:main")));
    assert!(!reads(&json!(["repo:org/*", "*:main"]), &json!("repo:org/app:test")));
}

#[test]
fn a_pointer_steps_through_objects_only() {
    let claims = json!({
        "iss": "i", "sub": "s", "realm_access": {"roles": ["admin"]}, "a": [{"b": "x"}], "deep": {"": {"x": true}},
        "kubernetes.io": {"namespace": "prod"}, "https://example.com/roles": ["admin"], "s/t~u": {"v": 1},
        "/realm_access/roles": "not this one",
    });
    let found = |pointer: &str, condition: Value| {
        read(&json!({"claims": {"sub": "s"}, "pointers": {pointer: condition}}), &claims).is_ok()
    };
    assert!(found("/realm_access/roles", json!({"contains": "admin"})));
    assert!(found("/kubernetes.io/namespace", json!("prod")));
    assert!(found("/deep//x", json!(true)));
    assert!(found("/s~1t~0u/v", json!(1)));
    assert!(!found("/a/0/b", json!("x")), "no items of lists");
    assert!(!found("/realm_access", json!("*")));
    assert!(!found("/realm_access/role", json!({"contains": "admin"})));
    assert!(!found("/sub/s", json!("*")));
    // A claim with a name of its own is no pointer.
    for condition in
        [json!({"/realm_access/roles": "not*"}), json!({"https://example.com/roles": {"contains": "admin"}})]
    {
        let allowed = read(&json!({ "claims": condition }), &claims).unwrap();
        assert_eq!(allowed.rule, "r", "{condition}");
    }
    for pointer in ["", "realm_access", "/a~", "/a~2", "/1/2/3/4/5/6/7/8/9"] {
        let refused = policy_with(&json!({"claims": {"sub": "s"}, "pointers": {pointer: "x"}}));
        let is_it = matches!(refused, Err(PolicyError::Rule { problem: RuleProblem::Pointer, .. }));
        assert!(is_it, "{pointer}");
    }
}

#[test]
fn what_is_stored_is_what_the_rule_asks_for_with_its_types() {
    let claims = json!({
        "iss": "i", "sub": "s", "email_verified": true, "project_id": 22, "more": "x",
        "groups": ["users", "deployers", "admins"], "kubernetes.io": {"namespace": "prod", "pod": {"uid": 1}},
    });
    let rule = json!({
        "claims": {
            "sub": "s", "email_verified": true, "project_id": 22, "groups": {"contains": "deploy*"},
        },
        "pointers": {
            "/kubernetes.io/namespace": "prod", "/kubernetes.io/pod/uid": 1, "/groups": {"contains": "users"},
        },
    });
    let allowed = read(&rule, &claims).unwrap();
    assert_eq!(
        Value::Object(allowed.claims),
        json!({
            "iss": "i", "sub": "s", "email_verified": true, "project_id": 22, "groups": ["users", "deployers"],
            "kubernetes.io": {"namespace": "prod", "pod": {"uid": 1}},
        })
    );
}

#[test]
fn claims_that_were_stored_as_text_keep_their_meaning() {
    let stored = Claims::from_stored(serde_json::from_str(r#"{"iss":"i","sub":"s","n":"1"}"#).unwrap());
    let reads = |fields: Value| policy_with(&fields).unwrap().decide_read(&stored, "A").is_ok();
    assert!(reads(json!({"claims": {"sub": "s", "n": "1"}})));
    assert!(!reads(json!({"claims": {"sub": "s", "n": 1}})));
}

#[test]
fn a_boolean_alone_never_permits_reading() {
    let problem = |fields: Value| match policy_with(&fields) {
        Ok(_) => None,
        Err(PolicyError::Rule { problem, .. }) => Some(problem),
        Err(other) => panic!("{other}"),
    };
    let unrestricted = Some(RuleProblem::ReadsUnrestricted);
    for (fields, expected) in [
        (json!({"claims": {"email_verified": true}}), unrestricted),
        (json!({"claims": {"sub": "*", "email_verified": true}}), unrestricted),
        (json!({"claims": {"flags": {"contains": true}}}), unrestricted),
        (json!({"claims": {"groups": {"contains": "*"}}}), unrestricted),
        (json!({"claims": {"sub": ["*", "**"]}}), unrestricted),
        (json!({"pointers": {"/a/b": false}}), unrestricted),
        (json!({"claims": {"email_verified": true, "sub": "a*"}}), None),
        (json!({"claims": {"project_id": 22}}), None),
        (json!({"claims": {"groups": {"contains": "ops"}}}), None),
        (json!({"pointers": {"/a/b": "c"}}), None),
        (json!({"claims": {"sub": ["*", "a*"]}}), None),
        (json!({"claims": {"sub": []}}), Some(RuleProblem::Claims)),
        (json!({"claims": {"sub": vec!["a"; 17]}}), Some(RuleProblem::Claims)),
        (json!({"claims": {"groups": {"contains": ""}}}), Some(RuleProblem::Claims)),
    ] {
        assert_eq!(problem(fields.clone()), expected, "{fields}");
    }
    for odd in [json!(null), json!({}), json!({"has": "x"}), json!([["a"]]), json!({"contains": ["a"]})] {
        let refused = policy_with(&json!({"claims": {"sub": odd}}));
        assert!(matches!(refused, Err(PolicyError::Json(_))), "{odd}");
    }
    let twice = r#"{"format":1,"rules":[{"name":"r","issuer":"i","actions":["read_value"],"secrets":{"names":["A"]},
        "claims":{"groups":{"contains":"a","contains":"b"}}}]}"#;
    assert!(matches!(AppPolicy::parse(twice), Err(PolicyError::Json(_))));
}

#[test]
fn a_policy_is_written_as_it_was_read() {
    let fields = json!({
        "claims": {"a": "x*", "b": 22, "c": true, "d": {"contains": "y"}, "e": ["x", "*"], "f": {"contains": false}},
        "pointers": {"/g/h": [{"contains": 1}, {"contains": 2}]},
    });
    let policy = policy_with(&fields).unwrap();
    let written = serde_json::to_value(&policy).unwrap();
    assert_eq!(written["rules"][0]["claims"], fields["claims"]);
    assert_eq!(written["rules"][0]["pointers"], fields["pointers"]);
    assert_eq!(AppPolicy::parse(&written.to_string()).unwrap(), policy);
}

#[test]
fn an_explanation_names_the_condition_that_failed_and_what_the_claim_is() {
    let policy = policy_with(&json!({
        "claims": {"sub": "ci-*", "email_verified": true, "groups": [{"contains": "users"}, {"contains": "ops"}]},
        "pointers": {"/realm/id": 7, "/realm/name": "x"},
    }))
    .unwrap();
    let claims = json!({
        "iss": "i", "sub": "ci-1", "email_verified": "true", "groups": ["users", "dev"], "realm": {"id": 8},
    });
    let claims = Claims::danger_assume(&claims.to_string()).unwrap();
    let explained = policy.explain(&claims, &PolicyQuestion::Read("A"));
    let refusals: Vec<_> = explained.rules[0]
        .refusals
        .iter()
        .map(|refusal| (refusal.change.to_string(), refusal.had.clone().unwrap_or_default()))
        .collect();
    let expected = [
        ("have the issuer set the claim email_verified to the boolean true", "\"true\""),
        (
            "have the issuer set the claim groups to a list that contains text that matches \"ops\"",
            "[\"users\",\"dev\"]",
        ),
        ("have the issuer set the claim /realm/id to the integer 7", "8"),
        ("have the issuer set the claim /realm/name to text that matches \"x\"", ""),
    ];
    assert_eq!(refusals, expected.map(|(change, had)| (change.to_owned(), had.to_owned())));
    let first = explained.decision.unwrap_err().to_string();
    assert!(first.ends_with("\"r\", requires the claim email_verified as a boolean; have the issuer set it so, or change the condition"), "{first}");
}

#[test]
fn what_a_decision_costs_has_a_bound() {
    // A policy has at most 512 conditions, and a list that is searched as many items.
    let rules = |count: usize| {
        let rule = |index: usize| {
            let claims: serde_json::Map<_, _> =
                (0..16).map(|name| (format!("c{name}"), json!("x"))).collect();
            json!({"name": index.to_string(), "issuer": "i", "claims": claims, "actions": ["read_value"],
                "secrets": {"names": ["A"]}})
        };
        json!({"format": 1, "rules": (0..count).map(rule).collect::<Vec<_>>()}).to_string()
    };
    assert_eq!(AppPolicy::parse(&rules(32)).unwrap().rules.len(), 32);
    assert!(matches!(AppPolicy::parse(&rules(33)), Err(PolicyError::TooManyConditions)));
    // Each condition for an item of a list counts once, and once more for each star.
    let for_items = |count: usize, pattern: &str| {
        let rule = |index: usize| {
            let claims = json!({"c": vec![json!({"contains": pattern}); 8]});
            json!({"name": index.to_string(), "issuer": "i", "claims": claims, "actions": ["read_value"],
                "secrets": {"names": ["A"]}})
        };
        json!({"format": 1, "rules": (0..count).map(rule).collect::<Vec<_>>()}).to_string()
    };
    for (pattern, most) in [("a", 16), ("a*", 8), ("a*b*c*d", 4)] {
        assert_eq!(AppPolicy::parse(&for_items(most, pattern)).unwrap().rules.len(), most);
        let refused = AppPolicy::parse(&for_items(most + 1, pattern));
        assert!(matches!(refused, Err(PolicyError::TooManyComparisons)), "{pattern}");
    }
    let list = |items: usize| [vec![json!("x"); items - 1], vec![json!("a")]].concat();
    assert!(reads(&json!({"contains": "a"}), &json!(list(512))));
    assert!(!reads(&json!({"contains": "a"}), &json!(list(513))));
    let refused = read(&json!({"claims": {"c": {"contains": "a"}}}), &json!({"iss": "i", "c": list(513)}));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "no rule of the app's policy allows this; the nearest, \"r\", requires the claim c as a list of at most 512 \
         items; have the issuer set it so, or change the condition"
    );
}

#[test]
fn what_every_jwt_of_the_issuer_has_restricts_nobody() {
    for name in ["iss", "aud", "exp", "iat", "nbf"] {
        for fields in [json!({"claims": {name: "x"}}), json!({"pointers": {format!("/{name}"): "x"}})] {
            let problem = RuleProblem::ReadsUnrestricted;
            assert!(
                matches!(policy_with(&fields), Err(PolicyError::Rule { problem: found, .. }) if found == problem),
                "{fields}"
            );
        }
    }
    let restricted = policy_with(&json!({"claims": {"aud": "x", "sub": "x"}})).unwrap();
    assert_eq!(restricted.rules[0].claims.len(), 2);
}
