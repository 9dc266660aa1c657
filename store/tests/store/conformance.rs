//! The suite that every implementation of [`Store`] passes. It uses only the trait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use petsem_api::{AppId, RequestId};
use petsem_store::{
    AppPart, AppRows, Change, ChangedApps, CommitError, Committed, Cursor, FeedEntry, PartRows, ReadError,
    Record, RecordKind, Store, UnauditedChange,
};
use tokio::task::JoinSet;

use crate::rows::{
    NODE, app, app_change, bundle, change, change_of, expect, feed, head, new_value, record, rows_of, value,
};

/// The place of one store: opening it again opens the same store.
pub(crate) trait Place {
    fn open(&self) -> Arc<dyn Store>;
}

pub(crate) async fn a_change_is_read_back_whole(place: &impl Place) {
    let store = place.open();
    assert_eq!(store.app(app(1), AppPart::Secrets).await.unwrap(), None);
    let committed = store.commit(Change { feed: vec![feed(1)], ..app_change(app(1), 1, 5) }).await.unwrap();

    assert_eq!(committed.revision, 1);
    assert_eq!(store.revision().await.unwrap(), Some(committed));
    assert_eq!(store.mark(1).await.unwrap(), Some(committed.mark));
    assert_eq!(store.record(RecordKind::AppHead, app(1).as_bytes()).await.unwrap(), Some(head(app(1), 1)));
    // The kind is part of the key.
    assert_eq!(store.record(RecordKind::Policy, app(1).as_bytes()).await.unwrap(), None);
    assert_eq!(store.app(app(1), AppPart::Secrets).await.unwrap(), Some(rows_of(1, 1)));
    assert_eq!(store.app(app(2), AppPart::Secrets).await.unwrap(), None);
    let policy = record(RecordKind::Policy, app(1).as_bytes(), 7);
    store.commit(Change { puts: vec![policy.clone()], ..change() }).await.unwrap();
    let part = PartRows::Secrets { policy: Some(policy), bundle: Some(bundle(app(1), 1)) };
    let rows = AppRows { head: head(app(1), 1), part };
    assert_eq!(store.app(app(1), AppPart::Secrets).await.unwrap(), Some(rows));
    assert_eq!(history(&store, 1, "A").await, [1]);
    assert_eq!(history(&store, 1, "B").await, [1]);
    assert_eq!(store.feed(0, 10).await.unwrap(), [feed(1)]);
    assert_eq!(store.format_floor().await.unwrap(), 1);
}

pub(crate) async fn a_stale_expectation_applies_nothing(place: &impl Place) {
    let store = place.open();
    let first = store.commit(app_change(app(1), 1, 5)).await.unwrap();
    let stale = Change {
        // Every expectation holds, so the last one decides like the first.
        expects: vec![expect(RecordKind::AppHead, app(1).as_bytes(), 1), expect(RecordKind::Policy, b"p", 4)],
        puts: vec![head(app(1), 2), record(RecordKind::Policy, b"p", 5)],
        deletes: vec![(RecordKind::AppHead, app(1).as_bytes().to_vec())],
        feed: vec![feed(1)],
        ..app_change(app(1), 2, 5)
    };
    let error = store.commit(stale).await.unwrap_err();
    let CommitError::Conflict { kind, id } = error else { panic!("{error:?}") };
    assert_eq!((kind, id.as_slice()), (RecordKind::Policy, b"p".as_slice()));

    assert_eq!(store.app(app(1), AppPart::Secrets).await.unwrap(), Some(rows_of(1, 1)));
    assert_eq!(store.record(RecordKind::Policy, b"p").await.unwrap(), None);
    assert_eq!(history(&store, 1, "A").await, [1]);
    assert_eq!(store.feed(0, 10).await.unwrap(), []);
    assert_eq!(store.revision().await.unwrap(), Some(first));
    assert_eq!(store.unaudited(NODE).await.unwrap().len(), 1);
    assert_eq!(store.stats().conflicts, 1);
}

