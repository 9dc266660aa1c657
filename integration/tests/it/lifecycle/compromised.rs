//! `petsem operator seal remove --compromised`: nothing that the old keys can make is accepted afterwards, and nothing of
//! the store is lost.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use petsem_client::{Credentials, narrow_for_boot};
use petsem_integration::dev::{audit_log, flyv1, now, ticket};
use petsem_integration::http::{Answer, Request};
use petsem_integration::installation::Installation;
use petsem_integration::pause;
use petsem_integration::seals::{
    KEY_FILE, SECOND_KEY_FILE, configuration, configured, done, get, id_of, init, operator, recover, refused,
    seals, status,
};
use petsem_integration::server::{Server, run};
use petsem_integration::store_keys::{StoreKeys, change_mac, row_mac};
use petsem_policy::{SharedKey, Ticket, TicketError, UnverifiedToken};
use rusqlite::Connection;
use serde_json::{Value, json};

const CANARY: &str = "canary-compromised-77d1c2e0";
const HOST: &str = "host-1";
const OUTSIDE: &str = "https://auth.example";

/// An installation with two seals, and everything that someone took before the first one was found to be compromised.
struct Scene {
    installation: Installation,
    compromised: String,
    app: String,
    operator: String,
    owner: String,
    writer: String,
    host: String,
    discharge: String,
    renewal: String,
}

