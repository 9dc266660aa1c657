//! Revoked credentials, and everything derived from them, are refused immediately.

use petsem_api::{BootResponse, ErrorCode, RevokeRequest, SigningKeyId, TokenUuid};
use petsem_policy::{Action, ActionSet, Actions, TokenId, UnverifiedToken};
use serde_json::json;

use crate::authn::token_id::token_uuid;
use crate::clock::rfc3339_seconds;
use crate::control::state::JwtRevocation;
use crate::error::Failure;
use crate::lab::{Demo, ISSUER, app_ref, appended, code, policy};
use crate::messages;

const CANARY: &str = "canary-revoke-77d2a1c4";

async fn shop() -> Demo {
    let demo = Demo::new().await;
    demo.set(&demo.tokens.operator, "shop", json!({ "GREETING": CANARY })).await.unwrap();
    demo
}

async fn revoke(demo: &Demo, what: RevokeRequest) {
    demo.revoke(&demo.tokens.operator, &what).await.unwrap();
}

fn jwt_of(issuer: &str, jti: &str) -> RevokeRequest {
    RevokeRequest::Jwt { issuer: issuer.to_owned(), jti: jti.to_owned(), unknown: true }
}

fn subject(sub: &str, before: Option<i64>) -> RevokeRequest {
    RevokeRequest::JwtSubject { issuer: ISSUER.to_owned(), sub: sub.to_owned(), before, unknown: true }
}

fn machine(app: &str) -> RevokeRequest {
    RevokeRequest::Machine { app: app_ref(app), machine: "m-1".parse().unwrap() }
}

/// Asserts that a request is refused with this code, and that no text of it has the value.
#[track_caller]
fn refused<T>(result: Result<T, Failure>, expected: ErrorCode) {
    let failure = result.map(drop).unwrap_err();
    assert_eq!(failure.code(), expected, "{}", failure.external());
    let texts = [failure.external(), failure.operator_text()];
    assert!(texts.iter().all(|text| !text.contains(CANARY)), "{texts:?}");
}

/// Asserts that a boot succeeds and gets the value.
#[track_caller]
fn booted(result: Result<BootResponse, Failure>) -> BootResponse {
    let response = result.unwrap();
    let values: Vec<_> =
        response.secrets.iter().map(|secret| secret.value.as_ref().unwrap().expose_bytes()).collect();
    assert_eq!(values, [CANARY.as_bytes()]);
    response
}

#[tokio::test]
async fn a_revoked_jti_ends_its_jwt_and_the_discharges_and_renewals_derived_from_it() {
    let demo = shop().await;
    let ask = async |jti: &str| demo.discharge_with("shop", "m-1", json!({ "jti": jti })).await;
    let (discharge, other) = (ask("one").await.unwrap(), ask("two").await.unwrap());
    let renewal = booted(demo.boot("shop", "m-1", &discharge).await).renewal.unwrap();
    let second = demo.renew("shop", "m-1", &renewal).await.unwrap().renewal;

    revoke(&demo, jwt_of(ISSUER, "one")).await;
    refused(ask("one").await, ErrorCode::Revoked);
    for token in [&discharge, &renewal, &second] {
        refused(demo.boot("shop", "m-1", token).await, ErrorCode::Revoked);
        refused(demo.renew("shop", "m-1", token).await, ErrorCode::Revoked);
    }
    booted(demo.boot("shop", "m-1", &other).await);
    ask("two").await.unwrap();

    // An equal `jti` of another issuer is another JWT.
    revoke(&demo, jwt_of("https://else.invalid", "two")).await;
    ask("two").await.unwrap();

    let demo = demo.restarted().await;
    refused(demo.boot("shop", "m-1", &second).await, ErrorCode::Revoked);
    booted(demo.boot("shop", "m-1", &other).await);
}

