//! Why was I denied? The caveat or rule that refuses, and what would pass, if the client may know it.

use petsem_api::{ErrorCode, Explanation};
use petsem_policy::{Action, ActionSet, Actions, Caveat, SecretNames};
use serde_json::{Value, json};

use crate::error::Failure;
use crate::lab::{Demo, appended, body, code};

async fn explain(demo: &Demo, token: &str, wanted: Value) -> Result<Explanation, Failure> {
    let wanted = body(wanted);
    demo.call(token, async |engine, audit, principal, now| {
        engine.explain(audit, principal, &wanted, now).await
    })
    .await
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
