//! The memory of a server after its work has the keys that it needs, locked, and no value, no token and no
//! other key.
//!
//! It needs root: the server is not dumpable, so no other user can read its memory. Without root the tests fail.

use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use data_encoding::{BASE64, HEXLOWER};
use getrandom::SysRng;
use getrandom::rand_core::{Rng, UnwrapErr};
use petsem_integration::dev::{Dev, flyv1};
use petsem_integration::http::{Request, connect};
use petsem_integration::installation::Installation;
use petsem_integration::memory::{Found, Needles, below_stacks};
use petsem_integration::pause;
use petsem_integration::seals::{configured, done, init, operator, private, refused, seal_the_server};
use petsem_integration::server::{Ended, Server};
use petsem_integration::store_keys::{Named, StoreKeys};
use petsem_policy::UnverifiedToken;
use petsem_server::Development;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

/// How long after the last request memory may still contain secrets, as SECURITY.md states.
const QUIET: Duration = Duration::from_secs(10);
/// The pause between two of these scans.
const BETWEEN: Duration = Duration::from_millis(500);

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    UnwrapErr(SysRng).fill_bytes(&mut bytes);
    bytes
}

fn random_text(label: &str) -> String {
    format!("{label}-{}", HEXLOWER.encode(&random::<24>()))
}

/// A server, and every secret that it received, returned or knows.
struct Watched {
    dev: Dev,
    canaries: Needles,
}

impl Watched {
    fn new() -> Self {
        let mut watched = Self { dev: Dev::start(), canaries: Needles::default() };
        for (name, token) in [
            ("operator's token", watched.dev.operator.clone()),
            ("host token", watched.dev.host.clone()),
            ("owner's token", watched.dev.owner()),
        ] {
            watched.token(name, &token);
        }
        let pem = std::fs::read_to_string(watched.dev.layout().issuer_key()).unwrap();
        let key = pem.lines().nth(1).unwrap();
        // PKCS #8 of an Ed25519 key ends with its seed.
        let der = BASE64.decode(key.as_bytes()).unwrap();
        watched.canaries.key("issuer's key", &der[16..48]);
        watched
    }

    /// A value of random pieces.
    fn value(&mut self, name: &str) -> String {
        let text = random_text("value");
        self.canaries.text(name, &text);
        text
    }

    /// A token: its signature, and its text from where it differs from others.
    fn token(&mut self, name: &str, text: &str) {
        let token = UnverifiedToken::parse(text).unwrap();
        let wire = token.expose_wire();
        self.canaries.key(name, &wire[wire.len() - 32..]);
        self.canaries.bytes(name, &text.as_bytes()[text.len() / 2..]);
    }

    /// A JWT: its signature, and the text of both parts that differ between JWTs.
    fn jwt(&mut self, name: &str, header: &str) {
        let mut parts = header.trim_start_matches("Bearer ").split('.').skip(1);
        let (claims, signature) = (parts.next().unwrap(), parts.next().unwrap());
        self.canaries.text(name, signature);
        self.canaries.text(name, claims);
    }

