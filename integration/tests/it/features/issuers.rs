//! Issuers that publish their keys: fetched over HTTPS from a real server, through rotations and outages.
//! Clients cannot choose which host petsem calls, or how often.

use std::time::{Duration, Instant};

use petsem_integration::dev::{Dev, flyv1, now};
use petsem_integration::http::{self, Request};
use petsem_integration::installation::{CONFIGURATION, Installation};
use petsem_integration::pause;
use petsem_integration::publisher::{Answer, IssuerKey, Publisher};
use petsem_integration::seals::status;
use petsem_integration::server::Server;
use serde_json::{Value, json};

const KEYS: &str = "/keys";
const DOCUMENT: &str = "/.well-known/openid-configuration";
const ISSUER: &str = "https://issuer.example";
const CANARY: &str = "canary-issuers-5f0c2b9e";
/// Refetches after one second instead of five.
const FAST: &str = "[issuers]\nrefetch_seconds = 1\n";
/// A little longer than that.
const REFETCH: Duration = Duration::from_millis(1_100);

/// An installation whose app `shop` lets `reader` of one issuer read, and that issuer's publisher.
struct Scene {
    publisher: Publisher,
    installation: Installation,
    server: Option<Server>,
    iss: String,
}

impl Scene {
    /// With the key set at a registered URL.
    fn with_url(publisher: Publisher) -> Self {
        Self::with_url_and_settings(publisher, FAST)
    }

    fn with_url_and_settings(publisher: Publisher, settings: &str) -> Self {
        let wanted = json!({"issuer": ISSUER, "algorithms": ["ES256"], "jwks_url": publisher.url(KEYS)});
        Self::with(publisher, &["127.0.0.1"], settings, ISSUER, &wanted)
    }

    /// With a discovery document.
    fn with_discovery(publisher: Publisher) -> Self {
        let iss = publisher.url("");
        let wanted = json!({"issuer": iss, "algorithms": ["ES256"], "discovery": true});
        Self::with(publisher, &["127.0.0.1"], FAST, &iss, &wanted)
    }

