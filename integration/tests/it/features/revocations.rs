//! Revoked credentials, and everything derived from them, are refused immediately.

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::time::Duration;

use petsem_integration::dev::{Dev, appended, audit_log, flyv1, now, policy};
use petsem_integration::http::{Answer, Request, connect};
use petsem_integration::installation::Installation;
use petsem_integration::pause;
use petsem_integration::seals::{done, operator, refused as refused_by_command, seal_the_server};
use petsem_integration::server::{Server, run};
use petsem_policy::{Action, ActionSet, Actions, TokenId, UnverifiedToken};
use petsem_server::Development;
use serde_json::{Value, json};

const CANARY: &str = "canary-revoke-77d2a1c4";

fn shop() -> Dev {
    let dev = Dev::start();
    dev.set("shop", &json!({ "GREETING": CANARY }));
    dev
}

fn revoke(dev: &Dev, what: &Value) {
    let answer = dev.operate("POST", "/v1/revocations", Some(what));
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.outcome(), (status, code.to_owned()), "{}", answer.text());
    assert!(!answer.text().contains(CANARY), "{}", answer.text());
}

fn renew(dev: &Dev, renewal: &str) -> Answer {
    let both = flyv1(&format!("{},{renewal}", dev.host));
    dev.call("POST", "/v1/apps/shop/boot/renew", &both, Some(&json!({"machine": "m-1"})))
}

/// The proof of a boot of `m-1`: a JWT with these additional claims.
fn proof(dev: &Dev, claims: Value) -> String {
    let mut all = json!({
        "sub": "orchestrator", "petsem_app": "shop", "petsem_machine": "m-1", "petsem_host": Development::HOST
    });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    dev.jwt(&all)
}

#[test]
fn a_revoked_jti_ends_its_jwt_and_the_discharges_and_renewals_derived_from_it() {
    let dev = shop();
    let ask = |jti: &str| dev.ask_discharge(&dev.host, &proof(&dev, json!({ "jti": jti })), "shop", "m-1");
    let (discharge, other) = (ask("one").field("discharge"), ask("two").field("discharge"));
    let renewal = dev.boot("shop", "m-1", &discharge).field("renewal");
    let second = renew(&dev, &renewal).field("renewal");

    revoke(&dev, &json!({"jwt": {"issuer": Development::ISSUER, "jti": "one"}}));
    refused(&ask("one"), 401, "revoked");
    for token in [&discharge, &renewal, &second] {
        refused(&dev.boot("shop", "m-1", token), 401, "revoked");
        refused(&renew(&dev, token), 401, "revoked");
    }
    assert_eq!(dev.boot("shop", "m-1", &other).status, 200);
    assert_eq!(ask("two").status, 201);

    // An equal `jti` of another issuer is another JWT.
    revoke(&dev, &json!({"jwt": {"issuer": "https://else.invalid", "jti": "two"}}));
    assert_eq!(ask("two").status, 201);

    let dev = dev.restart(Server::kill).unwrap();
    refused(&dev.boot("shop", "m-1", &second), 401, "revoked");
    assert_eq!(dev.boot("shop", "m-1", &other).status, 200);
}

#[test]
fn a_revocation_of_a_subject_refuses_earlier_jwts_and_accepts_later_ones() {
    let dev = shop();
    let read = |issued: i64| {
        let jwt = dev.jwt(&json!({"sub": "developer", "iat": issued, "exp": issued + 300}));
        dev.call("GET", "/v1/apps/shop/secrets?show_secrets=true", &jwt, None)
    };
    let ask = |issued: i64| {
        dev.ask_discharge(&dev.host, &proof(&dev, json!({"iat": issued, "exp": issued + 300})), "shop", "m-1")
    };
    let now = now();
    let (old, new) = (ask(now - 100).field("discharge"), ask(now).field("discharge"));
    let renewal = dev.boot("shop", "m-1", &old).field("renewal");
    for sub in ["developer", "orchestrator"] {
        revoke(
            &dev,
            &json!({"jwt_subject": {"issuer": Development::ISSUER, "sub": sub, "before": now - 50}}),
        );
    }
    refused(&read(now - 51), 401, "revoked");
    assert_eq!(read(now - 50).status, 200);
    refused(&ask(now - 51), 401, "revoked");
    refused(&dev.boot("shop", "m-1", &old), 401, "revoked");
    refused(&dev.boot("shop", "m-1", &renewal), 401, "revoked");
    refused(&renew(&dev, &renewal), 401, "revoked");
    assert_eq!(dev.boot("shop", "m-1", &new).status, 200);

    // Without a time: all issued so far, also by an issuer whose clock is ahead.
    revoke(&dev, &json!({"jwt_subject": {"issuer": Development::ISSUER, "sub": "developer"}}));
    refused(&read(now + 25), 401, "revoked");
    assert_eq!(dev.boot("shop", "m-1", &new).status, 200);
}