pub(crate) async fn a_row_that_is_expected_to_be_absent_is_created_once(place: &impl Place) {
    let store = place.open();
    let claim = || Change {
        expects: vec![expect(RecordKind::AppName, b"shop", 0)],
        puts: vec![record(RecordKind::AppName, b"shop", 1)],
        ..change()
    };
    assert_eq!(store.commit(claim()).await.unwrap().revision, 1);
    assert_eq!(conflict(store.commit(claim()).await), RecordKind::AppName);
    let delete = Change { deletes: vec![(RecordKind::AppName, b"shop".to_vec())], ..change() };
    assert_eq!(store.commit(delete.clone()).await.unwrap().revision, 2);
    // Deleting a missing row is not an error.
    assert_eq!(store.commit(delete).await.unwrap().revision, 3);
    assert_eq!(store.commit(claim()).await.unwrap().revision, 4);
}

pub(crate) async fn exactly_one_of_many_writers_of_a_version_succeeds(place: &impl Place) {
    let store = place.open();
    for version in 1..=5 {
        let results = together(&store, (0..20).map(|_| app_change(app(1), version, 3))).await;
        let won: Vec<u64> = results.iter().flatten().map(|committed| committed.revision).collect();
        assert_eq!(won, [version]);
        for lost in results.into_iter().filter(Result::is_err) {
            assert_eq!(conflict(lost), RecordKind::AppHead);
        }
    }
    assert_eq!(store.app(app(1), AppPart::Secrets).await.unwrap(), Some(rows_of(1, 5)));
}

pub(crate) async fn changes_that_wait_together_share_a_transaction(place: &impl Place) {
    let store = place.open();
    let results = together(&store, (0..200).map(|number| app_change(app(number), 1, 3))).await;
    let revisions: BTreeSet<u64> = results.into_iter().map(|result| result.unwrap().revision).collect();
    assert_eq!(revisions, (1..=200).collect());
    let stats = store.stats();
    assert_eq!((stats.commits, stats.conflicts, stats.failures, stats.queue_length), (200, 0, 0, 0));
    assert!((1..=100).contains(&stats.groups), "{} transactions for 200 changes", stats.groups);
}

pub(crate) async fn a_conflict_in_a_group_fails_only_its_own_change(place: &impl Place) {
    let store = place.open();
    let mixed = (0..100).map(|number| match number % 2 {
        0 => app_change(app(number), 1, 3),
        // Expects a version that no row has.
        _ => app_change(app(number), 9, 3),
    });
    let results = together(&store, mixed).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 50);
    for lost in results.into_iter().filter(Result::is_err) {
        assert_eq!(conflict(lost), RecordKind::AppHead);
    }
    for number in 0..100 {
        let rows = store.app(app(number), AppPart::Secrets).await.unwrap();
        assert_eq!(rows, (number % 2 == 0).then(|| rows_of(number, 1)));
        assert_eq!(history(&store, number, "A").await.len(), usize::from(number % 2 == 0));
    }
    assert_eq!(store.revision().await.unwrap().map(|newest| newest.revision), Some(50));
}

pub(crate) async fn revisions_rise_and_marks_differ(place: &impl Place) {
    let store = place.open();
    assert_eq!(store.revision().await.unwrap(), None);
    let mut marks = BTreeSet::new();
    let mut last = 0;
    for version in 1..=10 {
        let committed = store.commit(app_change(app(1), version, 3)).await.unwrap();
        assert!(committed.revision > last, "{committed:?} after {last}");
        last = committed.revision;
        assert_eq!(conflict(store.commit(app_change(app(1), version, 3)).await), RecordKind::AppHead);
        assert_eq!(store.mark(last).await.unwrap(), Some(committed.mark));
        assert_eq!(store.revision().await.unwrap(), Some(committed));
        marks.insert(committed.mark);
    }
    assert_eq!(marks.len(), 10);
    for absent in [0, last + 1, u64::MAX] {
        assert_eq!(store.mark(absent).await.unwrap(), None);
    }
}

/// More changes than a store keeps marks of, many in one transaction.
pub(crate) async fn commit_many(store: &Arc<dyn Store>, count: u64) -> BTreeMap<u64, [u8; 16]> {
    let mut waiting = JoinSet::new();
    for _ in 0..count {
        let store = Arc::clone(store);
        waiting.spawn(async move { store.commit(change()).await.unwrap() });
    }
    waiting.join_all().await.into_iter().map(|committed| (committed.revision, committed.mark)).collect()
}

