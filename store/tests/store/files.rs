//! The data directory: the files created in it, and the refusals.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use petsem_store::{AppPart, OpenError, ReadError, Store};
use rusqlite::Connection;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::open;
use crate::rows::{app, app_change, change};

#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("deep/data");
    let store = open(&directory).unwrap();
    store.commit(app_change(app(1), 1, 3)).await.unwrap();
    assert_eq!(mode(&directory), 0o700);
    for name in ["petsem.db", "petsem.db-wal", "petsem.db-shm", "petsem.lock"] {
        assert_eq!(mode(&directory.join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn closing_leaves_one_database_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    store.commit(app_change(app(1), 1, 3)).await.unwrap();
    assert!(store.stats().wal_bytes > 0);
    store.close().await.unwrap();
    let mut names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["petsem.db", "petsem.lock"]);
    assert_eq!(store.stats().wal_bytes, 0);
}

#[test]
fn a_directory_in_use_is_refused_by_its_lock_file() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path()).unwrap();
    let error = open(directory.path()).err().unwrap();
    let OpenError::InUse { path } = &error else { panic!("{error:?}") };
    assert_eq!(*path, directory.path().join("petsem.lock"));
    assert!(error.to_string().contains(path.to_str().unwrap()));
    drop(first);
    assert_eq!(open(directory.path()).err().map(|error| error.to_string()), None);
}

#[test]
fn a_closed_store_releases_its_directory_though_a_child_has_its_lock_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    // Like a child between fork and exec: the same open file.
    let lock_file = directory.path().join("petsem.lock");
    let is_locked = |entry: &fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|file| file == lock_file);
    let mut open_files = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap());
    let number = open_files.find(is_locked).unwrap().file_name().into_string().unwrap().parse().unwrap();
    let this = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let childs = pidfd_getfd(this, number, PidfdGetfdFlags::empty()).unwrap();
    drop(store);
    assert_eq!(open(directory.path()).err().map(|error| error.to_string()), None);
    drop(childs);
}

#[test]
fn a_closed_store_releases_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = open(directory.path()).unwrap();
    runtime.block_on(store.close()).unwrap();
    assert_eq!(open(directory.path()).err().map(|error| error.to_string()), None);
}

#[test]
fn a_directory_that_other_users_can_write_is_refused() {
    for (mode, is_opened) in [(0o700, true), (0o755, true), (0o770, false), (0o777, false), (0o1777, false)] {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
        match open(directory.path()) {
            Ok(_) => assert!(is_opened, "{mode:o}"),
            Err(OpenError::WritableByOthers { path }) => {
                assert_eq!((path.as_path(), is_opened), (directory.path(), false), "{mode:o}");
                assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
            }
            Err(error) => panic!("{mode:o}: {error:?}"),
        }
    }
}

#[test]
fn a_file_in_place_of_the_directory_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("data");
    fs::write(&file, "").unwrap();
    let error = open(&file).err().unwrap();
    let OpenError::NotADirectory { path } = error else { panic!("{error:?}") };
    assert_eq!(path, file);

    let below = file.join("data");
    let error = open(&below).err().unwrap();
    let OpenError::NotWritable { path, .. } = error else { panic!("{error:?}") };
    assert_eq!(path, below);
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    // This also fails for root, which ignores modes.
    let error = open(Path::new("/proc/petsem")).err().unwrap();
    let OpenError::NotWritable { path, .. } = &error else { panic!("{error:?}") };
    assert_eq!(path, Path::new("/proc/petsem"));
    assert!(error.to_string().starts_with("cannot write /proc/petsem: "), "{error}");
}

#[test]
fn a_newer_format_is_refused_and_left_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()).unwrap());
    let database = directory.path().join("petsem.db");
    Connection::open(&database).unwrap().pragma_update(None, "user_version", 5).unwrap();
    let before = fs::read(&database).unwrap();

    let error = open(directory.path()).err().unwrap();
    let OpenError::NewerFormat { path, found, known } = &error else { panic!("{error:?}") };
    assert_eq!((path, *found, *known), (&database, 5, 4));
    assert!(error.to_string().contains("run a newer petsem"));
    assert!(fs::read(&database).unwrap() == before);
}

#[tokio::test]
async fn an_older_format_is_refused_and_left_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    store.commit(app_change(app(1), 1, 3)).await.unwrap();
    store.close().await.unwrap();
    let database = directory.path().join("petsem.db");
    Connection::open(&database).unwrap().pragma_update(None, "user_version", 3).unwrap();
    assert_older_is_refused(directory.path());
    assert!(!directory.path().join("petsem.db-wal").exists());

    // A killed server leaves its write-ahead log, with the format in it.
    let killed = tempfile::tempdir().unwrap();
    drop(open(killed.path()).unwrap());
    let theirs = Connection::open(killed.path().join("petsem.db")).unwrap();
    theirs.execute_batch("UPDATE meta SET value = 1; PRAGMA user_version = 3").unwrap();
    let left = tempfile::tempdir().unwrap();
    for name in ["petsem.db", "petsem.db-wal"] {
        fs::copy(killed.path().join(name), left.path().join(name)).unwrap();
    }
    assert!(fs::metadata(left.path().join("petsem.db-wal")).unwrap().len() > 0);
    assert_older_is_refused(left.path());
}

