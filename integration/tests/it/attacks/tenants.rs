//! A token of one org cannot tell objects of another from missing ones, on any route.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;
use petsem_integration::dev::{Dev, appended, flyv1, ticket};
use petsem_integration::http::Answer;
use petsem_integration::server::Server;
use petsem_policy::Apps;
use serde_json::{Value, json};

/// Ids and names of an org's objects, or of missing ones.
struct Things {
    org: String,
    app: String,
    approval: String,
    discharger: String,
    token: String,
}

type Asked = (&'static str, &'static str, String, Option<Value>);

const NO_SUCH_APP: &str = "there is no such app; list the apps with `petsem app list`";

/// Every request that names an object of an org: method, route, target, body.
fn requests(of: &Things, host_token: &str) -> Vec<Asked> {
    let Things { org, app, approval, discharger, token } = of;
    let ticket = ticket(host_token);
    let of_app = |path: &str| format!("/v1/apps/{app}{path}");
    let of_org = |path: &str| format!("/v1/orgs/{org}{path}");
    let machine = || Some(json!({"machine": "m-1"}));
    let key = || Some(json!({"type": "hs256"}));
    let third_party = || Some(json!({"ticket": ticket, "app": app, "machine": "m-1"}));
    let report = json!({"machine": "m-1", "version": 1, "delivery": "proved"});
    let boots = json!({"boots": [{"app": app, "machine": "m-1", "discharge": token}]});
    let outside = json!({"location": "https://auth.example", "org": org, "key": BASE64.encode(&[7; 32])});
    vec![
        ("GET", "/v1/orgs/{org}", of_org(""), None),
        ("DELETE", "/v1/orgs/{org}", of_org(""), None),
        ("GET", "/v1/orgs/{org}/guard", of_org("/guard"), None),
        ("PUT", "/v1/orgs/{org}/guard", of_org("/guard"), Some(json!({"guard_policies": true}))),
        ("GET", "/v1/apps", format!("/v1/apps?org={org}"), None),
        ("POST", "/v1/apps", "/v1/apps".into(), Some(json!({"org": org, "name": "mine"}))),
        ("GET", "/v1/apps/{app}", of_app(""), None),
        ("DELETE", "/v1/apps/{app}", of_app(""), None),
        ("GET", "/v1/apps/{app}/policy", of_app("/policy"), None),
        (
            "PUT",
            "/v1/apps/{app}/policy",
            of_app("/policy"),
            Some(json!({"policy": {"format": 1, "rules": []}})),
        ),
        ("PATCH", "/v1/apps/{app}/settings", of_app("/settings"), Some(json!({"history": 5}))),
        ("POST", "/v1/apps/{app}/rotate", of_app("/rotate"), Some(json!({}))),
        ("POST", "/v1/apps/{app}/break-glass", of_app("/break-glass"), Some(json!({"reason": "curious"}))),
        ("GET", "/v1/apps/{app}/secrets", of_app("/secrets"), None),
        ("GET", "/v1/apps/{app}/secrets", of_app("/secrets?version=9999"), None),
        ("GET", "/v1/apps/{app}/secrets", of_app("/secrets?show_secrets=true"), None),
        ("POST", "/v1/apps/{app}/secrets", of_app("/secrets"), Some(json!({"values": {"A": "x"}}))),
        ("GET", "/v1/apps/{app}/secrets/{name}", of_app("/secrets/A"), None),
        ("POST", "/v1/apps/{app}/secrets/{name}", of_app("/secrets/A"), Some(json!({"value": "x"}))),
        ("DELETE", "/v1/apps/{app}/secrets/{name}", of_app("/secrets/A"), None),
        ("GET", "/v1/apps/{app}/secrets/{name}/history", of_app("/secrets/A/history"), None),
        (
            "POST",
            "/v1/apps/{app}/secrets/{name}/rollback",
            of_app("/secrets/A/rollback"),
            Some(json!({"to_version": 1})),
        ),
        ("GET", "/v1/apps/{app}/secretkeys", of_app("/secretkeys"), None),
        ("GET", "/v1/apps/{app}/secretkeys", of_app("/secretkeys?version=9999"), None),
        ("GET", "/v1/apps/{app}/secretkeys/{name}", of_app("/secretkeys/k"), None),
        (
            "POST",
            "/v1/apps/{app}/secretkeys/{name}",
            of_app("/secretkeys/k"),
            Some(json!({"type": "hs256", "value": BASE64.encode(&[1; 32])})),
        ),
        ("DELETE", "/v1/apps/{app}/secretkeys/{name}", of_app("/secretkeys/k"), None),
        ("POST", "/v1/apps/{app}/secretkeys/{name}/generate", of_app("/secretkeys/k/generate"), key()),
        (
            "POST",
            "/v1/apps/{app}/secretkeys/{name}/encrypt",
            of_app("/secretkeys/k/encrypt"),
            Some(json!({"plaintext": ""})),
        ),
        (
            "POST",
            "/v1/apps/{app}/secretkeys/{name}/decrypt",
            of_app("/secretkeys/k/decrypt"),
            Some(json!({"ciphertext": ""})),
        ),
        (
            "POST",
            "/v1/apps/{app}/secretkeys/{name}/sign",
            of_app("/secretkeys/k/sign"),
            Some(json!({"plaintext": ""})),
        ),
        (
            "POST",
            "/v1/apps/{app}/secretkeys/{name}/verify",
            of_app("/secretkeys/k/verify"),
            Some(json!({"plaintext": "", "signature": ""})),
        ),
        ("POST", "/v1/apps/{app}/boot", of_app("/boot"), machine()),
        ("POST", "/v1/apps/{app}/boot/renew", of_app("/boot/renew"), machine()),
        ("POST", "/v1/apps/{app}/boot/report", of_app("/boot/report"), Some(report)),
        ("POST", "/v1/boot", "/v1/boot".into(), Some(boots)),
        ("GET", "/v1/tokens", format!("/v1/tokens?org={org}"), None),
        ("POST", "/v1/tokens", "/v1/tokens".into(), Some(json!({"kind": "org", "org": org}))),
        (
            "POST",
            "/v1/tokens",
            "/v1/tokens".into(),
            Some(json!({"kind": "org", "org": "rivals", "apps": [app]})),
        ),
        (
            "POST",
            "/v1/tokens/explain",
            "/v1/tokens/explain".into(),
            Some(json!({"action": "write", "app": app})),
        ),
        (
            "POST",
            "/v1/tokens/explain",
            "/v1/tokens/explain".into(),
            Some(json!({"action": "list", "org": org})),
        ),
        ("POST", "/v1/signing-keys", "/v1/signing-keys".into(), Some(json!({"org": org}))),
        ("POST", "/v1/revocations", "/v1/revocations".into(), Some(json!({"token": {"id": token}}))),
        (
            "POST",
            "/v1/revocations",
            "/v1/revocations".into(),
            Some(json!({"machine": {"app": app, "machine": "m-1"}})),
        ),
        ("GET", "/v1/dischargers", format!("/v1/dischargers?org={org}"), None),
        ("POST", "/v1/dischargers", "/v1/dischargers".into(), Some(outside)),
        ("DELETE", "/v1/dischargers/{id}", format!("/v1/dischargers/{discharger}"), None),
        ("GET", "/v1/approvals/{id}", format!("/v1/approvals/{approval}"), None),
        ("POST", "/v1/approvals/{id}/approve", format!("/v1/approvals/{approval}/approve"), Some(json!({}))),
        ("POST", "/v1/approvals/{id}/deny", format!("/v1/approvals/{approval}/deny"), Some(json!({}))),
        ("POST", "/.well-known/macfly/3p", "/.well-known/macfly/3p".into(), third_party()),
        (
            "POST",
            "/discharger/.well-known/macfly/3p",
            "/discharger/.well-known/macfly/3p".into(),
            third_party(),
        ),
    ]
}

