//! Rows that an attacker deletes or puts back: what they stood for still holds.

use petsem_api::{AppId, ErrorCode, OrgRef, RevokeRequest, RotateSigningKey};
use petsem_policy::Subject;
use petsem_store::{AppPart, FeedEntry, Record, RecordKind};
use serde_json::json;

use crate::lab::{Demo, app_ref, code};
use crate::request::local_record;

/// Deletes rows as an attacker does who can write to the database.
async fn delete(demo: &Demo, kind: RecordKind, id: &[u8]) {
    let mut change = demo.lab.engine.change_without_line();
    change.deletes.push((kind, id.to_vec()));
    demo.lab.engine.store.commit(change).await.unwrap();
}

async fn put(demo: &Demo, rows: Vec<Record>) {
    let mut change = demo.lab.engine.change_without_line();
    change.puts = rows;
    demo.lab.engine.store.commit(change).await.unwrap();
}

async fn shop(demo: &Demo) -> AppId {
    demo.lab.engine.find_app(&app_ref("shop")).await.unwrap().unwrap().id
}

#[tokio::test]
async fn a_name_whose_row_was_deleted_is_not_free() {
    let demo = Demo::new().await;
    let app = shop(&demo).await;
    demo.org("rival").await.unwrap();
    delete(&demo, RecordKind::AppName, b"shop").await;
    delete(&demo, RecordKind::OrgName, b"rival").await;
    assert_eq!(code(demo.app("demo", "shop").await.map(drop)), Err(ErrorCode::Integrity));
    assert_eq!(code(demo.org("rival").await.map(drop)), Err(ErrorCode::Integrity));
    let faults = demo.lab.verified().await.faults;
    let fault = format!("the app {app} is named shop, but the row of the name is missing");
    assert!(faults.iter().any(|line| line.starts_with(&fault)), "{faults:?}");
}

#[tokio::test]
async fn a_name_is_free_again_after_its_app_or_org_was_deleted() {
    let demo = Demo::new().await;
    demo.org("rival").await.unwrap();
    demo.app("rival", "vault").await.unwrap();
    assert_eq!(code(demo.app("demo", "vault").await.map(drop)), Err(ErrorCode::NameTaken));
    assert_eq!(code(demo.org("rival").await.map(drop)), Err(ErrorCode::NameTaken));
    let delete_org = async || {
        let org = OrgRef::Name("rival".parse().unwrap());
        let deleted = demo.call(&demo.tokens.operator, async |engine, audit, principal, now| {
            engine.delete_org(audit, principal, &org, now).await
        });
        code(deleted.await.map(drop))
    };
    assert_eq!(delete_org().await, Err(ErrorCode::Conflict));
    let deleted = demo.call(&demo.tokens.operator, async |engine, audit, principal, _| {
        engine.delete_app(audit, principal, &app_ref("vault")).await
    });
    deleted.await.unwrap();
    assert_eq!(delete_org().await, Ok(()));
    demo.org("rival").await.unwrap();
    demo.app("demo", "vault").await.unwrap();
    let report = demo.lab.verified().await;
    assert!(report.is_good(), "{report:?}");
}

#[tokio::test]
async fn an_org_whose_list_of_apps_was_deleted_is_not_deleted() {
    let demo = Demo::new().await;
    let engine = &demo.lab.engine;
    let found = engine.find_app_with(&app_ref("shop"), AppPart::Head).await.unwrap().unwrap();
    let (app, org) = (found.id, found.head.org);
    delete(&demo, RecordKind::OrgApp, &[*org.as_bytes(), *app.as_bytes()].concat()).await;
    let deleted = demo.call(&demo.tokens.operator, async |engine, audit, principal, now| {
        engine.delete_org(audit, principal, &OrgRef::Id(org), now).await
    });
    assert_eq!(code(deleted.await.map(drop)), Err(ErrorCode::Conflict));
    let faults = demo.lab.verified().await.faults;
    let fault = format!("the app {app} is missing from the list of its org {org}");
    assert!(faults.iter().any(|line| line.starts_with(&fault)), "{faults:?}");
}

