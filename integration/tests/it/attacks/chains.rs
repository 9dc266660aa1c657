//! Chains of operations: what one party does, in whatever order and with everything that it gets on the way, yields no
//! value.
//!
//! A party makes every request of the API with each of its credentials, and again with whatever the answers brought:
//! tokens, discharges, renewals, requests for approval. It ends when a round brings nothing new. No request of these
//! rounds takes away what another one needs, so their order does not matter. Then it makes the requests that do, and all
//! others once more. Every answer is searched for every value.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;
use petsem_client::{Credentials, narrow_for_boot};
use petsem_integration::dev::{Dev, flyv1, now, ticket};
use petsem_integration::http::{Answer, Request};
use petsem_integration::publisher::IssuerKey;
use petsem_policy::{Caveat, PetsemCaveat, UnverifiedToken};
use petsem_server::{Development, InstallOptions};
use serde_json::{Value, json};

const SHOP: &str = "canary-chain-shop-51d07a3e";
const VAULT: &str = "canary-chain-vault-8f40b2c6";
/// An issuer that no policy names, until a party sets one.
const OTHER_ISSUER: &str = "https://other.example";
const MACHINE: &str = "m-1";
const APPS: [&str; 2] = ["shop", "vault"];

/// The development installation, with an app of a second org, and a second issuer.
struct World {
    dev: Dev,
    issuer: IssuerKey,
    /// The ids of the apps.
    ids: BTreeMap<&'static str, String>,
}

impl World {
    fn new() -> Self {
        let dev = Dev::start_in_memory();
        dev.set("shop", &json!({ "A": SHOP }));
        assert_eq!(dev.operate("POST", "/v1/orgs", Some(&json!({"name": "rival"}))).status, 201);
        let vault = json!({"org": "rival", "name": "vault"});
        assert_eq!(dev.operate("POST", "/v1/apps", Some(&vault)).status, 201);
        dev.set("vault", &json!({ "A": VAULT }));
        let issuer = IssuerKey::new("other");
        let registration =
            json!({"issuer": OTHER_ISSUER, "algorithms": ["ES256"], "keys": {"keys": [issuer.jwk()]}});
        let asked = dev.operate("POST", "/v1/issuers", Some(&registration));
        assert_eq!(asked.status, 202, "{}", asked.text());
        dev.approve_with_seal(&asked.field("id"), asked.json()["key_digest"].as_str());
        let ids = APPS.map(|app| (app, dev.operate("GET", &format!("/v1/apps/{app}"), None).field("id")));
        Self { dev, issuer, ids: BTreeMap::from(ids) }
    }

    /// A second operator, whom the first one did not appoint.
    fn second_operator(&self) -> String {
        let options = InstallOptions { operator: "lee@example.com".to_owned(), life: 3600 };
        let settings = self.dev.layout().settings("127.0.0.1:0").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(petsem_server::recover(&settings, &options)).unwrap().token.clone()
    }

    /// A token of the platform that may only enroll.
    fn enroller(&self) -> String {
        self.dev.mint(&json!({"kind": "operator", "actions": ["enroll"], "subject": "enroller"}))
    }

    /// JWTs of the second issuer: for reading, and for a boot of each app.
    fn jwts(&self) -> Vec<String> {
        let jwt = |app: Option<&str>| {
            let end = now() + if app.is_some() { 290 } else { 890 };
            let mut claims = json!({"iss": OTHER_ISSUER, "aud": Development::AUDIENCE, "sub": "eve", "iat": now(), "exp": end});
            if let Some(app) = app {
                claims["app"] = json!(app);
                claims["machine"] = json!(MACHINE);
                claims["host"] = json!(Development::HOST);
            }
            self.issuer.sign(&claims)
        };
        std::iter::once(None).chain(APPS.map(Some)).map(jwt).collect()
    }

