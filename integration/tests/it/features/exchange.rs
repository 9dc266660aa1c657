//! `POST /v1/token`: a JWT in exchange for a macaroon, which reads what the JWT could, and expires and is
//! revoked with its JWT.

use std::time::Duration;

use petsem_integration::dev::{Dev, appended, flyv1, now};
use petsem_integration::http::{Answer, Request};
use petsem_integration::pause;
use petsem_integration::server::{Ended, petsem, run};
use petsem_policy::{Action, ActionSet, Actions, Apps, Caveat, Exchanged, SecretNames, UnverifiedToken};
use petsem_server::Development;
use serde_json::{Value, json};

const CANARY: &str = "canary-exchange-b31c77d0";
const VALUES: &str = "/v1/apps/shop/secrets?show_secrets=true";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// An installation whose app `shop` has the secrets A and B, of which `ci-*` of the team `web` may read A.
fn shop() -> Dev {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": CANARY, "B": format!("{CANARY}-b")}));
    set_rules(&dev, "shop", &[rule()]);
    dev
}

fn rule() -> Value {
    json!({
        "name": "ci", "issuer": Development::ISSUER, "claims": {"sub": "ci-*", "team": "web"},
        "actions": ["read_value"], "secrets": {"names": ["A"]}
    })
}

fn set_rules(dev: &Dev, app: &str, rules: &[Value]) {
    let body = json!({"policy": {"format": 1, "rules": rules}});
    let put = dev.own("PUT", &format!("/v1/apps/{app}/policy"), Some(&body));
    assert_eq!(put.status, 200, "{}", put.text());
}

/// A JWT that the rule accepts, with these claims added or replaced.
fn jwt(dev: &Dev, claims: &Value) -> String {
    let mut all = json!({"sub": "ci-1", "team": "web", "jti": "j-1"});
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    dev.jwt(&all).strip_prefix("Bearer ").unwrap().to_owned()
}

fn send(dev: &Dev, fields: &[(&str, &str)]) -> Answer {
    let escaped = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
                b' ' => "+".to_owned(),
                byte => format!("%{byte:02X}"),
            })
            .collect()
    };
    let form: Vec<_> =
        fields.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    Request::new("POST", "/v1/token")
        .body("application/x-www-form-urlencoded", form.join("&"))
        .send(dev.server.address())
}

fn ask(dev: &Dev, jwt: &str, app: &str) -> Answer {
    send(
        dev,
        &[("grant_type", GRANT), ("subject_token", jwt), ("subject_token_type", JWT), ("audience", app)],
    )
}

fn exchanged(dev: &Dev, jwt: &str) -> String {
    let answer = ask(dev, jwt, "shop");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.field("access_token")
}

fn read(dev: &Dev, token: &str) -> Answer {
    dev.call("GET", VALUES, &flyv1(token), None)
}

fn names(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let secrets = answer.json()["secrets"].as_array().unwrap().clone();
    secrets.iter().map(|secret| secret["name"].as_str().unwrap().to_owned()).collect()
}

fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.outcome(), (status, code.to_owned()), "{}", answer.text());
    assert!(!answer.text().contains(CANARY), "{}", answer.text());
}

