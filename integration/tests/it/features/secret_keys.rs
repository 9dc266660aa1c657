//! Secret keys over HTTP: generated, imported, used, restricted, tampered with, never returned.

use data_encoding::BASE64;
use petsem_integration::dev::{Dev, appended, flyv1};
use petsem_integration::http::Answer;
use petsem_integration::server::{Server, petsem, run};
use petsem_policy::{Action, ActionSet, Actions, SecretKeys};
use rusqlite::{Connection, params};
use serde_json::{Value, json};

const KEYS: &str = "/v1/apps/shop/secretkeys";
const ENCRYPTING: [&str; 3] = ["xaes256gcm", "nacl_box", "nacl_secretbox"];
const SIGNING: [&str; 6] = ["hs256", "hs384", "hs512", "nacl_auth", "nacl_sign", "es256"];
/// The kind of these rows, as numbered on disk.
const SECRET_KEYS: u8 = 21;

/// A client that uses keys: the header of a token of the org.
fn user(dev: &Dev) -> String {
    flyv1(&dev.mint_as_owner())
}

fn generate(dev: &Dev, label: &str, kind: &str) -> Answer {
    let answer =
        dev.call("POST", &format!("{KEYS}/{label}/generate"), &user(dev), Some(&json!({"type": kind})));
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer
}

fn b64(bytes: &[u8]) -> Value {
    BASE64.encode(bytes).into()
}

fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.outcome(), (status, code.to_owned()), "{}", answer.text());
}

#[test]
fn a_key_that_replaces_another_one_says_so() {
    let dev = Dev::start();
    let replaced = |label: &str| generate(&dev, label, "hs256").json().get("replaced").cloned();
    assert_eq!(replaced("sign"), None);
    assert_eq!(replaced("sign"), Some(json!(true)));
    assert_eq!(replaced("other"), None);
}

