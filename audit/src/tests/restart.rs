//! Restarts after a kill, a power cut, or damage to files.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;

use tokio::task::JoinSet;

use super::*;
use crate::{AuditOpenError, Fault};

/// A running log with some lines, and its file as bytes.
async fn running_log() -> (Lab, AuditLog, PathBuf, usize) {
    let lab = Lab::new();
    let log = lab.open().log;
    for number in 0..5 {
        log.append(event(number)).await.unwrap();
    }
    let path = lab.used_segments().remove(0);
    let length: usize = lab.lines().iter().map(Vec::len).sum();
    (lab, log, path, length)
}

/// A copy of the files as after a kill, with this content in the segment.
fn copy_after_kill(lab: &Lab, path: &Path, content: &[u8]) -> Lab {
    let after = lab.with_new_directory();
    copy(lab.directory(), after.directory());
    fs::write(after.directory().join(path.file_name().unwrap()), content).unwrap();
    after
}

#[tokio::test]
async fn a_write_torn_at_any_byte_is_cut_and_the_log_continues() {
    let (lab, log, path, before) = running_log().await;
    log.append(event(5)).await.unwrap();
    let whole = fs::read(&path).unwrap();
    let length = lab.lines().iter().map(Vec::len).sum::<usize>() - before;
    for kept in 0..=length {
        let mut content = whole.clone();
        content[before + kept..].fill(0);
        let after = copy_after_kill(&lab, &path, &content);
        let Opened { log, tail, .. } = after.open();
        let is_whole = kept == length;
        assert_eq!(tail.line, if is_whole { 7 } else { 6 }, "{kept}");
        assert_eq!(tail.cut_bytes, if is_whole { 0 } else { kept as u64 }, "{kept}");
        assert_eq!(tail.request_ids.contains("r-5"), is_whole);
        assert!(tail.request_ids.contains("r-4"));
        log.append(event(6)).await.unwrap();
        log.close().await.unwrap();
        assert_eq!(after.count("audit.cut"), usize::from(tail.cut_bytes > 0));
        let report = after.verify().unwrap();
        assert_eq!((report.first_line, report.checkpoints), (1, 3));
    }
}

#[tokio::test]
async fn a_file_that_ends_in_the_middle_of_a_line_is_cut_there() {
    let (lab, _log, path, length) = running_log().await;
    let whole = fs::read(&path).unwrap();
    for kept in [length - 1, length - 100, 1] {
        let after = copy_after_kill(&lab, &path, &whole[..kept]);
        let log = after.open().log;
        log.append(event(6)).await.unwrap();
        log.close().await.unwrap();
        assert_eq!(after.verify().unwrap().first_line, 1);
    }
}

#[tokio::test]
async fn a_write_that_lost_a_page_in_a_power_cut_is_cut_there() {
    let (lab, log, path, before) = running_log().await;
    let log = Arc::new(log);
    let mut appends = JoinSet::new();
    for number in 0..30 {
        let log = Arc::clone(&log);
        appends.spawn(async move { log.append(long_event(number, 400)).await.unwrap() });
    }
    let numbers: BTreeSet<u64> = appends.join_all().await.into_iter().collect();
    assert_eq!(numbers, (7..37).collect());
    let mut content = fs::read(&path).unwrap();
    content[before.next_multiple_of(4096)..before.next_multiple_of(4096) + 4096].fill(0);
    let after = copy_after_kill(&lab, &path, &content);
    let Opened { log, tail, .. } = after.open();
    assert!(tail.line >= 6 && tail.line < 36, "{}", tail.line);
    assert!(tail.cut_bytes > 10_000, "{}", tail.cut_bytes);
    log.append(event(6)).await.unwrap();
    log.close().await.unwrap();
    after.verify().unwrap();
}

#[tokio::test]
async fn a_line_changed_in_the_middle_stops_the_start_and_is_named() {
    let (lab, _log, path, _) = running_log().await;
    let content = String::from_utf8(fs::read(&path).unwrap()).unwrap();
    let after = copy_after_kill(&lab, &path, content.replace("r-2", "r-9").as_bytes());
    let error = AuditLog::open(after.settings.clone(), NODE, Some(keys()), None, after.clock()).unwrap_err();
    let AuditOpenError::Broken(finding) = &error else { panic!("{error:?}") };
    assert!(matches!(finding.fault, Fault::Chain) && finding.line == 4, "{finding:?}");
    let text = error.to_string();
    assert!(text.contains("audit line 4") && text.contains("petsem operator audit accept-loss"), "{text}");
    // Nothing was touched.
    assert_eq!(after.lines().len(), 6);
}

