//! `petsem operator accept-rollback`: an older copy of the database serves again when the newer one is lost, and nothing
//! that was taken away since comes back with it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use petsem_api::AppId;
use petsem_integration::dev::{flyv1, now};
use petsem_integration::http::Answer;
use petsem_integration::pause;
use petsem_integration::platform::Platform;
use petsem_integration::publisher::IssuerKey;
use petsem_integration::seals::{done, operator, recover, refused};
use petsem_integration::server::run;
use rusqlite::Connection;
use serde_json::{Value, json};

const CANARY: &str = "canary-accepted-3be94f21";
const LOST: &str = "canary-lost-90a1c7dd";
const ISSUER: &str = "https://issuer.example";

/// A platform with the app `shop`, a copy of its database from before the changes of [`Scene::changed`], and what
/// people held then.
struct Scene {
    platform: Platform,
    shop: AppId,
    key: IssuerKey,
    renewal: String,
    jwt: String,
}

impl Scene {
    fn new() -> Self {
        let mut platform = Platform::with("");
        assert!(platform.stop().status.success());
        let key = IssuerKey::new("k");
        let registration = json!({"issuer": ISSUER, "algorithms": ["ES256"], "keys": {"keys": [key.jwk()]}});
        done(&platform.installation.register(&registration, &[]));
        let other = json!({"issuer": "https://other.example", "algorithms": ["ES256"], "keys": {"keys": [key.jwk()]}});
        done(&platform.installation.register(&other, &[]));
        platform.start();
        let shop = platform.app("shop");
        for app in ["gone", "calm"] {
            platform.app(app);
            platform.set(app, &json!({"A": CANARY}));
        }
        assert_eq!(platform.set("shop", &json!({"A": CANARY, "OLD": "old"})), 1);
        own(&platform, "PUT", "/v1/apps/shop/policy", &json!({"policy": policy(&["wide", "narrow"])}), 200);
        let generated = own(
            &platform,
            "POST",
            "/v1/apps/shop/secretkeys/mail/generate",
            &json!({"type": "xaes256gcm"}),
            201,
        );
        assert_eq!(generated.number("version"), 2);
        let renewal = platform.boot(shop, &platform.discharge(shop)).field("renewal");
        let claims =
            json!({"iss": ISSUER, "aud": "petsem-test", "sub": "wide", "iat": now(), "exp": now() + 300});
        let mut scene = Self { jwt: format!("Bearer {}", key.sign(&claims)), platform, shop, key, renewal };
        assert_eq!(scene.read(&scene.jwt).text().matches(CANARY).count(), 1);
        // The last checkpoint of a server that stops is at the end of its log.
        assert!(scene.platform.stop().status.success());
        scene.copy("older.db");
        scene.platform.start();
        scene
    }

    fn copy(&self, name: &str) {
        let path = self.path(name);
        let database = Connection::open(self.platform.database()).unwrap();
        database.execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.platform.installation.path(name)
    }

    /// Changes after the copy, of every kind that takes something away; and the loss of the database. The server is
    /// stopped then.
    fn changed(mut self) -> Self {
        let platform = &self.platform;
        own(platform, "PUT", "/v1/apps/shop/policy", &json!({"policy": policy(&["narrow"])}), 200);
        own(platform, "PATCH", "/v1/apps/calm/settings", &json!({"renewal_life": 60}), 200);
        own(platform, "DELETE", "/v1/apps/shop/secretkeys/mail", &Value::Null, 200);
        own(platform, "DELETE", "/v1/apps/gone", &Value::Null, 200);
        let host = json!({"host": {"host": "host-9", "unknown": true}});
        let machine = json!({"machine": {"app": "shop", "machine": "m-9"}});
        for revoked in [host, machine] {
            assert_eq!(platform.operate("POST", "/v1/revocations", Some(&revoked)).status, 201);
        }
        let issuers = platform.operate("GET", "/v1/issuers", None).json();
        let other = issuers["issuers"].as_array().unwrap().iter().find(|issuer| issuer["issuer"] != ISSUER);
        let other = format!("/v1/issuers/{}", other.unwrap()["id"].as_str().unwrap());
        assert_eq!(platform.operate("DELETE", &other, None).status, 200);
        assert_eq!(platform.set("shop", &json!({"A": LOST, "NEW": LOST})), 4);
        assert!(self.platform.stop().status.success());
        std::fs::rename(self.platform.database(), self.path("newer.db")).unwrap();
        self.put_back("older.db");
        self
    }