#[tokio::test]
async fn a_signing_key_whose_row_was_deleted_can_still_be_revoked() {
    let demo = Demo::new().await;
    let engine = &demo.lab.engine;
    let old = engine.control().keys_of(None).await.unwrap().current().unwrap();
    let operator = demo.tokens.operator.clone();
    let new = demo.call(&operator, async |engine, audit, principal, now| {
        engine.rotate_signing_key(audit, principal, &RotateSigningKey { org: None }, now).await
    });
    new.await.unwrap();
    delete(&demo, RecordKind::SigningKey, old.as_bytes()).await;
    let mut audit = local_record(engine.now(), "test");
    let subject = Subject { issuer: "test".to_owned(), sub: "lee".to_owned() };
    let other = engine.mint_first_token(&mut audit, subject, 3600, engine.now()).await.unwrap();
    demo.revoke(&other.token, &RevokeRequest::SigningKey { id: old }).await.unwrap();
    assert_eq!(code(demo.org("x").await.map(drop)), Err(ErrorCode::Revoked));
    let faults = demo.lab.verified().await.faults;
    assert!(
        faults.iter().any(|fault| fault.contains("signing key") && fault.contains("missing")),
        "{faults:?}"
    );
}

#[tokio::test]
async fn a_row_after_the_end_of_the_feed_is_named_and_does_not_look_like_a_busy_node() {
    let demo = Demo::new().await;
    let engine = &demo.lab.engine;
    let number = engine.control().number;
    let last = engine.store.feed(number - 1, 1).await.unwrap().pop().unwrap();
    let mut change = engine.change_without_line();
    change.feed.push(FeedEntry { number: number + 1, ..last });
    engine.store.commit(change).await.unwrap();
    let host = RevokeRequest::Host { host: "h".parse().unwrap(), unknown: true };
    let refused = demo.revoke(&demo.tokens.operator, &host).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Integrity);
    let problems = engine.problems();
    assert!(
        problems.iter().any(|text| text.contains("the feed does not end where its head says")),
        "{problems:?}"
    );
}

#[tokio::test]
async fn an_app_that_is_put_back_before_anyone_reads_its_new_version_is_refused() {
    let demo = Demo::new().await;
    let (store, app) = (&demo.lab.engine.store, shop(&demo).await);
    demo.set(&demo.tokens.operator, "shop", json!({"A": "1"})).await.unwrap();
    let old = store.record(RecordKind::AppHead, app.as_bytes()).await.unwrap().unwrap();
    demo.set(&demo.tokens.operator, "shop", json!({"A": "2"})).await.unwrap();
    put(&demo, vec![old]).await;
    assert_eq!(code(demo.read("shop").await.map(drop)), Err(ErrorCode::Integrity));
}

#[tokio::test]
async fn a_rotation_whose_row_was_deleted_has_not_ended() {
    let demo = Demo::new().await;
    let app = shop(&demo).await;
    let operator = demo.tokens.operator.clone();
    let rotate = async || {
        let rotated = demo.call(&operator, async |engine, audit, principal, now| {
            engine.rotate_app(audit, principal, &app_ref("shop"), false, now).await
        });
        code(rotated.await.map(drop))
    };
    rotate().await.unwrap();
    delete(&demo, RecordKind::AppRotation, app.as_bytes()).await;
    let listed = demo.call(&operator, async |engine, audit, principal, now| {
        engine.list_rotations(audit, principal, now).await
    });
    assert_eq!(code(listed.await.map(drop)), Err(ErrorCode::Integrity));
    assert_eq!(rotate().await, Err(ErrorCode::Integrity));
}

#[tokio::test]
async fn the_line_of_a_change_names_what_changed_before_what_did_not() {
    let demo = Demo::new().await;
    let mut values = serde_json::Map::new();
    for number in 0..150 {
        values.insert(format!("A{number:0>200}"), json!(null));
    }
    values.insert("Z".to_owned(), json!("replaced"));
    demo.set(&demo.tokens.operator, "shop", json!(values)).await.unwrap();
    let line = demo.last_line();
    assert_eq!((&line["secrets"]["count"], &line["secrets"]["names"][0]), (&json!(151), &json!("Z")));
}
