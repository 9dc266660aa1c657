//! The transcripts in `tests/cmd/*.txt` are the contract of the command line: commands, output and exit statuses.
//! `PETSEM_BLESS=1 cargo test -p petsem --test transcripts` regenerates them; the commit shows the difference.
//!
//! A transcript runs in a fresh directory that holds a copy of `tests/cmd/files`. Its lines:
//!
//! ```text
//! # a comment
//! $ petsem …            a command; blanks separate arguments, '…' keeps blanks; `< FILE` at its end is its input
//! $ chmod MODE FILE     the only other command
//! > …                   a line of standard output
//! ! …                   a line of standard error, except those of the log, which have times
//! ? 2                   the exit status, if it is not 0
//! ```

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[test]
fn transcripts_match_the_command_line() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd");
    let bless = std::env::var_os("PETSEM_BLESS").is_some_and(|bless| bless == "1");
    let mut transcripts: Vec<PathBuf> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    transcripts.sort();
    assert_ne!(transcripts, Vec::<PathBuf>::new());
    let mut different = Vec::new();
    for path in transcripts {
        let written = fs::read_to_string(&path).unwrap();
        let seen = replay(&written, &directory.join("files"));
        if seen == written {
            continue;
        }
        if bless {
            fs::write(&path, seen).unwrap();
        } else {
            different.push(format!("--- {}: actual\n{seen}", path.display()));
        }
    }
    assert!(different.is_empty(), "{}\nPETSEM_BLESS=1 regenerates them", different.join("\n"));
}

/// They are in the package, and `cargo deb` runs no command that could write them.
#[test]
fn man_pages_of_the_package_are_those_that_the_command_writes() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/man");
    let written = tempfile::tempdir().unwrap();
    petsem(&["man", "."], Stdio::null(), written.path());
    let pages = |directory: &Path| -> BTreeMap<PathBuf, String> {
        let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        paths.map(|path| (path.file_name().unwrap().into(), fs::read_to_string(path).unwrap())).collect()
    };
    let (mut old, new) = (pages(&kept), pages(written.path()));
    if std::env::var_os("PETSEM_BLESS").is_some_and(|bless| bless == "1") {
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            fs::remove_file(kept.join(name)).unwrap();
        }
        for (name, page) in new.iter().filter(|(name, page)| old.get(*name) != Some(*page)) {
            fs::write(kept.join(name), page).unwrap();
        }
        old = pages(&kept);
    }
    let differs = |name: &&PathBuf| old.get(*name) != new.get(*name);
    let different: BTreeSet<&PathBuf> = old.keys().chain(new.keys()).filter(differs).collect();
    assert_eq!(different, BTreeSet::new(), "PETSEM_BLESS=1 regenerates them");
}

/// Who set a variable once need not type the option, and is not told to.
#[test]
fn a_usage_names_no_option_that_a_variable_gives() {
    let printed = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_petsem"));
        command.args(arguments).env("PETSEM_CONTEXT", "context.toml").env("PETSEM_TOKEN_FILE", "token");
        command.env("PETSEM_CONFIG", "petsem.toml").env_remove("COLUMNS");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let what =
        "<TOKEN_ID|--key <KEY_ID>|--machine <MACHINE>|--host <HOST>|--sub <SUBJECT>|--all-jwts|--jti <JTI>>";
    let usage =
        |printed: &str| printed.lines().find_map(|line| line.strip_prefix("Usage: ").map(str::to_owned));
    assert_eq!(usage(&printed(&["token", "revoke"])), Some(format!("petsem token revoke {what}")));
    let approve = usage(&printed(&["operator", "approve"]));
    assert_eq!(approve.as_deref(), Some("petsem operator approve <ID>"));
}

/// The transcript with the actual output.
fn replay(transcript: &str, files: &Path) -> String {
    let work = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(files).unwrap() {
        let from = entry.unwrap().path();
        let to = work.path().join(from.file_name().unwrap());
        fs::copy(&from, &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let mut seen = String::new();
    for line in transcript.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            seen.push_str(line);
            seen.push('\n');
            seen.push_str(&run(command, work.path()));
        } else if line.is_empty() || line.starts_with('#') {
            seen.push_str(line);
            seen.push('\n');
        } else {
            assert!(line.starts_with(['>', '!', '?']), "not a line of a transcript: {line}");
        }
    }
    seen
}

fn run(command: &str, work: &Path) -> String {
    let (command, input) = match command.split_once(" < ") {
        Some((command, file)) => (command, Stdio::from(fs::File::open(work.join(file)).unwrap())),
        None => (command, Stdio::null()),
    };
    let words = words(command);
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["chmod", mode, file] => {
            let mode = u32::from_str_radix(mode, 8).unwrap();
            fs::set_permissions(work.join(file), fs::Permissions::from_mode(mode)).unwrap();
            String::new()
        }
        ["petsem", arguments @ ..] => petsem(arguments, input, work),
        _ => panic!("a transcript runs petsem and chmod, not {command}"),
    }
}

fn petsem(arguments: &[&str], input: Stdio, work: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_petsem"));
    command.args(arguments).current_dir(work).stdin(input);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PETSEM_") {
            command.env_remove(name);
        }
    }
    let output = command.env_remove("COLUMNS").output().unwrap();
    let mut seen = marked('>', &output.stdout) + &marked('!', &output.stderr);
    match output.status.code() {
        Some(0) => {}
        Some(status) => seen.push_str(&format!("? {status}\n")),
        None => seen.push_str("? killed\n"),
    }
    seen
}

fn marked(mark: char, output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines = text.lines().filter(|line| !line.starts_with("{\"timestamp\":"));
    lines.map(|line| format!("{mark} {line}").trim_end().to_owned() + "\n").collect()
}

/// Split at blanks; single quotes keep them.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in command.split('\'').enumerate() {
        match at % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}
