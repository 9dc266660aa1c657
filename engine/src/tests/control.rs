//! The control state: floors, lookups at every size, and what is dropped.

use petsem_api::{AppId, ErrorCode, OrgRef, RevokeRequest, RotateSigningKey};
use petsem_store::{AppPart, PartRows, RecordKind};
use serde_json::json;

use crate::clock::Timestamp;
use crate::control::state::JwtRevocation;
use crate::engine::Engine;
use crate::lab::{Demo, ISSUER, app_ref};
use crate::records::FeedRow;
use crate::request::local_record;

const DAY: i64 = 24 * 60 * 60;

fn days_later(engine: &Engine, days: i64) -> Timestamp {
    Timestamp::from_seconds(engine.now().seconds() + days * DAY)
}

fn rules(names: &[&str]) -> serde_json::Value {
    let rule = |name: &&str| {
        let claims = json!({"sub": "developer"});
        let secrets = json!({"prefixes": [""]});
        json!({"name": name, "issuer": ISSUER, "claims": claims, "actions": ["read_value"], "secrets": secrets})
    };
    json!({"format": 1, "rules": names.iter().map(rule).collect::<Vec<_>>()})
}

async fn shop(demo: &Demo) -> (AppId, u64) {
    let found = demo.lab.engine.find_app(&app_ref("shop")).await.unwrap().unwrap();
    (found.id, found.head_version)
}

async fn floor(demo: &Demo, app: AppId) -> u64 {
    demo.lab.engine.control().app(app).await.unwrap().floor
}

async fn revoke(demo: &Demo, what: RevokeRequest) {
    demo.revoke(&demo.tokens.operator, &what).await.unwrap();
}

fn machine(app: &str, number: u32) -> RevokeRequest {
    RevokeRequest::Machine { app: app_ref(app), machine: format!("m-{number}").parse().unwrap() }
}

#[tokio::test]
async fn a_floor_is_the_head_of_the_last_change_that_took_something_away() {
    let demo = Demo::new().await;
    demo.put_policy("shop", rules(&["a", "b"])).await.unwrap();
    let (app, version) = shop(&demo).await;
    assert_eq!(floor(&demo, app).await, version, "the rules of before are gone");
    demo.put_policy("shop", rules(&["c", "b", "a"])).await.unwrap();
    assert_eq!((floor(&demo, app).await, shop(&demo).await.1), (version, version + 1));
    let mut changed = rules(&["a", "b", "c"]);
    changed["rules"][1]["max_life_seconds"] = json!(60);
    demo.put_policy("shop", changed).await.unwrap();
    assert_eq!(floor(&demo, app).await, version + 2, "a rule with another field is another rule");
}

#[tokio::test]
async fn of_two_concurrent_policies_the_one_that_narrows_sets_the_floor() {
    for _ in 0..10 {
        let demo = Demo::new().await;
        demo.put_policy("shop", rules(&["a", "b"])).await.unwrap();
        let (app, before) = shop(&demo).await;
        let (narrow, wide) = (rules(&["a"]), rules(&["a", "b", "c"]));
        let (narrowed, widened) =
            tokio::join!(demo.put_policy("shop", narrow), demo.put_policy("shop", wide));
        let (narrowed, widened) = (narrowed.unwrap(), widened.unwrap());
        // The policy's version and the head's advance together.
        let expected = before + if narrowed < widened { 1 } else { 2 };
        assert_eq!(floor(&demo, app).await, expected);
    }
}

#[tokio::test]
async fn revocations_of_many_machines_are_found_after_a_start() {
    let demo = Demo::new().await;
    let (app, _) = shop(&demo).await;
    let mut audit = local_record(demo.lab.engine.now(), "test");
    let revoked = |number: u32| format!("m-{number}").parse().unwrap();
    for batch in 0..10 {
        let rows: Vec<_> = (batch * 300..(batch + 1) * 300)
            .map(|number| FeedRow::MachineRevoked { app, machine: revoked(number), at: 1 })
            .collect();
        demo.lab.engine.commit_control(&mut audit, &rows, |_| {}).await.unwrap();
    }
    let demo = demo.restarted().await;
    let control = demo.lab.engine.control();
    let host = "h".parse().unwrap();
    for number in 0..3000 {
        assert!(control.is_boot_revoked(&host, app, &revoked(number)).await.unwrap(), "{number}");
    }
    for number in 3000..3100 {
        assert!(!control.is_boot_revoked(&host, app, &revoked(number)).await.unwrap(), "{number}");
    }
    drop(control);
    let report = demo.lab.verified().await;
    assert!(report.is_good(), "{report:?}");
}

