//! Which credentials boot a Machine, and which do not.

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use petsem_integration::dev::{Dev, appended, flyv1, now, policy, ticket};
use petsem_integration::http::{Answer, Connection};
use petsem_policy::{
    Action, ActionSet, Actions, Apps, BootGrant, Caveat, CaveatSet, Hosts, Macaroon, Machines, SharedKey,
    Ticket, UnverifiedToken,
};
use petsem_server::Development;
use serde_json::{Value, json};

const CANARY: &str = "canary-boots-5f0c7d1e";

/// An installation whose app `shop` has one secret.
fn shop() -> Dev {
    let dev = Dev::start();
    dev.set("shop", &json!({ "GREETING": CANARY }));
    dev
}

/// The secrets of an answer, by name.
fn values(answer: &Answer) -> Vec<(String, String)> {
    let json = answer.json();
    let secrets = json["secrets"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    secrets.iter().map(|secret| (text(&secret["name"]), text(&secret["value"]))).collect()
}

fn greeting() -> Vec<(String, String)> {
    vec![("GREETING".to_owned(), CANARY.to_owned())]
}

fn boot_with(dev: &Dev, header: &str, app: &str, machine: &str) -> Answer {
    dev.call("POST", &format!("/v1/apps/{app}/boot"), header, Some(&json!({ "machine": machine })))
}

fn renew(dev: &Dev, app: &str, machine: &str, renewal: &str) -> Answer {
    let both = flyv1(&format!("{},{renewal}", dev.host));
    dev.call("POST", &format!("/v1/apps/{app}/boot/renew"), &both, Some(&json!({ "machine": machine })))
}

fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.outcome(), (status, code.to_owned()), "{}", answer.text());
    assert!(!answer.text().contains(CANARY), "{}", answer.text());
}

/// Every route, with a body that is valid for it.
fn every_route() -> Vec<(&'static str, &'static str, Option<Value>)> {
    let machine = || Some(json!({"machine": "m-1"}));
    vec![
        ("GET", "/v1/orgs", None),
        ("POST", "/v1/orgs", Some(json!({"name": "other"}))),
        ("GET", "/v1/orgs/demo", None),
        ("DELETE", "/v1/orgs/demo", None),
        ("GET", "/v1/apps?org=demo", None),
        ("POST", "/v1/apps", Some(json!({"org": "demo", "name": "other"}))),
        ("GET", "/v1/apps/shop", None),
        ("DELETE", "/v1/apps/shop", None),
        ("GET", "/v1/apps/shop/policy", None),
        ("PUT", "/v1/apps/shop/policy", Some(json!({ "policy": policy() }))),
        ("GET", "/v1/apps/shop/secrets", None),
        ("GET", "/v1/apps/shop/secrets?show_secrets=true", None),
        ("POST", "/v1/apps/shop/secrets", Some(json!({"values": {"GREETING": "overwritten"}}))),
        ("GET", "/v1/apps/shop/secrets/GREETING", None),
        ("GET", "/v1/apps/shop/secrets/GREETING?show_secrets=true", None),
        ("POST", "/v1/apps/shop/secrets/GREETING", Some(json!({"value": "overwritten"}))),
        ("DELETE", "/v1/apps/shop/secrets/GREETING", None),
        ("GET", "/v1/apps/shop/secrets/GREETING/history", None),
        ("POST", "/v1/apps/shop/secrets/GREETING/rollback", Some(json!({"to_version": 1}))),
        ("GET", "/v1/apps/shop/secretkeys", None),
        ("GET", "/v1/apps/shop/secretkeys/k", None),
        ("POST", "/v1/apps/shop/secretkeys/k", Some(json!({"type": "hs256", "value": "x".repeat(44)}))),
        ("POST", "/v1/apps/shop/secretkeys/k/generate", Some(json!({"type": "hs256"}))),
        ("DELETE", "/v1/apps/shop/secretkeys/k", None),
        ("POST", "/v1/apps/shop/secretkeys/k/encrypt", Some(json!({"plaintext": ""}))),
        ("POST", "/v1/apps/shop/secretkeys/k/decrypt", Some(json!({"ciphertext": ""}))),
        ("POST", "/v1/apps/shop/secretkeys/k/sign", Some(json!({"plaintext": ""}))),
        ("POST", "/v1/apps/shop/secretkeys/k/verify", Some(json!({"plaintext": "", "signature": ""}))),
        ("POST", "/v1/apps/shop/boot", machine()),
        ("POST", "/v1/apps/shop/boot/renew", machine()),
        (
            "POST",
            "/v1/apps/shop/boot/report",
            Some(json!({"machine": "m-1", "version": 1, "delivery": "proved"})),
        ),
        ("GET", "/v1/tokens", None),
        ("GET", "/v1/tokens?org=demo", None),
        ("POST", "/v1/tokens", Some(json!({"kind": "operator"}))),
        ("POST", "/v1/tokens", Some(json!({"kind": "org", "org": "demo"}))),
        ("POST", "/v1/tokens", Some(json!({"kind": "host", "host": "h-2"}))),
        ("POST", "/v1/enrollments", Some(json!({"hosts": ["h-2"], "reason": "none"}))),
        ("POST", "/v1/revocations", Some(json!({"host": {"host": "h-2"}}))),
        ("GET", "/v1/issuers", None),
    ]
}

