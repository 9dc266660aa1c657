//! Changing or deleting an issuer, and its effect on JWTs and everything derived from them.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use petsem_integration::dev::{Dev, audit_log, flyv1, now};
use petsem_integration::http::{Answer, Request};
use petsem_integration::installation::Installation;
use petsem_integration::pause;
use petsem_integration::publisher::IssuerKey;
use petsem_integration::server::{Ended, Server, run};
use petsem_server::Development;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const CANARY: &str = "canary-issuer-changes-90d1e4b7";
const ISSUER: &str = "https://issuer.example";
const VALUES: &str = "/v1/apps/shop/secrets?show_secrets=true";

/// An installation with two operators, neither of which minted the other's token, and the app `shop`, which
/// one issuer may read.
struct Scene {
    installation: Installation,
    server: Option<Server>,
    kim: String,
    lee: String,
}

impl Scene {
    fn new(key: &IssuerKey) -> Self {
        let installation = Installation::made();
        let recovered = run(installation.with_configuration(&[
            "operator",
            "recover",
            "--operator",
            "lee@example.com",
            "--out",
            installation.path("lee.token").to_str().unwrap(),
        ]));
        assert!(recovered.status.success(), "{}", recovered.printed);
        let lee = std::fs::read_to_string(installation.path("lee.token")).unwrap().trim().to_owned();
        let added = at_the_node(&installation, &registration(key), &[]);
        assert!(added.status.success(), "{}", added.printed);
        let server = Some(installation.start().unwrap());
        let scene = Self { kim: installation.operator(), lee, installation, server };
        let policy = json!({"format": 1, "rules": [{
            "name": "readers", "issuer": ISSUER, "claims": {"sub": "reader-*"},
            "actions": ["read_value"], "secrets": {"names": ["A"]}
        }]});
        scene.installation.make_shop(scene.address(), &policy, CANARY);
        scene
    }

    fn address(&self) -> std::net::SocketAddr {
        self.server.as_ref().unwrap().address()
    }

    fn call(&self, method: &str, target: &str, token: &str, body: Option<&Value>) -> Answer {
        let request = Request::new(method, target).authorization(&flyv1(token));
        body.map_or(request.clone(), |body| request.json(body)).send(self.address())
    }

    fn read(&self, token: &str) -> (u16, String) {
        let answer =
            Request::new("GET", VALUES).authorization(&format!("Bearer {token}")).send(self.address());
        assert_eq!(answer.status == 200, answer.text().contains(CANARY), "{}", answer.text());
        answer.outcome()
    }

    fn exchange(&self, jwt: &str) -> Answer {
        let form = format!(
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&audience=shop&subject_token={jwt}\
             &subject_token_type=urn:ietf:params:oauth:token-type:jwt"
        );
        Request::new("POST", "/v1/token").body("application/x-www-form-urlencoded", form).send(self.address())
    }

    /// The path of the only issuer.
    fn path(&self) -> String {
        let issuers = self.call("GET", "/v1/issuers", &self.kim, None).json()["issuers"].clone();
        assert_eq!(issuers.as_array().unwrap().len(), 1, "{issuers}");
        format!("/v1/issuers/{}", issuers[0]["id"].as_str().unwrap())
    }

    fn ask_change(&self, path: &str, wanted: &Value) -> String {
        let asked = self.call("PUT", path, &self.kim, Some(wanted));
        assert_eq!((asked.status, asked.field("kind")), (202, "issuer".to_owned()), "{}", asked.text());
        asked.field("id")
    }

    /// Approves, with the digest that the request shows.
    fn approve(&self, request: &str, by: &str) -> Answer {
        let shown = self.call("GET", &format!("/v1/approvals/{request}"), &self.kim, None).json();
        self.approve_keys(request, by, &json!({"key_digest": shown["key_digest"]}))
    }

    fn approve_keys(&self, request: &str, by: &str, body: &Value) -> Answer {
        self.call("POST", &format!("/v1/approvals/{request}/approve"), by, Some(body))
    }

    /// Runs `petsem` as an operator.
    fn command(&self, arguments: &[&str]) -> Ended {
        self.installation.operate(self.address(), arguments)
    }
}