    /// JWTs of the issuer that the policy of `shop` names.
    fn named_jwts(&self) -> Vec<String> {
        let bearer = |header: String| header.trim_start_matches("Bearer ").to_owned();
        let boots = APPS.map(|app| bearer(self.dev.boot_jwt(app, MACHINE)));
        boots.into_iter().chain([bearer(self.dev.reader_jwt())]).collect()
    }
}

/// What a party holds.
struct Party<'w> {
    world: &'w World,
    /// Tokens, each for the first one with the same caveats.
    tokens: BTreeMap<String, String>,
    jwts: Vec<String>,
    /// Discharges and renewals, the newest of each kind.
    discharges: BTreeMap<String, String>,
    /// Requests for approvals, with the digest of their keys.
    requests: BTreeMap<String, Value>,
    /// Registered issuers.
    issuers: BTreeSet<String>,
    /// The routes that were requested, and those that answered with success.
    requested: BTreeSet<String>,
    allowed: BTreeSet<String>,
    /// The values that an answer contained.
    values: BTreeSet<&'static str>,
}

/// One request.
struct Operation {
    method: &'static str,
    /// The route's template.
    route: &'static str,
    path: String,
    body: Option<Value>,
}

fn operation(method: &'static str, route: &'static str, path: String, body: Option<Value>) -> Operation {
    Operation { method, route, path, body }
}

impl<'w> Party<'w> {
    fn new(world: &'w World, tokens: &[&str], jwts: Vec<String>) -> Self {
        let mut party = Self {
            world,
            tokens: BTreeMap::new(),
            jwts,
            discharges: BTreeMap::new(),
            requests: BTreeMap::new(),
            issuers: BTreeSet::new(),
            requested: BTreeSet::new(),
            allowed: BTreeSet::new(),
            values: BTreeSet::new(),
        };
        for token in tokens {
            party.keep_token(token);
        }
        party
    }

    /// Makes all requests until nothing new comes, then those that take away, and all others again.
    fn try_everything(mut self) -> Self {
        for round in 0.. {
            assert!(round < 12, "each round brings something new");
            let before = self.size();
            self.round(&Self::growing);
            if self.size() == before {
                break;
            }
        }
        self.round(&Self::taking_away);
        self.round(&Self::growing);
        self
    }

    fn size(&self) -> [usize; 5] {
        [
            self.tokens.len(),
            self.discharges.len(),
            self.requests.len(),
            self.issuers.len(),
            self.allowed.len(),
        ]
    }

    fn round(&mut self, operations: &dyn Fn(&Self) -> Vec<Operation>) {
        for header in self.headers() {
            for operation in operations(self) {
                self.request(&operation, &header);
            }
        }
        for token in self.with_tickets() {
            for proof in self.headers().into_iter().chain(self.narrowed()) {
                self.ask_discharges(&token, &proof);
            }
        }
        for jwt in self.jwts.clone() {
            self.exchange(&jwt);
        }
        self.batch();
    }

    /// Each token alone, each with each discharge, and each JWT.
    fn headers(&self) -> Vec<String> {
        let mut headers = Vec::new();
        for token in self.tokens.values() {
            headers.push(flyv1(token));
        }
        for token in self.with_tickets() {
            headers.extend(self.discharges.values().map(|with| flyv1(&format!("{token},{with}"))));
        }
        headers.extend(self.jwts.iter().map(|jwt| format!("Bearer {jwt}")));
        headers
    }

    /// The tokens that need a discharge.
    fn with_tickets(&self) -> Vec<String> {
        let tokens = self.tokens.values().filter(|token| !tickets_of(token).is_empty());
        tokens.cloned().collect()
    }

    /// Each token, narrowed to a boot of each app: a proof.
    fn narrowed(&self) -> Vec<String> {
        let without = self.tokens.values().filter(|token| tickets_of(token).is_empty());
        without.flat_map(|token| self.world.ids.values().map(|app| narrowed(token, app))).collect()
    }