    fn put_back(&self, name: &str) {
        let database = self.platform.database();
        for suffix in ["-wal", "-shm"] {
            let _not_there = std::fs::remove_file(format!("{}{suffix}", database.display()));
        }
        std::fs::copy(self.path(name), database).unwrap();
    }

    fn acceptance(&self) -> Command {
        self.platform.installation.with_configuration(&["operator", "accept-rollback", "--yes", "--json"])
    }

    fn accept(&self) -> Value {
        let ended = self.acceptance().output().unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.success(), "{told}");
        // People read it in any case, before anything is done.
        for text in ["the database lacks these changes", "these rights are taken away again"] {
            assert!(told.contains(text), "{text}: {told}");
        }
        serde_json::from_slice(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
    }

    fn read(&self, jwt: &str) -> Answer {
        self.platform.call("GET", "/v1/apps/shop/secrets?show_secrets=true", jwt, None)
    }

    /// New tokens of the operator and the owner, and a running server.
    fn recovered(&mut self) {
        recover(&self.platform.installation);
        self.platform.operator = self.platform.installation.operator();
        self.platform.owner = self.platform.installation.owner(Platform::ORG);
        self.platform.start();
    }

    fn enroll(&mut self) {
        let Platform { installation, operator, .. } = &self.platform;
        installation.enroll_as(self.platform.address(), operator, Platform::HOST);
        let wanted = json!({"kind": "host", "host": Platform::HOST});
        let minted = self.platform.operate("POST", "/v1/tokens", Some(&wanted));
        assert_eq!(minted.status, 201, "{}", minted.text());
        self.platform.host = minted.field("token");
    }

    fn is_intact(&mut self) {
        assert!(self.platform.stop().status.success());
        let verified = operator(&self.platform.installation, &["verify"], &[]);
        assert!(done(&verified).contains("the store is intact"), "{}", verified.printed);
        let audit = operator(&self.platform.installation, &["audit", "verify"], &[]);
        assert!(done(&audit).contains("the audit log is intact"), "{}", audit.printed);
    }
}

/// Rules with these names let the subjects of the same names read `A`.
fn policy(subjects: &[&str]) -> Value {
    let rule = |subject: &&str| {
        json!({"name": subject, "issuer": ISSUER, "claims": {"sub": subject}, "actions": ["read_value"],
            "secrets": {"names": ["A"]}})
    };
    json!({"format": 1, "rules": subjects.iter().map(rule).collect::<Vec<_>>()})
}

/// A request of the owner, which succeeds with this status.
fn own(platform: &Platform, method: &str, target: &str, body: &Value, status: u16) -> Answer {
    let body = Some(body).filter(|body| !body.is_null());
    let answer = platform.call(method, target, &flyv1(&platform.owner), body);
    assert_eq!(answer.status, status, "{method} {target}: {}", answer.text());
    answer
}