fn registration(key: &IssuerKey) -> Value {
    json!({"issuer": ISSUER, "algorithms": ["ES256"], "keys": {"keys": [key.jwk()]}})
}

fn at_the_node(installation: &Installation, wanted: &Value, more: &[&str]) -> Ended {
    installation.register(wanted, more)
}

fn claims(sub: &str, issued_at: i64) -> Value {
    json!({"iss": ISSUER, "aud": "petsem-test", "sub": sub, "iat": issued_at, "exp": issued_at + 300})
}

fn good() -> (u16, String) {
    (200, String::new())
}

fn refused(code: u16, status: &str) -> (u16, String) {
    (code, status.to_owned())
}

/// As RFC 7638 defines it.
fn thumbprint(key: &IssuerKey) -> String {
    let jwk = key.jwk();
    let (x, y) = (jwk["x"].as_str().unwrap(), jwk["y"].as_str().unwrap());
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    BASE64URL_NOPAD.encode(&Sha256::digest(members))
}

#[test]
fn new_keys_need_another_persons_approval_and_replace_the_old_ones() {
    let (old, new) = (IssuerKey::new("old"), IssuerKey::new("new"));
    let scene = Scene::new(&old);
    let path = scene.path();
    assert_eq!(scene.read(&old.sign(&claims("reader-ann", now()))), good());
    let request = scene.ask_change(&path, &registration(&new));
    let stale = scene.ask_change(&path, &registration(&IssuerKey::new("third")));
    assert_eq!(scene.approve(&request, &scene.kim).outcome(), refused(403, "forbidden"));
    let shown = scene.command(&["approve", "--show", &request]);
    assert!(shown.status.success() && shown.printed.contains("\"kid\": \"new\""), "{}", shown.printed);
    assert_eq!(scene.read(&new.sign(&claims("reader-ann", now()))), refused(401, "token_invalid"));

    // The approver repeats the digest of the keys, as their owner tells it.
    for (body, text) in [
        (json!({}), "let their owner tell you their digest"),
        (json!({"key_digest": thumbprint(&old)}), "these are other keys"),
    ] {
        let refused = scene.approve_keys(&request, &scene.lee, &body);
        assert_eq!(refused.outcome(), (409, "conflict".to_owned()), "{}", refused.text());
        assert!(refused.error().contains(text), "{}", refused.error());
    }

    let exchanged = scene.exchange(&old.sign(&claims("reader-ann", now()))).field("access_token");
    let approved = scene.approve_keys(&request, &scene.lee, &json!({"key_digest": thumbprint(&new)}));
    assert_eq!((approved.status, approved.field("state")), (200, "approved".to_owned()));
    let named = format!("registered keys by SHA-256 thumbprint (RFC 7638): {}", thumbprint(&new));
    assert_eq!(
        approved.field("summary"),
        format!("change the issuer {ISSUER}, {named}; its JWTs are signed by ES256")
    );
    assert_eq!(scene.read(&old.sign(&claims("reader-ann", now()))), refused(401, "token_invalid"));
    assert_eq!(scene.read(&new.sign(&claims("reader-ann", now()))), good());
    assert_eq!(scene.path(), path, "it is the same issuer");
    // An earlier request is based on a replaced registration.
    assert_eq!(scene.approve(&stale, &scene.lee).outcome(), refused(412, "stale_version"));

    // An operator that distrusts the old key revokes everything derived from it.
    assert_eq!(scene.read(&exchanged), good());
    let revoked = scene.command(&["token", "revoke", "--issuer", ISSUER, "--all-jwts", "--yes"]);
    assert!(
        revoked.printed.contains("all JWTs of https://issuer.example issued so far")
            && revoked.printed.contains("within the next 30 s"),
        "{}",
        revoked.printed
    );
    assert_eq!(scene.read(&exchanged), refused(401, "revoked"));
    assert_eq!(scene.read(&new.sign(&claims("reader-ann", now()))), refused(401, "revoked"));
}