    fn request(&mut self, operation: &Operation, header: &str) {
        let Operation { method, route, path, body } = operation;
        let answer = self.world.dev.call(method, path, header, body.as_ref());
        self.learn(&format!("{method} {route}"), &answer);
    }

    /// Discharges of a token's ticket for each app, and what a poll for it answers.
    fn ask_discharges(&mut self, token: &str, header: &str) {
        let ticket = ticket(token);
        let boots = APPS.map(|app| json!({"ticket": ticket, "app": app, "machine": MACHINE}));
        for body in boots.into_iter().chain([json!({ "ticket": ticket })]) {
            for route in ["/.well-known/macfly/3p", "/discharger/.well-known/macfly/3p"] {
                let answer = self.world.dev.call("POST", route, header, Some(&body));
                self.learn(&format!("POST {route}"), &answer);
                if let Some(discharge) = answer.json()["discharge"].as_str() {
                    // It is valid for a minute.
                    self.boot(&format!("{token},{discharge}"));
                }
                let Some(poll) = answer.json()["poll_url"].as_str().map(ToOwned::to_owned) else { continue };
                let path = poll.trim_start_matches("https://petsem-dev.invalid");
                for path in [path, path.trim_start_matches("/discharger")] {
                    let answer = self.world.dev.call("GET", path, "", None);
                    let prefix = path.split_once("/poll/").unwrap().0;
                    self.learn(&format!("GET {prefix}/poll/{{secret}}"), &answer);
                }
            }
        }
    }

    fn boot(&mut self, tokens: &str) {
        for app in APPS {
            let (path, body) = (format!("/v1/apps/{app}/boot"), json!({ "machine": MACHINE }));
            let answer = self.world.dev.call("POST", &path, &flyv1(tokens), Some(&body));
            self.learn("POST /v1/apps/{app}/boot", &answer);
        }
    }

    fn exchange(&mut self, jwt: &str) {
        for app in APPS {
            let form = format!(
                "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&audience={app}&subject_token={jwt}\
                 &subject_token_type=urn:ietf:params:oauth:token-type:jwt"
            );
            let request = Request::new("POST", "/v1/token").body("application/x-www-form-urlencoded", form);
            let answer = request.send(self.world.dev.server.address());
            self.learn("POST /v1/token", &answer);
        }
    }

    fn batch(&mut self) {
        let discharges: Vec<_> = self.discharges.values().cloned().collect();
        for token in self.tokens.values().cloned().collect::<Vec<_>>() {
            let boots: Vec<_> = discharges
                .iter()
                .flat_map(|with| APPS.map(|app| json!({"app": app, "machine": MACHINE, "discharge": with})))
                .collect();
            let answer =
                self.world.dev.call("POST", "/v1/boot", &flyv1(&token), Some(&json!({ "boots": boots })));
            self.learn("POST /v1/boot", &answer);
        }
    }

    /// Keeps what an answer brought.
    fn learn(&mut self, route: &str, answer: &Answer) {
        assert!(answer.status < 500 || answer.status == 503, "{route}: {} {}", answer.status, answer.text());
        // Else the path is not that of the route.
        let code = answer.outcome().1;
        assert!(!matches!(code.as_str(), "no_route" | "method_not_allowed"), "{route}: {}", answer.text());
        self.requested.insert(route.to_owned());
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        for value in [SHOP, VAULT] {
            if text.contains(value) || text.contains(&BASE64.encode(value.as_bytes())) {
                self.values.insert(value);
            }
        }
        if answer.status >= 300 {
            return;
        }
        self.allowed.insert(route.to_owned());
        let body = answer.json();
        for field in ["token", "access_token"] {
            if let Some(token) = body[field].as_str() {
                self.keep_token(token);
            }
        }
        for field in ["discharge", "renewal"] {
            if let Some(discharge) = body[field].as_str() {
                self.discharges.insert(grants_of(discharge), discharge.to_owned());
            }
        }
        let listed = body["approvals"].as_array().cloned().unwrap_or_default();
        for request in listed.iter().chain([&body]) {
            if let (Some(id), Some("open")) = (request["id"].as_str(), request["state"].as_str()) {
                let what = json!({"id": id, "key_digest": request["key_digest"]});
                if request["kind"] == "break_glass" {
                    // Its token is the first one that was kept.
                    self.requests.entry(format!("break-glass {}", request["app"])).or_insert(what);
                } else {
                    self.requests.insert(format!("{} {}", request["kind"], request["summary"]), what);
                }
            }
        }
        for issuer in body["issuers"].as_array().into_iter().flatten() {
            self.issuers.extend(issuer["id"].as_str().map(ToOwned::to_owned));
        }
    }

