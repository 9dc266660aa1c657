//! Keys are rotated while clients set and boot, and while the server is killed.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use petsem_api::AppId;
use petsem_integration::dev::flyv1;
use petsem_integration::http::Answer;
use petsem_integration::pause;
use petsem_integration::platform::Platform;
use petsem_integration::server::{Ended, run};
use petsem_keys::OpenError;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::opened::{Opened, kind};

const CANARY: &str = "canary-rotation-3f9a";

/// An installation with slow rotations.
struct Scene(Platform);

impl Deref for Scene {
    type Target = Platform;

    fn deref(&self) -> &Platform {
        &self.0
    }
}

impl DerefMut for Scene {
    fn deref_mut(&mut self) -> &mut Platform {
        &mut self.0
    }
}

impl Scene {
    fn new(rewraps_per_second: u32) -> Self {
        Self(Platform::with(&format!("[rotation]\nrewraps_per_second = {rewraps_per_second}\n")))
    }

    /// The values of an app, as a Machine receives them.
    fn values(&self, app: AppId) -> BTreeMap<String, String> {
        values(&self.boot(app, &self.discharge(app)))
    }

    fn rotate_app(&self, app: AppId, rewrite: bool) -> Value {
        let answer =
            self.operate("POST", &format!("/v1/apps/{app}/rotate"), Some(&json!({ "rewrite": rewrite })));
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()
    }

    /// Polls the rotations until they are as wanted; returns every state seen.
    fn look_until(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut seen = Vec::new();
        for _ in 0..3000 {
            seen.push(self.rotations());
            if wanted(seen.last().unwrap()) {
                return seen;
            }
            pause(Duration::from_millis(20));
        }
        panic!("the rotations did not become as wanted: {}", seen.last().unwrap());
    }

    fn opened(&self) -> Opened {
        Opened::of(&self.database(), &self.installation.path("seal.key"))
    }
}