impl Scene {
    fn new() -> Self {
        let installation = configured(KEY_FILE);
        done(&init(&installation, &[]));
        let key = installation.path("outside.key");
        std::fs::write(&key, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n").unwrap();
        let add = ["discharger", "add", OUTSIDE, "--key-file", key.to_str().unwrap()];
        done(&operator(&installation, &add, &[]));
        let server = installation.start().unwrap();
        installation.make_shop(server.address(), &json!({"format": 1, "rules": []}), CANARY);
        let mut scene = Self {
            compromised: id_of(&installation, "seal.key"),
            app: String::new(),
            operator: installation.operator(),
            owner: installation.owner("acme"),
            writer: String::new(),
            host: String::new(),
            discharge: String::new(),
            renewal: String::new(),
            installation,
        };
        scene.app = scene.call(&server, "GET", "/v1/apps/shop", &scene.operator, None).field("id");
        scene.writer = scene.mint(&server, &scene.operator, &json!({"kind": "org", "org": "acme"}));
        scene.host = scene.mint(&server, &scene.operator, &json!({"kind": "host", "host": HOST}));
        scene.discharge = scene.discharge(&server, &scene.owner, &scene.host);
        let boot = scene.boot(&server, &scene.host, &scene.discharge);
        assert_eq!((boot.status, boot.text().matches(CANARY).count()), (200, 1), "{}", boot.text());
        scene.renewal = boot.field("renewal");
        let database = Connection::open(scene.database()).unwrap();
        database.execute("VACUUM INTO ?1", [scene.stolen().to_str().unwrap()]).unwrap();
        assert!(server.stop().status.success());
        scene.installation.configure(&configuration(&format!("{KEY_FILE}{SECOND_KEY_FILE}")));
        done(&operator(&scene.installation, &["seal", "add", "key-file"], &[]));
        done(&operator(&scene.installation, &["seal", "verify"], &[]));
        scene
    }

    fn database(&self) -> PathBuf {
        self.installation.path("data/petsem.db")
    }

    /// The copy of the database from before.
    fn stolen(&self) -> PathBuf {
        self.installation.path("stolen.db")
    }

    fn removal(&self) -> Command {
        let which = ["operator", "seal", "remove", "--compromised", "--yes", &self.compromised];
        self.installation.with_configuration(&which)
    }

    /// Removes the compromised seal; returns the output.
    fn remove(&self) -> String {
        let ended = run(self.removal());
        let printed = done(&ended).to_owned();
        self.installation.configure(&configuration(SECOND_KEY_FILE));
        printed
    }

    fn call(&self, server: &Server, method: &str, path: &str, tokens: &str, body: Option<&Value>) -> Answer {
        let request = Request::new(method, path).authorization(&flyv1(tokens));
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        request.send(server.address())
    }

    fn mint(&self, server: &Server, token: &str, wanted: &Value) -> String {
        if let Some(host) = wanted["host"].as_str() {
            self.installation.enroll_as(server.address(), token, host);
        }
        let minted = self.call(server, "POST", "/v1/tokens", token, Some(wanted));
        assert_eq!(minted.status, 201, "{}", minted.text());
        minted.field("token")
    }

    fn recover(&self) -> String {
        recover(&self.installation);
        self.installation.operator()
    }

    fn ask(&self, server: &Server, owner: &str, host: &str) -> Answer {
        let user = Credentials::new(owner).unwrap();
        let (app, machine) = (self.app.parse().unwrap(), "m-1".parse().unwrap());
        let narrowed = narrow_for_boot(&user, &app, &machine, &HOST.parse().unwrap(), now()).unwrap();
        let body = json!({"ticket": ticket(host), "app": "shop", "machine": "m-1"});
        self.call(server, "POST", "/.well-known/macfly/3p", narrowed.expose_text(), Some(&body))
    }

    fn discharge(&self, server: &Server, owner: &str, host: &str) -> String {
        let discharge = self.ask(server, owner, host);
        assert_eq!(discharge.status, 201, "{}", discharge.text());
        discharge.field("discharge")
    }

    fn boot(&self, server: &Server, host: &str, discharge: &str) -> Answer {
        let both = format!("{host},{discharge}");
        self.call(server, "POST", "/v1/apps/shop/boot", &both, Some(&json!({"machine": "m-1"})))
    }

    /// So many revocations that the control state has several pages.
    fn revoke_many(&self) {
        let server = self.installation.start().unwrap();
        for number in 0..150 {
            let what = json!({"host": {"host": format!("gone-{number}"), "unknown": true}});
            let revoked = self.call(&server, "POST", "/v1/revocations", &self.operator, Some(&what));
            assert_eq!(revoked.status, 201, "{}", revoked.text());
        }
        assert!(server.stop().status.success());
    }

    /// Asserts that new tokens boot the Machine with the value from before, and that store and log are intact.
    fn works_with_new_tokens(&self) {
        let operator_token = self.recover();
        let server = self.installation.start().unwrap();
        let owner = self.installation.owner("acme");
        let host = self.mint(&server, &operator_token, &json!({"kind": "host", "host": HOST}));
        let boot = self.boot(&server, &host, &self.discharge(&server, &owner, &host));
        assert_eq!((boot.status, boot.text().matches(CANARY).count()), (200, 1), "{}", boot.text());
        assert!(server.stop().status.success());
        self.is_intact();
    }

    fn is_intact(&self) {
        let verified = operator(&self.installation, &["verify"], &[]);
        assert!(done(&verified).contains("1 app, 1 value"), "{}", verified.printed);
        let audit = operator(&self.installation, &["audit", "verify"], &[]);
        assert!(done(&audit).contains("the audit log is intact"), "{}", audit.printed);
    }
}

fn audit_files(log: &Path) -> Vec<String> {
    let files = std::fs::read_dir(log).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> = files.filter(|name| name.ends_with(".log")).collect();
    files.sort();
    files
}

fn refused_with(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.outcome(), (status, code.to_owned()), "{}", answer.text());
    assert!(!answer.text().contains(CANARY), "{}", answer.text());
}

#[test]
fn the_command_says_what_ends_before_it_does_anything() {
    let scene = Scene::new();
    let before = status(&scene.installation)["store"].clone();
    let ended = operator(&scene.installation, &["seal", "remove", "--compromised", &scene.compromised], &[]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.printed);
    for text in ["all tokens end", "enroll the hosts again", "petsem operator recover", "--yes"] {
        assert!(ended.printed.contains(text), "{}", ended.printed);
    }
    assert_eq!(status(&scene.installation)["store"], before);
}

#[test]
fn tokens_of_the_old_signing_keys_are_refused_and_new_ones_work() {
    let scene = Scene::new();
    let printed = scene.remove();
    for text in ["all tokens have ended", "petsem operator recover", "petsem operator owner", "--kind host"] {
        assert!(printed.contains(text), "{printed}");
    }
    let server = scene.installation.start().unwrap();
    for (path, token) in [
        ("/v1/orgs", &scene.operator),
        ("/v1/apps?org=acme", &scene.owner),
        ("/v1/apps/shop/secrets", &scene.writer),
    ] {
        refused_with(&scene.call(&server, "GET", path, token, None), 401, "revoked");
    }
    refused_with(&scene.boot(&server, &scene.host, &scene.discharge), 401, "revoked");
    refused_with(&scene.boot(&server, &scene.host, &scene.renewal), 401, "revoked");
    assert!(server.stop().status.success());
    scene.works_with_new_tokens();
}