    fn keep_token(&mut self, token: &str) {
        self.tokens.entry(caveats_of(token)).or_insert_with(|| token.to_owned());
    }

    /// Requests that add something, or only read.
    fn growing(&self) -> Vec<Operation> {
        let mut operations = Vec::new();
        let mut add = |method, route, path: &str, body| {
            operations.push(operation(method, route, path.to_owned(), body));
        };
        let rules = json!([
            {"name": "boot", "issuer": OTHER_ISSUER, "actions": ["boot"],
             "bind": {"app": "app", "machine": "machine", "host": "host"}},
            {"name": "read", "issuer": OTHER_ISSUER, "claims": {"sub": "eve"}, "actions": ["read_value"],
             "secrets": {"prefixes": [""]}},
        ]);
        for app in APPS {
            let at = |rest: &str| format!("/v1/apps/{app}{rest}");
            add("GET", "/v1/apps/{app}", &at(""), None);
            add("GET", "/v1/apps/{app}/secrets", &at("/secrets?show_secrets=true"), None);
            add("GET", "/v1/apps/{app}/secrets", &at("/secrets"), None);
            add("GET", "/v1/apps/{app}/secrets/{name}", &at("/secrets/A?show_secrets=true"), None);
            add("GET", "/v1/apps/{app}/secrets/{name}", &at("/secrets/A"), None);
            add("GET", "/v1/apps/{app}/secrets/{name}/history", &at("/secrets/A/history"), None);
            add(
                "POST",
                "/v1/apps/{app}/secrets/{name}/rollback",
                &at("/secrets/A/rollback"),
                Some(json!({"to_version": 1})),
            );
            add("POST", "/v1/apps/{app}/secrets", &at("/secrets"), Some(json!({"values": {"B": "eve's"}})));
            add("POST", "/v1/apps/{app}/secrets/{name}", &at("/secrets/C"), Some(json!({"value": "eve's"})));
            add("GET", "/v1/apps/{app}/secretkeys", &at("/secretkeys"), None);
            add("GET", "/v1/apps/{app}/secretkeys/{name}", &at("/secretkeys/k"), None);
            let generate = Some(json!({"type": "nacl_secretbox"}));
            add("POST", "/v1/apps/{app}/secretkeys/{name}/generate", &at("/secretkeys/k/generate"), generate);
            let import = Some(json!({"type": "nacl_secretbox", "value": BASE64.encode(&[7; 32])}));
            add("POST", "/v1/apps/{app}/secretkeys/{name}", &at("/secretkeys/i"), import);
            let message = BASE64.encode(b"m");
            for (verb, route, body) in [
                ("encrypt", "/v1/apps/{app}/secretkeys/{name}/encrypt", json!({ "plaintext": message })),
                ("decrypt", "/v1/apps/{app}/secretkeys/{name}/decrypt", json!({ "ciphertext": message })),
                ("sign", "/v1/apps/{app}/secretkeys/{name}/sign", json!({ "plaintext": message })),
                (
                    "verify",
                    "/v1/apps/{app}/secretkeys/{name}/verify",
                    json!({"plaintext": message, "signature": message}),
                ),
            ] {
                add("POST", route, &at(&format!("/secretkeys/k/{verb}")), Some(body));
            }
            add("GET", "/v1/apps/{app}/policy", &at("/policy"), None);
            add(
                "PUT",
                "/v1/apps/{app}/policy",
                &at("/policy"),
                Some(json!({"policy": {"format": 1, "rules": rules}})),
            );
            let settings = json!({"allow_reserved_names": ["PATH"], "renewal_life": 2_592_000});
            add("PATCH", "/v1/apps/{app}/settings", &at("/settings"), Some(settings));
            let glass = json!({"reason": "curiosity", "expires_in": 600});
            add("POST", "/v1/apps/{app}/break-glass", &at("/break-glass"), Some(glass));
            let machine = || Some(json!({ "machine": MACHINE }));
            add("POST", "/v1/apps/{app}/boot", &at("/boot"), machine());
            add("POST", "/v1/apps/{app}/boot/renew", &at("/boot/renew"), machine());
            let report = json!({"machine": MACHINE, "version": 1, "delivery": "proved"});
            add("POST", "/v1/apps/{app}/boot/report", &at("/boot/report"), Some(report));
            add("POST", "/v1/apps/{app}/rotate", &at("/rotate"), Some(json!({"rewrite": true})));
            let explain = json!({"action": "read_value", "app": app, "secret": "A"});
            add("POST", "/v1/tokens/explain", "/v1/tokens/explain", Some(explain));
        }
        for org in [Development::ORG, "rival"] {
            add("GET", "/v1/orgs/{org}", &format!("/v1/orgs/{org}"), None);
            add("GET", "/v1/orgs/{org}/guard", &format!("/v1/orgs/{org}/guard"), None);
            add("GET", "/v1/apps", &format!("/v1/apps?org={org}"), None);
            add("GET", "/v1/tokens", &format!("/v1/tokens?org={org}"), None);
            add("POST", "/v1/apps", "/v1/apps", Some(json!({"org": org, "name": format!("new-{org}")})));
            add("POST", "/v1/signing-keys", "/v1/signing-keys", Some(json!({ "org": org })));
            let key = BASE64.encode(&[9; 32]);
            let discharger = json!({"location": "https://eve.example", "org": org, "key": key});
            add("POST", "/v1/dischargers", "/v1/dischargers", Some(discharger));
            for narrowing in [
                json!({}),
                json!({"actions": ["boot"]}),
                json!({"actions": ["use_key"]}),
                json!({"actions": ["read_value"]}),
            ] {
                let mut token = json!({"kind": "org", "org": org, "subject": "eve"});
                token.as_object_mut().unwrap().extend(narrowing.as_object().unwrap().clone());
                add("POST", "/v1/tokens", "/v1/tokens", Some(token));
            }
        }
        let discharger = json!({"location": "https://eve.example", "key": BASE64.encode(&[9; 32])});
        add("POST", "/v1/dischargers", "/v1/dischargers", Some(discharger));
        for token in [
            json!({"kind": "operator"}),
            json!({"kind": "operator", "subject": "eve"}),
            json!({"kind": "host", "host": Development::HOST}),
            json!({"kind": "host", "host": Development::HOST, "discharger": "https://eve.example"}),
            json!({"kind": "break_glass"}),
        ] {
            add("POST", "/v1/tokens", "/v1/tokens", Some(token));
        }
        let hosts = json!({"hosts": [Development::HOST], "reason": "curiosity"});
        add("POST", "/v1/enrollments", "/v1/enrollments", Some(hosts));
        let own = |issuer: &str| json!({"issuer": issuer, "algorithms": ["ES256"], "keys": {"keys": [self.world.issuer.jwk()]}});
        add("POST", "/v1/issuers", "/v1/issuers", Some(own("https://eve.example")));
        for issuer in &self.issuers {
            let path = format!("/v1/issuers/{issuer}");
            add("PUT", "/v1/issuers/{id}", &path, Some(own(Development::ISSUER)));
        }
        for request in self.requests.values() {
            let id = request["id"].as_str().unwrap();
            add("GET", "/v1/approvals/{id}", &format!("/v1/approvals/{id}"), None);
            let body = match &request["key_digest"] {
                Value::Null => json!({}),
                digest => json!({ "key_digest": digest }),
            };
            add("POST", "/v1/approvals/{id}/approve", &format!("/v1/approvals/{id}/approve"), Some(body));
        }
        for route in [
            "/v1/approvals",
            "/v1/orgs",
            "/v1/tokens",
            "/v1/issuers",
            "/v1/dischargers",
            "/v1/rotations",
            "/v1/signing-keys",
            "/healthz",
            "/readyz",
            "/metrics",
            "/openapi.json",
        ] {
            add("GET", route, route, None);
        }
        add("POST", "/v1/orgs", "/v1/orgs", Some(json!({"name": "eves"})));
        add("POST", "/v1/keyring/rotate", "/v1/keyring/rotate", Some(json!({})));
        operations
    }

