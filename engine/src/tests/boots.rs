//! Boots and their renewals.

use petsem_api::{BootClaims, ErrorCode, PutIssuer};
use petsem_policy::{Action, ActionSet, Actions, Apps, Caveat, Hosts, Machines, UnverifiedToken};
use serde_json::json;

use crate::development::development_policy;
use crate::error::Failure;
use crate::lab::{Demo, HOST, ISSUER, app_ref, appended, code, flyv1, issuer, policy};

const DAY: u64 = 24 * 60 * 60;

#[tokio::test]
async fn a_boot_by_a_renewal_returns_a_new_one_only_past_half_of_its_life() {
    let demo = Demo::new().await;
    demo.set(&demo.tokens.operator, "shop", json!({"A": "1"})).await.unwrap();
    let discharge = demo.discharge("shop", "m-1").await.unwrap();
    let first = demo.boot("shop", "m-1", &discharge).await.unwrap().renewal.unwrap();
    for later in [0, DAY / 2 - 60] {
        let boot = demo.boot_later("shop", "m-1", &first, later).await.unwrap();
        assert_eq!((boot.renewal, boot.renewal_expires_at, boot.secrets.len()), (None, None, 1));
    }
    let boot = demo.boot_later("shop", "m-1", &first, DAY / 2 + 60).await.unwrap();
    let second = boot.renewal.unwrap();
    // It is valid after the first one has expired.
    let late = demo.boot_later("shop", "m-1", &first, DAY + 60).await;
    assert_eq!(code(late.map(drop)), Err(ErrorCode::TokenExpired));
    demo.boot_later("shop", "m-1", &second, DAY + 60).await.unwrap();
}

#[tokio::test]
async fn a_grant_of_a_boot_ends_after_a_minute() {
    let demo = Demo::new().await;
    demo.set(&demo.tokens.operator, "shop", json!({"A": "1"})).await.unwrap();
    let before = demo.lab.engine.now().seconds();
    let discharge = demo.discharge("shop", "m-1").await.unwrap();
    let after = demo.lab.engine.now().seconds();
    let end = UnverifiedToken::parse(&discharge).unwrap().expires_at().unwrap();
    assert!((before + 60..=after + 60).contains(&end), "{before} {end} {after}");
    demo.boot("shop", "m-1", &discharge).await.unwrap();
    let late = demo.boot_later("shop", "m-1", &discharge, 61).await;
    assert_eq!(code(late.map(drop)), Err(ErrorCode::TokenExpired));
}

#[tokio::test]
async fn a_shorter_longest_life_in_the_policy_holds_for_renewals_too() {
    let demo = Demo::new().await;
    demo.set(&demo.tokens.operator, "shop", json!({"A": "1"})).await.unwrap();
    let now = demo.lab.engine.now().seconds();
    let discharge = demo.discharge_with("shop", "m-1", json!({"iat": now, "exp": now + 200})).await.unwrap();
    let renewal = demo.boot("shop", "m-1", &discharge).await.unwrap().renewal.unwrap();
    let mut policy = development_policy(ISSUER);
    for (longest, booted) in [(200, Ok(())), (199, Err(ErrorCode::PolicyDenied)), (200, Ok(()))] {
        policy["rules"][0]["max_life_seconds"] = json!(longest);
        demo.put_policy("shop", policy.clone()).await.unwrap();
        assert_eq!(code(demo.boot("shop", "m-1", &renewal).await.map(drop)), booted, "{longest}");
    }
}

/// The text of a refused request for a discharge that names no boot.
fn not_named(field: &str, named: &str) -> (ErrorCode, String) {
    let text = format!(
        "the request does not say which {field} boots, and its proof names {named}; give {field}, or send a proof that \
         names exactly one: a token narrowed to one boot, or a JWT of an issuer whose registration has `boot_claims`"
    );
    (ErrorCode::BadRequest, text)
}

fn refusal(result: Result<String, Failure>) -> (ErrorCode, String) {
    let failure = result.unwrap_err();
    (failure.code(), failure.external().to_owned())
}