#[test]
fn operators_revoke_everything_and_orgs_only_what_belongs_to_them() {
    let dev = shop();
    dev.operate("POST", "/v1/orgs", Some(&json!({"name": "rivals"})));
    let rivals = dev.mint(&json!({"kind": "org", "org": "rivals"}));
    let ours = dev.mint(&json!({"kind": "org", "org": "demo"}));
    let id = |token: &str| UnverifiedToken::parse(token).unwrap().id().to_string();
    let ask =
        |token: &str, what: Value| dev.call("POST", "/v1/revocations", &flyv1(token), Some(&what)).outcome();
    let forbidden = (403, "forbidden".to_owned());
    let issuer = Development::ISSUER;
    for what in [
        json!({"token": {"id": id(&ours)}}),
        json!({"token": {"id": id(&dev.operator)}}),
        json!({"token": {"id": "00000000-0000-0000-0000-000000000000"}}),
        json!({"machine": {"app": "shop", "machine": "m-1"}}),
        json!({"machine": {"app": "nowhere", "machine": "m-1"}}),
        json!({"host": {"host": "dev"}}),
        json!({"signing_key": {"id": "00000000-0000-0000-0000-000000000000"}}),
        json!({"jwt_subject": {"issuer": issuer, "sub": "developer"}}),
        json!({"jwt": {"issuer": issuer, "jti": "one"}}),
    ] {
        assert_eq!(ask(&rivals, what.clone()), forbidden, "{what}");
    }
    // A token that may not mint may not revoke either.
    let list = appended(&ours, [Actions(ActionSet::from_iter([Action::List])).into()]);
    assert_eq!(ask(&list, json!({"token": {"id": id(&ours)}})), forbidden);
    assert_eq!(ask(&list, json!({"machine": {"app": "shop", "machine": "m-1"}})), forbidden);

    assert_eq!(ask(&ours, json!({"machine": {"app": "shop", "machine": "m-1"}})).0, 201);
    assert_eq!(ask(&rivals, json!({"token": {"id": id(&rivals)}})).0, 201);
    let listing = |token: &str| dev.call("GET", "/v1/apps/shop/secrets", &flyv1(token), None).outcome();
    assert_eq!(listing(&rivals), (401, "revoked".to_owned()));
    assert_eq!(listing(&ours), (200, String::new()));

    let bad = |what: Value| dev.operate("POST", "/v1/revocations", Some(&what));
    let long = "x".repeat(4097);
    for what in [
        json!({"jwt": {"issuer": issuer, "jti": ""}}),
        json!({"jwt": {"issuer": "", "jti": "x"}}),
        json!({"jwt": {"issuer": issuer, "jti": long}}),
        json!({"jwt_subject": {"issuer": issuer, "sub": "x", "before": now() + 367 * 86_400}}),
        // An app's id in place of a token's is refused.
        json!({"token": {"id": dev.operate("GET", "/v1/apps/shop", None).field("id")}}),
    ] {
        assert_eq!(bad(what).outcome(), (400, "bad_request".to_owned()));
    }
    // So is the id that represents a key among ancestors: it must not revoke the key, and the operator with
    // it.
    let kid = UnverifiedToken::parse(&dev.operator).unwrap().kid().to_vec();
    let of_key = bad(json!({"token": {"id": TokenId::of_key(&kid).to_string()}}));
    assert_eq!(of_key.outcome(), (409, "conflict".to_owned()));
    assert!(of_key.text().contains("petsem token revoke --key"), "{}", of_key.text());
    assert_eq!(dev.operate("GET", "/v1/orgs", None).status, 200);
    let absent = bad(json!({"signing_key": {"id": "00000000-0000-0000-0000-000000000000"}}));
    assert_eq!(absent.outcome(), (404, "not_found".to_owned()));
}

