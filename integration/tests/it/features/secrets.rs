//! Secrets in the shapes of the Machines API, as existing clients use them.

use petsem_integration::dev::{Dev, flyv1};
use petsem_integration::http::{Answer, Request};
use serde_json::{Value, json};

const SHOP: &str = "/v1/apps/shop/secrets";

fn names(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let secrets = json["secrets"].as_array().unwrap();
    secrets.iter().map(|secret| secret["name"].as_str().unwrap().to_owned()).collect()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_secret_is_set_shown_and_listed_without_its_value() {
    let dev = Dev::start();
    let set = dev.operate("POST", &format!("{SHOP}/DB_URL"), Some(&json!({"value": "postgres://"})));
    assert_eq!(set.status, 201, "{}", set.text());
    assert_eq!(
        keys(&set.json()),
        ["author", "created_at", "digest", "name", "set_in_version", "updated_at", "version"]
    );
    assert_eq!(set.number("version"), 1);
    assert_eq!(set.field("author"), "developer (petsem-dev)");
    assert_eq!(set.header("cache-control"), Some("no-store"));

    let show = dev.operate("GET", &format!("{SHOP}/DB_URL"), None);
    assert_eq!(show.status, 200);
    assert_eq!((show.field("name"), show.field("digest")), ("DB_URL".to_owned(), set.field("digest")));
    assert_eq!(show.json().get("value"), None);

    let list = dev.operate("GET", SHOP, None);
    assert_eq!((list.status, list.number("version")), (200, 1));
    assert_eq!(list.json()["secrets"], json!([show.json()]));
}

#[test]
fn many_changes_are_one_version_and_null_deletes_even_a_missing_name() {
    let dev = Dev::start();
    let body = json!({"values": {"A": "1", "B": {"value_b64": "/wA="}, "C": "", "NEVER_THERE": null}});
    let bulk = dev.operate("POST", SHOP, Some(&body));
    assert_eq!((bulk.status, bulk.number("version")), (200, 1));
    assert_eq!(names(&bulk), ["A", "B", "C"]);

    let bulk = dev.operate("POST", SHOP, Some(&json!({"values": {"A": null, "D": "4"}})));
    assert_eq!((bulk.status, bulk.number("version")), (200, 2));
    assert_eq!(names(&dev.operate("GET", SHOP, None)), ["B", "C", "D"]);

    // Deleting nothing succeeds without a new version.
    let bulk = dev.operate("POST", SHOP, Some(&json!({"values": {"A": null}})));
    assert_eq!((bulk.status, bulk.number("version")), (200, 2));
    let gone = dev.operate("DELETE", &format!("{SHOP}/A"), None);
    assert_eq!((gone.status, gone.json()), (200, json!({"version": 2, "not_found": true})));
    let deleted = dev.operate("DELETE", &format!("{SHOP}/D"), None);
    assert_eq!((deleted.status, deleted.json()), (200, json!({"version": 3})));
    let show = dev.operate("GET", &format!("{SHOP}/D"), None);
    assert_eq!(show.outcome(), (404, "not_found".to_owned()));

    let read = dev.call("GET", &format!("{SHOP}?show_secrets=true"), &dev.reader_jwt(), None);
    let values: Vec<_> = read.json()["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| (secret["name"].clone(), secret["value"].clone(), secret["value_b64"].clone()))
        .collect();
    assert_eq!(values, [(json!("B"), Value::Null, json!("/wA=")), (json!("C"), json!(""), Value::Null)]);
}

#[test]
fn a_read_with_a_minimum_version_never_gets_an_older_one() {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "1"}));
    for parameter in ["version", "min_version"] {
        for target in [SHOP.to_owned(), format!("{SHOP}/A")] {
            let reached = dev.operate("GET", &format!("{target}?{parameter}=1"), None);
            assert_eq!(reached.status, 200, "{target} {parameter}");
            let later = dev.operate("GET", &format!("{target}?{parameter}=2"), None);
            assert_eq!(later.outcome(), (503, "version_not_reached".to_owned()), "{target} {parameter}");
            assert_eq!(later.header("retry-after"), Some("1"));
        }
    }
    let discharge = dev.discharge("shop", "m-1");
    let both = flyv1(&format!("{},{discharge}", dev.host));
    let boot = |version: u64| {
        let body = json!({"machine": "m-1", "min_version": version});
        dev.call("POST", "/v1/apps/shop/boot", &both, Some(&body))
    };
    assert_eq!(boot(1).status, 200);
    assert_eq!(boot(2).outcome(), (503, "version_not_reached".to_owned()));
}

