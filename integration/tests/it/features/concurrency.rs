//! Concurrent changes are never reported as integrity faults.

use petsem_integration::dev::{Dev, flyv1, policy};
use petsem_integration::http::Answer;
use serde_json::json;

const APPS: [&str; 3] = ["busy-a", "busy-b", "busy-c"];
const ROUNDS: usize = 40;

/// Asserts that an answer is a success, or a conflict with a faster client.
fn fine(what: &str, answer: &Answer) {
    let (status, code) = answer.outcome();
    let fine = (200..300).contains(&status) || ["conflict", "busy", "stale_version"].contains(&code.as_str());
    assert!(fine, "{what}: {status} {}", answer.text());
}

#[test]
fn concurrent_readers_writers_and_policy_changes_of_an_app_never_get_integrity() {
    let dev = Dev::start();
    for app in APPS {
        dev.app(app, &json!({}));
        dev.set(app, &json!({"A": "0"}));
    }
    let renewals: Vec<_> =
        APPS.iter().map(|app| dev.boot(app, "m-1", &dev.discharge(app, "m-1")).field("renewal")).collect();
    let reader = dev.reader_jwt();
    std::thread::scope(|scope| {
        for (app, renewal) in APPS.into_iter().zip(&renewals) {
            let (dev, reader) = (&dev, &reader);
            for writer in 0..2 {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let body = json!({"values": {"A": format!("{writer}-{round}"), "B": null}});
                        fine("set", &dev.operate("POST", &format!("/v1/apps/{app}/secrets"), Some(&body)));
                    }
                });
            }
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    let body = json!({ "policy": policy() });
                    fine("policy", &dev.operate("PUT", &format!("/v1/apps/{app}/policy"), Some(&body)));
                }
            });
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    fine("boot", &dev.boot(app, "m-1", renewal));
                    fine("history", &dev.operate("GET", &format!("/v1/apps/{app}/secrets/A/history"), None));
                }
            });
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    let target = format!("/v1/apps/{app}/secrets?show_secrets=true");
                    fine("read", &dev.call("GET", &target, reader, None));
                    fine("policy shown", &dev.operate("GET", &format!("/v1/apps/{app}/policy"), None));
                }
            });
        }
    });
    for app in APPS {
        assert_eq!(dev.version(app), 1 + 2 * ROUNDS as u64);
        let shown = dev.operate("GET", &format!("/v1/apps/{app}/policy"), None);
        assert_eq!(shown.number("version"), 1 + ROUNDS as u64);
    }
    let ready = dev.operate("GET", "/readyz", None);
    assert_eq!(ready.status, 200, "{}", ready.text());
}

#[test]
fn readers_of_apps_and_orgs_deleted_meanwhile_get_not_found_and_never_integrity() {
    let dev = Dev::start();
    let reader = dev.reader_jwt();
    let owner = flyv1(&dev.owner());
    for round in 0..12 {
        let org = format!("brief-{round}");
        assert_eq!(dev.operate("POST", "/v1/orgs", Some(&json!({ "name": org }))).status, 201);
        let app = format!("fleeting-{round}");
        dev.app(&app, &json!({}));
        dev.set(&app, &json!({"A": "1"}));
        let renewal = dev.boot(&app, "m-1", &dev.discharge(&app, "m-1")).field("renewal");
        std::thread::scope(|scope| {
            let (dev, app, org, reader, owner, renewal) = (&dev, &app, &org, &reader, &owner, &renewal);
            let until_gone = move |ask: &dyn Fn() -> Answer| {
                loop {
                    let answer = ask();
                    assert_ne!(answer.outcome().1, "integrity", "{}", answer.text());
                    if answer.status != 200 {
                        break;
                    }
                }
            };
            scope.spawn(move || until_gone(&|| dev.boot(app, "m-1", renewal)));
            scope.spawn(move || {
                let target = format!("/v1/apps/{app}/secrets?show_secrets=true");
                until_gone(&|| dev.call("GET", &target, reader, None));
            });
            scope.spawn(move || until_gone(&|| dev.call("GET", &format!("/v1/apps/{app}"), owner, None)));
            scope.spawn(move || until_gone(&|| dev.operate("GET", &format!("/v1/orgs/{org}"), None)));
            scope.spawn(move || {
                for _ in 0..10 {
                    let apps = dev.operate("GET", "/v1/apps?org=demo", None);
                    let orgs = dev.operate("GET", "/v1/orgs", None);
                    assert_eq!((apps.status, orgs.status), (200, 200), "{} {}", apps.text(), orgs.text());
                }
            });
            scope.spawn(move || {
                assert_eq!(dev.operate("DELETE", &format!("/v1/apps/{app}"), None).status, 200);
                assert_eq!(dev.operate("DELETE", &format!("/v1/orgs/{org}"), None).status, 200);
            });
        });
    }
    assert_eq!(dev.operate("GET", "/readyz", None).status, 200);
}

#[test]
fn concurrently_created_apps_of_one_org_are_all_created() {
    let dev = Dev::start();
    std::thread::scope(|scope| {
        for maker in 0..16 {
            let dev = &dev;
            scope.spawn(move || {
                for app in 0..4 {
                    let wanted = json!({"org": "demo", "name": format!("made-{maker}-{app}")});
                    let made = dev.operate("POST", "/v1/apps", Some(&wanted));
                    assert_eq!(made.status, 201, "{}", made.text());
                }
            });
        }
    });
    let listed = dev.operate("GET", "/v1/apps?org=demo", None);
    let apps = listed.json()["apps"].as_array().unwrap().len();
    // The existing `shop` included.
    assert_eq!(apps, 16 * 4 + 1, "{}", listed.text());
}