#[tokio::test]
async fn a_jwt_names_the_boot_through_the_claims_of_its_issuers_registration() {
    let demo = Demo::new().await;
    demo.set(&demo.tokens.operator, "shop", json!({"A": "1"})).await.unwrap();
    // The policy of this app would accept the JWT, too, if it named this app.
    demo.app("demo", "other").await.unwrap();
    demo.put_policy("other", policy()).await.unwrap();
    let proof = demo.boot_jwt("shop", "m-1", json!({}));
    assert_eq!(refusal(demo.ask_discharge(&proof, json!({})).await), not_named("app", "none"));

    let claims = BootClaims { app: "petsem_app".to_owned(), machine: "petsem_machine".to_owned() };
    let registration = PutIssuer { boot_claims: Some(claims), ..issuer() };
    demo.lab.engine.add_issuer(&registration, true).await.unwrap();
    let demo = demo.restarted().await;
    for named in [json!({}), json!({"app": "shop"}), json!({"machine": "m-1"})] {
        let discharge = demo.ask_discharge(&proof, named).await.unwrap();
        let boot = demo.boot("shop", "m-1", &discharge).await.unwrap();
        assert_eq!((boot.machine.as_str(), boot.secrets.len()), ("m-1", 1));
        assert_eq!(
            code(demo.boot("other", "m-1", &discharge).await.map(drop)),
            Err(ErrorCode::DischargeInvalid)
        );
    }

    for (field, claims) in [
        ("app", json!({"petsem_app": null})),
        ("app", json!({"petsem_app": ["shop"]})),
        ("app", json!({"petsem_app": "no app's name"})),
        ("machine", json!({"petsem_machine": ["m-1", "m-2"]})),
        ("machine", json!({"petsem_machine": "m/1"})),
    ] {
        let proof = demo.boot_jwt("shop", "m-1", claims.clone());
        let refused = refusal(demo.ask_discharge(&proof, json!({})).await);
        assert_eq!(refused, not_named(field, "none"), "{claims}");
    }
    // The claims only name the boot: the policy decides.
    for claims in [json!({"petsem_host": "host-2"}), json!({"petsem_app": "unknown"})] {
        let proof = demo.boot_jwt("shop", "m-1", claims.clone());
        let refused = code(demo.ask_discharge(&proof, json!({})).await);
        assert_eq!(refused, Err(ErrorCode::PolicyDenied), "{claims}");
    }
}

#[tokio::test]
async fn a_narrowed_token_names_its_boot_if_it_is_one() {
    let demo = Demo::new().await;
    demo.set(&demo.tokens.operator, "shop", json!({"A": "1"})).await.unwrap();
    let app = *demo.lab.engine.find_app(&app_ref("shop")).await.unwrap().unwrap().id.as_bytes();
    let end = demo.lab.engine.now().seconds() + 200;
    let machines = |machines: &[&str]| Machines::new(machines.iter().map(|id| (*id).to_owned())).into();
    let rest = || -> [Caveat; 3] {
        [
            Hosts::new([HOST.to_owned()]).into(),
            Actions(ActionSet::from_iter([Action::Boot])).into(),
            Caveat::ValidityWindow { not_before: 0, not_after: end },
        ]
    };
    let narrowed = |caveats: &[Caveat]| appended(&demo.tokens.owner, caveats.iter().cloned().chain(rest()));
    let one: [Caveat; 2] = [Apps::new([app]).into(), machines(&["m-1"])];

    let discharge = demo.ask_discharge(&flyv1(&narrowed(&one)), json!({})).await.unwrap();
    assert_eq!(demo.boot("shop", "m-1", &discharge).await.unwrap().secrets.len(), 1);

    let both = format!("{},{}", narrowed(&one), narrowed(&[Apps::new([app]).into(), machines(&["m-2"])]));
    for (header, expected) in [
        (narrowed(&[]), not_named("app", "none")),
        (narrowed(&[machines(&["m-1"])]), not_named("app", "none")),
        (narrowed(&[Apps::new([app]).into()]), not_named("machine", "none")),
        (narrowed(&[Apps::new([app, [7; 16]]).into(), machines(&["m-1"])]), not_named("app", "several")),
        (narrowed(&[Apps::new([app]).into(), machines(&["m-1", "m-2"])]), not_named("machine", "several")),
        (both.clone(), not_named("machine", "several")),
    ] {
        assert_eq!(refusal(demo.ask_discharge(&flyv1(&header), json!({})).await), expected);
    }
    // The body names the one of several.
    demo.ask_discharge(&flyv1(&both), json!({"machine": "m-1"})).await.unwrap();
}

#[tokio::test]
async fn boot_claims_are_two_claims_without_a_reserved_meaning_and_shown_to_who_approves() {
    let demo = Demo::new().await;
    let wanted = |app: &str, machine: &str| PutIssuer {
        boot_claims: Some(BootClaims { app: app.to_owned(), machine: machine.to_owned() }),
        ..issuer()
    };
    let long = "m".repeat(129);
    for (app, machine) in
        [("", "m"), ("a", "a"), ("iss", "m"), ("a", "aud"), ("a", "exp"), ("a", long.as_str())]
    {
        let added = demo.lab.engine.add_issuer(&wanted(app, machine), true).await;
        assert_eq!(code(added.map(drop)), Err(ErrorCode::BadRequest), "{app} {machine}");
    }
    let added = demo.lab.engine.add_issuer(&wanted("app_name", "machine_id"), true).await.unwrap();
    assert_eq!(added.boot_claims, wanted("app_name", "machine_id").boot_claims);
    let approval = demo
        .call(&demo.tokens.operator, async |engine, audit, principal, now| {
            engine
                .request_issuer_change(audit, principal, added.id, wanted("app\u{202e}", "machine_id"), now)
                .await
        })
        .await
        .unwrap();
    let expected = "; its claims app\\u{202e} and machine_id name the app and the Machine of a boot";
    assert!(approval.summary.ends_with(expected), "{}", approval.summary);
}
