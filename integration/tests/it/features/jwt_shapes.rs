//! JWTs that differ from the defaults: what the registration of their issuer states counts for rules that name it.

use petsem_integration::dev::{Dev, now};
use petsem_integration::http::{Answer, Request};
use petsem_integration::installation::Installation;
use petsem_integration::publisher::IssuerKey;
use petsem_integration::server::{Ended, Server};
use serde_json::{Value, json};

const ISSUER: &str = "https://gitlab.example";
const OTHER: &str = "6f1d2c3b-0000-4000-8000-00000000abcd";
const CANARY: &str = "canary-jwt-shapes-3c9d0a41";

struct Scene {
    installation: Installation,
    server: Server,
    key: IssuerKey,
}

impl Scene {
    /// An issuer whose JWTs live an hour and are for another audience, and an app with this rule for it.
    fn with(rule: &Value) -> Self {
        let (installation, key) = (Installation::made(), IssuerKey::new("one"));
        let added = installation.register(&registration(&key), &[]);
        assert!(added.status.success(), "{}", added.printed);
        let server = installation.start().unwrap();
        let mut all = json!({
            "name": "jobs", "issuer": ISSUER, "actions": ["read_value"], "secrets": {"names": ["A"]},
        });
        all.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
        installation.make_shop(server.address(), &json!({"format": 1, "rules": [all]}), CANARY);
        Self { installation, server, key }
    }

    fn jwt(&self, changed: &Value) -> String {
        let mut claims = json!({
            "iss": ISSUER, "aud": OTHER, "sub": "job-1", "iat": now(), "exp": now() + 3600, "project_id": 22,
            "email_verified": true, "groups": ["users", "deployers"], "realm": {"roles": ["admin"]},
        });
        claims.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        self.key.sign_with(&json!({"alg": "ES256", "typ": "JOSE", "kid": "one"}), &claims)
    }

    fn read(&self, bearer: &str) -> Answer {
        let answer = Request::new("GET", "/v1/apps/shop/secrets?show_secrets=true")
            .authorization(&format!("Bearer {bearer}"))
            .send(self.server.address());
        assert_eq!(answer.status == 200, answer.text().contains(CANARY), "{}", answer.text());
        answer
    }

    fn exchange(&self, jwt: &str) -> Answer {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("subject_token", jwt),
            ("audience", "shop"),
        ];
        let body: Vec<String> = form.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Request::new("POST", "/v1/token")
            .body("application/x-www-form-urlencoded", body.join("&"))
            .send(self.server.address())
    }

    fn command(&self, arguments: &[&str]) -> Ended {
        self.installation.operate(self.server.address(), arguments)
    }
}

fn registration(key: &IssuerKey) -> Value {
    json!({
        "issuer": ISSUER, "algorithms": ["ES256"], "keys": {"keys": [key.jwk()]}, "longest_life_seconds": 3600,
        "audiences": [OTHER], "types": ["JOSE"],
    })
}

fn typed_rule() -> Value {
    json!({
        "claims": {"project_id": 22, "email_verified": true, "groups": [{"contains": "users"}, {"contains": "deploy*"}]},
        "pointers": {"/realm/roles": {"contains": "admin"}}, "audiences": [OTHER], "max_life_seconds": 3600,
    })
}

#[test]
fn a_jwt_of_an_hour_for_another_audience_reads_by_a_rule_that_names_both() {
    let scene = Scene::with(&typed_rule());
    let jwt = scene.jwt(&json!({}));
    assert_eq!(scene.read(&jwt).status, 200);
    // What comes of it lives at most 15 minutes, and its claims are evaluated again with their types.
    let exchanged = scene.exchange(&jwt);
    assert_eq!(exchanged.status, 200, "{}", exchanged.text());
    assert_eq!(exchanged.json()["expires_in"], 900);
    assert_eq!(scene.read(&exchanged.field("access_token")).status, 200);
    for (name, value, status) in [
        ("project_id", json!("22"), 403),
        ("project_id", json!(23), 403),
        ("email_verified", json!("true"), 403),
        ("groups", json!("users"), 403),
        ("groups", json!(["users"]), 403),
        ("realm", json!({"roles": "admin"}), 403),
        ("sub", Value::Null, 401),
        ("aud", json!("other"), 401),
        ("exp", json!(now() + 3700), 401),
    ] {
        let answer = scene.read(&scene.jwt(&json!({ name: value })));
        assert_eq!(answer.status, status, "{name} {value}: {}", answer.text());
    }
    let shown = scene.command(&["issuer", "show", ISSUER]);
    for line in ["life         3600 s, to boot 300 s", OTHER, "types        JOSE"] {
        assert!(shown.printed.contains(line), "{line}: {}", shown.printed);
    }
}

#[test]
fn a_rule_that_does_not_name_them_accepts_neither_a_longer_life_nor_another_audience() {
    for field in ["audiences", "max_life_seconds"] {
        let mut rule = typed_rule();
        rule.as_object_mut().unwrap().remove(field);
        let scene = Scene::with(&rule);
        let answer = scene.read(&scene.jwt(&json!({})));
        assert_eq!(answer.status, 403, "{field}: {}", answer.text());
        let within = scene.jwt(&json!({"aud": "petsem-test", "exp": now() + 900}));
        assert_eq!(scene.read(&within).status, 200);
    }
}

#[test]
fn a_registration_states_only_what_is_accepted_and_the_second_person_sees_it() {
    let dev = Dev::start();
    let key = IssuerKey::new("one");
    let ask = |changed: Value| {
        let mut wanted = registration(&key);
        wanted.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        dev.operate("POST", "/v1/issuers", Some(&wanted))
    };
    for changed in [
        json!({"longest_life_seconds": 0}),
        json!({"longest_life_seconds": 86_401}),
        json!({"longest_boot_life_seconds": 3601}),
        json!({"audiences": [""]}),
        json!({"audiences": vec!["a"; 17]}),
        json!({"audience_claim": "sub"}),
        json!({"audience_claim": ""}),
        json!({"types": ["dpop+jwt"]}),
        json!({"types": ["jwt"]}),
    ] {
        assert_eq!(ask(changed.clone()).outcome(), (400, "bad_request".to_owned()), "{changed}");
    }
    let asked = ask(json!({"audience_claim": "client_id"}));
    assert_eq!(asked.status, 202, "{}", asked.text());
    for fact in [
        "its JWTs live at most 3600 s".to_owned(),
        "its claim client_id is the audience".to_owned(),
        format!("it also issues JWTs for [\"{OTHER}\"]"),
        "its JWTs are of type JOSE".to_owned(),
    ] {
        assert!(asked.field("summary").contains(&fact), "{fact}: {}", asked.text());
    }
}
