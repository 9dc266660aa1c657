//! Signing keys are replaced while tokens are in use, and revoked when they have a successor.

use petsem_api::{ErrorCode, RevokeRequest, RotateSigningKey, SigningKeyId, SigningKeyInfo, SigningKeyState};
use petsem_policy::UnverifiedToken;
use serde_json::json;

use crate::error::Failure;
use crate::lab::{Demo, code};

async fn uses(demo: &Demo, token: &str) -> Result<(), ErrorCode> {
    code(demo.list(token, "shop").await.map(drop))
}

fn kid(token: &str) -> SigningKeyId {
    SigningKeyId::from_bytes(UnverifiedToken::parse(token).unwrap().kid().try_into().unwrap())
}

async fn list(demo: &Demo, token: &str) -> Result<Vec<SigningKeyInfo>, Failure> {
    let list = async |engine: &crate::Engine, audit: &mut _, principal: &_, now| {
        engine.list_signing_keys(audit, principal, now).await
    };
    demo.call(token, list).await.map(|list| list.signing_keys)
}

/// The state of each key, and whether it is an org's.
async fn states(demo: &Demo) -> Vec<(SigningKeyState, bool)> {
    let keys = list(demo, &demo.tokens.operator).await.unwrap();
    keys.iter().map(|key| (key.state, key.org.is_some())).collect()
}

async fn rotate(demo: &Demo, token: &str, org: Option<&str>) -> Result<SigningKeyInfo, Failure> {
    let wanted = RotateSigningKey { org: org.map(|org| org.parse().unwrap()) };
    demo.call(token, async |engine, audit, principal, now| {
        engine.rotate_signing_key(audit, principal, &wanted, now).await
    })
    .await
}

async fn rotated(demo: &Demo, org: Option<&str>) {
    let key = rotate(demo, &demo.tokens.operator, org).await.unwrap();
    assert_eq!((key.state, key.org.is_some()), (SigningKeyState::Current, org.is_some()));
}

/// A token for the org, minted with the operator's.
async fn of_org(demo: &Demo, actions: &[&str]) -> String {
    let wanted = json!({"kind": "org", "org": "demo", "actions": actions});
    demo.mint(&demo.tokens.operator, wanted).await.unwrap().token
}

#[tokio::test]
async fn tokens_of_the_previous_key_stay_valid_and_new_ones_use_the_new_key() {
    let demo = Demo::new().await;
    let old = of_org(&demo, &["list"]).await;
    rotated(&demo, Some("demo")).await;
    let new = of_org(&demo, &["list"]).await;
    assert_ne!(kid(&old), kid(&new));
    // The platform's key is separate: the operator's own token is signed by it, and mints as before.
    rotated(&demo, None).await;
    let newest = of_org(&demo, &["list"]).await;
    assert_eq!(kid(&new), kid(&newest));

    let expected = [
        (SigningKeyState::Current, false),
        (SigningKeyState::Verifying, false),
        (SigningKeyState::Current, true),
        (SigningKeyState::Verifying, true),
    ];
    assert_eq!(states(&demo).await, expected);
    for token in [&old, &new, &newest] {
        assert_eq!(uses(&demo, token).await, Ok(()));
    }
    // The host's token and its boots still work with the old platform key, also after a start.
    let version = demo.set(&demo.tokens.operator, "shop", json!({"GREETING": "hello"})).await.unwrap();
    let demo = demo.restarted().await;
    assert_eq!(states(&demo).await, expected);
    assert_eq!(uses(&demo, &old).await, Ok(()));
    let discharge = demo.discharge("shop", "m-1").await.unwrap();
    assert_eq!(demo.boot("shop", "m-1", &discharge).await.unwrap().version, version);
}

#[tokio::test]
async fn only_a_replaced_key_is_revoked_and_its_tokens_with_it() {
    let demo = Demo::new().await;
    let old = of_org(&demo, &["list", "mint"]).await;
    let id = kid(&old);
    let known = list(&demo, &demo.tokens.operator).await.unwrap();
    assert!(known.iter().any(|key| key.id == id), "{id} is not in {known:?}");
    let what = RevokeRequest::SigningKey { id };
    let refused = demo.revoke(&demo.tokens.operator, &what).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Conflict);
    assert!(refused.external().contains("petsem signing-key rotate"), "{}", refused.external());
    assert_eq!(uses(&demo, &old).await, Ok(()));

    rotated(&demo, Some("demo")).await;
    // Signed by the new key, but minted with a token of the old one: it is revoked too.
    let wanted = json!({"kind": "org", "org": "demo", "actions": ["list"]});
    let child = demo.mint(&old, wanted).await.unwrap().token;
    assert_ne!(kid(&child), id);
    let new = of_org(&demo, &["list"]).await;
    demo.revoke(&demo.tokens.operator, &what).await.unwrap();
    assert_eq!(uses(&demo, &old).await, Err(ErrorCode::Revoked));
    assert_eq!(uses(&demo, &child).await, Err(ErrorCode::Revoked));
    assert_eq!(uses(&demo, &new).await, Ok(()));
    let demo = demo.restarted().await;
    assert_eq!(uses(&demo, &old).await, Err(ErrorCode::Revoked));
    assert_eq!(uses(&demo, &child).await, Err(ErrorCode::Revoked));
    assert_eq!(uses(&demo, &new).await, Ok(()));
    assert_eq!(states(&demo).await.last(), Some(&(SigningKeyState::Revoked, true)));
}

#[tokio::test]
async fn only_operators_see_and_replace_signing_keys() {
    let demo = Demo::new().await;
    let org = demo.mint(&demo.tokens.operator, json!({"kind": "org", "org": "demo"})).await.unwrap().token;
    assert_eq!(code(list(&demo, &org).await), Err(ErrorCode::Forbidden));
    assert_eq!(code(rotate(&demo, &org, Some("demo")).await), Err(ErrorCode::Forbidden));
    assert_eq!(code(rotate(&demo, &org, None).await), Err(ErrorCode::Forbidden));
    let nowhere = rotate(&demo, &demo.tokens.operator, Some("nowhere")).await;
    assert_eq!(code(nowhere), Err(ErrorCode::NotFound));
    assert_eq!(states(&demo).await, [(SigningKeyState::Current, false), (SigningKeyState::Current, true)]);
}