/// Requests that no token of an org may make.
fn operators_own() -> Vec<Asked> {
    let issuer = json!({"issuer": "https://issuer.example", "algorithms": ["ES256"], "discovery": true});
    let of_all = [
        ("POST", "/v1/orgs", Some(json!({"name": "third"}))),
        ("GET", "/v1/tokens", None),
        ("POST", "/v1/tokens", Some(json!({"kind": "operator"}))),
        ("POST", "/v1/tokens", Some(json!({"kind": "host", "host": "dev"}))),
        ("POST", "/v1/enrollments", Some(json!({"hosts": ["dev"], "reason": "none"}))),
        ("GET", "/v1/rotations", None),
        ("POST", "/v1/keyring/rotate", None),
        ("GET", "/v1/signing-keys", None),
        ("POST", "/v1/revocations", Some(json!({"host": {"host": "dev"}}))),
        ("POST", "/v1/operator/seal", None),
        ("GET", "/v1/issuers", None),
        ("POST", "/v1/issuers", Some(issuer.clone())),
        ("GET", "/v1/dischargers", None),
    ];
    let (of_one, one) = ("/v1/issuers/{id}", "/v1/issuers/019a0000-0000-7000-8000-000000000000");
    let of_one = [("PUT", of_one, one.to_owned(), Some(issuer)), ("DELETE", of_one, one.to_owned(), None)];
    let of_all = of_all.into_iter().map(|(method, route, body)| (method, route, route.to_owned(), body));
    of_all.chain(of_one).collect()
}