#[tokio::test]
async fn entries_are_dropped_when_all_that_they_refuse_has_ended() {
    let demo = Demo::new().await;
    let engine = &demo.lab.engine;
    let start = engine.now().seconds();
    let token = demo
        .mint(&demo.tokens.owner, json!({"kind": "org", "org": "demo", "expires_in": 3600}))
        .await
        .unwrap();
    revoke(&demo, RevokeRequest::Token { id: token.id, unknown: false }).await;
    revoke(&demo, RevokeRequest::Jwt { issuer: ISSUER.to_owned(), jti: "one".to_owned(), unknown: true })
        .await;
    let last = engine.now().seconds() + 100 * DAY;
    let before = Some(last);
    revoke(
        &demo,
        RevokeRequest::JwtSubject { issuer: ISSUER.to_owned(), sub: "ann".to_owned(), before, unknown: true },
    )
    .await;
    revoke(&demo, RevokeRequest::Host { host: "lost".parse().unwrap(), unknown: true }).await;
    revoke(&demo, machine("shop", 1)).await;

    // A renewal lives 30 days, and an entry is kept for 31 days after that.
    assert_eq!(engine.drop_ended(days_later(engine, 60)).await.unwrap(), 0);
    assert_eq!(engine.drop_ended(days_later(engine, 62)).await.unwrap(), 2);
    let control = engine.control();
    assert!(!control.is_token_revoked(&token.id).await.unwrap());
    assert_eq!(control.jwt_revocation(ISSUER, None, Some("one"), 0).await.unwrap(), None);
    let revoked = control.jwt_revocation(ISSUER, Some("ann"), None, 0).await.unwrap();
    assert_eq!(revoked, Some(JwtRevocation::WithAllBefore(last)));
    let (app, _) = shop(&demo).await;
    let (host, other) = ("lost".parse().unwrap(), "m-1".parse().unwrap());
    assert!(control.is_boot_revoked(&host, app, &"m-2".parse().unwrap()).await.unwrap());
    assert!(control.is_boot_revoked(&"h".parse().unwrap(), app, &other).await.unwrap());
    // What ended by then stays ended, whatever the clock says.
    assert!(engine.now().seconds() >= start + 30 * DAY);

    // The renewals of JWTs from before a time in 100 days end 30 days after it.
    assert_eq!(engine.drop_ended(days_later(engine, 100)).await.unwrap(), 0);
    assert_eq!(engine.drop_ended(days_later(engine, 140)).await.unwrap(), 1);
    // The same after a start at the time of the clock, which is months earlier. The token is not revoked any more.
    let demo = demo.restarted().await;
    assert!(demo.lab.engine.now().seconds() >= start + 30 * DAY);
    let listed = demo.list(&token.token, "shop").await.map(drop).unwrap_err();
    assert_eq!(listed.code(), ErrorCode::TokenExpired);
    let report = demo.lab.verified().await;
    assert!(report.is_good(), "{report:?}");
}