    /// Requests that delete, deny or revoke.
    fn taking_away(&self) -> Vec<Operation> {
        let mut operations = Vec::new();
        let mut add = |method, route, path: &str, body| {
            operations.push(operation(method, route, path.to_owned(), body));
        };
        for org in [Development::ORG, "rival"] {
            let guard = format!("/v1/orgs/{org}/guard");
            add("PUT", "/v1/orgs/{org}/guard", &guard, Some(json!({"guard_policies": true})));
            add("PUT", "/v1/orgs/{org}/guard", &guard, Some(json!({"guard_policies": false})));
        }
        for request in self.requests.values() {
            let id = request["id"].as_str().unwrap();
            add("POST", "/v1/approvals/{id}/deny", &format!("/v1/approvals/{id}/deny"), Some(json!({})));
        }
        add(
            "POST",
            "/v1/revocations",
            "/v1/revocations",
            Some(json!({"host": {"host": "another", "unknown": true}})),
        );
        for issuer in &self.issuers {
            add("DELETE", "/v1/issuers/{id}", &format!("/v1/issuers/{issuer}"), None);
        }
        add("DELETE", "/v1/dischargers/{id}", "/v1/dischargers/00000000000000000000000000000000", None);
        for app in ["new-demo", "new-rival"] {
            add("DELETE", "/v1/apps/{app}", &format!("/v1/apps/{app}"), None);
        }
        for app in APPS {
            add("DELETE", "/v1/apps/{app}/secrets/{name}", &format!("/v1/apps/{app}/secrets/B"), None);
            add("DELETE", "/v1/apps/{app}/secretkeys/{name}", &format!("/v1/apps/{app}/secretkeys/k"), None);
        }
        add("DELETE", "/v1/orgs/{org}", "/v1/orgs/eves", None);
        operations
    }
}