#[test]
fn an_exchanged_token_reads_what_its_rule_allows_and_does_nothing_else() {
    let dev = shop();
    // What the store records: tokens, and the control feed. Audit checkpoints are written independently.
    let books = |dev: &Dev| {
        let page = Request::new("GET", "/metrics").send(dev.server.address()).text();
        let feed = page.lines().find(|line| line.starts_with("petsem_feed_number ")).unwrap().to_owned();
        (feed, dev.operate("GET", "/v1/tokens", None).text())
    };
    let before = books(&dev);
    let answer = ask(&dev, &jwt(&dev, &json!({"exp": now() + 200})), "shop");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(books(&dev), before, "an exchange writes nothing but its audit line");
    assert_eq!(
        (answer.field("issued_token_type"), answer.field("token_type")),
        (ACCESS_TOKEN.into(), "Bearer".into())
    );
    assert!((180..=200).contains(&answer.number("expires_in")), "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let fields: Vec<_> = answer.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["access_token", "expires_in", "issued_token_type", "token_type"]);

    let token = answer.field("access_token");
    let all = read(&dev, &token);
    assert_eq!(names(&all), ["A"]);
    assert_eq!(all.json()["secrets"][0]["value"], CANARY);
    // As the answer says, it also works as a bearer token; without values it lists the same.
    let bearer = dev.call("GET", VALUES, &format!("Bearer {token}"), None);
    assert_eq!(names(&bearer), ["A"]);
    let listed = dev.call("GET", "/v1/apps/shop/secrets", &flyv1(&token), None);
    assert_eq!(names(&listed), ["A"]);
    assert!(!listed.text().contains(CANARY), "{}", listed.text());
    let one = |name: &str| {
        dev.call("GET", &format!("/v1/apps/shop/secrets/{name}?show_secrets=true"), &flyv1(&token), None)
    };
    assert_eq!((one("A").status, one("A").field("value")), (200, CANARY.to_owned()));
    refused(&one("B"), 403, "policy_denied");
    refused(&one("C"), 403, "policy_denied");

    let write = json!({"values": {"A": "changed"}});
    let mint = json!({"kind": "org", "org": "demo"});
    let glass = json!({"reason": "because"});
    for (method, target, body) in [
        ("POST", "/v1/apps/shop/secrets", Some(&write)),
        ("DELETE", "/v1/apps/shop/secrets/A", None),
        ("GET", "/v1/apps/shop/secrets/A/history", None),
        ("GET", "/v1/apps/shop/policy", None),
        ("GET", "/v1/apps/shop/secretkeys", None),
        ("GET", "/v1/apps/shop", None),
        ("POST", "/v1/tokens", Some(&mint)),
        ("GET", "/v1/tokens?org=demo", None),
        ("POST", "/v1/apps/shop/break-glass", Some(&glass)),
        ("GET", "/v1/issuers", None),
        ("GET", "/v1/orgs", None),
    ] {
        let answer = dev.call(method, target, &flyv1(&token), body);
        match answer.status {
            // A list of visible objects may be empty.
            200 => assert_eq!(answer.json()["orgs"], json!([]), "{method} {target}: {}", answer.text()),
            status => assert_eq!(status, 403, "{method} {target}: {}", answer.text()),
        }
    }
    assert_eq!(dev.version("shop"), 1);

    // Each line names the token's holder.
    let lines = dev.audit_lines();
    for action in ["token.exchange", "secret.read"] {
        let line =
            lines.iter().find(|line| line["action"] == action && line["outcome"] == "allowed").unwrap();
        assert_eq!(
            (&line["subject"]["issuer"], &line["subject"]["sub"], &line["jti"]),
            (&json!(Development::ISSUER), &json!("ci-1"), &json!("j-1")),
            "{line}"
        );
        assert!(line["detail"].as_str().unwrap().contains("rule ci"), "{line}");
    }
    let id = UnverifiedToken::parse(&token).unwrap().id().to_string();
    let exchange = lines.iter().find(|line| line["action"] == "token.exchange").unwrap();
    assert!(exchange["detail"].as_str().unwrap().contains(&id), "{exchange}");
    let log = dev.audit_log();
    assert!(!log.contains(CANARY) && !log.contains(&token[..64]), "the log contains a value or token");
}

#[test]
fn removing_or_narrowing_the_rule_ends_the_exchanged_token() {
    let dev = shop();
    let token = exchanged(&dev, &jwt(&dev, &json!({})));
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut rule = rule();
        change(&mut rule);
        set_rules(&dev, "shop", &[rule]);
        read(&dev, &token)
    };
    assert_eq!(names(&read(&dev, &token)), ["A"]);
    refused(&changed(&|rule| rule["claims"]["sub"] = json!("ci-2")), 403, "policy_denied");
    refused(&changed(&|rule| rule["claims"]["branch"] = json!("main")), 403, "policy_denied");
    refused(&changed(&|rule| rule["max_life_seconds"] = json!(299)), 403, "policy_denied");
    refused(&changed(&|rule| rule["secrets"] = json!({"names": ["C"]})), 403, "policy_denied");
    // The claims still fit, but it is another rule than that of the exchange.
    refused(&changed(&|rule| rule["name"] = json!("renamed")), 403, "policy_denied");
    set_rules(&dev, "shop", &[]);
    refused(&read(&dev, &token), 403, "policy_denied");
    // The rule is re-evaluated at each use: when it is back, the token reads what it now allows.
    assert_eq!(names(&changed(&|rule| rule["secrets"] = json!({"names": ["B"]}))), ["B"]);
}