#[tokio::test]
async fn a_deleted_app_that_is_put_back_is_refused_after_its_entry_was_dropped() {
    let demo = Demo::new().await;
    let engine = &demo.lab.engine;
    demo.set(&demo.tokens.operator, "shop", json!({"A": "value"})).await.unwrap();
    revoke(&demo, machine("shop", 1)).await;
    let (app, _) = shop(&demo).await;
    let rows = engine.store.app(app, AppPart::Secrets).await.unwrap().unwrap();
    let name = engine.store.record(RecordKind::AppName, b"shop").await.unwrap().unwrap();
    demo.call(&demo.tokens.operator, async |engine, audit, principal, _| {
        engine.delete_app(audit, principal, &app_ref("shop")).await
    })
    .await
    .unwrap();
    // Its Machines go with it; it stays while the version of the keyring lives that wrapped its KEKs.
    assert_eq!(engine.drop_ended(engine.now()).await.unwrap(), 1);
    let mut audit = local_record(engine.now(), "test");
    engine.begin_keyring_rotation(&mut audit, engine.now()).await.unwrap();
    engine.carry_on_keyring().await.unwrap();
    assert_eq!(engine.drop_ended(engine.now()).await.unwrap(), 1);
    assert!(!engine.control().app(app).await.unwrap().is_deleted());

    let mut change = engine.change_without_line();
    let PartRows::Secrets { policy, bundle } = rows.part else { panic!("another part") };
    change.puts = vec![rows.head, name, policy.unwrap()];
    change.bundle = bundle;
    engine.store.commit(change).await.unwrap();
    for found in [engine.find_app(&app_ref("shop")).await, engine.find_app(&app_ref(&app.to_string())).await]
    {
        let failure = found.map(drop).unwrap_err();
        assert_eq!(failure.code(), ErrorCode::Integrity);
        assert!(failure.operator_text().contains("the app was deleted"), "{}", failure.operator_text());
    }
}

#[tokio::test]
async fn a_node_follows_several_changes_of_another_at_once() {
    let demo = Demo::new().await;
    let node = demo.lab.other_node().await;
    // The head of the second change names the first, which the other node does not know yet.
    for number in 0..3 {
        revoke(&demo, machine("shop", number)).await;
    }
    let node = node.advanced().await.unwrap().unwrap();
    assert_eq!(node.number, demo.lab.engine.control().number);
    assert!(node.advanced().await.unwrap().is_none());
}

/// It has the root key, so it needs no seal for a version of the keyring that it has not seen.
#[tokio::test]
async fn a_node_opens_what_another_node_wrapped_by_a_new_version_of_the_keyring() {
    let demo = Demo::new().await;
    let engine = &demo.lab.engine;
    let node = demo.lab.other_node().await;
    let mut audit = local_record(engine.now(), "test");
    engine.begin_keyring_rotation(&mut audit, engine.now()).await.unwrap();
    engine.carry_on_keyring().await.unwrap();
    assert_eq!(engine.keyring().versions(), [2]);
    let key = engine.control().keys_of(None).await.unwrap().current().unwrap();
    let node = node.advanced().await.unwrap().unwrap();
    assert_eq!(node.number, engine.control().number);
    assert!(node.signing_key(key.as_bytes()).await.is_ok_and(|entry| entry.id == *key.as_bytes()));
}

#[tokio::test]
async fn an_older_state_that_is_put_back_for_a_moment_revives_nothing() {
    let demo = Demo::new().await;
    let store = &demo.lab.engine.store;
    let token = demo.mint(&demo.tokens.owner, json!({"kind": "org", "org": "demo"})).await.unwrap();
    let mut old = store.records(RecordKind::ControlPage, &[], None, 1000).await.unwrap();
    old.extend(store.record(RecordKind::FeedHead, &[]).await.unwrap());
    revoke(&demo, RevokeRequest::Token { id: token.id, unknown: false }).await;
    // This node has read the head, and no page yet.
    let node = demo.lab.other_node().await;
    let mut change = demo.lab.engine.change_without_line();
    change.puts = old;
    store.commit(change).await.unwrap();
    let failure = node.is_token_revoked(&token.id).await.unwrap_err();
    assert_eq!(failure.code(), ErrorCode::Integrity);
}

