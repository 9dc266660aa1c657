//! What comes of the platform reads nothing, also not through what it may change: no rule, no secret key.

use petsem_api::{Approve, ErrorCode, PolicyDocument};
use serde_json::{Value, json};

use crate::approvals::request::Requested;
use crate::error::Failure;
use crate::lab::{Demo, ISSUER, app_ref, body, code};
use crate::records::FeedRow;
use crate::request::local_record;
use crate::secret_keys::KeyRequest;

fn rule(name: &str) -> Value {
    json!({"name": name, "issuer": ISSUER, "claims": {"sub": name}, "actions": ["read_value"], "secrets": {"prefixes": [""]}})
}

async fn put(demo: &Demo, token: &str, rules: &[Value]) -> Result<Requested<PolicyDocument>, Failure> {
    let wanted = body(json!({"policy": {"format": 1, "rules": rules}}));
    demo.call(token, async |engine, audit, principal, now| {
        engine.put_policy(audit, principal, &app_ref("shop"), wanted, now).await
    })
    .await
}

/// The version of a policy that is set at once; `None` if it waits.
async fn set(demo: &Demo, token: &str, rules: &[Value]) -> Option<u64> {
    match put(demo, token, rules).await.unwrap() {
        Requested::Done(set) => Some(set.version),
        Requested::Pending(_) => None,
    }
}

async fn sign(demo: &Demo, token: &str) -> Result<(), Failure> {
    let (app, name, wanted) = (app_ref("shop"), "k".parse().unwrap(), body(json!({"plaintext": "bQ=="})));
    demo.call(token, async |engine, audit, principal, now| {
        let request = KeyRequest { principal, app: &app, name: &name, min_version: None, now };
        engine.sign(audit, &request, &wanted).await
    })
    .await
    .map(drop)
}

#[tokio::test]
async fn a_rule_of_the_platform_waits_for_a_second_person_and_its_removal_does_not() {
    let demo = Demo::new().await;
    let (operator, owner) = (&demo.tokens.operator, &demo.tokens.owner);
    let minted = demo.mint(operator, json!({"kind": "org", "org": "demo"})).await.unwrap().token;
    let of_owner = demo.mint(owner, json!({"kind": "org", "org": "demo"})).await.unwrap().token;
    let first = set(&demo, owner, &[rule("a"), rule("b")]).await.unwrap();
    for token in [operator, &minted] {
        assert_eq!(set(&demo, token, &[rule("a"), rule("b"), rule("eve")]).await, None);
        let mut changed = rule("a");
        changed["claims"] = json!({"sub": "eve"});
        assert_eq!(set(&demo, token, &[changed, rule("b")]).await, None, "a changed rule is a new one");
    }
    assert_eq!(set(&demo, operator, &[rule("b"), rule("a")]).await, Some(first + 1));
    assert_eq!(set(&demo, &minted, &[rule("a")]).await, Some(first + 2));
    assert_eq!(set(&demo, operator, &[]).await, Some(first + 3));
    // Taken away is not given back alone.
    assert_eq!(set(&demo, operator, &[rule("a")]).await, None);
    assert_eq!(set(&demo, &of_owner, &[rule("a"), rule("eve")]).await, Some(first + 4));
}

#[tokio::test]
async fn the_second_person_sets_the_rule_of_the_platform() {
    let demo = Demo::new().await;
    let (operator, owner) = (&demo.tokens.operator, &demo.tokens.owner);
    let Requested::Pending(waits) = put(&demo, operator, &[rule("a")]).await.unwrap() else {
        panic!("it is set")
    };
    let other = demo.mint(operator, json!({"kind": "operator", "subject": "eve"})).await.unwrap().token;
    let approve = async |token: &str| {
        demo.call(token, async |engine, audit, principal, now| {
            engine.approve(audit, principal, waits.id, &Approve::default(), now).await
        })
        .await
        .map(drop)
    };
    assert_eq!(code(approve(operator).await), Err(ErrorCode::Forbidden));
    assert_eq!(code(approve(&other).await), Err(ErrorCode::Forbidden), "its minter is behind it");
    assert_eq!(code(approve(owner).await), Ok(()));
    let policy = demo
        .call(owner, async |engine, audit, principal, _| {
            engine.show_policy(audit, principal, &app_ref("shop")).await
        })
        .await
        .unwrap();
    assert_eq!(policy.policy["rules"], json!([rule("a")]));
}

