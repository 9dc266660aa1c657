//! Verification finds every change, and names the line.

use proptest::prelude::*;

use super::*;
use crate::Fault;
use crate::checkpoint::fixed;
use crate::line::{Line, write_line};

/// Lines 1 (checkpoint) to 9 (checkpoint) in one segment, copied into a fresh directory.
async fn short_log() -> (Lab, PathBuf, Vec<u8>) {
    let lab = Lab::new();
    let log = lab.open().log;
    for number in 0..7 {
        log.append(event(number)).await.unwrap();
    }
    log.close().await.unwrap();
    let path = lab.used_segments().remove(0);
    let bytes = fs::read(&path).unwrap();
    let length = bytes.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let lines = bytes[..length].to_vec();
    (lab, path, lines)
}

fn finding(lab: &Lab) -> (u64, Fault) {
    let finding = lab.verify().unwrap_err();
    (finding.line, finding.fault)
}

fn last_known(lines: &[u8]) -> KnownCheckpoint {
    let last = lines.split_inclusive(|byte| *byte == b'\n').next_back().unwrap();
    let line = Line::parse(last.strip_suffix(b"\n").unwrap()).unwrap();
    KnownCheckpoint { line: line.number, head: line.chain }
}

#[tokio::test]
async fn every_byte_that_is_flipped_is_found_in_its_line() {
    let (lab, path, lines) = short_log().await;
    let mut line = 1;
    for offset in 0..lines.len() {
        let mut changed = lines.clone();
        changed[offset] ^= if offset % 2 == 0 { 0x01 } else { 0x80 };
        fs::write(&path, &changed).unwrap();
        assert_eq!(finding(&lab).0, line, "byte {offset}");
        line += u64::from(lines[offset] == b'\n');
    }
    assert_eq!(line, 10);
}

#[tokio::test]
async fn every_byte_that_becomes_a_newline_is_found_in_its_line() {
    let (lab, path, lines) = short_log().await;
    let mut line = 1;
    for offset in 0..lines.len() {
        if lines[offset] == b'\n' {
            line += 1;
            continue;
        }
        let mut changed = lines.clone();
        changed[offset] = b'\n';
        fs::write(&path, &changed).unwrap();
        assert_eq!(finding(&lab).0, line, "byte {offset}");
    }
}

#[tokio::test]
async fn verification_without_keys_finds_every_changed_byte_outside_macs() {
    let (lab, path, lines) = short_log().await;
    let mut missed = 0;
    let mut line = 1;
    for offset in 0..lines.len() {
        let mut changed = lines.clone();
        changed[offset] ^= 1;
        fs::write(&path, &changed).unwrap();
        match verify_log(lab.directory(), VerifyKeys::default()) {
            Ok(report) => {
                assert_eq!((report.macs_verified, report.signatures_verified), (false, false));
                missed += 1;
            }
            Err(finding) => assert_eq!(finding.line, line, "byte {offset}"),
        }
        line += u64::from(lines[offset] == b'\n');
    }
    // Some changed digits of the nine MACs are not hexadecimal any more, so they are found.
    assert!(missed > 0 && missed <= 9 * 64, "{missed}");
}

#[tokio::test]
async fn bytes_written_after_the_last_line_are_found() {
    let (lab, path, lines) = short_log().await;
    for offset in [lines.len(), lines.len() + 1, 60_000, 65_535] {
        let mut changed = lines.clone();
        changed.resize(65_536, 0);
        changed[offset] = b'x';
        fs::write(&path, &changed).unwrap();
        let (line, fault) = finding(&lab);
        assert!(line == 10 && matches!(fault, Fault::Torn), "{line} {fault:?}");
    }
}

