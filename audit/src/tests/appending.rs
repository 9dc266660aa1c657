//! Appending: groups, checkpoints, segments, summaries, closing.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

use super::*;
use crate::{AuditError, DurableCheckpoint, Revision};

#[tokio::test]
async fn lines_are_numbered_after_the_first_checkpoint() {
    let lab = Lab::new();
    let Opened { log, tail, .. } = lab.open();
    assert_eq!((tail.line, tail.cut_bytes, tail.request_ids.len()), (0, 0, 0));
    assert_eq!(log.append(event(1)).await.unwrap(), 2);
    let (second, third, fourth) =
        tokio::join!(log.append(event(2)), log.append(event(3)), log.append(event(4)));
    assert_eq!([second.unwrap(), third.unwrap(), fourth.unwrap()], [3, 4, 5]);
    log.close().await.unwrap();
    let report = lab.verify().unwrap();
    assert_eq!(
        (report.node, report.first_line, report.last_line, report.checkpoints, report.without_mac),
        (Some(NODE), 1, 6, 2, 0)
    );
    assert_eq!((report.macs_verified, report.signatures_verified), (true, true));
}

#[tokio::test]
async fn a_queued_line_is_reported_before_the_checkpoint_that_covers_it() {
    let lab = Lab::new();
    let Opened { log, mut checkpoints, .. } = lab.open();
    let reported = Arc::new(Mutex::new(Vec::new()));
    for number in 1..=3 {
        let reported = Arc::clone(&reported);
        let line = event(number).encode().unwrap();
        log.append_then(line, move |written| reported.lock().unwrap().push(written.unwrap())).unwrap();
    }
    log.close().await.unwrap();
    let refused = log.append_then(event(4).encode().unwrap(), |_| panic!("it was refused"));
    assert!(matches!(refused, Err(AuditError::Closed)), "{refused:?}");
    assert_eq!(log.stats().pending, 0);
    while let Some(DurableCheckpoint { checkpoint, .. }) = checkpoints.recv().await {
        let lines: Vec<u64> =
            reported.lock().unwrap().iter().copied().filter(|line| *line <= checkpoint.line).collect();
        assert_eq!(lines, (2..=checkpoint.line.min(4)).collect::<Vec<_>>());
    }
    assert_eq!(*reported.lock().unwrap(), [2, 3, 4]);
}

#[tokio::test]
async fn a_hundred_lines_at_once_share_their_syncs() {
    let lab = Lab::new();
    let log = Arc::new(lab.open().log);
    let before = log.stats();
    let mut tasks = JoinSet::new();
    for number in 0..100 {
        let log = Arc::clone(&log);
        tasks.spawn(async move { log.append(event(number)).await.unwrap() });
    }
    let numbers: BTreeSet<u64> = tasks.join_all().await.into_iter().collect();
    assert_eq!(numbers, (2..102).collect());
    let after = log.stats();
    assert_eq!(after.lines - before.lines, 100);
    assert!(after.syncs - before.syncs < 50, "{} syncs", after.syncs - before.syncs);
    assert_eq!((after.line, after.queue, after.error), (101, 0, None));
    log.close().await.unwrap();
    assert_eq!(lab.verify().unwrap().last_line, 102);
}