#[test]
fn all_jwts_of_an_issuer_from_before_a_time_are_revoked() {
    let key = IssuerKey::new("one");
    let scene = Scene::new(&key);
    let time = now() - 60;
    let body = json!({"jwt_issuer": {"issuer": ISSUER, "before": time}});
    assert_eq!(scene.call("POST", "/v1/revocations", &scene.kim, Some(&body)).status, 201);
    for sub in ["reader-ann", "reader-bob"] {
        assert_eq!(scene.read(&key.sign(&claims(sub, time - 1))), refused(401, "revoked"));
        assert_eq!(scene.read(&key.sign(&claims(sub, time))), good());
    }
}

#[test]
fn a_rule_that_two_operators_set_reads_and_the_audit_log_names_request_approval_and_read() {
    let key = IssuerKey::new("one");
    let scene = Scene::new(&key);
    let mallory = || scene.read(&key.sign(&claims("mallory", now())));
    assert_eq!(mallory(), refused(403, "policy_denied"));
    let rule = json!({"name": "theirs", "issuer": ISSUER, "claims": {"sub": "mallory"},
        "actions": ["read_value"], "secrets": {"names": ["A"]}});
    let wanted = json!({"policy": {"format": 1, "rules": [rule]}});
    let asked = scene.call("PUT", "/v1/apps/shop/policy", &scene.kim, Some(&wanted));
    assert_eq!(asked.status, 202, "{}", asked.text());
    assert_eq!(mallory(), refused(403, "policy_denied"));
    let approved = scene.approve_keys(&asked.field("id"), &scene.lee, &json!({}));
    assert_eq!(approved.status, 200, "{}", approved.text());
    assert_eq!(mallory(), good());

    let server = scene.server.as_ref().unwrap();
    server.wait_for_audit_lines();
    let log = audit_log(&scene.installation.path("data/audit"));
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (action, who) in [
        ("policy.set", "kim@example.com"),
        ("approval.approve", "lee@example.com"),
        ("secret.read", "mallory"),
    ] {
        let is_it = |line: &&Value| line["action"] == action && line["outcome"] == "allowed";
        let line = lines.iter().rfind(is_it).unwrap_or_else(|| panic!("{action}: {log}"));
        assert_eq!(line["subject"]["sub"], who, "{line}");
    }
}

#[test]
fn an_impossible_change_is_refused_before_an_approval_is_requested() {
    let key = IssuerKey::new("one");
    let scene = Scene::new(&key);
    let path = scene.path();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut wanted = registration(&key);
        change(&mut wanted);
        let answer = scene.call("PUT", &path, &scene.kim, Some(&wanted));
        (answer.outcome(), answer.error())
    };
    let (outcome, text) = with(&|wanted| wanted["issuer"] = json!("https://other.example"));
    assert_eq!(outcome, refused(400, "bad_request"));
    assert!(text.contains("register the new one, and delete the old one"), "{text}");
    assert_eq!(with(&|wanted| wanted["algorithms"] = json!(["none"])).0, refused(400, "bad_request"));
    assert_eq!(with(&|wanted| wanted["discovery"] = json!(true)).0, refused(400, "bad_request"));

    let nowhere = "/v1/issuers/019a0000-0000-7000-8000-000000000000";
    for (method, body) in [("PUT", Some(registration(&key))), ("DELETE", None)] {
        let answer = scene.call(method, nowhere, &scene.kim, body.as_ref());
        assert_eq!(answer.outcome(), refused(404, "not_found"), "{}", answer.text());
        assert!(answer.error().contains("list the issuers with `petsem issuer list`"), "{}", answer.text());
        // An org's owner learns nothing about issuers.
        let body_of_org = json!({"kind": "org", "org": "acme"});
        let org = scene.call("POST", "/v1/tokens", &scene.kim, Some(&body_of_org)).field("token");
        let seen = |path: &str| scene.call(method, path, &org, body.as_ref()).outcome();
        assert_eq!((seen(nowhere), seen(&path)), (refused(403, "forbidden"), refused(403, "forbidden")));
    }
    let taken = scene.call("POST", "/v1/issuers", &scene.kim, Some(&registration(&key)));
    assert_eq!(taken.outcome(), refused(409, "name_taken"), "{}", taken.text());
    assert!(taken.error().contains("--replace"), "{}", taken.text());
    assert_eq!(scene.call("GET", "/v1/approvals", &scene.kim, None).json()["approvals"], json!([]));
    assert_eq!(scene.read(&key.sign(&claims("reader-ann", now()))), good());
}