/// Asserts that every route refuses a header, and that nothing changed.
fn opens_nothing(dev: &Dev, header: &str, what: &str) {
    for (method, target, body) in every_route() {
        let answer = dev.call(method, target, header, body.as_ref());
        assert!((400..500).contains(&answer.status), "{what}: {method} {target}: {}", answer.text());
        assert!(!answer.text().contains(CANARY), "{what}: {method} {target}");
    }
    assert_eq!(dev.version("shop"), 1, "{what}");
}

#[test]
fn a_jwt_of_the_apps_issuer_boots_a_machine() {
    let dev = shop();
    let id = dev.operate("GET", "/v1/apps/shop", None).field("id");
    for app in ["shop", id.as_str()] {
        let proof = dev.boot_jwt("shop", "m-1");
        let discharge = dev.ask_discharge(&dev.host, &proof, app, "m-1");
        assert_eq!(discharge.status, 201, "{}", discharge.text());
        let boot = dev.boot(app, "m-1", &discharge.field("discharge"));
        assert_eq!(boot.status, 200, "{}", boot.text());
        assert_eq!(values(&boot), greeting());
        assert_eq!(
            (boot.field("app"), boot.field("app_name"), boot.field("machine"), boot.number("version")),
            (id.clone(), "shop".to_owned(), "m-1".to_owned(), 1)
        );
    }
    let line = dev.audit_lines().into_iter().rev().find(|line| line["action"] == "boot").unwrap();
    assert_eq!(
        (&line["outcome"], &line["app"], &line["version"], &line["machine"], &line["host"]),
        (&json!("allowed"), &json!(id), &json!(1), &json!("m-1"), &json!("dev"))
    );
    assert!(line["detail"].as_str().unwrap().contains("rule boot"), "{line}");
}

#[test]
fn a_users_token_narrowed_to_this_boot_boots_a_machine() {
    let dev = shop();
    let id = dev.operate("GET", "/v1/apps/shop", None).field("id");
    let proof = dev.boot_token(&id, "m-1");
    let discharge = dev.ask_discharge(&dev.host, &proof, "shop", "m-1");
    assert_eq!(discharge.status, 201, "{}", discharge.text());
    let boot = dev.boot("shop", "m-1", &discharge.field("discharge"));
    assert_eq!((boot.status, values(&boot)), (200, greeting()));
    let line = dev.audit_lines().into_iter().rfind(|line| line["action"] == "boot").unwrap();
    assert_eq!((&line["outcome"], &line["machine"]), (&json!("allowed"), &json!("m-1")), "{line}");
    assert!(line["detail"].as_str().unwrap().contains("owner ("), "{line}");
    // The same token proves no other boot.
    refused(&dev.ask_discharge(&dev.host, &proof, "shop", "m-2"), 403, "forbidden");
    // A token with too few caveats proves none, however much it allows.
    refused(&dev.ask_discharge(&dev.host, &flyv1(&dev.owner()), "shop", "m-1"), 403, "forbidden");
    // Nor does an operator's token, or one that it mints, narrowed or not: who enrolls must not boot.
    let minted = dev.mint(&json!({"kind": "org", "org": "demo", "actions": ["boot"]}));
    for token in [&dev.operator, &minted] {
        let app = Apps::new([*id.parse::<petsem_api::AppId>().unwrap().as_bytes()]);
        let narrowed = appended(
            token,
            [
                app.into(),
                Machines::new(["m-1".to_owned()]).into(),
                Hosts::new([Development::HOST.to_owned()]).into(),
                Actions(ActionSet::from_iter([Action::Boot])).into(),
                Caveat::ValidityWindow { not_before: 0, not_after: now() + 200 },
            ],
        );
        refused(&dev.ask_discharge(&dev.host, &flyv1(&narrowed), "shop", "m-1"), 403, "forbidden");
    }
}