#[tokio::test]
async fn a_deleted_line_is_found_where_it_was() {
    let (lab, path, lines) = short_log().await;
    let all: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    for missing in 0..all.len() - 1 {
        let mut kept = all.clone();
        kept.remove(missing);
        fs::write(&path, kept.concat()).unwrap();
        let (line, fault) = finding(&lab);
        assert_eq!(line, if missing == 0 { 1 } else { missing as u64 + 1 });
        match fault {
            Fault::NoStart => assert_eq!(missing, 0),
            Fault::Number { found } => assert_eq!(found, missing as u64 + 2),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn swapped_lines_are_found_at_the_first() {
    let (lab, path, lines) = short_log().await;
    let all: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    for first in 1..all.len() - 1 {
        let mut swapped = all.clone();
        swapped.swap(first, first + 1);
        fs::write(&path, swapped.concat()).unwrap();
        let (line, fault) = finding(&lab);
        assert_eq!(line, first as u64 + 1);
        assert!(matches!(fault, Fault::Number { found } if found == line + 1), "{fault:?}");
    }
}

#[tokio::test]
async fn a_truncated_end_is_found_only_with_the_checkpoint_of_the_store() {
    let (lab, path, lines) = short_log().await;
    let known = last_known(&lines);
    assert_eq!(known.line, 9);
    let all: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    for kept in 1..9 {
        fs::write(&path, all[..kept].concat()).unwrap();
        assert_eq!(lab.verify().unwrap().last_line, kept as u64);
        let finding = verify_log(lab.directory(), all_keys(Some(known))).unwrap_err();
        assert_eq!(finding.line, kept as u64 + 1);
        assert!(matches!(finding.fault, Fault::Cut { expected: 9 }), "{finding:?}");
    }
    fs::write(&path, &lines).unwrap();
    assert_eq!(verify_log(lab.directory(), all_keys(Some(known))).unwrap().last_line, 9);
    let other = KnownCheckpoint { line: 5, head: [1; 32] };
    let finding = verify_log(lab.directory(), all_keys(Some(other))).unwrap_err();
    assert!(matches!(finding.fault, Fault::OtherHistory) && finding.line == 5, "{finding:?}");
}

#[tokio::test]
async fn a_chain_recomputed_without_the_key_is_found_at_its_first_line() {
    let (lab, path, lines) = short_log().await;
    let all: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    for (forged, authenticated) in [(4, true), (4, false)] {
        let mut bytes = all[..forged].concat();
        let before = Line::parse(all[forged - 1].strip_suffix(b"\n").unwrap()).unwrap();
        let mut head = before.chain;
        // The forger's own key, or none, as if the node had been sealed.
        let key = AuditMacKey::generate(&mut Constant(9));
        for number in forged..9 {
            let fields = br#""t":"x","request_id":"r","action":"nothing","outcome":"denied""#;
            let number = number as u64 + 1;
            head = write_line(&mut bytes, number, &NODE, fields, &head, authenticated.then_some(&key));
        }
        fs::write(&path, &bytes).unwrap();
        let (line, fault) = finding(&lab);
        assert!(line == 5 && matches!(fault, Fault::Mac), "{line} {fault:?}");
    }
}

#[tokio::test]
async fn other_keys_do_not_verify_the_log() {
    let (lab, _, _) = short_log().await;
    let other =
        VerifyKeys { initial_mac: Some(AuditMacKey::generate(&mut Constant(3))), ..VerifyKeys::default() };
    let finding = verify_log(lab.directory(), other).unwrap_err();
    assert!(matches!(finding.fault, Fault::Mac) && finding.line == 1, "{finding:?}");
    let public = AuditSigningKey::generate(&mut Constant(3)).public();
    let other = VerifyKeys { public: Some(public), ..VerifyKeys::default() };
    let finding = verify_log(lab.directory(), other).unwrap_err();
    assert!(matches!(finding.fault, Fault::Signature) && finding.line == 1, "{finding:?}");
}

#[tokio::test]
async fn a_line_of_another_node_is_found() {
    let (lab, path, lines) = short_log().await;
    let other = String::from_utf8(lines).unwrap().replacen(&"ab".repeat(16), &"cd".repeat(16), 1);
    fs::write(&path, other.as_bytes()).unwrap();
    let (line, fault) = finding(&lab);
    assert!(line == 1 && matches!(fault, Fault::Chain), "{line} {fault:?}");
    let second =
        other.replace(&"ab".repeat(16), &"cd".repeat(16)).replacen(&"cd".repeat(16), &"ab".repeat(16), 1);
    fs::write(&path, second).unwrap();
    let (line, fault) = finding(&lab);
    assert!(line == 2 && matches!(fault, Fault::OtherNode), "{line} {fault:?}");
}

#[tokio::test]
async fn missing_files_are_found_unless_they_are_the_oldest() {
    let lab = Lab::new();
    let Opened { log, mut checkpoints, .. } = lab.open();
    for number in 0..60 {
        log.append(long_event(number, 4000)).await.unwrap();
    }
    log.close().await.unwrap();
    let mut known = checkpoints.recv().await.unwrap().checkpoint;
    while let Some(checkpoint) = checkpoints.recv().await {
        known = checkpoint.checkpoint;
    }
    let known = KnownCheckpoint { line: known.line, head: known.head };
    let used = lab.used_segments();
    assert_eq!(used.len(), 5);
    let whole = verify_log(lab.directory(), all_keys(Some(known))).unwrap();
    let first_of = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap();
        Line::parse(line).unwrap().number
    };

    let middle = lab.with_new_directory();
    copy(lab.directory(), middle.directory());
    fs::remove_file(middle.directory().join(used[2].file_name().unwrap())).unwrap();
    let (line, fault) = finding(&middle);
    assert_eq!(line, first_of(&used[2]));
    assert!(matches!(fault, Fault::Number { found } if found == first_of(&used[3])), "{fault:?}");

    let oldest = lab.with_new_directory();
    copy(lab.directory(), oldest.directory());
    for path in &used[..2] {
        fs::remove_file(oldest.directory().join(path.file_name().unwrap())).unwrap();
    }
    let report = verify_log(oldest.directory(), all_keys(Some(known))).unwrap();
    assert_eq!((report.first_line, report.last_line), (first_of(&used[2]), whole.last_line));
    // Lines that are gone are not counted as if they had been checked.
    assert_eq!((whole.lines(), report.lines()), (whole.last_line, whole.last_line + 1 - report.first_line));
    assert_eq!(report.head, whole.head);

    let newest = lab.with_new_directory();
    copy(lab.directory(), newest.directory());
    fs::remove_file(newest.directory().join(used[4].file_name().unwrap())).unwrap();
    let finding = verify_log(newest.directory(), all_keys(Some(known))).unwrap_err();
    assert!(matches!(finding.fault, Fault::Cut { .. }) && finding.line == first_of(&used[4]), "{finding:?}");
}

#[test]
fn an_empty_directory_has_no_lines() {
    let directory = tempfile::tempdir().unwrap();
    let report = verify_log(directory.path(), VerifyKeys::default()).unwrap();
    assert_eq!((report.node, report.last_line), (None, 0));
    let known = KnownCheckpoint { line: 3, head: [0; 32] };
    let finding = verify_log(directory.path(), all_keys(Some(known))).unwrap_err();
    assert!(matches!(finding.fault, Fault::Cut { expected: 3 }) && finding.line == 1, "{finding:?}");
}

#[test]
fn a_missing_directory_is_named() {
    let finding = verify_log(Path::new("/nowhere/audit"), VerifyKeys::default()).unwrap_err();
    assert_eq!(
        finding.to_string(),
        "audit line 0 in /nowhere/audit: its file cannot be read: No such file or directory (os error 2)"
    );
    let known = KnownCheckpoint { line: 3, head: [0; 32] };
    let finding = verify_log(Path::new("/nowhere/audit"), all_keys(Some(known))).unwrap_err();
    assert_eq!(
        finding.to_string(),
        "the audit log is missing: /nowhere/audit has no line, but a checkpoint in the store names line 3"
    );
}

#[test]
fn hexadecimal_is_read_only_at_its_exact_length() {
    assert_eq!(fixed::<2>("01ff"), Some([1, 255]));
    assert_eq!(fixed::<2>("01FF"), None);
    assert_eq!(fixed::<2>("01f"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn arbitrary_files_are_verified_or_refused(
        first in prop::collection::vec(any::<u8>(), 0..300),
        second in "(\\{\"n\":1,\"node\":\"[0-9a-f]{32}\",\"checkpoint\":\\{.{0,20}|\\x00|\n){0,5}",
    ) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("audit-00000001.log"), &first).unwrap();
        fs::write(directory.path().join("audit-00000002.log"), second.as_bytes()).unwrap();
        // Two files can only verify if neither holds a line.
        match verify_log(directory.path(), all_keys(None)) {
            Ok(report) => prop_assert_eq!(report.last_line, 0),
            Err(finding) => prop_assert!(finding.line <= 1, "{finding}"),
        }
    }
}