    fn with(publisher: Publisher, private_hosts: &[&str], settings: &str, iss: &str, wanted: &Value) -> Self {
        let installation = Installation::configured();
        std::fs::write(installation.path("ca.pem"), publisher.ca()).unwrap();
        installation.configure(&format!(
            "{CONFIGURATION}\n[outgoing]\nca_file = \"ca.pem\"\nprivate_hosts = {private_hosts:?}\nseconds = 3\n{settings}"
        ));
        assert!(installation.init().status.success());
        let added = installation.register(wanted, &[]);
        assert!(added.status.success(), "{}", added.printed);
        let server = installation.start().unwrap();
        let scene = Self { publisher, installation, server: Some(server), iss: iss.to_owned() };
        let policy = json!({"format": 1, "rules": [{
            "name": "readers", "issuer": iss, "claims": {"sub": "reader"},
            "actions": ["read_value"], "secrets": {"names": ["A"]}
        }]});
        scene.installation.make_shop(scene.server().address(), &policy, CANARY);
        scene
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    fn operate(&self, method: &str, target: &str, body: Option<&Value>) -> http::Answer {
        let request = Request::new(method, target).authorization(&flyv1(&self.installation.operator()));
        body.map_or(request.clone(), |body| request.json(body)).send(self.server().address())
    }

    fn claims(&self) -> Value {
        json!({"iss": self.iss, "aud": "petsem-test", "sub": "reader", "iat": now(), "exp": now() + 300})
    }

    fn read(&self, jwt: &str) -> http::Answer {
        Request::new("GET", "/v1/apps/shop/secrets?show_secrets=true")
            .authorization(&format!("Bearer {jwt}"))
            .send(self.server().address())
    }

    fn outcome(&self, jwt: &str) -> (u16, String) {
        let answer = self.read(jwt);
        assert_eq!(answer.status == 200, answer.text().contains(CANARY), "{}", answer.text());
        answer.outcome()
    }

    /// The operator's view of the only issuer's keys.
    fn fetched(&self) -> Value {
        let answer = self.operate("GET", "/v1/issuers", None);
        answer.json()["issuers"][0]["fetched"].clone()
    }

    /// Waits for a finished fetch for which this holds.
    fn fetched_until(&self, holds: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..600 {
            let fetched = self.fetched();
            if holds(&fetched) {
                return fetched;
            }
            pause(Duration::from_millis(50));
        }
        panic!("no such fetch: {}", self.fetched());
    }

    /// Asserts the error that the operator sees when keys cannot be fetched; only JWTs are refused then.
    fn refused_because(&self, jwt: &str, problem: &str) {
        let fetched = self.fetched_until(|fetched| fetched["problem"].is_string());
        assert!(fetched["problem"].as_str().unwrap().contains(problem), "{fetched}");
        assert_eq!(fetched["keys"], 0);
        assert_eq!(self.outcome(jwt), (503, "issuer_unavailable".to_owned()));
        let ready = Request::new("GET", "/readyz").send(self.server().address());
        assert_eq!((ready.status, &ready.json()["problems"]), (200, &json!([])), "{}", ready.text());
        let warning = ready.json()["warnings"][0].as_str().unwrap().to_owned();
        assert!(warning.contains(&self.iss) && warning.contains("so its JWTs are refused"), "{warning}");
        let seen = status(&self.installation);
        assert_eq!((&seen["ready"], &seen["warnings"]), (&json!(true), &ready.json()["warnings"]), "{seen}");
    }
}

fn good() -> (u16, String) {
    (200, String::new())
}

fn invalid() -> (u16, String) {
    (401, "token_invalid".to_owned())
}

#[test]
fn keys_come_from_a_registered_url_and_are_never_stored() {
    let key = IssuerKey::new("one");
    let publisher = Publisher::start();
    publisher.publish(KEYS, &[key.jwk()]);
    let mut scene = Scene::with_url(publisher);
    assert_eq!(scene.outcome(&key.sign(&scene.claims())), good());
    let fetched = scene.fetched();
    assert_eq!((&fetched["keys"], &fetched["problem"]), (&json!(1), &Value::Null));
    let issuer = scene.operate("GET", "/v1/issuers", None).json()["issuers"][0].clone();
    assert_eq!(
        (&issuer["keys_from"], &issuer["jwks_url"]),
        (&json!("jwks_url"), &json!(scene.publisher.url(KEYS)))
    );
    let metrics = Request::new("GET", "/metrics").send(scene.server().address()).text();
    for line in [
        format!("petsem_issuer_keys{{issuer=\"{ISSUER}\"}} 1\n"),
        format!("petsem_issuer_fetches_total{{issuer=\"{ISSUER}\"}} 1\n"),
        format!("petsem_issuer_fetch_failures_total{{issuer=\"{ISSUER}\"}} 0\n"),
        format!("petsem_issuer_keys_age_seconds{{issuer=\"{ISSUER}\"}} "),
    ] {
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }

    // A node that starts during an outage knows no keys: they are not persisted.
    assert!(scene.server.take().unwrap().stop().status.success());
    scene.publisher.fail();
    scene.server = Some(scene.installation.start().unwrap());
    scene.refused_because(&key.sign(&scene.claims()), "HTTP 503");
    scene.publisher.publish(KEYS, &[key.jwk()]);
    scene.fetched_until(|fetched| fetched["keys"] == 1);
    assert_eq!(scene.outcome(&key.sign(&scene.claims())), good());
}

#[test]
fn keys_are_discovered_only_by_a_document_that_names_exactly_this_issuer() {
    let key = IssuerKey::new("one");
    let publisher = Publisher::start();
    let document = |publisher: &Publisher, issuer: &str| {
        let body = json!({"issuer": issuer, "jwks_uri": publisher.url("/elsewhere"), "more": ["of", "it"]});
        publisher.answer(DOCUMENT, Answer::Body(200, body.to_string().into_bytes()));
    };
    publisher.publish("/elsewhere", &[key.jwk()]);
    document(&publisher, &publisher.url("/"));
    let scene = Scene::with_discovery(publisher);
    let jwt = key.sign(&scene.claims());
    scene.refused_because(&jwt, "names another issuer");
    assert_eq!(scene.publisher.asked("/elsewhere"), 0);

    document(&scene.publisher, &scene.publisher.url(""));
    scene.fetched_until(|fetched| fetched["keys"] == 1);
    assert_eq!(scene.outcome(&jwt), good());

    // The same holds for a document with a forbidden key URL.
    for (uri, problem) in [
        (json!("http://127.0.0.1/keys"), "not https"),
        (json!("https://user:pw@127.0.0.1/keys"), "user or password"),
        (json!(7), "is not a discovery document"),
    ] {
        let publisher = Publisher::start();
        let body = json!({"issuer": publisher.url(""), "jwks_uri": uri});
        publisher.answer(DOCUMENT, Answer::Body(200, body.to_string().into_bytes()));
        let scene = Scene::with_discovery(publisher);
        scene.refused_because(&key.sign(&scene.claims()), problem);
    }
}

#[test]
fn a_new_key_is_accepted_at_its_first_jwt_and_a_withdrawn_one_refused() {
    let (old, new) = (IssuerKey::new("2026-01"), IssuerKey::new("2026-02"));
    let publisher = Publisher::start();
    publisher.publish(KEYS, &[old.jwk()]);
    let scene = Scene::with_url_and_settings(publisher, "");
    assert_eq!(scene.outcome(&old.sign(&scene.claims())), good());
    scene.publisher.publish(KEYS, &[new.jwk()]);
    assert_eq!(scene.outcome(&new.sign(&scene.claims())), good());
    assert_eq!(scene.outcome(&old.sign(&scene.claims())), invalid());
    assert_eq!(scene.publisher.asked(KEYS), 2);
}

#[test]
fn known_keys_stay_valid_during_an_outage_of_their_issuer() {
    let (known, new) = (IssuerKey::new("known"), IssuerKey::new("new"));
    let publisher = Publisher::start();
    publisher.publish(KEYS, &[known.jwk()]);
    let scene = Scene::with_url(publisher);
    assert_eq!(scene.outcome(&known.sign(&scene.claims())), good());
    for outage in [Answer::Body(500, Vec::new()), Answer::Body(200, b"<html>".to_vec()), Answer::Silence] {
        scene.publisher.answer(KEYS, outage);
        assert_eq!(scene.outcome(&new.sign(&scene.claims())), invalid());
        assert_eq!(scene.outcome(&known.sign(&scene.claims())), good());
        pause(REFETCH);
    }
    let fetched = scene.fetched_until(|fetched| fetched["problem"].is_string());
    assert_eq!(fetched["keys"], 1);
    assert!(scene.server().printed_line("cannot fetch the keys of an issuer").contains(ISSUER));
    scene.publisher.publish(KEYS, &[known.jwk(), new.jwk()]);
    pause(REFETCH);
    assert_eq!(scene.outcome(&new.sign(&scene.claims())), good());
}

#[test]
fn before_the_first_fetch_succeeds_no_jwt_is_called_invalid() {
    let key = IssuerKey::new("known");
    let publisher = Publisher::start();
    publisher.answer(KEYS, Answer::Silence);
    let scene = Scene::with_url_and_settings(publisher, "");
    // More requests than may wait for a fetch at once.
    let bare = json!({"alg": "ES256"});
    let jwts = [key.sign(&scene.claims()), key.sign_with(&bare, &scene.claims())];
    std::thread::scope(|scope| {
        for jwt in jwts.iter().cycle().take(24) {
            let scene = &scene;
            scope.spawn(move || assert_eq!(scene.outcome(jwt), (503, "issuer_unavailable".to_owned())));
        }
    });
}

#[test]
fn a_flood_of_unknown_key_ids_causes_one_fetch_in_five_seconds_and_delays_no_other_request() {
    let key = IssuerKey::new("known");
    let publisher = Publisher::start();
    publisher.publish(KEYS, &[key.jwk()]);
    let scene = Scene::with_url_and_settings(publisher, "");
    assert_eq!(scene.outcome(&key.sign(&scene.claims())), good());
    let before = scene.publisher.asked(KEYS);
    // From now on each fetch runs into its timeout.
    scene.publisher.answer(KEYS, Answer::Silence);
    let begin = elapsed();
    let stranger = IssuerKey::new("known");
    let (slowest, answered) = std::thread::scope(|scope| {
        let floods: Vec<_> = (0..8)
            .map(|thread| {
                let (scene, stranger) = (&scene, &stranger);
                scope.spawn(move || {
                    for number in 0..40 {
                        let header = json!({"alg": "ES256", "kid": format!("{thread}-{number}")});
                        let outcome = scene.outcome(&stranger.sign_with(&header, &scene.claims()));
                        assert_eq!(outcome, invalid());
                    }
                })
            })
            .collect();
        let mut slowest = Duration::ZERO;
        let mut answered = 0;
        while floods.iter().any(|flood| !flood.is_finished()) || answered == 0 {
            let sent = elapsed();
            assert_eq!(scene.outcome(&key.sign(&scene.claims())), good());
            slowest = slowest.max(elapsed() - sent);
            answered += 1;
        }
        (slowest, answered)
    });
    let took = elapsed() - begin;
    let fetches = scene.publisher.asked(KEYS) - before;
    println!(
        "320 unknown key ids in {took:?}: {fetches} fetches; {answered} reads with the known key beside, the slowest {slowest:?}"
    );
    assert!(fetches >= 1 && fetches as u64 <= 1 + took.as_secs() / 5, "{fetches} fetches in {took:?}");
    // A fetch takes three seconds here, so a request that waited for one would be slower.
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

#[test]
fn a_redirect_is_not_followed() {
    let key = IssuerKey::new("one");
    let publisher = Publisher::start();
    publisher.publish("/moved", &[key.jwk()]);
    publisher.answer(KEYS, Answer::Redirect("/moved".to_owned()));
    let scene = Scene::with_url(publisher);
    scene.refused_because(&key.sign(&scene.claims()), "which is not followed");
    assert_eq!(scene.publisher.asked("/moved"), 0);
}

#[test]
fn a_private_address_that_is_not_listed_is_not_connected_to() {
    let key = IssuerKey::new("one");
    let publisher = Publisher::start();
    publisher.publish(KEYS, &[key.jwk()]);
    let wanted = json!({"issuer": ISSUER, "algorithms": ["ES256"], "jwks_url": publisher.url(KEYS)});
    let scene = Scene::with(publisher, &["10.0.0.1"], FAST, ISSUER, &wanted);
    scene.refused_because(&key.sign(&scene.claims()), "outgoing.private_hosts");
    assert_eq!(scene.publisher.connections(), 0);
}

#[test]
fn a_key_set_over_its_limit_is_refused() {
    let key = IssuerKey::new("one");
    let publisher = Publisher::start();
    let padded = format!("{}{}", json!({"keys": [key.jwk()]}), " ".repeat(256 * 1024));
    publisher.answer(KEYS, Answer::Body(200, padded.into_bytes()));
    let scene = Scene::with_url(publisher);
    scene.refused_because(&key.sign(&scene.claims()), "answers more than 262144 bytes");
}

#[test]
fn a_registration_takes_exactly_one_source_of_keys_over_https() {
    let installation = Installation::made();
    let key = IssuerKey::new("one");
    let keys = json!({"keys": [key.jwk()]});
    let weak = json!({"keys": [{"kty": "RSA", "e": "AQAB", "n": "_".repeat(172), "kid": "w"}]});
    let secret = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "s"}]});
    let mut encryption = key.jwk();
    encryption["use"] = json!("enc");
    let one = "exactly one of keys, jwks_url and discovery";
    for (issuer, source, text) in [
        (ISSUER, json!({}), one),
        (ISSUER, json!({"keys": keys, "jwks_url": "https://keys.example/"}), one),
        (ISSUER, json!({"keys": keys, "discovery": true}), one),
        (ISSUER, json!({"jwks_url": "https://keys.example/", "discovery": true}), one),
        (ISSUER, json!({"jwks_url": "http://keys.example/"}), "the URL is not https"),
        (ISSUER, json!({"jwks_url": "https://user:pw@keys.example/"}), "user or password"),
        (ISSUER, json!({"jwks_url": "file:///etc/passwd"}), "the URL is not"),
        ("http://issuer.example", json!({"discovery": true}), "the URL is not https"),
        ("https://issuer.example/?a=b", json!({"discovery": true}), "has a query"),
        ("accounts", json!({"discovery": true}), "the URL is not"),
        ("petsem-test", json!({ "keys": keys }), "installation's own name"),
        (ISSUER, json!({ "keys": weak }), "2048"),
        (ISSUER, json!({ "keys": secret }), "its private part"),
        (
            ISSUER,
            json!({"keys": {"keys": [encryption]}}),
            "no key of the set can verify ES256: key 1 (\"one\") is not for",
        ),
        (ISSUER, json!({"jwks_uri": "https://keys.example/"}), "unknown field"),
    ] {
        let mut wanted = json!({"issuer": issuer, "algorithms": ["ES256"]});
        wanted.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        let ended = installation.register(&wanted, &[]);
        assert_ne!(ended.status.code(), Some(0), "{wanted}");
        assert!(ended.printed.contains(text), "{wanted}: {}", ended.printed);
    }
    let added = installation.register(&json!({"issuer": ISSUER, "algorithms": ["ES256"], "keys": keys}), &[]);
    assert!(added.status.success(), "{}", added.printed);

    // The API refuses it before a second person is involved, who then sees the source of the keys.
    let dev = Dev::start();
    let ask = |source: Value| {
        let mut wanted = json!({"issuer": ISSUER, "algorithms": ["ES256"]});
        wanted.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        dev.operate("POST", "/v1/issuers", Some(&wanted))
    };
    assert_eq!(ask(json!({})).outcome(), (400, "bad_request".to_owned()));
    assert_eq!(ask(json!({"jwks_url": "http://keys.example/"})).outcome(), (400, "bad_request".to_owned()));
    let asked = ask(json!({"jwks_url": "https://keys.example/set"}));
    assert_eq!(asked.status, 202, "{}", asked.text());
    assert!(asked.field("summary").contains("keys from https://keys.example/set"), "{}", asked.text());
    let approve = format!("/v1/approvals/{}/approve", asked.field("id"));
    let approved = dev.call("POST", &approve, &flyv1(&dev.owner()), Some(&json!({})));
    assert_eq!(approved.outcome().0, 403, "an org's owner approves no issuer: {}", approved.text());
}