#[test]
fn a_users_token_that_is_not_fully_narrowed_proves_no_boot() {
    let dev = shop();
    let id: petsem_api::AppId = dev.operate("GET", "/v1/apps/shop", None).field("id").parse().unwrap();
    let app: Caveat = Apps::new([*id.as_bytes()]).into();
    let machine: Caveat = Machines::new(["m-1".to_owned()]).into();
    let host: Caveat = Hosts::new([Development::HOST.to_owned()]).into();
    let action: Caveat = Actions(ActionSet::from_iter([Action::Boot])).into();
    let window = |end: i64| Caveat::ValidityWindow { not_before: 0, not_after: now() + end };
    let narrow = [app.clone(), machine.clone(), host.clone(), action.clone(), window(200)];
    let ask = |caveats: Vec<Caveat>| {
        dev.ask_discharge(&dev.host, &flyv1(&appended(&dev.owner(), caveats)), "shop", "m-1")
    };
    assert_eq!(ask(narrow.to_vec()).status, 201);
    for left_out in 0..narrow.len() {
        let mut caveats = narrow.to_vec();
        let caveat = caveats.remove(left_out);
        let answer = ask(caveats);
        assert_eq!(answer.outcome(), (403, "forbidden".to_owned()), "without {caveat:?}");
    }
    for (what, caveats) in [
        ("two machines", vec![Machines::new(["m-1".to_owned(), "m-2".to_owned()]).into()]),
        ("two actions", vec![Actions(ActionSet::from_iter([Action::Boot, Action::Write])).into()]),
    ] {
        let mut wide: Vec<Caveat> = narrow
            .iter()
            .filter(|caveat| caveats.iter().all(|other: &Caveat| other.kind() != caveat.kind()))
            .cloned()
            .collect();
        wide.extend(caveats);
        assert_eq!(ask(wide).outcome(), (403, "forbidden".to_owned()), "{what}");
    }
    let ends_late = [app, machine, host, action, window(400)];
    assert_eq!(ask(ends_late.to_vec()).outcome(), (403, "forbidden".to_owned()));
}

/// The request of the client of Fly.io's macaroon library, byte for byte: it sends only the ticket. For a proof that is
/// a token, its caller gives the scheme.
fn go_client_asks(dev: &Dev, path: &str, proof: &str) -> Answer {
    let body = format!(r#"{{"ticket":"{}"}}"#, ticket(&dev.host));
    let address = dev.server.address();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: {}\r\n\
         Authorization: {proof}\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n{body}",
        body.len()
    );
    let answer = Connection::open(address).unwrap().call_bytes(request.as_bytes()).unwrap();
    assert!(!answer.head.to_ascii_lowercase().contains("content-encoding"), "{}", answer.head);
    answer
}

#[test]
fn a_client_that_sends_only_the_ticket_gets_the_discharge_of_the_boot_that_its_proof_names() {
    let dev = shop();
    let id = dev.operate("GET", "/v1/apps/shop", None).field("id");
    for path in ["/.well-known/macfly/3p", "/discharger/.well-known/macfly/3p"] {
        let token = dev.boot_token(&id, "m-1");
        let as_bearer = token.replacen("FlyV1", "Bearer", 1);
        for proof in [dev.boot_jwt("shop", "m-1"), dev.boot_jwt(&id, "m-1"), token, as_bearer] {
            let discharge = go_client_asks(&dev, path, &proof);
            assert_eq!(discharge.status, 201, "{}", discharge.text());
            let boot = dev.boot("shop", "m-1", &discharge.field("discharge"));
            assert_eq!((boot.status, values(&boot)), (200, greeting()));
            refused(&dev.boot("shop", "m-2", &discharge.field("discharge")), 401, "discharge_invalid");
        }
    }
    // A proof that names no boot, and one that names it but does not prove it.
    let wide = go_client_asks(&dev, "/.well-known/macfly/3p", &flyv1(&dev.owner()));
    refused(&wide, 400, "bad_request");
    assert!(wide.field("error").contains("does not say which app boots, and its proof names none"));
    let jwt = dev.jwt(&json!({"petsem_app": "shop", "petsem_machine": "m-1", "petsem_host": "host-2"}));
    refused(&go_client_asks(&dev, "/.well-known/macfly/3p", &jwt), 403, "policy_denied");
}

#[test]
fn a_jwt_for_another_boot_proves_nothing() {
    let dev = shop();
    let claims = |app: &str, machine: &str, host: &str| json!({"sub": "o", "petsem_app": app, "petsem_machine": machine, "petsem_host": host});
    let ask = |claims: &Value| dev.ask_discharge(&dev.host, &dev.jwt(claims), "shop", "m-1");
    assert_eq!(ask(&claims("shop", "m-1", "dev")).status, 201);
    for (what, claims) in [
        ("another app", claims("other", "m-1", "dev")),
        ("another machine", claims("shop", "m-2", "dev")),
        ("another host", claims("shop", "m-1", "host-2")),
        ("no machine", json!({"sub": "o", "petsem_app": "shop", "petsem_host": "dev"})),
        (
            "a machine that is a list",
            json!({"petsem_app": "shop", "petsem_machine": ["m-1"], "petsem_host": "dev"}),
        ),
    ] {
        assert_eq!(ask(&claims).outcome(), (403, "policy_denied".to_owned()), "{what}");
    }
    let with = |extra: Value| {
        let mut claims = claims("shop", "m-1", "dev");
        claims.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        ask(&claims).outcome()
    };
    let now = now();
    for (what, extra, code) in [
        ("expired", json!({"iat": now - 400, "exp": now - 120}), "token_expired"),
        ("not yet good", json!({"nbf": now + 120}), "token_expired"),
        ("too long a life", json!({"iat": now, "exp": now + 301}), "token_invalid"),
        ("for another installation", json!({"aud": "elsewhere"}), "token_invalid"),
        ("of another issuer", json!({"iss": "https://evil.example"}), "token_invalid"),
    ] {
        assert_eq!(with(extra), (401, code.to_owned()), "{what}");
    }
    // A signature by another key than the issuer's.
    let mut forged = dev.boot_jwt("shop", "m-1");
    let last = if forged.ends_with('A') { "B" } else { "A" };
    let middle = forged.len() - 20;
    forged.replace_range(middle..=middle, if &forged[middle..=middle] == last { "C" } else { last });
    assert_eq!(
        dev.ask_discharge(&dev.host, &forged, "shop", "m-1").outcome(),
        (401, "token_invalid".to_owned())
    );
}