#[test]
fn another_rule_gives_an_exchanged_token_no_access() {
    let dev = shop();
    let mut second = rule();
    second["name"] = json!("second");
    second["secrets"] = json!({"names": ["B"]});
    set_rules(&dev, "shop", &[rule(), second]);
    let jwt = jwt(&dev, &json!({}));
    assert_eq!(names(&read(&dev, &exchanged(&dev, &jwt))), ["A"]);
    assert_eq!(names(&dev.call("GET", VALUES, &format!("Bearer {jwt}"), None)), ["A", "B"]);
}

#[test]
fn revoking_the_jwt_or_its_subject_ends_the_exchanged_token_at_once() {
    let revoke = |dev: &Dev, what: &Value| {
        assert_eq!(dev.operate("POST", "/v1/revocations", Some(what)).status, 201, "{what}");
    };
    let issuer = Development::ISSUER;
    let dev = shop();
    let token = exchanged(&dev, &jwt(&dev, &json!({"jti": "one"})));
    let other = exchanged(&dev, &jwt(&dev, &json!({"jti": "two"})));
    revoke(&dev, &json!({"jwt": {"issuer": issuer, "jti": "one"}}));
    refused(&read(&dev, &token), 401, "revoked");
    refused(&dev.call("GET", "/v1/orgs", &flyv1(&token), None), 401, "revoked");
    assert_eq!(names(&read(&dev, &other)), ["A"]);
    let again = ask(&dev, &jwt(&dev, &json!({"jti": "one"})), "shop");
    assert_eq!((again.status, again.field("status")), (400, "revoked".to_owned()), "{}", again.text());

    let old = exchanged(&dev, &jwt(&dev, &json!({"sub": "ci-2", "iat": now() - 100, "exp": now() + 100})));
    let new = exchanged(&dev, &jwt(&dev, &json!({"sub": "ci-2", "jti": "three"})));
    revoke(&dev, &json!({"jwt_subject": {"issuer": issuer, "sub": "ci-2", "before": now() - 50}}));
    refused(&read(&dev, &old), 401, "revoked");
    assert_eq!(names(&read(&dev, &new)), ["A"]);

    let wanted = json!({"issuer": issuer, "sub": "nobody", "before": 1_767_225_600, "unknown": true});
    revoke(&dev, &json!({ "jwt_subject": wanted }));
    let log = dev.audit_log();
    let line = log.lines().find(|line| line.contains("nobody")).unwrap();
    let detail = serde_json::from_str::<Value>(line).unwrap()["detail"].as_str().unwrap().to_owned();
    assert!(detail.ends_with("issued before 2026-01-01T00:00:00Z"), "{detail}");

    // Attenuated by its holder, it is the same token, and can be revoked by its own id.
    let narrowed = appended(&new, [SecretNames::new(["A".to_owned()], []).into()]);
    assert_eq!(names(&read(&dev, &narrowed)), ["A"]);
    // It is not stored, so petsem does not know it.
    let id = UnverifiedToken::parse(&new).unwrap().id().to_string();
    revoke(&dev, &json!({"token": {"id": id, "unknown": true}}));
    refused(&read(&dev, &new), 401, "revoked");
    refused(&read(&dev, &narrowed), 401, "revoked");
    assert_eq!(names(&read(&dev, &other)), ["A"]);
}

#[test]
fn an_exchanged_token_is_valid_for_its_own_app_only() {
    let dev = shop();
    dev.app("other", &json!({}));
    dev.set("other", &json!({"A": CANARY}));
    set_rules(&dev, "other", &[rule()]);
    let jwt = jwt(&dev, &json!({}));
    let token = exchanged(&dev, &jwt);
    let elsewhere = |app: &str, token: &str| {
        dev.call("GET", &format!("/v1/apps/{app}/secrets?show_secrets=true"), &flyv1(token), None)
    };
    let other = elsewhere("other", &token);
    refused(&other, 403, "policy_denied");
    assert_eq!(elsewhere("nowhere", &token).error(), other.error());
    // Of two tokens in one header, each reads its own app.
    let second = ask(&dev, &jwt, "other").field("access_token");
    let both = format!("{token},{second}");
    assert_eq!(names(&elsewhere("other", &both)), ["A"]);
    assert_eq!(names(&elsewhere("shop", &both)), ["A"]);

    // An app that is deleted and created again with the same name is another app.
    assert_eq!(dev.operate("DELETE", "/v1/apps/other", None).status, 200);
    dev.app("other", &json!({}));
    dev.set("other", &json!({"A": CANARY}));
    set_rules(&dev, "other", &[rule()]);
    refused(&elsewhere("other", &second), 403, "policy_denied");

    // A request for a token does not reveal which apps exist.
    let stranger = dev.jwt(&json!({"sub": "stranger"})).strip_prefix("Bearer ").unwrap().to_owned();
    let seen = |app: &str| {
        let answer = ask(&dev, &stranger, app);
        (answer.status, answer.error(), answer.field("error_description"), answer.field("status"))
    };
    assert_eq!(seen("shop"), seen("nowhere"));
    assert_eq!(
        (seen("shop").0, seen("shop").1, seen("shop").3),
        (400, "invalid_target".into(), "policy_denied".into())
    );
}

