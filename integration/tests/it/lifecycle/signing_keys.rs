//! Signing keys are replaced while tokens are in use, and revoked when they have a successor.

use petsem_integration::dev::{Dev, flyv1};
use petsem_integration::server::{Server, petsem, run};
use petsem_policy::UnverifiedToken;
use serde_json::{Value, json};

const VALID: (u16, &str) = (200, "");
const REVOKED: (u16, &str) = (401, "revoked");

fn uses(dev: &Dev, token: &str) -> (u16, String) {
    dev.call("GET", "/v1/apps/shop/secrets", &flyv1(token), None).outcome()
}

fn kid(token: &str) -> Vec<u8> {
    UnverifiedToken::parse(token).unwrap().kid().to_vec()
}

fn key_id(dev: &Dev, token: &str) -> String {
    let keys = dev.operate("GET", "/v1/signing-keys", None).json();
    let hex = |id: &str| id.replace('-', "");
    let kid: String = kid(token).iter().map(|byte| format!("{byte:02x}")).collect();
    let found =
        keys["signing_keys"].as_array().unwrap().iter().find(|key| hex(key["id"].as_str().unwrap()) == kid);
    found.unwrap()["id"].as_str().unwrap().to_owned()
}

fn states(dev: &Dev) -> Vec<(String, bool)> {
    let keys = dev.operate("GET", "/v1/signing-keys", None).json();
    let state = |key: &Value| (key["state"].as_str().unwrap().to_owned(), key["org"].is_string());
    keys["signing_keys"].as_array().unwrap().iter().map(state).collect()
}

fn rotate(dev: &Dev, body: &Value) {
    let rotated = dev.operate("POST", "/v1/signing-keys", Some(body));
    assert_eq!(rotated.status, 201, "{}", rotated.text());
    assert_eq!(rotated.field("state"), "current");
}

fn outcome(expected: (u16, &str)) -> (u16, String) {
    (expected.0, expected.1.to_owned())
}

#[test]
fn tokens_of_the_previous_key_stay_valid_and_new_ones_use_the_new_key() {
    let dev = Dev::start();
    let org = || dev.mint(&json!({"kind": "org", "org": "demo", "actions": ["list"]}));
    let old = org();
    rotate(&dev, &json!({"org": "demo"}));
    let new = org();
    assert_ne!(kid(&old), kid(&new));
    // The platform's key is separate: the operator's own token is signed by it, and mints as before.
    rotate(&dev, &json!({}));
    let newest = org();
    assert_eq!(kid(&new), kid(&newest));

    let expected = vec![
        ("current".to_owned(), false),
        ("verifying".to_owned(), false),
        ("current".to_owned(), true),
        ("verifying".to_owned(), true),
    ];
    assert_eq!(states(&dev), expected);
    for token in [&old, &new, &newest] {
        assert_eq!(uses(&dev, token), outcome(VALID));
    }
    // The host's token and its boots still work with the old platform key, also after a restart.
    dev.set("shop", &json!({"GREETING": "hello"}));
    let dev = dev.restart(Server::kill).unwrap();
    assert_eq!(states(&dev), expected);
    assert_eq!(uses(&dev, &old), outcome(VALID));
    assert_eq!(dev.boot("shop", "m-1", &dev.discharge("shop", "m-1")).status, 200);
}

#[test]
fn only_a_replaced_key_is_revoked_and_its_tokens_with_it() {
    let dev = Dev::start();
    let old = dev.mint(&json!({"kind": "org", "org": "demo", "actions": ["list", "mint"]}));
    let revoke = |id: &str| dev.operate("POST", "/v1/revocations", Some(&json!({"signing_key": {"id": id}})));
    let id = key_id(&dev, &old);
    let refused = revoke(&id);
    assert_eq!(refused.outcome(), (409, "conflict".to_owned()));
    assert!(refused.error().contains("petsem signing-key rotate"), "{}", refused.error());
    assert_eq!(uses(&dev, &old), outcome(VALID));

    rotate(&dev, &json!({"org": "demo"}));
    // Signed by the new key, but minted with a token of the old one: it is revoked too.
    let minted = dev.call(
        "POST",
        "/v1/tokens",
        &flyv1(&old),
        Some(&json!({"kind": "org", "org": "demo", "actions": ["list"]})),
    );
    assert_eq!(minted.status, 201, "{}", minted.text());
    let child = minted.field("token");
    assert_ne!(kid(&child), kid(&old));
    let new = dev.mint(&json!({"kind": "org", "org": "demo", "actions": ["list"]}));
    assert_eq!(revoke(&id).status, 201);
    assert_eq!(uses(&dev, &old), outcome(REVOKED));
    assert_eq!(uses(&dev, &child), outcome(REVOKED));
    assert_eq!(uses(&dev, &new), outcome(VALID));
    let dev = dev.restart(Server::kill).unwrap();
    assert_eq!(uses(&dev, &child), outcome(REVOKED));
    assert_eq!(uses(&dev, &new), outcome(VALID));
    assert_eq!(states(&dev).last().unwrap(), &("revoked".to_owned(), true));
}

#[test]
fn only_operators_see_and_replace_signing_keys() {
    let dev = Dev::start();
    let org = dev.mint(&json!({"kind": "org", "org": "demo"}));
    let ask =
        |method, body: Option<&Value>| dev.call(method, "/v1/signing-keys", &flyv1(&org), body).outcome();
    assert_eq!(ask("GET", None), (403, "forbidden".to_owned()));
    assert_eq!(ask("POST", Some(&json!({"org": "demo"}))), (403, "forbidden".to_owned()));
    assert_eq!(ask("POST", Some(&json!({}))), (403, "forbidden".to_owned()));
    let nowhere = dev.operate("POST", "/v1/signing-keys", Some(&json!({"org": "nowhere"})));
    assert_eq!(nowhere.outcome(), (404, "not_found".to_owned()));
    assert_eq!(states(&dev), [("current".to_owned(), false), ("current".to_owned(), true)]);
}

#[test]
fn the_command_line_lists_and_rotates() {
    let dev = Dev::start();
    let context = dev.layout().operator_token().with_file_name("context.toml");
    let command = |arguments: &[&str]| {
        let mut command = petsem(arguments);
        command.arg("--context").arg(&context);
        run(command)
    };
    let rotated = command(&["signing-key", "rotate", "--org", "demo"]);
    assert!(rotated.status.success(), "{}", rotated.printed);
    assert!(rotated.printed.contains("new tokens are signed with key "), "{}", rotated.printed);
    let listed = command(&["signing-key", "list"]).printed;
    assert_eq!(listed.matches("signs new tokens").count(), 2, "{listed}");
    assert_eq!(listed.matches("verifies older tokens").count(), 1, "{listed}");
}