#[test]
fn a_renewal_boots_again_and_can_be_renewed_for_the_same_machine_only() {
    let dev = shop();
    let boot = dev.boot("shop", "m-1", &dev.discharge("shop", "m-1"));
    let renewal = boot.field("renewal");
    assert_eq!((boot.status, renewal.is_empty()), (200, false));

    dev.set("shop", &json!({"GREETING": "newer"}));
    let again = dev.boot("shop", "m-1", &renewal);
    assert_eq!((again.status, again.number("version")), (200, 2));
    assert_eq!(values(&again), [("GREETING".to_owned(), "newer".to_owned())]);

    let renewed = renew(&dev, "shop", "m-1", &renewal);
    assert_eq!(renewed.status, 200, "{}", renewed.text());
    assert_eq!(dev.boot("shop", "m-1", &renewed.field("renewal")).status, 200);

    dev.app("other", &json!({}));
    for good in [&renewal, &renewed.field("renewal")] {
        refused(&dev.boot("shop", "m-2", good), 401, "discharge_invalid");
        refused(&dev.boot("other", "m-1", good), 401, "discharge_invalid");
        refused(&renew(&dev, "shop", "m-2", good), 401, "discharge_invalid");
    }
}

#[test]
fn a_boot_of_an_app_without_renewals_returns_none() {
    let dev = Dev::start();
    dev.app("strict", &json!({"renewal_life": 0}));
    dev.set("strict", &json!({"A": "1"}));
    let discharge = dev.discharge("strict", "m-1");
    let boot = dev.boot("strict", "m-1", &discharge);
    assert_eq!((boot.status, boot.json().get("renewal")), (200, None));
    refused(&renew(&dev, "strict", "m-1", &discharge), 403, "forbidden");
}

#[test]
fn a_renewal_is_refused_after_its_expiry() {
    let dev = Dev::start();
    dev.app("brief", &json!({"renewal_life": 1}));
    dev.set("brief", &json!({"A": "1"}));
    let renewal = dev.boot("brief", "m-1", &dev.discharge("brief", "m-1")).field("renewal");
    let end = now() + 30;
    let late = loop {
        let answer = dev.boot("brief", "m-1", &renewal);
        if answer.status != 200 {
            break answer;
        }
        assert!(now() < end, "a renewal of one second is good after 30");
    };
    refused(&late, 401, "token_expired");
    refused(&renew(&dev, "brief", "m-1", &renewal), 401, "token_expired");
}

#[test]
fn a_host_token_alone_opens_nothing_on_any_route() {
    let dev = shop();
    opens_nothing(&dev, &flyv1(&dev.host), "the host token");
    refused(&boot_with(&dev, &flyv1(&dev.host), "shop", "m-1"), 401, "discharge_missing");
}

#[test]
fn a_host_token_with_appended_caveats_opens_nothing() {
    let dev = shop();
    let id: petsem_api::AppId = dev.operate("GET", "/v1/apps/shop", None).field("id").parse().unwrap();
    let org: petsem_api::OrgId = dev.operate("GET", "/v1/orgs/demo", None).field("id").parse().unwrap();
    let grant = || BootGrant {
        org: *org.as_bytes(),
        app: *id.as_bytes(),
        machine: "m-1".to_owned(),
        host: "dev".to_owned(),
        expires: now() + 3600,
        provenance:
            r#"{"token":{"id":"00000000-0000-0000-0000-000000000000","ancestors":[],"subject":"me"}}"#
                .to_owned(),
    };
    let everything: ActionSet = Action::ALL.into_iter().collect();
    let apps = || Apps::new([*id.as_bytes()]);
    for (what, caveats) in [
        ("a grant of its own", vec![grant().into()]),
        ("the app", vec![apps().into()]),
        ("every action", vec![Actions(everything).into()]),
        ("app, actions and a grant", vec![apps().into(), Actions(everything).into(), grant().into()]),
    ] {
        opens_nothing(&dev, &flyv1(&appended(&dev.host, caveats)), what);
    }

    // The holder's own third-party caveat, which the holder can discharge.
    let rng = &mut UnwrapErr(SysRng);
    let location = "https://discharger.holder.example";
    let key = SharedKey::generate(rng);
    let host = UnverifiedToken::parse(&dev.host).unwrap();
    let mut own = Macaroon::from_token(&host).unwrap();
    own.add_third_party(location, &key, &CaveatSet::new(Vec::new()), rng).unwrap();
    let own = own.to_text().to_string();
    let parent = UnverifiedToken::parse(&own).unwrap();
    let sealed = parent.undischarged(&[]).into_iter().find(|(at, _)| *at == location).unwrap().1.to_vec();
    let mut discharge = Ticket::open(&sealed, &key).unwrap().discharge(location, rng);
    discharge.add([grant().into()]).unwrap();
    let self_made = discharge.to_text().to_string();
    opens_nothing(&dev, &flyv1(&format!("{own},{self_made}")), "a discharge of its own");

    // The same discharge with petsem's location, and next to the original host token.
    let theirs = parent.undischarged(&[]).first().unwrap().0.to_owned();
    let mut posing = Ticket::open(&sealed, &key).unwrap().discharge(&theirs, rng);
    posing.add([grant().into()]).unwrap();
    let posing = posing.to_text().to_string();
    for (token, discharge) in [(&own, &posing), (&dev.host, &posing), (&dev.host, &self_made)] {
        opens_nothing(&dev, &flyv1(&format!("{token},{discharge}")), "a discharge that poses as petsem's");
    }
    // Even with a real discharge for Machine 1, the added caveat opens nothing more.
    let real = dev.discharge("shop", "m-1");
    let all = flyv1(&format!("{own},{real},{self_made}"));
    refused(&boot_with(&dev, &all, "shop", "m-2"), 401, "discharge_invalid");
    assert_eq!(dev.version("shop"), 1);
}