#[test]
fn keys_of_every_type_are_created_listed_used_and_deleted() {
    let dev = Dev::start();
    let user = user(&dev);
    let call = |method: &str, path: &str, body: Option<Value>| {
        dev.call(method, &format!("{KEYS}{path}"), &user, body.as_ref())
    };
    let before = dev.version("shop");
    for (number, kind) in (1..).zip(ENCRYPTING.iter().chain(&SIGNING)) {
        // The body that Go's client sends.
        let made = call("POST", &format!("/{kind}v0/generate"), Some(json!({"type": kind, "value": null})));
        assert_eq!(made.status, 201, "{}", made.text());
        assert_eq!((made.number("version"), made.field("type")), (before + number, (*kind).to_owned()));
        // A decoder that ignores case would find two.
        assert_eq!(made.json().get("Version"), None);
        assert_eq!(made.json().get("value"), None);
        let public = ["nacl_box", "nacl_sign", "es256"].contains(kind);
        assert_eq!(made.json()["public_key"].is_string(), public, "{kind}");
        let shown = call("GET", &format!("/{kind}v0?min_version={}", before + number), None);
        assert_eq!((shown.status, shown.field("name")), (200, format!("{kind}v0")));
    }
    assert_eq!(dev.version("shop"), before + 9);
    let list = call("GET", "", None);
    assert_eq!((list.status, list.json()["secret_keys"].as_array().unwrap().len()), (200, 9));
    let some = call("GET", "?types=es256,nacl_sign", None);
    let names: Vec<_> =
        some.json()["secret_keys"].as_array().unwrap().iter().map(|key| key["name"].clone()).collect();
    assert_eq!(names, ["es256v0", "nacl_signv0"]);

    for kind in ENCRYPTING {
        let sealed = call("POST", &format!("/{kind}v0/encrypt"), Some(json!({"plaintext": b64(b"message")})));
        assert_eq!(sealed.status, 200, "{}", sealed.text());
        let mut bytes = BASE64.decode(sealed.field("ciphertext").as_bytes()).unwrap();
        let open = |bytes: &[u8]| {
            call("POST", &format!("/{kind}v0/decrypt"), Some(json!({"ciphertext": b64(bytes)})))
        };
        let opened = open(&bytes);
        assert_eq!((opened.status, opened.json()), (200, json!({"plaintext": b64(b"message")})));
        *bytes.last_mut().unwrap() ^= 1;
        refused(&open(&bytes), 400, "decryption_failed");
        let sign = call("POST", &format!("/{kind}v0/sign"), Some(json!({"plaintext": ""})));
        refused(&sign, 400, "wrong_key_type");
        assert!(sign.error().contains("encrypt and decrypt"), "{}", sign.error());
    }
    for kind in SIGNING {
        let signed = call("POST", &format!("/{kind}v0/sign"), Some(json!({"plaintext": b64(b"message")})));
        assert_eq!(signed.status, 200, "{}", signed.text());
        let verify = |message: &[u8], signature: &str| {
            let body = json!({"plaintext": b64(message), "signature": signature});
            call("POST", &format!("/{kind}v0/verify"), Some(body))
        };
        let good = verify(b"message", &signed.field("signature"));
        assert_eq!((good.status, good.body.as_slice()), (204, &b""[..]));
        refused(&verify(b"massage", &signed.field("signature")), 400, "signature_mismatch");
        refused(&verify(b"message", "AAAA"), 400, "signature_mismatch");
        let body = json!({"plaintext": b64(b"x")});
        refused(&call("POST", &format!("/{kind}v0/encrypt"), Some(body)), 400, "wrong_key_type");
    }

    // Associated data, where the type supports it.
    let body = json!({"plaintext": b64(b"x"), "associated_data": b64(b"context")});
    let sealed = call("POST", "/xaes256gcmv0/encrypt", Some(body.clone()));
    let ciphertext = sealed.field("ciphertext");
    let opened = json!({"ciphertext": ciphertext, "associated_data": b64(b"context")});
    assert_eq!(call("POST", "/xaes256gcmv0/decrypt", Some(opened)).json(), json!({"plaintext": b64(b"x")}));
    refused(
        &call("POST", "/xaes256gcmv0/decrypt", Some(json!({"ciphertext": ciphertext}))),
        400,
        "decryption_failed",
    );
    refused(&call("POST", "/nacl_boxv0/encrypt", Some(body)), 400, "wrong_key_type");

    let deleted = call("DELETE", "/es256v0", None);
    assert_eq!((deleted.status, deleted.number("version")), (200, before + 10));
    refused(&call("GET", "/es256v0", None), 404, "not_found");
    refused(&call("DELETE", "/es256v0", None), 404, "not_found");
    refused(&call("POST", "/es256v0/sign", Some(json!({"plaintext": ""}))), 404, "not_found");
    refused(&call("GET", "?version=99", None), 503, "version_not_reached");
    assert_eq!(dev.version("shop"), before + 10);
}

#[test]
fn a_key_survives_a_restart_and_secrets_and_keys_change_independently() {
    let dev = Dev::start();
    let key = [7; 32];
    let user_header = user(&dev);
    let set = json!({"type": "hs256", "value": b64(&key)});
    assert_eq!(dev.call("POST", &format!("{KEYS}/mine"), &user_header, Some(&set)).status, 201);
    dev.set("shop", &json!({"AFTER": "a key"}));
    let sign = |dev: &Dev| {
        dev.call("POST", &format!("{KEYS}/mine/sign"), &user(dev), Some(&json!({"plaintext": b64(b"m")})))
            .field("signature")
    };
    let signature = sign(&dev);
    // HMAC-SHA-256 of "m" under 32 bytes of 7.
    let expected = petsem_keys::SecretKey::import(petsem_keys::SecretKeyType::Hs256, &key).unwrap();
    assert_eq!(signature, BASE64.encode(&expected.sign(b"m").unwrap()));
    let read = dev.call("GET", "/v1/apps/shop/secrets?show_secrets=true", &dev.reader_jwt(), None);
    assert!(read.text().contains("a key"), "{}", read.text());

    let dev = dev.restart(Server::stop).unwrap();
    assert_eq!(sign(&dev), signature);
    // Created again, it is another key.
    generate(&dev, "mine", "hs256");
    assert_ne!(sign(&dev), signature);
}