/// Routes that neither name an object of an org nor need a token.
const NO_TOKEN: [(&str, &str); 7] = [
    // Needs the JWT in the form; see `exchange.rs`.
    ("POST", "/v1/token"),
    // Needs a secret in the path; see `second_person.rs`.
    ("GET", "/.well-known/macfly/3p/poll/{secret}"),
    ("GET", "/discharger/.well-known/macfly/3p/poll/{secret}"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
];

/// Lists that contain only what the client may see.
const LISTS: [(&str, &str); 2] = [("GET", "/v1/orgs"), ("GET", "/v1/approvals")];

/// An installation with two orgs: `demo`, and `rivals`, whose token is the strongest that a route mints.
struct Scene {
    dev: Dev,
    rivals: String,
    viewer: String,
    by_id: Things,
}

impl Scene {
    fn new() -> Self {
        let dev = Dev::start();
        dev.set("shop", &json!({"A": "1"}));
        let made =
            dev.operate("POST", "/v1/apps/shop/secretkeys/k/generate", Some(&json!({"type": "hs256"})));
        assert_eq!(made.status, 201, "{}", made.text());
        assert_eq!(dev.operate("POST", "/v1/orgs", Some(&json!({"name": "rivals"}))).status, 201);
        let key = BASE64.encode(&[7; 32]);
        let wanted = json!({"location": "https://ours.example", "org": "demo", "key": key});
        let asked = dev.operate("POST", "/v1/dischargers", Some(&wanted));
        let approve = format!("/v1/approvals/{}/approve", asked.field("id"));
        let body = json!({"key_digest": asked.json()["key_digest"]});
        assert_eq!(dev.call("POST", &approve, &flyv1(&dev.owner()), Some(&body)).status, 200);
        let dischargers = dev.operate("GET", "/v1/dischargers?org=demo", None).json();
        let discharger = dischargers["dischargers"].as_array().unwrap().iter();
        let discharger =
            discharger.clone().find(|one| one["location"] == "https://ours.example").unwrap()["id"].clone();
        let waits = dev.operate("POST", "/v1/apps/shop/break-glass", Some(&json!({"reason": "down"})));
        assert_eq!(waits.status, 201, "{}", waits.text());
        let by_id = Things {
            org: dev.operate("GET", "/v1/orgs/demo", None).field("id"),
            app: dev.operate("GET", "/v1/apps/shop", None).field("id"),
            approval: waits.field("request"),
            discharger: discharger.as_str().unwrap().to_owned(),
            token: waits.field("id"),
        };
        let rivals = flyv1(&dev.mint(&json!({"kind": "org", "org": "rivals"})));
        let viewer =
            flyv1(&dev.mint(&json!({"kind": "org", "org": "rivals", "actions": ["list", "read_value"]})));
        Self { dev, rivals, viewer, by_id }
    }

    fn call(&self, (method, _, target, body): &Asked) -> Answer {
        self.dev.call(method, target, &self.rivals, body.as_ref())
    }

    /// The same with a token of `rivals` that may not create apps.
    fn look(&self, (method, _, target, body): &Asked) -> Answer {
        self.dev.call(method, target, &self.viewer, body.as_ref())
    }

    /// Everything of `demo` that a request could change.
    fn state(&self) -> Vec<String> {
        [
            "/v1/orgs",
            "/v1/orgs/demo/guard",
            "/v1/apps?org=demo",
            "/v1/apps/shop/policy",
            "/v1/apps/shop/secrets",
            "/v1/apps/shop/secretkeys",
            "/v1/tokens",
            "/v1/signing-keys",
            "/v1/dischargers",
            "/v1/approvals",
            "/v1/rotations",
            "/v1/issuers",
        ]
        .map(|target| {
            let answer = self.dev.operate("GET", target, None);
            assert_eq!(answer.status, 200, "{target}: {}", answer.text());
            answer.text()
        })
        .to_vec()
    }
}

#[test]
fn for_a_token_of_one_org_objects_of_another_do_not_exist_on_any_route() {
    let scene = Scene::new();
    let nowhere = "0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00";
    let other = |org: &str, app: &str| Things {
        org: org.to_owned(),
        app: app.to_owned(),
        approval: nowhere.to_owned(),
        discharger: "0".repeat(32),
        // In the form of a token's id.
        token: "0199a0c2-7b1e-5c3a-9d2f-5b6c7d8e9f00".to_owned(),
    };
    let by_name = Things { org: "demo".into(), app: "shop".into(), ..other("", "") };
    let before = scene.state();
    let mut ids = BTreeMap::new();
    let pairs = [(&scene.by_id, other(nowhere, nowhere)), (&by_name, other("none", "void"))];
    for (there, absent) in pairs {
        let (there, absent) = (requests(there, &scene.dev.host), requests(&absent, &scene.dev.host));
        for (there, absent) in there.iter().zip(&absent) {
            let what = format!("{} {}", there.0, there.2);
            let (answer, nothing) = (scene.look(there), scene.look(absent));
            assert_eq!(answer.seen(), nothing.seen(), "{what}: {}", answer.text());
            let (answer, nothing) = (scene.call(there), scene.call(absent));
            // Whether a name is taken is public: a token that may create an app gets 404 for a free one.
            let is_free_name = nothing.error() == NO_SUCH_APP && nothing.status == 404;
            if !is_free_name || answer.status != 403 {
                assert_eq!(answer.seen(), nothing.seen(), "{what}: {}", answer.text());
            }
            let code = answer.outcome().1;
            assert!(
                ["forbidden", "not_found", "read_needs_workload"].contains(&code.as_str()),
                "{what}: {code}"
            );
            ids.insert(answer.field("request_id"), what);
        }
    }
    for asked in operators_own() {
        let answer = scene.call(&asked);
        assert_eq!(answer.outcome(), (403, "forbidden".to_owned()), "{} {}", asked.0, asked.2);
        ids.insert(answer.field("request_id"), asked.2);
    }
    for (method, target) in LISTS {
        let answer = scene.dev.call(method, target, &scene.rivals, None);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        for theirs in ["demo", &scene.by_id.org, &scene.by_id.app, &scene.by_id.approval] {
            assert!(!answer.text().contains(theirs), "{target}: {}", answer.text());
        }
    }
    assert_eq!(scene.state(), before);

    // Each refusal has a request id, and one audit line with this id that names the token, or counts in a summary for
    // it.
    assert!(!ids.contains_key(""), "{:?}", ids.get(""));
    // Shutdown writes the remaining summaries.
    let lines = scene.dev.restart(Server::stop).unwrap().audit_lines();
    let (mut own, refusals) = (0, ids.len() as u64);
    for (id, what) in ids {
        let found: Vec<_> = lines.iter().filter(|line| line["request_id"] == id.as_str()).collect();
        assert!(found.len() <= 1, "{what}: {found:?}");
        for line in found {
            assert_eq!((&line["outcome"], line["token"].is_string()), (&json!("denied"), true), "{what}");
            own += 1;
        }
    }
    let summaries = lines.iter().filter(|line| line["action"] == "request.refused");
    let summed: u64 = summaries
        .map(|line| {
            assert_eq!((&line["outcome"], line["token"].is_string()), (&json!("denied"), true), "{line}");
            line["count"].as_u64().unwrap()
        })
        .sum();
    // Those for objects that do not exist count, too.
    assert!(own > 0 && own + summed >= refusals, "{own} lines, {summed} in summaries, of {refusals}");
}

/// A new route must be added to a table above.
#[test]
fn every_route_is_tested_with_a_token_of_another_org_or_listed_with_a_reason() {
    let scene = Scene::new();
    let document = scene.dev.call("GET", "/openapi.json", "", None).json();
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys().map(|method| method.to_uppercase());
        let methods =
            methods.filter(|method| ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()));
        documented.extend(methods.map(|method| (method, path.clone())));
    }
    let asked = requests(&scene.by_id, &scene.dev.host).into_iter().chain(operators_own());
    let asked = asked.map(|(method, route, ..)| (method, route)).chain(NO_TOKEN).chain(LISTS);
    let asked: BTreeSet<_> = asked.map(|(method, route)| (method.to_owned(), route.to_owned())).collect();
    assert_eq!(documented, asked);
}

