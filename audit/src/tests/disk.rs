//! Disks that fail, and disks that are full.

use std::io::Write;
use std::process::Command;

use super::*;
use crate::AuditError;

#[tokio::test]
async fn a_failed_sync_refuses_its_group_and_the_log_continues_in_a_new_segment() {
    let lab = Lab::new();
    let log = lab.open().log;
    assert_eq!(log.append(event(1)).await.unwrap(), 2);
    log.fail_syncs(1);
    let error = log.append(event(2)).await.unwrap_err();
    assert!(matches!(&error, AuditError::Write(source) if source.to_string() == "the disk failed"));
    assert!(log.stats().error.unwrap().contains("the disk failed"));
    // Line 3 opens the new segment as a checkpoint.
    assert_eq!(log.append(event(3)).await.unwrap(), 4);
    assert_eq!(log.stats().error, None);
    log.close().await.unwrap();
    assert_eq!(lab.used_segments().len(), 2);
    assert_eq!(lab.verify().unwrap().last_line, 5);
    let text = String::from_utf8(lab.lines().concat()).unwrap();
    assert_eq!((text.contains("r-1"), text.contains("r-2"), text.contains("r-3")), (true, false, true));
}

#[tokio::test]
async fn a_disk_that_fails_for_a_while_leaves_no_gap() {
    let lab = Lab::new();
    let log = lab.open().log;
    log.append(event(0)).await.unwrap();
    log.fail_syncs(5);
    let mut refused = 0;
    let mut numbers = Vec::new();
    for number in 0..10 {
        match log.append(event(number)).await {
            Ok(line) => numbers.push(line),
            Err(AuditError::Write(_)) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((refused, numbers), (5, vec![4, 5, 6, 7, 8]));
    log.close().await.unwrap();
    assert_eq!(lab.verify().unwrap().last_line, 9);
    assert_eq!(lab.open().tail.line, 9);
}

#[tokio::test]
async fn a_full_disk_uses_the_reserve_then_refuses_then_recovers() {
    let disk = SmallDisk::mount();
    let mut lab = Lab::new();
    lab.settings.directory = disk.0.path().join("audit");
    lab.settings.reserve_bytes = 256 << 10;
    let log = lab.open().log;
    assert_eq!(log.append(event(0)).await.unwrap(), 2);
    let left = log.stats().reserve_left;
    assert!(left > 256 << 10 && left < 320 << 10, "{left}");

    let ballast = disk.fill();
    let mut written: u64 = 0;
    let error = loop {
        match log.append(long_event(written, 1000)).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1000);
    };
    assert!(matches!(error, AuditError::Full), "{error:?}");
    // The reserve was used up, except the room for checkpoints.
    assert!(written * 1500 > 256 << 10, "{written}");
    let stats = log.stats();
    assert!(stats.reserve_left < 8192, "{}", stats.reserve_left);
    assert!(stats.error.unwrap().contains("is full"));
    assert!(matches!(log.append(long_event(written, 1000)).await, Err(AuditError::Full)));

    // A node also starts on the full disk, and refuses events.
    assert!(matches!(log.close().await, Ok(()) | Err(AuditError::Full)));
    let Opened { log, mut checkpoints, .. } = lab.open();
    let error = log.append(long_event(written, 4000)).await.unwrap_err();
    assert!(matches!(error, AuditError::Full), "{error:?}");

    fs::remove_file(ballast).unwrap();
    while checkpoints.try_recv().is_ok() {}
    lab.pass(1000);
    // The log recovers without a caller.
    checkpoints.recv().await.unwrap();
    assert_eq!(log.stats().error, None);
    log.append(long_event(written, 1000)).await.unwrap();
    log.append(event(written)).await.unwrap();
    log.append(event(written)).await.unwrap();
    let stats = log.stats();
    assert!(stats.reserve_left > 64 << 10 && stats.error.is_none(), "{stats:?}");
    log.close().await.unwrap();
    assert_eq!(lab.verify().unwrap().first_line, 1);
    assert_eq!(lab.count("secret.set") as u64, written + 4);
}

#[test]
fn without_space_for_a_first_segment_the_log_is_not_opened() {
    let disk = SmallDisk::mount();
    let mut lab = Lab::new();
    lab.settings.directory = disk.0.path().join("audit");
    fs::create_dir(lab.directory()).unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(lab.directory(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(lab.directory().join("audit.lock"), b"").unwrap();
    disk.fill();
    let error = AuditLog::open(lab.settings.clone(), NODE, Some(keys()), None, lab.clock()).unwrap_err();
    assert!(error.to_string().starts_with("not enough space for an audit log in "), "{error}");
    assert_eq!(lab.used_segments(), Vec::<PathBuf>::new());
}

/// A tmpfs of one MiB.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "petsem-test"])
            .arg(directory.path())
            .status()
            .unwrap();
        assert!(mounted.success(), "this test mounts a small tmpfs; run it as root");
        Self(directory)
    }

    fn fill(&self) -> PathBuf {
        let path = self.0.path().join("ballast");
        let mut file = fs::File::create(&path).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.unwrap().success(), "{} stays mounted", self.0.path().display());
    }
}
