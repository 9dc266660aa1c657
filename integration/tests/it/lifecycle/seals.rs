//! Seals end to end: several kinds, a server that is sealed, unsealed and sealed again, and the list of
//! seals.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use petsem_integration::dev::{audit_log, flyv1};
use petsem_integration::http::{Request, connect};
use petsem_integration::installation::Installation;
use petsem_integration::pause;
use petsem_integration::seals::{
    KEY_FILE, SECOND_KEY_FILE, assert_open, assert_sealed, configuration, configured, done, get, init,
    operator, orgs, private, refused, seal_the_server, seals, status,
};
use petsem_integration::server::{Server, petsem, run};
use rusqlite::Connection;
use serde_json::{Value, json};

const PASSPHRASE: &str = "six random words make a passphrase";

/// Kind of these rows, as numbered on disk.
pub(super) const SEAL_ROWS: &str = "2";

const BY_PASSPHRASE: &str = "[[seal]]\nkind = \"passphrase\"\n";
pub(super) const BY_SHARES: &str = "[[seal]]\nkind = \"shamir\"\nthreshold = 2\nshares = 3\n";

/// Argon2id takes 256 MiB and a core: at most two tests use it at once.
pub(super) fn passphrase_turn() -> MutexGuard<'static, ()> {
    static TURNS: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];
    let [first, second] = &TURNS;
    match first.try_lock() {
        Ok(turn) => turn,
        Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
        Err(TryLockError::WouldBlock) => second.lock().unwrap_or_else(PoisonError::into_inner),
    }
}

pub(super) fn by_passphrase() -> (Installation, PathBuf) {
    let installation = configured(BY_PASSPHRASE);
    let passphrase = private(&installation, "passphrase", &format!("{PASSPHRASE}\n"));
    done(&init(&installation, &[("--passphrase-file", &passphrase)]));
    (installation, passphrase)
}

pub(super) fn by_shares() -> (Installation, Vec<PathBuf>) {
    let installation = configured(BY_SHARES);
    let directory = installation.path("shares");
    std::fs::create_dir(&directory).unwrap();
    done(&init(&installation, &[("--shares-directory", &directory)]));
    let shares = (1..=3).map(|number| directory.join(format!("share-{number}"))).collect();
    (installation, shares)
}

fn verified_audit(installation: &Installation, files: &[(&str, &Path)]) -> String {
    done(&operator(installation, &["audit", "verify"], files)).to_owned()
}

#[test]
fn every_start_notes_the_seal_that_opened_the_store() {
    let installation = Installation::made();
    let opened = || seals(&installation)[0]["verified_at"].as_str().unwrap().to_owned();
    let mut seen = vec![opened()];
    for _ in 0..2 {
        assert!(installation.start().unwrap().stop().status.success());
        seen.push(opened());
    }
    assert!(seen[0] != seen[1] && seen[1] != seen[2], "{seen:?}");
}