#[test]
fn a_holder_can_narrow_an_exchanged_token_and_cannot_widen_it() {
    let dev = shop();
    set_rules(
        &dev,
        "shop",
        &[json!({
            "name": "ci", "issuer": Development::ISSUER, "claims": {"sub": "ci-*"},
            "actions": ["read_value"], "secrets": {"prefixes": [""]}
        })],
    );
    let token = exchanged(&dev, &jwt(&dev, &json!({})));
    assert_eq!(names(&read(&dev, &token)), ["A", "B"]);
    let with = |caveat: Caveat| read(&dev, &appended(&token, [caveat]));
    let only = |name: &str| SecretNames::new([name.to_owned()], []).into();
    assert_eq!(names(&with(only("B"))), ["B"]);
    refused(&with(only("C")), 403, "policy_denied");
    let one = |token: &str| dev.call("GET", "/v1/apps/shop/secrets/A?show_secrets=true", &flyv1(token), None);
    refused(&one(&appended(&token, [only("B")])), 403, "policy_denied");
    assert_eq!(one(&appended(&token, [only("A")])).status, 200);
    let ended = Caveat::ValidityWindow { not_before: 0, not_after: now() - 1 };
    refused(&with(ended), 401, "token_expired");
    refused(&with(Actions(ActionSet::from_iter([Action::List])).into()), 403, "policy_denied");
    refused(&with(Caveat::from_wire(65_700, &[0x91, 0x01]).unwrap()), 403, "policy_denied");
    assert_eq!(names(&with(Caveat::ValidityWindow { not_before: 0, not_after: i64::MAX / 2 })), ["A", "B"]);
}

#[test]
fn appended_caveats_do_not_turn_another_token_into_an_exchanged_one() {
    let dev = shop();
    let app: [u8; 16] = *dev
        .operate("GET", "/v1/apps/shop", None)
        .field("id")
        .parse::<petsem_api::AppId>()
        .unwrap()
        .as_bytes();
    let forged = Exchanged {
        issuer: Development::ISSUER.to_owned(),
        sub: "ci-1".to_owned(),
        jti: String::new(),
        rule: "ci".to_owned(),
        claims: json!({"iss": Development::ISSUER, "sub": "ci-1", "team": "web"}).to_string(),
        issued: now(),
        expires: now() + 300,
    };
    for token in [dev.mint(&json!({"kind": "org", "org": "demo"})), dev.owner(), dev.operator.clone()] {
        let written = appended(&token, forged.clone().first_caveats(app));
        refused(&read(&dev, &written), 403, "read_needs_workload");
        let behind = appended(&token, [Apps::new([app]).into(), forged.clone().into()]);
        refused(&read(&dev, &behind), 403, "read_needs_workload");
    }
    // Nor can a real exchanged token take another rule by an appended caveat.
    let token = exchanged(&dev, &jwt(&dev, &json!({})));
    let other = Exchanged { rule: "developer".to_owned(), ..forged };
    set_rules(
        &dev,
        "shop",
        &[
            rule(),
            json!({
                "name": "developer", "issuer": Development::ISSUER, "claims": {"sub": "ci-1"},
                "actions": ["read_value"], "secrets": {"prefixes": [""]}
            }),
        ],
    );
    assert_eq!(names(&read(&dev, &appended(&token, other.first_caveats(app)))), ["A"]);
}