/// Asserts that the directory's database of format 2 is refused, and that no byte of it changes.
fn assert_older_is_refused(directory: &Path) {
    let database = directory.join("petsem.db");
    let bytes = || [&database, &directory.join("petsem.db-wal")].map(|path| fs::read(path).ok());
    let before = bytes();
    let error = open(directory).err().unwrap();
    let OpenError::OlderFormat { path, found, known } = &error else { panic!("{error:?}") };
    assert_eq!((path, *found, *known), (&database, 3, 4));
    let text = error.to_string();
    assert!(text.contains("nothing was changed; start it with the petsem that wrote it"), "{text}");
    assert!(bytes() == before);
}

#[test]
fn a_foreign_file_is_refused_and_left_unchanged() {
    let foreign = |path: &Path| {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch("CREATE TABLE theirs (x)").unwrap();
    };
    let text = |path: &Path| fs::write(path, "not a database, whatever its name says\n".repeat(100)).unwrap();
    let short = |path: &Path| fs::write(path, "x").unwrap();
    for make in [&foreign as &dyn Fn(&Path), &text, &short] {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("petsem.db");
        make(&database);
        let before = fs::read(&database).unwrap();
        let error = open(directory.path()).err().unwrap();
        let OpenError::NotPetsem { path } = &error else { panic!("{error:?}") };
        assert_eq!(*path, database);
        assert!(fs::read(&database).unwrap() == before);
    }
}

#[test]
fn a_damaged_structure_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()).unwrap());
    let database = directory.path().join("petsem.db");
    let mut bytes = fs::read(&database).unwrap();
    bytes[100..4096].fill(0xa5);
    fs::write(&database, bytes).unwrap();
    let error = open(directory.path()).err().unwrap();
    let OpenError::Corrupt { path, .. } = error else { panic!("{error:?}") };
    assert_eq!(path, database);
}

#[tokio::test]
async fn a_row_of_a_wrong_form_is_reported_as_corrupt() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    store.commit(app_change(app(1), 1, 3)).await.unwrap();
    let by_hand = Connection::open(directory.path().join("petsem.db")).unwrap();
    by_hand.execute_batch("UPDATE revisions SET mark = x'00'; UPDATE records SET row_version = -1").unwrap();
    let error = store.mark(1).await.unwrap_err();
    assert!(matches!(error, ReadError::Corrupt(_)), "{error:?}");
    let error = store.app(app(1), AppPart::Secrets).await.unwrap_err();
    assert!(matches!(error, ReadError::Corrupt(_)), "{error:?}");
}

#[tokio::test]
async fn a_revision_that_this_process_did_not_write_is_not_the_newest() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let first = store.commit(app_change(app(1), 1, 3)).await.unwrap();
    let by_hand = Connection::open(directory.path().join("petsem.db")).unwrap();
    by_hand.execute("INSERT INTO revisions VALUES (1 << 62, zeroblob(16))", []).unwrap();
    assert_eq!(store.revision().await.unwrap(), Some(first));
    let second = store.commit(app_change(app(1), 2, 3)).await.unwrap();
    assert_eq!((second.revision, store.revision().await.unwrap()), (2, Some(second)));
    // A start cannot tell it from one of a store that was ahead, and continues after it.
    store.close().await.unwrap();
    let store = open(directory.path()).unwrap();
    assert_eq!(store.commit(app_change(app(1), 3, 3)).await.unwrap().revision, (1 << 62) + 1);
}

/// An attacker who copies the files after a change that erases has nothing of what it deleted.
#[tokio::test]
async fn what_a_change_erases_is_in_no_file_when_it_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let holds = |text: &str| {
        let files = ["petsem.db", "petsem.db-wal"].map(|name| fs::read(directory.path().join(name)).unwrap());
        files.iter().any(|file| file.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    store.commit(app_change(app(1), 1, 3)).await.unwrap();
    assert!(holds("bundle 1"));
    let delete = |erases| {
        let mut change = change();
        change.delete_app = Some(app(1));
        change.erases = erases;
        change
    };
    store.commit(delete(false)).await.unwrap();
    assert!(holds("bundle 1"), "the log keeps it");
    store.commit(delete(true)).await.unwrap();
    assert!(!holds("bundle 1"));

    // A reader that keeps an earlier state delays that, but not the change.
    store.commit(app_change(app(2), 1, 3)).await.unwrap();
    let reader = Connection::open(directory.path().join("petsem.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM records").unwrap();
    let mut change = delete(true);
    change.delete_app = Some(app(2));
    store.commit(change).await.unwrap();
    assert!(holds("bundle 1"));
    drop(reader);
    // It is tried again every second.
    for _ in 0..3000 {
        if !holds("bundle 1") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the log keeps what was erased");
}

/// An attacker with write access to the file can add a trigger. It does not run.
#[tokio::test]
async fn code_in_the_database_file_does_not_run() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()).unwrap());
    Connection::open(directory.path().join("petsem.db"))
        .unwrap()
        .execute_batch(
            "CREATE TRIGGER theirs AFTER INSERT ON records BEGIN DELETE FROM records; END;
             CREATE TRIGGER bomb BEFORE INSERT ON revisions BEGIN SELECT raise(ABORT, 'no'); END;",
        )
        .unwrap();
    let store = open(directory.path()).unwrap();
    store.commit(app_change(app(1), 1, 3)).await.unwrap();
    assert_eq!(store.app(app(1), AppPart::Secrets).await.unwrap().map(|rows| rows.head.row_version), Some(1));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