/// With two registrations of one `iss`, a deletion would end only one, and a restart would restore the other.
#[test]
fn of_concurrently_approved_registrations_of_one_issuer_one_takes_effect() {
    let key = IssuerKey::new("one");
    let mut scene = Scene::new(&key);
    for number in 0..10 {
        let issuer = format!("https://issuer-{number}.example");
        let mut wanted = registration(&key);
        wanted["issuer"] = json!(issuer);
        let asked =
            [(); 2].map(|()| scene.call("POST", "/v1/issuers", &scene.kim, Some(&wanted)).field("id"));
        let mut outcomes = std::thread::scope(|scope| {
            let scene = &scene;
            let approvals =
                asked.map(|request| scope.spawn(move || scene.approve(&request, &scene.lee).outcome()));
            approvals.map(|approval| approval.join().unwrap())
        });
        outcomes.sort();
        assert_eq!(outcomes, [good(), refused(409, "name_taken")]);
        let deletes = |issuer: &Value| {
            let path = format!("/v1/issuers/{}", issuer["id"].as_str().unwrap());
            assert_eq!(scene.call("DELETE", &path, &scene.kim, None).status, 200);
        };
        let listed = scene.call("GET", "/v1/issuers", &scene.kim, None).json()["issuers"].clone();
        listed.as_array().unwrap().iter().filter(|one| one["issuer"] == issuer.as_str()).for_each(deletes);
    }
    let listed = scene.call("GET", "/v1/issuers", &scene.kim, None);
    assert!(!listed.text().contains("issuer-"), "{}", listed.text());
    assert!(scene.server.take().unwrap().stop().status.success());
    scene.server = Some(scene.installation.start().unwrap());
    let listed = scene.call("GET", "/v1/issuers", &scene.kim, None);
    assert!(!listed.text().contains("issuer-"), "{}", listed.text());
}

#[test]
fn jwts_of_a_deleted_issuer_are_refused_even_after_it_is_registered_again() {
    let key = IssuerKey::new("one");
    let mut scene = Scene::new(&key);
    let jwt = key.sign(&claims("reader-ann", now()));
    let exchanged = scene.exchange(&jwt).field("access_token");
    assert_eq!([scene.read(&jwt), scene.read(&exchanged)], [good(), good()]);

    let listed = scene.command(&["issuer", "list"]);
    assert!(listed.printed.contains(ISSUER) && listed.printed.contains("registered"), "{}", listed.printed);
    let path = scene.path();
    let id = path.rsplit('/').next().unwrap();
    let deleted = scene.command(&["issuer", "delete", id, "--yes"]);
    assert!(deleted.status.success(), "{}", deleted.printed);
    assert!(deleted.printed.contains("everything derived from them, are revoked"), "{}", deleted.printed);
    let at = now();
    assert_eq!(scene.read(&jwt), refused(401, "token_invalid"));
    assert_eq!(scene.read(&exchanged), refused(401, "revoked"));
    assert_eq!(scene.exchange(&jwt).status, 400);
    assert_eq!(scene.call("GET", "/v1/issuers", &scene.kim, None).json()["issuers"], json!([]));
    let metrics = Request::new("GET", "/metrics").send(scene.address()).text();
    assert!(!metrics.contains(ISSUER), "{metrics}");
    let replaced = scene.command(&["issuer", "add", "--replace", file(&scene, &key).as_str()]);
    assert_eq!(replaced.status.code(), Some(1), "{}", replaced.printed);
    assert!(replaced.printed.contains("no issuer is registered as"), "{}", replaced.printed);

    // Registered again at the node, it is another issuer: what it issued before stays revoked, also after a
    // restart.
    assert!(scene.server.take().unwrap().stop().status.success());
    let none = at_the_node(&scene.installation, &registration(&key), &["--replace"]);
    assert!(!none.status.success() && none.printed.contains("there is no such issuer"), "{}", none.printed);
    let added = at_the_node(&scene.installation, &registration(&key), &[]);
    assert!(added.status.success(), "{}", added.printed);
    scene.server = Some(scene.installation.start().unwrap());
    assert_ne!(scene.path(), path);
    assert_eq!(
        [scene.read(&jwt), scene.read(&exchanged)],
        [refused(401, "revoked"), refused(401, "revoked")]
    );
    // JWTs issued up to 30 seconds ahead may have existed; a JWT's skew allows later ones, and they are
    // accepted.
    while now() < at + 2 {
        pause(Duration::from_millis(50));
    }
    // The deletion was in this second or the one before it.
    assert_eq!(scene.read(&key.sign(&claims("reader-ann", at + 29))), refused(401, "revoked"));
    assert_eq!(scene.read(&key.sign(&claims("reader-ann", at + 31))), good());

    // At the node, a change needs no second person, like a registration.
    let new = IssuerKey::new("new");
    assert!(scene.server.take().unwrap().stop().status.success());
    let changed = at_the_node(&scene.installation, &registration(&new), &["--replace"]);
    assert!(changed.status.success(), "{}", changed.printed);
    scene.server = Some(scene.installation.start().unwrap());
    assert_eq!(scene.read(&key.sign(&claims("reader-ann", at + 31))), refused(401, "token_invalid"));
    assert_eq!(scene.read(&new.sign(&claims("reader-ann", at + 31))), good());
}

