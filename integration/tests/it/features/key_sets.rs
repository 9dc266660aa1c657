//! Key sets with odd keys, published and registered: the others serve, and operators see what is left out and why.

use std::time::Duration;

use petsem_integration::dev::{flyv1, now};
use petsem_integration::http::{Answer, Request};
use petsem_integration::installation::{CONFIGURATION, Installation};
use petsem_integration::pause;
use petsem_integration::publisher::{IssuerKey, Publisher};
use petsem_integration::server::{Ended, Server};
use serde_json::{Value, json};

const ISSUER: &str = "https://issuer.example";
const CANARY: &str = "canary-key-sets-90c1b7d2";

struct Scene {
    installation: Installation,
    server: Server,
}

impl Scene {
    /// An installation whose app `shop` lets `reader` of this issuer read.
    fn with(configuration: &str, wanted: &Value, prepare: impl FnOnce(&Installation)) -> Self {
        let installation = Installation::configured();
        prepare(&installation);
        installation.configure(&format!("{CONFIGURATION}{configuration}"));
        assert!(installation.init().status.success());
        let added = installation.register(wanted, &[]);
        assert!(added.status.success(), "{}", added.printed);
        let server = installation.start().unwrap();
        let policy = json!({"format": 1, "rules": [{
            "name": "readers", "issuer": ISSUER, "claims": {"sub": "reader"},
            "actions": ["read_value"], "secrets": {"names": ["A"]}
        }]});
        installation.make_shop(server.address(), &policy, CANARY);
        Self { installation, server }
    }

    fn read(&self, jwt: &str) -> Answer {
        Request::new("GET", "/v1/apps/shop/secrets?show_secrets=true")
            .authorization(&format!("Bearer {jwt}"))
            .send(self.server.address())
    }

    fn issuer(&self) -> Value {
        let request = Request::new("GET", "/v1/issuers").authorization(&flyv1(&self.installation.operator()));
        request.send(self.server.address()).json()["issuers"][0].clone()
    }

    fn command(&self, arguments: &[&str]) -> Ended {
        self.installation.operate(self.server.address(), arguments)
    }
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "petsem-test", "sub": "reader", "iat": now(), "exp": now() + 300})
}

fn odd_keys() -> Vec<Value> {
    vec![
        json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA", "kid": "next-year"}),
        json!({"kty": "RSA", "n": "_".repeat(172), "e": "AQAB", "kid": "short"}),
        json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "broken"}),
    ]
}

