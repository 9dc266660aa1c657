//! A start from the checkpoint that the store keeps.

use super::*;
use crate::checkpoint::Checkpoint;
use crate::line::write_line;
use crate::{AuditOpenError, DurableCheckpoint, Fault, Resume};

/// What the store keeps of a checkpoint.
fn kept(durable: DurableCheckpoint) -> (KnownCheckpoint, Resume) {
    let DurableCheckpoint { checkpoint, resume } = durable;
    (KnownCheckpoint { line: checkpoint.line, head: checkpoint.head }, resume.unwrap())
}

/// Opens a log as a start does that finds this checkpoint in the store.
fn open(lab: &Lab, (known, resume): (KnownCheckpoint, Resume)) -> Result<Opened, AuditOpenError> {
    let keys = AuditKeys { resume: Some(resume), ..keys() };
    AuditLog::open(lab.settings.clone(), NODE, Some(keys), Some(known), lab.clock())
}

fn finding(result: Result<Opened, AuditOpenError>) -> Finding {
    match result {
        Err(AuditOpenError::Broken(finding)) => finding,
        other => panic!("{other:?}"),
    }
}

/// A log whose older files were shipped away: one segment, with the checkpoint of this number and five lines after it.
fn log_of_age(number: u64) -> (Lab, (KnownCheckpoint, Resume)) {
    let lab = Lab::new();
    let known = KnownCheckpoint { line: (number - 1) * 1000, head: [9; 32] };
    let mut checkpoint = Checkpoint {
        node: NODE,
        number,
        line: known.line,
        head: known.head,
        time_ms: NOON,
        revision: None,
        feed: None,
        signature: None,
    };
    checkpoint.sign(&keys().signing);
    let (before, after) = (AuditMacKey::generate(&mut Constant(5)), AuditMacKey::generate(&mut Constant(6)));
    let mut lines = Vec::new();
    let mut line = known.line + 1;
    let mut head = write_line(&mut lines, line, &NODE, &checkpoint.encode(), &known.head, Some(&before));
    for id in 0..5 {
        line += 1;
        let event = event(id).encode().unwrap();
        head = write_line(&mut lines, line, &NODE, event.as_bytes(), &head, Some(&after));
    }
    lines.resize(64 << 10, 0);
    std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700)
        .create(lab.directory())
        .unwrap();
    fs::write(crate::segment::path_of(lab.directory(), number), lines).unwrap();
    (lab, (known, Resume { number, segment: number, offset: 0, mac: after.as_ratchet() }))
}

#[test]
fn a_start_after_a_million_checkpoints_does_as_much_as_after_one() {
    let work = |number| {
        let (lab, place) = log_of_age(number);
        let Opened { log, tail, .. } = open(&lab, place).unwrap();
        drop(log);
        (tail.line + 1 - tail.verified_from, tail.ratchet_steps, tail.request_ids.len())
    };
    assert_eq!(work(1), (6, 0, 5));
    assert_eq!(work(1_000_000), (6, 0, 5));
}

#[tokio::test]
async fn a_start_verifies_from_the_stores_checkpoint_and_a_verification_everything() {
    let mut lab = Lab::new();
    lab.settings.checkpoint_lines = 1;
    let Opened { log, mut checkpoints, .. } = lab.open();
    let mut all = Vec::new();
    for number in 0..300 {
        log.append(event(number)).await.unwrap();
        all.push(checkpoints.recv().await.unwrap());
    }
    assert!(lab.used_segments().len() > 3, "{}", lab.used_segments().len());
    log.close().await.unwrap();
    while let Some(checkpoint) = checkpoints.recv().await {
        all.push(checkpoint);
    }
    let newest = all.remove(all.len() - 2);
    let at = newest.checkpoint.line + 1;
    let Opened { log, tail, mut checkpoints } = open(&lab, kept(newest)).unwrap();
    // The last line is the checkpoint of the end of the log.
    assert_eq!((tail.verified_from, tail.line, tail.ratchet_steps), (at, at + 1, 1));
    // The key is the one of a start that derived it from the first: the next start and the verification accept it.
    log.append(event(300)).await.unwrap();
    log.close().await.unwrap();
    checkpoints.recv().await.unwrap();
    let Opened { log, .. } = open(&lab, kept(checkpoints.recv().await.unwrap())).unwrap();
    log.close().await.unwrap();
    let report = lab.verify().unwrap();
    assert_eq!((report.first_line, report.macs_verified, report.without_mac), (1, true, 0));
}