pub(crate) async fn a_held_mark_and_all_after_it_are_kept(place: &impl Place) {
    let store = place.open();
    commit_many(&store, 10).await;
    let held = store.commit(change()).await.unwrap();
    store.commit(Change { hold_marks_from: Some(held.revision), ..change() }).await.unwrap();
    let mut other = change();
    other.request.node = [8; 16];
    let later = commit_many(&store, 6000).await;
    let newest = later.keys().next_back().copied();
    // Another node's hold does not replace the one of the first.
    store.commit(Change { hold_marks_from: newest, ..other }).await.unwrap();
    commit_many(&store, 200).await;
    assert_eq!(store.mark(held.revision).await.unwrap(), Some(held.mark));
    for (revision, mark) in later {
        assert_eq!(store.mark(revision).await.unwrap(), Some(mark), "{revision}");
    }
}

pub(crate) async fn the_feed_has_no_gaps(place: &impl Place) {
    let store = place.open();
    let append = |numbers: &[u64]| Change {
        puts: vec![record(RecordKind::FeedHead, b"", numbers[0])],
        feed: numbers.iter().map(|number| feed(*number)).collect(),
        ..change()
    };
    for (wrong, last) in [([2].as_slice(), 0), (&[0], 0), (&[1, 3], 0), (&[1, 1], 0)] {
        assert_eq!(feed_conflict(store.commit(append(wrong)).await), last);
    }
    store.commit(append(&[1, 2, 3])).await.unwrap();
    for wrong in [[3].as_slice(), &[1], &[5], &[4, 6], &[u64::MAX]] {
        assert_eq!(feed_conflict(store.commit(append(wrong)).await), 3);
    }
    assert_eq!(
        store.record(RecordKind::FeedHead, b"").await.unwrap(),
        Some(record(RecordKind::FeedHead, b"", 1))
    );
    store.commit(append(&[4])).await.unwrap();

    assert_eq!(store.feed(0, 10).await.unwrap(), [feed(1), feed(2), feed(3), feed(4)]);
    assert_eq!(store.feed(1, 2).await.unwrap(), [feed(2), feed(3)]);
    assert_eq!(store.feed(4, 10).await.unwrap(), []);
    assert_eq!(store.feed(u64::MAX, 10).await.unwrap(), []);

    let other = |number| FeedEntry { mac: b"another".to_vec(), ..feed(number) };
    let replace = |numbers: &[u64]| Change {
        replaced_feed: numbers.iter().map(|number| other(*number)).collect(),
        ..change()
    };
    assert_eq!(feed_conflict(store.commit(replace(&[4, 5])).await), 4);
    store.commit(replace(&[3, 2])).await.unwrap();
    assert_eq!(store.feed(0, 10).await.unwrap(), [feed(1), other(2), other(3), feed(4)]);
}

pub(crate) async fn changed_heads_come_once_and_in_the_order_of_their_changes(place: &impl Place) {
    let store = place.open();
    let start = store.cursor().await.unwrap();
    let page = async |after: &Cursor, limit| {
        let ChangedApps { heads, next } = store.changed_apps(after, limit).await.unwrap().unwrap();
        (heads, next)
    };
    assert_eq!(page(&start, 10).await, (vec![], start.clone()));
    for number in [1, 2, 3] {
        store.commit(app_change(app(number), 1, 3)).await.unwrap();
    }
    // Two heads in one change, and a change of other rows.
    let both = Change { puts: vec![head(app(5), 1), head(app(4), 1)], ..change() };
    store.commit(both).await.unwrap();
    store.commit(app_change(app(2), 2, 3)).await.unwrap();
    store.commit(Change { puts: vec![record(RecordKind::Token, b"t", 1)], ..change() }).await.unwrap();
    let expected = [head(app(1), 1), head(app(3), 1), head(app(4), 1), head(app(5), 1), head(app(2), 2)];
    let end = store.cursor().await.unwrap();
    for limit in 1..=6 {
        let (mut seen, mut after) = (Vec::new(), start.clone());
        loop {
            let (heads, next) = page(&after, limit).await;
            assert!(heads.len() <= limit as usize);
            let is_last = heads.len() < limit as usize;
            seen.extend(heads);
            // As a client keeps it.
            after = next.to_string().parse().unwrap();
            if is_last {
                break;
            }
        }
        assert_eq!((seen.as_slice(), &after), (expected.as_slice(), &end), "{limit}");
    }
    assert_eq!(page(&end, 10).await, (vec![], end.clone()));
    // A deleted head is gone; one that was written again is after the end.
    let deletes = vec![(RecordKind::AppHead, app(1).as_bytes().to_vec())];
    store.commit(Change { deletes, puts: vec![head(app(3), 2)], ..change() }).await.unwrap();
    assert_eq!(page(&end, 10).await.0, [head(app(3), 2)]);
    assert_eq!(page(&start, 10).await.0.len(), 4);
}