#[test]
fn a_server_that_needs_a_passphrase_starts_sealed_and_opens_with_the_right_one() {
    let _turn = passphrase_turn();
    let (installation, passphrase) = by_passphrase();
    let wrong = private(&installation, "wrong", "another six random words it is");
    // The seal has wrapped the root key, but has not opened it yet.
    assert_eq!(seals(&installation)[0]["verified_at"], Value::Null);
    let server = installation.start().unwrap();
    assert_sealed(&installation, &server);
    let ready = get(&server, "/readyz");
    assert_eq!((ready.status, ready.field("status")), (503, "sealed".to_owned()));
    assert!(ready.text().contains("petsem operator unseal"), "{}", ready.text());
    let metrics = get(&server, "/metrics");
    assert_eq!(metrics.status, 200);
    let metrics = metrics.text();
    // Nothing else: a sealed node reveals nothing about its issuers or its store.
    let values: Vec<_> = metrics.lines().filter(|line| !line.starts_with('#')).collect();
    let build = concat!("petsem_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1");
    assert_eq!(values, [build, "petsem_ready 0", "petsem_sealed 1"], "{metrics}");
    for path in ["/openapi.json", "/v1/apps/shop/secrets", "/v1/boot", "/nowhere"] {
        let answer = get(&server, path);
        assert_eq!(answer.outcome(), (503, "sealed".to_owned()), "{path}");
        assert_eq!(answer.header("retry-after"), Some("30"), "{path}");
    }
    let seen = status(&installation);
    assert_eq!((&seen["state"], &seen["store"]["checked"]), (&json!("sealed"), &json!(false)));
    assert!(seen["server"]["why_sealed"].to_string().contains("the passphrase"), "{seen}");

    refused(
        &operator(&installation, &["unseal"], &[("--passphrase-file", &wrong)]),
        &["this passphrase does not open"],
    );
    // No input was given, and the configuration has no automatic seal.
    refused(&operator(&installation, &["unseal"], &[]), &["sealed", "the passphrase"]);
    assert_sealed(&installation, &server);

    let unsealed = operator(&installation, &["unseal"], &[("--passphrase-file", &passphrase)]);
    assert_eq!(done(&unsealed), "unsealed by passphrase (passphrase)\n");
    assert_open(&installation, &server);
    assert_eq!(get(&server, "/readyz").status, 200);
    let seen = status(&installation);
    assert_eq!((&seen["state"], &seen["store"]["checked"]), (&json!("open"), &json!(true)));
    assert_eq!(seen["server"]["opened_by"], json!("passphrase (passphrase)"));
    assert_ne!(seen["store"]["seals"][0]["verified_at"], Value::Null);
    let again = operator(&installation, &["unseal"], &[("--passphrase-file", &wrong)]);
    assert_eq!(
        done(&again),
        "the server is already unsealed: passphrase (passphrase) opened it; nothing was tried\n"
    );

    let stopped = server.stop();
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.printed);
    assert!(!stopped.printed.contains(PASSPHRASE));
    // The refusal was logged without a key, the unsealing with one.
    let log = audit_log(&installation.path("data/audit"));
    let line = |text: &str| log.lines().find(|line| line.contains(text)).unwrap_or_default().to_owned();
    assert!(line("\"action\":\"server.sealed\"").contains("\"chain\""), "{log}");
    let denied = line("\"action\":\"operator.unseal\",\"outcome\":\"denied\"");
    assert!(denied.contains("operator.sock uid ") && !denied.contains("\"mac\""), "{denied}");
    assert!(line("\"action\":\"operator.unseal\",\"outcome\":\"allowed\"").contains("\"mac\""), "{log}");
    assert!(!log.contains("random words"));
    let report = verified_audit(&installation, &[("--passphrase-file", &passphrase)]);
    assert!(report.contains("the audit log is intact") && report.contains("no MAC"), "{report}");
}

#[test]
fn only_an_operator_can_seal_the_server() {
    let installation = Installation::made();
    let server = installation.start().unwrap();
    let seal = || Request::new("POST", "/v1/operator/seal");
    assert_eq!(seal().send(server.address()).outcome(), (401, "token_missing".to_owned()));
    let org = Request::new("POST", "/v1/orgs")
        .authorization(&flyv1(&installation.operator()))
        .json(&json!({"name": "acme"}))
        .send(server.address());
    assert_eq!(org.status, 201, "{}", org.text());
    let minted = Request::new("POST", "/v1/tokens")
        .authorization(&flyv1(&installation.operator()))
        .json(&json!({"kind": "org", "org": "acme", "actions": ["list"], "expires_in": 600}))
        .send(server.address());
    assert_eq!(minted.status, 201, "{}", minted.text());
    let refused = seal().authorization(&flyv1(&minted.field("token"))).send(server.address());
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert_eq!(get(&server, "/readyz").status, 200);

    let mut unconfirmed = petsem(["operator", "seal", "--endpoint", "http://127.0.0.1:1"]);
    unconfirmed.arg("--token-file").arg(installation.path("operator.token"));
    let unconfirmed = run(unconfirmed);
    assert!(unconfirmed.status.code() == Some(2) && unconfirmed.printed.contains("--yes"));

    let ended = seal_the_server(&installation, &server);
    assert!(done(&ended).starts_with("sealed: no key is in the server's memory"), "{}", ended.printed);
    assert_sealed(&installation, &server);
    let seen = status(&installation);
    assert_eq!(seen["server"]["why_sealed"], json!(["an operator sealed it"]));
    // Its key file is available, but it stays sealed until an operator unseals it.
    pause(Duration::from_secs(1));
    assert_sealed(&installation, &server);
    let unsealed = operator(&installation, &["unseal"], &[]);
    assert!(done(&unsealed).starts_with("unsealed by key file "), "{}", unsealed.printed);
    assert_eq!(orgs(&installation, &server).json()["orgs"][0]["name"], json!("acme"));
    // Again, on the same server.
    done(&seal_the_server(&installation, &server));
    assert_sealed(&installation, &server);
    let stopped = server.stop();
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.printed);
    let log = audit_log(&installation.path("data/audit"));
    assert_eq!(log.matches("\"action\":\"operator.seal\",\"outcome\":\"allowed\"").count(), 2);
    assert!(verified_audit(&installation, &[]).contains("the audit log is intact"));
    let server = installation.start().unwrap();
    assert_eq!(get(&server, "/readyz").status, 200);
}