/// A log of two checkpoints with five lines after each, the second of which the store keeps.
async fn stopped_log() -> (Lab, (KnownCheckpoint, Resume)) {
    let mut lab = Lab::new();
    lab.settings.checkpoint_lines = 5;
    let Opened { log, mut checkpoints, .. } = lab.open();
    for number in 0..5 {
        log.append(event(number)).await.unwrap();
    }
    checkpoints.recv().await.unwrap();
    let second = checkpoints.recv().await.unwrap();
    for number in 5..9 {
        log.append(event(number)).await.unwrap();
    }
    log.close().await.unwrap();
    (lab, kept(second))
}

fn replace(lab: &Lab, what: &str, with: &str) {
    let path = lab.used_segments().remove(0);
    let content = String::from_utf8(fs::read(&path).unwrap()).unwrap();
    assert!(content.contains(what));
    fs::write(path, content.replace(what, with)).unwrap();
}

#[tokio::test]
async fn a_line_changed_after_the_stores_checkpoint_stops_the_start() {
    let (lab, place) = stopped_log().await;
    replace(&lab, "r-6", "r-x");
    let finding = finding(open(&lab, place));
    assert!(matches!(finding.fault, Fault::Chain) && finding.line == 9, "{finding:?}");
}

#[tokio::test]
async fn a_line_changed_before_the_stores_checkpoint_is_found_by_a_verification() {
    let (lab, place) = stopped_log().await;
    replace(&lab, "r-2", "r-x");
    drop(open(&lab, place).unwrap());
    let finding = lab.verify().unwrap_err();
    assert!(matches!(finding.fault, Fault::Chain) && finding.line == 4, "{finding:?}");
}

#[tokio::test]
async fn a_changed_checkpoint_stops_the_start() {
    let (lab, place) = stopped_log().await;
    let line = String::from_utf8(lab.lines().remove(6)).unwrap();
    assert!(line.contains("\"checkpoint\":{\"number\":2,"), "{line}");
    let start = line.find("\"signature\":\"").unwrap() + 13;
    let signature = &line[start..start + 128];
    replace(&lab, signature, &"0".repeat(128));
    let finding = finding(open(&lab, place));
    assert!(matches!(finding.fault, Fault::Chain) && finding.line == 7, "{finding:?}");
}

#[tokio::test]
async fn a_key_of_another_checkpoint_stops_the_start() {
    let (lab, (known, resume)) = stopped_log().await;
    let mac = keys().initial_mac.as_ratchet();
    let finding = finding(open(&lab, (known, Resume { mac, ..resume })));
    assert!(matches!(finding.fault, Fault::Mac) && finding.line == 8, "{finding:?}");
}

#[tokio::test]
async fn a_checkpoint_that_is_not_at_its_place_is_searched_from_the_first_key() {
    let (lab, (known, resume)) = stopped_log().await;
    let Opened { log, tail, .. } = open(&lab, (known, Resume { offset: 7, ..resume })).unwrap();
    drop(log);
    assert_eq!((tail.verified_from, tail.line, tail.ratchet_steps), (1, 12, 3));
}

#[tokio::test]
async fn a_log_cut_before_the_stores_checkpoint_stops_the_start() {
    let (lab, place) = stopped_log().await;
    let path = lab.used_segments().remove(0);
    let kept: usize = lab.lines().iter().take(3).map(Vec::len).sum();
    fs::File::options().write(true).open(&path).unwrap().set_len(kept as u64).unwrap();
    let finding = finding(open(&lab, place));
    assert!(matches!(finding.fault, Fault::Cut { expected: 6 }) && finding.line == 4, "{finding:?}");
}