#[tokio::test]
async fn a_log_behind_the_store_stops_the_start() {
    let (lab, log, path, _) = running_log().await;
    let before = fs::read(&path).unwrap();
    log.close().await.unwrap();
    let open =
        |lab: &Lab, known| AuditLog::open(lab.settings.clone(), NODE, Some(keys()), Some(known), lab.clock());
    let Opened { log, tail: end, .. } = lab.open();
    log.close().await.unwrap();
    let known = KnownCheckpoint { line: end.line, head: end.head };
    let after = copy_after_kill(&lab, &path, &before);
    let AuditOpenError::Broken(finding) = open(&after, known).unwrap_err() else { panic!() };
    assert!(matches!(finding.fault, Fault::Cut { expected: 7 }) && finding.line == 7, "{finding:?}");
    // An empty directory is not a new log.
    let empty = lab.with_new_directory();
    let AuditOpenError::Missing { directory, line } = open(&empty, known).unwrap_err() else { panic!() };
    assert_eq!((directory.as_path(), line), (empty.directory(), 8));
    assert_eq!(empty.lines(), Vec::<Vec<u8>>::new());
    assert_eq!(open(&lab, known).unwrap().tail.line, 9);
}

#[tokio::test]
async fn a_directory_names_the_node_that_wrote_it() {
    let (lab, log, path, _) = running_log().await;
    assert_eq!(crate::logged_node(lab.directory()).unwrap(), Some(NODE));
    log.close().await.unwrap();
    fs::remove_file(path).unwrap();
    assert_eq!(crate::logged_node(lab.directory()).unwrap(), None);
    assert_eq!(crate::logged_node(&lab.directory().join("absent")).unwrap(), None);
}

#[tokio::test]
async fn the_log_of_another_node_stops_the_start() {
    let (lab, log, _, _) = running_log().await;
    log.close().await.unwrap();
    let error = AuditLog::open(lab.settings.clone(), [1; 16], Some(keys()), None, lab.clock()).unwrap_err();
    let AuditOpenError::Broken(finding) = error else { panic!("{error:?}") };
    assert!(matches!(finding.fault, Fault::OtherNode) && finding.line == 1, "{finding:?}");
}

#[tokio::test]
async fn two_processes_do_not_write_one_log() {
    let (lab, _log, _, _) = running_log().await;
    let error = AuditLog::open(lab.settings.clone(), NODE, Some(keys()), None, lab.clock()).unwrap_err();
    assert!(matches!(error, AuditOpenError::InUse { .. }), "{error:?}");
}

#[tokio::test]
async fn a_directory_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let lab = Lab::new();
    fs::create_dir(lab.directory()).unwrap();
    fs::set_permissions(lab.directory(), fs::Permissions::from_mode(0o750)).unwrap();
    let error = AuditLog::open(lab.settings.clone(), NODE, Some(keys()), None, lab.clock()).unwrap_err();
    assert!(error.to_string().contains("0700"), "{error}");
}

#[tokio::test]
async fn the_mac_key_is_found_again_after_many_starts_and_lost_old_files() {
    let mut lab = Lab::new();
    lab.settings.checkpoint_lines = 3;
    for round in 0..5 {
        let Opened { log, tail, .. } = lab.open();
        assert_eq!(tail.verified_from, 1);
        for number in 0..20 {
            log.append(long_event(round * 100 + number, 1000)).await.unwrap();
        }
        log.close().await.unwrap();
    }
    let whole = lab.verify().unwrap();
    assert!(whole.checkpoints > 20, "{}", whole.checkpoints);
    let used = lab.used_segments();
    fs::remove_file(&used[0]).unwrap();
    let Opened { log, tail, .. } = lab.open();
    assert_eq!((tail.line, tail.head), (whole.last_line, whole.head));
    assert!(tail.verified_from > 1);
    log.close().await.unwrap();
    let report = lab.verify().unwrap();
    assert_eq!((report.first_line, report.last_line), (tail.verified_from, whole.last_line + 2));
}

#[tokio::test]
async fn request_ids_are_collected_since_the_checkpoint_of_the_store() {
    let mut lab = Lab::new();
    lab.settings.checkpoint_lines = 4;
    let Opened { log, mut checkpoints, .. } = lab.open();
    for number in 0..13 {
        log.append(event(number)).await.unwrap();
    }
    log.close().await.unwrap();
    let first = checkpoints.recv().await.unwrap().checkpoint;
    let known = KnownCheckpoint { line: first.line, head: first.head };
    let opened = AuditLog::open(lab.settings.clone(), NODE, Some(keys()), Some(known), lab.clock()).unwrap();
    assert_eq!(opened.tail.request_ids.len(), 13);
    opened.log.close().await.unwrap();
    let opened = lab.open();
    assert_eq!(opened.tail.request_ids.len(), 0, "the last two checkpoints are adjacent lines");
}

#[tokio::test]
async fn a_sealed_node_chains_its_lines_and_a_restart_with_keys_continues_with_macs() {
    let sealed = Lab::new();
    let log = sealed.open().log;
    log.append(event(1)).await.unwrap();
    log.close().await.unwrap();
    let log = AuditLog::open(sealed.settings.clone(), NODE, None, None, sealed.clock()).unwrap().log;
    log.append(event(2)).await.unwrap();
    // Copied as after a kill: closing would write another line without a MAC.
    let lab = sealed.with_new_directory();
    copy(sealed.directory(), lab.directory());
    let log = lab.open().log;
    log.append(event(3)).await.unwrap();
    log.close().await.unwrap();
    let sealed = || VerifyKeys { sealed_lines: true, ..all_keys(None) };
    let report = verify_log(lab.directory(), sealed()).unwrap();
    assert_eq!((report.last_line, report.without_mac, report.checkpoints), (8, 2, 5));
    let finding = lab.verify().unwrap_err();
    assert!(matches!(finding.fault, Fault::NoMac) && finding.line == 4, "{finding:?}");
}

