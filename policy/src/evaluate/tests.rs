//! JWTs of every pinned algorithm, known forgeries, and the rules of policies.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;
use serde_json::{Value, json};

mod conditions;
mod key_sets;
mod signer;
mod wycheproof;

use self::signer::SigningKey;
use super::*;
use crate::text::Resource;

const NOW: i64 = 1_800_000_000;
const APP: [u8; 16] = [0xab; 16];
const APP_TEXT: &str = "abababab-abab-abab-abab-abababababab";

struct Signer {
    key: SigningKey,
    algorithm: Algorithm,
}

fn signer(algorithm: Algorithm) -> Signer {
    Signer { key: SigningKey::of(algorithm.name()), algorithm }
}

impl Signer {
    fn jwk(&self, id: &str) -> Value {
        self.key.jwk(id)
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{signature}")
    }

    fn good(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": self.algorithm.name(), "kid": "k", "typ": "JWT"}), claims)
    }
}

fn issuer(signer: &Signer) -> Issuer {
    let keys = json!({"keys": [signer.jwk("k")]}).to_string();
    Issuer {
        id: [1; 16],
        iss: "https://issuer.example".to_owned(),
        audience: "petsem".to_owned(),
        audiences: Vec::new(),
        audience_claim: None,
        types: JwtTypes::default(),
        algorithms: vec![signer.algorithm],
        keys: Jwks::parse(&keys, &Algorithm::ALL).unwrap(),
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.example", "aud": "petsem", "iat": NOW, "exp": NOW + 300,
        "sub": "workload", "app": "shop", "vm": "m1", "node": "h1", "roles": ["a"], "jti": "j",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut changed = claims();
    changed[name] = value;
    changed
}

fn without(name: &str) -> Value {
    let mut changed = claims();
    changed.as_object_mut().unwrap().remove(name);
    changed
}

#[test]
fn only_pinned_algorithms_verify() {
    for algorithm in Algorithm::ALL {
        let signer = signer(algorithm);
        let issuer = issuer(&signer);
        let jwt = signer.good(&claims());
        let verified = verify_jwt(&jwt, &issuer, 300, NOW).unwrap();
        assert_eq!((verified.subject(), verified.jti()), (Some("workload"), Some("j")), "{algorithm:?}");
        assert_eq!((verified.issued_at(), verified.expires_at()), (Some(NOW), Some(NOW + 300)));
        let others = Algorithm::ALL.into_iter().filter(|other| *other != algorithm).collect();
        let pinned = Issuer { algorithms: others, ..issuer };
        assert_eq!(verify_jwt(&jwt, &pinned, 300, NOW), Err(JwtError::Algorithm));
    }
}

#[test]
fn a_header_cannot_select_none_hmac_another_algorithm_or_another_key() {
    let signer = signer(Algorithm::RS256);
    let all = Issuer { algorithms: Algorithm::ALL.to_vec(), ..issuer(&signer) };
    let cases = [
        (json!({"alg": "none", "kid": "k"}), JwtError::Algorithm),
        (json!({"alg": "HS256", "kid": "k"}), JwtError::Algorithm),
        (json!({"alg": "rs256", "kid": "k"}), JwtError::Algorithm),
        (json!({"alg": 1, "kid": "k"}), JwtError::Algorithm),
        (json!({"kid": "k"}), JwtError::Algorithm),
        // Fits the key, but not the signature.
        (json!({"alg": "PS256", "kid": "k"}), JwtError::Signature),
        // Does not fit the key.
        (json!({"alg": "ES256", "kid": "k"}), JwtError::KeyDoesNotFit),
        (json!({"alg": "ES256"}), JwtError::NoKey),
        (json!({"alg": "RS256", "kid": "../../k"}), JwtError::UnknownKey),
        (json!({"alg": "RS256", "kid": ["k"]}), JwtError::KeyId),
        (json!({"alg": "RS256", "kid": "k", "crit": ["exp"]}), JwtError::Extension),
        (json!({"alg": "RS256", "kid": "k", "b64": false}), JwtError::Extension),
    ];
    for (header, expected) in cases {
        assert_eq!(verify_jwt(&signer.sign(&header, &claims()), &all, 300, NOW), Err(expected), "{header}");
    }
    // A key that names its algorithm verifies no other.
    let mut jwk = signer.jwk("k");
    jwk["alg"] = json!("RS384");
    let only = Issuer {
        keys: Jwks::parse(&json!({"keys": [jwk]}).to_string(), &Algorithm::ALL).unwrap(),
        ..all.clone()
    };
    assert_eq!(verify_jwt(&signer.good(&claims()), &only, 300, NOW), Err(JwtError::KeyDoesNotFit));
    // A key in the header is ignored.
    let own = json!({"alg": "RS256", "jwk": signer.jwk("k"), "kid": "other"});
    assert_eq!(verify_jwt(&signer.sign(&own, &claims()), &all, 300, NOW), Err(JwtError::UnknownKey));
}

#[test]
fn claims_must_be_present_exact_and_current() {
    let signer = signer(Algorithm::EdDSA);
    let issuer = issuer(&signer);
    let cases = [
        (without("iss"), Err(JwtError::Claim("iss"))),
        (with("iss", json!("https://issuer.example/")), Err(JwtError::Claim("iss"))),
        (without("aud"), Err(JwtError::Claim("aud"))),
        (with("aud", json!("Petsem")), Err(JwtError::Claim("aud"))),
        (with("aud", json!(["other", "petsem"])), Ok(())),
        (with("aud", json!(["other"])), Err(JwtError::Claim("aud"))),
        (with("aud", json!({"petsem": 1})), Err(JwtError::Claim("aud"))),
        (with("sub", json!(7)), Err(JwtError::Claim("sub"))),
        (with("sub", json!(["workload"])), Err(JwtError::Claim("sub"))),
        (with("sub", json!(null)), Err(JwtError::Claim("sub"))),
        (with("jti", json!({"id": "j"})), Err(JwtError::Claim("jti"))),
        (without("exp"), Err(JwtError::Claim("exp"))),
        (without("iat"), Err(JwtError::Claim("iat"))),
        (with("exp", json!("1800000100")), Err(JwtError::Claim("exp"))),
        (with("exp", json!(NOW + 301)), Err(JwtError::TooLongLived)),
        (with("exp", json!(1e300)), Err(JwtError::Claim("exp"))),
        (with("exp", json!(i64::MAX)), Err(JwtError::TooLongLived)),
        (with("iat", json!(i64::MIN)), Err(JwtError::TooLongLived)),
        (with("iat", json!(NOW + 30)), Ok(())),
        (with("iat", json!(NOW + 31)), Err(JwtError::NotYetValid)),
        (with("nbf", json!(NOW + 30)), Ok(())),
        (with("nbf", json!(NOW + 31)), Err(JwtError::NotYetValid)),
        (with("nbf", json!("soon")), Err(JwtError::Claim("nbf"))),
    ];
    for (claims, expected) in cases {
        assert_eq!(verify_jwt(&signer.good(&claims), &issuer, 300, NOW).map(|_| ()), expected, "{claims}");
    }
    let jwt = signer.good(&claims());
    assert_eq!(verify_jwt(&jwt, &issuer, 300, NOW + 330).map(|_| ()), Ok(()));
    assert_eq!(verify_jwt(&jwt, &issuer, 300, NOW + 331).map(|_| ()), Err(JwtError::Expired));
}

#[test]
fn repeated_names_are_refused_at_every_depth() {
    let signer = signer(Algorithm::EdDSA);
    let issuer = issuer(&signer);
    let rest = claims().to_string();
    let rest = &rest[1..];
    let signed = |header: &str, claims: &str| {
        let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        let signed = format!("{}.{}", part(header), part(claims));
        let jwt = format!("{signed}.{}", signer.key.sign(signed.as_bytes()));
        let tested = Claims::danger_assume(claims).map(|_| ());
        (verify_jwt(&jwt, &issuer, 300, NOW).map(|_| ()), tested)
    };
    let header = r#"{"alg":"EdDSA","kid":"k"}"#;
    let repeated = [
        r#""sub":"boss","#,
        r#""\u0073ub":"boss","#,
        r#""a":{"b":1,"b":2},"#,
        r#""a":{"b":{"c":{"d":true,"\u0064":true}}},"#,
        r#""a":[{"b":1,"b":1}],"#,
        r#""a":[[1,[{"":1,"":2}]]],"#,
    ];
    for claim in repeated {
        let expected = (Err(JwtError::NotAJwt), Err(JwtError::NotAJwt));
        assert_eq!(signed(header, &format!("{{{claim}{rest}")), expected, "{claim}");
    }
    let distinct = r#""a":{"b":{"a":1},"c":[{"b":1},{"b":1}]},"#;
    assert_eq!(signed(header, &format!("{{{distinct}{rest}")), (Ok(()), Ok(())));
    for header in [r#"{"alg":"none","alg":"EdDSA"}"#, r#"{"alg":"EdDSA","jwk":{"x":1,"x":2}}"#] {
        assert_eq!(signed(header, &claims().to_string()), (Err(JwtError::NotAJwt), Ok(())));
    }
}

#[test]
fn text_that_is_not_a_jwt_is_refused_before_parsing() {
    let issuer = issuer(&signer(Algorithm::EdDSA));
    let cases = [
        ("", JwtError::NotAJwt),
        ("a.b", JwtError::NotAJwt),
        ("a.b.c.d", JwtError::NotAJwt),
        ("..", JwtError::NotAJwt),
    ];
    for (text, expected) in cases {
        assert_eq!(verify_jwt(text, &issuer, 300, NOW), Err(expected), "{text}");
    }
    let long = "a".repeat(MAX_JWT_BYTES + 1);
    assert_eq!(verify_jwt(&long, &issuer, 300, NOW), Err(JwtError::TooLong));
    assert_eq!(issuer_of(&long), Err(JwtError::TooLong));
    let jwt = signer(Algorithm::EdDSA).good(&claims());
    assert_eq!(issuer_of(&jwt), Ok(UnverifiedIssuer("https://issuer.example".to_owned())));
    assert_eq!((key_id_of(&jwt), key_id_of(&long)), (Ok(Some("k".to_owned())), Err(JwtError::TooLong)));
    for header in [json!({"alg": "EdDSA"}), json!({"alg": "EdDSA", "kid": ["k"]})] {
        assert_eq!(key_id_of(&signer(Algorithm::EdDSA).sign(&header, &claims())), Ok(None));
    }
}

#[test]
fn what_a_rule_allowed_stays_allowed_only_by_that_rule() {
    let rules = |first: Value| {
        let second = json!({
            "name": "second", "issuer": "https://issuer.example", "claims": {"sub": "w*"},
            "actions": ["read_value"], "secrets": {"names": ["B"]}
        });
        AppPolicy::parse(&json!({"format": 1, "rules": [first, second]}).to_string()).unwrap()
    };
    let first = json!({
        "name": "first", "issuer": "https://issuer.example", "claims": {"sub": "workload"},
        "actions": ["read_value"], "secrets": {"names": ["A"]}, "max_life_seconds": 300
    });
    let signer = signer(Algorithm::EdDSA);
    let jwt = verify_jwt(&signer.good(&claims()), &issuer(&signer), 300, NOW).unwrap();
    let policy = rules(first.clone());
    let allowed = policy.decide_any_read(&jwt).unwrap();
    assert_eq!(allowed.rule, "first");
    let stored = Claims::from_exchange(allowed.claims, NOW, NOW + 300);
    let by = |policy: &AppPolicy, secret| {
        policy
            .decide_by_rule("first", &stored, &PolicyQuestion::Read(secret))
            .map(|allowed| allowed.rule)
            .map_err(|denial| denial.nearest.map(|refusal| refusal.reason))
    };
    assert_eq!(by(&policy, "A"), Ok("first".to_owned()));
    // Another rule would allow it, but is not evaluated.
    assert_eq!(by(&policy, "B"), Err(Some(RuleReason::Secret)));
    let mut changed = first.clone();
    changed["max_life_seconds"] = json!(299);
    assert_eq!(by(&rules(changed), "A"), Err(Some(RuleReason::TooLongLived)));
    let mut changed = first.clone();
    changed["claims"]["app"] = json!("shop");
    assert_eq!(by(&rules(changed), "A"), Err(Some(RuleReason::ClaimMissing("app".to_owned()))));
    let mut changed = first;
    changed["name"] = json!("renamed");
    assert_eq!(by(&rules(changed), "A"), Err(None));
}

fn policy() -> AppPolicy {
    AppPolicy::parse(
        &json!({
            "format": 1,
            "rules": [
                {
                    "name": "boots", "issuer": "https://issuer.example", "actions": ["boot"],
                    "bind": {"app": "app", "machine": "vm", "host": "node"}, "max_life_seconds": 300
                },
                {
                    "name": "ci", "issuer": "https://issuer.example", "claims": {"sub": "work*"},
                    "actions": ["read_value"], "secrets": {"names": ["A"], "prefixes": ["DB_"]}
                }
            ]
        })
        .to_string(),
    )
    .unwrap()
}

fn verified(claims: &Value) -> Claims {
    let signer = signer(Algorithm::EdDSA);
    verify_jwt(&signer.good(claims), &issuer(&signer), 900, NOW).unwrap()
}

fn boot_request() -> BootRequest<'static> {
    BootRequest { app_id: APP, app_name: "shop", machine: "m1", host: "h1" }
}