/// A token narrowed to one boot, which proves it.
fn narrowed(token: &str, app: &str) -> String {
    let user = Credentials::new(token).unwrap();
    let (app, machine) = (app.parse().unwrap(), MACHINE.parse().unwrap());
    let host = Development::HOST.parse().unwrap();
    flyv1(narrow_for_boot(&user, &app, &machine, &host, now()).unwrap().expose_text())
}

fn tickets_of(token: &str) -> Vec<Vec<u8>> {
    let token = UnverifiedToken::parse(token).unwrap();
    token.undischarged(&[]).iter().map(|(_, ticket)| ticket.to_vec()).collect()
}

/// What a discharge grants, without its expiry and its provenance.
fn grants_of(discharge: &str) -> String {
    let discharge = UnverifiedToken::parse(discharge).unwrap();
    let grants = discharge.caveats().iter().map(|caveat| match PetsemCaveat::of(caveat) {
        Some(Ok(Some(PetsemCaveat::BootGrant(grant)))) => {
            format!("{:?} {} {}", grant.app, grant.machine, grant.host)
        }
        _ => format!("type {}", caveat.kind()),
    });
    grants.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
}

/// What a token's caveats say, without times and without the tokens that it was minted from.
fn caveats_of(token: &str) -> String {
    let token = UnverifiedToken::parse(token).unwrap();
    let caveats = token.caveats().iter().filter(|caveat| {
        !matches!(caveat, Caveat::ValidityWindow { .. })
            && !matches!(PetsemCaveat::of(caveat), Some(Ok(Some(PetsemCaveat::Ancestors(_)))))
    });
    let caveats: BTreeSet<_> = caveats.map(Caveat::describe).collect();
    format!("{} {caveats:?}", token.location())
}