#[test]
fn history_names_each_value_and_a_rollback_is_a_new_version() {
    let dev = Dev::start();
    let first = dev.operate("POST", &format!("{SHOP}/A"), Some(&json!({"value": "one"})));
    dev.operate("POST", &format!("{SHOP}/A"), Some(&json!({"value": "two"})));
    dev.operate("DELETE", &format!("{SHOP}/A"), None);
    let history = dev.operate("GET", &format!("{SHOP}/A/history"), None);
    assert_eq!(history.status, 200, "{}", history.text());
    let json = history.json();
    let entries = json["history"].as_array().unwrap();
    let versions: Vec<_> = entries.iter().map(|entry| entry["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [3, 2, 1]);
    assert_eq!(entries[0]["digest"], Value::Null);
    assert_eq!(entries[2]["digest"], json!(first.field("digest")));
    assert!(entries.iter().all(|entry| entry["author"] == "developer (petsem-dev)"), "{json}");

    let back = dev.operate("POST", &format!("{SHOP}/A/rollback"), Some(&json!({"to_version": 1})));
    assert_eq!((back.status, back.number("version")), (200, 4));
    assert_eq!(back.field("digest"), first.field("digest"));
    // A deletion has no value to roll back to.
    let to_nothing = dev.operate("POST", &format!("{SHOP}/A/rollback"), Some(&json!({"to_version": 3})));
    assert_eq!(to_nothing.outcome(), (404, "not_found".to_owned()));
    let never = dev.operate("POST", &format!("{SHOP}/A/rollback"), Some(&json!({"to_version": 9})));
    assert_eq!(never.outcome(), (404, "not_found".to_owned()));
    assert_eq!(dev.version("shop"), 4);
}

#[test]
fn the_history_keeps_as_many_values_as_the_app_configures() {
    let dev = Dev::start();
    dev.app("small", &json!({"history": 2}));
    for value in ["1", "2", "3"] {
        dev.set("small", &json!({ "A": value }));
    }
    let json = dev.operate("GET", "/v1/apps/small/secrets/A/history", None).json();
    let versions: Vec<_> =
        json["history"].as_array().unwrap().iter().map(|entry| entry["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [3, 2]);
    let rollback = json!({"to_version": 1});
    let dropped = dev.operate("POST", "/v1/apps/small/secrets/A/rollback", Some(&rollback));
    assert_eq!(dropped.outcome(), (404, "not_found".to_owned()));
}

#[test]
fn a_compare_and_swap_with_a_stale_version_changes_nothing() {
    let dev = Dev::start();
    let set = |value: &str, expected: u64| {
        let body = json!({"value": value, "expected_version": expected});
        dev.operate("POST", &format!("{SHOP}/A"), Some(&body))
    };
    assert_eq!(set("one", 0).status, 201);
    for (path, body) in [
        (format!("{SHOP}/A"), json!({"value": "x", "expected_version": 0})),
        (SHOP.to_owned(), json!({"values": {"A": "x"}, "expected_version": 2})),
        (format!("{SHOP}/A/rollback"), json!({"to_version": 1, "expected_version": 7})),
    ] {
        let stale = dev.operate("POST", &path, Some(&body));
        assert_eq!(stale.outcome(), (412, "stale_version".to_owned()), "{path}");
        assert!(stale.error().contains("the app is at version 1"), "{}", stale.error());
        assert_eq!(dev.version("shop"), 1);
    }
    assert_eq!(set("two", 1).number("version"), 2);
}

#[test]
fn of_writers_that_expect_the_same_version_one_wins() {
    let dev = Dev::start();
    let outcomes: Vec<u16> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let dev = &dev;
                scope.spawn(move || {
                    let body = json!({"value": writer.to_string(), "expected_version": 0});
                    dev.operate("POST", &format!("{SHOP}/A"), Some(&body)).status
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|status| **status == 201).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|status| **status == 412).count(), 7, "{outcomes:?}");
    assert_eq!(dev.version("shop"), 1);
}

#[test]
fn digests_are_equal_only_for_the_same_value_under_the_same_name_of_the_same_app() {
    let dev = Dev::start();
    dev.app("other", &json!({}));
    let digest = |app: &str, name: &str, value: &str| {
        let path = format!("/v1/apps/{app}/secrets/{name}");
        let set = dev.operate("POST", &path, Some(&json!({ "value": value })));
        assert_eq!(set.status, 201, "{}", set.text());
        let digest = set.field("digest");
        assert_eq!(digest.len(), 32, "{digest}");
        digest
    };
    let first = digest("shop", "A", "same");
    assert_eq!(digest("shop", "A", "same"), first);
    assert_ne!(digest("shop", "A", "another"), first);
    assert_ne!(digest("shop", "B", "same"), first);
    assert_ne!(digest("other", "A", "same"), first);
}

#[test]
fn the_scheme_bearer_several_tokens_and_foreign_tokens_are_accepted() {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "1"}));
    let discharge = dev.discharge("shop", "m-1");
    let list = |header: &str| dev.call("GET", SHOP, header, None).outcome();
    let ok = (200, String::new());
    let token = &dev.operator;
    for header in [
        format!("FlyV1 {token}"),
        format!("flyv1 {token}"),
        format!("Bearer {token}"),
        format!("Bearer FlyV1 {token}"),
        format!("FlyV1 fm2_bm90LWEtdG9rZW4=,{token}"),
        format!("FlyV1 fo1_a-foreign-oauth-token,{token}"),
        format!("FlyV1 {token}, {token}"),
        format!("FlyV1 {},{token},{discharge}", dev.host),
    ] {
        assert_eq!(list(&header), ok, "{}", header.replace(token, "TOKEN"));
    }
    // With two headers it is unclear which counts, so neither does.
    let twice = Request::new("GET", SHOP).authorization(&flyv1(token)).authorization(&flyv1(token));
    assert_eq!(twice.send(dev.server.address()).outcome(), (401, "token_missing".to_owned()));
}