fn not_text(claim: &str) -> RuleReason {
    RuleReason::ClaimType {
        claim: claim.to_owned(),
        condition: Condition::Is(Scalar::Text(Pattern::new("*"))),
    }
}

fn nearest(denial: Result<Allowed, PolicyDenial>) -> (String, RuleReason) {
    let refusal = denial.unwrap_err().nearest.unwrap();
    (refusal.rule, refusal.reason)
}

#[test]
fn a_boot_is_allowed_for_the_app_machine_and_host_in_the_jwt() {
    let policy = policy();
    let texts = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect::<serde_json::Map<_, _>>()
    };
    let allowed = policy.decide_boot(&verified(&claims()), &boot_request()).unwrap();
    let read = texts(&[("app", "shop"), ("iss", "https://issuer.example"), ("node", "h1"), ("vm", "m1")]);
    assert_eq!(allowed, Allowed { rule: "boots".to_owned(), claims: read });
    let by_id = verified(&with("app", json!(APP_TEXT)));
    assert_eq!(policy.decide_boot(&by_id, &boot_request()).unwrap().rule, "boots");

    // Evaluated again with the stored claims.
    let stored = Claims::from_stored(allowed.claims.clone());
    assert_eq!(policy.decide_boot(&stored, &boot_request()), Ok(allowed));
    assert_eq!(
        AppPolicy { format: 1, rules: vec![] }.decide_boot(&stored, &boot_request()),
        Err(PolicyDenial { action: RuleAction::Boot, nearest: None })
    );

    let bound = |claim: &str, resource| RuleReason::Bound { claim: claim.to_owned(), resource };
    let cases = [
        (with("app", json!("Shop")), bound("app", Resource::App)),
        (with("vm", json!("m2")), bound("vm", Resource::Machine)),
        (with("node", json!("h2")), bound("node", Resource::Host)),
        (with("vm", json!(["m1"])), not_text("vm")),
        (with("exp", json!(NOW + 301)), RuleReason::TooLongLived),
    ];
    for (claims, expected) in cases {
        let only_boots = AppPolicy { format: 1, rules: vec![policy.rules[0].clone()] };
        let denial = only_boots.decide_boot(&verified(&claims), &boot_request());
        assert_eq!(nearest(denial), ("boots".to_owned(), expected), "{claims}");
    }
}