#[test]
fn an_exchanged_token_expires_in_the_same_second_as_its_jwt() {
    let dev = shop();
    let end = now() + 6;
    let token = exchanged(&dev, &jwt(&dev, &json!({"exp": end})));
    assert_eq!(names(&read(&dev, &token)), ["A"]);
    while now() <= end {
        pause(Duration::from_millis(200));
    }
    refused(&read(&dev, &token), 401, "token_expired");
    // The same for another app: it does not reveal whether the app exists.
    let elsewhere = dev.call("GET", "/v1/apps/nowhere/secrets?show_secrets=true", &flyv1(&token), None);
    refused(&elsewhere, 401, "token_expired");

    // The clock skew allowed for a JWT does not extend the token, which lives at most 15 minutes.
    let late = ask(&dev, &jwt(&dev, &json!({"iat": now() - 100, "exp": now() - 5})), "shop");
    assert_eq!((late.status, late.field("status")), (400, "token_expired".to_owned()), "{}", late.text());
    let long = ask(&dev, &jwt(&dev, &json!({"exp": now() + 901})), "shop");
    assert_eq!((long.status, long.field("status")), (400, "token_invalid".to_owned()), "{}", long.text());
    let longest = ask(&dev, &jwt(&dev, &json!({"exp": now() + 900})), "shop");
    assert!((880..=900).contains(&longest.number("expires_in")), "{}", longest.text());
}

#[test]
fn an_exchanged_token_proves_no_boot() {
    let dev = shop();
    // A JWT that may boot does not give this right to the token that it is exchanged for.
    let mut boots = rule();
    boots["actions"] = json!(["boot", "read_value"]);
    boots["bind"] = json!({"app": "petsem_app", "machine": "petsem_machine", "host": "petsem_host"});
    set_rules(&dev, "shop", &[boots]);
    let claims = json!({"petsem_app": "shop", "petsem_machine": "m-1", "petsem_host": Development::HOST});
    let jwt = jwt(&dev, &claims);
    assert_eq!(dev.ask_discharge(&dev.host, &format!("Bearer {jwt}"), "shop", "m-1").status, 201);
    let token = exchanged(&dev, &jwt);
    refused(&dev.ask_discharge(&dev.host, &flyv1(&token), "shop", "m-1"), 403, "forbidden");
    refused(&dev.boot("shop", "m-1", &token), 401, "token_malformed");
    let boot = dev.call("POST", "/v1/apps/shop/boot", &flyv1(&token), Some(&json!({"machine": "m-1"})));
    refused(&boot, 403, "forbidden");
    // Nor is it a JWT that can be exchanged again.
    let again = ask(&dev, &token, "shop");
    assert_eq!(
        (again.status, again.field("status")),
        (400, "token_malformed".to_owned()),
        "{}",
        again.text()
    );
}

