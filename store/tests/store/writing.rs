//! The writer of the embedded store under load, faults and cancellation.

use std::sync::Arc;
use std::time::Duration;

use petsem_store::{AppPart, Change, CommitError, PartRows, SqliteOptions, Store};
use rusqlite::Connection;
use tokio::time::timeout;

use crate::conformance::commit_many;
use crate::rows::{NODE, app, app_change, bundle, change, head, rows_of, value};
use crate::{open, open_with};

#[tokio::test]
async fn reads_do_not_wait_for_a_write_in_progress() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()).unwrap());
    store.commit(app_change(app(1), 1, 3)).await.unwrap();

    let holds_the_lock = Connection::open(directory.path().join("petsem.db")).unwrap();
    holds_the_lock.execute_batch("BEGIN IMMEDIATE; DELETE FROM records").unwrap();
    let writes = Arc::clone(&store);
    let waiting = tokio::spawn(async move { writes.commit(app_change(app(1), 2, 3)).await });
    tokio::task::yield_now().await;
    for _ in 0..100 {
        let rows = store.app(app(1), AppPart::Secrets).await.unwrap();
        assert_eq!(rows.map(|rows| rows.head), Some(head(app(1), 1)));
    }
    assert!(!waiting.is_finished());
    holds_the_lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().revision, 2);
    assert_eq!(
        store.app(app(1), AppPart::Secrets).await.unwrap().map(|rows| rows.head),
        Some(head(app(1), 2))
    );
}

#[tokio::test]
async fn a_full_database_refuses_writes_serves_reads_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions { max_bytes: Some(1 << 20), ..SqliteOptions::new(directory.path()) };
    let store = open_with(&options).unwrap();
    let large = |number: u8| Change {
        bundle: Some(petsem_store::BundleRow {
            ciphertext: vec![number; 100 << 10],
            ..bundle(app(number), 1)
        }),
        ..app_change(app(number), 1, 3)
    };
    let mut stored = 0;
    let error = loop {
        match store.commit(large(stored)).await {
            Ok(committed) => {
                stored += 1;
                assert_eq!(committed.revision, u64::from(stored));
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(error, CommitError::Full), "{error:?}");
    assert!((5..=10).contains(&stored), "{stored}");

    // The refused change left nothing, and everything else is served.
    assert_eq!(store.app(app(stored), AppPart::Secrets).await.unwrap(), None);
    assert_eq!(store.history(app(stored), &"A".parse().unwrap()).await.unwrap(), []);
    for number in 0..stored {
        let rows = store.app(app(number), AppPart::Secrets).await.unwrap().unwrap();
        assert_eq!(rows.part, PartRows::Secrets { policy: None, bundle: large(number).bundle });
    }

    let freed = store.commit(Change { delete_app: Some(app(0)), ..change() }).await.unwrap();
    assert_eq!(freed.revision, u64::from(stored) + 1);
    assert_eq!(store.commit(large(stored)).await.unwrap().revision, u64::from(stored) + 2);
    assert_eq!(store.stats().failures, 1);
}

#[tokio::test]
async fn a_full_queue_waits_and_answers_every_change() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()).unwrap());
    let holds_the_lock = Connection::open(directory.path().join("petsem.db")).unwrap();
    holds_the_lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..2000 {
        let store = Arc::clone(&store);
        waiting.spawn(async move { store.commit(change()).await });
    }
    while store.stats().queue_length < 1024 {
        tokio::task::yield_now().await;
    }
    holds_the_lock.execute_batch("ROLLBACK").unwrap();
    let mut revisions: Vec<u64> =
        waiting.join_all().await.into_iter().map(|result| result.unwrap().revision).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=2000).collect::<Vec<u64>>());
    let stats = store.stats();
    assert_eq!((stats.queue_length, stats.commits, stats.groups < 1000), (0, 2000, true));
}

#[tokio::test]
async fn marks_that_no_log_asks_for_are_pruned_in_steps() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(open(directory.path()).unwrap());
    let by_hand = Connection::open(directory.path().join("petsem.db")).unwrap();
    let marks = || -> (u64, u64) {
        let sql = "SELECT count(*), min(number) FROM revisions";
        by_hand.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    commit_many(&store, 10_000).await;
    assert_eq!(marks(), (10_000, 1), "no node is named");
    // This node names the marks from 300 on, and later those from 9000 on.
    store.commit(Change { hold_marks_from: Some(300), ..change() }).await.unwrap();
    commit_many(&store, 128).await;
    assert_eq!(marks(), (10_129 - 299, 300));
    store.commit(Change { hold_marks_from: Some(9000), ..change() }).await.unwrap();
    commit_many(&store, 64).await;
    assert!(marks().1 > 300 && marks().1 <= 300 + 2 * 512, "{:?}", marks());
    commit_many(&store, 2000).await;
    let (count, oldest) = marks();
    assert!((4096..4096 + 128).contains(&count), "{count}");
    assert_eq!(oldest, 12_194 - count + 1);
    assert_eq!(store.mark(oldest - 1).await.unwrap(), None);
    // The newest is kept, and with it the number of the next.
    assert_eq!(store.revision().await.unwrap().map(|newest| newest.revision), Some(12_194));
}

#[tokio::test]
async fn a_change_whose_caller_was_dropped_is_applied_whole() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let holds_the_lock = Connection::open(directory.path().join("petsem.db")).unwrap();
    holds_the_lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let gone = timeout(Duration::from_millis(1), store.commit(app_change(app(1), 1, 3))).await;
    assert!(gone.is_err());
    holds_the_lock.execute_batch("ROLLBACK").unwrap();
    // The next change waits for the first, and later reads see all of its rows.
    assert_eq!(store.commit(change()).await.unwrap().revision, 2);
    assert_eq!(store.app(app(1), AppPart::Secrets).await.unwrap(), Some(rows_of(1, 1)));
    let history = |name: &str| {
        let name = name.parse().unwrap();
        let store = &store;
        async move { store.history(app(1), &name).await.unwrap() }
    };
    assert_eq!(history("A").await, [value(app(1), "A", 1)]);
    assert_eq!(history("B").await, [value(app(1), "B", 1)]);
    let unaudited = store.unaudited(NODE).await.unwrap();
    let lines: Vec<_> = unaudited.into_iter().map(|change| (change.revision, change.line)).collect();
    assert_eq!(lines, [(1, b"line".to_vec()), (2, b"line".to_vec())]);
}

/// Without a checkpoint that catches up, the log would contain every written page, some 90 MiB here.
#[tokio::test]
async fn the_write_ahead_log_is_reused_under_steady_load() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()).unwrap());
    for round in 0..30_u8 {
        let mut waiting = tokio::task::JoinSet::new();
        for number in 0..30_u8 {
            let store = Arc::clone(&store);
            let row =
                petsem_store::BundleRow { ciphertext: vec![round; 100 << 10], ..bundle(app(number), 1) };
            waiting.spawn(async move { store.commit(Change { bundle: Some(row), ..change() }).await });
        }
        for result in waiting.join_all().await {
            result.unwrap();
        }
    }
    let stats = store.stats();
    assert_eq!(stats.commits, 900);
    assert!(stats.wal_bytes < 60 << 20, "{stats:?}");
    assert_eq!((stats.checkpoints >= 2, stats.checkpoint_failures), (true, 0), "{stats:?}");
}