#[test]
fn a_header_chooses_neither_algorithm_nor_key() {
    let (known, own) = (IssuerKey::new("known"), IssuerKey::new("own"));
    let publisher = Publisher::start();
    let mut encryption = own.jwk();
    encryption["kid"] = json!("encryption");
    encryption["use"] = json!("enc");
    let secret =
        json!({"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", "kid": "secret", "alg": "HS256"});
    publisher.publish(KEYS, &[known.jwk(), encryption, secret]);
    publisher.publish("/stranger", &[own.jwk()]);
    let scene = Scene::with_url(publisher);
    let claims = scene.claims();
    assert_eq!(scene.outcome(&known.sign(&claims)), good());
    let stranger = scene.publisher.url("/stranger");
    let headers = [
        ("none", json!({"alg": "none", "kid": "known"})),
        ("HMAC with the public key", json!({"alg": "HS256", "kid": "known"})),
        ("HMAC with a published secret", json!({"alg": "HS256", "kid": "secret"})),
        ("an algorithm that is not pinned", json!({"alg": "ES384", "kid": "known"})),
        ("another's signature", json!({"alg": "ES256", "kid": "known"})),
        ("a key for encryption", json!({"alg": "ES256", "kid": "encryption"})),
        ("a secret as a public key", json!({"alg": "ES256", "kid": "secret"})),
        ("a key in the header", json!({"alg": "ES256", "kid": "known", "jwk": own.jwk()})),
        ("an address of a key", json!({"alg": "ES256", "kid": "known", "jku": stranger, "x5u": stranger})),
        ("a path as key id", json!({"alg": "ES256", "kid": "../../stranger"})),
        ("an address as key id", json!({"alg": "ES256", "kid": stranger})),
        ("a query as key id", json!({"alg": "ES256", "kid": "x' OR '1'='1"})),
        ("a list as key id", json!({"alg": "ES256", "kid": ["known"]})),
        ("a key id of 4 KiB", json!({"alg": "ES256", "kid": "k".repeat(4096)})),
    ];
    for (what, header) in headers {
        assert_eq!(scene.outcome(&own.sign_with(&header, &claims)), invalid(), "{what}");
    }
    // Real HMACs, with each text of the public key that a verifier might take as the secret.
    for secret in [known.jwk().to_string(), known.jwk()["x"].as_str().unwrap().to_owned()] {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        header.kid = Some("known".to_owned());
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        let jwt = jsonwebtoken::encode(&header, &claims, &key).unwrap();
        assert_eq!(scene.outcome(&jwt), invalid());
    }
    assert_eq!(scene.publisher.asked("/stranger"), 0);
    assert_eq!(scene.outcome(&known.sign(&claims)), good());
}

