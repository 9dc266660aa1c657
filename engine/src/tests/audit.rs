//! The records of changes.

use petsem_api::{ErrorCode, RevokeRequest};
use petsem_store::RequestAudit;
use serde_json::{Value, json};

use crate::lab::{Demo, code};
use crate::request::local_record;

/// An installation whose app `shop` has a change that the log did not take; the revision of that change.
async fn with_pending_line() -> (Demo, u64) {
    let demo = Demo::new().await;
    let operator = demo.tokens.operator.clone();
    demo.set(&operator, "shop", json!({"A": "1"})).await.unwrap();
    let engine = &demo.lab.engine;
    engine.close_audit().await.unwrap();
    demo.set(&operator, "shop", json!({"A": "2"})).await.unwrap();
    assert_eq!(engine.pending_lines(), 1);
    let revision = engine.last_revision.lock().unwrap().unwrap().revision;
    (demo, revision)
}

#[tokio::test]
async fn a_change_whose_line_is_only_in_the_store_has_its_record() {
    let (demo, _) = with_pending_line().await;
    let report = demo.lab.verified().await;
    assert_eq!((report.faults, report.behind), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn a_change_whose_line_was_deleted_from_the_store_is_named() {
    let (demo, revision) = with_pending_line().await;
    demo.lab.engine.store.audited(demo.lab.node, &[revision]);
    let report = demo.lab.verified().await;
    let [fault] = report.faults.try_into().unwrap();
    assert!(fault.contains("is at version 2, but the audit log names no version of it after 1"), "{fault}");
}

/// A store that lacks the revocation is then refused at a start.
#[tokio::test]
async fn a_revocation_is_answered_after_its_line_and_a_checkpoint_that_names_it() {
    let demo = Demo::new().await;
    let host = RevokeRequest::Host { host: "h-1".parse().unwrap(), unknown: true };
    demo.revoke(&demo.tokens.operator, &host).await.unwrap();
    assert_eq!(demo.lab.engine.pending_lines(), 0);
    let lines = demo.lines();
    let at = |wanted: &dyn Fn(&Value) -> bool| lines.iter().rposition(wanted).unwrap();
    let number = demo.lab.engine.control().number;
    let checkpoint = at(&|line| line["checkpoint"]["feed"] == number);
    let line = at(&|line| line["detail"].as_str().is_some_and(|detail| detail.contains("h-1")));
    assert!(checkpoint < line, "{lines:?}");
}

/// Unlike a version of an app, which the log must name.
#[tokio::test]
async fn a_token_whose_line_was_deleted_from_the_store_has_no_record_and_nothing_names_it() {
    let demo = Demo::new().await;
    let engine = &demo.lab.engine;
    engine.close_audit().await.unwrap();
    let minted = demo.mint(&demo.tokens.operator, json!({"kind": "org", "org": "demo"})).await.unwrap();
    assert_eq!(engine.pending_lines(), 1);
    let revision = engine.last_revision.lock().unwrap().unwrap().revision;
    engine.store.audited(demo.lab.node, &[revision]);
    let demo = demo.restarted().await;
    let names_it = |demo: &Demo| {
        let id = minted.id.to_string();
        demo.lines().iter().any(|line| line.to_string().contains(&id))
    };
    assert!(!names_it(&demo));
    // Control: what it does has its line.
    demo.list(&minted.token, "shop").await.unwrap();
    assert!(names_it(&demo));
    let report = demo.lab.verified().await;
    assert_eq!((report.faults, report.behind), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn refusals_of_one_token_are_summarized_beyond_a_few_and_what_it_did_is_not() {
    const EACH: u64 = 60;
    let demo = Demo::new().await;
    let token = demo.mint(&demo.tokens.operator, json!({"kind": "org", "org": "demo", "actions": ["list"]}));
    let token = token.await.unwrap().token;
    for _ in 0..EACH {
        assert_eq!(code(demo.set(&token, "shop", json!({"A": "1"})).await), Err(ErrorCode::Forbidden));
        demo.list(&token, "shop").await.unwrap();
    }
    demo.lab.engine.close_audit().await.unwrap();
    let lines = demo.lines();
    let of = |action: &str, outcome: &str| -> Vec<&Value> {
        lines.iter().filter(|line| line["action"] == action && line["outcome"] == outcome).collect()
    };
    let id = &of("test", "denied").first().unwrap()["token"];
    let summaries = of("request.refused", "denied");
    assert!(summaries.iter().all(|line| line["token"] == *id && line["reason"] == "forbidden"));
    let summed: u64 = summaries.iter().map(|line| line["count"].as_u64().unwrap()).sum();
    assert_eq!(of("test", "denied").len() as u64 + summed, EACH);
    assert!(summed > 0, "{lines:?}");
    let allowed = of("test", "allowed");
    assert_eq!(allowed.into_iter().filter(|line| line["token"] == *id).count() as u64, EACH);
}

#[tokio::test]
async fn the_row_of_a_recorded_change_that_is_put_back_makes_no_second_line() {
    let (demo, _) = with_pending_line().await;
    let node = demo.lab.node;
    let [kept] = demo.lab.engine.store.unaudited(node).await.unwrap().try_into().ok().unwrap();
    let recovered = |demo: &Demo| demo.lines().iter().filter(|line| line["outcome"] == "recovered").count();
    let demo = demo.restarted().await;
    assert_eq!(recovered(&demo), 1);
    // Its line is not at the end of the log any more.
    let demo = demo.restarted().await.restarted().await;
    let put_back = async |request_id, line: &[u8]| {
        let engine = &demo.lab.engine;
        let mut change = engine.change_without_line();
        change.request = RequestAudit { node, request_id, line: line.to_vec() };
        engine.store.commit(change).await.unwrap();
    };
    put_back(kept.request_id, &kept.line).await;
    // A change of this time is not confused with it, and gets one line, also if its row was copied.
    let audit = local_record(demo.lab.engine.now(), "org.create");
    put_back(audit.request_id(), &demo.lab.engine.line(&audit)).await;
    put_back(audit.request_id(), &demo.lab.engine.line(&audit)).await;
    let demo = demo.restarted().await;
    assert_eq!(recovered(&demo), 2);
    assert_eq!(demo.last_line()["request_id"], audit.request_id().to_string());
}

#[tokio::test]
async fn a_change_whose_line_is_only_in_the_store_keeps_its_record_when_the_log_is_lost() {
    let (demo, _) = with_pending_line().await;
    let demo = Demo { lab: demo.lab.with_lost_log().await, ..demo };
    // The lines before it are in the lost log, or here if the store had not forgotten them yet.
    let lines = demo.lines();
    let of_change: Vec<_> = lines.iter().filter(|line| line["version"] == 2).collect();
    let [line] = of_change.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&line["action"], &line["outcome"]), (&json!("test"), &json!("recovered")));
}
