//! Inputs from the field that no other test has: docs/field-cases.md lists all of them by kind.

use std::time::Duration;

use petsem_integration::dev::{Dev, flyv1, now};
use petsem_integration::http::Request;
use petsem_integration::installation::{CONFIGURATION, Installation};
use petsem_integration::pause;
use petsem_integration::publisher::{Answer, IssuerKey, Publisher};
use petsem_integration::seals::refused;
use petsem_integration::server::{Ended, petsem, run};
use serde_json::{Value, json};

const CANARY: &str = "canary-field-cases-3e8d40a1";

/// What a server answers at a path, and how many keys that makes, or why there are none.
type Case = (&'static str, u16, Vec<u8>, Result<u64, &'static str>);

/// Answers in place of a plain key set.
fn answers(key: &IssuerKey) -> Vec<Case> {
    let jwk = key.jwk();
    let set = json!({ "keys": [jwk] }).to_string();
    let pretty = serde_json::to_string_pretty(&json!({ "keys": [jwk] })).unwrap().replace('\n', "\r\n");
    let wide = std::iter::once(0xfeff).chain(set.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let text = "is not UTF-8 text";
    let no_set = "is not a usable key set: the key set is not JSON of the form";
    vec![
        ("/plain", 200, set.clone().into_bytes(), Ok(1)),
        ("/mark", 200, format!("\u{feff}{set}").into_bytes(), Ok(1)),
        ("/pretty-with-mark", 200, format!("\u{feff}{pretty}\r\n").into_bytes(), Ok(1)),
        ("/blanks", 200, format!("\n\n {set} \n").into_bytes(), Ok(1)),
        ("/more-members", 200, json!({"keys": [jwk], "next": null, "x": {}}).to_string().into_bytes(), Ok(1)),
        ("/empty", 200, b"{\"keys\":[]}".to_vec(), Ok(0)),
        ("/utf-16", 200, wide, Err(text)),
        ("/gzip", 200, b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec(), Err(text)),
        ("/page", 200, b"<!doctype html><title>Sign in</title>".to_vec(), Err(no_set)),
        ("/pem", 200, b"-----BEGIN PUBLIC KEY-----\n".to_vec(), Err(no_set)),
        ("/one-key", 200, jwk.to_string().into_bytes(), Err(no_set)),
        ("/list", 200, json!([jwk]).to_string().into_bytes(), Err(no_set)),
        ("/nothing", 204, Vec::new(), Err("answered HTTP 204")),
        ("/partial", 206, set.clone().into_bytes(), Err("answered HTTP 206")),
        ("/forbidden", 403, set.clone().into_bytes(), Err("answered HTTP 403")),
        ("/error", 500, set.into_bytes(), Err("answered HTTP 500")),
    ]
}

/// The operator's view of an issuer's keys: how many there are, or why there are none.
fn outcome(fetched: &Value) -> Option<Result<u64, String>> {
    match (fetched["problem"].as_str(), fetched["age_seconds"].is_u64()) {
        (Some(problem), _) => Some(Err(problem.to_owned())),
        (None, true) => Some(Ok(fetched["keys"].as_u64().unwrap())),
        (None, false) => None,
    }
}

#[test]
fn a_key_set_is_taken_as_servers_send_it_and_what_is_none_is_named() {
    let key = IssuerKey::new("one");
    let publisher = Publisher::start();
    let installation = Installation::configured();
    std::fs::write(installation.path("ca.pem"), publisher.ca()).unwrap();
    installation.configure(&format!(
        "{CONFIGURATION}\n[outgoing]\nca_file = \"ca.pem\"\nprivate_hosts = [\"127.0.0.1\"]\nseconds = 3\n"
    ));
    assert!(installation.init().status.success());
    let answers = answers(&key);
    for (path, status, body, _) in &answers {
        publisher.answer(path, Answer::Body(*status, body.clone()));
        let wanted = json!({
            "issuer": format!("https://issuer.example{path}"), "algorithms": ["ES256"], "jwks_url": publisher.url(path)
        });
        let added = installation.register(&wanted, &[]);
        assert!(added.status.success(), "{path}: {}", added.printed);
    }
    let server = installation.start().unwrap();
    let request = Request::new("GET", "/v1/issuers").authorization(&flyv1(&installation.operator()));
    let mut listed = Value::Null;
    for _ in 0..600 {
        listed = request.clone().send(server.address()).json()["issuers"].clone();
        if listed.as_array().unwrap().iter().all(|issuer| outcome(&issuer["fetched"]).is_some()) {
            break;
        }
        pause(Duration::from_millis(50));
    }
    for (path, _, _, expected) in &answers {
        let iss = format!("https://issuer.example{path}");
        let issuer =
            listed.as_array().unwrap().iter().find(|issuer| issuer["issuer"] == iss.as_str()).unwrap();
        let outcome = outcome(&issuer["fetched"]).unwrap_or_else(|| panic!("{issuer}"));
        match (expected, &outcome) {
            (Ok(expected), outcome) => assert_eq!(outcome, &Ok(*expected), "{path}"),
            (Err(told), Err(problem)) => assert!(problem.contains(told), "{path}: {problem}"),
            (Err(told), Ok(keys)) => panic!("{path}: {keys} keys, not {told}"),
        }
    }
    // What counts verifies.
    let policy = |path: &str| {
        json!({"format": 1, "rules": [{
            "name": "readers", "issuer": format!("https://issuer.example{path}"), "claims": {"sub": "reader"},
            "actions": ["read_value"], "secrets": {"names": ["A"]}
        }]})
    };
    installation.make_shop(server.address(), &policy("/pretty-with-mark"), CANARY);
    let claims = json!({
        "iss": "https://issuer.example/pretty-with-mark", "aud": "petsem-test", "sub": "reader", "iat": now(),
        "exp": now() + 300
    });
    let read = Request::new("GET", "/v1/apps/shop/secrets?show_secrets=true")
        .authorization(&format!("Bearer {}", key.sign(&claims)))
        .send(server.address());
    assert_eq!((read.status, read.text().contains(CANARY)), (200, true), "{}", read.text());
}

#[test]
fn a_private_key_in_place_of_a_public_one_is_refused_on_the_node_and_over_the_api_and_kept_nowhere() {
    let installation = Installation::made();
    let good = IssuerKey::new("good");
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n");
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": "AA", "d": CANARY});
    let given = [
        json!(pem),
        jwk.clone(),
        json!([jwk]),
        json!({ "keys": pem }),
        json!({ "keys": [good.jwk(), pem] }),
        json!({ "keys": [good.jwk(), jwk.to_string()] }),
        json!({ "keys": [good.jwk(), {"kty": "RSA", "kid": pem, "n": "AA", "e": "AQAB"}] }),
        json!({ "keys": [good.jwk(), {"kty": "RSA", "kid": "k", "n": pem, "e": "AQAB"}] }),
        json!({ "keys": [good.jwk()], "backup": pem }),
    ];
    let told = "has its private part (";
    let wanted =
        |keys: &Value| json!({"issuer": "https://issuer.example", "algorithms": ["ES256"], "keys": keys});
    for keys in &given {
        let added = installation.register(&wanted(keys), &[]);
        assert_eq!(added.status.code(), Some(1), "{keys}: {}", added.printed);
        assert!(added.printed.contains(told) && !added.printed.contains(CANARY), "{keys}: {}", added.printed);
    }
    let server = installation.start().unwrap();
    let operator = flyv1(&installation.operator());
    for keys in &given {
        let request = Request::new("POST", "/v1/issuers").authorization(&operator).json(&wanted(keys));
        let refused = request.send(server.address());
        assert_eq!(refused.outcome(), (400, "bad_request".to_owned()), "{keys}: {}", refused.text());
        assert!(refused.error().contains(told) && !refused.text().contains(CANARY), "{}", refused.text());
    }
    assert!(!server.printed().contains(CANARY));
    assert!(server.stop().status.success());
    for entry in std::fs::read_dir(installation.path("data")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        let is_kept = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
        assert!(!is_kept, "{}", path.display());
    }
}

fn private(path: &std::path::Path, content: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn as_on_windows(text: &str) -> Vec<u8> {
    format!("\u{feff}{}", text.replace('\n', "\r\n")).into_bytes()
}

#[test]
fn configurations_issuers_and_tokens_of_hosts_may_begin_with_a_mark_and_end_lines_with_cr_lf() {
    let installation = Installation::configured();
    private(&installation.configuration(), &as_on_windows(CONFIGURATION));
    let made = installation.init();
    assert!(made.status.success(), "{}", made.printed);
    let issuer = json!({
        "issuer": "https://issuer.example", "algorithms": ["ES256"], "keys": {"keys": [IssuerKey::new("one").jwk()]}
    });
    let file = installation.path("windows.json");
    private(&file, &as_on_windows(&format!("{}\n", serde_json::to_string_pretty(&issuer).unwrap())));
    let add = || run(installation.with_configuration(&["operator", "issuer", "add", file.to_str().unwrap()]));
    let added = add();
    assert!(added.status.success(), "{}", added.printed);
    private(&file, &[b"\xff\xfe".to_vec(), b"{\0".to_vec()].concat());
    let wide = add();
    assert_eq!(wide.status.code(), Some(2), "{}", wide.printed);
    assert!(wide.printed.contains("is UTF-16"), "{}", wide.printed);

    let dev = Dev::start();
    dev.set("shop", &json!({"V": CANARY}));
    let token = std::fs::read_to_string(dev.directory.path().join("host.token")).unwrap();
    private(&dev.directory.path().join("windows.token"), &as_on_windows(&format!("{}\n", token.trim())));
    let command = |arguments: &[&str]| -> Ended {
        let mut command = petsem(arguments);
        command
            .current_dir(dev.directory.path())
            .env("PETSEM_CONTEXT", dev.directory.path().join("context.toml"));
        run(command)
    };
    for arguments in [
        &["token", "inspect", "windows.token"][..],
        &["boot", "--machine", "m-1", "--host-token-file", "windows.token", "--", "true"],
    ] {
        let ended = command(arguments);
        assert!(ended.status.success(), "{arguments:?}: {}", ended.printed);
    }
    // What a failed command in front of a pipe leaves is a value, and is said.
    let set = command(&["secrets", "set", "EMPTY", "--file", "/dev/null"]);
    assert!(set.status.success() && set.printed.contains("note: the value is empty"), "{}", set.printed);
    // A value is bytes: of these, none is dropped.
    private(&dev.directory.path().join("value"), &as_on_windows(&format!("{CANARY}\n")));
    let set = command(&["secrets", "set", "MARKED", "--file", "value"]);
    assert!(set.status.success() && set.printed.contains("ends with a newline"), "{}", set.printed);
    let ran = command(&["run", "--only", "MARKED", "--", "sh", "-c", "printf %s \"$MARKED\" | od -An -c"]);
    assert!(ran.printed.starts_with(" 357 273 277   c   a   n"), "{}", ran.printed);
    assert!(ran.printed.contains("\\r  \\n"), "{}", ran.printed);
}

#[test]
fn names_that_no_environment_has_are_refused_where_they_are_written() {
    let dev = Dev::start();
    let long = "A".repeat(256);
    let names = ["A=B", "A\nB", "", "1A", "A-B", "A B", " A", "É", "A\u{0}", "A.B", long.as_str()];
    for name in names {
        let body = json!({"values": {name: "x", "GOOD": "x"}});
        let refused = dev.operate("POST", "/v1/apps/shop/secrets", Some(&body));
        assert_eq!(refused.outcome(), (400, "bad_name".to_owned()), "{name:?}: {}", refused.text());
    }
    for name in ["A%3DB", "A%0AB", "1A", "A%00", long.as_str()] {
        let target = format!("/v1/apps/shop/secrets/{name}");
        let refused = dev.operate("POST", &target, Some(&json!({"value": "x"})));
        assert_eq!(refused.outcome(), (400, "bad_name".to_owned()), "{name:?}: {}", refused.text());
    }
    let largest = "x".repeat(64 * 1024);
    let set = dev.operate("POST", "/v1/apps/shop/secrets/LARGEST", Some(&json!({ "value": largest })));
    assert_eq!((set.status, set.json()["warnings"].clone()), (201, Value::Null));
    let over = json!({"value": format!("{largest}x")});
    let over = dev.operate("POST", "/v1/apps/shop/secrets/OVER", Some(&over));
    assert_eq!(over.outcome(), (413, "value_too_large".to_owned()), "{}", over.text());
    // Only what was taken is there, and a program gets it.
    let list = dev.operate("GET", "/v1/apps/shop/secrets", None).json();
    let names: Vec<&Value> = list["secrets"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["LARGEST"]);
    let mut command = petsem(["run", "--", "sh", "-c", "printf %s \"$LARGEST\" | wc -c"]);
    command.env("PETSEM_CONTEXT", dev.directory.path().join("context.toml"));
    let ran = run(command);
    assert_eq!(ran.printed.trim(), "65536", "{}", ran.printed);
}

#[test]
fn what_is_left_of_a_lost_disk_is_named_with_what_to_put_back() {
    let installation = Installation::made();
    let database = installation.path("data/petsem.db");
    let whole = std::fs::read(&database).unwrap();
    let put_back = "put a copy of the data directory back";
    let lost: [(&str, Vec<u8>, &[&str]); 4] = [
        ("cut after its first page", whole[..4096].to_vec(), &["is damaged", put_back]),
        ("cut in the middle", whole[..whole.len() / 2 / 4096 * 4096].to_vec(), &["is damaged", put_back]),
        ("another file", b"SQLite 2".repeat(1024), &["is not a petsem database", put_back]),
        ("zeros", vec![0; whole.len()], &["is not a petsem database", put_back]),
    ];
    for (what, content, told) in lost {
        std::fs::write(&database, &content).unwrap();
        let ended = installation.start().map(|_| ()).unwrap_err();
        refused(&ended, told);
        assert_eq!(std::fs::read(&database).unwrap(), content, "{what}");
    }
    std::fs::write(&database, &whole).unwrap();
    let server = installation.start().unwrap();
    assert!(server.stop().status.success());
}