#[test]
fn wrong_requests_are_refused_with_the_errors_of_oauth() {
    let dev = shop();
    let jwt = jwt(&dev, &json!({}));
    let good =
        [("grant_type", GRANT), ("subject_token", &jwt), ("subject_token_type", JWT), ("audience", "shop")];
    let with = |name: &str, value: &str| {
        let mut fields: Vec<_> = good.iter().filter(|(known, _)| *known != name).copied().collect();
        fields.push((name, value));
        send(&dev, &fields)
    };
    let twice = |name: &str, value: &str| send(&dev, &[&good[..], &[(name, value)]].concat());
    let other = dev.jwt(&json!({"sub": "ci-1", "team": "web", "aud": "else"}));
    let other = other.strip_prefix("Bearer ").unwrap();
    // The first character of the signature: all its bits are significant.
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let other_first = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{signed}.{other_first}{}", &signature[1..]);
    let long = "x".repeat(33 * 1024);
    for (what, answer, status, error, code) in [
        ("no grant", with("grant_type", ""), 400, "invalid_request", "bad_request"),
        (
            "another grant",
            with("grant_type", "client_credentials"),
            400,
            "unsupported_grant_type",
            "bad_request",
        ),
        ("no JWT", with("subject_token", ""), 400, "invalid_request", "bad_request"),
        ("no JWT at all", with("subject_token", "x"), 400, "invalid_request", "token_malformed"),
        ("a forged JWT", with("subject_token", &forged), 400, "invalid_request", "token_invalid"),
        ("a JWT for another", with("subject_token", other), 400, "invalid_request", "token_invalid"),
        ("no type", with("subject_token_type", ""), 400, "invalid_request", "bad_request"),
        ("another type", with("subject_token_type", ACCESS_TOKEN), 400, "invalid_request", "bad_request"),
        ("no app", with("audience", ""), 400, "invalid_target", "bad_request"),
        ("no app's name", with("audience", "Shop!"), 400, "invalid_target", "bad_request"),
        ("no such app", with("audience", "nowhere"), 400, "invalid_target", "policy_denied"),
        ("two apps", twice("audience", "shop"), 400, "invalid_target", "bad_request"),
        ("a resource", with("resource", "https://petsem/v1/apps/shop"), 400, "invalid_target", "bad_request"),
        ("a scope", with("scope", "A"), 400, "invalid_scope", "bad_request"),
        ("an actor", with("actor_token", "x"), 400, "invalid_request", "bad_request"),
        ("another token", with("requested_token_type", JWT), 400, "invalid_request", "bad_request"),
        ("two JWTs", twice("subject_token", "x"), 400, "invalid_request", "bad_request"),
        ("a long form", with("subject_token", &long), 413, "invalid_request", "body_too_large"),
    ] {
        assert_eq!(
            (answer.status, answer.error(), answer.field("status")),
            (status, error.into(), code.into()),
            "{what}: {}",
            answer.text()
        );
        assert_ne!(answer.field("error_description"), "", "{what}");
        assert_eq!(answer.header("petsem-request-id"), Some(answer.field("request_id").as_str()), "{what}");
        assert!(!answer.text().contains(&jwt[..40]), "{what}");
    }
    let body =
        json!({"grant_type": GRANT, "subject_token": jwt, "subject_token_type": JWT, "audience": "shop"});
    let json = Request::new("POST", "/v1/token").json(&body).send(dev.server.address());
    assert_eq!((json.status, json.field("status")), (415, "unsupported_media_type".to_owned()));

    // An ID token is a JWT; unknown parameters are ignored, and empty ones count as omitted (RFC 6749 §3.2).
    assert_eq!(with("subject_token_type", ID_TOKEN).status, 200);
    assert_eq!(with("requested_token_type", ACCESS_TOKEN).status, 200);
    assert_eq!(with("client_id", "ci").status, 200);
    assert_eq!(with("scope", "").status, 200);
    let id = dev.operate("GET", "/v1/apps/shop", None).field("id");
    assert_eq!(with("audience", &id).status, 200);
}

#[test]
fn the_command_line_exchanges_a_jwt_narrows_the_token_and_runs_a_program() {
    let dev = shop();
    let file = |name: &str| dev.directory.path().join(name);
    std::fs::write(file("job.jwt"), jwt(&dev, &json!({}))).unwrap();
    let command = |arguments: &[&str]| -> Ended {
        let mut command = petsem(arguments);
        command.current_dir(dev.directory.path()).env("PETSEM_CONTEXT", file("context.toml"));
        run(command)
    };
    let made =
        command(&["token", "exchange", "--app", "shop", "--jwt-file", "job.jwt", "--out", "read.token"]);
    assert!(made.status.success(), "{}", made.printed);
    assert!(made.printed.contains("a token that reads secrets of app shop, valid for"), "{}", made.printed);
    let script = "printf %s \"$A\"";
    let ran = command(&["run", "--app", "shop", "--exchanged", "read.token", "--", "sh", "-c", script]);
    assert!(ran.status.success() && ran.printed.contains(CANARY), "{}", ran.printed);
    let narrowed = command(&["token", "attenuate", "read.token", "--secret", "B", "--out", "nothing.token"]);
    assert!(narrowed.status.success(), "{}", narrowed.printed);
    let ran = command(&["run", "--app", "shop", "--exchanged", "nothing.token", "--", "sh", "-c", script]);
    assert!(
        !ran.status.success() && ran.printed.contains("this token does not read that"),
        "{}",
        ran.printed
    );
    // The text of the refusal is the server's message, not a code.
    std::fs::write(file("other.jwt"), dev.jwt(&json!({"sub": "x"})).trim_start_matches("Bearer ")).unwrap();
    let refused =
        command(&["token", "exchange", "--app", "shop", "--jwt-file", "other.jwt", "--out", "no.token"]);
    assert!(!refused.status.success(), "{}", refused.printed);
    assert!(refused.printed.contains("no rule of its policy lets this JWT read that"), "{}", refused.printed);
    assert!(!file("no.token").exists());
}