/// The values that a party gets that tries everything.
fn values(world: &World, tokens: &[&str], jwts: Vec<String>) -> BTreeSet<&'static str> {
    Party::new(world, tokens, jwts).try_everything().values
}

#[test]
fn an_operator_alone_reads_no_value() {
    let world = World::new();
    let party = Party::new(&world, &[&world.dev.operator], Vec::new()).try_everything();
    assert_eq!(party.values, BTreeSet::new());
    // Control: these requests succeeded.
    for route in [
        "POST /v1/tokens",
        "POST /v1/enrollments",
        "POST /v1/apps/{app}/break-glass",
        "PUT /v1/orgs/{org}/guard",
    ] {
        assert!(party.allowed.contains(route), "{route}: {:?}", party.allowed);
    }
    assert!(party.tokens.len() > 8 && party.requests.len() > 8, "{:?}", party.size());
    assert_eq!(party.discharges.len(), 0);
}

#[test]
fn an_owner_alone_reads_no_value() {
    let world = World::new();
    let party = Party::new(&world, &[&world.dev.owner()], Vec::new()).try_everything();
    assert_eq!(party.values, BTreeSet::new());
    assert!(party.allowed.contains("PUT /v1/apps/{app}/policy"), "{:?}", party.allowed);
}

#[test]
fn an_enroller_with_the_token_of_a_host_reads_no_value() {
    let world = World::new();
    let party = Party::new(&world, &[&world.enroller(), &world.dev.host], Vec::new()).try_everything();
    assert_eq!(party.values, BTreeSet::new());
    assert_eq!(party.discharges.len(), 0);
    assert!(party.allowed.contains("POST /v1/enrollments"), "{:?}", party.allowed);
}

#[test]
fn an_issuer_reads_what_policies_name_it_for() {
    let world = World::new();
    assert_eq!(values(&world, &[&world.dev.host], world.jwts()), BTreeSet::new());
    assert_eq!(values(&world, &[&world.dev.host], world.named_jwts()), BTreeSet::from([SHOP]));
}

#[test]
fn an_owner_with_the_token_of_a_host_boots_the_apps_of_its_org_alone() {
    let world = World::new();
    assert_eq!(values(&world, &[&world.dev.owner(), &world.dev.host], Vec::new()), BTreeSet::from([SHOP]));
}

/// Together they get everything, as SECURITY.md says; and they try every route.
#[test]
fn two_operators_with_an_issuer_read_every_value() {
    let world = World::new();
    let second = world.second_operator();
    let party = Party::new(&world, &[&world.dev.operator, &second], world.jwts()).try_everything();
    assert_eq!(party.values, BTreeSet::from([SHOP, VAULT]));
    let description: Value = serde_json::from_str(include_str!("../../../../server/openapi.json")).unwrap();
    let routes = description["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    // Sealing would end all other requests.
    let not_requested: Vec<_> = routes.filter(|route| !party.requested.contains(route)).collect();
    assert_eq!(not_requested, ["POST /v1/operator/seal"]);
}