#[test]
fn a_stalled_request_does_not_keep_keys_in_memory() {
    let installation = Installation::made();
    let server = installation.start().unwrap();
    // A valid token, and a body that is never sent.
    let slow = Request::new("POST", "/v1/orgs")
        .authorization(&flyv1(&installation.operator()))
        .header("content-type", "application/json")
        .announcing(100);
    let mut connection = connect(server.address()).unwrap();
    connection.write_all(&slow).unwrap();
    pause(Duration::from_millis(200));
    done(&seal_the_server(&installation, &server));
    assert_sealed(&installation, &server);
    done(&operator(&installation, &["unseal"], &[]));
    assert_open(&installation, &server);
    assert_eq!(server.stop().status.code(), Some(0));
}

#[test]
fn two_of_three_shares_open_and_fewer_do_not() {
    let (installation, shares) = by_shares();
    for share in &shares {
        assert_eq!(std::fs::metadata(share).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let text = |path: &Path| std::fs::read_to_string(path).unwrap().trim().to_owned();
    let server = installation.start().unwrap();
    assert_sealed(&installation, &server);
    let unseal = |files: &[&Path]| {
        let files: Vec<(&str, &Path)> = files.iter().map(|file| ("--share-file", *file)).collect();
        operator(&installation, &["unseal"], &files)
    };
    refused(&unseal(&[&shares[0]]), &["1 of the 2 shares that are needed"]);
    refused(&unseal(&[&shares[0], &shares[0]]), &["1 of the 2 shares that are needed"]);
    // One mistyped symbol.
    let mut typed = text(&shares[1]);
    let last = typed.pop().unwrap();
    typed.push(if last == 'A' { 'B' } else { 'A' });
    let wrong = private(&installation, "typed-wrong", &typed);
    refused(&unseal(&[&shares[0], &wrong]), &["share 2", "1 of the 2 shares that are needed"]);
    // Two sets: a share of another store does not count.
    let (other, others) = by_shares();
    refused(&unseal(&[&shares[0], &others[1]]), &["set", "1 of the 2 shares that are needed"]);
    drop(other);
    assert_sealed(&installation, &server);
    // An invalid share next to enough valid ones does no harm; all are in one file.
    let all =
        private(&installation, "all", &format!("{typed}\n{}\n\n{}\n", text(&shares[0]), text(&shares[2])));
    let unsealed = unseal(&[&all]);
    assert!(done(&unsealed).starts_with("unsealed by any 2 of the 3 shares of set "), "{}", unsealed.printed);
    assert_open(&installation, &server);
    let stopped = server.stop();
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.printed);
    let log = audit_log(&installation.path("data/audit"));
    for share in &shares {
        assert!(!stopped.printed.contains(&text(share)) && !log.contains(&text(share)));
    }
    // A command on the node opens the store with the same shares.
    let files = [("--share-file", shares[1].as_path()), ("--share-file", shares[2].as_path())];
    assert!(verified_audit(&installation, &files).contains("the audit log is intact"));
    refused(&operator(&installation, &["audit", "verify"], &[]), &["sealed", "--share-file"]);
}

#[test]
fn every_command_reports_shares_that_do_not_open_and_changes_nothing() {
    let (installation, shares) = by_shares();
    let (_other, others) = by_shares();
    let text = std::fs::read_to_string(&shares[1]).unwrap();
    let mut typed = text.trim().to_owned();
    let last = typed.pop().unwrap();
    typed.push(if last == 'A' { 'B' } else { 'A' });
    let typed = private(&installation, "typed-wrong", &typed);
    let none = private(&installation, "no-share", "hello\n");
    let out = installation.path("made.token");
    let commands: [&[&str]; 9] = [
        &["seal", "list"],
        &["seal", "verify"],
        &["seal", "remove", "abcd"],
        &["seal", "add", "shamir", "--threshold", "2", "--shares", "2", "--print-shares"],
        &["rotate-root"],
        &["verify"],
        &["audit", "verify"],
        &["recover", "--operator", "kim", "--out", out.to_str().unwrap()],
        &["deny", "--host", "host-9", "--unknown"],
    ];
    let before = status(&installation)["store"].clone();
    let short = "1 of the 2 shares that are needed were given; give 1 more of set ";
    for (given, told) in [
        (vec![&shares[0]], [short, short]),
        (vec![&shares[0], &shares[0]], ["share 1 was given already; give another one", short]),
        (vec![&shares[0], &typed], ["share 2 is typed wrong: group 18 of 18; compare", short]),
        (vec![&shares[0], &none], ["a share has 90, 18 groups of 5; look for", short]),
        (vec![&shares[0], &others[1]], ["set", short]),
    ] {
        let given: Vec<(&str, &Path)> = given.iter().map(|file| ("--share-file", file.as_path())).collect();
        for arguments in commands {
            let ended = operator(&installation, arguments, &given);
            refused(
                &ended,
                &[told[0], told[1], "hint: provide any 2 of the 3 shares of set ", "--share-file"],
            );
            assert!(!ended.printed.contains(text.trim()), "{}", ended.printed);
        }
    }
    assert_eq!(status(&installation)["store"], before);
    assert!(!out.exists() && !installation.path("data/denials").exists());
}

#[test]
fn commands_on_the_node_report_a_wrong_passphrase_and_change_nothing() {
    let _turn = passphrase_turn();
    let (installation, passphrase) = by_passphrase();
    let wrong = private(&installation, "wrong", "another six random words it is");
    let before = status(&installation)["store"].clone();
    for arguments in
        [["rotate-root"].as_slice(), &["seal", "list"], &["deny", "--host", "host-9", "--unknown"]]
    {
        let ended = operator(&installation, arguments, &[("--passphrase-file", &wrong)]);
        refused(
            &ended,
            &[
                "this passphrase does not open",
                "type it again",
                "hint: provide the passphrase (--passphrase-file",
            ],
        );
        let unasked = operator(&installation, arguments, &[]);
        refused(
            &unasked,
            &["no seal that opens without a person", "hint: provide the passphrase (--passphrase-file"],
        );
    }
    assert_eq!(status(&installation)["store"], before);
    assert!(!installation.path("data/denials").exists());
    // A sealed server that needs a person: a denial is accepted together with the passphrase.
    let server = installation.start().unwrap();
    assert_sealed(&installation, &server);
    let denied = operator(
        &installation,
        &["deny", "--host", "host-9", "--unknown"],
        &[("--passphrase-file", &passphrase)],
    );
    assert!(done(&denied).contains("refused as soon as this node is unsealed"), "{}", denied.printed);
    done(&operator(&installation, &["unseal"], &[("--passphrase-file", &passphrase)]));
    let log = audit_log(&installation.path("data/audit"));
    assert!(log.contains("\"action\":\"operator.deny\",\"outcome\":\"allowed\""), "{log}");
}

#[test]
fn shares_are_not_written_to_a_pipe_unless_requested() {
    let installation = configured(BY_SHARES);
    let ended = init(&installation, &[]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.printed);
    assert!(ended.printed.contains("--shares-directory"), "{}", ended.printed);
    assert!(!installation.path("data").exists() && !installation.path("operator.token").exists());
    let out = installation.path("operator.token");
    let printed =
        operator(&installation, &["init", "--operator", "kim", "--print-shares"], &[("--out", &out)]);
    assert_eq!(done(&printed).matches("share ").count(), 3, "{}", printed.printed);
}

#[test]
fn the_first_configured_seal_that_opens_is_used() {
    let installation = configured(&format!("{KEY_FILE}{SECOND_KEY_FILE}"));
    done(&init(&installation, &[]));
    let seen = status(&installation);
    assert_eq!(seen["state"], json!("stopped"));
    assert!(seen["would_open"].as_str().unwrap().ends_with("/seal.key"), "{seen}");
    let opened_by = |name: &str| {
        let server = installation.start().unwrap();
        let by = status(&installation)["server"]["opened_by"].as_str().unwrap().to_owned();
        assert!(by.contains(&format!("/{name} (key-file)")), "{by}");
        assert!(server.printed_line("opened by seal").contains(name), "{}", server.printed());
        server.stop()
    };
    opened_by("seal.key");
    std::fs::rename(installation.path("seal.key"), installation.path("away.key")).unwrap();
    let stopped = opened_by("second.key");
    assert!(stopped.printed.contains("a seal did not open the store"), "{}", stopped.printed);
    std::fs::rename(installation.path("away.key"), installation.path("seal.key")).unwrap();
    installation.configure(&configuration(&format!("{SECOND_KEY_FILE}{KEY_FILE}")));
    opened_by("second.key");
}

#[test]
fn a_passphrase_file_opens_without_a_person() {
    let _turn = passphrase_turn();
    let installation = configured("[[seal]]\nkind = \"passphrase\"\nfile = \"passphrase\"\n");
    let file = private(&installation, "passphrase", PASSPHRASE);
    done(&init(&installation, &[]));
    let server = installation.start().unwrap();
    assert_open(&installation, &server);
    server.stop();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let server = installation.start().unwrap();
    assert_sealed(&installation, &server);
    assert!(status(&installation)["server"]["why_sealed"].to_string().contains("0640"));
    server.stop();
    // As systemd passes it.
    installation.configure(&configuration(
        "[[seal]]\nkind = \"passphrase\"\nfile = \"$CREDENTIALS_DIRECTORY/passphrase\"\n",
    ));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = installation.server();
    command.env("CREDENTIALS_DIRECTORY", installation.directory.path());
    let server = Server::start(command).unwrap();
    assert_open(&installation, &server);
}

#[test]
fn a_restored_key_file_opens_the_server_without_a_person() {
    let installation = Installation::made();
    let (key, away) = (installation.path("seal.key"), installation.path("away.key"));
    std::fs::rename(&key, &away).unwrap();
    let server = installation.start().unwrap();
    assert_sealed(&installation, &server);
    std::fs::rename(&away, &key).unwrap();
    let unsealed = operator(&installation, &["unseal", "--configured"], &[]);
    assert!(done(&unsealed).starts_with("unsealed by key file "), "{}", unsealed.printed);
    assert_open(&installation, &server);
}

#[test]
fn seals_are_added_verified_and_removed_while_the_server_runs() {
    let _turn = passphrase_turn();
    let installation = Installation::made();
    let server = installation.start().unwrap();
    let first = seals(&installation)[0]["id"].as_str().unwrap().to_owned();
    refused(
        &operator(&installation, &["seal", "remove", &first], &[]),
        &["last seal", "nothing was changed", "petsem operator seal add"],
    );
    refused(
        &operator(&installation, &["seal", "add", "key-file"], &[]),
        &["already opens the store", "nothing was changed"],
    );
    // A passphrase that has not opened the store yet.
    let passphrase = private(&installation, "passphrase", PASSPHRASE);
    done(&operator(&installation, &["seal", "add", "passphrase"], &[("--new-passphrase-file", &passphrase)]));
    assert_eq!(seals(&installation).iter().filter(|seal| seal["verified_at"].is_null()).count(), 1);
    refused(
        &operator(&installation, &["seal", "remove", &first], &[]),
        &["no other seal has ever opened", "petsem operator seal verify"],
    );
    let short = private(&installation, "short", "short");
    refused(
        &operator(&installation, &["seal", "add", "passphrase"], &[("--new-passphrase-file", &short)]),
        &["5 characters"],
    );
    let untried = operator(&installation, &["seal", "verify"], &[]);
    refused(&untried, &["it was not tried", "opens the store"]);
    let mistyped = private(&installation, "mistyped", "correct horse staple battery");
    let mistyped = operator(&installation, &["seal", "verify"], &[("--passphrase-file", &mistyped)]);
    refused(&mistyped, &["passphrase does not open the root key", "opens the store", "1 of the seals"]);
    let verified = operator(&installation, &["seal", "verify"], &[("--passphrase-file", &passphrase)]);
    assert_eq!(done(&verified).matches("opens the store").count(), 2, "{}", verified.printed);
    assert_eq!(seals(&installation).iter().filter(|seal| seal["verified_at"].is_null()).count(), 0);
    // Now the key file can be removed, and the server continues.
    let by_passphrase: &[(&str, &Path)] = &[("--passphrase-file", &passphrase)];
    // It is the only one that opens by itself.
    let asked = operator(&installation, &["seal", "remove", &first], by_passphrase);
    assert_eq!(asked.status.code(), Some(2), "{}", asked.printed);
    for text in ["seal.key is the only seal", "every start waits sealed", "nothing was changed", "--yes"] {
        assert!(asked.printed.contains(text), "{}", asked.printed);
    }
    assert_eq!(seals(&installation).len(), 2);
    let removed = operator(&installation, &["seal", "remove", &first, "--yes"], by_passphrase);
    assert!(done(&removed).contains("is removed"), "{}", removed.printed);
    assert_open(&installation, &server);
    let listed = operator(&installation, &["seal", "list"], by_passphrase);
    assert_eq!(done(&listed).lines().count(), 1, "{}", listed.printed);
    let log = audit_log(&installation.path("data/audit"));
    for action in ["operator.seal.add", "operator.seal.verify", "operator.seal.remove"] {
        assert!(log.contains(&format!("\"action\":\"{action}\",\"outcome\":\"allowed\"")), "{action}: {log}");
    }
    server.stop();
    // The key file no longer belongs to the store.
    let server = installation.start().unwrap();
    assert_sealed(&installation, &server);
    done(&operator(&installation, &["unseal"], &[("--passphrase-file", &passphrase)]));
    assert_open(&installation, &server);
    server.stop();

    // The same with no server: a new key file, and shares.
    installation.configure(&configuration(SECOND_KEY_FILE));
    let by_passphrase = ("--passphrase-file", passphrase.as_path());
    done(&operator(&installation, &["seal", "add", "key-file"], &[by_passphrase]));
    let shares = installation.path("shares");
    std::fs::create_dir(&shares).unwrap();
    done(&operator(
        &installation,
        &["seal", "add", "shamir", "--threshold", "2", "--shares", "2"],
        &[("--shares-directory", &shares)],
    ));
    assert_eq!(seals(&installation).len(), 3);
    let verified = operator(
        &installation,
        &["seal", "verify"],
        &[
            by_passphrase,
            ("--share-file", &shares.join("share-1")),
            ("--share-file", &shares.join("share-2")),
        ],
    );
    assert_eq!(done(&verified).matches("opens the store").count(), 3, "{}", verified.printed);
}

#[test]
fn every_seal_opens_the_new_root_key_and_no_seal_opens_an_old_wrap() {
    let _turn = passphrase_turn();
    let installation = configured(&format!("{KEY_FILE}{SECOND_KEY_FILE}{BY_PASSPHRASE}{BY_SHARES}"));
    let passphrase = private(&installation, "passphrase", PASSPHRASE);
    let directory = installation.path("shares");
    std::fs::create_dir(&directory).unwrap();
    done(&init(&installation, &[("--passphrase-file", &passphrase), ("--shares-directory", &directory)]));
    let share = |number: u8| directory.join(format!("share-{number}"));
    let (one, two) = (share(1), share(2));
    let old = installation.path("old.db");
    Connection::open(installation.path("data/petsem.db"))
        .unwrap()
        .execute("VACUUM INTO ?1", [old.to_str().unwrap()])
        .unwrap();

    let server = installation.start().unwrap();
    let by_passphrase = ("--passphrase-file", passphrase.as_path());
    refused(&operator(&installation, &["rotate-root"], &[by_passphrase]), &["a server holds the store"]);
    server.stop();
    let some = operator(&installation, &["rotate-root"], &[by_passphrase]);
    refused(&some, &["are not available", "shares of set", "nothing was changed", "--drop-seal"]);
    assert_eq!(status(&installation)["store"]["root_version"], json!(1));
    let people = [by_passphrase, ("--share-file", one.as_path()), ("--share-file", two.as_path())];
    let rotated = operator(&installation, &["rotate-root"], &people);
    assert!(done(&rotated).contains("version 2, wrapped by 4 seals"), "{}", rotated.printed);

    let opens = |seals: &str, files: &[(&str, &Path)]| {
        installation.configure(&configuration(seals));
        let server = installation.start().unwrap();
        if !files.is_empty() {
            assert_sealed(&installation, &server);
            done(&operator(&installation, &["unseal"], files));
        }
        assert_open(&installation, &server);
        server.stop();
    };
    opens(KEY_FILE, &[]);
    opens(SECOND_KEY_FILE, &[]);
    opens(BY_PASSPHRASE, &[by_passphrase]);
    opens(BY_SHARES, &people[1..]);

    // A lost seal is dropped by name, never silently.
    installation.configure(&configuration(&format!("{KEY_FILE}{BY_PASSPHRASE}")));
    let set = seals(&installation).into_iter().find(|seal| seal["kind"] == "shamir").unwrap();
    let second = seals(&installation)
        .into_iter()
        .find(|seal| seal["description"].as_str().unwrap().ends_with("second.key"))
        .unwrap();
    let rotated = operator(
        &installation,
        &[
            "rotate-root",
            "--drop-seal",
            set["id"].as_str().unwrap(),
            "--drop-seal",
            second["id"].as_str().unwrap(),
        ],
        &[by_passphrase],
    );
    assert!(done(&rotated).contains("version 3, wrapped by 2 seals; 2 dropped"), "{}", rotated.printed);
    opens(KEY_FILE, &[]);
    installation.configure(&configuration(BY_SHARES));
    let server = installation.start().unwrap();
    refused(&operator(&installation, &["unseal"], &people[1..]), &["no seal of kind shamir"]);
    server.stop();
    installation.configure(&configuration(KEY_FILE));
    assert!(verified_audit(&installation, &[]).contains("the audit log is intact"));

    // Older rows, restored one kind at a time: none is accepted.
    let newer = Connection::open(installation.path("data/petsem.db")).unwrap();
    newer.execute("ATTACH ?1 AS old", [old.to_str().unwrap()]).unwrap();
    newer
        .execute_batch(&format!(
            "DELETE FROM records WHERE kind = {SEAL_ROWS};
             INSERT INTO records SELECT * FROM old.records WHERE kind = {SEAL_ROWS};"
        ))
        .unwrap();
    drop(newer);
    let server = installation.start().unwrap();
    assert_sealed(&installation, &server);
}

#[test]
fn a_rotation_of_the_keyring_needs_no_seal() {
    let (installation, shares) = by_shares();
    let server = installation.start().unwrap();
    let files = [("--share-file", shares[0].as_path()), ("--share-file", shares[1].as_path())];
    done(&operator(&installation, &["unseal"], &files));
    shares.iter().for_each(|share| std::fs::remove_file(share).unwrap());
    let mut rotate = petsem(["operator", "rotate-keyring", "--endpoint"]);
    rotate.arg(format!("http://{}", server.address()));
    rotate.arg("--token-file").arg(installation.path("operator.token"));
    let rotated = run(rotate);
    let said = "all keys are wrapped by version 2 of the keyring; no older version remains\n";
    assert_eq!(done(&rotated), said);
    assert_open(&installation, &server);
}

#[test]
fn verify_names_an_app_that_was_restored_while_the_server_was_stopped() {
    let installation = Installation::made();
    let server = installation.start().unwrap();
    let authorization = flyv1(&installation.operator());
    let post = |path: &str, body: &Value| {
        let answer =
            Request::new("POST", path).authorization(&authorization).json(body).send(server.address());
        assert!(answer.status < 300, "{path}: {}", answer.text());
        answer
    };
    post("/v1/orgs", &json!({"name": "acme"}));
    let app = post("/v1/apps", &json!({"name": "shop", "org": "acme"})).field("id");
    let minted = post(
        "/v1/tokens",
        &json!({"kind": "org", "org": "acme", "actions": ["write", "list"], "expires_in": 600}),
    );
    let writer = flyv1(&minted.field("token"));
    let set = |value: &str| {
        let answer = Request::new("POST", "/v1/apps/shop/secrets")
            .authorization(&writer)
            .json(&json!({"values": {"A": value}}))
            .send(server.address());
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    set("1");
    let database = installation.path("data/petsem.db");
    let old = installation.path("old.db");
    Connection::open(&database).unwrap().execute("VACUUM INTO ?1", [old.to_str().unwrap()]).unwrap();
    set("2");
    server.stop();
    let good = operator(&installation, &["verify"], &[]);
    assert!(
        done(&good).contains("1 app,") && good.printed.contains("the store is intact"),
        "{}",
        good.printed
    );
    let newer = Connection::open(&database).unwrap();
    newer.execute("ATTACH ?1 AS old", [old.to_str().unwrap()]).unwrap();
    newer
        .execute_batch(
            "DELETE FROM records WHERE kind = 6;
             INSERT INTO records SELECT * FROM old.records WHERE kind = 6;
             DELETE FROM bundles; INSERT INTO bundles SELECT * FROM old.bundles;",
        )
        .unwrap();
    drop(newer);
    let behind = operator(&installation, &["verify"], &[]);
    refused(
        &behind,
        &[&format!("the app {app} is at version 1, but the audit log has its version 2"), "1 app behind"],
    );
    // And no bundle.
    let newer = Connection::open(&database).unwrap();
    newer.execute_batch("DELETE FROM bundles").unwrap();
    drop(newer);
    refused(
        &operator(&installation, &["verify"], &[]),
        &[&format!("the app {app}: the bundle row"), "missing"],
    );
}

#[test]
fn a_seal_of_another_store_opens_nothing() {
    let (installation, other) = (Installation::made(), Installation::made());
    std::fs::copy(other.path("seal.key"), installation.path("seal.key")).unwrap();
    let server = installation.start().unwrap();
    assert_sealed(&installation, &server);
    let seen = status(&installation);
    assert!(seen["server"]["why_sealed"].to_string().contains("does not open the root key"), "{seen}");
    refused(&operator(&installation, &["unseal"], &[]), &["does not open the root key"]);
}

#[test]
fn a_flood_of_unauthenticated_requests_does_not_prevent_unsealing() {
    let _turn = passphrase_turn();
    let (installation, passphrase) = by_passphrase();
    let server = installation.start().unwrap();
    let address = server.address();
    let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let strangers: Vec<_> = (0..16)
        .map(|_| {
            let over = std::sync::Arc::clone(&over);
            std::thread::spawn(move || {
                let mut sent = 0_u32;
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    let guess = json!({"passphrase": "a guess of a stranger"});
                    let answer = Request::new("POST", "/v1/operator/unseal").json(&guess).send(address);
                    if answer.outcome() == (503, "sealed".to_owned()) {
                        sent += 1;
                    }
                }
                sent
            })
        })
        .collect();
    pause(Duration::from_millis(500));
    let unsealed = operator(&installation, &["unseal"], &[("--passphrase-file", &passphrase)]);
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    let guesses: u32 = strangers.into_iter().map(|stranger| stranger.join().unwrap()).sum();
    assert_eq!(done(&unsealed), "unsealed by passphrase (passphrase)\n");
    assert!(guesses > 16, "{guesses}");
    assert_open(&installation, &server);
    // No guess was tried, so none is in the log.
    let log = audit_log(&installation.path("data/audit"));
    assert_eq!(log.matches("\"action\":\"operator.unseal\"").count(), 1, "{log}");
}

#[test]
fn a_failed_unseal_attempt_does_not_affect_other_attempts() {
    let (installation, shares) = by_shares();
    let server = installation.start().unwrap();
    let wrong = private(&installation, "wrong", "00000-00000\n");
    // Interleaved with a valid attempt: each has its own shares.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let attempt = operator(
                    &installation,
                    &["unseal"],
                    &[("--share-file", &wrong), ("--share-file", &shares[0])],
                );
                // The valid attempt may have come first.
                let is_late = attempt.printed.contains("the server is already unsealed");
                assert_eq!(attempt.status.code(), Some(i32::from(!is_late)), "{}", attempt.printed);
            });
        }
        scope.spawn(|| {
            let files = [("--share-file", shares[0].as_path()), ("--share-file", shares[1].as_path())];
            done(&operator(&installation, &["unseal"], &files));
        });
    });
    assert_open(&installation, &server);
}