    fn found(&self) -> Vec<Found> {
        self.canaries.found_in(self.dev.server.id())
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> petsem_integration::http::Answer {
        self.dev.operate(method, path, Some(body))
    }

    fn sets_and_reads(&mut self) {
        let secrets = "/v1/apps/shop/secrets";
        let (one, two, three) = (self.value("value"), self.value("first value"), self.value("third value"));
        let escaped = format!("\"{}\"\n\\{}é", self.value("quoted value"), self.value("quoted value's end"));
        self.canaries.text("escaped value", &escaped);
        let binary: [u8; 48] = random();
        self.canaries.bytes("binary value", &binary);
        let set = self.call("POST", &format!("{secrets}/ONE"), &json!({ "value": two }));
        assert_eq!(set.status, 201, "{}", set.text());
        let first = set.number("version");
        let set = self.call("POST", &format!("{secrets}/ONE"), &json!({ "value": one }));
        assert_eq!(set.status, 201, "{}", set.text());
        let bulk = json!({"values": {
            "TWO": {"value_b64": BASE64.encode(&binary)}, "THREE": three, "FOUR": escaped, "FIVE": three,
        }});
        assert_eq!(self.call("POST", secrets, &bulk).status, 200);
        let back = self.call("POST", &format!("{secrets}/ONE/rollback"), &json!({"to_version": first}));
        assert_eq!(back.status, 200, "{}", back.text());
        assert_eq!(self.dev.operate("GET", secrets, None).status, 200);
        assert_eq!(self.dev.operate("GET", &format!("{secrets}/ONE/history"), None).status, 200);
        assert_eq!(self.dev.operate("DELETE", &format!("{secrets}/FIVE"), None).status, 200);
        for path in ["?show_secrets=true", "/ONE?show_secrets=true", ""] {
            let reader = self.dev.jwt(&json!({"sub": "developer", "jti": random_text("jti")}));
            self.jwt("reader's JWT", &reader);
            let read = self.dev.call("GET", &format!("{secrets}{path}"), &reader, None);
            assert_eq!((read.status, read.text().contains(&two)), (200, !path.is_empty()), "{}", read.text());
        }
    }

    fn boots(&mut self) {
        let proof = self.dev.boot_jwt("shop", "m-1");
        self.jwt("boot's JWT", &proof);
        let earned = self.dev.ask_discharge(&self.dev.host, &proof, "shop", "m-1").field("discharge");
        self.token("discharge", &earned);
        let boot = self.dev.boot("shop", "m-1", &earned);
        assert_eq!(boot.status, 200, "{}", boot.text());
        let renewal = boot.field("renewal");
        self.token("renewal", &renewal);
        let both = flyv1(&format!("{},{renewal}", self.dev.host));
        let renew =
            self.dev.call("POST", "/v1/apps/shop/boot/renew", &both, Some(&json!({"machine": "m-1"})));
        assert_eq!(renew.status, 200, "{}", renew.text());
        self.token("second renewal", &renew.field("renewal"));
        let id = self.dev.operate("GET", "/v1/apps/shop", None).field("id");
        let narrowed = self.dev.boot_token(&id, "m-2");
        self.token("narrowed token", narrowed.trim_start_matches("FlyV1 "));
        let second = self.dev.ask_discharge(&self.dev.host, &narrowed, "shop", "m-2").field("discharge");
        self.token("second discharge", &second);
        let batch = json!({"boots": [
            {"app": "shop", "machine": "m-1", "discharge": renewal},
            {"app": "shop", "machine": "m-2", "discharge": second},
            {"app": "shop", "machine": "m-3", "discharge": second},
        ]});
        let host = flyv1(&self.dev.host);
        let batch = self.dev.call("POST", "/v1/boot", &host, Some(&batch));
        assert_eq!(batch.status, 200, "{}", batch.text());
        // The first one's renewal is in the first half of its life, so only the second gets one.
        let boots = batch.json();
        assert_eq!(boots["boots"][0]["booted"]["renewal"], Value::Null, "{boots}");
        self.token("batch's renewal", boots["boots"][1]["booted"]["renewal"].as_str().unwrap());
    }

    fn tokens(&mut self) {
        let org = self.dev.mint(&json!({"kind": "org", "org": "demo"}));
        self.token("org's token", &org);
        let host = self.dev.mint(&json!({"kind": "host", "host": "dev"}));
        self.token("second host token", &host);
        let wanted = json!({"action": "read_value", "app": "shop", "secret": "ONE"});
        let explained = self.dev.call("POST", "/v1/tokens/explain", &flyv1(&org), Some(&wanted));
        assert_eq!(explained.status, 200, "{}", explained.text());
        assert_eq!(self.dev.operate("GET", "/v1/tokens", None).status, 200);
        let id = UnverifiedToken::parse(&org).unwrap().id().to_string();
        let revoked = self.call("POST", "/v1/revocations", &json!({"token": {"id": id}}));
        assert_eq!(revoked.status, 201, "{}", revoked.text());
        let refused = self.dev.call("GET", "/v1/apps/shop/secrets", &flyv1(&org), None);
        assert_eq!(refused.outcome(), (401, "revoked".to_owned()));
    }

    /// A JWT exchanged for a token that reads, and refused exchanges.
    fn exchanges(&mut self) {
        let reader = self.dev.jwt(&json!({"sub": "developer", "jti": random_text("jti")}));
        self.jwt("exchanged JWT", &reader);
        let exchange = |app: &str| {
            let form = format!(
                "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&audience={app}&subject_token={}\
                 &subject_token_type=urn:ietf:params:oauth:token-type:jwt",
                reader.trim_start_matches("Bearer ")
            );
            Request::new("POST", "/v1/token")
                .body("application/x-www-form-urlencoded", form)
                .send(self.dev.server.address())
        };
        assert_eq!(exchange("nowhere").status, 400);
        let token = exchange("shop").field("access_token");
        self.token("exchanged token", &token);
        let read = self.dev.call("GET", "/v1/apps/shop/secrets?show_secrets=true", &flyv1(&token), None);
        assert_eq!(read.status, 200, "{}", read.text());
    }

    /// Break-glass from request to read, with its polls; and a discharger that waits for approval.
    fn second_person(&mut self) {
        let operator = flyv1(&self.dev.operator);
        let owner = flyv1(&self.dev.owner());
        let call = |path: &str, token: &str, body: Value| {
            let answer = self.dev.call("POST", path, token, Some(&body));
            assert!((200..300).contains(&answer.status), "{path}: {}", answer.text());
            answer
        };
        let asked = call("/v1/apps/shop/break-glass", &operator, json!({"reason": "the scan"}));
        let (token, request) = (asked.field("token"), asked.field("request"));
        let ticket = BASE64.encode(UnverifiedToken::parse(&token).unwrap().undischarged(&[])[0].1);
        let discharger = "/discharger/.well-known/macfly/3p";
        let url = call(discharger, &operator, json!({ "ticket": ticket })).field("poll_url");
        let path = url.strip_prefix("https://petsem-dev.invalid").unwrap().to_owned();
        let poll = || self.dev.call("GET", &path, "", None);
        assert_eq!(poll().status, 202);
        call(&format!("/v1/approvals/{request}/approve"), &owner, json!({}));
        let polled = poll();
        assert_eq!((polled.status, poll().status), (200, 404));
        let discharge = polled.field("discharge");
        let both = flyv1(&format!("{token},{discharge}"));
        let read = self.dev.call("GET", "/v1/apps/shop/secrets?show_secrets=true", &both, None);
        assert_eq!(read.status, 200, "{}", read.text());
        let key: [u8; 32] = random();
        let location = format!("https://{}.example", HEXLOWER.encode(&random::<8>()));
        call("/v1/dischargers", &operator, json!({"location": location, "key": BASE64.encode(&key)}));
        self.token("break-glass token", &token);
        self.token("break-glass discharge", &discharge);
        self.canaries.text("poll's secret", path.rsplit('/').next().unwrap());
        self.canaries.key("key shared with a discharger", &key);
    }

    fn secret_keys(&mut self) {
        let token = self.dev.mint_as_owner();
        self.token("key user's token", &token);
        let user = flyv1(&token);
        let keys = "/v1/apps/shop/secretkeys";
        let kinds = [
            ("hs256", 48),
            ("hs384", 64),
            ("hs512", 80),
            ("nacl_auth", 32),
            ("nacl_secretbox", 32),
            ("nacl_box", 32),
            ("nacl_sign", 32),
            ("xaes256gcm", 32),
            ("es256", 32),
        ];
        for (kind, length) in kinds {
            let mut key = random::<80>()[..length].to_vec();
            // Makes it a scalar of P-256.
            key[0] &= 0x7f;
            self.canaries.key(&format!("imported {kind} key"), &key);
            // Ed25519 signs with a hash of the seed.
            self.canaries.key(&format!("imported {kind} key, hashed"), &Sha512::digest(&key));
            let call = |path: &str, body: Value| {
                let answer = self.dev.call("POST", &format!("{keys}/{kind}{path}"), &user, Some(&body));
                assert!((200..300).contains(&answer.status), "{kind}{path}: {}", answer.text());
                answer
            };
            call("", json!({"type": kind, "value": BASE64.encode(&key)}));
            call("-made/generate", json!({"type": kind}));
            let message = random_text("message");
            for which in ["", "-made"] {
                if ["nacl_secretbox", "nacl_box", "xaes256gcm"].contains(&kind) {
                    let plaintext = json!({"plaintext": BASE64.encode(message.as_bytes())});
                    let sealed = call(&format!("{which}/encrypt"), plaintext).field("ciphertext");
                    let opened = call(&format!("{which}/decrypt"), json!({ "ciphertext": sealed }));
                    assert_eq!(opened.field("plaintext"), BASE64.encode(message.as_bytes()));
                } else {
                    let plaintext = BASE64.encode(message.as_bytes());
                    let signed = call(&format!("{which}/sign"), json!({ "plaintext": plaintext }));
                    let both = json!({"plaintext": plaintext, "signature": signed.field("signature")});
                    call(&format!("{which}/verify"), both);
                }
            }
            self.canaries.text(&format!("message of {kind}"), &message);
        }
    }

    /// Requests that fail, each with a value or a token in it.
    fn errors(&mut self) {
        let value = self.value("refused value");
        let single = "/v1/apps/shop/secrets/A";
        let long = format!("{value}{}", "x".repeat(65 * 1024));
        let bodies = [
            json!({ "value": [value] }).to_string(),
            json!({ "value": value, "value_b64": value }).to_string(),
            json!({ "value": value, "expected_version": 999 }).to_string(),
            json!({ "value": long }).to_string(),
            json!({ "values": {"A": value, "B": [value]} }).to_string(),
            format!("{{\"value\":\"{value}"),
            format!("{{\"value\":{value}}}"),
        ];
        for body in bodies {
            for path in [single, "/v1/apps/shop/secrets", "/v1/apps/shop/secretkeys/k", "/v1/tokens"] {
                let request = Request::new("POST", path).authorization(&flyv1(&self.dev.operator));
                let answer = request.body("application/json", body.clone()).send(self.dev.server.address());
                assert!((400..500).contains(&answer.status), "{path}: {}", answer.text());
            }
        }
        let endless = format!("{{\"value\":\"{value}\"}}{}", " ".repeat(4 << 20));
        let request = Request::new("POST", single).authorization(&flyv1(&self.dev.operator));
        let answer = request.body("application/json", endless).send(self.dev.server.address());
        assert_eq!(answer.outcome(), (413, "body_too_large".to_owned()));
        let forged = random_text("FlyV1 fm2_forged");
        self.canaries.text("forged token", &forged[6..]);
        let unsigned = format!("Bearer {}.{}.x", random_text("head"), random_text("claims"));
        self.canaries.text("forged JWT", &unsigned[7..]);
        for authorization in [&forged, &unsigned] {
            assert_eq!(self.dev.call("GET", single, authorization, None).status, 401);
        }
        let path = format!("/v1/apps/shop/secrets/{value}?{value}={value}");
        assert!(self.dev.operate("GET", &path, None).status >= 400);
        let patched = self.dev.operate("PATCH", single, Some(&json!({ "value": value })));
        assert_eq!(patched.status, 405, "{}", patched.text());
        // An incomplete body.
        let request = Request::new("POST", single)
            .authorization(&flyv1(&self.dev.operator))
            .header("content-type", "application/json");
        let mut connection = connect(self.dev.server.address()).unwrap();
        let head = request.announcing(1000);
        connection.write_all(&[head, value.into_bytes()].concat()).unwrap();
        drop(connection);
    }

    fn an_app_that_goes(&mut self) {
        self.dev.app("gone", &json!({}));
        let value = self.value("deleted app's value");
        self.dev.set("gone", &json!({ "A": value }));
        let keys = self.dev.keys();
        for (name, key) in keys.passing.iter().filter(|(name, _)| name.contains("of gone")) {
            self.canaries.key(name, key);
        }
        assert_eq!(self.dev.operate("DELETE", "/v1/apps/gone", None).status, 200);
    }

    /// The keys of the store. Adds those that the server must not hold now to the search.
    fn opened_keys(&mut self) -> StoreKeys {
        let keys = self.dev.keys();
        for (name, key) in keys.passing.iter().chain(&keys.spent_audit_keys) {
            self.canaries.key(name, key);
        }
        keys
    }

    /// Half a request: its bytes are in the connection's buffer. This shows that the scan finds a value and a
    /// token; after the answer, both must be wiped.
    fn half_a_request(&mut self) {
        let value = self.value("value that arrives");
        let body = json!({ "value": value }).to_string();
        let request = Request::new("POST", "/v1/apps/shop/secrets/HALF")
            .authorization(&flyv1(&self.dev.operator))
            .header("content-type", "application/json");
        let mut connection = connect(self.dev.server.address()).unwrap();
        let (most, last) = body.split_at(body.len() - 1);
        connection.write_all(&[&request.announcing(body.len()), most.as_bytes()].concat()).unwrap();
        let names = ["value that arrives", "operator's token"].map(|name| (name.to_owned(), "bytes"));
        // The server reads between the scans, because a scan stops it.
        let scans = (0..100).map(|_| {
            pause(Duration::from_millis(50));
            self.found().into_iter().map(|found| (found.name, found.form)).collect::<Vec<_>>()
        });
        let mut last_found = Vec::new();
        let is_found = scans
            .inspect(|found| last_found.clone_from(found))
            .any(|found| names.iter().all(|name| found.contains(name)));
        assert!(is_found, "the scan does not find {names:?}: {last_found:?}");
        connection.write_all(last.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    }

    /// Does all of the work once.
    fn work(&mut self) {
        self.sets_and_reads();
        self.boots();
        self.tokens();
        self.exchanges();
        self.second_person();
        self.secret_keys();
        self.errors();
        self.an_app_that_goes();
        self.half_a_request();
    }

    fn restarted(self, how: impl FnOnce(Server) -> Ended) -> Self {
        Self { dev: self.dev.restart(how).unwrap(), ..self }
    }
}

fn listed(found: &[Found]) -> String {
    found.iter().map(|found| format!("\n  {found}")).collect()
}

/// Whether it is in memory that is excluded from swap and dumps.
fn is_kept(found: &Found) -> bool {
    ["lo", "dd"].iter().all(|flag| found.mapping.flags.iter().any(|has| has == flag))
}

/// Requests overwrite their stacks 96 KiB deep; with a margin for their start.
const OVERWRITTEN: u64 = 98 * 1024;
/// The bytes that overwriting itself leaves in a page: return addresses, with six bytes that are not zero.
const ITS_OWN: usize = 96;

/// The workers whose stacks hold data deeper than is overwritten, or that were not scanned. Requests overwrite their
/// stacks 96 KiB deep, background tasks 256.
fn not_overwritten(process: u32) -> Vec<String> {
    let threads = below_stacks(process);
    let workers: Vec<_> = threads.iter().filter(|below| below.thread == "boots").collect();
    if workers.is_empty() {
        return vec![format!("there are no workers in {threads:?}")];
    }
    let is_wrong = |pages: &[(u64, usize)]| {
        // A complete scan finds the calls with which the thread went to sleep or, if it slept at once, what overwriting
        // left.
        let is_scanned = !pages.is_empty();
        !is_scanned || pages.iter().any(|(depth, filled)| *depth > OVERWRITTEN && *filled > ITS_OWN)
    };
    workers.into_iter().filter(|worker| is_wrong(&worker.pages)).map(|worker| format!("{worker:?}")).collect()
}

/// Waits until two scans in a row find nothing. After ten seconds, the assertions that follow report what
/// remains.
#[expect(clippy::disallowed_methods, reason = "SECURITY.md states wall-clock seconds")]
fn wait_until_clean(is_clean: impl Fn() -> bool) {
    let begun = Instant::now();
    let mut clean = 0;
    while clean < 2 && begun.elapsed() < QUIET {
        pause(BETWEEN);
        clean = if is_clean() { clean + 1 } else { 0 };
    }
}

/// Searches for what must be there and for what must not.
fn look(watched: &mut Watched, when: &str) {
    let process = watched.dev.server.id();
    watched.opened_keys();
    wait_until_clean(|| not_overwritten(process).is_empty() && watched.found().is_empty());
    assert_eq!(not_overwritten(process), Vec::<String>::new(), "{when}");
    let keys = watched.opened_keys();
    // Control: the scan finds texts of the configuration and the control state, and the keys of a running server.
    let mut control = Needles::default();
    control.text("control", watched.dev.directory.path().join("data").to_str().unwrap());
    control.text("issuer", Development::ISSUER);
    let found = control.found_in(process);
    for name in ["control", "issuer"] {
        assert!(found.iter().any(|found| found.name == name), "{when}: the scan does not find the {name}");
    }
    let mut needles = Needles::default();
    for (name, key) in keys.kept.iter().chain(&keys.audit_keys) {
        needles.key(name, key);
    }
    // The server uses its own keys twice a second; copies from such a use are not in every look.
    let looks: Vec<_> = (0..5).map(|_| needles.found_in(process)).collect();
    for (name, _) in keys.kept.iter().chain(keys.audit_keys.first()) {
        let is_found =
            looks.iter().all(|found| found.iter().any(|found| found.name == *name && is_kept(found)));
        assert!(is_found, "{when}: the scan does not find the {name} in locked memory");
    }
    let least = looks.into_iter().map(|found| found.into_iter().filter(|found| !is_kept(found)).collect());
    let least: Vec<Found> = least.min_by_key(Vec::len).unwrap();
    assert!(least.is_empty(), "{when}: keys are not in locked memory alone:{}", listed(&least));
    let found = watched.found();
    assert!(found.is_empty(), "{when}: memory holds what it should not:{}", listed(&found));
}

#[test]
fn within_ten_seconds_of_its_last_request_a_server_holds_no_value_token_or_key_but_its_own() {
    let mut watched = Watched::new();
    watched.work();
    look(&mut watched, "after its first start");
    // A second start creates nothing, but opens the seal; then the work again.
    let mut watched = watched.restarted(Server::stop);
    watched.work();
    look(&mut watched, "after a second start");
    // No background task brings it back.
    pause(QUIET);
    let found = watched.found();
    assert!(found.is_empty(), "ten seconds later:{}", listed(&found));
}

fn needles<'n>(keys: impl IntoIterator<Item = &'n Named>) -> Needles {
    let mut needles = Needles::default();
    keys.into_iter().for_each(|(name, key)| needles.key(name, key));
    needles
}

#[test]
fn a_server_whose_audit_log_is_lost_holds_no_key() {
    let installation = Installation::made();
    let (log, away) = (installation.path("data/audit"), installation.path("away"));
    assert!(installation.start().unwrap().stop().status.success());
    let keys = installation.keys();
    let (kept, all) = (needles(&keys.kept), needles(keys.all()));
    std::fs::rename(&log, &away).unwrap();
    let server = installation.start().unwrap();
    let ready = Request::new("GET", "/readyz").send(server.address());
    assert_eq!((ready.status, ready.field("status")), (503, "audit_lost".to_owned()));
    // The start opened the store before it missed the log.
    wait_until_clean(|| all.found_in(server.id()).is_empty());
    let found = all.found_in(server.id());
    assert!(found.is_empty(), "a server without its log holds keys:{}", listed(&found));
    std::fs::remove_dir_all(&log).unwrap();
    std::fs::rename(&away, &log).unwrap();
    done(&operator(&installation, &["unseal", "--configured"], &[]));
    assert!(!kept.found_in(server.id()).is_empty(), "the scan does not find what is there");
}

#[test]
fn a_sealed_server_holds_no_key() {
    let installation = Installation::made();
    let server = installation.start().unwrap();
    for (path, body) in [
        ("/v1/orgs", json!({"name": "acme"})),
        ("/v1/apps", json!({"org": "acme", "name": "shop"})),
        ("/v1/apps/shop/secrets", json!({"values": {"A": random_text("value")}})),
    ] {
        let request = Request::new("POST", path).authorization(&flyv1(&installation.operator()));
        let answer = request.json(&body).send(server.address());
        assert!((200..300).contains(&answer.status), "{path}: {}", answer.text());
    }
    server.wait_for_audit_lines();
    let keys = installation.keys();
    let (kept, all) = (needles(&keys.kept), needles(keys.all()));
    assert!(!kept.found_in(server.id()).is_empty(), "the scan does not find what is there");
    done(&seal_the_server(&installation, &server));
    wait_until_clean(|| all.found_in(server.id()).is_empty());
    let found = all.found_in(server.id());
    assert!(found.is_empty(), "a sealed server holds keys:{}", listed(&found));
    done(&operator(&installation, &["unseal"], &[]));
    assert!(!kept.found_in(server.id()).is_empty(), "the scan does not find what is there again");
}

/// The 32 secret bytes of a share, as in docs/formats.md.
fn secret_of(share: &str) -> Vec<u8> {
    let mut base32 = data_encoding::Specification::new();
    base32.symbols.push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
    let groups = share.split('-').map(|group| group.get(..4).unwrap());
    let bytes = base32.encoding().unwrap().decode(groups.collect::<String>().as_bytes()).unwrap();
    assert_eq!(bytes.len(), 45, "a share has 45 bytes");
    bytes[9..41].to_vec()
}

#[test]
fn passphrases_and_shares_are_wiped_after_unsealing() {
    let installation = configured(
        "[[seal]]\nkind = \"passphrase\"\n[[seal]]\nkind = \"shamir\"\nthreshold = 2\nshares = 2\n",
    );
    let (right, wrong) = (random_text("right passphrase"), random_text("wrong passphrase"));
    let (right_file, wrong_file) =
        (private(&installation, "right", &right), private(&installation, "wrong", &wrong));
    let shares = installation.path("shares");
    std::fs::create_dir(&shares).unwrap();
    done(&init(&installation, &[("--passphrase-file", &right_file), ("--shares-directory", &shares)]));

    let server = installation.start().unwrap();
    let mut needles = Needles::default();
    needles.text("passphrase", &right);
    needles.text("wrong passphrase", &wrong);
    let files = [shares.join("share-1"), shares.join("share-2")];
    for (file, number) in files.iter().zip(1..) {
        let text = std::fs::read_to_string(file).unwrap();
        needles.text(&format!("share {number}"), text.trim());
        needles.key(&format!("secret of share {number}"), &secret_of(text.trim()));
    }
    let is_wiped = |when: &str| {
        let mut control = Needles::default();
        control.text("control", installation.path("data").to_str().unwrap());
        assert!(!control.found_in(server.id()).is_empty(), "the scan does not find what is there");
        wait_until_clean(|| needles.found_in(server.id()).is_empty());
        let found = needles.found_in(server.id());
        assert!(found.is_empty(), "{when}: memory holds what it should not:{}", listed(&found));
    };
    let unseal = |files: &[(&str, &Path)]| operator(&installation, &["unseal"], files);
    refused(&unseal(&[("--passphrase-file", &wrong_file)]), &["this passphrase does not open"]);
    is_wiped("after a wrong passphrase");
    refused(&unseal(&[("--share-file", &files[0])]), &["1 of the 2 shares that are needed"]);
    is_wiped("after too few shares");
    let opened = unseal(&[("--passphrase-file", &right_file)]);
    assert!(done(&opened).contains("unsealed by passphrase"), "{}", opened.printed);
    is_wiped("after the passphrase opened it");
    done(&seal_the_server(&installation, &server));
    is_wiped("after it was sealed");
    let opened = unseal(&[("--share-file", &files[0]), ("--share-file", &files[1])]);
    assert!(done(&opened).contains("unsealed by any 2 of the 2 shares"), "{}", opened.printed);
    is_wiped("after shares opened it");
}

#[test]
fn a_server_that_cannot_lock_its_keys_serves_and_warns_with_what_to_do() {
    let dev = Dev::start();
    let Dev { server, directory, .. } = dev;
    assert!(server.stop().status.success());
    // Root may lock any memory unless it drops the capability.
    let mut command = std::process::Command::new("setpriv");
    command
        .args(["--bounding-set", "-ipc_lock", "prlimit", "--memlock=0:0"])
        .arg(petsem_integration::server::binary())
        .args(["dev", "--listen", "127.0.0.1:0", "--dir"])
        .arg(directory.path())
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    let server = Server::start(command).unwrap();
    let line = server.printed_line("unlocked_bytes");
    for text in ["did not lock memory", "LimitMEMLOCK=", "\"level\":\"WARN\"", "\"limit_bytes\":0"] {
        assert!(line.contains(text), "{text}: {line}");
    }
    let metrics = Request::new("GET", "/metrics").send(server.address()).text();
    let value = |name: &str| -> u64 {
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap();
        line.split(' ').nth(1).unwrap().parse().unwrap()
    };
    assert_eq!(value("petsem_keys_locked_bytes "), 0);
    assert!(value("petsem_keys_unlocked_bytes ") > 0);
    assert_eq!(Request::new("GET", "/readyz").send(server.address()).status, 200);
}