#[test]
fn discharges_of_the_old_keys_are_refused_and_outside_dischargers_are_listed() {
    let scene = Scene::new();
    let old = StoreKeys::open(
        &scene.stolen(),
        &scene.installation.path("seal.key"),
        &scene.installation.path("data/audit"),
    );
    let printed = scene.remove();
    for text in ["register these outside dischargers again", "https://auth.example (of all orgs)"] {
        assert!(printed.contains(text), "{printed}");
    }
    let operator_token = scene.recover();
    let server = scene.installation.start().unwrap();
    let listed = scene.call(&server, "GET", "/v1/dischargers", &operator_token, None).json();
    let listed = listed["dischargers"].as_array().unwrap();
    assert_eq!((listed.len(), &listed[0]["own"]), (1, &json!(true)), "{listed:?}");
    let outside = json!({"kind": "host", "host": HOST, "discharger": OUTSIDE});
    scene.installation.enroll_as(server.address(), &operator_token, HOST);
    let minted = scene.call(&server, "POST", "/v1/tokens", &operator_token, Some(&outside));
    refused_with(&minted, 400, "bad_request");
    // What the old discharger wrote does not complete a new host token, and its key opens no new ticket.
    let host = scene.mint(&server, &operator_token, &json!({"kind": "host", "host": HOST}));
    for discharge in [&scene.discharge, &scene.renewal] {
        refused_with(&scene.boot(&server, &host, discharge), 401, "discharge_missing");
    }
    let token = UnverifiedToken::parse(&host).unwrap();
    let tickets = token.undischarged(&[]);
    let keys: Vec<_> = old.kept.iter().filter(|(name, _)| name.starts_with("discharger key")).collect();
    assert_eq!(keys.len(), 2);
    for (_, key) in keys {
        let key = SharedKey::new(key.as_slice().try_into().unwrap());
        assert!(matches!(Ticket::open(tickets[0].1, &key), Err(TicketError::Open(_))));
    }
    assert!(server.stop().status.success());
    scene.works_with_new_tokens();
}

