//! Revoked credentials, and everything derived from them, are refused immediately.

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;
use std::time::Duration;

use petsem_integration::dev::{Dev, audit_log, flyv1};
use petsem_integration::http::{Answer, Request, connect};
use petsem_integration::installation::Installation;
use petsem_integration::pause;
use petsem_integration::seals::{done, operator, refused as refused_by_command, seal_the_server};
use petsem_integration::server::{Server, petsem, run};
use petsem_policy::UnverifiedToken;
use petsem_server::Development;
use rusqlite::Connection;
use serde_json::{Value, json};

const CANARY: &str = "canary-revoke-77d2a1c4";

fn shop() -> Dev {
    let dev = Dev::start();
    dev.set("shop", &json!({ "GREETING": CANARY }));
    dev
}

fn revoke(dev: &Dev, what: &Value) {
    let answer = dev.operate("POST", "/v1/revocations", Some(what));
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.outcome(), (status, code.to_owned()), "{}", answer.text());
    assert!(!answer.text().contains(CANARY), "{}", answer.text());
}

/// An installation with a running server, and a spare operator token to revoke.
struct Node {
    installation: Installation,
    server: Option<Server>,
    spare: (String, String),
}

impl Node {
    fn start() -> Self {
        let installation = Installation::made();
        let server = installation.start().unwrap();
        let answer = Request::new("POST", "/v1/tokens")
            .authorization(&flyv1(&installation.operator()))
            .json(&json!({"kind": "operator"}))
            .send(server.address());
        assert_eq!(answer.status, 201, "{}", answer.text());
        let spare = (answer.field("id"), answer.field("token"));
        Self { installation, server: Some(server), spare }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    fn uses_spare(&self) -> (u16, String) {
        let request = Request::new("GET", "/v1/orgs").authorization(&flyv1(&self.spare.1));
        request.send(self.server().address()).outcome()
    }

    fn deny(&self) -> String {
        let ended = run(self.installation.with_configuration(&["operator", "deny", &self.spare.0]));
        assert!(ended.status.success(), "{}", ended.printed);
        ended.printed
    }

    fn stop(&mut self) {
        assert!(self.server.take().unwrap().stop().status.success());
    }

    fn restart(&mut self) {
        self.server = Some(self.installation.start().unwrap());
    }
}

#[test]
fn a_denial_on_the_node_takes_effect_on_the_running_server_and_persists() {
    let mut node = Node::start();
    assert_eq!(node.uses_spare(), (200, String::new()));
    let said = node.deny();
    assert!(said.contains(&node.spare.0) && said.contains("revoked (control change"), "{said}");
    assert_eq!(node.uses_spare(), (401, "revoked".to_owned()));
    let left: Vec<_> = std::fs::read_dir(node.installation.path("data/denials")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");

    // The revocation is in the control feed: it needs only the store.
    node.stop();
    std::fs::remove_dir(node.installation.path("data/denials")).unwrap();
    node.restart();
    assert_eq!(node.uses_spare(), (401, "revoked".to_owned()));
}

#[test]
fn a_denial_on_the_node_is_written_into_the_store_while_no_server_runs() {
    let mut node = Node::start();
    node.stop();
    let said = node.deny();
    assert!(said.contains("revoked (control change"), "{said}");
    node.restart();
    assert_eq!(node.uses_spare(), (401, "revoked".to_owned()));
}

#[test]
fn a_denial_on_a_sealed_server_takes_effect_before_it_serves_a_request() {
    let mut node = Node::start();
    let denials = node.installation.path("data/denials");
    done(&seal_the_server(&node.installation, node.server()));
    // Missing objects are refused immediately, and no denial is left.
    for (arguments, text) in [
        (["--machine", "m-1", "--app", "nowhere"].as_slice(), "there is no such app"),
        (&["--key", "00000000-0000-0000-0000-000000000000"], "there is no such signing key"),
        (&["0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00"], "this is not the id of a token"),
        (&["7f1c5a52-6c1e-5d0f-9d2f-5b6c7d8e9f00"], "there is no token 7f1c5a52"),
    ] {
        let ended = operator(&node.installation, &[&["deny"], arguments].concat(), &[]);
        refused_by_command(&ended, &[text]);
    }
    assert!(!denials.exists());

    let denied = operator(&node.installation, &["deny", &node.spare.0, "--json"], &[]);
    assert!(done(&denied).contains("\"at_unseal\""), "{}", denied.printed);
    let said = node.deny();
    assert!(
        said.contains("refused as soon as this node is unsealed; until then its server is sealed"),
        "{said}"
    );
    assert_eq!(node.uses_spare(), (503, "sealed".to_owned()));
    done(&operator(&node.installation, &["unseal"], &[]));
    assert_eq!(node.uses_spare(), (401, "revoked".to_owned()));
    assert_eq!(waiting(&node), Vec::<PathBuf>::new());
    // The revocation is in the control feed.
    node.stop();
    std::fs::remove_dir_all(&denials).unwrap();
    node.restart();
    assert_eq!(node.uses_spare(), (401, "revoked".to_owned()));
    let log = audit_log(&node.installation.path("data/audit"));
    assert_eq!(log.matches("\"action\":\"operator.deny\",\"outcome\":\"allowed\"").count(), 2, "{log}");
}

/// The files of denials that are not in the control feed.
fn waiting(node: &Node) -> Vec<PathBuf> {
    let files = std::fs::read_dir(node.installation.path("data/denials")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "denial")).collect()
}

fn readiness(node: &Node) -> String {
    Request::new("GET", "/readyz").send(node.server().address()).text()
}

const ON_THIS_NODE: &str = "1 denial is in force only on this node";

/// A node with a denial, while another program has the store's lock.
fn denied_while_locked() -> (Node, Connection) {
    let node = Node::start();
    let lock = Connection::open(node.installation.path("data/petsem.db")).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let said = node.deny();
    assert!(said.contains("refused on this node; the store takes no writes"), "{said}");
    assert_eq!(node.uses_spare(), (401, "revoked".to_owned()));
    assert_eq!(waiting(&node).len(), 1);
    assert!(readiness(&node).contains(ON_THIS_NODE), "{}", readiness(&node));
    let log = audit_log(&node.installation.path("data/audit"));
    assert!(log.contains("\"action\":\"operator.deny\",\"outcome\":\"allowed\""), "{log}");
    (node, lock)
}

/// Whether this is so within ten seconds.
fn becomes(is_so: impl Fn() -> bool) -> bool {
    (0..100).any(|_| {
        let so = is_so();
        if !so {
            pause(Duration::from_millis(100));
        }
        so
    })
}

#[test]
fn a_denial_that_the_store_does_not_take_is_in_memory_in_a_file_and_in_the_log_until_it_does() {
    let (mut node, lock) = denied_while_locked();
    lock.execute_batch("COMMIT").unwrap();
    let is_taken = || waiting(&node).is_empty() && !readiness(&node).contains(ON_THIS_NODE);
    assert!(becomes(is_taken), "{}", readiness(&node));
    node.stop();
    node.restart();
    assert_eq!(node.uses_spare(), (401, "revoked".to_owned()));
}

#[test]
fn a_denial_in_force_stays_so_if_the_row_of_its_token_is_deleted_before_a_start() {
    let (mut node, lock) = denied_while_locked();
    node.server.take().unwrap().kill();
    let delete = "DELETE FROM records WHERE kind = 13 AND hex(id) = upper(?1)";
    assert_eq!(lock.execute(delete, [node.spare.0.replace('-', "")]).unwrap(), 1);
    lock.execute_batch("COMMIT").unwrap();
    drop(lock);
    node.restart();
    assert_eq!(node.uses_spare(), (401, "revoked".to_owned()));
    assert!(becomes(|| waiting(&node).is_empty()), "{}", readiness(&node));
}

/// A limit that SECURITY.md names.
#[test]
fn a_denial_whose_file_is_removed_before_the_store_takes_it_ends_with_the_server_and_is_in_the_log() {
    let (mut node, lock) = denied_while_locked();
    node.server.take().unwrap().kill();
    waiting(&node).iter().for_each(|file| std::fs::remove_file(file).unwrap());
    lock.execute_batch("COMMIT").unwrap();
    node.restart();
    assert_eq!(node.uses_spare(), (200, String::new()));
    let log = audit_log(&node.installation.path("data/audit"));
    let line = log.lines().find(|line| line.contains("\"operator.deny\"")).unwrap();
    assert!(line.contains(&node.spare.0), "{line}");
}

#[test]
fn a_denial_without_an_available_seal_is_refused_and_leaves_no_file() {
    let node = Node::start();
    let (key, away) = (node.installation.path("seal.key"), node.installation.path("away.key"));
    std::fs::rename(&key, &away).unwrap();
    for is_sealed in [false, true] {
        if is_sealed {
            done(&seal_the_server(&node.installation, node.server()));
        }
        let ended = operator(&node.installation, &["deny", &node.spare.0], &[]);
        refused_by_command(&ended, &["seal.key", "correct that and try again, or configure another seal"]);
        assert!(!node.installation.path("data/denials").exists());
    }
    std::fs::rename(&away, &key).unwrap();
    assert!(node.deny().contains("as soon as this node is unsealed"));
}

#[test]
fn every_command_on_the_node_reports_a_database_moved_away_from_the_running_server() {
    let node = Node::start();
    let (database, away) = (node.installation.path("data/petsem.db"), node.installation.path("petsem.away"));
    std::fs::rename(&database, &away).unwrap();
    let second = node.installation.path("second.token");
    for arguments in [
        ["deny", &node.spare.0].as_slice(),
        &["seal", "list"],
        &["seal", "verify"],
        &["seal", "add", "key-file"],
        &["seal", "remove", "abcd"],
        &["seal", "remove", "--compromised", "--yes", "abcd"],
        &["rotate-root"],
        &["verify"],
        &["recover", "--operator", "kim", "--out", second.to_str().unwrap()],
        &["init", "--operator", "kim", "--out", second.to_str().unwrap()],
    ] {
        let ended = operator(&node.installation, arguments, &[]);
        refused_by_command(
            &ended,
            &[
                "its database is no longer there",
                "nothing was changed",
                "restore petsem.db",
                "while that server still runs",
            ],
        );
        assert!(!database.exists() && !second.exists(), "{arguments:?}");
    }
    assert!(!node.installation.path("data/denials").exists());
    let status = operator(&node.installation, &["status"], &[]);
    assert_eq!(status.status.code(), Some(1), "{}", status.printed);
    for text in ["NOT READY: open since", "its database is no longer there"] {
        assert!(status.printed.contains(text), "{}", status.printed);
    }
    // The server continues with its open file, and works completely when the path is back.
    assert_eq!(node.uses_spare(), (200, String::new()));
    std::fs::rename(&away, &database).unwrap();
    assert!(node.deny().contains("revoked (control change"));
    assert_eq!(node.uses_spare(), (401, "revoked".to_owned()));
}

#[test]
fn a_forged_file_among_the_denials_denies_nothing() {
    let node = Node::start();
    let folder = node.installation.path("data/denials");
    std::fs::create_dir(&folder).unwrap();
    let forged = folder.join("0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00.denial");
    let text = json!({"token": {"id": node.spare.0}}).to_string();
    std::fs::write(&forged, [&[0; 32], text.as_bytes()].concat()).unwrap();
    let line = node.server().printed_line("is not authentic; it was moved aside");
    assert!(line.contains("0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00"), "{}", node.server().printed());
    assert_eq!(node.uses_spare(), (200, String::new()));
    assert!(forged.with_extension("refused").exists() && !forged.exists());
}

#[test]
fn an_unreadable_denial_is_reported_and_kept() {
    let node = Node::start();
    let folder = node.installation.path("data/denials");
    // Not even root can read a directory as a file.
    let denial = folder.join("0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00.denial");
    std::fs::create_dir_all(&denial).unwrap();
    let line = node.server().printed_line("cannot read a denial, so it is not in force");
    assert!(line.contains("0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00"), "{}", node.server().printed());
    let ready = || Request::new("GET", "/readyz").send(node.server().address());
    assert!(ready().text().contains("1 denial cannot be read"), "{}", ready().text());
    assert!(denial.exists() && !denial.with_extension("refused").exists());
    std::fs::remove_dir(&denial).unwrap();
    assert!(becomes(|| !ready().text().contains("cannot be read")), "{}", ready().text());
}

/// Needs root: it gives files to another user.
#[test]
fn denial_files_written_by_root_belong_to_the_user_of_the_server() {
    const USER: u32 = 12_345;
    let node = Node::start();
    done(&seal_the_server(&node.installation, node.server()));
    chown(node.installation.path("data"), Some(USER), Some(USER)).expect("this test needs root");
    assert!(node.deny().contains("as soon as this node is unsealed"));
    let denials = node.installation.path("data/denials");
    let laid: Vec<_> = std::fs::read_dir(&denials).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(
        laid.iter().any(|path| path.extension().is_some_and(|extension| extension == "denial")),
        "{laid:?}"
    );
    for path in laid.iter().chain([&denials]) {
        let metadata = std::fs::metadata(path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o077), (USER, USER, 0), "{path:?}");
    }
}