#[test]
fn an_invalid_key_is_refused_and_changes_nothing() {
    let dev = Dev::start();
    let version = dev.version("shop");
    let user = user(&dev);
    let post = |path: &str, body: Value| dev.call("POST", &format!("{KEYS}{path}"), &user, Some(&body));
    for (body, code, text) in [
        (json!({"type": "hs256", "value": b64(&[1; 31])}), "bad_key", "32 to 64 bytes"),
        (json!({"type": "nacl_box", "value": b64(&[0; 32])}), "bad_key", "all zeros"),
        (json!({"type": "nacl_box", "value": null}), "bad_key", "no key was given"),
        (json!({"type": "es256", "value": b64(&[0xff; 32])}), "bad_key", "not a scalar of P-256"),
        (json!({"type": "nacl_sign", "value": b64(&[1; 64])}), "bad_key", "give the seed alone"),
        (json!({"type": "rs256", "value": b64(&[1; 32])}), "bad_key", "one of hs256"),
        (json!({"type": "hs256", "value": "_w=="}), "bad_value", "standard alphabet"),
        (json!({"type": "hs256", "value": [1, 2]}), "bad_request", "wrong type"),
        (json!({"type": "hs256", "value": b64(&[1; 32]), "id": "x"}), "bad_request", "unknown"),
    ] {
        let answer = post("/k", body.clone());
        refused(&answer, 400, code);
        assert!(answer.error().contains(text), "{body}: {}", answer.error());
    }
    let generated = post("/k/generate", json!({"type": "hs256", "value": b64(&[1; 32])}));
    refused(&generated, 400, "bad_request");
    assert!(generated.error().contains("without /generate"), "{}", generated.error());
    for name in ["a.b", "%20", "a%2Fb", &"x".repeat(129)] {
        refused(
            &post(&format!("/{name}"), json!({"type": "hs256", "value": b64(&[1; 32])})),
            400,
            "bad_name",
        );
    }
    generate(&dev, "k", "hs256");
    let long = json!({"plaintext": b64(&vec![0; 1024 * 1024 + 1])});
    refused(&post("/k/sign", long), 413, "value_too_large");
    refused(&post("/k/sign", json!({"plaintext": "x".repeat(4 * 1024 * 1024)})), 413, "body_too_large");
    assert_eq!(dev.version("shop"), version + 1);
}

#[test]
fn a_token_for_some_keys_uses_those_and_does_not_see_the_others() {
    let dev = Dev::start();
    generate(&dev, "signv0", "hs256");
    generate(&dev, "signv1", "hs256");
    generate(&dev, "other", "hs256");
    let token = dev.mint_as_owner();
    let narrowed = |keys: SecretKeys, actions: &[Action]| {
        let actions = Actions(ActionSet::from_iter(actions.iter().copied()));
        flyv1(&appended(&token, [keys.into(), actions.into()]))
    };
    let prefix = narrowed(SecretKeys::new([], ["sign".to_owned()]), &[Action::UseKey, Action::List]);
    let message = json!({"plaintext": b64(b"m")});
    let sign =
        |header: &str, label: &str| dev.call("POST", &format!("{KEYS}/{label}/sign"), header, Some(&message));
    assert_eq!(sign(&prefix, "signv0").status, 200);
    assert_eq!(sign(&prefix, "signv1").status, 200);
    refused(&sign(&prefix, "other"), 403, "forbidden");
    // The answer does not reveal whether a key exists.
    assert_eq!(sign(&prefix, "nothing").outcome(), sign(&prefix, "other").outcome());
    refused(&sign(&prefix, "signv9"), 404, "not_found");
    let list = dev.call("GET", KEYS, &prefix, None);
    let names: Vec<_> =
        list.json()["secret_keys"].as_array().unwrap().iter().map(|key| key["name"].clone()).collect();
    assert_eq!(names, ["signv0", "signv1"]);
    let generate = format!("{KEYS}/signv2/generate");
    refused(&dev.call("POST", &generate, &prefix, Some(&json!({"type": "hs256"}))), 403, "forbidden");
    refused(&dev.call("DELETE", &format!("{KEYS}/signv0"), &prefix, None), 403, "forbidden");
    // A token for keys gives no access to secrets, and one for secrets none to keys.
    refused(&dev.call("GET", "/v1/apps/shop/secrets", &prefix, None), 403, "forbidden");
    let reader = narrowed(SecretKeys::new([], [String::new()]), &[Action::List]);
    refused(&sign(&reader, "signv0"), 403, "forbidden");
    assert_eq!(dev.call("GET", KEYS, &reader, None).json()["secret_keys"].as_array().unwrap().len(), 3);
    refused(&dev.call("GET", KEYS, &dev.reader_jwt(), None), 401, "token_malformed");
}