#[tokio::test]
async fn a_revocation_of_a_subject_refuses_earlier_jwts_and_accepts_later_ones() {
    let demo = shop().await;
    let read = async |issued: i64| demo.read_with("shop", json!({"iat": issued, "exp": issued + 300})).await;
    let ask = async |issued: i64| {
        demo.discharge_with("shop", "m-1", json!({"iat": issued, "exp": issued + 300})).await
    };
    let now = demo.lab.engine.now().seconds();
    let (old, new) = (ask(now - 100).await.unwrap(), ask(now).await.unwrap());
    let renewal = booted(demo.boot("shop", "m-1", &old).await).renewal.unwrap();
    for sub in ["developer", "orchestrator"] {
        revoke(&demo, subject(sub, Some(now - 50))).await;
    }
    refused(read(now - 51).await, ErrorCode::Revoked);
    assert_eq!(read(now - 50).await.unwrap().secrets.len(), 1);
    refused(ask(now - 51).await, ErrorCode::Revoked);
    refused(demo.boot("shop", "m-1", &old).await, ErrorCode::Revoked);
    refused(demo.boot("shop", "m-1", &renewal).await, ErrorCode::Revoked);
    refused(demo.renew("shop", "m-1", &renewal).await, ErrorCode::Revoked);
    booted(demo.boot("shop", "m-1", &new).await);

    // Without a time: all issued so far, also by an issuer whose clock is ahead.
    revoke(&demo, subject("developer", None)).await;
    refused(read(now + 25).await, ErrorCode::Revoked);
    booted(demo.boot("shop", "m-1", &new).await);
    // Who asks again too early learns when.
    let too_early = read(now).await.unwrap_err();
    let revoked = demo.lab.engine.control().jwt_revocation(ISSUER, Some("developer"), None, now).await;
    let Some(JwtRevocation::WithAllBefore(before)) = revoked.unwrap() else { panic!("none is revoked") };
    let said = messages::jwts_revoked_before(before);
    assert_eq!((too_early.code(), too_early.external()), (ErrorCode::Revoked, said.external()));
    assert!(said.external().contains(&rfc3339_seconds(before)), "{}", said.external());
    assert!((now + 31..now + 60).contains(&before), "{before}");
}

#[tokio::test]
async fn operators_revoke_everything_and_orgs_only_what_belongs_to_them() {
    let demo = shop().await;
    let operator = &demo.tokens.operator;
    demo.org("rivals").await.unwrap();
    let rivals = demo.mint(operator, json!({"kind": "org", "org": "rivals"})).await.unwrap();
    let ours = demo.mint(operator, json!({"kind": "org", "org": "demo"})).await.unwrap();
    let id = |token: &str| token_uuid(UnverifiedToken::parse(token).unwrap().id());
    let token = |id| RevokeRequest::Token { id, unknown: false };
    let key = RevokeRequest::SigningKey { id: SigningKeyId::from_bytes([0; 16]) };
    let ask = async |token: &str, what: &RevokeRequest| code(demo.revoke(token, what).await.map(drop));
    for what in [
        token(ours.id),
        token(id(operator)),
        token(TokenUuid::from_bytes([0; 16])),
        machine("shop"),
        RevokeRequest::Host { host: "dev".parse().unwrap(), unknown: true },
        key.clone(),
        subject("developer", None),
        jwt_of(ISSUER, "one"),
    ] {
        assert_eq!(ask(&rivals.token, &what).await, Err(ErrorCode::Forbidden), "{what:?}");
    }
    // A token that may create the app learns that its name is free; others do not.
    assert_eq!(ask(&rivals.token, &machine("nowhere")).await, Err(ErrorCode::NotFound));
    let minter = appended(&rivals.token, [Actions(ActionSet::from_iter([Action::Mint])).into()]);
    assert_eq!(ask(&minter, &machine("nowhere")).await, Err(ErrorCode::Forbidden));
    assert_eq!(ask(&minter, &machine("shop")).await, Err(ErrorCode::Forbidden));
    // A token that may not mint may not revoke either.
    let list = appended(&ours.token, [Actions(ActionSet::from_iter([Action::List])).into()]);
    assert_eq!(ask(&list, &token(ours.id)).await, Err(ErrorCode::Forbidden));
    assert_eq!(ask(&list, &machine("shop")).await, Err(ErrorCode::Forbidden));

    assert_eq!(ask(&ours.token, &machine("shop")).await, Ok(()));
    assert_eq!(ask(&rivals.token, &token(rivals.id)).await, Ok(()));
    refused(demo.list(&rivals.token, "shop").await, ErrorCode::Revoked);
    assert_eq!(demo.list(&ours.token, "shop").await.unwrap().secrets.len(), 1);

    let far = demo.lab.engine.now().seconds() + 367 * 86_400;
    let shop = demo.lab.engine.find_app(&app_ref("shop")).await.unwrap().unwrap().id;
    for what in [
        jwt_of(ISSUER, ""),
        jwt_of("", "x"),
        jwt_of(ISSUER, &"x".repeat(4097)),
        subject("x", Some(far)),
        // An app's id in place of a token's is refused.
        token(TokenUuid::from_bytes(*shop.as_bytes())),
    ] {
        assert_eq!(ask(operator, &what).await, Err(ErrorCode::BadRequest), "{what:?}");
    }
    // So is the id that represents a key among ancestors: it must not revoke the key, and the operator with it.
    let kid = TokenId::of_key(UnverifiedToken::parse(operator).unwrap().kid());
    let of_key = demo.revoke(operator, &token(token_uuid(kid))).await.unwrap_err();
    assert_eq!(of_key.code(), ErrorCode::Conflict);
    assert!(of_key.external().contains("petsem token revoke --key"), "{}", of_key.external());
    assert_eq!(demo.list(operator, "shop").await.unwrap().secrets.len(), 1);
    assert_eq!(ask(operator, &key).await, Err(ErrorCode::NotFound));
}