fn file(scene: &Scene, key: &IssuerKey) -> String {
    let file = scene.installation.path("again.json");
    std::fs::write(&file, registration(key).to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

/// An installation with a boot that a JWT proved: its grant, and its renewal.
fn booted() -> (Dev, [String; 2]) {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": CANARY}));
    let grant = dev.discharge("shop", "m-1");
    let boot = dev.boot("shop", "m-1", &grant);
    assert_eq!(boot.status, 200, "{}", boot.text());
    let renewal = boot.field("renewal");
    assert_eq!(dev.boot("shop", "m-1", &renewal).status, 200);
    (dev, [grant, renewal])
}

/// Asserts that neither boots, and that the renewal gives no other.
fn end_as_revoked(dev: &Dev, discharges: &[String; 2]) {
    for discharge in discharges {
        let answer = dev.boot("shop", "m-1", discharge);
        assert_eq!(answer.outcome(), refused(401, "revoked"), "{}", answer.text());
        assert!(!answer.text().contains(CANARY), "{}", answer.text());
    }
    let both = flyv1(&format!("{},{}", dev.host, discharges[1]));
    let renew = dev.call("POST", "/v1/apps/shop/boot/renew", &both, Some(&json!({"machine": "m-1"})));
    assert_eq!(renew.outcome(), refused(401, "revoked"));
}

#[test]
fn boots_grants_and_renewals_end_when_all_jwts_of_their_issuer_are_revoked() {
    let (dev, discharges) = booted();
    let all = json!({"jwt_issuer": {"issuer": Development::ISSUER, "before": now() + 1}});
    assert_eq!(dev.operate("POST", "/v1/revocations", Some(&all)).status, 201);
    end_as_revoked(&dev, &discharges);
}

#[test]
fn boots_grants_and_renewals_end_with_the_issuer_of_their_proof() {
    let (dev, discharges) = booted();
    let issuers = dev.operate("GET", "/v1/issuers", None).json()["issuers"].clone();
    assert_eq!(issuers[0]["issuer"], Development::ISSUER);
    let path = format!("/v1/issuers/{}", issuers[0]["id"].as_str().unwrap());
    let deleted = dev.operate("DELETE", &path, None);
    assert_eq!((deleted.status, deleted.field("issuer")), (200, Development::ISSUER.to_owned()));
    end_as_revoked(&dev, &discharges);
    let asked = dev.ask_discharge(&dev.host, &dev.boot_jwt("shop", "m-1"), "shop", "m-1");
    assert_eq!(asked.outcome(), refused(401, "token_invalid"), "{}", asked.text());
    assert_eq!(dev.operate("DELETE", &path, None).outcome(), refused(404, "not_found"));

    let lines = dev.audit_lines();
    let line = lines.iter().find(|line| line["action"] == "issuer.delete").unwrap();
    assert_eq!(line["outcome"], "allowed");
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.contains(Development::ISSUER) && detail.contains("are revoked"), "{detail}");
}