#[test]
fn a_read_is_allowed_for_named_secrets_and_matching_claims() {
    let policy = policy();
    let claims_read = |claims: &Value, secret: &str| policy.decide_read(&verified(claims), secret);
    assert_eq!(claims_read(&claims(), "A").unwrap().rule, "ci");
    assert_eq!(claims_read(&claims(), "DB_URL").unwrap().rule, "ci");
    assert_eq!(nearest(claims_read(&claims(), "DB")), ("ci".to_owned(), RuleReason::Secret));
    let boss = with("sub", json!("boss"));
    let ci = AppPolicy { format: 1, rules: vec![policy.rules[1].clone()] };
    let denied = ci.decide_read(&verified(&boss), "A");
    assert_eq!(
        denied.as_ref().unwrap_err().to_string(),
        "no rule of the app's policy allows this; the nearest, \"ci\", does not match the claim sub; compare its condition"
    );
    let condition = Condition::Is(Scalar::Text(Pattern::new("work*")));
    assert_eq!(nearest(denied), ("ci".to_owned(), RuleReason::Claim { claim: "sub".to_owned(), condition }));
    let missing = verified(&without("sub"));
    assert_eq!(nearest(ci.decide_read(&missing, "A")).1, RuleReason::ClaimMissing("sub".to_owned()));
}

