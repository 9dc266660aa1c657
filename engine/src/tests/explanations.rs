//! Why was I denied? The caveat or rule that refuses, and what would pass, if the client may know it.

use petsem_api::{ErrorCode, Explanation};
use petsem_policy::{Action, ActionSet, Actions, Caveat, SecretNames, UnverifiedToken};
use serde_json::{Value, json};

use crate::error::Failure;
use crate::lab::{Demo, ISSUER, appended, body, code};

async fn explain(demo: &Demo, token: &str, wanted: Value) -> Result<Explanation, Failure> {
    let wanted = body(wanted);
    demo.call(token, async |engine, audit, principal, now| {
        engine.explain(audit, principal, &wanted, now).await
    })
    .await
}

#[tokio::test]
async fn a_refusal_by_a_caveat_says_what_the_caveat_is_and_what_the_request_has() {
    let demo = Demo::new().await;
    let token = demo.mint(&demo.tokens.owner, json!({"kind": "org", "org": "demo"})).await.unwrap().token;
    let refused = async |caveats: Vec<Caveat>| {
        let narrowed = appended(&token, caveats);
        let id = UnverifiedToken::parse(&narrowed).unwrap().id();
        let refused = demo.set_one(&narrowed, "shop", "DB_URL").await.unwrap_err();
        let text = refused.external().strip_prefix(&format!("token {id}, caveat ")).unwrap().to_owned();
        (refused.code(), text.split_once(' ').unwrap().1.to_owned())
    };
    let names = SecretNames::new(["A".to_owned()], ["SMTP_".to_owned()]);
    assert_eq!(
        refused(vec![names.into()]).await,
        (
            ErrorCode::Forbidden,
            "(type 65538), \"only secrets: A, SMTP_*\": it does not allow this secret, DB_URL; use a token that does"
                .to_owned()
        )
    );
    let list = Actions(ActionSet::from_iter([Action::List]));
    assert_eq!(
        refused(vec![list.into()]).await,
        (
            ErrorCode::Forbidden,
            "(type 65539), \"only actions: list\": it does not allow write; use a token that does".to_owned()
        )
    );
    // A long list is cut, and what petsem does not know is not described.
    let many = SecretNames::new((0..64).map(|number| format!("NAME_{number}")), []);
    let (_, text) = refused(vec![many.into()]).await;
    assert!(text.contains("…\": it does not allow this secret, DB_URL"), "{text}");
    let unknown = Caveat::from_wire(65_700, &[0x91, 0x01]).unwrap();
    assert_eq!(
        refused(vec![unknown]).await.1,
        "(type 65700): petsem does not know this caveat in this place; use a token without it"
    );
}

#[tokio::test]
async fn a_jwt_for_another_audience_or_with_a_long_life_is_refused_with_what_is_needed() {
    let demo = Demo::new().await;
    let now = demo.lab.engine.now().seconds();
    let name = format!("{:?} is this installation's name", demo.lab.engine.settings.name);
    let long = json!({"iat": now, "exp": now + 901});
    for (refused, needed) in [
        (demo.read_with("shop", json!({"aud": "other"})).await.unwrap_err(), name.as_str()),
        (demo.discharge_with("shop", "m-1", json!({"aud": ["other"]})).await.unwrap_err(), &name),
        (demo.read_with("shop", long.clone()).await.unwrap_err(), "at most 900 s"),
        (demo.discharge_with("shop", "m-1", long).await.unwrap_err(), "at most 300 s"),
    ] {
        assert_eq!(refused.code(), ErrorCode::TokenInvalid);
        assert!(refused.external().ends_with(needed), "{}", refused.external());
    }
}