#[test]
fn a_denial_for_an_unknown_app_is_refused_by_the_running_server() {
    let node = Node::start();
    let arguments = ["operator", "deny", "--machine", "m-1", "--app", "nowhere"];
    let ended = run(node.installation.with_configuration(&arguments));
    assert_eq!(ended.status.code(), Some(1), "{}", ended.printed);
    assert!(ended.printed.contains("there is no such app"), "{}", ended.printed);
}

#[test]
fn a_body_that_arrives_after_its_token_was_revoked_changes_nothing() {
    let dev = shop();
    let token = dev.mint(&json!({"kind": "org", "org": "demo"}));
    let id = UnverifiedToken::parse(&token).unwrap().id().to_string();
    let body = json!({"value": CANARY}).to_string();
    let (most, last) = body.split_at(body.len() - 1);
    let request = Request::new("POST", "/v1/apps/shop/secrets/LATE")
        .authorization(&flyv1(&token))
        .header("content-type", "application/json");
    let mut connection = connect(dev.server.address()).unwrap();
    connection.write_all(&[&request.announcing(body.len()), most.as_bytes()].concat()).unwrap();
    // The token is verified, and the request waits for its body.
    pause(Duration::from_millis(300));
    revoke(&dev, &json!({"token": {"id": id}}));
    connection.write_all(last.as_bytes()).unwrap();
    let mut received = Vec::new();
    connection.read_to_end(&mut received).unwrap();
    refused(&Answer::parse(&received).unwrap(), 401, "revoked");
    assert_eq!(dev.version("shop"), 1);
    let line = dev.audit_lines().into_iter().rfind(|line| line["action"] == "secret.set").unwrap();
    assert_eq!((&line["outcome"], &line["reason"]), (&json!("denied"), &json!("revoked")), "{line}");
}