#[test]
fn an_explanation_names_everything_that_refuses_and_the_nearest_rule() {
    let policy = policy();
    let boot = PolicyQuestion::Boot(BootRequest { machine: "m2", ..boot_request() });
    let mut lists = with("vm", json!(["m1"]));
    lists.as_object_mut().unwrap().remove("node");
    let claims = Claims::danger_assume(&lists.to_string()).unwrap();
    let explained = policy.explain(&claims, &boot);
    let bound = |claim: &str, text: &str| Change::Bound { claim: claim.to_owned(), text: text.to_owned() };
    let not_text = ExplainedRefusal {
        reason: not_text("vm"),
        change: bound("vm", "m2"),
        had: Some("[\"m1\"]".to_owned()),
    };
    let missing = ExplainedRefusal {
        reason: RuleReason::ClaimMissing("node".to_owned()),
        change: bound("node", "h1"),
        had: None,
    };
    let no_boot = ExplainedRefusal {
        reason: RuleReason::Action(RuleAction::Boot),
        change: Change::OtherRule(RuleAction::Boot),
        had: None,
    };
    let boots = RuleExplanation { rule: "boots".to_owned(), refusals: vec![not_text, missing] };
    let ci = RuleExplanation { rule: "ci".to_owned(), refusals: vec![no_boot] };
    assert_eq!(explained.rules, [boots.clone(), ci]);
    assert_eq!(explained.nearest(), Some(&boots), "a rule that reads is not near a boot");
    assert_eq!(explained.decision, policy.decide(&claims, &boot));

    let boss = Claims::danger_assume(&with("sub", json!("boss")).to_string()).unwrap();
    let read = policy.explain(&boss, &PolicyQuestion::Read("C"));
    assert_eq!(read.nearest(), Some(&read.rules[1]));
    let changes: Vec<_> = read.rules[0].refusals.iter().map(|refusal| refusal.change.to_string()).collect();
    assert_eq!(changes, ["add another rule: this one does not allow reading"]);
    let changes: Vec<_> = read.rules[1].refusals.iter().map(|refusal| refusal.change.to_string()).collect();
    assert_eq!(
        changes,
        [
            "have the issuer set the claim sub to text that matches \"work*\"",
            "if such JWTs may read it, add \"C\" to the names in the rule's \"secrets\""
        ]
    );
    let worker = Claims::danger_read_unverified(&signer(Algorithm::EdDSA).good(&self::claims())).unwrap();
    let allowed = policy.explain(&worker, &PolicyQuestion::Read("A"));
    assert_eq!((allowed.nearest(), allowed.rules[1].refusals.len()), (None, 0));
}