pub(crate) async fn a_cursor_of_another_store_or_of_a_later_state_is_unknown(place: &impl Place) {
    let store = place.open();
    let start = store.cursor().await.unwrap();
    store.commit(app_change(app(1), 1, 3)).await.unwrap();
    let now = store.cursor().await.unwrap();
    assert_ne!(now, start);
    for unknown in
        ["x", "s1.", "s1.x", "s1.0", "s1.-1", "s1.01", "s1.+1", "s1.1.", "s1.1.0", "s1.1.0A", "p1.1"]
    {
        let cursor = unknown.parse().unwrap_or_else(|_| "s2.1".parse().unwrap());
        assert_eq!(store.changed_apps(&cursor, 1).await.unwrap(), None, "{unknown}");
    }
    for later in ["s1.3", "s1.2.00", "s1.9223372036854775807", "s1.99999999999999999999"] {
        assert_eq!(store.changed_apps(&later.parse().unwrap(), 1).await.unwrap(), None, "{later}");
    }
    assert_eq!(store.changed_apps(&now, 1).await.unwrap().unwrap().heads, []);
}

pub(crate) async fn history_keeps_as_many_values_as_the_change_says(place: &impl Place) {
    let store = place.open();
    for version in 1..=6 {
        store.commit(app_change(app(1), version, 4)).await.unwrap();
        store.commit(app_change(app(2), version, 100)).await.unwrap();
    }
    assert_eq!(history(&store, 1, "A").await, [6, 5, 4, 3]);
    assert_eq!(history(&store, 1, "B").await, [6, 5, 4, 3]);
    assert_eq!(history(&store, 2, "A").await, [6, 5, 4, 3, 2, 1]);
    // A lower limit immediately deletes older rows, only of that name; the newest is always kept.
    for (version, keep, left) in [(7, 2, vec![7, 6]), (8, 0, vec![8]), (9, 1, vec![9])] {
        let values = vec![new_value(app(1), "A", version, keep)];
        store.commit(Change { values, ..change() }).await.unwrap();
        assert_eq!(history(&store, 1, "A").await, left);
    }
    assert_eq!(history(&store, 1, "B").await, [6, 5, 4, 3]);
}

pub(crate) async fn a_value_is_found_by_its_exact_version(place: &impl Place) {
    let store = place.open();
    store.commit(app_change(app(1), 1, 9)).await.unwrap();
    store.commit(app_change(app(1), 2, 9)).await.unwrap();
    let name = "A".parse().unwrap();
    assert_eq!(store.value(app(1), &name, 1).await.unwrap(), Some(value(app(1), "A", 1)));
    assert_eq!(store.value(app(1), &name, 2).await.unwrap(), Some(value(app(1), "A", 2)));
    for absent in [0, 3, u64::MAX] {
        assert_eq!(store.value(app(1), &name, absent).await.unwrap(), None);
    }
    assert_eq!(store.value(app(1), &"a".parse().unwrap(), 1).await.unwrap(), None);
    // Writing it again replaces it.
    let mut again = new_value(app(1), "A", 1, 9);
    again.row.ciphertext = b"again".to_vec();
    store.commit(Change { values: vec![again.clone()], ..change() }).await.unwrap();
    assert_eq!(store.value(app(1), &name, 1).await.unwrap(), Some(again.row.clone()));
    assert_eq!(store.history(app(1), &name).await.unwrap(), [value(app(1), "A", 2), again.row]);
}

