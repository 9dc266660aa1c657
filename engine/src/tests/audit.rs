//! The records of changes.

use serde_json::json;

use crate::lab::Demo;

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