#[test]
fn a_token_of_another_org_gets_the_same_answer_whether_the_app_exists_or_not() {
    let dev = Dev::start();
    generate(&dev, "k", "hs256");
    assert_eq!(dev.operate("POST", "/v1/orgs", Some(&json!({"name": "rivals"}))).status, 201);
    // Who may create an app learns whether its name is free.
    let all_but_write = json!(["list", "delete", "use_key", "manage_policy", "mint"]);
    let rivals = flyv1(&dev.mint(&json!({"kind": "org", "org": "rivals", "actions": all_but_write})));
    let message = json!({"plaintext": b64(b"m"), "signature": ""});
    let key = json!({"type": "hs256", "value": b64(&[1; 32])});
    let refusal = |answer: &Answer| (answer.outcome(), answer.error());
    for (method, path, body) in [
        ("GET", "", None),
        ("GET", "/k", None),
        ("POST", "/k", Some(&key)),
        ("POST", "/k/generate", Some(&json!({"type": "hs256"}))),
        ("DELETE", "/k", None),
        ("POST", "/k/sign", Some(&json!({"plaintext": ""}))),
        ("POST", "/k/encrypt", Some(&json!({"plaintext": ""}))),
        ("POST", "/k/decrypt", Some(&json!({"ciphertext": ""}))),
        ("POST", "/k/verify", Some(&message)),
    ] {
        let there = dev.call(method, &format!("{KEYS}{path}"), &rivals, body);
        let absent = dev.call(method, &format!("/v1/apps/nowhere/secretkeys{path}"), &rivals, body);
        refused(&there, 403, "forbidden");
        assert_eq!(refusal(&there), refusal(&absent), "{method} {path}");
        // A host's token may use none of these routes.
        let host = dev.call(method, &format!("{KEYS}{path}"), &flyv1(&dev.host), body);
        assert!((400..404).contains(&host.status), "{method} {path}: {}", host.text());
    }
    assert_eq!(dev.call("GET", &format!("{KEYS}/k"), &user(&dev), None).status, 200);
}

#[test]
fn an_operator_deletes_keys_that_it_may_not_use() {
    let dev = Dev::start();
    let user = user(&dev);
    generate(&dev, "k", "hs256");
    let key = format!("{KEYS}/k");
    let sign = json!({"plaintext": b64(b"message")});
    refused(&dev.operate("POST", &format!("{key}/sign"), Some(&sign)), 403, "forbidden");
    assert_eq!(dev.call("POST", &format!("{key}/sign"), &user, Some(&sign)).status, 200);
    assert_eq!(dev.operate("DELETE", &key, None).status, 200);
    refused(&dev.call("POST", &format!("{key}/sign"), &user, Some(&sign)), 404, "not_found");
}

#[test]
fn each_use_has_an_audit_line_that_names_the_key() {
    let dev = Dev::start();
    generate(&dev, "k", "hs256");
    let user = user(&dev);
    let body = json!({"plaintext": b64(b"canary-message")});
    let signed = dev.call("POST", &format!("{KEYS}/k/sign"), &user, Some(&body));
    let wrong = json!({"plaintext": b64(b"canary-message"), "signature": "AAAA"});
    let verified = dev.call("POST", &format!("{KEYS}/k/verify"), &user, Some(&wrong));
    let lines = dev.audit_lines();
    let line = |answer: &Answer| {
        let id = answer.header("petsem-request-id").unwrap();
        lines.iter().find(|line| line["request_id"] == id).unwrap().clone()
    };
    let (signed, verified) = (line(&signed), line(&verified));
    assert_eq!(
        (&signed["action"], &signed["outcome"], &signed["secret_key"], &signed["app_name"]),
        (&json!("secret_key.sign"), &json!("allowed"), &json!("k"), &json!("shop"))
    );
    assert_eq!(
        (&verified["action"], &verified["reason"], &verified["secret_key"]),
        (&json!("secret_key.verify"), &json!("signature_mismatch"), &json!("k"))
    );
    assert!(!dev.audit_log().contains("canary"));
}