/// What a sealed server's log cannot prevent: its lines need no key.
#[tokio::test]
async fn lines_that_anyone_adds_to_the_log_of_a_sealed_node_verify_and_are_counted() {
    let lab = Lab::new();
    let log = lab.open().log;
    log.append(event(1)).await.unwrap();
    log.close().await.unwrap();
    let without_key = || AuditLog::open(lab.settings.clone(), NODE, None, None, lab.clock()).unwrap().log;
    let log = without_key();
    log.append(event(2)).await.unwrap();
    log.close().await.unwrap();
    let counted = || {
        let keys = VerifyKeys { sealed_lines: true, ..all_keys(None) };
        verify_log(lab.directory(), keys).unwrap().without_mac
    };
    let by_the_node = counted();
    // The attacker has the files of the node, and none of its keys.
    let log = without_key();
    log.append(event(666)).await.unwrap();
    log.close().await.unwrap();
    let with_forged = counted();
    assert!(with_forged > by_the_node, "{with_forged} {by_the_node}");
    let log = lab.open().log;
    log.append(event(3)).await.unwrap();
    log.close().await.unwrap();
    assert_eq!((counted(), lab.lines().iter().any(|line| is_of(line, "r-666"))), (with_forged, true));
}

fn is_of(line: &[u8], request: &str) -> bool {
    String::from_utf8_lossy(line).contains(&format!("\"{request}\""))
}

/// Whoever looks at a stopped node is told what its next start refuses.
#[tokio::test]
async fn the_end_of_a_log_that_others_can_reach_is_refused_as_at_a_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let (lab, log, ..) = running_log().await;
    log.close().await.unwrap();
    let set = |mode| fs::set_permissions(lab.directory(), fs::Permissions::from_mode(mode)).unwrap();
    let ended =
        || crate::check_end(lab.directory(), NODE, keys(), None).map(drop).map_err(|error| error.to_string());
    assert_eq!(ended(), Ok(()));
    set(0o755);
    let refused = ended().unwrap_err();
    assert!(refused.contains("other users have access to it"), "{refused}");
    let at_start = AuditLog::open(lab.settings.clone(), NODE, Some(keys()), None, lab.clock());
    assert_eq!(at_start.err().unwrap().to_string(), refused);
    set(0o700);
    assert_eq!(ended(), Ok(()));
}

#[tokio::test]
async fn a_deleted_file_is_restored_and_the_log_has_a_line_about_it() {
    let (lab, log, path, _) = running_log().await;
    fs::remove_file(&path).unwrap();
    lab.pass(1000);
    log.append(event(5)).await.unwrap();
    log.append(event(6)).await.unwrap();
    assert_eq!(log.stats().files_restored, 1);
    log.close().await.unwrap();
    assert_eq!(lab.count("audit.restore"), 1);
    let report = lab.verify().unwrap();
    assert_eq!((report.first_line, report.last_line), (1, 10));
}

#[tokio::test]
async fn a_replaced_file_is_restored_and_the_foreign_file_is_kept() {
    let (lab, log, path, _) = running_log().await;
    fs::rename(&path, lab.directory().join("elsewhere")).unwrap();
    fs::write(&path, b"nothing happened\n").unwrap();
    lab.pass(1000);
    log.append(event(5)).await.unwrap();
    log.append(event(6)).await.unwrap();
    log.close().await.unwrap();
    assert_eq!(lab.verify().unwrap().last_line, 10);
    let foreign = lab.directory().join("audit-00000001.log.foreign");
    assert_eq!(fs::read(foreign).unwrap(), b"nothing happened\n");
}

#[tokio::test]
async fn a_file_truncated_while_in_use_ends_the_log() {
    let (lab, log, path, _) = running_log().await;
    fs::File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
    lab.pass(1000);
    let _written_into_the_hole = log.append(event(5)).await;
    let error = log.append(event(6)).await.unwrap_err();
    assert!(error.to_string().contains("truncated or changed while in use"), "{error}");
    assert!(log.stats().error.unwrap().contains("audit-00000001.log"));
    assert_eq!(lab.verify().unwrap_err().line, 1);
}

#[tokio::test]
async fn no_line_follows_one_that_was_changed_before_a_failed_sync() {
    let (_lab, log, path, length) = running_log().await;
    fs::File::options().write(true).open(&path).unwrap().write_all_at(b"x", length as u64 - 9).unwrap();
    log.fail_syncs(1);
    log.append(event(5)).await.unwrap_err();
    let error = log.append(event(6)).await.unwrap_err();
    assert!(matches!(error, crate::AuditError::Damaged { .. }), "{error:?}");
}