pub(crate) async fn pages_of_an_apps_values_have_each_value_once(place: &impl Place) {
    let store = place.open();
    assert_eq!(store.values(app(1), None, 10).await.unwrap(), []);
    for version in 1..=3 {
        store.commit(app_change(app(1), version, 9)).await.unwrap();
        store.commit(app_change(app(2), version, 9)).await.unwrap();
    }
    let all: Vec<_> =
        ["A", "B"].iter().flat_map(|name| (1..=3).map(|version| value(app(1), name, version))).collect();
    for limit in 1..=7 {
        let mut seen: Vec<petsem_store::ValueRow> = Vec::new();
        loop {
            let after = seen.last().map(|row| (&row.name, row.app_version));
            let page = store.values(app(1), after, limit).await.unwrap();
            let is_last = page.len() < usize::try_from(limit).unwrap();
            seen.extend(page);
            if is_last {
                break;
            }
        }
        assert_eq!(seen, all, "{limit} at once");
    }
    let beyond = ("B".parse().unwrap(), u64::MAX);
    assert_eq!(store.values(app(1), Some((&beyond.0, beyond.1)), 10).await.unwrap(), []);
    let counts = [
        store.count_values(app(1)).await.unwrap(),
        store.count_values(app(3)).await.unwrap(),
        store.count(RecordKind::AppHead).await.unwrap(),
        store.count(RecordKind::Policy).await.unwrap(),
    ];
    assert_eq!(counts, [6, 0, 2, 0]);
}

pub(crate) async fn a_value_written_in_place_removes_no_history(place: &impl Place) {
    let store = place.open();
    for version in 1..=4 {
        store.commit(app_change(app(1), version, 9)).await.unwrap();
    }
    let rewrapped = petsem_store::ValueRow { wrapped_dek: b"another".to_vec(), ..value(app(1), "A", 2) };
    let values = vec![petsem_store::NewValue { row: rewrapped.clone(), keep: u32::MAX }];
    let expects = vec![expect(RecordKind::AppHead, app(1).as_bytes(), 4)];
    store.commit(Change { expects, values, ..change() }).await.unwrap();
    let kept = store.history(app(1), &"A".parse().unwrap()).await.unwrap();
    assert_eq!(kept, [value(app(1), "A", 4), value(app(1), "A", 3), rewrapped, value(app(1), "A", 1)]);
}

pub(crate) async fn deleting_an_app_deletes_only_its_bundle_and_values(place: &impl Place) {
    let store = place.open();
    for number in [1, 2] {
        store.commit(app_change(app(number), 1, 3)).await.unwrap();
    }
    let delete = Change {
        expects: vec![expect(RecordKind::AppHead, app(1).as_bytes(), 1)],
        puts: vec![head(app(1), 2)],
        delete_app: Some(app(1)),
        ..change()
    };
    store.commit(delete).await.unwrap();
    assert_eq!(
        store.app(app(1), AppPart::Secrets).await.unwrap(),
        Some(AppRows { head: head(app(1), 2), part: PartRows::Secrets { policy: None, bundle: None } })
    );
    assert_eq!(history(&store, 1, "A").await, [0; 0]);
    assert_eq!(store.app(app(2), AppPart::Secrets).await.unwrap(), Some(rows_of(2, 1)));
    assert_eq!(history(&store, 2, "A").await, [1]);
}

pub(crate) async fn deletes_are_applied_before_puts(place: &impl Place) {
    let store = place.open();
    store.commit(app_change(app(1), 1, 3)).await.unwrap();
    let rewrite = Change {
        deletes: vec![(RecordKind::AppHead, app(1).as_bytes().to_vec())],
        delete_app: Some(app(1)),
        ..app_change(app(1), 2, 3)
    };
    store.commit(rewrite).await.unwrap();
    assert_eq!(store.app(app(1), AppPart::Secrets).await.unwrap(), Some(rows_of(1, 2)));
    assert_eq!(history(&store, 1, "A").await, [2]);
}

pub(crate) async fn an_app_is_read_with_the_part_that_is_asked_for(place: &impl Place) {
    let store = place.open();
    store.commit(app_change(app(1), 1, 3)).await.unwrap();
    let of = |part| Some(AppRows { head: head(app(1), 1), part });
    assert_eq!(store.app(app(1), AppPart::SecretKeys).await.unwrap(), of(PartRows::SecretKeys(None)));

    let (policy, keys) = (RecordKind::Policy, RecordKind::SecretKeys);
    let rows = [policy, keys].map(|kind| record(kind, app(1).as_bytes(), 7));
    store.commit(Change { puts: rows.to_vec(), ..change() }).await.unwrap();
    let [policy, keys] = rows.map(Some);
    let secrets = PartRows::Secrets { policy, bundle: Some(bundle(app(1), 1)) };
    assert_eq!(store.app(app(1), AppPart::Secrets).await.unwrap(), of(secrets));
    assert_eq!(store.app(app(1), AppPart::SecretKeys).await.unwrap(), of(PartRows::SecretKeys(keys)));
    let only_bundle = of(PartRows::Bundle(Some(bundle(app(1), 1))));
    assert_eq!(store.app(app(1), AppPart::Bundle).await.unwrap(), only_bundle);
    assert_eq!(store.app(app(1), AppPart::Head).await.unwrap(), of(PartRows::Head));
    assert_eq!(store.app(app(2), AppPart::Head).await.unwrap(), None);
    assert_eq!(store.app(app(2), AppPart::SecretKeys).await.unwrap(), None);
}