#[test]
fn the_nearest_rule_has_the_fewest_failed_conditions() {
    let rule = |name: &str, claims: Value| {
        json!({"name": name, "issuer": "https://issuer.example", "claims": claims, "actions": ["read_value"],
            "secrets": {"names": ["A"]}})
    };
    let policy =
        |rules: &[Value]| AppPolicy::parse(&json!({"format": 1, "rules": rules}).to_string()).unwrap();
    let nearest = |rules: &[Value], secret: &str| {
        let policy = policy(rules);
        let (claims, question) = (verified(&claims()), PolicyQuestion::Read(secret));
        let explained = policy.explain(&claims, &question);
        let denial = policy.decide(&claims, &question).unwrap_err();
        assert_eq!(explained.nearest().map(|rule| rule.rule.clone()), denial.nearest.map(|rule| rule.rule));
        explained.nearest().unwrap().rule.clone()
    };
    // Its first failure is the earliest, but the only one.
    let missing = rule("missing", json!({"zone": "eu"}));
    let two = rule("two", json!({"sub": "x", "vm": "x"}));
    assert_eq!(nearest(&[two.clone(), missing.clone()], "A"), "missing");
    // Of as many, the one that refused last; then the first.
    let other = rule("other", json!({"sub": "x"}));
    assert_eq!(nearest(&[missing.clone(), other.clone(), two.clone()], "A"), "other");
    let same = rule("same", json!({"sub": "y"}));
    assert_eq!(nearest(&[same, other], "A"), "same");
    // The secret counts, too.
    assert_eq!(nearest(&[two, missing], "B"), "missing");
}

