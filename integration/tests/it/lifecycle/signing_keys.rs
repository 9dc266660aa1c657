//! Signing keys are listed and replaced on the command line, and revoked.

use petsem_integration::dev::{Dev, flyv1};
use petsem_integration::http::Request;
use petsem_integration::installation::Installation;
use petsem_integration::seals::{done, operator};
use petsem_integration::server::{petsem, run};
use serde_json::{Value, json};

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

#[test]
fn after_the_platforms_key_was_revoked_a_command_on_the_node_creates_the_first_token() {
    let installation = Installation::made();
    let server = installation.start().unwrap();
    let kim = installation.operator();
    let call = |token: &str, method: &str, target: &str, body: Option<Value>| {
        let request = Request::new(method, target).authorization(&flyv1(token));
        body.iter().fold(request, Request::json).send(server.address())
    };
    let keys = call(&kim, "GET", "/v1/signing-keys", None).json();
    let [key] = keys["signing_keys"].as_array().unwrap().as_slice() else { panic!("{keys}") };
    let rotated = call(&kim, "POST", "/v1/signing-keys", Some(json!({})));
    assert_eq!(rotated.status, 201, "{}", rotated.text());
    let minted = call(&kim, "POST", "/v1/tokens", Some(json!({"kind": "operator"})));
    assert_eq!(minted.status, 201, "{}", minted.text());
    // No route revokes the key behind the token that requests it.
    let revoke = json!({"signing_key": {"id": key["id"]}});
    let own = call(&kim, "POST", "/v1/revocations", Some(revoke));
    assert_eq!(own.outcome(), (409, "conflict".to_owned()), "{}", own.text());
    done(&operator(&installation, &["deny", "--key", key["id"].as_str().unwrap()], &[]));
    // The second one is signed by the new key, but minted from a token of the old one.
    for token in [&kim, &minted.field("token")] {
        assert_eq!(call(token, "GET", "/v1/orgs", None).outcome(), (401, "revoked".to_owned()));
    }
    let out = installation.path("new.token");
    done(&operator(&installation, &["recover", "--operator", "kim@example.com"], &[("--out", &out)]));
    let new = std::fs::read_to_string(&out).unwrap().trim().to_owned();
    assert_eq!(call(&new, "GET", "/v1/orgs", None).status, 200);
    let minted = call(&new, "POST", "/v1/tokens", Some(json!({"kind": "operator"}))).field("token");
    assert_eq!(call(&minted, "GET", "/v1/orgs", None).status, 200);
}