/// A row as the thief writes it: the content that is there, with a MAC by the old key.
fn forge(database: &Connection, key: &[u8], kind: u8) {
    let row: (Vec<u8>, u64, Vec<u8>) = database
        .query_row(
            "SELECT id, row_version, content FROM records WHERE kind = ?1 ORDER BY id",
            [kind],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .unwrap();
    let (id, row_version, content) = row;
    let epoch = u64::from_be_bytes(content[1..9].try_into().unwrap());
    let forged = row_mac(key, (kind, &id), epoch, row_version, &content[9..]);
    let sql = "UPDATE records SET mac = ?3 WHERE kind = ?1 AND id = ?2";
    assert_eq!(database.execute(sql, (kind, &id, &forged[..])).unwrap(), 1);
}

/// Replaces the MAC of the newest control change by one of the old key.
fn forge_feed(database: &Connection, key: &[u8]) {
    let last: (u64, Vec<u8>) = database
        .query_row("SELECT number, content FROM feed ORDER BY number DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let (number, content) = last;
    let previous: Vec<u8> =
        database.query_row("SELECT mac FROM feed WHERE number = ?1", [number - 1], |row| row.get(0)).unwrap();
    let epoch = u64::from_be_bytes(content[1..9].try_into().unwrap());
    let forged = change_mac(key, epoch, number, &previous, &content[9..]);
    let sql = "UPDATE feed SET mac = ?2 WHERE number = ?1";
    assert_eq!(database.execute(sql, (number, &forged[..])).unwrap(), 1);
}

#[test]
fn rows_and_control_changes_with_macs_by_the_old_key_are_refused() {
    let scene = Scene::new();
    let keys = StoreKeys::open(
        &scene.stolen(),
        &scene.installation.path("seal.key"),
        &scene.installation.path("data/audit"),
    );
    let (_, old) = keys.kept.iter().find(|(name, _)| name == "row-MAC key").unwrap();
    scene.remove();
    scene.is_intact();
    let good = scene.installation.path("good.db");
    std::fs::copy(scene.database(), &good).unwrap();
    let kinds: Vec<u8> = Connection::open(&good)
        .unwrap()
        .prepare("SELECT DISTINCT kind FROM records ORDER BY kind")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert!(kinds.len() > 12, "{kinds:?}");
    for forged in kinds.into_iter().map(Some).chain([None]) {
        let database = Connection::open(scene.database()).unwrap();
        match forged {
            Some(kind) => forge(&database, old, kind),
            None => forge_feed(&database, old),
        }
        drop(database);
        let verified = operator(&scene.installation, &["verify"], &[]);
        assert_eq!(verified.status.code(), Some(1), "kind {forged:?}: {}", verified.printed);
        let said = ["MAC does not fit", "is not the one that", "are not what"];
        assert!(said.iter().any(|text| verified.printed.contains(text)), "{forged:?}: {}", verified.printed);
        for file in ["data/petsem.db-wal", "data/petsem.db-shm"] {
            let _absent = std::fs::remove_file(scene.installation.path(file));
        }
        std::fs::copy(&good, scene.database()).unwrap();
    }
    // The head of the app, which a boot depends on.
    let operator_token = scene.recover();
    let owner = scene.installation.owner("acme");
    forge(&Connection::open(scene.database()).unwrap(), old, 6);
    let server = scene.installation.start().unwrap();
    let host = scene.mint(&server, &operator_token, &json!({"kind": "host", "host": HOST}));
    refused_with(&scene.ask(&server, &owner, &host), 500, "integrity");
}

#[test]
fn a_log_that_continues_with_the_old_audit_keys_is_not_accepted() {
    let scene = Scene::new();
    // A fork of the whole installation: what a thief can write with all the old keys.
    let log = scene.installation.path("data/audit");
    let before = audit_files(&log);
    scene.remove();
    assert_eq!(audit_files(&log.join("chain-1")), before, "the old chain is kept");
    let server = scene.installation.start().unwrap();
    assert!(server.stop().status.success());
    scene.is_intact();
    let lines = audit_log(&log);
    assert!(lines.contains("chain 2 begins after chain 1: the store knew its line "), "{lines}");
    // The database from before, whose keys and checkpoints the thief knows, does not go with the log.
    let newer = scene.installation.path("newer.db");
    std::fs::rename(scene.database(), &newer).unwrap();
    std::fs::copy(scene.stolen(), scene.database()).unwrap();
    scene.installation.configure(&configuration(KEY_FILE));
    let verified = operator(&scene.installation, &["audit", "verify"], &[]);
    refused(&verified, &["audit line"]);
    refused(&scene.installation.start().unwrap_err(), &["the database is an older copy", "chain-1"]);
    std::fs::rename(&newer, scene.database()).unwrap();
    scene.installation.configure(&configuration(SECOND_KEY_FILE));
    // The log from before, which the thief can continue, is not the node's any more.
    let kept = scene.installation.path("kept");
    std::fs::rename(&log, &kept).unwrap();
    std::fs::rename(kept.join("chain-1"), &log).unwrap();
    let verified = operator(&scene.installation, &["audit", "verify"], &[]);
    refused(&verified, &["audit line"]);
    let server = scene.installation.start().unwrap();
    assert_eq!(get(&server, "/readyz").status, 503);
    let ready = get(&server, "/readyz").text();
    assert!(ready.contains("audit_lost"), "{ready}");
}

#[test]
fn a_kill_at_any_point_leaves_a_store_that_the_same_command_finishes() {
    for round in 0..3_u64 {
        let scene = Scene::new();
        scene.revoke_many();
        let mut kills = 0;
        loop {
            let mut child = scene.removal().spawn().unwrap();
            // Longer each time, so that it ends.
            pause(Duration::from_millis(7 * round + 23 * kills));
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success());
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            match scene.installation.start() {
                Ok(server) => {
                    assert!(server.stop().status.success());
                    let ids: Vec<Value> =
                        seals(&scene.installation).into_iter().map(|seal| seal["id"].clone()).collect();
                    if !ids.contains(&json!(scene.compromised)) {
                        break; // The kill came after the end.
                    }
                }
                Err(ended) => {
                    refused(&ended, &["not all keys that it could open are replaced", "--compromised --yes"])
                }
            }
        }
        println!("round {round}: {kills} kills");
        assert!(kills > 2, "{kills}");
        scene.installation.configure(&configuration(SECOND_KEY_FILE));
        scene.works_with_new_tokens();
    }
}
