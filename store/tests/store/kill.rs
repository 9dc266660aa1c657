//! `kill -9` while several threads commit. The child is this test binary: it prints on its standard output
//! what the store acknowledged.

use std::collections::BTreeSet;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use petsem_api::RequestId;
use petsem_store::{AppPart, Change, RecordKind, Store};
use rand_core::Rng;

use crate::open;
use crate::rows::{NODE, app, app_change, change_of, feed, rows_of};

const DIRECTORY: &str = "PETSEM_STORE_KILL_DIRECTORY";
/// Apps, each written by its own thread; another thread writes the feed.
const APPS: u8 = 4;
const KEEP: u32 = 3;

#[test]
fn a_killed_store_holds_every_acknowledged_change_whole() {
    let rounds = env::var("PETSEM_KILLS").map_or(20, |rounds| rounds.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
    let mut acknowledged = Acknowledged::default();
    for _ in 0..rounds {
        let lines = rng.next_u32() % 150;
        run_and_kill(directory.path(), lines, &mut acknowledged);
        verify(directory.path(), &mut acknowledged);
    }
}

/// The work of a child process; without its variable the test does nothing.
#[test]
fn child() {
    let Ok(directory) = env::var(DIRECTORY) else { return };
    let store = open(Path::new(&directory)).unwrap();
    std::thread::scope(|scope| {
        for number in 0..=APPS {
            let store = &store;
            scope.spawn(move || commit_until_killed(store, number));
        }
    });
}

#[derive(Default)]
struct Acknowledged {
    /// Newest version of each app; the last entry is the feed's.
    versions: [u64; APPS as usize + 1],
    marks: Vec<(u64, String)>,
}

fn commit_until_killed(store: &dyn Store, number: u8) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let rows = runtime.block_on(store.app(app(number), AppPart::Secrets)).unwrap();
    let mut version = match number {
        APPS => runtime.block_on(store.feed(0, u32::MAX)).unwrap().len() as u64,
        _ => rows.map_or(0, |rows| rows.head.row_version),
    };
    loop {
        version += 1;
        let line = format!("{number} {version}");
        let request = change_of(request_id(number, version), line.as_bytes()).request;
        let change = match number {
            APPS => Change { feed: vec![feed(version)], ..Change::new(request) },
            _ => Change { request, ..app_change(app(number), version, KEEP) },
        };
        let committed = runtime.block_on(store.commit(change)).unwrap();
        let mark = u128::from_be_bytes(committed.mark);
        // One write, so that lines of threads do not mix.
        let line = format!("ack {number} {version} {} {mark:x}\n", committed.revision);
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }
}

fn run_and_kill(directory: &Path, lines: u32, acknowledged: &mut Acknowledged) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut left = lines;
    while left > 0 {
        assert!(take_line(&mut output, acknowledged), "the child ended by itself");
        left -= 1;
    }
    kill(&mut child);
    // Acknowledgements printed before the kill count too.
    while take_line(&mut output, acknowledged) {}
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
}

/// Returns false at the end; an incomplete line acknowledges nothing.
fn take_line(output: &mut impl BufRead, acknowledged: &mut Acknowledged) -> bool {
    let mut line = String::new();
    if output.read_line(&mut line).unwrap() == 0 {
        return false;
    }
    // The test harness may have printed text before it on the same line.
    let Some(words) = line.strip_suffix('\n').and_then(|line| line.split("ack ").nth(1)) else { return true };
    let words: Vec<&str> = words.split(' ').collect();
    let number: usize = words[0].parse().unwrap();
    acknowledged.versions[number] = words[1].parse().unwrap();
    acknowledged.marks.push((words[2].parse().unwrap(), words[3].to_owned()));
    true
}

fn verify(directory: &Path, acknowledged: &mut Acknowledged) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = open(directory).unwrap();
    runtime.block_on(async {
        let mut lines = BTreeSet::new();
        for number in 0..APPS {
            let rows = store.app(app(number), AppPart::Secrets).await.unwrap();
            let version = rows.as_ref().map_or(0, |rows| rows.head.row_version);
            let known = acknowledged.versions[usize::from(number)];
            // At most the one running change was also committed.
            assert!((known..=known + 1).contains(&version), "app {number}: {version}, not {known}");
            // The next child continues from here.
            acknowledged.versions[usize::from(number)] = version;
            lines.extend((1..=version).map(|version| format!("{number} {version}")));
            let Some(rows) = rows else { continue };
            assert_eq!(rows, rows_of(number, version));
            for name in ["A", "B"] {
                let history = store.history(app(number), &name.parse().unwrap()).await.unwrap();
                let versions: Vec<u64> = history.into_iter().map(|row| row.app_version).collect();
                let kept: Vec<u64> = (1..=version).rev().take(KEEP as usize).collect();
                assert_eq!(versions, kept);
            }
        }
        let feed = store.feed(0, u32::MAX).await.unwrap();
        let numbers: Vec<u64> = feed.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, (1..=feed.len() as u64).collect::<Vec<u64>>());
        assert!(feed.len() as u64 >= acknowledged.versions[usize::from(APPS)]);
        lines.extend(numbers.iter().map(|number| format!("{APPS} {number}")));

        let last = store.revision().await.unwrap().map_or(0, |newest| newest.revision);
        for revision in 1..=last {
            assert!(store.mark(revision).await.unwrap().is_some(), "no revision {revision}");
        }
        for (revision, mark) in &acknowledged.marks {
            let stored =
                store.mark(*revision).await.unwrap().map(|mark| format!("{:x}", u128::from_be_bytes(mark)));
            assert_eq!(stored.as_ref(), Some(mark));
        }
        // One line for each change, and no change without one.
        let unaudited = store.unaudited(NODE).await.unwrap();
        assert_eq!(unaudited.len() as u64, last);
        assert_eq!(
            unaudited.iter().map(|row| row.revision).collect::<Vec<_>>(),
            (1..=last).collect::<Vec<_>>()
        );
        let stored: BTreeSet<String> =
            unaudited.into_iter().map(|row| String::from_utf8(row.line).unwrap()).collect();
        assert_eq!(stored, lines);
        assert!(store.records(RecordKind::AppHead, &[], None, 100).await.unwrap().len() <= 4);
    });
}

fn request_id(number: u8, version: u64) -> RequestId {
    RequestId::from_bytes(((u128::from(number) << 64) | u128::from(version)).to_be_bytes())
}