#[test]
fn names_in_paths_may_be_percent_encoded_and_apps_named_by_id() {
    let dev = Dev::start();
    dev.set("shop", &json!({"A_B": "1"}));
    let id = dev.operate("GET", "/v1/apps/shop", None).field("id");
    let plain = dev.operate("GET", &format!("{SHOP}/A_B"), None);
    assert_eq!(plain.status, 200);
    for target in ["/v1/apps/%73hop/secrets/A%5fB".to_owned(), format!("/v1/apps/{id}/secrets/A_B")] {
        let encoded = dev.operate("GET", &target, None);
        assert_eq!((encoded.status, encoded.json()), (200, plain.json()), "{target}");
    }
    for target in ["/v1/apps/%ff%fe/secrets/A", "/v1/apps/shop%2Fsecrets", "/v1/apps/shop%00/secrets"] {
        let refused = dev.operate("GET", target, None);
        assert_eq!(refused.outcome(), (400, "bad_name".to_owned()), "{target}");
    }
}

#[test]
fn an_unknown_or_repeated_query_parameter_is_refused() {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "1"}));
    for query in ["show_secret=true", "min-version=1", "version=1&version=1", "version=x", "show_secrets=1"] {
        for target in [SHOP.to_owned(), format!("{SHOP}/A")] {
            let refused = dev.operate("GET", &format!("{target}?{query}"), None);
            assert_eq!(refused.outcome(), (400, "bad_request".to_owned()), "{target}?{query}");
            assert!(refused.error().contains("/openapi.json"), "{}", refused.error());
        }
    }
    let misspelled = dev.operate("GET", &format!("{SHOP}?show_secret=true"), None).error();
    let named = "unknown query parameter `show_secret`; known are names, version, min_version, show_secrets";
    assert!(misspelled.starts_with(named), "{misspelled}");
}