#[tokio::test]
async fn files_are_private_and_finished_ones_are_read_only_and_exact() {
    let mut lab = Lab::new();
    lab.settings.reserve_bytes = 128 << 10;
    let log = lab.open().log;
    for number in 0..40 {
        log.append(long_event(number, 4000)).await.unwrap();
    }
    log.close().await.unwrap();
    let used = lab.used_segments();
    assert_eq!(used.len(), 3);
    for (index, path) in used.iter().enumerate() {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if index < 2 { 0o400 } else { 0o600 }, "{}", path.display());
        let bytes = fs::read(path).unwrap();
        assert!(bytes.starts_with(b"{\"n\":") && bytes.windows(14).any(|part| part == b"\"checkpoint\":{"));
        assert_eq!(bytes.last(), Some(if index < 2 { &b'\n' } else { &0 }));
    }
    assert_eq!(fs::metadata(lab.directory()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(lab.verify().unwrap().first_line, 1);
    // The reserve has the numbers after the segment in use.
    let reserve = fs::metadata(lab.directory().join("audit-00000004.log")).unwrap();
    assert_eq!((reserve.len(), reserve.permissions().mode() & 0o777), (64 << 10, 0o600));
}

#[tokio::test]
async fn checkpoints_come_by_lines_and_by_time_and_reach_the_store() {
    let mut lab = Lab::new();
    lab.settings.checkpoint_lines = 10;
    let Opened { log, mut checkpoints, .. } = lab.open();
    let first = checkpoints.recv().await.unwrap().checkpoint;
    assert_eq!((first.line, first.number, first.revision, first.feed), (0, 1, None, None));

    // A new place in the control feed is named before the next line.
    log.set_revision(77, [7; 16]);
    log.set_feed(5);
    for number in 0..10 {
        log.append(event(number)).await.unwrap();
    }
    let second = checkpoints.recv().await.unwrap().checkpoint;
    assert_eq!((second.line, second.number, second.feed), (1, 2, Some(5)));
    assert_eq!(second.revision, Some(Revision { revision: 77, mark: [7; 16] }));
    second.verify(&keys().signing.public()).unwrap();
    let third = checkpoints.recv().await.unwrap().checkpoint;
    assert_eq!((third.line, third.number, third.feed), (12, 3, Some(5)));

    lab.pass(60_000);
    log.append(event(10)).await.unwrap();
    let fourth = checkpoints.recv().await.unwrap().checkpoint;
    assert_eq!((fourth.line, fourth.time_ms), (14, NOON + 60_000));
    log.close().await.unwrap();
    let last = checkpoints.recv().await.unwrap().checkpoint;
    assert_eq!(last.number, 5);
    assert!(checkpoints.recv().await.is_none());
    assert_eq!(verify_log(lab.directory(), all_keys(Some(known_checkpoint(&last)))).unwrap().checkpoints, 5);
}

#[tokio::test]
async fn ten_thousand_unverified_requests_are_one_line_per_second_and_source() {
    let lab = Lab::new();
    let log = lab.open().log;
    for round in 0..3 {
        lab.pass(1000);
        for number in 0..10_000 {
            log.unverified(if number % 10 == 0 { "10.0.0.2" } else { "10.0.0.1" }, "signature");
        }
        log.append(event(round)).await.unwrap();
    }
    lab.pass(1000);
    log.close().await.unwrap();
    let mut seen = BTreeSet::new();
    let mut counted = 0;
    for line in lab.lines() {
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        if line["action"] == "request.unverified" {
            let second = line["t"].as_str().unwrap()[..19].to_owned();
            assert!(seen.insert((second, line["source"].to_string())), "a second line: {line}");
            counted += line["count"].as_u64().unwrap();
        }
    }
    assert_eq!(counted, 30_000);
    assert!(seen.len() <= 8, "{} lines", seen.len());
    lab.verify().unwrap();
}

#[tokio::test]
async fn an_event_longer_than_half_a_segment_is_refused_and_the_next_line_is_written() {
    let lab = Lab::new();
    let log = lab.open().log;
    let (long, next) = tokio::join!(log.append(long_event(0, 36_000)), log.append(event(1)));
    let error = long.unwrap_err();
    assert!(matches!(error, AuditError::TooLong { maximum: 32_768, .. }), "{error:?}");
    assert_eq!(next.unwrap(), 2);
    assert_eq!(log.stats().error, None);
}

#[tokio::test]
async fn a_closed_log_refuses_events() {
    let lab = Lab::new();
    let log = lab.open().log;
    log.close().await.unwrap();
    assert!(matches!(log.append(event(1)).await, Err(AuditError::Closed)));
    assert!(matches!(log.close().await, Err(AuditError::Closed)));
    // Directory and chain are free for the next process.
    assert_eq!(lab.open().tail.line, 2);
}

#[tokio::test]
async fn a_hanging_writer_causes_timeouts_then_a_full_queue() {
    let mut lab = Lab::new();
    lab.settings.append_timeout = Duration::from_millis(20);
    let (is_shut, opened) = &*Box::leak(Box::new((Mutex::new(false), Condvar::new())));
    let time = lab.clock();
    let clock: Clock = Arc::new(move || {
        let _open = opened.wait_while(is_shut.lock().unwrap(), |is_shut| *is_shut).unwrap();
        time()
    });
    let log = Arc::new(AuditLog::open(lab.settings.clone(), NODE, Some(keys()), None, clock).unwrap().log);
    log.append(event(0)).await.unwrap();
    *is_shut.lock().unwrap() = true;
    let mut timed_out = 0;
    let mut error = log.append(event(1)).await.err();
    for _ in 0..20 {
        match error {
            Some(AuditError::TimedOut) => timed_out += 1,
            None => {}
            Some(other) => panic!("{other:?}"),
        }
        if timed_out == 2 {
            break;
        }
        error = log.append(event(1)).await.err();
    }
    assert_eq!(timed_out, 2);
    // A write that hangs reports no error by itself.
    assert_eq!(log.stats().error, Some(AuditError::TimedOut.to_string()));
    let five_thousand = async || {
        let mut appends = JoinSet::new();
        for number in 0..5000 {
            let log = Arc::clone(&log);
            appends.spawn(async move { log.append(event(number)).await.unwrap_err() });
        }
        appends.join_all().await
    };
    for error in five_thousand().await {
        assert!(matches!(error, AuditError::TimedOut), "{error:?}");
    }
    let waiting = log.stats().queue;
    let (busy, others): (Vec<_>, Vec<_>) =
        five_thousand().await.into_iter().partition(|error| matches!(error, AuditError::Busy));
    assert_eq!(busy.len() as u64, waiting + 5000 - 8192);
    assert!(others.iter().all(|error| matches!(error, AuditError::TimedOut)), "{others:?}");
    *is_shut.lock().unwrap() = false;
    opened.notify_all();
}

fn known_checkpoint(checkpoint: &crate::Checkpoint) -> KnownCheckpoint {
    KnownCheckpoint { line: checkpoint.line, head: checkpoint.head }
}

#[tokio::test]
async fn refusals_of_a_token_beyond_a_few_are_one_line_per_second() {
    let lab = Lab::new();
    let log = lab.open().log;
    let refused = AuditEvent {
        token: Some("t-1".to_owned()),
        reason: Some("token_expired".into()),
        ..AuditEvent::new(NOON, "r-1", "secret.set", Outcome::Denied)
    };
    let mut own = 0;
    for round in 0..3 {
        lab.pass(1000);
        for _ in 0..1000 {
            own += u64::from(!log.counts_refusal(&refused));
        }
        // The writer takes the counts after this line.
        log.append(event(round)).await.unwrap();
    }
    lab.pass(1000);
    log.close().await.unwrap();
    let lines: Vec<serde_json::Value> =
        lab.lines().iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
    let summaries: Vec<_> = lines.iter().filter(|line| line["action"] == "request.refused").collect();
    let seconds: BTreeSet<&str> = summaries.iter().map(|line| &line["t"].as_str().unwrap()[..19]).collect();
    assert_eq!(seconds.len(), summaries.len(), "two summaries in one second");
    let summed: u64 = summaries.iter().map(|line| line["count"].as_u64().unwrap()).sum();
    assert_eq!(own + summed, 3000);
    // Five for each summary, and for what came after the last one.
    assert!(own <= 30, "{own} own lines");
    assert!(summaries.iter().all(|line| line["token"] == "t-1" && line["reason"] == "token_expired"));
    lab.verify().unwrap();
}