pub(crate) async fn a_part_is_read_only_under_the_head_that_was_read(place: &impl Place) {
    let store = place.open();
    store.commit(app_change(app(1), 1, 3)).await.unwrap();
    let (policy, keys) = (RecordKind::Policy, RecordKind::SecretKeys);
    let rows = [policy, keys].map(|kind| record(kind, app(1).as_bytes(), 7));
    store.commit(Change { puts: rows.to_vec(), ..change() }).await.unwrap();
    let part = async |number, version, part| store.app_part(app(number), version, part).await.unwrap();

    let [policy, keys] = rows.map(Some);
    let bundle = Some(bundle(app(1), 1));
    let secrets = PartRows::Secrets { policy: policy.clone(), bundle: bundle.clone() };
    for (asked, found) in [
        (AppPart::Head, PartRows::Head),
        (AppPart::Policy, PartRows::Policy(policy)),
        (AppPart::Bundle, PartRows::Bundle(bundle)),
        (AppPart::Secrets, secrets),
        (AppPart::SecretKeys, PartRows::SecretKeys(keys)),
    ] {
        assert_eq!(part(1, 1, asked).await, Some(found));
        // Another version of the head, and no head.
        assert_eq!((part(1, 2, asked).await, part(2, 1, asked).await), (None, None));
    }

    // The head is there, and the parts are absent.
    store.commit(Change { puts: vec![head(app(2), 5)], ..change() }).await.unwrap();
    assert_eq!(part(2, 5, AppPart::Bundle).await, Some(PartRows::Bundle(None)));
    let none = PartRows::Secrets { policy: None, bundle: None };
    assert_eq!(part(2, 5, AppPart::Secrets).await, Some(none));
}

pub(crate) async fn an_app_is_found_by_its_name_in_one_snapshot(place: &impl Place) {
    let store = place.open();
    let row = |number| Record {
        content: app(number).as_bytes().to_vec(),
        ..record(RecordKind::AppName, b"shop", 1)
    };
    let app_of = |row: &Record| Some(AppId::from_bytes(row.content.as_slice().try_into().ok()?));
    let name = "shop".parse().unwrap();
    assert_eq!(store.app_by_name(&name, AppPart::Secrets, &app_of).await.unwrap(), None);

    store.commit(Change { puts: vec![row(1)], ..change() }).await.unwrap();
    let named = store.app_by_name(&name, AppPart::Secrets, &app_of).await.unwrap().unwrap();
    assert_eq!((named.name, named.app), (row(1), None));

    store.commit(app_change(app(1), 1, 3)).await.unwrap();
    let named = store.app_by_name(&name, AppPart::Secrets, &app_of).await.unwrap().unwrap();
    assert_eq!((named.name, named.app), (row(1), Some(rows_of(1, 1))));
    // The caller rejects the row, so nothing else is read.
    let named = store.app_by_name(&name, AppPart::Secrets, &|_| None).await.unwrap().unwrap();
    assert_eq!((named.name, named.app), (row(1), None));
}

