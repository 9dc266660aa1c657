//! `petsem operator init` is killed, or fails: a second one finishes the installation, or names the command that helps.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Instant;

use petsem_integration::dev::flyv1;
use petsem_integration::http::Request;
use petsem_integration::installation::{CONFIGURATION, Installation};
use petsem_integration::seals::{done, operator, private, refused};
use petsem_integration::server::{petsem, run};
use rusqlite::Connection;

/// Moments at which a creation is killed.
const KILLS: u32 = 24;

fn init_command(installation: &Installation) -> std::process::Command {
    let mut command = installation.with_configuration(&["operator", "init", "--operator", "kim@example.com"]);
    command.arg("--out").arg(installation.path("operator.token"));
    command
}

/// Asserts that the server starts, and accepts the operator's token.
fn serves(installation: &Installation, what: &str) {
    let server = installation.start().unwrap_or_else(|ended| panic!("{what}: {}", ended.printed));
    let orgs = Request::new("GET", "/v1/orgs").authorization(&flyv1(&installation.operator()));
    let answer = orgs.send(server.address());
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    assert!(server.stop().status.success(), "{what}");
    let verified = operator(installation, &["verify"], &[]);
    assert!(verified.status.success(), "{what}: {}", verified.printed);
}

/// Runs `init` again, and what it names if it refuses. Returns which of the two helped.
fn continue_by(installation: &Installation, what: &str) -> &'static str {
    let again = installation.init();
    if again.status.success() {
        return "init";
    }
    let token = installation.path("operator.token");
    // The kill came between the writing of the token and the end of the command.
    if std::fs::metadata(&token).is_ok_and(|metadata| metadata.len() > 0) {
        assert!(again.printed.contains("operator.token already exists"), "{what}: {}", again.printed);
        return "nothing";
    }
    refused(
        &again,
        &["already holds an installation", "`petsem operator recover --config ", "` makes another one"],
    );
    let recovered =
        operator(installation, &["recover", "--operator", "kim@example.com"], &[("--out", token.as_path())]);
    assert!(recovered.status.success(), "{what}: {}", recovered.printed);
    "recover"
}

#[test]
fn a_creation_that_is_killed_at_any_moment_can_be_finished() {
    let whole = Installation::configured();
    #[expect(clippy::disallowed_methods, reason = "a test measures")]
    let begun = Instant::now();
    done(&whole.init());
    let length = begun.elapsed();
    let mut helped = Vec::new();
    for moment in 0..KILLS {
        let installation = Installation::configured();
        let after = length * moment / (KILLS - 4);
        let mut command = init_command(&installation);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (_alive, timer) = mpsc::channel::<()>();
        let _elapsed = timer.recv_timeout(after);
        child.kill().unwrap();
        child.wait().unwrap();
        let what = format!("killed after {after:?} of {length:?}");
        helped.push(continue_by(&installation, &what));
        serves(&installation, &what);
    }
    println!("{helped:?}");
    assert!(helped.contains(&"init"), "{helped:?}");
}

/// Removes rows of a kind from the database of a stopped installation.
fn without_rows(installation: &Installation, kinds: &[i64]) {
    let database = Connection::open(installation.path("data/petsem.db")).unwrap();
    for kind in kinds {
        database.execute("DELETE FROM records WHERE kind = ?1", [kind]).unwrap();
    }
}

const TOKENS: i64 = 13;
const NODES: i64 = 16;

#[test]
fn an_installation_without_a_node_or_a_token_is_finished_by_a_second_init() {
    // Killed before the node, before its id, before its first line, and before the token.
    type Undo = fn(&Installation);
    let no_log: Undo = |made| std::fs::remove_dir_all(made.path("data/audit")).unwrap();
    let no_id: Undo = |made| std::fs::remove_file(made.path("data/node.id")).unwrap();
    let empty_token: Undo = |made| std::fs::write(made.path("operator.token"), "").unwrap();
    for (what, rows, undo) in [
        ("no node", &[TOKENS, NODES][..], &[no_log, no_id, empty_token][..]),
        ("no token", &[TOKENS], &[empty_token]),
    ] {
        let installation = Installation::made();
        without_rows(&installation, rows);
        undo.iter().for_each(|undo| undo(&installation));
        let again = installation.init();
        assert!(done(&again).contains("was interrupted; it is finished now"), "{what}: {}", again.printed);
        serves(&installation, what);
    }
}

#[test]
fn an_installation_whose_first_token_was_lost_names_recover() {
    let installation = Installation::made();
    std::fs::remove_file(installation.path("operator.token")).unwrap();
    assert_eq!(continue_by(&installation, "the token was lost"), "recover");
    serves(&installation, "the token was lost");
}

#[test]
fn a_second_init_opens_the_seals_that_the_first_one_made() {
    let installation = Installation::configured();
    let seal = "[[seal]]\nkind = \"passphrase\"\n";
    installation.configure(&petsem_integration::seals::configuration(seal));
    let passphrase = private(&installation, "passphrase", "correct horse battery staple\n");
    let init = |file: &Path| petsem_integration::seals::init(&installation, &[("--passphrase-file", file)]);
    done(&init(&passphrase));
    without_rows(&installation, &[TOKENS]);
    std::fs::write(installation.path("operator.token"), "").unwrap();
    let wrong = private(&installation, "wrong", "another passphrase altogether\n");
    refused(&init(&wrong), &["none of the tried seals opens the store"]);
    assert!(done(&init(&passphrase)).contains("was interrupted; it is finished now"));
}

/// What a start needs is checked before anything is created: after it was corrected, `init` works as the first time.
#[test]
fn what_would_fail_after_the_creation_is_refused_before_it() {
    let open = |installation: &Installation| {
        let log = installation.path("log");
        std::fs::create_dir(&log).unwrap();
        std::fs::set_permissions(&log, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let file = |installation: &Installation| std::fs::write(installation.path("log"), "").unwrap();
    let of_another = |installation: &Installation| {
        let another = Installation::made();
        std::fs::rename(another.path("data/audit"), installation.path("log")).unwrap();
    };
    let nothing = |_: &Installation| ();
    let log = "directory = \"log\"\n";
    let ca = "[outgoing]\nca_file = \"missing.pem\"\n";
    type Prepare<'a> = &'a dyn Fn(&Installation);
    for (with, prepare, text) in [
        (log, &open as Prepare<'_>, "other users have access to it"),
        (log, &file, "log"),
        (log, &of_another, "the database of the node"),
        (ca, &nothing, "missing.pem"),
    ] {
        let installation = Installation::configured();
        installation.configure(&format!("{CONFIGURATION}{with}"));
        prepare(&installation);
        let failed = installation.init();
        refused(&failed, &[text]);
        assert!(!installation.path("operator.token").exists(), "{}", failed.printed);
        assert!(!installation.path("data/node.id").exists(), "{}", failed.printed);
        installation.configure(CONFIGURATION);
        done(&installation.init());
        serves(&installation, text);
    }
}

#[test]
fn a_check_of_the_configuration_says_which_directories_are_missing() {
    let installation = Installation::configured();
    let text = CONFIGURATION.replace("unix:petsem.sock", "unix:run/petsem.sock");
    installation.configure(&format!("{text}directory = \"disk/log\"\n"));
    let mut command = petsem(["config", "check"]);
    command.arg(installation.configuration());
    let checked = run(command);
    assert!(checked.status.success(), "{}", checked.printed);
    for part in ["disk, which does not exist: if that is a disk of its own, mount it first", "of the socket"]
    {
        assert!(checked.printed.contains(part), "{}", checked.printed);
    }
}