#[tokio::test]
async fn a_request_for_an_earlier_version_of_the_policy_is_shown_as_outdated() {
    let demo = Demo::new().await;
    let (operator, owner) = (&demo.tokens.operator, &demo.tokens.owner);
    let mut waiting = Vec::new();
    for name in ["a", "b"] {
        let Requested::Pending(waits) = put(&demo, operator, &[rule(name)]).await.unwrap() else {
            panic!("it is set")
        };
        waiting.push(waits.id);
    }
    let listed = async || {
        let list = demo
            .call(owner, async |engine, audit, principal, now| {
                engine.list_approvals(audit, principal, now).await
            })
            .await
            .unwrap();
        list.approvals.into_iter().map(|one| (one.id, one.outdated)).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, [(waiting[0], false), (waiting[1], false)]);
    demo.call(owner, async |engine, audit, principal, now| {
        engine.approve(audit, principal, waiting[0], &Approve::default(), now).await
    })
    .await
    .unwrap();
    assert_eq!(listed().await, [(waiting[0], false), (waiting[1], true)]);
    let late = demo
        .call(owner, async |engine, audit, principal, now| {
            engine.approve(audit, principal, waiting[1], &Approve::default(), now).await
        })
        .await;
    assert_eq!(code(late.map(drop)), Err(ErrorCode::StaleVersion));
}

#[tokio::test]
async fn a_token_of_the_platform_uses_no_secret_key() {
    let demo = Demo::new().await;
    let (operator, owner) = (&demo.tokens.operator, &demo.tokens.owner);
    let (app, name, wanted) = (app_ref("shop"), "k".parse().unwrap(), body(json!({"type": "hs256"})));
    demo.call(operator, async |engine, audit, principal, now| {
        let request = KeyRequest { principal, app: &app, name: &name, min_version: None, now };
        engine.generate_secret_key(audit, &request, &wanted).await
    })
    .await
    .unwrap();
    let mint = async |parent: &str, wanted: Value| demo.mint(parent, wanted).await.unwrap().token;
    let minted = mint(operator, json!({"kind": "org", "org": "demo"})).await;
    let names_it = mint(operator, json!({"kind": "org", "org": "demo", "actions": ["use_key"]})).await;
    let of_owner = mint(owner, json!({"kind": "org", "org": "demo", "actions": ["use_key"]})).await;
    for token in [operator, &minted, &names_it] {
        let refused = sign(&demo, token).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Forbidden);
        assert!(refused.external().contains("never uses secret keys"), "{}", refused.external());
        let wanted = body(json!({"action": "use_key", "app": "shop", "secret_key": "k"}));
        let explained = demo
            .call(token, async |engine, audit, principal, now| {
                engine.explain(audit, principal, &wanted, now).await
            })
            .await
            .unwrap();
        let codes: Vec<_> =
            explained.tokens[0].refusals.iter().map(|refusal| refusal.code.as_str()).collect();
        assert_eq!((explained.allowed, codes), (false, vec!["platform"]));
    }
    for token in [owner, &of_owner] {
        assert_eq!(code(sign(&demo, token).await), Ok(()));
    }
}

#[tokio::test]
async fn a_token_stays_the_platforms_after_the_key_behind_it_is_destroyed() {
    let demo = Demo::new().await;
    let minted = demo.mint(&demo.tokens.operator, json!({"kind": "org", "org": "demo"})).await.unwrap().token;
    let engine = &demo.lab.engine;
    let [key] = engine.control().keys_of(None).await.unwrap().0.try_into().unwrap();
    let mut audit = local_record(engine.now(), "test");
    let destroyed = FeedRow::SigningKeyDestroyed { key, at: 1 };
    engine.commit_control(&mut audit, &[destroyed], |_| {}).await.unwrap();
    assert_eq!(set(&demo, &minted, &[rule("a")]).await, None);
    assert_eq!(code(sign(&demo, &minted).await), Err(ErrorCode::Forbidden));
}