#[test]
fn one_odd_key_of_a_published_set_shuts_out_only_itself_and_operators_see_why() {
    let (key, other) = (IssuerKey::new("one"), IssuerKey::new("one"));
    let publisher = Publisher::start();
    let private = json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": CANARY, "kid": "exported"});
    // Two keys have one kid, and further ones cannot be used.
    publisher.publish("/keys", &[odd_keys(), vec![private, other.jwk(), key.jwk()]].concat());
    let outgoing = "\n[outgoing]\nca_file = \"ca.pem\"\nprivate_hosts = [\"127.0.0.1\"]\nseconds = 3\n\
                    [issuers]\nrefetch_seconds = 1\n";
    let wanted = json!({"issuer": ISSUER, "algorithms": ["ES256"], "jwks_url": publisher.url("/keys")});
    let scene = Scene::with(outgoing, &wanted, |installation| {
        std::fs::write(installation.path("ca.pem"), publisher.ca()).unwrap();
    });
    for key in [&key, &other] {
        let answer = scene.read(&key.sign(&claims()));
        assert_eq!((answer.status, answer.text().contains(CANARY)), (200, true), "{}", answer.text());
        // The JWT's kid is optional.
        assert_eq!(scene.read(&key.sign_with(&json!({"alg": "ES256"}), &claims())).status, 200);
    }
    let refused = scene.read(&key.sign_with(&json!({"alg": "ES256", "kid": "broken"}), &claims()));
    assert_eq!(refused.outcome(), (401, "token_invalid".to_owned()));
    assert!(
        refused.error().contains("the issuer's key with the JWT's kid is not a valid point of its curve")
    );

    let issuer = scene.issuer();
    assert_eq!((&issuer["usable_keys"], &issuer["left_out_count"]), (&json!(2), &json!(4)));
    let positions: Vec<&Value> =
        issuer["left_out"].as_array().unwrap().iter().map(|key| &key["position"]).collect();
    assert_eq!(positions, [1, 2, 3, 4]);
    let shown = scene.command(&["issuer", "show", ISSUER]);
    assert!(shown.status.success(), "{}", shown.printed);
    for line in [
        "algorithms   ES256",
        "2 keys fetched ",
        "(4 not used)",
        "not used     key 1 (\"next-year\") is not of kind RSA, EC (P-256, P-384, P-521) or OKP (Ed25519)",
        "not used     key 2 (\"short\") has an RSA modulus of 1032 bits; 2048 to 8192 are accepted",
        "not used     key 3 (\"broken\") is not a valid point of its curve",
        "not used     key 4 (\"exported\") has its private part (\"d\"), so others may have seen it; replace it",
    ] {
        assert!(shown.printed.contains(line), "{line}: {}", shown.printed);
    }
    assert!(!shown.printed.contains(CANARY), "{}", shown.printed);
    let none = scene.command(&["issuer", "show", "https://other.example"]);
    assert_eq!(none.status.code(), Some(1), "{}", none.printed);
    let ready = Request::new("GET", "/readyz").send(scene.server.address()).json();
    assert!(ready["warnings"].to_string().contains("are not used; `petsem issuer show` says why"), "{ready}");
    let printed = scene.server.printed_line("a key of an issuer is not used");
    assert!(printed.contains(ISSUER), "{printed}");
    let printed = scene.server.printed();
    assert!(printed.contains("is not a valid point of its curve") && !printed.contains(CANARY), "{printed}");

    // A set that verifies nothing is no outage of the issuer: operators are told what is wrong.
    publisher.publish("/keys", &odd_keys());
    let unknown = key.sign_with(&json!({"alg": "ES256", "kid": "new"}), &claims());
    for _ in 0..600 {
        scene.read(&unknown);
        if scene.issuer()["usable_keys"] == 0 {
            break;
        }
        pause(Duration::from_millis(50));
    }
    assert_ne!(scene.read(&key.sign(&claims())).status, 200);
    let ready = Request::new("GET", "/readyz").send(scene.server.address()).json();
    assert!(ready["warnings"].to_string().contains("no key for its registered algorithms"), "{ready}");
}

#[test]
fn a_registration_keeps_the_public_members_and_needs_a_key_that_fits() {
    let key = IssuerKey::new("one");
    let mut noted = key.jwk();
    noted["comment"] = json!(CANARY);
    let keys = [odd_keys(), vec![noted]].concat();
    let wanted = json!({"issuer": ISSUER, "algorithms": ["ES256"], "keys": {"keys": keys, "owner": CANARY}});
    let scene = Scene::with("", &wanted, |installation| {
        // Refused are sets of which no key fits; the answer names both.
        let refused =
            json!({"issuer": ISSUER, "algorithms": ["RS256", "ES384"], "keys": {"keys": [key.jwk()]}});
        std::fs::write(installation.path("refused.json"), refused.to_string()).unwrap();
    });
    assert_eq!(scene.read(&key.sign(&claims())).status, 200);
    let shown = scene.command(&["issuer", "show", ISSUER]);
    assert!(shown.printed.contains("1 registered (3 not used)"), "{}", shown.printed);
    assert!(shown.printed.contains("key 3 (\"broken\") is not a valid point"), "{}", shown.printed);
    let refused =
        scene.command(&["issuer", "add", scene.installation.path("refused.json").to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.printed);
    assert!(
        refused.printed.contains(
            "no key of the set can verify RS256, ES384: key 1 (\"one\") is for none of the registered algorithms"
        ),
        "{}",
        refused.printed
    );
    let installation = scene.installation;
    assert!(scene.server.stop().status.success());
    for file in ["data/petsem.db", "data/petsem.db-wal"] {
        let bytes = std::fs::read(installation.path(file)).unwrap_or_default();
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!has(CANARY), "{file}");
    }
}