#[test]
fn a_new_org_with_a_deleted_orgs_name_accepts_nothing_issued_for_the_old_one() {
    let dev = Dev::start();
    let make = || {
        let org = dev.operate("POST", "/v1/orgs", Some(&json!({"name": "rivals"})));
        assert_eq!(org.status, 201, "{}", org.text());
        let app = dev.operate("POST", "/v1/apps", Some(&json!({"org": "rivals", "name": "theirs"})));
        assert_eq!(app.status, 201, "{}", app.text());
        org.field("id")
    };
    let list = |token: &str, target: &str| dev.call("GET", target, &flyv1(token), None).outcome();
    let first = make();
    let old = dev.mint(&json!({"kind": "org", "org": "rivals"}));
    assert_eq!(list(&old, "/v1/apps/theirs/secrets"), (200, String::new()));
    assert_eq!(dev.operate("DELETE", "/v1/apps/theirs", None).status, 200);
    assert_eq!(dev.operate("DELETE", "/v1/orgs/rivals", None).status, 200);
    let invalid = (401, "token_invalid".to_owned());
    assert_eq!(list(&old, "/v1/orgs"), invalid);

    let second = make();
    assert_ne!(first, second);
    for target in ["/v1/orgs", "/v1/orgs/rivals", "/v1/apps/theirs/secrets", "/v1/apps?org=rivals"] {
        assert_eq!(list(&old, target), invalid, "{target}");
    }
    let new = dev.mint(&json!({"kind": "org", "org": "rivals"}));
    assert_eq!(list(&new, "/v1/apps/theirs/secrets"), (200, String::new()));
    assert_eq!(list(&dev.operator, &format!("/v1/orgs/{first}")), (404, "not_found".to_owned()));
}