#[tokio::test]
async fn a_policy_that_does_not_parse_names_the_field() {
    let demo = Demo::new().await;
    let rule = |field: &str, value: Value| {
        let mut rule = json!({"name": "r", "issuer": ISSUER, "claims": {"sub": "a"}, "actions": ["read_value"], "secrets": {"prefixes": [""]}});
        rule[field] = value;
        json!({"format": 1, "rules": [rule]})
    };
    for (policy, text) in [
        (rule("claim", json!({"sub": "a"})), "unknown field `claim`; known are name, issuer, "),
        (
            rule("actions", json!("read_value")),
            "a wrong type or a number out of range (field rules[0].actions)",
        ),
        (
            rule("secrets", json!({"prefix": ["A"]})),
            "unknown field `prefix`; known are names, prefixes (field rules[0].secrets)",
        ),
        (json!({"format": 1}), "missing field `rules`"),
    ] {
        let refused = demo.put_policy("shop", policy).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::BadPolicy);
        let text = format!("the policy does not parse: {text}");
        assert!(refused.external().starts_with(&text), "{}", refused.external());
    }
}

#[tokio::test]
async fn every_refusing_caveat_and_rule_is_named_and_without_it_the_request_is_allowed() {
    let demo = Demo::new().await;
    let wanted = json!({"kind": "org", "org": "demo", "actions": ["list", "write"]});
    let org = demo.mint(&demo.tokens.operator, wanted).await.unwrap().token;
    let wanted = json!({"action": "write", "app": "shop", "secret": "DB_URL"});
    assert!(explain(&demo, &org, wanted.clone()).await.unwrap().allowed);

    let narrow: [Caveat; 2] = [
        Actions(ActionSet::from_iter([Action::List])).into(),
        SecretNames::new([], ["SMTP_".to_owned()]).into(),
    ];
    let narrowed = appended(&org, narrow.clone());
    let both = explain(&demo, &narrowed, wanted).await.unwrap();
    let line = demo.last_line();
    assert_eq!(line["outcome"], "allowed", "{line}");
    assert!(!both.allowed);
    let [token] = both.tokens.as_slice() else { panic!("{both:?}") };
    let refusals: Vec<_> =
        token.refusals.iter().map(|refusal| (refusal.code.as_str(), refusal.caveat.clone())).collect();
    assert_eq!(
        refusals,
        [("action_not_allowed", Some(narrow[0].describe())), ("other_resource", Some(narrow[1].describe()))]
    );
    // The request gets the answer that the explanation predicts.
    let set = demo.set_one(&narrowed, "shop", "DB_URL").await.map(drop);
    assert_eq!(code(set), Err(ErrorCode::Forbidden));
    let line = demo.last_line();
    assert_eq!(line["outcome"], "denied", "{line}");
}

#[tokio::test]
async fn an_explanation_does_not_reveal_what_exists() {
    let demo = Demo::new().await;
    demo.org("rivals").await.unwrap();
    demo.app("demo", "other").await.unwrap();
    let operator = &demo.tokens.operator;
    let rivals = demo.mint(operator, json!({"kind": "org", "org": "rivals"})).await.unwrap().token;
    let wanted = json!({"kind": "org", "org": "demo", "apps": ["other"]});
    let of_other = demo.mint(operator, wanted).await.unwrap().token;
    let ask = async |token: &str, wanted: Value| {
        let failure = explain(&demo, token, wanted).await.unwrap_err();
        (failure.code(), failure.external().to_owned())
    };
    for token in [&rivals, &of_other] {
        let there = ask(token, json!({"action": "write", "app": "shop"})).await;
        assert_eq!(there.0, ErrorCode::Forbidden);
        assert_eq!(ask(token, json!({"action": "write", "app": "nowhere"})).await, there);
    }
    let there = ask(&rivals, json!({"action": "list", "org": "demo"})).await;
    assert_eq!(there.0, ErrorCode::Forbidden);
    assert_eq!(ask(&rivals, json!({"action": "list", "org": "nowhere"})).await, there);
    assert_eq!(ask(&rivals, json!({"action": "fly"})).await.0, ErrorCode::BadRequest);
}