pub(crate) async fn pages_of_a_prefix_have_every_id_once(place: &impl Place) {
    let store = place.open();
    const BYTES: [u8; 4] = [0x00, 0x01, 0xfe, 0xff];
    let mut ids: BTreeSet<Vec<u8>> = BTreeSet::from([Vec::new()]);
    for _ in 0..3 {
        let longer: Vec<Vec<u8>> =
            ids.iter().flat_map(|id| BYTES.map(|byte| [id.as_slice(), &[byte]].concat())).collect();
        ids.extend(longer);
    }
    let puts = [RecordKind::Token, RecordKind::AppKek]
        .into_iter()
        .flat_map(|kind| ids.iter().map(move |id| record(kind, id, 1)))
        .collect();
    store.commit(Change { puts, ..change() }).await.unwrap();

    for prefix in &ids {
        let wanted: Vec<&Vec<u8>> = ids.iter().filter(|id| id.starts_with(prefix)).collect();
        for limit in [1, 2, 1000] {
            let mut seen: Vec<Vec<u8>> = Vec::new();
            loop {
                let after = seen.last().cloned();
                let page = store.records(RecordKind::Token, prefix, after.as_deref(), limit).await.unwrap();
                assert!(page.iter().all(|row| row.kind == RecordKind::Token));
                let last = page.len() < usize::try_from(limit).unwrap();
                seen.extend(page.into_iter().map(|row| row.id));
                if last {
                    break;
                }
            }
            assert_eq!(seen.iter().collect::<Vec<_>>(), wanted, "prefix {prefix:?}, limit {limit}");
        }
    }
    // An `after` before the prefix skips nothing, one after it skips all.
    let page =
        async |after: &[u8]| store.records(RecordKind::Token, &[1], Some(after), 1000).await.unwrap().len();
    assert_eq!((page(&[]).await, page(&[0, 5]).await, page(&[0xfe]).await), (21, 21, 0));
    assert_eq!(store.records(RecordKind::Token, &[], None, 0).await.unwrap(), []);
    assert_eq!(store.records(RecordKind::Node, &[], None, 10).await.unwrap(), []);
}

pub(crate) async fn a_change_stays_unaudited_until_it_is_reported(place: &impl Place) {
    let store = place.open();
    let request = |number: u8| RequestId::from_bytes([number; 16]);
    for number in 1..=4 {
        store.commit(change_of(request(number), &[number])).await.unwrap();
    }
    let mut foreign = change_of(request(5), b"other node");
    foreign.request.node = [8; 16];
    store.commit(foreign).await.unwrap();
    let left = |numbers: &[u8]| -> Vec<UnauditedChange> {
        let row = |number: &u8| UnauditedChange {
            revision: u64::from(*number),
            request_id: request(*number),
            line: vec![*number],
        };
        numbers.iter().map(row).collect()
    };
    assert_eq!(store.unaudited(NODE).await.unwrap(), left(&[1, 2, 3, 4]));

    // Applied with the next commit; a revision of another node and a missing one have no effect.
    store.audited(NODE, &[1, 3, 5, 99]);
    store.commit(change_of(request(6), &[6])).await.unwrap();
    assert_eq!(store.unaudited(NODE).await.unwrap(), left(&[2, 4, 6]));
    assert_eq!(store.unaudited([8; 16]).await.unwrap().len(), 1);

    // Or at closing.
    store.audited(NODE, &[2, 4]);
    store.close().await.unwrap();
    drop(store);
    assert_eq!(place.open().unaudited(NODE).await.unwrap(), left(&[6]));
}

pub(crate) async fn readers_see_only_whole_changes(place: &impl Place) {
    let store = place.open();
    store.commit(app_change(app(1), 1, 3)).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, done) = (Arc::clone(&store), Arc::clone(&done));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let mut newest = 1;
                while !done.load(Ordering::Relaxed) {
                    let rows = runtime.block_on(store.app(app(1), AppPart::Secrets)).unwrap().unwrap();
                    let version = rows.head.row_version;
                    assert_eq!(rows, rows_of(1, version));
                    assert!(version >= newest, "{version} after {newest}");
                    newest = version;
                }
            })
        })
        .collect();
    for version in 2..=200 {
        store.commit(app_change(app(1), version, 3)).await.unwrap();
        // The next read sees every acknowledged change.
        let rows = store.app(app(1), AppPart::Secrets).await.unwrap();
        assert_eq!(rows, Some(rows_of(1, version)));
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
}

pub(crate) async fn a_reopened_store_has_every_acknowledged_change(place: &impl Place) {
    let mut last = None;
    for version in 1..=3 {
        let store = place.open();
        assert_eq!(store.revision().await.unwrap(), last);
        let change = Change { feed: vec![feed(version)], ..app_change(app(1), version, 2) };
        last = Some(store.commit(change).await.unwrap());
        assert_eq!(last.map(|committed| committed.revision), Some(version));
        // Closed in both ways: by `close` and by drop.
        if version == 2 {
            store.close().await.unwrap();
        }
    }
    let store = place.open();
    assert_eq!(store.app(app(1), AppPart::Secrets).await.unwrap(), Some(rows_of(1, 3)));
    assert_eq!(history(&store, 1, "A").await, [3, 2]);
    assert_eq!(store.feed(0, 9).await.unwrap(), [feed(1), feed(2), feed(3)]);
    assert_eq!(store.unaudited(NODE).await.unwrap().len(), 3);
}