/// What petsem does not know: a request that revokes it, its arguments, and what the refusal says.
const UNKNOWN: [(&str, &[&str], &str); 6] = [
    (
        r#"{"token":{"id":"7f1c5a52-6c1e-5d0f-9d2f-5b6c7d8e9f00"}}"#,
        &["7f1c5a52-6c1e-5d0f-9d2f-5b6c7d8e9f00"],
        "there is no token 7f1c5a52-6c1e-5d0f-9d2f-5b6c7d8e9f00",
    ),
    (r#"{"host":{"host":"dve"}}"#, &["--host", "dve"], "no token was minted for host dve"),
    (
        r#"{"jwt_issuer":{"issuer":"https://accounts.exmaple"}}"#,
        &["--issuer", "https://accounts.exmaple", "--all-jwts"],
        "issuer https://accounts.exmaple is not registered",
    ),
    (
        r#"{"jwt_subject":{"issuer":"petsem-dev/","sub":"ann"}}"#,
        &["--issuer", "petsem-dev/", "--sub", "ann"],
        "issuer petsem-dev/ is not registered",
    ),
    (
        r#"{"jwt":{"issuer":"https://accounts.exmaple","jti":"x"}}"#,
        &["--issuer", "https://accounts.exmaple", "--jti", "x"],
        "issuer https://accounts.exmaple is not registered",
    ),
    (
        r#"{"discharger_subject":{"discharger":"https://auth.exmaple","sub":"ann"}}"#,
        &["--discharger", "https://auth.exmaple", "--sub", "ann"],
        "no discharger is registered at https://auth.exmaple",
    ),
];

#[test]
fn revoking_what_is_unknown_says_what_is_unknown_and_needs_a_word_more() {
    let dev = shop();
    let revoked = |arguments: &[&str]| {
        let mut command = petsem([&["token", "revoke", "--yes"], arguments].concat());
        command.env("PETSEM_CONTEXT", dev.directory.path().join("context.toml"));
        run(command)
    };
    for (body, arguments, text) in UNKNOWN {
        let mut body: Value = serde_json::from_str(body).unwrap();
        let answer = dev.operate("POST", "/v1/revocations", Some(&body));
        refused(&answer, 404, "not_found");
        assert!(answer.text().contains(text), "{}", answer.text());
        refused_by_command(&revoked(arguments), &[text, "nothing was changed", "give --unknown"]);
        let known = revoked(&[arguments, &["--unknown"]].concat());
        assert!(done(&known).contains("revoked (control change"), "{}", known.printed);
        let what = body.as_object_mut().unwrap().values_mut().next().unwrap();
        what["unknown"] = json!(true);
        revoke(&dev, &body);
    }
    // What is known needs nothing more.
    revoke(&dev, &json!({"jwt": {"issuer": Development::ISSUER, "jti": "x"}}));
    revoke(&dev, &json!({"host": {"host": "dev"}}));
    revoke(&dev, &json!({"token": {"id": UnverifiedToken::parse(&dev.host).unwrap().id().to_string()}}));
}

#[test]
fn a_denial_on_the_node_of_what_is_unknown_needs_a_word_more() {
    let mut node = Node::start();
    for is_running in [true, false] {
        if !is_running {
            node.stop();
        }
        for (_, arguments, text) in UNKNOWN {
            let denied =
                |more: &[&str]| operator(&node.installation, &[&["deny"], arguments, more].concat(), &[]);
            refused_by_command(&denied(&[]), &[text, "nothing was changed", "give --unknown"]);
            done(&denied(&["--unknown"]));
        }
    }
}
