//! Restoring an older database, or rows of it, is detected at every start.

use std::path::{Path, PathBuf};

use petsem_integration::dev::{Dev, flyv1, serve};
use petsem_integration::http::Answer;
use petsem_integration::server::Server;
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

const CANARY: &str = "canary-rollback-2c7d15aa";

/// Kinds of rows, as numbered on disk.
const ORG_ROWS: &str = "4, 5, 12";
const APP_ROWS: &str = "6, 7, 8, 9";
const HEADS_AND_POLICIES: &str = "6, 9";
const FEED_HEAD: &str = "18";

/// An installation whose app `shop` has a secret, and the renewal of a booted Machine.
fn shop() -> (Dev, String) {
    let dev = Dev::start();
    dev.set("shop", &json!({ "A": CANARY }));
    let renewal = dev.boot("shop", "m-1", &dev.discharge("shop", "m-1")).field("renewal");
    assert_eq!(dev.boot("shop", "m-1", &renewal).status, 200);
    (dev, renewal)
}

/// A copy of a database in its current state.
struct OldCopy(TempDir);

impl OldCopy {
    fn of(database: &Path) -> Self {
        let copy = Self(tempfile::tempdir().unwrap());
        let path = copy.path();
        Connection::open(database).unwrap().execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
        copy
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("old.db")
    }

    /// Replaces the whole newer database.
    fn replace(&self, database: &Path) {
        for suffix in ["-wal", "-shm"] {
            let _not_there = std::fs::remove_file(format!("{}{suffix}", database.display()));
        }
        std::fs::copy(self.path(), database).unwrap();
    }

    /// Runs SQL on the newer database, with this one attached as `old`.
    fn put_back(&self, database: &Path, sql: &str) {
        let newer = Connection::open(database).unwrap();
        newer.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        newer.execute("ATTACH ?1 AS old", [self.path().to_str().unwrap()]).unwrap();
        newer.execute_batch(sql).unwrap();
    }
}

/// Restores deleted rows of these kinds.
fn missing_rows(kinds: &str) -> String {
    format!("INSERT OR IGNORE INTO records SELECT * FROM old.records WHERE kind IN ({kinds});")
}

/// Restores all rows of these kinds, over existing ones.
fn all_rows(kinds: &str) -> String {
    format!("INSERT OR REPLACE INTO records SELECT * FROM old.records WHERE kind IN ({kinds});")
}

fn revoke_machine(dev: &Dev, renewal: &str) {
    let what = json!({"machine": {"app": "shop", "machine": "m-1"}});
    assert_eq!(dev.operate("POST", "/v1/revocations", Some(&what)).status, 201);
    assert_eq!(dev.boot("shop", "m-1", renewal).outcome(), (401, "revoked".to_owned()));
}

/// Asserts that each start is refused with these texts.
fn never_starts(directory: &Path, texts: &[&str]) {
    for start in ["first", "second", "third"] {
        let ended = match serve(directory) {
            Ok(server) => panic!("the {start} start succeeds: {}", server.printed()),
            Err(ended) => ended,
        };
        assert!(matches!(ended.status.code(), Some(code) if code != 0), "{start}: {}", ended.printed);
        for text in texts {
            assert!(ended.printed.contains(text), "{start}: {:?} does not say {text:?}", ended.printed);
        }
        assert!(!ended.printed.contains(CANARY), "{start}");
    }
}

fn stopped(dev: Dev) -> (TempDir, PathBuf) {
    let database = dev.database();
    let Dev { server, directory, .. } = dev;
    let ended = server.stop();
    assert!(ended.status.success(), "{}", ended.printed);
    (directory, database)
}

fn integrity(answers: &[(&str, Answer)], when: &str) {
    for (what, answer) in answers {
        assert_eq!(answer.outcome(), (500, "integrity".to_owned()), "{when}: {what}: {}", answer.text());
        assert!(!answer.text().contains(CANARY), "{when}: {what}");
    }
}

