//! What a copy of an installation's files shows to someone without its seal: names, authors, sizes and times; no key,
//! and no digest of a value.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use data_encoding::{BASE64, HEXLOWER};
use petsem_integration::dev::{Dev, flyv1, now, policy};
use petsem_integration::memory::Needles;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::canary::{Canary, files, found_in};

/// The directories with everything that a server writes.
fn written(dev: &Dev) -> [PathBuf; 2] {
    [dev.layout().audit(), dev.directory.path().join("data")]
}

/// The rows of a kind, as JSON. Readable without any key.
fn rows(database: &Connection, kind: u8) -> Vec<Value> {
    let mut statement = database.prepare("SELECT content FROM records WHERE kind = ?1").unwrap();
    let rows = statement.query_map([kind], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    rows.map(|content| serde_json::from_slice(&content.unwrap()[17..]).unwrap()).collect()
}

#[test]
fn a_backup_shows_names_policies_holders_authors_sizes_and_times() {
    let dev = Dev::start();
    let begun = now();
    let made = [
        dev.operate("POST", "/v1/orgs", Some(&json!({"name": "seen-org"}))),
        dev.operate("POST", "/v1/apps", Some(&json!({"org": "demo", "name": "seen-app"}))),
        dev.operate(
            "POST",
            "/v1/revocations",
            Some(&json!({"machine": {"app": "shop", "machine": "seen-machine"}})),
        ),
    ];
    assert_eq!(made.map(|answer| answer.status), [201, 201, 201]);
    dev.mint(&json!({"kind": "host", "host": "seen-host"}));
    let writer = dev.mint(&json!({"kind": "org", "org": "demo", "subject": "seen-holder"}));
    let mut rules = policy();
    rules["rules"][1]["name"] = json!("seen-rule");
    assert_eq!(dev.own("PUT", "/v1/apps/shop/policy", Some(&json!({ "policy": rules }))).status, 200);
    for (name, length) in [("SEEN_SHORT", 100), ("SEEN_LONG", 1100)] {
        let value = json!({"value": "x".repeat(length)});
        let set = dev.call("POST", &format!("/v1/apps/shop/secrets/{name}"), &flyv1(&writer), Some(&value));
        assert_eq!(set.status, 201, "{}", set.text());
    }

    let backups = tempfile::tempdir().unwrap();
    let path = backups.path().join("backup.db");
    Connection::open(dev.database()).unwrap().execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let shows = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    for text in ["org", "app", "machine", "host", "holder", "rule"]
        .map(|what| format!("seen-{what}"))
        .iter()
        .chain(&["SEEN_SHORT".to_owned(), "SEEN_LONG".to_owned()])
    {
        assert!(shows(text), "{text}");
    }
    let backup = Connection::open(&path).unwrap();
    // Kinds of rows, as numbered on disk: policies, and tokens.
    let [policy] = rows(&backup, 9).try_into().unwrap();
    assert!(policy["author"].as_str().unwrap().starts_with("owner ("), "{policy}");
    let holders = rows(&backup, 13);
    let is_holders =
        |row: &&Value| row["subject"].as_str().is_some_and(|holder| holder.starts_with("seen-holder"));
    let token = holders.iter().find(is_holders).unwrap();
    let created = token["created_at"].as_i64().unwrap() / 1000;
    assert!((begun..=now()).contains(&created), "{token}");
    let length = |name: &str| -> i64 {
        let query = "SELECT length(ciphertext) FROM secret_values WHERE name = ?1";
        backup.query_row(query, [name], |row| row.get(0)).unwrap()
    };
    assert_eq!(length("SEEN_LONG") - length("SEEN_SHORT"), 1000);
    // The author of a value is encrypted with it, but the audit log names who set it.
    let lines = dev.audit_lines();
    let set = lines.iter().rfind(|line| line["action"] == "secret.set").unwrap();
    assert_eq!(set["subject"]["sub"], "seen-holder", "{set}");
}

#[test]
fn no_key_is_in_a_file_that_the_server_writes() {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "value"}));
    let generate = json!({"type": "hs256"});
    assert_eq!(dev.operate("POST", "/v1/apps/shop/secretkeys/k/generate", Some(&generate)).status, 201);
    let keys = dev.keys();
    for what in [
        "root key",
        "keyring key",
        "row-MAC key",
        "audit signing key",
        "audit MAC key 0",
        "seal key",
        "KEK of shop",
        "digest key of shop",
        "secret key k of shop",
        "DEK of a bundle of shop at version 2",
        "DEK of a value of shop at version 1",
    ] {
        assert_eq!(keys.named(what).len(), 32, "{what}");
    }
    for kind in ["signing key ", "discharger key "] {
        assert!(keys.all().any(|(name, _)| name.starts_with(kind)), "{kind}");
    }
    let mut needles = Needles::default();
    keys.all().for_each(|(name, key)| needles.key(name, key));
    // Controls: the wraps are in the database as the search finds them, and the seal's key in its own file.
    let database = Connection::open(dev.database()).unwrap();
    let [seal] = rows(&database, 2).try_into().unwrap();
    needles.bytes(
        "wrapped root key",
        &BASE64.decode(seal["wrapped_root"].as_str().unwrap().as_bytes()).unwrap(),
    );
    let dek: Vec<u8> =
        database.query_row("SELECT wrapped_dek FROM secret_values", [], |row| row.get(0)).unwrap();
    needles.bytes("wrapped DEK", &dek);
    drop(database);
    let key_file = std::fs::read(dev.directory.path().join("seal.key")).unwrap();
    assert_eq!(needles.found_in_bytes(&key_file), BTreeSet::from(["seal key"]));
    let found = |directories: &[PathBuf]| -> BTreeSet<String> {
        let paths = directories.iter().flat_map(|directory| files(directory));
        let contents = paths.map(|path| std::fs::read(path).unwrap());
        contents
            .flat_map(|bytes| {
                needles.found_in_bytes(&bytes).into_iter().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    };
    let wraps = ["wrapped DEK", "wrapped root key"].map(str::to_owned);
    let directories = written(&dev);
    assert_eq!(found(&directories), BTreeSet::from(wraps.clone()), "while it runs");
    let Dev { server, directory, .. } = dev;
    assert!(server.stop().status.success());
    assert_eq!(found(&directories), BTreeSet::from(wraps), "after its end");
    drop(directory);
}

#[test]
fn digests_are_in_the_answers_to_their_readers_and_in_no_file() {
    let dev = Dev::start();
    let secret = "/v1/apps/shop/secrets/ONE";
    let set = dev.operate("POST", secret, Some(&json!({"value": "a value"})));
    assert_eq!(set.status, 201, "{}", set.text());
    let digest = set.field("digest");
    let bytes = HEXLOWER.decode(digest.as_bytes()).unwrap();
    assert_eq!(bytes.len(), 16);
    for (method, target, body) in [
        ("GET", "/v1/apps/shop/secrets".to_owned(), None),
        ("GET", format!("{secret}/history"), None),
        ("POST", format!("{secret}/rollback"), Some(json!({"to_version": 1}))),
    ] {
        let answer = dev.operate(method, &target, body.as_ref());
        assert!(answer.status == 200 && answer.text().contains(&digest), "{target}: {}", answer.text());
    }
    let boot = dev.boot("shop", "m-1", &dev.discharge("shop", "m-1"));
    let read = dev.call("GET", &format!("{secret}?show_secrets=true"), &dev.reader_jwt(), None);
    assert!(
        boot.text().contains(&digest) && read.text().contains(&digest),
        "{} {}",
        boot.text(),
        read.text()
    );
    let wrong = dev.operate("POST", secret, Some(&json!({"value": "another", "expected_version": 1})));
    assert_eq!(wrong.status, 412, "{}", wrong.text());

    let canary = Canary::of_bytes(&bytes);
    // Control: the search finds it in the form of an answer.
    assert!(canary.is_in(set.text().as_bytes()));
    let log = dev.audit_log();
    for action in ["secret.set", "secret.rollback", "boot", "secret.read"] {
        assert!(log.contains(&format!("\"action\":\"{action}\"")), "{action}: {log}");
    }
    let texts = BTreeMap::from([("the process log", dev.server.printed().into_bytes())]);
    assert_eq!(found_in(&canary, &written(&dev), &texts), Vec::<String>::new());
}