#[test]
fn the_command_line_creates_versions_of_keys_and_reads_files_and_pipes() {
    let dev = Dev::start();
    let work = tempfile::tempdir().unwrap();
    let file = |name: &str| work.path().join(name).display().to_string();
    let token = file("token");
    std::fs::write(&token, dev.mint_as_owner()).unwrap();
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let endpoint = format!("http://{}", dev.server.address());
    let keys = |arguments: &[&str]| {
        let connection = ["--app", "shop", "--endpoint", &endpoint, "--token-file", &token];
        let ended = run(petsem(["keys"].iter().chain(arguments).chain(&connection)));
        (ended.status.code(), ended.printed)
    };
    let done = |arguments: &[&str]| {
        let (status, printed) = keys(arguments);
        assert_eq!(status, Some(0), "{arguments:?}: {printed}");
        printed
    };
    std::fs::write(file("message"), b"bytes \x00\xff\n").unwrap();
    let message = file("message");

    assert!(
        done(&["generate", "mail", "--type", "xaes256gcm"]).contains("mailv0 is a key of type xaes256gcm")
    );
    done(&["encrypt", "mail", &message, "--out", &file("old")]);
    assert!(done(&["generate", "mail", "--type", "xaes256gcm"]).contains("mailv1"));
    done(&["encrypt", "mail", &message, "--associated-data", &token, "--out", &file("new"), "--base64"]);
    done(&["decrypt", "mailv0", &file("old"), "--out", &file("old.plain")]);
    done(&[
        "decrypt",
        "mail",
        &file("new"),
        "--associated-data",
        &token,
        "--base64",
        "--out",
        &file("new.plain"),
    ]);
    for plain in ["old.plain", "new.plain"] {
        assert_eq!(std::fs::read(file(plain)).unwrap(), b"bytes \x00\xff\n", "{plain}");
    }
    // This ciphertext is by an older version.
    let (status, printed) = keys(&["decrypt", "mail", &file("old"), "--out", &file("wrong")]);
    assert!(printed.contains("decryption_failed") && printed.contains("such as mailv0"), "{printed}");
    assert_eq!((status, std::fs::exists(file("wrong")).unwrap()), (Some(1), false));
    // A version of another type would change what the label does.
    let (status, printed) = keys(&["generate", "mail", "--type", "nacl_sign"]);
    assert!(printed.contains("mailv2 would be a key of type nacl_sign"), "{printed}");
    assert_eq!(status, Some(1));
    let (status, printed) = keys(&["generate", "mailv1", "--type", "xaes256gcm"]);
    assert!(printed.contains("key mailv1 already exists") && printed.contains("--force"), "{printed}");
    assert_eq!(status, Some(2));

    std::fs::write(file("key"), BASE64.encode(&[7; 32])).unwrap();
    done(&["set", "hook", "--type", "hs256", "--no-version", "--base64", "--file", &file("key")]);
    done(&["sign", "hook", &message, "--out", &file("signature")]);
    assert_eq!(std::fs::read(file("signature")).unwrap().len(), 32);
    let verified = done(&["verify", "hook", &message, "--signature", &file("signature")]);
    assert!(verified.contains("the signature is valid"), "{verified}");
    let (status, printed) = keys(&["verify", "hook", &token, "--signature", &file("signature")]);
    assert!(printed.contains("signature_mismatch"), "{printed}");
    assert_eq!(status, Some(1));
    let (status, printed) = keys(&["sign", "nothing", &message, "--base64"]);
    assert!(printed.contains("has no key nothing and no version of it"), "{printed}");
    assert_eq!(status, Some(1));

    let (status, printed) = keys(&["delete", "mailv0"]);
    assert!(printed.contains("can then never be decrypted; nothing was changed"), "{printed}");
    assert_eq!(status, Some(2));
    assert!(done(&["list"]).contains("mailv0"));
    done(&["delete", "mailv0", "--yes"]);
    let list = done(&["list"]);
    assert!(list.contains("mailv1") && list.contains("hook") && !list.contains("mailv0"), "{list}");
}