/// `DELETE …?dry-run=true` deleted.
#[test]
fn a_route_without_a_query_refuses_every_parameter_and_does_nothing() {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "1"}));
    let policy = json!({"policy": petsem_integration::dev::policy()});
    for (method, path, body) in [
        ("DELETE", "/v1/apps/shop".to_owned(), None),
        ("DELETE", format!("{SHOP}/A"), None),
        ("POST", SHOP.to_owned(), Some(json!({"values": {"A": null}}))),
        ("PUT", "/v1/apps/shop/policy".to_owned(), Some(policy)),
        ("POST", "/v1/tokens".to_owned(), Some(json!({"kind": "operator"}))),
        ("POST", "/v1/revocations".to_owned(), Some(json!({"host": {"host": "dev"}}))),
        ("GET", "/v1/orgs".to_owned(), None),
    ] {
        let refused = dev.operate(method, &format!("{path}?dry-run=true"), body.as_ref());
        assert_eq!(refused.outcome(), (400, "bad_request".to_owned()), "{method} {path}");
        let begin = "unknown query parameter `dry-run`; this route takes none; nothing was changed";
        assert!(refused.error().starts_with(begin), "{method} {path}: {}", refused.error());
    }
    assert_eq!(dev.operate("GET", &format!("{SHOP}/A"), None).status, 200);
    // An empty query is none: some clients send it.
    assert_eq!(dev.operate("DELETE", &format!("{SHOP}/A?"), None).status, 200);
}

#[test]
fn a_token_that_may_only_write_replaces_values_and_keys_and_creates_apps() {
    let dev = Dev::start();
    let owner = dev.mint_as_owner();
    let writer = json!({"kind": "org", "org": "demo", "actions": ["write"]});
    let writer = dev.mint(&writer);
    let call = |token: &str, method: &str, path: &str, body: Option<Value>| {
        dev.call(method, &format!("/v1/apps{path}"), &flyv1(token), body.as_ref())
    };
    let key = "/shop/secretkeys/k";
    for (path, body, status) in [
        ("/shop/secrets/A", json!({"value": "first"}), 201),
        ("/shop/secrets/A", json!({"value": "second"}), 201),
        ("/shop/secrets/A/rollback", json!({"to_version": 1}), 200),
        ("", json!({"org": "demo", "name": "theirs"}), 201),
        ("/shop/secretkeys/k/generate", json!({"type": "xaes256gcm"}), 201),
    ] {
        let answer = call(&writer, "POST", path, Some(body));
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    assert_eq!(
        dev.call("GET", "/v1/apps/shop/secrets/A?show_secrets=true", &dev.reader_jwt(), None).field("value"),
        "first"
    );

    // What the replaced key encrypted is lost.
    let sealed = call(&owner, "POST", &format!("{key}/encrypt"), Some(json!({"plaintext": "bQ=="})));
    let open = || {
        let body = json!({"ciphertext": sealed.field("ciphertext")});
        call(&owner, "POST", &format!("{key}/decrypt"), Some(body))
    };
    assert_eq!(open().field("plaintext"), "bQ==");
    let replaced = call(&writer, "POST", &format!("{key}/generate"), Some(json!({"type": "xaes256gcm"})));
    assert_eq!(replaced.status, 201, "{}", replaced.text());
    assert_eq!(open().outcome(), (400, "decryption_failed".to_owned()));

    for (method, path, body) in [
        ("GET", "/shop/secrets", None),
        ("GET", "/shop/secrets/A?show_secrets=true", None),
        ("POST", "/shop/secretkeys/k/sign", Some(json!({"plaintext": ""}))),
        ("PUT", "/shop/policy", Some(json!({"policy": {"format": 1, "rules": []}}))),
        ("DELETE", "/shop", None),
    ] {
        let answer = call(&writer, method, path, body);
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text());
    }
}