#[test]
fn a_host_cannot_distinguish_existing_apps_and_orgs_from_missing_ones() {
    let dev = Dev::start();
    dev.app("other", &json!({}));
    for app in ["shop", "other"] {
        dev.set(app, &json!({"A": "1"}));
    }
    let discharge = dev.discharge("shop", "m-1");
    let header = flyv1(&format!("{},{discharge}", dev.host));
    let explain = |what: Value| dev.call("POST", "/v1/tokens/explain", &header, Some(&what)).seen();
    for action in ["list", "boot"] {
        let (there, absent) = (
            explain(json!({"action": action, "app": "other"})),
            explain(json!({"action": action, "app": "none"})),
        );
        assert_eq!((there.0, &there), (403, &absent), "{action}");
        let (there, absent) = (
            explain(json!({"action": action, "org": "demo"})),
            explain(json!({"action": action, "org": "none"})),
        );
        assert_eq!((there.0, &there), (403, &absent), "{action}");
    }
    // It may learn about its own app.
    assert_eq!(explain(json!({"action": "list", "app": "shop"})).0, 200);
    let apps_of = |org: &str| dev.call("GET", &format!("/v1/apps?org={org}"), &header, None).seen();
    assert_eq!(apps_of("demo"), apps_of("none"));
    let narrowed = flyv1(&format!("{},{discharge}", appended(&dev.host, [Apps::new([[0; 16]]).into()])));
    let boot = |app: &str, header: &str| {
        dev.call("POST", &format!("/v1/apps/{app}/boot"), header, Some(&json!({"machine": "m-1"}))).seen()
    };
    assert_eq!(boot("other", &narrowed), boot("none", &narrowed));
    assert_eq!(boot("other", &header), boot("none", &header));
    let prove = |app: &str| {
        let asked = json!({"ticket": ticket(&dev.host), "app": app, "machine": "m-1"});
        dev.call("POST", "/.well-known/macfly/3p", &header, Some(&asked)).seen()
    };
    assert_eq!(prove("other"), prove("none"));
}

#[test]
fn a_token_of_one_app_cannot_distinguish_another_app_of_its_org_from_a_missing_one() {
    let dev = Dev::start();
    dev.app("other", &json!({}));
    let token = dev.mint(&json!({"kind": "org", "org": "demo", "apps": ["shop"], "actions": ["list"]}));
    let rotate = |app: &str| {
        dev.call("POST", &format!("/v1/apps/{app}/rotate"), &flyv1(&token), Some(&json!({}))).seen()
    };
    assert_eq!(rotate("other"), rotate("none"));
    // For its own app the answer says what is missing.
    assert_ne!(rotate("shop"), rotate("none"));
    let set = |app: &str| {
        let path = format!("/v1/apps/{app}/secrets/A");
        dev.call("POST", &path, &flyv1(&token), Some(&json!({"value": "x"}))).seen()
    };
    assert_eq!(set("other"), set("none"));
    assert_ne!(set("shop"), set("none"));
}