#[test]
fn cached_keys_accept_no_jwt_that_is_expired_or_for_another_audience() {
    let key = IssuerKey::new("one");
    let publisher = Publisher::start();
    publisher.publish(KEYS, &[key.jwk()]);
    let scene = Scene::with_url(publisher);
    let with = |changes: Value| {
        let mut claims = scene.claims();
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        scene.outcome(&key.sign(&claims))
    };
    let expired = (401, "token_expired".to_owned());
    assert_eq!(with(json!({})), good());
    for audience in [
        json!("petsem"),
        json!("petsem-test "),
        json!("PETSEM-TEST"),
        json!(["petsem", "petsem-dev"]),
        json!([]),
        json!({"petsem-test": 1}),
        json!(null),
    ] {
        assert_eq!(with(json!({ "aud": audience })), invalid(), "{audience}");
    }
    assert_eq!(with(json!({"aud": ["other", "petsem-test"]})), good());
    assert_eq!(with(json!({"iss": "https://issuer.example/"})), invalid());

    // One JWT used twice: refused after it expires.
    let soon = key.sign(&{
        let mut claims = scene.claims();
        claims["iat"] = json!(now() - 100);
        claims["exp"] = json!(now() - 26);
        claims
    });
    assert_eq!(scene.outcome(&soon), good(), "within 30 s of skew");
    pause(Duration::from_secs(5));
    assert_eq!(scene.outcome(&soon), expired);
    assert_eq!(with(json!({"iat": now() - 400, "exp": now() - 60})), expired);
    assert_eq!(with(json!({"iat": now() + 60, "exp": now() + 300})), expired);
    assert_eq!(with(json!({"nbf": now() + 60})), expired);
    assert_eq!(with(json!({"nbf": now() + 20})), good());
    assert_eq!(with(json!({"exp": now() + 901})), invalid());
    assert_eq!(with(json!({"iat": now(), "exp": now() + 900})), good());
    for missing in ["iat", "exp", "aud"] {
        let mut claims = scene.claims();
        claims.as_object_mut().unwrap().remove(missing);
        assert_eq!(scene.outcome(&key.sign(&claims)), invalid(), "{missing}");
    }
}