#[tokio::test]
async fn the_control_state_counts_the_revoked_machines_of_an_app() {
    let demo = shop().await;
    let app = demo.lab.engine.find_app(&app_ref("shop")).await.unwrap().unwrap().id;
    for (machine, count) in [("m-1", 1), ("m-2", 2), ("m-1", 2)] {
        let machine = machine.parse().unwrap();
        revoke(&demo, RevokeRequest::Machine { app: app_ref("shop"), machine }).await;
        assert_eq!(demo.lab.engine.control().app(app).await.unwrap().machines, count);
    }
}

#[tokio::test]
async fn the_policy_is_re_evaluated_in_addition_to_the_revocation() {
    // An unrevoked credential still needs its rule: the two checks do not replace each other.
    let demo = shop().await;
    let discharge = demo.discharge("shop", "m-1").await.unwrap();
    let renewal = booted(demo.boot("shop", "m-1", &discharge).await).renewal.unwrap();
    let mut narrower = policy();
    narrower["rules"][0]["claims"] = json!({"sub": "somebody-else"});
    assert_eq!(demo.put_policy("shop", narrower).await.unwrap(), 2);
    refused(demo.boot("shop", "m-1", &renewal).await, ErrorCode::PolicyDenied);
    revoke(&demo, subject("orchestrator", None)).await;
    refused(demo.boot("shop", "m-1", &renewal).await, ErrorCode::Revoked);
}

#[tokio::test]
async fn every_issued_discharge_boots_whatever_the_length_of_its_jwt() {
    let demo = shop().await;
    let mut ends = [0, 0];
    for length in (1500..1960).step_by(5) {
        match demo.discharge_with("shop", "m-1", json!({"jti": "j".repeat(length)})).await {
            Ok(discharge) => {
                ends[0] += 1;
                booted(demo.boot("shop", "m-1", &discharge).await);
            }
            Err(failure) => {
                ends[1] += 1;
                assert_eq!(failure.code(), ErrorCode::BadRequest, "{length}: {}", failure.external());
                assert!(failure.external().contains("jti"), "{}", failure.external());
            }
        }
    }
    assert!(ends.iter().all(|count| *count > 0), "{ends:?}");
}