/// An installation with a running server, and a spare operator token to revoke.
struct Node {
    installation: Installation,
    server: Option<Server>,
    spare: (String, String),
}

impl Node {
    fn start() -> Self {
        let installation = Installation::made();
        let server = installation.start().unwrap();
        let answer = Request::new("POST", "/v1/tokens")
            .authorization(&flyv1(&installation.operator()))
            .json(&json!({"kind": "operator"}))
            .send(server.address());
        assert_eq!(answer.status, 201, "{}", answer.text());
        let spare = (answer.field("id"), answer.field("token"));
        Self { installation, server: Some(server), spare }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    fn uses_spare(&self) -> (u16, String) {
        let request = Request::new("GET", "/v1/orgs").authorization(&flyv1(&self.spare.1));
        request.send(self.server().address()).outcome()
    }

    fn deny(&self) -> String {
        let ended = run(self.installation.with_configuration(&["operator", "deny", &self.spare.0]));
        assert!(ended.status.success(), "{}", ended.printed);
        ended.printed
    }

    fn stop(&mut self) {
        assert!(self.server.take().unwrap().stop().status.success());
    }

    fn restart(&mut self) {
        self.server = Some(self.installation.start().unwrap());
    }
}

#[test]
fn a_denial_on_the_node_takes_effect_on_the_running_server_and_persists() {
    let mut node = Node::start();
    assert_eq!(node.uses_spare(), (200, String::new()));
    let said = node.deny();
    assert!(said.contains(&node.spare.0) && said.contains("revoked (control change"), "{said}");
    assert_eq!(node.uses_spare(), (401, "revoked".to_owned()));
    let left: Vec<_> = std::fs::read_dir(node.installation.path("data/denials")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");

    // The revocation is in the control feed: it needs only the store.
    node.stop();
    std::fs::remove_dir(node.installation.path("data/denials")).unwrap();
    node.restart();
    assert_eq!(node.uses_spare(), (401, "revoked".to_owned()));
}

#[test]
fn a_denial_on_the_node_is_written_into_the_store_while_no_server_runs() {
    let mut node = Node::start();
    node.stop();
    let said = node.deny();
    assert!(said.contains("revoked (control change"), "{said}");
    node.restart();
    assert_eq!(node.uses_spare(), (401, "revoked".to_owned()));
}

#[test]
fn a_denial_on_a_sealed_server_takes_effect_before_it_serves_a_request() {
    let mut node = Node::start();
    let denials = node.installation.path("data/denials");
    done(&seal_the_server(&node.installation, node.server()));
    // Missing objects are refused immediately, and no denial is left.
    for (arguments, text) in [
        (["--machine", "m-1", "--app", "nowhere"].as_slice(), "there is no such app"),
        (&["--key", "00000000-0000-0000-0000-000000000000"], "there is no such signing key"),
        (&["0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00"], "this is not the id of a token"),
    ] {
        let ended = operator(&node.installation, &[&["deny"], arguments].concat(), &[]);
        refused_by_command(&ended, &[text]);
    }
    assert!(!denials.exists());

    let denied = operator(&node.installation, &["deny", &node.spare.0, "--json"], &[]);
    assert!(done(&denied).contains("\"at_unseal\""), "{}", denied.printed);
    let said = node.deny();
    assert!(
        said.contains("refused as soon as this node is unsealed; until then its server is sealed"),
        "{said}"
    );
    assert_eq!(node.uses_spare(), (503, "sealed".to_owned()));
    done(&operator(&node.installation, &["unseal"], &[]));
    assert_eq!(node.uses_spare(), (401, "revoked".to_owned()));
    let waiting = |path: &std::path::Path| path.extension().is_some_and(|extension| extension == "denial");
    let left = std::fs::read_dir(&denials).unwrap().filter(|entry| waiting(&entry.as_ref().unwrap().path()));
    assert_eq!(left.count(), 0);
    // The revocation is in the control feed.
    node.stop();
    std::fs::remove_dir_all(&denials).unwrap();
    node.restart();
    assert_eq!(node.uses_spare(), (401, "revoked".to_owned()));
    let log = audit_log(&node.installation.path("data/audit"));
    assert_eq!(log.matches("\"action\":\"operator.deny\",\"outcome\":\"allowed\"").count(), 2, "{log}");
}

#[test]
fn a_denial_without_an_available_seal_is_refused_and_leaves_no_file() {
    let node = Node::start();
    let (key, away) = (node.installation.path("seal.key"), node.installation.path("away.key"));
    std::fs::rename(&key, &away).unwrap();
    for is_sealed in [false, true] {
        if is_sealed {
            done(&seal_the_server(&node.installation, node.server()));
        }
        let ended = operator(&node.installation, &["deny", &node.spare.0], &[]);
        refused_by_command(&ended, &["seal.key", "correct that and try again, or configure another seal"]);
        assert!(!node.installation.path("data/denials").exists());
    }
    std::fs::rename(&away, &key).unwrap();
    assert!(node.deny().contains("as soon as this node is unsealed"));
}

#[test]
fn every_command_on_the_node_reports_a_database_moved_away_from_the_running_server() {
    let node = Node::start();
    let (database, away) = (node.installation.path("data/petsem.db"), node.installation.path("petsem.away"));
    std::fs::rename(&database, &away).unwrap();
    let second = node.installation.path("second.token");
    for arguments in [
        ["deny", &node.spare.0].as_slice(),
        &["seal", "list"],
        &["seal", "verify"],
        &["seal", "add", "key-file"],
        &["seal", "remove", "abcd"],
        &["seal", "remove", "--compromised", "abcd"],
        &["rotate-root"],
        &["verify"],
        &["recover", "--operator", "kim", "--out", second.to_str().unwrap()],
        &["init", "--operator", "kim", "--out", second.to_str().unwrap()],
    ] {
        let ended = operator(&node.installation, arguments, &[]);
        refused_by_command(
            &ended,
            &[
                "its database is no longer there",
                "nothing was changed",
                "restore petsem.db",
                "while that server still runs",
            ],
        );
        assert!(!database.exists() && !second.exists(), "{arguments:?}");
    }
    assert!(!node.installation.path("data/denials").exists());
    let status = operator(&node.installation, &["status"], &[]);
    assert!(done(&status).contains("its database is no longer there"), "{}", status.printed);
    // The server continues with its open file, and works completely when the path is back.
    assert_eq!(node.uses_spare(), (200, String::new()));
    std::fs::rename(&away, &database).unwrap();
    assert!(node.deny().contains("revoked (control change"));
    assert_eq!(node.uses_spare(), (401, "revoked".to_owned()));
}

#[test]
fn a_forged_file_among_the_denials_denies_nothing() {
    let node = Node::start();
    let folder = node.installation.path("data/denials");
    std::fs::create_dir(&folder).unwrap();
    let forged = folder.join("0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00.denial");
    let text = json!({"token": {"id": node.spare.0}}).to_string();
    std::fs::write(&forged, [&[0; 32], text.as_bytes()].concat()).unwrap();
    let line = node.server().printed_line("is not authentic; it was moved aside");
    assert!(line.contains("0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00"), "{}", node.server().printed());
    assert_eq!(node.uses_spare(), (200, String::new()));
    assert!(forged.with_extension("refused").exists() && !forged.exists());
}

#[test]
fn an_unreadable_denial_is_reported_and_kept() {
    let node = Node::start();
    let folder = node.installation.path("data/denials");
    // Not even root can read a directory as a file.
    let denial = folder.join("0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00.denial");
    std::fs::create_dir_all(&denial).unwrap();
    let line = node.server().printed_line("cannot read a denial, so it is not in force");
    assert!(line.contains("0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00"), "{}", node.server().printed());
    let ready = || Request::new("GET", "/readyz").send(node.server().address());
    assert!(ready().text().contains("1 denials cannot be read"), "{}", ready().text());
    assert!(denial.exists() && !denial.with_extension("refused").exists());
    std::fs::remove_dir(&denial).unwrap();
    let reads = || !ready().text().contains("cannot be read");
    for _ in 0..100 {
        if reads() {
            return;
        }
        pause(Duration::from_millis(100));
    }
    panic!("{}", ready().text());
}

/// Needs root: it gives files to another user.
#[test]
fn denial_files_written_by_root_belong_to_the_user_of_the_server() {
    const USER: u32 = 12_345;
    let node = Node::start();
    done(&seal_the_server(&node.installation, node.server()));
    chown(node.installation.path("data"), Some(USER), Some(USER)).expect("this test needs root");
    assert!(node.deny().contains("as soon as this node is unsealed"));
    let denials = node.installation.path("data/denials");
    let laid: Vec<_> = std::fs::read_dir(&denials).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(
        laid.iter().any(|path| path.extension().is_some_and(|extension| extension == "denial")),
        "{laid:?}"
    );
    for path in laid.iter().chain([&denials]) {
        let metadata = std::fs::metadata(path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o077), (USER, USER, 0), "{path:?}");
    }
}

#[test]
fn a_denial_for_an_unknown_app_is_refused_by_the_running_server() {
    let node = Node::start();
    let arguments = ["operator", "deny", "--machine", "m-1", "--app", "nowhere"];
    let ended = run(node.installation.with_configuration(&arguments));
    assert_eq!(ended.status.code(), Some(1), "{}", ended.printed);
    assert!(ended.printed.contains("there is no such app"), "{}", ended.printed);
}

#[test]
fn the_policy_is_re_evaluated_in_addition_to_the_revocation() {
    // An unrevoked credential still needs its rule: the two checks do not replace each other.
    let dev = shop();
    let renewal = dev.boot("shop", "m-1", &dev.discharge("shop", "m-1")).field("renewal");
    let mut narrower = policy();
    narrower["rules"][0]["claims"] = json!({"sub": "somebody-else"});
    let put = dev.operate("PUT", "/v1/apps/shop/policy", Some(&json!({ "policy": narrower })));
    assert_eq!(put.status, 200, "{}", put.text());
    refused(&dev.boot("shop", "m-1", &renewal), 403, "policy_denied");
    revoke(&dev, &json!({"jwt_subject": {"issuer": Development::ISSUER, "sub": "orchestrator"}}));
    refused(&dev.boot("shop", "m-1", &renewal), 401, "revoked");
}

#[test]
fn a_body_that_arrives_after_its_token_was_revoked_changes_nothing() {
    let dev = shop();
    let token = dev.mint(&json!({"kind": "org", "org": "demo"}));
    let id = UnverifiedToken::parse(&token).unwrap().id().to_string();
    let body = json!({"value": CANARY}).to_string();
    let (most, last) = body.split_at(body.len() - 1);
    let request = Request::new("POST", "/v1/apps/shop/secrets/LATE")
        .authorization(&flyv1(&token))
        .header("content-type", "application/json");
    let mut connection = connect(dev.server.address()).unwrap();
    connection.write_all(&[&request.announcing(body.len()), most.as_bytes()].concat()).unwrap();
    // The token is verified, and the request waits for its body.
    pause(Duration::from_millis(300));
    revoke(&dev, &json!({"token": {"id": id}}));
    connection.write_all(last.as_bytes()).unwrap();
    let mut received = Vec::new();
    connection.read_to_end(&mut received).unwrap();
    refused(&Answer::parse(&received).unwrap(), 401, "revoked");
    assert_eq!(dev.version("shop"), 1);
    let line = dev.audit_lines().into_iter().rfind(|line| line["action"] == "secret.set").unwrap();
    assert_eq!((&line["outcome"], &line["reason"]), (&json!("denied"), &json!("revoked")), "{line}");
}

#[test]
fn every_issued_discharge_boots_whatever_the_length_of_its_jwt() {
    let dev = shop();
    let mut ends = [0, 0];
    for length in (1500..1960).step_by(5) {
        let proof = proof(&dev, json!({"jti": "j".repeat(length)}));
        let asked = dev.ask_discharge(&dev.host, &proof, "shop", "m-1");
        if asked.status == 201 {
            ends[0] += 1;
            assert_eq!(dev.boot("shop", "m-1", &asked.field("discharge")).status, 200, "{length}");
        } else {
            ends[1] += 1;
            assert_eq!(asked.outcome(), (400, "bad_request".to_owned()), "{length}: {}", asked.text());
            assert!(asked.error().contains("jti"), "{}", asked.text());
        }
    }
    assert!(ends.iter().all(|count| *count > 0), "{ends:?}");
}