#[test]
fn the_keyring_is_rotated_while_clients_set_and_boot() {
    let scene = Scene::new(100);
    let apps: Vec<AppId> = (0..60).map(|number| scene.app(&format!("app-{number}"))).collect();
    for (number, app) in apps.iter().enumerate() {
        scene.set(&app.to_string(), &json!({"A": format!("{CANARY} {number}"), "B": "b"}));
    }
    let kept_kek = scene.opened().keks(apps[3]).remove(0).1;
    scene.opened().open_kek(apps[3], 1, &kept_kek).unwrap();
    let renewals: Vec<String> =
        apps[..2].iter().map(|app| scene.boot(*app, &scene.discharge(*app)).field("renewal")).collect();

    let (over, sets, boots) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let seen = std::thread::scope(|scope| {
        for app in [apps[0], apps[59]] {
            let (scene, over, sets) = (&scene, &over, &sets);
            scope.spawn(move || {
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    scene.set(&app.to_string(), &json!({"B": number.to_string()}));
                    sets.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for (app, renewal) in apps.iter().zip(&renewals) {
            let (scene, over, boots) = (&scene, &over, &boots);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let answer = scene.boot(*app, renewal);
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    let history = format!("/v1/apps/{app}/secrets/B/history");
                    let history = scene.operate("GET", &history, None);
                    assert_eq!(history.status, 200, "{}", history.text());
                    boots.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // New rows are wrapped by the keyring version that is then current.
        let made = scope.spawn(|| {
            let mut made = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let name = format!("new-{}", made.len());
                let body = json!({"org": "demo", "name": name});
                let answer = scene.operate("POST", "/v1/apps", Some(&body));
                // It must retry if it coincides with the start of the rotation.
                assert!([201, 503].contains(&answer.status), "{}", answer.text());
                made.extend((answer.status == 201).then(|| answer.field("id")));
            }
            made
        });
        pause(Duration::from_millis(200));
        let begun = scene.rotate_keyring();
        assert_eq!(versions(&begun), [1, 2]);
        assert_eq!(begun["keyring"]["current"], 2);
        let again = scene.operate("POST", "/v1/keyring/rotate", Some(&json!({})));
        assert_eq!(again.outcome(), (409, "conflict".to_owned()));
        let seen = scene.look_until(|list| versions(list) == [2]);
        over.store(true, Ordering::Relaxed);
        assert!(!made.join().unwrap().is_empty());
        seen
    });
    // Progress is visible while it runs.
    let progress: Vec<(u64, u64)> = seen
        .iter()
        .filter_map(|list| list["keyring"].get("rotation"))
        .map(|rotation| (rotation["done"].as_u64().unwrap(), rotation["total"].as_u64().unwrap()))
        .collect();
    assert!(progress.iter().any(|(done, total)| *done > 0 && done < total), "{progress:?}");
    assert!(scene.metric("petsem_rewraps_total") >= 60);
    assert_eq!(scene.metric("petsem_keyring_version"), 2);
    assert_eq!(scene.metric("petsem_keyring_versions"), 1);
    let (sets, boots) = (sets.into_inner(), boots.into_inner());
    println!("{sets} sets, {boots} boots, {} looks", seen.len());
    assert!(sets > 0 && boots > 0);

    // Everything opens, and only with the new version.
    for (number, app) in apps.iter().enumerate() {
        assert_eq!(scene.values(*app)["A"], format!("{CANARY} {number}"));
    }
    let opened = scene.opened();
    assert_eq!(opened.versions_in_use(), [2]);
    assert_eq!(opened.rows(kind::KEYRING_KEY).len(), 1);
    assert_eq!(opened.rows(kind::KEYRING_KEY)[0].0, 2_u32.to_be_bytes());
    // A copy of an old wrap does not open with the current keys, whatever version its header has.
    let opens = |wrapped: &[u8]| opened.open_kek(apps[3], 1, wrapped).map(|_| ()).unwrap_err();
    assert_eq!(opens(&kept_kek), OpenError::UnknownKeyVersion { version: 1 });
    let mut relabelled = kept_kek.clone();
    relabelled[1..5].copy_from_slice(&2_u32.to_be_bytes());
    assert_eq!(opens(&relabelled), OpenError::NotAuthentic);
    drop(opened);
    assert_eq!(
        scene.audit_lines("keyring.rotate").iter().filter(|line| line["outcome"] == "allowed").count(),
        1
    );
    assert_eq!(scene.audit_lines("keyring.destroy").len(), 1);
    assert_eq!(scene.audit_lines("keyring.destroy")[0]["detail"], "keyring version 1");

    // The same after a restart, and then a second rotation.
    let mut scene = scene;
    assert!(scene.stop().status.success());
    scene.start();
    scene.rotate_keyring();
    scene.look_until(|list| versions(list) == [3]);
    assert_eq!(scene.values(apps[7])["A"], format!("{CANARY} 7"));
    assert_eq!(scene.opened().versions_in_use(), [3]);
}

#[test]
fn a_killed_rotation_of_the_keyring_continues_at_the_next_start() {
    let mut scene = Scene::new(15);
    let apps: Vec<AppId> = (0..80).map(|number| scene.app(&format!("app-{number}"))).collect();
    for app in &apps {
        scene.set(&app.to_string(), &json!({ "A": CANARY }));
    }
    scene.rotate_keyring();
    for kill in 1..=3 {
        let before = heads_under(&scene, 2);
        scene.look_until(|list| list["keyring"]["rotation"]["rewrapped"].as_u64().unwrap() > 10);
        scene.kill();
        let after = heads_under(&scene, 2);
        assert!(after > before && after < apps.len(), "kill {kill}: {before}, then {after}");
        assert_eq!(scene.opened().versions_in_use(), [1, 2], "kill {kill}");
        scene.start();
        assert_eq!(versions(&scene.rotations()), [1, 2]);
        assert_eq!(scene.values(apps[0])["A"], CANARY);
        assert_eq!(scene.values(apps[79])["A"], CANARY);
    }
    scene.look_until(|list| versions(list) == [2]);
    assert_eq!(scene.opened().versions_in_use(), [2]);
    for app in &apps {
        assert_eq!(scene.values(*app)["A"], CANARY);
    }
    assert!(scene.stop().status.success());
}

#[test]
fn an_apps_kek_is_rotated_while_clients_write_and_its_history_and_keys_are_preserved() {
    for rewrite in [false, true] {
        let mut scene = Scene::new(12);
        let app = scene.app("shop");
        for number in 1..=30 {
            scene.set("shop", &json!({"A": format!("a{number}"), "B": format!("b{number}")}));
        }
        scene.set("shop", &json!({"B": null}));
        let set_d = |scene: &Scene| {
            let set = scene.operate("POST", "/v1/apps/shop/secrets/D", Some(&json!({"value": "d"})));
            assert!(set.status < 300, "{}", set.text());
            set.field("digest")
        };
        let digest = set_d(&scene);
        let generate = json!({"type": "hs256"});
        let key = "/v1/apps/shop/secretkeys/k";
        assert_eq!(scene.operate("POST", &format!("{key}/generate"), Some(&generate)).status, 201);
        let sign = |scene: &Scene| {
            let body = json!({"plaintext": "bQ=="});
            let answer = scene.call("POST", &format!("{key}/sign"), &flyv1(&scene.owner), Some(&body));
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.text()
        };
        let signed = sign(&scene);
        let history = |scene: &Scene, name: &str| {
            let answer = scene.operate("GET", &format!("/v1/apps/shop/secrets/{name}/history"), None);
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.json()
        };
        let before = (history(&scene, "A"), history(&scene, "B"), scene.values(app));
        let kept = scene.opened().deks(app);
        let kek = scene.opened().keks(app).remove(0).1;
        assert_eq!(scene.opened().deks(app).len(), 63);

        let begun = scene.rotate_app(app, rewrite);
        assert_eq!((&begun["kek_versions"], &begun["rewrite"]), (&json!([1, 2]), &json!(rewrite)));
        // Boots and keys use the new KEK immediately; the app's version does not change.
        assert_eq!((history(&scene, "A"), history(&scene, "B"), scene.values(app)), before);
        assert_eq!(sign(&scene), signed);
        let again = scene.operate("POST", "/v1/apps/shop/rotate", Some(&json!({})));
        assert_eq!(again.outcome(), (409, "conflict".to_owned()));
        // Killed twice while it runs, with sets in between.
        for kill in 0..2 {
            scene.look_until(|list| list["apps"][0]["progress"]["rewrapped"].as_u64().unwrap() > 3);
            scene.kill();
            let versions: Vec<u32> =
                scene.opened().deks(app).into_iter().map(|(version, _)| version).collect();
            assert!(versions.contains(&1) && versions.contains(&2), "{versions:?}");
            scene.start();
            scene.set("shop", &json!({"C": format!("c{kill}")}));
            assert_eq!(history(&scene, "A"), before.0);
        }
        // Sets while it runs.
        let mut last = 0;
        while scene.rotations()["apps"] != json!([]) {
            last = scene.set("shop", &json!({"C": "during"}));
        }
        assert!(last > 0);
        assert_eq!((history(&scene, "A"), history(&scene, "B")), (before.0.clone(), before.1.clone()));
        assert_eq!(sign(&scene), signed);
        assert_eq!(scene.values(app)["A"], "a30");

        let opened = scene.opened();
        assert_eq!(opened.keks(app).iter().map(|(version, _)| *version).collect::<Vec<_>>(), [2]);
        assert_eq!(opened.rows(kind::APP_ROTATION), []);
        let now = opened.deks(app);
        assert!(now.iter().all(|(version, _)| *version == 2), "{now:?}");
        let same = kept.iter().filter(|(_, old)| now.iter().any(|(_, new)| new == old)).count();
        // The sets wrote a new bundle.
        assert_eq!(same, if rewrite { 0 } else { kept.len() - 1 });
        // A copy of the old KEK opens until the keyring is rotated, but no row is under it.
        assert_eq!(opened.open_kek(app, 1, &kek).unwrap().version(), 1);
        drop(opened);
        // The store shows the change before its line is written.
        let line = scene.audit_line("app.kek_destroy");
        assert_eq!(line["detail"], "only KEK version 2 is left");
        // The digest key is the old one.
        assert_eq!((digest.len(), set_d(&scene)), (32, digest));
        // An old kept value is restored by a rollback.
        let rollback = json!({"to_version": 7});
        let answer = scene.operate("POST", "/v1/apps/shop/secrets/A/rollback", Some(&rollback));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(scene.values(app)["A"], "a7");
        // A keyring rotation re-wraps this app like any other.
        scene.rotate_keyring();
        scene.look_until(|list| versions(list) == [2]);
        assert_eq!(scene.values(app)["A"], "a7");
        let ended = scene.opened().open_kek(app, 1, &kek).map(|_| ()).unwrap_err();
        assert_eq!(ended, OpenError::UnknownKeyVersion { version: 1 });
    }
}

#[test]
fn a_restored_destroyed_version_of_the_keyring_is_detected_at_the_next_start() {
    let mut scene = Scene::new(1000);
    let app = scene.app("shop");
    scene.set("shop", &json!({ "A": CANARY }));
    let database = Connection::open(scene.database()).unwrap();
    let select = "SELECT kind, id, row_version, content, mac FROM records WHERE kind = 3";
    let row = |row: &rusqlite::Row<'_>| {
        Ok((
            row.get::<_, u8>(0)?,
            row.get::<_, Vec<u8>>(1)?,
            row.get::<_, i64>(2)?,
            row.get::<_, Vec<u8>>(3)?,
            row.get::<_, Vec<u8>>(4)?,
        ))
    };
    let saved = database.query_row(select, [], row).unwrap();
    scene.rotate_keyring();
    scene.look_until(|list| versions(list) == [2]);
    assert!(scene.stop().status.success());
    let insert = "INSERT INTO records (kind, id, row_version, content, mac) VALUES (?1, ?2, ?3, ?4, ?5)";
    database.execute(insert, rusqlite::params![saved.0, saved.1, saved.2, saved.3, saved.4]).unwrap();
    let verified = run(scene.installation.with_configuration(&["operator", "verify"]));
    assert!(!verified.status.success());
    let problem = "version 1 of the keyring was destroyed, but its row exists again";
    assert!(verified.printed.contains(problem), "{}", verified.printed);
    let refused = scene.installation.start().unwrap_err();
    assert!(refused.printed.contains("it was destroyed, but its row exists again"), "{}", refused.printed);
    database.execute("DELETE FROM records WHERE kind = 3 AND id = ?1", [saved.1]).unwrap();
    scene.start();
    assert_eq!(scene.values(app)["A"], CANARY);
}

#[test]
fn rows_of_an_app_from_before_a_rotation_of_its_kek_are_refused_by_a_server_that_did_not_see_it() {
    let mut scene = Scene::new(1000);
    let app = scene.app("shop");
    scene.set("shop", &json!({ "A": CANARY }));
    let renewal = scene.boot(app, &scene.discharge(app)).field("renewal");
    let old = scene.installation.path("old.db");
    let database = Connection::open(scene.database()).unwrap();
    database.execute("VACUUM INTO ?1", [old.to_str().unwrap()]).unwrap();
    scene.rotate_app(app, false);
    scene.look_until(|list| list["apps"] == json!([]));
    assert_eq!(scene.boot(app, &renewal).status, 200);
    assert!(scene.stop().status.success());
    database.execute("ATTACH ?1 AS old", [old.to_str().unwrap()]).unwrap();
    for (table, rows) in [("records", "WHERE kind = 6"), ("bundles", ""), ("secret_values", "")] {
        let put_back = format!("INSERT OR REPLACE INTO {table} SELECT * FROM old.{table} {rows}");
        assert_eq!(database.execute(&put_back, []).unwrap(), 1, "{table}");
    }
    scene.start();
    let boot = scene.boot(app, &renewal);
    assert_eq!(boot.outcome(), (500, "integrity".to_owned()), "{}", boot.text());
}

/// So who read the root key from the memory of a server can open later versions, until the root key is replaced.
#[test]
fn a_rotation_of_the_keyring_keeps_the_root_key_until_that_is_rotated_too() {
    let mut scene = Scene::new(1000);
    let keys = |scene: &Scene| {
        let keys = scene.installation.keys();
        ["root key", "keyring key"].map(|name| keys.named(name).to_owned())
    };
    let rotate_keyring = |scene: &Scene, version: u64| {
        scene.rotate_keyring();
        scene.look_until(|list| versions(list) == [version]);
    };
    let [root, first] = keys(&scene);
    rotate_keyring(&scene, 2);
    let [same_root, second] = keys(&scene);
    assert!(same_root == root && second != first);
    assert!(scene.stop().status.success());
    let rotated = run(scene.installation.with_configuration(&["operator", "rotate-root"]));
    assert!(rotated.status.success(), "{}", rotated.printed);
    scene.start();
    rotate_keyring(&scene, 3);
    let [new_root, third] = keys(&scene);
    assert!(new_root != root && third != second);
}

#[test]
fn a_row_that_does_not_open_keeps_the_old_keyring_version_and_is_reported() {
    let mut scene = Scene::new(1000);
    let apps = [scene.app("good"), scene.app("bad")];
    for app in apps {
        scene.set(&app.to_string(), &json!({ "A": CANARY }));
    }
    let database = Connection::open(scene.database()).unwrap();
    database.busy_timeout(Duration::from_secs(10)).unwrap();
    let mac = |mac: &[u8]| {
        database
            .execute(
                "UPDATE records SET mac = ?1 WHERE kind = 6 AND id = ?2",
                rusqlite::params![mac, apps[1].as_bytes()],
            )
            .unwrap();
    };
    let right: Vec<u8> = database
        .query_row("SELECT mac FROM records WHERE kind = 6 AND id = ?1", [apps[1].as_bytes()], |row| {
            row.get(0)
        })
        .unwrap();
    mac(&[0; 32]);
    scene.rotate_keyring();
    let seen = scene.look_until(|list| list["keyring"]["rotation"]["faults"] == 1);
    let rotation = &seen.last().unwrap()["keyring"]["rotation"];
    let problem = rotation["problems"][0].as_str().unwrap();
    let id = data_encoding::HEXLOWER.encode(apps[1].as_bytes());
    assert!(
        problem.starts_with(&format!("the app head row {id} does not hold what was written to it")),
        "{problem}"
    );
    let waits = command(&scene, &["operator", "rotations"]);
    assert!(waits.printed.contains("keyring\t1, 2\t"), "{}", waits.printed);
    assert_eq!(scene.values(apps[0])["A"], CANARY);
    assert_eq!(scene.metric("petsem_keyring_rotation_faults"), 1);
    assert_eq!(versions(&scene.rotations()), [1, 2]);
    // Repaired: the next start finishes the rotation.
    mac(&right);
    assert!(scene.stop().status.success());
    scene.start();
    scene.look_until(|list| versions(list) == [2]);
    assert_eq!(scene.values(apps[1])["A"], CANARY);
}

/// A bundle's version does not change with a rotation, so only the id of its DEK tells the old one from the new one.
#[test]
fn a_bundle_from_before_a_rewrite_put_back_during_it_is_detected() {
    let scene = Scene::new(1);
    let app = scene.app("shop");
    for number in 0..20 {
        scene.set("shop", &json!({"A": number.to_string()}));
    }
    let database = Connection::open(scene.database()).unwrap();
    database.busy_timeout(Duration::from_secs(10)).unwrap();
    let bundle = || -> (i64, Vec<u8>, Vec<u8>) {
        let select = "SELECT app_version, wrapped_dek, ciphertext FROM bundles";
        database.query_row(select, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
    };
    let put = |(version, dek, ciphertext): &(i64, Vec<u8>, Vec<u8>)| {
        let put = "UPDATE bundles SET app_version = ?1, wrapped_dek = ?2, ciphertext = ?3";
        assert_eq!(database.execute(put, rusqlite::params![version, dek, ciphertext]).unwrap(), 1);
    };
    let old = bundle();
    scene.rotate_app(app, true);
    let new = bundle();
    assert_eq!(old.0, new.0);
    put(&old);
    let answer = scene.boot(app, &scene.discharge(app));
    assert_eq!(answer.outcome(), (500, "integrity".to_owned()), "{}", answer.text());
    assert_eq!(scene.opened().keks(app).len(), 2, "the old KEK still exists");
    put(&new);
    assert_eq!(scene.values(app)["A"], "19");
}

#[test]
fn deleting_an_app_ends_its_rotation() {
    let scene = Scene::new(1);
    let app = scene.app("shop");
    for number in 0..20 {
        scene.set("shop", &json!({"A": number.to_string()}));
    }
    scene.rotate_app(app, false);
    assert_eq!(scene.rotations()["apps"][0]["app"], json!(app));
    assert_eq!(scene.operate("DELETE", "/v1/apps/shop", None).status, 200);
    assert_eq!(scene.rotations()["apps"], json!([]));
    assert_eq!(scene.opened().rows(kind::APP_ROTATION), []);
}

#[test]
fn only_operators_rotate_and_the_command_line_waits_until_it_has_ended() {
    let scene = Scene::new(1000);
    let app = scene.app("shop");
    scene.set("shop", &json!({ "A": CANARY }));
    let owner = flyv1(&scene.owner);
    for (method, target) in
        [("GET", "/v1/rotations"), ("POST", "/v1/keyring/rotate"), ("POST", "/v1/apps/shop/rotate")]
    {
        let body = (method == "POST").then(|| json!({}));
        let answer = scene.call(method, target, &owner, body.as_ref());
        assert_eq!(answer.outcome(), (403, "forbidden".to_owned()), "{target}");
    }
    let nowhere = scene.operate("POST", "/v1/apps/nowhere/rotate", Some(&json!({})));
    assert_eq!(nowhere.outcome(), (404, "not_found".to_owned()));
    assert_eq!(versions(&scene.rotations()), [1]);

    let rotated = command(&scene, &["operator", "rotate-keyring"]);
    assert!(rotated.status.success(), "{}", rotated.printed);
    assert_eq!(
        rotated.printed,
        "all keys are wrapped by version 2 of the keyring; no older version remains\n"
    );
    let json = command(&scene, &["operator", "rotate-keyring", "--json"]);
    let json: Value = serde_json::from_str(&json.printed).unwrap();
    assert_eq!((&json["keyring"]["current"], versions(&json)), (&json!(3), vec![3]));
    let rotated = command(&scene, &["operator", "rotate-app", "shop", "--rewrite"]);
    assert_eq!(rotated.printed, "all keys of shop are wrapped by its new KEK; the old one is destroyed\n");
    let begun = command(&scene, &["operator", "rotate-app", "shop", "--no-wait", "--json"]);
    let begun: Value = serde_json::from_str(&begun.printed).unwrap();
    assert_eq!((&begun["app"], &begun["kek_versions"]), (&json!(app), &json!([2, 3])));
    scene.look_until(|list| list["apps"] == json!([]));
    let none = command(&scene, &["operator", "rotations"]);
    assert_eq!(none.printed, "keyring\t3\t-\t-\n");
    assert_eq!(scene.values(app)["A"], CANARY);
}

fn command(scene: &Scene, arguments: &[&str]) -> Ended {
    scene.installation.operate(scene.address(), arguments)
}

fn versions(list: &Value) -> Vec<u64> {
    let versions = list["keyring"]["versions"].as_array().unwrap();
    versions.iter().map(|version| version["version"].as_u64().unwrap()).collect()
}

/// App heads whose KEKs are under this version of the keyring.
fn heads_under(scene: &Scene, version: u32) -> usize {
    let wraps = scene.opened().rows(kind::APP_HEAD);
    let wraps = wraps.iter().map(|(_, head)| crate::opened::bytes(&head["keks"][0]["wrapped"]));
    wraps.filter(|wrapped| petsem_keys::Keyring::version_of(wrapped).unwrap() == version).count()
}

fn values(answer: &Answer) -> BTreeMap<String, String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    let secrets = json["secrets"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    secrets.map(|secret| (text(&secret["name"]), text(&secret["value"]))).collect()
}