#[test]
fn a_discharge_cannot_be_changed_or_relabelled() {
    let dev = shop();
    let discharge = dev.discharge("shop", "m-1");
    let decoded = UnverifiedToken::parse(&discharge).unwrap();
    let added = Macaroon::from_token(&decoded).unwrap().add([Caveat::IsMember]);
    assert_eq!(added, Err(petsem_policy::AddError::Finalized));
    // Every byte is authenticated: location, grant, tail.
    let bytes = decoded.expose_wire();
    for at in (0..bytes.len()).step_by(bytes.len() / 24) {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        let text = format!("fm2_{}", data_encoding::BASE64.encode(&changed));
        let answer = dev.boot("shop", "m-1", &text);
        assert_eq!(answer.status, 401, "byte {at}: {}", answer.text());
        assert!(!answer.text().contains(CANARY));
    }
    // A prefix of another kind of token changes nothing.
    let relabelled = discharge.replacen("fm2_", "fm1r_", 1);
    let answer = dev.boot("shop", "m-1", &relabelled);
    assert!(answer.status == 200 || answer.status == 401, "{}", answer.text());
    refused(&dev.boot("shop", "m-2", &relabelled), 401, "discharge_invalid");
}

#[test]
fn a_discharge_is_accepted_with_its_own_host_token_only() {
    let dev = shop();
    let other_host = dev.mint(&json!({"kind": "host", "host": "host-2"}));
    // A token of another host does not work through this host's listener …
    let theirs = dev.ask_discharge(
        &other_host,
        &dev.jwt(&json!({
            "petsem_app": "shop", "petsem_machine": "m-1", "petsem_host": "host-2"
        })),
        "shop",
        "m-1",
    );
    assert_eq!(theirs.status, 201, "{}", theirs.text());
    let both = flyv1(&format!("{other_host},{}", theirs.field("discharge")));
    refused(&boot_with(&dev, &both, "shop", "m-1"), 403, "forbidden");
    // … and its discharge does not fit this host's token.
    refused(&dev.boot("shop", "m-1", &theirs.field("discharge")), 401, "discharge_missing");
    let second = dev.mint(&json!({"kind": "host", "host": "dev"}));
    let crossed = flyv1(&format!("{second},{}", dev.discharge("shop", "m-1")));
    refused(&boot_with(&dev, &crossed, "shop", "m-1"), 401, "discharge_missing");
}

fn batch(dev: &Dev, header: &str, boots: &[(&str, &str, &str)]) -> Answer {
    let items: Vec<_> = boots
        .iter()
        .map(|(app, machine, discharge)| json!({"app": app, "machine": machine, "discharge": discharge}))
        .collect();
    dev.call("POST", "/v1/boot", header, Some(&json!({ "boots": items })))
}

