//! Invalid requests: each has its status, its code and a helpful text, and changes nothing.

use std::io::{Read, Write};

use petsem_integration::dev::{Dev, appended, flyv1, now};
use petsem_integration::http::{Answer, Request, connect, exchange};
use petsem_policy::{
    Action, ActionSet, Actions, Apps, Caveat, CaveatSet, Hosts, Macaroon, MacaroonKey, Machines, Networks,
    SecretNames, SharedKey, Ticket, UnverifiedToken,
};
use serde_json::json;

const SHOP: &str = "/v1/apps/shop/secrets";

/// An installation whose app `shop` is at version 1.
fn shop() -> Dev {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "1"}));
    dev
}

/// Asserts status, code, a part of the text, a log entry, and that nothing changed.
fn refused(dev: &Dev, what: &str, answer: &Answer, status: u16, code: &str, text: &str) {
    assert_eq!(answer.outcome(), (status, code.to_owned()), "{what}: {}", answer.text());
    assert!(answer.error().contains(text), "{what}: {:?} does not say {text:?}", answer.error());
    let id = answer.field("request_id");
    assert_eq!(answer.header("petsem-request-id"), Some(id.as_str()), "{what}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
    assert_eq!(dev.version("shop"), 1, "{what}");
}

/// Only a command on the node creates the token of an owner.
#[test]
fn no_route_mints_the_token_of_an_owner() {
    let dev = shop();
    let wanted = json!({"kind": "owner", "org": "demo"});
    let answer = dev.operate("POST", "/v1/tokens", Some(&wanted));
    refused(&dev, "an owner", &answer, 400, "bad_request", "(field kind)");
    // The document of the API has no other kind.
    let document = dev.call("GET", "/openapi.json", "", None).json();
    let kinds = &document["components"]["schemas"]["CreateToken"];
    assert!(kinds.is_object() && !kinds.to_string().contains("\"owner\""), "{kinds}");
    // Control: with a kind that exists, the operator mints.
    assert_eq!(dev.operate("POST", "/v1/tokens", Some(&json!({"kind": "org", "org": "demo"}))).status, 201);
}

#[test]
fn invalid_bodies_and_names_are_refused_with_what_to_do() {
    let dev = shop();
    let set = |name: &str, body: &str| {
        Request::new("POST", &format!("{SHOP}/{name}"))
            .authorization(&flyv1(&dev.operator))
            .body("application/json", body)
            .send(dev.server.address())
    };
    let bulk = |body: &str| {
        Request::new("POST", SHOP)
            .authorization(&flyv1(&dev.operator))
            .body("application/json", body)
            .send(dev.server.address())
    };
    let refused = |what: &str, answer: &Answer, status: u16, code: &str, text: &str| {
        refused(&dev, what, answer, status, code, text)
    };

    for name in ["1A", "A-B", "A.B", "%20", "A%20", "%C3%84", &"A".repeat(256)] {
        refused(name, &set(name, r#"{"value":"x"}"#), 400, "bad_name", "1 to 255");
        refused(name, &dev.operate("DELETE", &format!("{SHOP}/{name}"), None), 400, "bad_name", "1 to 255");
    }
    refused("a name in a bulk", &bulk(r#"{"values":{"B":"x","A-B":"y"}}"#), 400, "bad_name", "1 to 255");
    refused(
        "a name that is no text",
        &dev.operate("GET", &format!("{SHOP}/%FF"), None),
        400,
        "bad_name",
        "not UTF-8",
    );
    refused("an app's name", &dev.operate("GET", "/v1/apps/Shop!/secrets", None), 400, "bad_name", "app");

    let long = "x".repeat(64 * 1024 + 1);
    let over = json!({ "value": long }).to_string();
    refused("a value over 64 KiB", &set("B", &over), 413, "value_too_large", "64 KiB");
    let one_of_two = json!({"values": {"B": "small", "C": long}}).to_string();
    refused("a bulk with a value over 64 KiB", &bulk(&one_of_two), 413, "value_too_large", "split it");
    let names: serde_json::Map<_, _> =
        (0..17).map(|number| (format!("B{number}"), json!("x".repeat(64 * 1024)))).collect();
    let over = json!({ "values": names }).to_string();
    refused("a bundle over 1 MiB", &bulk(&over), 413, "bundle_too_large", "delete some");
    let many: serde_json::Map<_, _> = (0..4097).map(|number| (format!("B{number}"), json!(""))).collect();
    refused(
        "more names than a bundle has",
        &bulk(&json!({ "values": many }).to_string()),
        400,
        "bad_request",
        "4096",
    );

    for (what, body, status, code, text) in [
        ("nothing", "", 400, "bad_request", "well-formed JSON"),
        ("half a body", r#"{"value":"x"#, 400, "bad_request", "well-formed JSON"),
        ("two bodies", r#"{"value":"x"}{"value":"y"}"#, 400, "bad_request", "well-formed JSON"),
        ("a list", r#"["x"]"#, 400, "bad_", "nothing was changed"),
        ("a number", r#"{"value":5}"#, 400, "bad_request", "/openapi.json"),
        ("an unknown field", r#"{"value":"x","ttl":"1h"}"#, 400, "bad_request", "/openapi.json"),
        ("value and value_b64", r#"{"value":"x","value_b64":"eA=="}"#, 400, "bad_value", "give one of them"),
        ("neither", "{}", 400, "bad_value", "value_b64"),
        ("base64 without padding", r#"{"value_b64":"eA"}"#, 400, "bad_value", "with padding"),
        ("base64 for URLs", r#"{"value_b64":"_-8="}"#, 400, "bad_value", "standard alphabet"),
        ("bytes that are no UTF-8", "{\"value\":\"\\ud800\"}", 400, "bad_request", "well-formed JSON"),
        (
            "a version below zero",
            r#"{"value":"x","expected_version":-1}"#,
            400,
            "bad_request",
            "/openapi.json",
        ),
    ] {
        let answer = set("A", body);
        let code = if code == "bad_" { answer.outcome().1 } else { code.to_owned() };
        refused(what, &answer, status, &code, text);
    }
    refused("a name twice", &bulk(r#"{"values":{"B":"x","B":"y"}}"#), 400, "bad_request", "twice");
    let both = set("A", r#"{"value":"x","value_b64":"eA=="}"#);
    assert!(!both.error().contains("line 0"), "{}", both.error());
    refused("no values", &bulk("{}"), 400, "bad_request", "missing field");
    refused(
        "a stray version",
        &bulk(r#"{"values":{"B":{"value":"x","expected_version":1}}}"#),
        400,
        "bad_request",
        "beside",
    );
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    refused("a nest of lists", &bulk(&deep), 400, "bad_request", "nothing was changed");

    let plain = Request::new("POST", SHOP).authorization(&flyv1(&dev.operator));
    let text = plain.clone().body("text/plain", r#"{"values":{"B":"x"}}"#).send(dev.server.address());
    refused("a body of another type", &text, 415, "unsupported_media_type", "Content-Type: application/json");
}

#[test]
fn a_body_over_its_limit_is_refused_and_the_server_continues() {
    let dev = shop();
    let padded = |limit: usize| format!(r#"{{"values":{{"B":"x"}}{}}}"#, " ".repeat(limit));
    let send = |method: &str, target: &str, body: String| {
        let token = if target == "/v1/boot" { &dev.host } else { &dev.operator };
        Request::new(method, target)
            .authorization(&flyv1(token))
            .body("application/json", body)
            .send(dev.server.address())
    };
    const MIB: usize = 1024 * 1024;
    for (method, target, limit) in [
        ("POST", SHOP, 4 * MIB),
        ("POST", "/v1/boot", 2 * MIB),
        ("POST", "/v1/orgs", MIB / 4),
        ("PUT", "/v1/apps/shop/policy", MIB / 4),
        ("POST", "/.well-known/macfly/3p", MIB / 4),
    ] {
        let answer = send(method, target, padded(limit));
        refused(&dev, target, &answer, 413, "body_too_large", "send less");
    }
    // Padding within the limit is accepted.
    assert_eq!(send("POST", SHOP, padded(MIB)).status, 200);
    assert_eq!(dev.version("shop"), 2);

    // An endless body costs the sender its connection and does not affect other clients.
    let mut stream = connect(dev.server.address()).unwrap();
    let head = format!(
        "POST {SHOP} HTTP/1.1\r\nhost: petsem\r\nauthorization: {}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n",
        flyv1(&dev.operator)
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let sent = (0..1024).take_while(|_| stream.write_all(&chunk).is_ok()).count();
    assert!(sent < 1024, "64 MiB were taken");
    let mut received = Vec::new();
    // The answer may have been lost with the connection.
    let _ = stream.read_to_end(&mut received);
    if let Some(answer) = Answer::parse(&received) {
        assert_eq!(answer.outcome(), (413, "body_too_large".to_owned()));
    }
    assert_eq!(dev.version("shop"), 2);
}

#[test]
fn invalid_tokens_are_refused_with_what_to_do() {
    let dev = shop();
    let other = dev.operate("POST", "/v1/orgs", Some(&json!({"name": "rivals"})));
    assert_eq!(other.status, 201, "{}", other.text());
    let org = dev.mint(&json!({"kind": "org", "org": "demo"}));
    let rivals = dev.mint(&json!({"kind": "org", "org": "rivals"}));
    let other_app = {
        dev.app("other", &json!({}));
        dev.mint(&json!({"kind": "org", "org": "demo", "apps": ["other"]}))
    };
    let rng = &mut getrandom::rand_core::UnwrapErr(getrandom::SysRng);
    let mut forged = |key_id: &[u8]| {
        let key = MacaroonKey::generate(rng);
        let forged = Macaroon::mint(&key, key_id, "https://petsem-dev.invalid", false, rng);
        flyv1(forged.to_text().as_ref())
    };
    let own_key = petsem_policy::UnverifiedToken::parse(&org).unwrap().kid().to_vec();
    let mut changed = data_encoding::BASE64.decode(org.trim_start_matches("fm2_").as_bytes()).unwrap();
    *changed.last_mut().unwrap() ^= 1;
    let changed = format!("fm2_{}", data_encoding::BASE64.encode(&changed));
    let with = |caveat: Caveat| flyv1(&appended(&org, [caveat]));
    let only = |actions: &[Action]| with(Actions(actions.iter().copied().collect::<ActionSet>()).into());
    let unknown = Caveat::from_wire(65_700, &[0x91, 0x01]).unwrap();
    let unreadable = Caveat::from_wire(65_540, &[0xc0])
        .unwrap_or_else(|_| Caveat::from_wire(65_540, &[0x91, 0x01]).unwrap());
    let window = |not_before: i64, not_after: i64| with(Caveat::ValidityWindow { not_before, not_after });

    let table: Vec<(&str, String, u16, &str, &str)> = vec![
        ("no scheme and no token", "nonsense".into(), 401, "token_malformed", "petsem token inspect"),
        ("half a token", flyv1(&org[..org.len() / 2]), 401, "token_malformed", "petsem token inspect"),
        ("a token cut to its label", flyv1("fm2_"), 401, "token_malformed", "petsem token inspect"),
        ("a foreign token", flyv1("fo1_abcdef"), 401, "token_malformed", "petsem token inspect"),
        ("a token of a key that is not there", forged(&[7; 16]), 401, "token_invalid", "new token"),
        ("a token of the org's key by its id alone", forged(&own_key), 401, "token_invalid", ""),
        ("a token with an empty key id", forged(&[]), 401, "token_invalid", "new token"),
        ("a token with a key id of zeros", forged(&[0; 16]), 401, "token_invalid", "new token"),
        ("a token with half a key id", forged(&own_key[..8]), 401, "token_invalid", "new token"),
        (
            "a token with more than a key id",
            forged(&[&own_key[..], &[0]].concat()),
            401,
            "token_invalid",
            "new token",
        ),
        ("a token that was changed", flyv1(&changed), 401, "token_invalid", ""),
        ("an expired token", window(0, now() - 1), 401, "token_expired", ""),
        ("a token whose time has not come", window(now() + 600, now() + 900), 401, "token_expired", ""),
        ("a token of another org", flyv1(&rivals), 403, "forbidden", "petsem token inspect"),
        ("a token for another app", flyv1(&other_app), 403, "forbidden", ""),
        ("an action that was taken away", only(&[Action::List]), 403, "forbidden", "write"),
        (
            "a secret that was left out",
            with(SecretNames::new(["B".to_owned()], []).into()),
            403,
            "forbidden",
            "",
        ),
        ("a caveat of an unknown type", with(unknown), 403, "forbidden", ""),
        ("a caveat that does not read", with(unreadable), 403, "forbidden", ""),
        ("a caveat of Fly's", with(Caveat::FeatureSet(None)), 403, "forbidden", ""),
        ("a boot without discharge", flyv1(&dev.host), 401, "discharge_missing", ""),
    ];
    for (what, header, status, code, text) in table {
        let body = json!({"value": "overwritten"});
        let answer = dev.call("POST", &format!("{SHOP}/A"), &header, Some(&body));
        refused(&dev, what, &answer, status, code, text);
    }
    let missing = Request::new("POST", &format!("{SHOP}/A")).json(&json!({"value": "x"}));
    let answer = missing.send(dev.server.address());
    refused(&dev, "no token", &answer, 401, "token_missing", "Authorization: FlyV1");
    // A header longer than any token.
    let long = flyv1(&format!("fm2_{}", "A".repeat(70 * 1024)));
    let answer = dev.call("POST", &format!("{SHOP}/A"), &long, Some(&json!({"value": "x"})));
    assert!([401, 431].contains(&answer.status), "{}", answer.text());
    let crowd = flyv1(&vec!["fm2_AA=="; 200].join(","));
    let answer = dev.call("POST", &format!("{SHOP}/A"), &crowd, Some(&json!({"value": "x"})));
    refused(&dev, "two hundred tokens", &answer, 401, "token_malformed", "128");
}

#[test]
fn only_tokens_of_the_org_learn_that_something_does_not_exist() {
    let dev = shop();
    dev.operate("POST", "/v1/orgs", Some(&json!({"name": "rivals"})));
    // Who may create an app learns whether its name is free.
    let rivals = flyv1(&dev.mint(&json!({"kind": "org", "org": "rivals", "actions": ["list"]})));
    let org = flyv1(&dev.mint(&json!({"kind": "org", "org": "demo"})));
    let get = |app: &str, header: &str| dev.call("GET", &format!("/v1/apps/{app}/secrets"), header, None);

    let unknown = get("nowhere", &flyv1(&dev.operator));
    refused(&dev, "an unknown app", &unknown, 404, "not_found", "petsem app list");
    let secret = dev.call("GET", &format!("{SHOP}/NOT_THERE"), &org, None);
    refused(&dev, "an unknown secret", &secret, 404, "not_found", "petsem secrets list");

    // A stranger cannot tell an existing app from a missing one: status, code and text are the same.
    let (there, absent) = (get("shop", &rivals), get("nowhere", &rivals));
    refused(&dev, "a stranger", &there, 403, "forbidden", "petsem token inspect");
    assert_eq!((there.outcome(), there.error()), (absent.outcome(), absent.error()));
    assert_eq!(there.body.len(), absent.body.len());

    for (method, target, status, code) in [
        ("GET", "/v1/nothing", 404, "no_route"),
        ("GET", "/", 404, "no_route"),
        ("PATCH", SHOP, 405, "method_not_allowed"),
        ("DELETE", "/v1/boot", 405, "method_not_allowed"),
    ] {
        let answer = dev.operate(method, target, None);
        refused(&dev, target, &answer, status, code, "/openapi.json");
    }
}

#[test]
fn names_in_use_are_not_taken_and_orgs_with_apps_are_not_deleted() {
    let dev = shop();
    let again = dev.operate("POST", "/v1/apps", Some(&json!({"org": "demo", "name": "shop"})));
    refused(&dev, "an app twice", &again, 409, "name_taken", "");
    dev.operate("POST", "/v1/orgs", Some(&json!({"name": "rivals"})));
    let elsewhere = dev.operate("POST", "/v1/apps", Some(&json!({"org": "rivals", "name": "shop"})));
    refused(&dev, "an app's name in another org", &elsewhere, 409, "name_taken", "");
    let org = dev.operate("POST", "/v1/orgs", Some(&json!({"name": "demo"})));
    refused(&dev, "an org twice", &org, 409, "name_taken", "");
    let full = dev.operate("DELETE", "/v1/orgs/demo", None);
    refused(&dev, "an org with apps", &full, 409, "conflict", "app");
    let settings = json!({"org": "demo", "name": "b", "settings": {"renewal_life": 2_592_001}});
    refused(
        &dev,
        "a renewal of over 30 days",
        &dev.operate("POST", "/v1/apps", Some(&settings)),
        400,
        "bad_request",
        "30 days",
    );
    let settings = json!({"org": "demo", "name": "b", "settings": {"history": 0}});
    refused(
        &dev,
        "no history",
        &dev.operate("POST", "/v1/apps", Some(&settings)),
        400,
        "bad_request",
        "1 to 100",
    );
}

#[test]
fn policies_that_allow_too_much_or_are_invalid_are_not_set() {
    let dev = shop();
    let before = dev.operate("GET", "/v1/apps/shop/policy", None).json();
    let issuer = petsem_server::Development::ISSUER;
    let put = |rule: serde_json::Value| {
        let policy = json!({"policy": {"format": 1, "rules": [rule]}});
        dev.own("PUT", "/v1/apps/shop/policy", Some(&policy))
    };
    for (what, rule) in [
        ("a boot that binds nothing", json!({"name": "r", "issuer": issuer, "actions": ["boot"]})),
        (
            "a boot that binds no host",
            json!({"name": "r", "issuer": issuer, "actions": ["boot"], "bind": {"app": "a", "machine": "m"}}),
        ),
        (
            "a boot that binds one claim twice",
            json!({"name": "r", "issuer": issuer, "actions": ["boot"], "bind": {"app": "a", "machine": "a", "host": "h"}}),
        ),
        ("a read that names no secrets", json!({"name": "r", "issuer": issuer, "actions": ["read_value"]})),
        (
            "an issuer that is not registered",
            json!({"name": "r", "issuer": "https://x", "actions": ["read_value"], "secrets": {"prefixes": [""]}, "claims": {"sub": "x"}}),
        ),
        ("an action that there is not", json!({"name": "r", "issuer": issuer, "actions": ["write"]})),
        (
            "a field that there is not",
            json!({"name": "r", "issuer": issuer, "actions": ["read_value"], "secrets": {"prefixes": [""]}, "unless": {}}),
        ),
        (
            "a JWT of an hour",
            json!({"name": "r", "issuer": issuer, "actions": ["read_value"], "secrets": {"prefixes": [""]}, "max_life_seconds": 3600}),
        ),
    ] {
        let answer = put(rule);
        refused(&dev, what, &answer, 400, "bad_policy", "the policy was not changed");
    }
    // serde_json would take the last one, but a person may read the first.
    let twice =
        r#"{"policy":{"format":1,"rules":[{"name":"r","issuer":"i","claims":{"sub":"a","sub":"*"}}]}}"#;
    let request = Request::new("PUT", "/v1/apps/shop/policy").authorization(&flyv1(&dev.operator));
    let answer = request.body("application/json", twice).send(dev.server.address());
    refused(&dev, "a name twice", &answer, 400, "bad_request", "a name occurs twice");
    let stale = json!({"policy": {"format": 1, "rules": []}, "expected_version": 7});
    let answer = dev.own("PUT", "/v1/apps/shop/policy", Some(&stale));
    refused(&dev, "a stale version", &answer, 412, "stale_version", "version 1");
    assert_eq!(dev.operate("GET", "/v1/apps/shop/policy", None).json(), before);
}

#[test]
fn an_invalid_policy_is_refused_and_not_repeated_in_the_error() {
    const CANARY: &str = "canary-policy-77b1c0de";
    let dev = shop();
    let before = dev.operate("GET", "/v1/apps/shop/policy", None).json();
    let issuer = petsem_server::Development::ISSUER;
    let rule = |more: &str| {
        format!(
            r#"{{"policy":{{"format":1,"rules":[{{"name":"r","issuer":"{issuer}","actions":["read_value"],"claims":{{"sub":"x"}},{more}}}]}}}}"#
        )
    };
    for (body, code) in [
        (format!(r#"{{"policy":{{"format":1,"rules":[{CANARY}]}}}}"#), "bad_request"),
        (format!(r#"{{"policy":{{"format":1,"rules":["{CANARY}""#), "bad_request"),
        (format!(r#"{{"policy":{{"format":1,"rules":[]}},"{CANARY}":1}}"#), "bad_request"),
        (format!(r#"{{"policy":{{"format":1,"rules":[]}},"expected_version":"{CANARY}"}}"#), "bad_request"),
        (format!(r#"{{"policy":"{CANARY}"}}"#), "bad_policy"),
        (format!(r#"{{"policy":{{"format":"{CANARY}","rules":[]}}}}"#), "bad_policy"),
        (format!(r#"{{"policy":{{"format":1,"rules":"{CANARY}"}}}}"#), "bad_policy"),
        (format!(r#"{{"policy":{{"format":1,"rules":[],"{CANARY}":1}}}}"#), "bad_policy"),
        (rule(&format!(r#""{CANARY}":true"#)), "bad_policy"),
        (rule(&format!(r#""secrets":{{"names":"{CANARY}"}}"#)), "bad_policy"),
        (rule(&format!(r#""secrets":{{"{CANARY}":[]}}"#)), "bad_policy"),
        (rule(&format!(r#""secrets":{{"prefixes":[""]}},"max_life_seconds":"{CANARY}""#)), "bad_policy"),
        (rule(r#""secrets":{"prefixes":[""]}"#).replace("read_value", CANARY), "bad_policy"),
    ] {
        let request = Request::new("PUT", "/v1/apps/shop/policy").authorization(&flyv1(&dev.operator));
        let answer = request.body("application/json", body.as_str()).send(dev.server.address());
        let text = if code == "bad_policy" { "the policy was not changed" } else { "nothing was changed" };
        refused(&dev, &body, &answer, 400, code, text);
        assert!(!answer.text().contains(CANARY), "{body}: {}", answer.text());
    }
    assert_eq!(dev.operate("GET", "/v1/apps/shop/policy", None).json(), before);
    let (printed, log) = (dev.server.printed(), dev.audit_log());
    assert!(!printed.contains(CANARY) && !log.contains(CANARY));
}

#[test]
fn minting_never_gives_more_than_the_parent_had() {
    let dev = shop();
    let lister =
        dev.mint(&json!({"kind": "org", "org": "demo", "actions": ["list", "mint"], "expires_in": 600}));
    let mint =
        |token: &str, wanted: serde_json::Value| dev.call("POST", "/v1/tokens", &flyv1(token), Some(&wanted));
    let child = mint(
        &lister,
        json!({"kind": "org", "org": "demo", "actions": ["write", "list", "mint"], "expires_in": 86_400}),
    );
    assert_eq!(child.status, 201, "{}", child.text());
    let set =
        |token: &str| dev.call("POST", &format!("{SHOP}/A"), &flyv1(token), Some(&json!({"value": "x"})));
    refused(&dev, "a child that writes", &set(&child.field("token")), 403, "forbidden", "write");
    let parent_end = petsem_policy::UnverifiedToken::parse(&lister).unwrap().expires_at();
    let child_end = petsem_policy::UnverifiedToken::parse(&child.field("token")).unwrap().expires_at();
    assert_eq!(child_end, parent_end);
    for (what, wanted) in [
        ("an operator's token", json!({"kind": "operator"})),
        ("a host token", json!({"kind": "host", "host": "h"})),
    ] {
        let answer = mint(&lister, wanted);
        refused(&dev, what, &answer, 403, "forbidden", "");
    }
    let no_mint = dev.mint(&json!({"kind": "org", "org": "demo", "actions": ["list"]}));
    refused(
        &dev,
        "minting without mint",
        &mint(&no_mint, json!({"kind": "org", "org": "demo"})),
        403,
        "forbidden",
        "mint",
    );
    let unknown =
        dev.operate("POST", "/v1/tokens", Some(&json!({"kind": "org", "org": "demo", "actions": ["fly"]})));
    refused(&dev, "an action that there is not", &unknown, 400, "bad_request", "the actions are");
}

#[test]
fn an_empty_list_never_means_everything() {
    let dev = shop();
    let tokens = || dev.operate("GET", "/v1/tokens", None).json()["tokens"].as_array().unwrap().len();
    let before = tokens();
    for field in ["apps", "secrets", "secret_prefixes", "actions", "machines"] {
        let wanted = json!({"kind": "org", "org": "demo", field: []});
        let answer = dev.operate("POST", "/v1/tokens", Some(&wanted));
        refused(&dev, field, &answer, 400, "bad_request", "an empty list would narrow nothing");
    }
    assert_eq!(tokens(), before);
    // A caveat with an empty list allows nothing.
    let org = dev.mint(&json!({"kind": "org", "org": "demo"}));
    let nothing: [(&str, Caveat); 6] = [
        ("apps", Apps::new([]).into()),
        ("secrets", SecretNames::new([], []).into()),
        ("actions", Actions(ActionSet::from_iter([])).into()),
        ("machines", Machines::new([]).into()),
        ("hosts", Hosts::new([]).into()),
        ("networks", Networks::new([]).unwrap().into()),
    ];
    for (what, caveat) in nothing {
        let header = flyv1(&appended(&org, [caveat]));
        let answer = dev.call("POST", &format!("{SHOP}/A"), &header, Some(&json!({"value": "x"})));
        refused(&dev, what, &answer, 403, "forbidden", "");
    }
    // An app without rules allows nothing; and a rule for everyone cannot be set.
    let made = dev.operate("POST", "/v1/apps", Some(&json!({"org": "demo", "name": "bare"})));
    assert_eq!(made.status, 201, "{}", made.text());
    dev.set("bare", &json!({"A": "1"}));
    let read = || dev.call("GET", "/v1/apps/bare/secrets?show_secrets=true", &dev.reader_jwt(), None);
    refused(&dev, "no policy", &read(), 403, "policy_denied", "");
    let put = |policy: serde_json::Value| {
        dev.own("PUT", "/v1/apps/bare/policy", Some(&json!({ "policy": policy })))
    };
    let issuer = petsem_server::Development::ISSUER;
    for more in [json!({"claims": {}}), json!({"claims": {"sub": "*"}}), json!({})] {
        let mut rule =
            json!({"name": "r", "issuer": issuer, "actions": ["read_value"], "secrets": {"prefixes": [""]}});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = put(json!({"format": 1, "rules": [rule]}));
        refused(&dev, &more.to_string(), &answer, 400, "bad_policy", "the policy was not changed");
    }
    assert_eq!(put(json!({"format": 1, "rules": []})).status, 200);
    refused(&dev, "no rules", &read(), 403, "policy_denied", "");
}

#[test]
fn a_malformed_http_request_ends_its_connection_but_not_the_server() {
    let dev = shop();
    let floods = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), // the start of a TLS handshake
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"\0\0\0\0\r\n\r\n".to_vec(),
        format!("GET /v1/orgs HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(200 * 1024)).into_bytes(),
        b"POST /v1/orgs HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n".to_vec(),
        b"POST /v1/orgs HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nhello"
            .to_vec(),
    ];
    for bytes in floods {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        if let Ok(received) = exchange(dev.server.address(), &[&bytes[..], b"\r\n\r\n"].concat())
            && let Some(answer) = Answer::parse(&received)
        {
            assert!((400..600).contains(&answer.status), "{shown:?}: {}", answer.head);
        }
        assert_eq!(dev.version("shop"), 1, "{shown:?}");
    }
}

#[test]
fn a_token_for_networks_is_checked_against_the_address_of_its_connection() {
    let dev = shop();
    let of = |network: &str| Caveat::from(Networks::new([network.parse().unwrap()]).unwrap());
    let org = dev.mint(&json!({"kind": "org", "org": "demo"}));
    let set = |caveat: Caveat| {
        let header = flyv1(&appended(&org, [caveat]));
        dev.call("POST", &format!("{SHOP}/B"), &header, Some(&json!({"value": "x"})))
    };
    let elsewhere = set(of("10.0.0.0/8"));
    refused(&dev, "elsewhere", &elsewhere, 403, "forbidden", "peer address");
    let discharge = dev.discharge("shop", "m-1");
    let boot = |caveat: Caveat| {
        let header = flyv1(&format!("{},{discharge}", appended(&dev.host, [caveat])));
        dev.call("POST", "/v1/apps/shop/boot", &header, Some(&json!({"machine": "m-1"})))
    };
    refused(&dev, "a boot elsewhere", &boot(of("10.0.0.0/8")), 403, "forbidden", "peer address");
    assert_eq!(boot(of("127.0.0.0/8")).status, 200);
    let here = set(of("127.0.0.0/8"));
    assert_eq!(here.status, 201, "{}", here.text());
}

#[test]
fn all_tokens_of_a_header_share_one_limit_of_discharges() {
    let dev = shop();
    let mut rng = getrandom::rand_core::UnwrapErr(getrandom::SysRng);
    let own = SharedKey::new([7; 32]);
    let mut with_own_third_party = || {
        let org = UnverifiedToken::parse(&dev.mint(&json!({"kind": "org", "org": "demo"}))).unwrap();
        let mut macaroon = Macaroon::from_token(&org).unwrap();
        macaroon.add_third_party("https://own.example", &own, &CaveatSet::default(), &mut rng).unwrap();
        let ticket = macaroon.caveats().iter().rev().find_map(|caveat| match caveat {
            Caveat::ThirdParty(third_party) => Some(third_party.ticket.clone()),
            _ => None,
        });
        (macaroon.to_text().to_string(), ticket.unwrap())
    };
    let (good, ticket) = with_own_third_party();
    let (wasteful, wasted) = with_own_third_party();
    let mut rng = getrandom::rand_core::UnwrapErr(getrandom::SysRng);
    let mut discharge = Ticket::open(&ticket, &own).unwrap().discharge("https://own.example", &mut rng);
    let set = |tokens: &[String]| {
        let header = flyv1(&tokens.join(","));
        dev.call("POST", &format!("{SHOP}/B"), &header, Some(&json!({"value": "x"})))
    };
    // Seven tokens that each try five invalid discharges of 502 MACs, and one that would be valid.
    let numbered = |number| [Caveat::ConfineUser(number)];
    let mut tokens: Vec<_> = (0..7).map(|number| appended(&wasteful, numbered(number))).collect();
    tokens.push(good.clone());
    for _ in 0..5 {
        let mut bogus =
            Macaroon::mint(&MacaroonKey::new(&[1; 32]), &wasted, "https://own.example", false, &mut rng);
        bogus.add((0..500).flat_map(numbered)).unwrap();
        tokens.push(bogus.to_text().to_string());
    }
    // The remaining budget is too small for this discharge, which has four hundred conditions.
    discharge
        .add((0..400).map(|number| Caveat::ValidityWindow { not_before: 0, not_after: now() + 600 + number }))
        .unwrap();
    let discharge = discharge.to_text().to_string();
    tokens.push(discharge.clone());
    refused(&dev, "spent", &set(&tokens), 401, "discharge_invalid", "");
    assert_eq!(set(&[good, discharge]).status, 201);
}
