//! A valid JWT that no rule accepts: it learns nothing and costs little.

use petsem_integration::dev::{Dev, flyv1};
use petsem_integration::server::Server;
use petsem_server::Development;
use serde_json::json;

/// Creates an app of this name without a policy.
fn without_policy(dev: &Dev, name: &str) {
    let body = json!({"org": Development::ORG, "name": name});
    let made = dev.operate("POST", "/v1/apps", Some(&body));
    assert_eq!(made.status, 201, "{}", made.text());
}

#[test]
fn a_jwt_without_a_rule_cannot_distinguish_a_missing_app_from_one_that_refuses_it() {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "1"}));
    without_policy(&dev, "bare");
    dev.set("bare", &json!({"A": "1"}));
    without_policy(&dev, "void");
    dev.app("idle", &json!({}));
    let stranger = dev.jwt(&json!({"sub": "stranger"}));
    // The last is not an app. The others: refused by a policy, no policy, neither, no secrets.
    let apps = ["shop", "bare", "void", "idle", "none"];
    for target in [
        "secrets",
        "secrets?show_secrets=true",
        "secrets?show_secrets=true&min_version=9",
        "secrets/A",
        "secrets/A?show_secrets=true",
        "secrets/A?show_secrets=true&version=9",
    ] {
        let get = |app: &str| dev.call("GET", &format!("/v1/apps/{app}/{target}"), &stranger, None);
        let absent = get("none");
        assert_eq!(absent.outcome(), (403, "policy_denied".to_owned()), "{target}");
        for app in apps {
            assert_eq!(get(app).seen(), absent.seen(), "{app}: {target}");
        }
    }
    // The same for boots: a valid JWT for a Machine of an app whose policy does not match it.
    let proof = dev
        .jwt(&json!({"sub": "stranger", "petsem_app": "x", "petsem_machine": "m-1", "petsem_host": "dev"}));
    let ask = |app: &str| dev.ask_discharge(&dev.host, &proof, app, "m-1");
    let absent = ask("none");
    assert_eq!(absent.outcome(), (403, "policy_denied".to_owned()));
    for app in apps {
        assert_eq!(ask(app).seen(), absent.seen(), "{app}: discharge");
    }
}

#[test]
fn a_token_for_another_app_of_the_org_learns_nothing_from_a_version() {
    let dev = Dev::start();
    let other = dev.app("other", &json!({}));
    dev.set("shop", &json!({"A": "1"}));
    let of_other = dev.mint(&json!({"kind": "org", "org": "demo", "apps": [other], "secrets": ["A"]}));
    for kind in ["secrets", "secretkeys"] {
        let list = |app: &str, query: &str| {
            dev.call("GET", &format!("/v1/apps/{app}/{kind}{query}"), &flyv1(&of_other), None)
        };
        let absent = list("nowhere", "");
        assert_eq!(absent.outcome(), (403, "forbidden".to_owned()), "{kind}");
        for query in ["", "?version=1", "?version=9999", "?min_version=9999"] {
            assert_eq!(list("shop", query).seen(), absent.seen(), "{kind}{query}");
        }
        // A client that may list learns that the version is not reached yet.
        if kind == "secrets" {
            let early = list("other", "?version=9999");
            assert_eq!(early.outcome(), (503, "version_not_reached".to_owned()));
        }
    }
}

#[test]
fn refusals_of_jwts_without_a_rule_are_summarized() {
    const EACH: usize = 50;
    const CALLERS: usize = 4;
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "1"}));
    let stranger = dev.jwt(&json!({"sub": "stranger"}));
    let target = "/v1/apps/shop/secrets?show_secrets=true";
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    let answer = dev.call("GET", target, &stranger, None);
                    assert_eq!(answer.outcome(), (403, "policy_denied".to_owned()));
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..EACH {
                assert_eq!(dev.call("GET", target, &dev.reader_jwt(), None).status, 200);
            }
        });
    });
    // Shutdown writes the remaining summaries.
    let dev = dev.restart(Server::stop).unwrap();
    let lines = dev.audit_lines();
    let of = |outcome: &str| {
        lines.iter().filter(|line| line["action"] == "secret.read" && line["outcome"] == outcome).count()
    };
    // An allowed read has its own line.
    assert_eq!((of("denied"), of("allowed")), (0, EACH));
    let summed: u64 = lines
        .iter()
        .filter(|line| line["action"] == "request.unverified" && line["source"] == "127.0.0.1")
        .filter(|line| line["detail"].as_str().unwrap().starts_with("policy_denied "))
        .map(|line| line["count"].as_u64().unwrap())
        .sum();
    assert_eq!(summed, (EACH * CALLERS) as u64);
}