#[test]
fn a_copy_is_accepted_and_nothing_that_was_taken_away_since_comes_back() {
    let mut scene = Scene::new().changed();
    let told = ["the store lacks", "an older copy", "petsem operator accept-rollback"];
    refused(&scene.platform.installation.start().unwrap_err(), &told);
    let asked = operator(&scene.platform.installation, &["accept-rollback"], &[]);
    let told = [
        "secret.update of shop",
        "version 4, the copy has 2",
        "app.delete of gone",
        "revokes host host-9",
        "the policies of these apps end",
        "All tokens end",
        "nothing was changed",
        "--yes",
    ];
    assert_eq!(asked.status.code(), Some(2), "{}", asked.printed);
    for text in told {
        assert!(asked.printed.contains(text), "{text}: {}", asked.printed);
    }
    refused(&scene.platform.installation.start().unwrap_err(), &["the store lacks"]);

    let accepted = scene.accept();
    assert_eq!(accepted["epoch"], 2);
    let lost = accepted["lost"]["changes"].as_array().unwrap();
    let update = lost.iter().find(|change| change["action"] == "secret.update").unwrap();
    assert_eq!(
        (&update["app"], &update["version"], &update["store_version"], &update["names"]),
        (&json!("shop"), &json!(4), &json!(2), &json!(["A", "NEW"]))
    );
    assert_eq!(accepted["lost"]["policies"], json!([{"app": "shop", "policy": policy(&["wide", "narrow"])}]));
    assert_eq!(
        accepted["repeated"],
        json!({
            "revocations": 3, "revoked_issuers": [ISSUER, "https://other.example"],
            "deleted_issuers": ["https://other.example"], "denied_requests": 1,
            "deleted_apps": ["gone"], "deleted_orgs": [], "ended_policies": ["shop"],
            "reset_settings": ["calm"], "deleted_secret_keys": ["shop/mail"], "guarded_orgs": 0,
            "continued_apps": 1, "faults": []
        })
    );
    assert_eq!(accepted["invalid_rows"], 0);
    refused(&run(scene.acceptance()), &["there is no older copy to accept"]);

    // Everything that people held before is refused.
    let (operator_token, owner) = (scene.platform.operator.clone(), scene.platform.owner.clone());
    scene.recovered();
    for token in [&operator_token, &owner] {
        let answer = scene.platform.call("GET", "/v1/apps/shop/secrets", &flyv1(token), None);
        assert_eq!(answer.outcome(), (401, "revoked".to_owned()));
    }
    assert_eq!(scene.platform.boot(scene.shop, &scene.renewal).outcome(), (401, "revoked".to_owned()));
    scene.enroll();
    let renewed = scene.platform.boot(scene.shop, &scene.renewal);
    assert_eq!(renewed.outcome(), (401, "discharge_missing".to_owned()));

    // What the copy has is served, and versions continue after those that are lost.
    let listed = own(&scene.platform, "GET", "/v1/apps/shop/secrets", &Value::Null, 200).json();
    assert_eq!(listed["version"], 6, "{listed}");
    assert_eq!(scene.platform.set("shop", &json!({"B": "new"})), 7);
    let boot = scene.platform.boot(scene.shop, &scene.platform.discharge(scene.shop));
    assert_eq!((boot.status, boot.text().matches(CANARY).count()), (200, 1), "{}", boot.text());
    assert!(!boot.text().contains(LOST));

    // What was taken away is still away.
    let policy_now = own(&scene.platform, "GET", "/v1/apps/shop/policy", &Value::Null, 200).json();
    assert_eq!(policy_now["policy"], json!({"format": 1, "rules": []}));
    own(&scene.platform, "PUT", "/v1/apps/shop/policy", &json!({"policy": policy(&["wide", "narrow"])}), 200);
    assert_eq!(scene.read(&scene.jwt).outcome(), (401, "revoked".to_owned()));
    let later =
        json!({"iss": ISSUER, "aud": "petsem-test", "sub": "wide", "iat": now() + 29, "exp": now() + 300});
    let later = scene.read(&format!("Bearer {}", scene.key.sign(&later)));
    assert_eq!(later.outcome(), (401, "revoked".to_owned()), "within the skew of before");
    let gone = scene.platform.operate("GET", "/v1/apps/gone", None);
    assert_eq!(gone.status, 404, "{}", gone.text());
    let calm = own(&scene.platform, "GET", "/v1/apps/calm", &Value::Null, 200).json();
    assert_eq!(calm["settings"]["renewal_life"], 0, "{calm}");
    let keys = own(&scene.platform, "GET", "/v1/apps/shop/secretkeys", &Value::Null, 200).json();
    assert_eq!(keys["secret_keys"], json!([]), "{keys}");
    let issuers = scene.platform.operate("GET", "/v1/issuers", None).json();
    assert_eq!(issuers["issuers"].as_array().unwrap().len(), 1, "{issuers}");
    let host = json!({"hosts": ["host-9"], "reason": "back"});
    let enrolled = scene.platform.operate("POST", "/v1/enrollments", Some(&host));
    assert_eq!(enrolled.status, 409, "{}", enrolled.text());
    scene.is_intact();
}

#[test]
fn rows_of_the_lost_database_are_refused_after_the_acceptance() {
    let mut scene = Scene::new().changed();
    scene.accept();
    scene.recovered();
    let database = Connection::open(scene.platform.database()).unwrap();
    database.busy_timeout(Duration::from_secs(10)).unwrap();
    database.execute("ATTACH ?1 AS lost", [scene.path("newer.db").to_str().unwrap()]).unwrap();
    // Heads and policies, then the head of the control feed.
    for kinds in ["6, 9", "18"] {
        database.execute_batch("SAVEPOINT before").unwrap();
        let put = "INSERT OR REPLACE INTO records SELECT * FROM lost.records WHERE kind IN";
        assert!(database.execute(&format!("{put} ({kinds})"), []).unwrap() > 0, "{kinds}");
        database.execute_batch("RELEASE before").unwrap();
        let answer = scene.platform.call("GET", "/v1/apps/shop/secrets", &flyv1(&scene.platform.owner), None);
        assert_eq!(answer.outcome(), (500, "integrity".to_owned()), "{kinds}");
        assert!(!answer.text().contains(LOST));
    }
}