pub(crate) async fn a_version_out_of_range_fails_only_its_own_change(place: &impl Place) {
    let store = place.open();
    let beyond = 1 << 63;
    let changes = [
        app_change(app(1), 1, 3),
        Change { puts: vec![record(RecordKind::Org, b"o", beyond)], ..app_change(app(2), 1, 3) },
        Change { bundle: Some(bundle(app(3), beyond)), ..app_change(app(3), 1, 3) },
        Change { values: vec![new_value(app(4), "A", beyond, 3)], ..app_change(app(4), 1, 3) },
    ];
    let mut results = together(&store, changes.into_iter()).await;
    results.sort_by_key(Result::is_err);
    assert_eq!(results[0].as_ref().unwrap().revision, 1);
    for result in &results[1..] {
        assert!(matches!(result, Err(CommitError::OutOfRange)), "{result:?}");
    }
    assert_eq!(store.app(app(1), AppPart::Secrets).await.unwrap(), Some(rows_of(1, 1)));
    for number in 2..=4 {
        assert_eq!(store.app(app(number), AppPart::Secrets).await.unwrap(), None);
    }
    assert_eq!(store.stats().failures, 3);
}

pub(crate) async fn a_store_is_empty_until_it_has_a_record(place: &impl Place) {
    let store = place.open();
    assert!(store.is_empty().await.unwrap());
    // Any kind counts: a damaged store must not get a new installation.
    store
        .commit(Change { puts: vec![record(RecordKind::KeyringKey, &[0, 0, 0, 1], 1)], ..change() })
        .await
        .unwrap();
    assert!(!store.is_empty().await.unwrap());
}

pub(crate) async fn a_closed_store_is_unavailable_and_loses_no_change(place: &impl Place) {
    let store = place.open();
    // Closing the store finishes or refuses running changes; none is lost.
    let mut waiting = JoinSet::new();
    for number in 0..50 {
        let store = Arc::clone(&store);
        waiting.spawn(async move { (number, store.commit(app_change(app(number), 1, 3)).await) });
    }
    tokio::task::yield_now().await;
    store.close().await.unwrap();
    store.close().await.unwrap();
    let error = store.commit(change()).await.unwrap_err();
    assert!(matches!(error, CommitError::Unavailable), "{error:?}");
    let error = store.revision().await.unwrap_err();
    assert!(matches!(error, ReadError::Unavailable), "{error:?}");

    let results = waiting.join_all().await;
    drop(store);
    let store = place.open();
    for (number, result) in results {
        let rows = store.app(app(number), AppPart::Secrets).await.unwrap();
        assert_eq!(rows, result.is_ok().then(|| rows_of(number, 1)));
    }
}

/// Commits all of them concurrently.
async fn together(
    store: &Arc<dyn Store>,
    changes: impl Iterator<Item = Change>,
) -> Vec<Result<Committed, CommitError>> {
    let mut waiting = JoinSet::new();
    for change in changes {
        let store = Arc::clone(store);
        waiting.spawn(async move { store.commit(change).await });
    }
    waiting.join_all().await
}

/// The app versions of a secret's values, each with the written content.
async fn history(store: &Arc<dyn Store>, number: u8, name: &str) -> Vec<u64> {
    let rows = store.history(app(number), &name.parse().unwrap()).await.unwrap();
    for row in &rows {
        assert_eq!(*row, value(app(number), name, row.app_version));
    }
    rows.into_iter().map(|row| row.app_version).collect()
}

fn conflict(result: Result<Committed, CommitError>) -> RecordKind {
    match result {
        Err(CommitError::Conflict { kind, .. }) => kind,
        other => panic!("no conflict: {other:?}"),
    }
}

fn feed_conflict(result: Result<Committed, CommitError>) -> u64 {
    match result {
        Err(CommitError::FeedConflict { last }) => last,
        other => panic!("no feed conflict: {other:?}"),
    }
}