#[test]
fn each_machine_of_a_batch_is_answered_independently() {
    let dev = shop();
    dev.app("other", &json!({}));
    dev.set("other", &json!({"A": "other-value"}));
    let (first, second) = (dev.discharge("shop", "m-1"), dev.discharge("shop", "m-2"));
    let third = dev.discharge("other", "m-1");
    let answer = batch(
        &dev,
        &flyv1(&dev.host),
        &[
            ("shop", "m-1", &first),
            ("shop", "m-2", &first),  // the discharge of the previous item
            ("shop", "m-2", &second), // its own, after a refusal
            ("other", "m-1", &first), // the right Machine, the wrong app
            ("other", "m-1", &third),
            ("shop", "m-3", "no token"),
            ("shop", "m-3", &format!("{first},{second}")),
            ("nowhere", "m-1", &first),
        ],
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    let outcome = |item: &Value| match item.get("booted") {
        Some(booted) => {
            format!("{} {}", booted["app_name"].as_str().unwrap(), booted["machine"].as_str().unwrap())
        }
        None => item["refused"]["status"].as_str().unwrap().to_owned(),
    };
    let outcomes: Vec<_> = json["boots"].as_array().unwrap().iter().map(outcome).collect();
    assert_eq!(
        outcomes,
        [
            "shop m-1",
            "discharge_invalid",
            "shop m-2",
            "discharge_invalid",
            "other m-1",
            "discharge_invalid",
            "discharge_invalid",
            "discharge_invalid"
        ]
    );
    // A line for each Machine, with its own request id.
    let lines: Vec<_> = dev.audit_lines().into_iter().filter(|line| line["action"] == "boot").collect();
    let outcomes: Vec<_> = lines.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "allowed").count(), 3, "{outcomes:?}");
    let ids: std::collections::BTreeSet<_> =
        lines.iter().map(|line| line["request_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), lines.len());
}

#[test]
fn discharges_in_the_header_of_a_batch_are_refused() {
    let dev = shop();
    let discharge = dev.discharge("shop", "m-1");
    let header = flyv1(&format!("{},{discharge}", dev.host));
    refused(&batch(&dev, &header, &[("shop", "m-1", &discharge)]), 400, "bad_request");
    let many = vec![("shop", "m-1", discharge.as_str()); 257];
    refused(&batch(&dev, &flyv1(&dev.host), &many), 400, "bad_request");
}

#[test]
fn a_new_app_with_a_deleted_apps_name_accepts_nothing_issued_for_the_old_one() {
    let dev = shop();
    let boot = dev.boot("shop", "m-1", &dev.discharge("shop", "m-1"));
    let (renewal, discharge) = (boot.field("renewal"), dev.discharge("shop", "m-1"));
    let app_token = dev.mint(&json!({"kind": "org", "org": "demo", "apps": ["shop"]}));
    assert_eq!(dev.call("GET", "/v1/apps/shop/secrets", &flyv1(&app_token), None).status, 200);
    let old_id = boot.field("app");

    let deleted = dev.operate("DELETE", "/v1/apps/shop", None);
    assert_eq!((deleted.status, deleted.field("id")), (200, old_id.clone()));
    assert!(deleted.field("notice").contains("Older backups"), "{}", deleted.text());
    for gone in [&renewal, &discharge] {
        refused(&dev.boot("shop", "m-1", gone), 401, "discharge_invalid");
    }
    refused(&dev.operate("GET", "/v1/apps/shop/secrets", None), 404, "not_found");
    refused(&dev.operate("GET", &format!("/v1/apps/{old_id}/secrets"), None), 404, "not_found");

    let new_id = dev.app("shop", &json!({}));
    assert_ne!(new_id, old_id);
    dev.set("shop", &json!({ "GREETING": CANARY }));
    for old in [&renewal, &discharge] {
        refused(&dev.boot("shop", "m-1", old), 401, "discharge_invalid");
        refused(&dev.boot(&old_id, "m-1", old), 401, "discharge_invalid");
        refused(&renew(&dev, "shop", "m-1", old), 401, "discharge_invalid");
    }
    refused(&dev.call("GET", "/v1/apps/shop/secrets", &flyv1(&app_token), None), 403, "forbidden");
    assert_eq!(dev.boot("shop", "m-1", &dev.discharge("shop", "m-1")).status, 200);
}

#[test]
fn grants_and_renewals_are_refused_once_the_policy_no_longer_allows_the_boot() {
    let dev = shop();
    let discharge = dev.discharge("shop", "m-1");
    let renewal = dev.boot("shop", "m-1", &discharge).field("renewal");
    let put = |policy: Value| {
        let answer = dev.own("PUT", "/v1/apps/shop/policy", Some(&json!({ "policy": policy })));
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    put(json!({"format": 1, "rules": []}));
    for good in [&discharge, &renewal] {
        refused(&dev.boot("shop", "m-1", good), 403, "policy_denied");
        refused(&renew(&dev, "shop", "m-1", good), 403, "policy_denied");
    }
    let read = dev.call("GET", "/v1/apps/shop/secrets?show_secrets=true", &dev.reader_jwt(), None);
    refused(&read, 403, "policy_denied");
    // A rule that no longer matches the claims.
    let mut narrower = policy();
    narrower["rules"][0]["claims"] = json!({"sub": "somebody-else"});
    put(narrower);
    refused(&dev.boot("shop", "m-1", &renewal), 403, "policy_denied");
    put(policy());
    assert_eq!(dev.boot("shop", "m-1", &renewal).status, 200);
}

#[test]
fn revoked_credentials_are_refused_at_the_next_request() {
    let dev = shop();
    dev.app("other", &json!({}));
    let renewal =
        |app: &str, machine: &str| dev.boot(app, machine, &dev.discharge(app, machine)).field("renewal");
    let (first, second, elsewhere) =
        (renewal("shop", "m-1"), renewal("shop", "m-2"), renewal("other", "m-1"));
    let revoke = |what: Value| {
        let answer = dev.operate("POST", "/v1/revocations", Some(&what));
        assert_eq!(answer.status, 201, "{}", answer.text());
    };

    revoke(json!({"machine": {"app": "shop", "machine": "m-1"}}));
    refused(&dev.boot("shop", "m-1", &first), 401, "revoked");
    refused(&renew(&dev, "shop", "m-1", &first), 401, "revoked");
    let discharge = dev.ask_discharge(&dev.host, &dev.boot_jwt("shop", "m-1"), "shop", "m-1");
    refused(&discharge, 401, "revoked");
    assert_eq!(dev.boot("shop", "m-2", &second).status, 200);
    assert_eq!(dev.boot("other", "m-1", &elsewhere).status, 200);

    // One renewal, by its own id.
    let id = UnverifiedToken::parse(&second).unwrap().id().to_string();
    revoke(json!({"token": {"id": id, "unknown": true}}));
    refused(&dev.boot("shop", "m-2", &second), 401, "revoked");
    assert_eq!(dev.boot("shop", "m-2", &dev.discharge("shop", "m-2")).status, 200);

    revoke(json!({"host": {"host": "dev"}}));
    refused(&dev.boot("other", "m-1", &elsewhere), 401, "revoked");
    refused(&dev.ask_discharge(&dev.host, &dev.boot_jwt("other", "m-1"), "other", "m-1"), 401, "revoked");
}

#[test]
fn tokens_minted_from_a_revoked_token_are_refused() {
    let dev = shop();
    let info = dev.operate("POST", "/v1/tokens", Some(&json!({"kind": "org", "org": "demo"}))).json();
    let parent = info["token"].as_str().unwrap();
    let child = dev.call("POST", "/v1/tokens", &flyv1(parent), Some(&json!({"kind": "org", "org": "demo"})));
    assert_eq!(child.status, 201, "{}", child.text());
    let child = child.field("token");
    let narrowed = appended(&child, [Actions(ActionSet::from_iter([Action::List])).into()]);
    let list = |token: &str| dev.call("GET", "/v1/apps/shop/secrets", &flyv1(token), None).outcome();
    for token in [parent, &child, &narrowed] {
        assert_eq!(list(token), (200, String::new()));
    }
    let answer = dev.operate("POST", "/v1/revocations", Some(&json!({"token": {"id": info["id"]}})));
    assert_eq!(answer.status, 201, "{}", answer.text());
    for token in [parent, &child, &narrowed] {
        assert_eq!(list(token), (401, "revoked".to_owned()));
    }
    let tokens = dev.operate("GET", "/v1/tokens?org=demo", None).json();
    let revoked: Vec<_> = tokens["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| token["revoked"].as_bool().unwrap())
        .collect();
    // The two revoked tokens; the owner's own, which does not descend from them, is not revoked.
    assert_eq!(revoked.iter().filter(|revoked| **revoked).count(), 2);
    assert_eq!(revoked.len(), 3);
}

#[test]
fn a_revoked_host_token_boots_nothing() {
    let dev = shop();
    dev.enroll("dev");
    let info = dev.operate("POST", "/v1/tokens", Some(&json!({"kind": "host", "host": "dev"}))).json();
    let host = info["token"].as_str().unwrap();
    let discharge = dev.ask_discharge(host, &dev.boot_jwt("shop", "m-1"), "shop", "m-1").field("discharge");
    let header = flyv1(&format!("{host},{discharge}"));
    assert_eq!(boot_with(&dev, &header, "shop", "m-1").status, 200);
    dev.operate("POST", "/v1/revocations", Some(&json!({"token": {"id": info["id"]}})));
    refused(&boot_with(&dev, &header, "shop", "m-1"), 401, "revoked");
}

#[test]
fn a_workload_reads_the_secrets_that_its_rule_names_and_no_others() {
    let dev = Dev::start();
    dev.set("shop", &json!({"DB_URL": "db", "WEB_KEY": CANARY, "WEB_PORT": "80"}));
    let policy = json!({"format": 1, "rules": [{
        "name": "web", "issuer": Development::ISSUER, "claims": {"sub": "web"},
        "actions": ["read_value"], "secrets": {"names": ["DB_URL"], "prefixes": ["WEB_P"]}
    }]});
    let put = dev.own("PUT", "/v1/apps/shop/policy", Some(&json!({ "policy": policy })));
    assert_eq!(put.status, 200, "{}", put.text());
    let jwt = dev.jwt(&json!({"sub": "web"}));
    let all = dev.call("GET", "/v1/apps/shop/secrets?show_secrets=true", &jwt, None);
    assert_eq!(all.status, 200, "{}", all.text());
    let text = |text: &str| text.to_owned();
    assert_eq!(values(&all), [(text("DB_URL"), text("db")), (text("WEB_PORT"), text("80"))]);
    let one =
        |name: &str| dev.call("GET", &format!("/v1/apps/shop/secrets/{name}?show_secrets=true"), &jwt, None);
    assert_eq!((one("DB_URL").status, one("DB_URL").field("value")), (200, text("db")));
    // A secret that it may not read and a missing one look the same.
    refused(&one("WEB_KEY"), 403, "policy_denied");
    assert_eq!(one("WEB_KEY").error(), one("NOT_THERE").error());
    assert_eq!(one("WEB_P").outcome(), (404, text("not_found")));
    // Named secrets: each must be allowed, and no other value leaves or is recorded.
    let named = |names: &str| {
        dev.call("GET", &format!("/v1/apps/shop/secrets?show_secrets=true&names={names}"), &jwt, None)
    };
    assert_eq!(values(&named("WEB_PORT,WEB_P")), [(text("WEB_PORT"), text("80"))]);
    let lines = dev.audit_lines();
    let last = lines.iter().rfind(|line| line["action"] == "secret.read").unwrap();
    assert_eq!(last["secrets"], json!({"count": 1, "names": ["WEB_PORT"]}));
    refused(&named("DB_URL,WEB_KEY"), 403, "policy_denied");
    assert_eq!(named("DB_URL,WEB_KEY").error(), named("NOT_THERE").error());
    for bad in ["", "A,", "A,,B", "1x", "A%3D1"] {
        refused(&named(bad), 400, "bad_request");
    }
    let listed = dev.operate("GET", "/v1/apps/shop/secrets?names=WEB_KEY,NOT_THERE", None).json();
    assert_eq!(
        (listed["secrets"].as_array().unwrap().len(), &listed["secrets"][0]["name"]),
        (1, &json!("WEB_KEY"))
    );
    // Without `show_secrets` there are no values.
    let listed = dev.call("GET", "/v1/apps/shop/secrets", &jwt, None);
    assert_eq!((listed.status, listed.json()["secrets"][0].get("value")), (200, None));
    // Another subject, another app, a missing app: one answer.
    dev.app("other", &json!({}));
    dev.set("other", &json!({"A": "1"}));
    let answers = [
        dev.call("GET", "/v1/apps/shop/secrets?show_secrets=true", &dev.jwt(&json!({"sub": "x"})), None),
        dev.call("GET", "/v1/apps/other/secrets?show_secrets=true", &jwt, None),
        dev.call("GET", "/v1/apps/nowhere/secrets?show_secrets=true", &jwt, None),
    ];
    for answer in &answers {
        refused(answer, 403, "policy_denied");
        assert_eq!(answer.error(), answers[0].error());
    }
    // It cannot write.
    let set = dev.call("POST", "/v1/apps/shop/secrets/DB_URL", &jwt, Some(&json!({"value": "x"})));
    assert_eq!((set.status, dev.version("shop")), (401, 1));
    let long = dev.jwt(&json!({"sub": "web", "iat": now(), "exp": now() + 901}));
    refused(&dev.call("GET", "/v1/apps/shop/secrets", &long, None), 401, "token_invalid");
}

#[test]
fn no_token_reads_values() {
    let dev = shop();
    let org = dev.mint(&json!({"kind": "org", "org": "demo"}));
    let app = dev.mint(&json!({"kind": "org", "org": "demo", "apps": ["shop"]}));
    let all: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
    let actions = dev.mint(&json!({"kind": "org", "org": "demo", "actions": all}));
    for token in [&dev.operator, &org, &app, &actions] {
        for target in ["/v1/apps/shop/secrets", "/v1/apps/shop/secrets/GREETING"] {
            let read = dev.call("GET", &format!("{target}?show_secrets=true"), &flyv1(token), None);
            refused(&read, 403, "read_needs_workload");
            assert!(read.error().contains("petsem run"), "{}", read.error());
        }
    }
}

#[test]
fn the_discharger_does_not_reveal_which_apps_exist() {
    let dev = shop();
    let none = dev.ask_discharge(&dev.host, &dev.boot_jwt("nowhere", "m-1"), "nowhere", "m-1");
    let not_allowed = dev.ask_discharge(&dev.host, &dev.boot_jwt("nowhere", "m-1"), "shop", "m-1");
    refused(&none, 403, "policy_denied");
    assert_eq!((none.outcome(), none.error()), (not_allowed.outcome(), not_allowed.error()));
    let body = json!({"ticket": ticket(&dev.host), "app": "shop", "machine": "m-1"});
    let unproven = dev.call("POST", "/.well-known/macfly/3p", "", Some(&body));
    assert_eq!(unproven.status, 401, "{}", unproven.text());
    let wrong = json!({"ticket": "AAAA", "app": "shop", "machine": "m-1"});
    let answer = dev.call("POST", "/.well-known/macfly/3p", &dev.boot_jwt("shop", "m-1"), Some(&wrong));
    assert_eq!(answer.outcome(), (400, "bad_request".to_owned()));
}

#[test]
fn the_largest_answer_is_within_the_limit_of_clients() {
    let dev = Dev::start();
    // JSON takes six bytes for each of these characters, and a body has at most 4 MiB.
    for number in 0..15 {
        dev.set("shop", &json!({ format!("N{number}"): "\u{1}".repeat(64 * 1024) }));
    }
    let answer = dev.boot("shop", "m-1", &dev.discharge("shop", "m-1"));
    assert_eq!(answer.status, 200);
    let bytes = answer.body.len();
    assert!((5 * 1024 * 1024..petsem_api::MAX_ANSWER).contains(&bytes), "{bytes}");
}