#[test]
fn a_copy_from_before_an_acceptance_is_refused_by_every_command() {
    let scene = Scene::new().changed();
    scene.accept();
    scene.put_back("older.db");
    let told = ["the database is an older copy", "chain-1", "put the newer database back"];
    let installation = &scene.platform.installation;
    refused(&installation.start().unwrap_err(), &told);
    for command in [
        &["accept-rollback", "--yes"][..],
        &["audit", "accept-loss", "--yes"],
        &["recover", "--operator", "kim"],
    ] {
        refused(&operator(installation, command, &[]), &told);
    }
    let status = operator(installation, &["status"], &[]);
    assert_eq!(status.status.code(), Some(2), "{}", status.printed);
    assert!(status.printed.contains(told[0]), "{}", status.printed);
}

#[test]
fn what_is_no_older_copy_of_this_store_or_has_no_whole_log_is_not_accepted() {
    let mut scene = Scene::new();
    let accept = |scene: &Scene| operator(&scene.platform.installation, &["accept-rollback", "--yes"], &[]);
    refused(&accept(&scene), &["a server holds the store", "stop it"]);
    assert!(scene.platform.stop().status.success());
    refused(&accept(&scene), &["there is no older copy to accept", "nothing was changed"]);

    // A copy that a server elsewhere wrote to: two histories of one store.
    let log = scene.path("data/audit");
    let [before, lost] = ["before", "lost"].map(|name| scene.path(name));
    copy_files(&log, &before);
    std::fs::copy(scene.platform.database(), scene.path("before.db")).unwrap();
    scene.platform.start();
    scene.platform.set("shop", &json!({"A": LOST}));
    assert!(scene.platform.stop().status.success());
    copy_files(&log, &lost);
    copy_files(&before, &log);
    scene.put_back("before.db");
    scene.platform.start();
    for value in 0..10 {
        scene.platform.set("shop", &json!({"A": format!("elsewhere {value}")}));
    }
    assert!(scene.platform.stop().status.success());
    copy_files(&lost, &log);
    refused(&accept(&scene), &["audit log", "nothing was changed"]);

    // A log with a line that was changed.
    scene.put_back("before.db");
    change_a_line(&log);
    refused(&accept(&scene), &["put the log's files back", "nothing was changed"]);
    assert!(scene.platform.installation.start().is_err());
}

/// Replaces the files of a directory by those of another one.
fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(to).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Changes one bit of the log's second line.
fn change_a_line(log: &Path) {
    let files = std::fs::read_dir(log).unwrap().map(|file| file.unwrap().path());
    let first = files.filter(|path| path.extension().is_some_and(|end| end == "log")).min().unwrap();
    let mut text = std::fs::read(&first).unwrap();
    let second = text.iter().position(|byte| *byte == b'\n').unwrap() + 40;
    text[second] ^= 1;
    std::fs::write(first, text).unwrap();
}

#[test]
fn a_kill_at_any_point_of_the_acceptance_leaves_what_the_same_command_finishes() {
    for round in 0..2_u64 {
        let mut scene = Scene::new().changed();
        let mut kills = 0;
        let mut begun = false;
        loop {
            let mut child = scene.acceptance().spawn().unwrap();
            // Longer each time, so that it ends.
            pause(Duration::from_millis(7 * round + 17 * kills));
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success());
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            match scene.platform.installation.start() {
                // The kill came after the end.
                Ok(server) => {
                    assert!(begun, "a start before the acceptance");
                    assert!(server.stop().status.success());
                    break;
                }
                Err(ended) if ended.printed.contains("accept-rollback --yes") => begun = true,
                Err(ended) => {
                    assert!(!begun, "{}", ended.printed);
                    refused(&ended, &["the store lacks"]);
                }
            }
        }
        println!("round {round}: {kills} kills");
        assert!(kills > 2, "{kills}");
        scene.recovered();
        let answer = scene.platform.operate("GET", "/v1/apps/gone", None);
        assert_eq!(answer.status, 404, "{}", answer.text());
        let policy = own(&scene.platform, "GET", "/v1/apps/shop/policy", &Value::Null, 200).json();
        assert_eq!(policy["policy"]["rules"], json!([]));
        scene.is_intact();
    }
}