/// Every way to the values of `shop`.
fn ways_to_values(dev: &Dev, renewal: &str) -> [(&'static str, Answer); 3] {
    let proof = dev.boot_jwt("shop", "m-1");
    [
        ("renewal", dev.boot("shop", "m-1", renewal)),
        ("discharge", dev.ask_discharge(&dev.host, &proof, "shop", "m-1")),
        ("workload", dev.call("GET", "/v1/apps/shop/secrets?show_secrets=true", &dev.reader_jwt(), None)),
    ]
}

#[test]
fn an_older_copy_of_the_database_is_detected_at_every_start_until_the_newer_one_is_restored() {
    let (dev, renewal) = shop();
    let (operator, host) = (dev.operator.clone(), dev.host.clone());
    let old = OldCopy::of(&dev.database());
    revoke_machine(&dev, &renewal);
    let (directory, database) = stopped(dev);
    let newest = OldCopy::of(&database);
    old.replace(&database);
    never_starts(directory.path(), &["integrity", "audit log recorded", "an older copy"]);

    newest.replace(&database);
    let server = serve(directory.path()).unwrap();
    let dev = Dev { server, directory, operator, host };
    assert_eq!(dev.boot("shop", "m-1", &renewal).outcome(), (401, "revoked".to_owned()));
}

#[test]
fn a_feed_truncated_with_its_head_is_detected_at_every_start() {
    let (dev, renewal) = shop();
    let old = OldCopy::of(&dev.database());
    revoke_machine(&dev, &renewal);
    let (directory, database) = stopped(dev);
    let cut = "DELETE FROM feed WHERE number > (SELECT max(number) FROM old.feed);";
    old.put_back(&database, &format!("{cut}{}", all_rows(FEED_HEAD)));
    never_starts(directory.path(), &["integrity", "control change", "audit log recorded"]);
}

#[test]
fn restored_rows_of_a_deleted_app_are_integrity_at_once_and_after_a_restart() {
    let (dev, renewal) = shop();
    let old = OldCopy::of(&dev.database());
    assert_eq!(dev.operate("DELETE", "/v1/apps/shop", None).status, 200);
    assert_eq!(dev.boot("shop", "m-1", &renewal).outcome(), (401, "discharge_invalid".to_owned()));
    let rows = "INSERT OR IGNORE INTO bundles SELECT * FROM old.bundles;
                INSERT OR IGNORE INTO secret_values SELECT * FROM old.secret_values;";
    old.put_back(&dev.database(), &format!("{rows}{}", missing_rows(APP_ROWS)));
    let check = |dev: &Dev, when: &str| {
        integrity(&ways_to_values(dev, &renewal), when);
        let others = [
            ("show", dev.operate("GET", "/v1/apps/shop", None)),
            ("list", dev.operate("GET", "/v1/apps/shop/secrets", None)),
            ("apps", dev.operate("GET", "/v1/apps?org=demo", None)),
            ("set", dev.operate("POST", "/v1/apps/shop/secrets/A", Some(&json!({"value": "x"})))),
        ];
        integrity(&others, when);
    };
    check(&dev, "at once");
    check(&dev.restart(Server::stop).unwrap(), "after a restart");
}

#[test]
fn restored_rows_of_a_deleted_org_are_integrity_and_its_tokens_verify_nowhere() {
    let dev = Dev::start();
    let org = dev.operate("POST", "/v1/orgs", Some(&json!({"name": "gone"})));
    assert_eq!(org.status, 201, "{}", org.text());
    let token = dev.mint(&json!({"kind": "org", "org": "gone"}));
    let by_token = |dev: &Dev| dev.call("GET", "/v1/apps?org=gone", &flyv1(&token), None);
    assert_eq!(by_token(&dev).status, 200);
    let old = OldCopy::of(&dev.database());
    assert_eq!(dev.operate("DELETE", "/v1/orgs/gone", None).status, 200);
    assert_eq!(by_token(&dev).outcome(), (401, "token_invalid".to_owned()));

    old.put_back(&dev.database(), &missing_rows(ORG_ROWS));
    let check = |dev: &Dev, when: &str| {
        let app = json!({"org": "gone", "name": "again"});
        let answers = [
            ("by name", dev.operate("GET", "/v1/orgs/gone", None)),
            ("by id", dev.operate("GET", &format!("/v1/orgs/{}", org.field("id")), None)),
            ("all orgs", dev.operate("GET", "/v1/orgs", None)),
            ("its apps", dev.operate("GET", "/v1/apps?org=gone", None)),
            ("a new app", dev.operate("POST", "/v1/apps", Some(&app))),
            ("a token", dev.operate("POST", "/v1/tokens", Some(&json!({"kind": "org", "org": "gone"})))),
        ];
        integrity(&answers, when);
        assert_eq!(by_token(dev).outcome(), (401, "token_invalid".to_owned()), "{when}");
        assert_eq!(dev.operate("GET", "/v1/orgs/demo", None).status, 200, "{when}: another org");
    };
    check(&dev, "at once");
    check(&dev.restart(Server::stop).unwrap(), "after a restart");
}

#[test]
fn an_older_policy_restored_while_no_server_ran_decides_nothing() {
    let (dev, renewal) = shop();
    let old = OldCopy::of(&dev.database());
    let none = json!({"policy": {"format": 1, "rules": []}});
    assert_eq!(dev.operate("PUT", "/v1/apps/shop/policy", Some(&none)).status, 200);
    for (what, answer) in ways_to_values(&dev, &renewal) {
        assert_eq!(answer.outcome(), (403, "policy_denied".to_owned()), "{what}");
    }
    let dev = restarted_changed(dev, |database, _| old.put_back(database, &all_rows(HEADS_AND_POLICIES)));
    integrity(&ways_to_values(&dev, &renewal), "the policy with its head");
    integrity(&[("show", dev.operate("GET", "/v1/apps/shop/policy", None))], "the policy with its head");
}

/// Stops, changes the files, and starts again.
fn restarted_changed(dev: Dev, tamper: impl FnOnce(&Path, &Path)) -> Dev {
    let (operator, host) = (dev.operator.clone(), dev.host.clone());
    let audit = dev.layout().audit();
    let (directory, database) = stopped(dev);
    tamper(&database, &audit);
    Dev { server: serve(directory.path()).unwrap(), directory, operator, host }
}

const BUNDLES: &str = "INSERT OR REPLACE INTO bundles SELECT * FROM old.bundles;";

/// A limit that SECURITY.md names: no row takes part but those of the app, and nothing was taken away.
#[test]
fn rows_of_one_app_put_back_while_no_server_ran_count_as_its_newest() {
    let (dev, renewal) = shop();
    let old = OldCopy::of(&dev.database());
    assert_eq!(dev.set("shop", &json!({"A": "newer"})), 2);
    assert_eq!(dev.boot("shop", "m-1", &renewal).number("version"), 2);
    let dev = restarted_changed(dev, |database, _| {
        old.put_back(database, &format!("{BUNDLES}{}", all_rows("6")));
    });
    let boot = dev.boot("shop", "m-1", &renewal);
    assert_eq!((boot.status, boot.number("version")), (200, 1), "{}", boot.text());
    assert!(boot.text().contains(CANARY), "{}", boot.text());
}

#[test]
fn a_secret_key_that_was_deleted_or_replaced_is_not_put_back_while_no_server_ran() {
    let key = "/v1/apps/shop/secretkeys/k";
    let generate = |dev: &Dev| {
        let made = dev.operate("POST", &format!("{key}/generate"), Some(&json!({"type": "hs256"})));
        assert_eq!(made.status, 201, "{}", made.text());
    };
    let sign = |dev: &Dev| dev.own("POST", &format!("{key}/sign"), Some(&json!({"plaintext": "bQ=="})));
    for is_replaced in [false, true] {
        let (dev, renewal) = shop();
        generate(&dev);
        assert_eq!(sign(&dev).status, 200);
        let old = OldCopy::of(&dev.database());
        assert_eq!(dev.operate("DELETE", key, None).status, 200);
        if is_replaced {
            generate(&dev);
        }
        let dev = restarted_changed(dev, |database, _| {
            old.put_back(database, &format!("{BUNDLES}{}", all_rows("6, 21")));
        });
        integrity(&[("sign", sign(&dev))], "the key");
        integrity(&ways_to_values(&dev, &renewal), "the key");
    }
}

fn checkpoints(dev: &Dev) -> usize {
    dev.audit_lines().iter().filter(|line| line["checkpoint"].is_object()).count()
}

/// A limit that SECURITY.md names: the log is compared by its last checkpoint, which is up to a minute old.
#[test]
fn changes_after_the_last_checkpoint_that_are_lost_with_the_database_are_not_noticed() {
    let mut tried = 0;
    let (dev, renewal, old) = loop {
        let (dev, renewal) = shop();
        let before = checkpoints(&dev);
        let old = OldCopy::of(&dev.database());
        assert_eq!(dev.set("shop", &json!({"A": "newer"})), 2);
        // A checkpoint in between, one a minute, would name the change.
        if checkpoints(&dev) == before {
            break (dev, renewal, old);
        }
        tried += 1;
        assert!(tried < 5, "each time a checkpoint was written in between");
    };
    let database = dev.database();
    let dev = dev
        .restart(|server| {
            let killed = server.kill();
            old.replace(&database);
            killed
        })
        .unwrap();
    let boot = dev.boot("shop", "m-1", &renewal);
    assert_eq!((boot.status, boot.number("version")), (200, 1), "{}", boot.text());
    assert!(dev.audit_log().contains("\"version\":2"), "the log has the line of the lost change");
}

/// A limit that SECURITY.md names: only a copy of the log that is kept elsewhere shows it.
#[test]
fn a_database_and_an_audit_log_put_back_together_are_not_noticed() {
    let (dev, renewal) = shop();
    let kept = tempfile::tempdir().unwrap();
    let copies = [kept.path().join("petsem.db"), kept.path().join("audit")];
    let copy_files = |from: &Path, to: &Path| {
        std::fs::create_dir_all(to).unwrap();
        for file in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
            std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
    };
    let dev = restarted_changed(dev, |database, audit| {
        std::fs::copy(database, &copies[0]).unwrap();
        copy_files(audit, &copies[1]);
    });
    revoke_machine(&dev, &renewal);
    let dev = restarted_changed(dev, |database, audit| {
        std::fs::copy(&copies[0], database).unwrap();
        for file in std::fs::read_dir(audit).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
        copy_files(&copies[1], audit);
    });
    let boot = dev.boot("shop", "m-1", &renewal);
    assert!(boot.status == 200 && boot.text().contains(CANARY), "{}", boot.text());
}