// The build of `tests/devices` has these seals.
#[cfg(not(feature = "device-seals"))]
#[test]
fn a_seal_missing_from_this_build_is_refused_and_its_feature_named() {
    let installation = Installation::configured();
    for (kind, keys) in [("aws-kms", "key_id = \"alias/x\""), ("tpm2", "")] {
        installation.configure(&configuration(&format!("[[seal]]\nkind = \"{kind}\"\n{keys}\n")));
        let mut check = petsem(["config", "check"]);
        check.arg(installation.configuration());
        let ended = run(check);
        assert_eq!(ended.status.code(), Some(2), "{}", ended.printed);
        assert!(ended.printed.contains(&format!("--features {kind}")), "{}", ended.printed);
    }
    for (what, seals, text) in [
        (
            "a passphrase",
            "[[seal]]\nkind = \"passphrase\"\npassphrase = \"x\"\n",
            "unknown field `passphrase`",
        ),
        ("one share", "[[seal]]\nkind = \"shamir\"\nthreshold = 1\nshares = 3\n", "seal.threshold"),
        ("too many", "[[seal]]\nkind = \"shamir\"\nthreshold = 2\nshares = 17\n", "seal.shares"),
    ] {
        installation.configure(&configuration(seals));
        let ended = installation.start().unwrap_err();
        assert!(ended.printed.contains(text), "{what}: {}", ended.printed);
    }
}