#[tokio::test]
async fn tokens_of_a_revoked_signing_key_stay_refused_after_it_was_destroyed() {
    let demo = Demo::new().await;
    let engine = &demo.lab.engine;
    let old = engine.control().keys_of(None).await.unwrap().current().unwrap();
    // Signed by the org's key, and minted from a token of the platform's.
    let child = demo.mint(&demo.tokens.operator, json!({"kind": "org", "org": "demo"})).await.unwrap();
    let mut audit = local_record(engine.now(), "test");
    demo.call(&demo.tokens.operator, async |engine, _, principal, now| {
        engine.rotate_signing_key(&mut audit, principal, &RotateSigningKey { org: None }, now).await
    })
    .await
    .unwrap();
    let row = engine.revocation(&mut audit, &RevokeRequest::SigningKey { id: old }, None, engine.now()).await;
    engine.commit_control(&mut audit, &[row.unwrap()], |_| {}).await.unwrap();
    assert_eq!(engine.destroy_ended_signing_keys(days_later(engine, 1)).await.unwrap(), [old]);
    engine.drop_ended(days_later(engine, 1000)).await.unwrap();
    let listed = demo.list(&child.token, "shop").await.map(drop).unwrap_err();
    assert_eq!(listed.code(), ErrorCode::Revoked);
}

#[tokio::test]
async fn a_rotation_does_not_register_what_was_deleted_and_put_back() {
    let demo = Demo::new().await;
    let engine = &demo.lab.engine;
    let org = demo.org("gone").await.unwrap().id;
    let key = engine.control().keys_of(Some(org)).await.unwrap().current().unwrap();
    let row = engine.store.record(RecordKind::SigningKey, key.as_bytes()).await.unwrap().unwrap();
    demo.call(&demo.tokens.operator, async |engine, audit, principal, now| {
        engine.delete_org(audit, principal, &OrgRef::Id(org), now).await
    })
    .await
    .unwrap();
    assert_eq!(engine.store.record(RecordKind::SigningKey, key.as_bytes()).await.unwrap(), None);
    let mut change = engine.change_without_line();
    change.puts = vec![row];
    engine.store.commit(change).await.unwrap();
    let mut audit = local_record(engine.now(), "test");
    engine.begin_keyring_rotation(&mut audit, engine.now()).await.unwrap();
    engine.carry_on_keyring().await.unwrap();
    assert!(!engine.control().has_key(key).await.unwrap());
    assert_eq!(engine.keyring().versions(), [1, 2], "the rotation is blocked until the row is gone");
}

/// Prints what a start and a control change take with up to a million entries. The soak runs it.
#[tokio::test]
#[ignore = "it takes minutes"]
#[expect(clippy::disallowed_methods, reason = "it measures time")]
async fn starts_and_changes_with_a_million_revocations() {
    let mut demo = Demo::new().await;
    let (app, _) = shop(&demo).await;
    let mut audit = local_record(demo.lab.engine.now(), "test");
    let revoked = |number: u32| {
        let machine = format!("m-{number}").parse().unwrap();
        FeedRow::MachineRevoked { app, machine, at: 1 }
    };
    let mut number = 0;
    println!("revoked Machines; start, one change, one lookup of another Machine, in µs (medians)");
    for size in [0, 1_000, 100_000, 1_000_000] {
        while number < size {
            let to = size.min(number + 5_000);
            let rows: Vec<_> = (number..to).map(revoked).collect();
            demo.lab.engine.commit_control(&mut audit, &rows, |_| {}).await.unwrap();
            number = to;
        }
        let mut starts = Vec::new();
        for _ in 0..9 {
            let begun = std::time::Instant::now();
            demo = demo.restarted().await;
            starts.push(begun.elapsed().as_micros());
        }
        let engine = &demo.lab.engine;
        let (mut changes, mut lookups) = (Vec::new(), Vec::new());
        for other in 0..99 {
            let begun = std::time::Instant::now();
            engine.commit_control(&mut audit, &[revoked(2_000_000 + number + other)], |_| {}).await.unwrap();
            changes.push(begun.elapsed().as_micros());
            let machine = format!("other-{other}").parse().unwrap();
            let begun = std::time::Instant::now();
            let is_revoked = engine.control().is_boot_revoked(&"h".parse().unwrap(), app, &machine).await;
            lookups.push(begun.elapsed().as_micros());
            assert!(!is_revoked.unwrap());
        }
        let median = |mut times: Vec<u128>| {
            times.sort_unstable();
            times[times.len() / 2]
        };
        println!("{size:>9}; {}, {}, {}", median(starts), median(changes), median(lookups));
    }
}