#[test]
fn a_jwt_for_a_machine_of_another_app_of_the_same_issuer_boots_nothing_here() {
    let dev = Dev::start();
    dev.set("shop", &json!({ "A": CANARY }));
    let other = dev.app("other", &json!({}));
    dev.set("other", &json!({"A": "other"}));
    let denied = (403, "policy_denied".to_owned());
    for (claimed, machine) in [("other", "m-b"), (other.as_str(), "m-b"), ("other", "m-a"), ("shop", "m-b")] {
        let jwt = dev.boot_jwt(claimed, machine);
        assert_eq!(
            dev.ask_discharge(&dev.host, &jwt, "shop", "m-a").outcome(),
            denied,
            "{claimed} {machine}"
        );
    }
    // The discharge that it gets is only for that Machine of that app.
    let discharge =
        dev.ask_discharge(&dev.host, &dev.boot_jwt("other", "m-b"), "other", "m-b").field("discharge");
    assert_eq!(dev.boot("shop", "m-a", &discharge).outcome(), (401, "discharge_invalid".to_owned()));
    assert_eq!(dev.boot("shop", "m-b", &discharge).outcome(), (401, "discharge_invalid".to_owned()));
    assert_eq!(dev.boot("other", "m-a", &discharge).outcome(), (401, "discharge_invalid".to_owned()));
    assert_eq!(dev.boot("other", "m-b", &discharge).status, 200);
}

fn elapsed() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "a test measures")]
    let now = Instant::now();
    static BEGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    now.saturating_duration_since(*BEGIN.get_or_init(|| now))
}