/// A row as it was at some time.
#[derive(Clone)]
struct Saved {
    row_version: i64,
    content: Vec<u8>,
    mac: Vec<u8>,
}

fn saved(database: &Connection, kind: u8, id: &[u8]) -> Saved {
    let query = "SELECT row_version, content, mac FROM records WHERE kind = ?1 AND id = ?2";
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Saved { row_version: row.get(0)?, content: row.get(1)?, mac: row.get(2)? })
    };
    database.query_row(query, params![kind, id], row).unwrap()
}

fn put(database: &Connection, kind: u8, id: &[u8], row: &Saved) {
    let put =
        "INSERT OR REPLACE INTO records (kind, id, row_version, content, mac) VALUES (?1, ?2, ?3, ?4, ?5)";
    database.execute(put, params![kind, id, row.row_version, row.content, row.mac]).unwrap();
}

#[test]
fn changed_exchanged_removed_or_restored_keys_are_integrity() {
    let dev = Dev::start();
    let id = |text: String| text.parse::<petsem_api::AppId>().unwrap().as_bytes().to_vec();
    let shop = id(dev.operate("GET", "/v1/apps/shop", None).field("id"));
    let other = id(dev.app("other", &json!({})));
    generate(&dev, "k", "hs256");
    let user = user(&dev);
    let made =
        dev.call("POST", "/v1/apps/other/secretkeys/k/generate", &user, Some(&json!({"type": "hs256"})));
    assert_eq!(made.status, 201, "{}", made.text());
    let database = Connection::open(dev.database()).unwrap();
    database.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let sign = || dev.call("POST", &format!("{KEYS}/k/sign"), &user, Some(&json!({"plaintext": b64(b"m")})));
    let signature = sign().field("signature");
    let good = saved(&database, SECRET_KEYS, &shop);
    let noticed = |what: &str| {
        for answer in [sign(), dev.call("GET", KEYS, &user, None), {
            dev.call("POST", &format!("{KEYS}/n/generate"), &user, Some(&json!({"type": "hs256"})))
        }] {
            assert_eq!(answer.outcome(), (500, "integrity".to_owned()), "{what}: {}", answer.text());
        }
    };

    for at in 0..good.content.len() {
        let mut bad = good.clone();
        bad.content[at] ^= 1;
        put(&database, SECRET_KEYS, &shop, &bad);
        let answer = sign();
        assert_eq!(answer.outcome(), (500, "integrity".to_owned()), "byte {at}: {}", answer.text());
    }
    put(&database, SECRET_KEYS, &shop, &Saved { mac: vec![0; 32], ..good.clone() });
    noticed("another MAC");
    put(&database, SECRET_KEYS, &shop, &Saved { row_version: good.row_version + 1, ..good.clone() });
    noticed("another row version");
    put(&database, SECRET_KEYS, &shop, &saved(&database, SECRET_KEYS, &other));
    noticed("the keys of another app");
    database.execute("DELETE FROM records WHERE kind = ?1 AND id = ?2", params![SECRET_KEYS, shop]).unwrap();
    noticed("no keys");
    put(&database, SECRET_KEYS, &shop, &good);
    assert_eq!(sign().field("signature"), signature);

    // The older keys: they would restore the deleted one.
    assert_eq!(dev.call("DELETE", &format!("{KEYS}/k"), &user, None).status, 200);
    put(&database, SECRET_KEYS, &shop, &good);
    noticed("old keys put back");
    assert_eq!(dev.version("shop"), 2);
}