#[test]
fn rules_that_allow_too_much_are_refused() {
    let rule = |change: &dyn Fn(&mut Value)| {
        let mut rule = json!({
            "name": "r", "issuer": "i", "claims": {"sub": "x"}, "actions": ["boot", "read_value"],
            "secrets": {"names": ["A"]}, "bind": {"app": "a", "machine": "m", "host": "h"}
        });
        change(&mut rule);
        match AppPolicy::parse(&json!({"format": 1, "rules": [rule]}).to_string()) {
            Ok(_) => Ok(()),
            Err(PolicyError::Rule { problem, .. }) => Err(Some(problem)),
            Err(_) => Err(None),
        }
    };
    type Change<'c> = &'c dyn Fn(&mut Value);
    let cases: [(Change<'_>, Result<(), Option<RuleProblem>>); 18] = [
        (&|_| {}, Ok(())),
        (&|rule| rule["bind"] = Value::Null, Err(Some(RuleProblem::BindMissing))),
        (&|rule| rule["bind"]["host"] = json!("m"), Err(Some(RuleProblem::Bind))),
        (&|rule| rule["bind"]["host"] = json!("iss"), Err(Some(RuleProblem::Bind))),
        (&|rule| rule["bind"]["host"] = json!(""), Err(Some(RuleProblem::Bind))),
        (&|rule| rule["actions"] = json!(["read_value"]), Err(Some(RuleProblem::BindWithoutBoot))),
        (&|rule| rule["actions"] = json!(["boot"]), Err(Some(RuleProblem::SecretsWithoutRead))),
        (&|rule| rule["actions"] = json!([]), Err(Some(RuleProblem::Actions))),
        (&|rule| rule["actions"] = json!(["boot", "boot"]), Err(Some(RuleProblem::Actions))),
        (&|rule| rule["actions"] = json!(["fly"]), Err(None)),
        (&|rule| rule["secrets"] = json!({}), Err(Some(RuleProblem::SecretsMissing))),
        (&|rule| rule["claims"] = json!({}), Err(Some(RuleProblem::ReadsUnrestricted))),
        (&|rule| rule["claims"] = json!({"sub": "*"}), Err(Some(RuleProblem::ReadsUnrestricted))),
        (&|rule| rule["max_life_seconds"] = json!(3600), Ok(())),
        (&|rule| rule["max_life_seconds"] = json!(3601), Err(Some(RuleProblem::MaxLife))),
        (&|rule| rule["max_life_seconds"] = json!(0), Err(Some(RuleProblem::MaxLife))),
        (&|rule| rule["audiences"] = json!(["a"]), Err(Some(RuleProblem::Audiences))),
        (&|rule| rule["surprise"] = json!(1), Err(None)),
    ];
    for (index, (change, expected)) in cases.into_iter().enumerate() {
        assert_eq!(rule(change), expected, "case {index}");
    }
    assert!(matches!(AppPolicy::parse(r#"{"format":2,"rules":[]}"#), Err(PolicyError::Format(2))));
    let long = format!("{}{{}}", " ".repeat(MAX_POLICY_BYTES));
    assert!(matches!(AppPolicy::parse(&long), Err(PolicyError::TooLong)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_text_is_neither_a_jwt_nor_a_policy(text in ".{0,200}", parts in proptest::collection::vec("[A-Za-z0-9_-]{0,40}", 3)) {
        let issuer = issuer(&signer(Algorithm::EdDSA));
        prop_assert_eq!(verify_jwt(&text, &issuer, 300, NOW), Err(JwtError::NotAJwt));
        prop_assert_eq!(verify_jwt(&parts.join("."), &issuer, 300, NOW), Err(JwtError::NotAJwt));
        prop_assert!(matches!(AppPolicy::parse(&text), Err(PolicyError::Json(_))));
    }

    #[test]
    fn a_pattern_matches_texts_made_of_its_pieces(pieces in proptest::collection::vec("[ab]{0,3}", 1..5), between in "[ab]{0,3}") {
        let pattern = Pattern::new(&pieces.join("*"));
        prop_assert!(pattern.matches(&pieces.join(&between)));
    }

    #[test]
    fn after_the_changes_of_an_explanation_its_rule_allows(
        texts in proptest::collection::vec(prop_oneof![Just(json!("a")), Just(json!("b")), Just(json!(["a"])), Just(Value::Null)], 4),
        patterns in proptest::collection::vec(prop_oneof![Just("a"), Just("*"), Just("b*"), Just("c")], 4),
        longest in prop_oneof![Just(1_u32), Just(300)],
        asks_boot: bool, lets_boot: bool, issuer in prop_oneof![Just("i"), Just("j")],
    ) {
        let names = ["app", "vm", "node", "team"];
        let mut json: Value = json!({"iss": "i", "iat": 0, "exp": 60});
        for (name, text) in names.into_iter().zip(texts) {
            json[name] = text;
        }
        let patterns: BTreeMap<&str, &str> = names.into_iter().zip(patterns).collect();
        let mut rule = json!({"name": "r", "issuer": issuer, "claims": patterns, "max_life_seconds": longest});
        if lets_boot {
            rule["actions"] = json!(["boot"]);
            rule["bind"] = json!({"app": "app", "machine": "vm", "host": "node"});
        } else {
            rule["actions"] = json!(["read_value"]);
            rule["secrets"] = json!({"names": ["S"]});
        }
        let boot = BootRequest { app_id: APP, app_name: "a", machine: "b", host: "c" };
        let question = if asks_boot { PolicyQuestion::Boot(boot) } else { PolicyQuestion::Read("T") };
        let policy: AppPolicy = serde_json::from_value(json!({"format": 1, "rules": [rule]})).unwrap();
        let claims = Claims::danger_assume(&json.to_string()).unwrap();
        let explained = policy.explain(&claims, &question);
        prop_assert_eq!(&explained.decision, &policy.decide(&claims, &question));
        prop_assert_eq!(explained.decision.is_ok(), explained.rules[0].refusals.is_empty());
        if asks_boot != lets_boot {
            let action = if asks_boot { RuleAction::Boot } else { RuleAction::ReadValue };
            let changes: Vec<_> = explained.rules[0].refusals.iter().map(|refusal| &refusal.change).collect();
            prop_assert_eq!(changes, [&Change::OtherRule(action)]);
            prop_assert_eq!(explained.decision, Err(PolicyDenial { action, nearest: None }));
            return Ok(());
        }
        for ExplainedRefusal { change, .. } in &explained.rules[0].refusals {
            match change {
                Change::Issuer(issuer) => json["iss"] = json!(issuer),
                Change::Claim { claim, conditions } => match &conditions[..] {
                    [Condition::Is(Scalar::Text(pattern))] => {
                        json[claim] = json!(pattern.as_str().replace('*', ""));
                    }
                    other => panic!("{other:?}"),
                },
                Change::Bound { claim, text } => json[claim] = json!(text),
                Change::Life { seconds } => json["exp"] = json!(seconds),
                Change::RulePattern { claim, text } => {
                    rule["claims"][claim] = json!(text);
                    json[claim] = json!(text);
                }
                Change::OwnAudience | Change::RuleAudience(_) | Change::OtherRule(_) => panic!("{change}"),
                Change::RuleSecret(secret) => rule["secrets"]["names"] = json!([secret]),
            }
        }
        let policy: AppPolicy = serde_json::from_value(json!({"format": 1, "rules": [rule]})).unwrap();
        let claims = Claims::danger_assume(&json.to_string()).unwrap();
        prop_assert_eq!(policy.decide(&claims, &question).map(|allowed| allowed.rule), Ok("r".to_owned()));
    }
}

#[test]
fn a_rule_for_a_discharger_allows_its_subjects_alone() {
    let rule = json!({
        "name": "auth", "discharger": "https://auth.example", "claims": {"sub": "*@example.com"}, "actions": ["boot"]
    });
    let parse = |rules: &[Value]| AppPolicy::parse(&json!({"format": 1, "rules": rules}).to_string());
    let policy = parse(std::slice::from_ref(&rule)).unwrap();
    let named =
        |location: &str, sub: &str| policy.rule_for_subject(location, sub).map(|rule| rule.name.as_str());
    assert_eq!(named("https://auth.example", "ann@example.com"), Some("auth"));
    assert_eq!(named("https://auth.example", "ann@other.example"), None);
    assert_eq!(named("https://other.example", "ann@example.com"), None);
    // It is no rule for JWTs, whatever they claim.
    let claims = Claims::from_stored(
        [("iss", ""), ("sub", "ann@example.com")]
            .map(|(name, text)| (name.to_owned(), json!(text)))
            .into_iter()
            .collect(),
    );
    assert_eq!(
        policy.decide_any_read(&claims),
        Err(PolicyDenial { action: RuleAction::ReadValue, nearest: None })
    );
    let request = BootRequest { app_id: [1; 16], app_name: "shop", machine: "m-1", host: "h-1" };
    assert_eq!(
        policy.decide_boot(&claims, &request),
        Err(PolicyDenial { action: RuleAction::Boot, nearest: None })
    );

    type Change = fn(&mut Value);
    let cases: [(Change, Option<RuleProblem>); 9] = [
        (|rule| rule["claims"] = json!({}), None),
        (|rule| rule["issuer"] = json!("https://issuer.example"), Some(RuleProblem::Issuer)),
        (|rule| rule["discharger"] = json!(""), Some(RuleProblem::Issuer)),
        (|rule| rule["actions"] = json!(["boot", "read_value"]), Some(RuleProblem::Discharger)),
        (|rule| rule["claims"]["team"] = json!("a"), Some(RuleProblem::Discharger)),
        (|rule| rule["claims"]["sub"] = json!(""), Some(RuleProblem::Discharger)),
        (
            |rule| rule["bind"] = json!({"app": "a", "machine": "m", "host": "h"}),
            Some(RuleProblem::Discharger),
        ),
        (|rule| rule["secrets"] = json!({"names": ["A"]}), Some(RuleProblem::Discharger)),
        (|rule| rule["max_life_seconds"] = json!(60), Some(RuleProblem::Discharger)),
    ];
    for (change, expected) in cases {
        let mut changed = rule.clone();
        change(&mut changed);
        let problem = match parse(std::slice::from_ref(&changed)) {
            Ok(_) => None,
            Err(PolicyError::Rule { problem, .. }) => Some(problem),
            Err(other) => panic!("{changed}: {other}"),
        };
        assert_eq!(problem, expected, "{changed}");
    }
}
