//! JWTs and key sets of the shape that issuers document, with the registrations and rules of `docs/issuers.md`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may panic; lints treat helper functions as production code"
)]

use std::collections::BTreeMap;

use petsem_policy::evaluate::{
    Algorithm, AppPolicy, BootRequest, Claims, Issuer, Jwks, JwtError, JwtTypes, PolicyDenial,
    PolicyQuestion, RuleReason, verify_jwt,
};
use serde_json::{Value, json};

#[path = "../src/evaluate/tests/signer.rs"]
mod signer;

const PAGE: &str = include_str!("../../docs/issuers.md");
const NOW: i64 = 1_800_000_000;
const INSTALLATION: &str = "petsem-prod";

/// A JWT as an issuer makes it, and the key set that it publishes.
struct Shape {
    header: Value,
    claims: Value,
    keys: Vec<Value>,
}

/// The registration and the rule of each section of the page.
fn page() -> BTreeMap<&'static str, (Value, Value)> {
    let sections = PAGE.split("\n## ").skip(1).map(|section| {
        let (title, rest) = section.split_once('\n').unwrap();
        let block = rest.split("```json\n").nth(1).unwrap().split("\n```").next().unwrap();
        let (registration, rule) = block.split_once('\n').unwrap();
        (title, (serde_json::from_str(registration).unwrap(), serde_json::from_str(rule).unwrap()))
    });
    sections.collect()
}

/// The key of this algorithm, with these members, beside a key that its issuer no longer signs with.
fn keys(algorithm: &str, members: Value) -> Vec<Value> {
    let with = |id: &str, mut jwk: Value| {
        jwk["kid"] = json!(id);
        jwk.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        jwk
    };
    let old = json!({"kty": "RSA", "n": format!("v{}w", "_".repeat(340)), "e": "AQAB"});
    vec![with("old", old), with("k1", signer::SigningKey::of(algorithm).jwk("k1"))]
}

fn shapes() -> BTreeMap<&'static str, Shape> {
    let rs256 = |more: Value| {
        let mut header = json!({"alg": "RS256", "kid": "k1"});
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        header
    };
    let usual = || keys("RS256", json!({"use": "sig", "alg": "RS256"}));
    BTreeMap::from([
        (
            "GitHub Actions",
            Shape {
                header: rs256(json!({"typ": "JWT", "x5t": "eBZ_cn3sXYAd0ch4THBKHIgOwOE"})),
                claims: json!({
                    "jti": "example-id", "sub": "repo:octo-org/octo-repo:environment:prod", "environment": "prod",
                    "aud": INSTALLATION, "ref": "refs/heads/main", "sha": "example-sha", "ref_protected": "true",
                    "repository": "octo-org/octo-repo", "repository_owner": "octo-org", "repository_id": "74",
                    "repository_owner_id": "65", "run_id": "example-run-id", "run_number": "10", "run_attempt": "2",
                    "runner_environment": "github-hosted", "actor": "octocat", "workflow": "example-workflow",
                    "event_name": "workflow_dispatch", "ref_type": "branch", "exp": NOW + 300, "nbf": NOW - 300,
                }),
                keys: keys(
                    "RS256",
                    json!({"use": "sig", "alg": "RS256", "x5c": ["MIIDrDCC"], "x5t": "eBZ_"}),
                ),
            },
        ),
        (
            "GitLab",
            Shape {
                header: rs256(json!({"typ": "JWT"})),
                claims: json!({
                    "namespace_id": "72", "namespace_path": "my-group", "project_id": "22",
                    "project_path": "my-group/my-project", "user_id": "1", "user_login": "sample-user",
                    "pipeline_id": "574", "job_id": "302", "ref": "main", "ref_type": "branch",
                    "ref_protected": "true", "groups_direct": ["my-group"], "jti": "235b3a54", "aud": INSTALLATION,
                    "sub": "project_path:my-group/my-project:ref_type:branch:ref:main", "nbf": NOW - 5,
                    "exp": NOW + 3600,
                }),
                keys: usual(),
            },
        ),
        (
            "Kubernetes",
            Shape {
                header: rs256(json!({})),
                claims: json!({
                    "aud": [INSTALLATION], "exp": NOW + 3607, "nbf": NOW, "jti": "aed34954",
                    "kubernetes.io": {
                        "namespace": "prod", "node": {"name": "n1", "uid": "646e7c5e"},
                        "pod": {"name": "api-6d5f", "uid": "5e0bd49b"},
                        "serviceaccount": {"name": "api", "uid": "14ee3fa4"}, "warnafter": NOW + 3000,
                    },
                    "sub": "system:serviceaccount:prod:api",
                }),
                keys: usual(),
            },
        ),
        (
            "SPIFFE",
            Shape {
                header: json!({"alg": "ES256", "kid": "k1", "typ": "JOSE"}),
                claims: json!({
                    "aud": [INSTALLATION], "exp": NOW + 300, "sub": "spiffe://acme.example/ns/prod/sa/api",
                }),
                keys: [
                    keys("ES256", json!({"use": "x509-svid", "x5c": ["MIIB"]})),
                    keys("ES256", json!({"use": "jwt-svid"})),
                ]
                .concat(),
            },
        ),
        (
            "Google",
            Shape {
                header: rs256(json!({"typ": "JWT"})),
                claims: json!({
                    "aud": INSTALLATION, "azp": "112010400000000710080", "sub": "112010400000000710080",
                    "email": "api@acme.iam.gserviceaccount.com", "email_verified": true, "exp": NOW + 3600,
                    "google": {"compute_engine": {"project_id": "acme", "project_number": 739_419_398_126_i64}},
                }),
                keys: usual(),
            },
        ),
        (
            "Entra ID",
            Shape {
                header: rs256(json!({"typ": "JWT"})),
                claims: json!({
                    "aud": "6f1d2c3b-0000-4000-8000-00000000abcd", "nbf": NOW, "exp": NOW + 5100,
                    "aio": "E2ZgYLjm", "azp": "d3590ed6-52b3-4102-aeff-aad2292ab01c", "azpacr": "1",
                    "oid": "9ee5c9b0", "rh": "0.AAAA", "roles": ["Secrets.Read", "Other"], "sub": "9ee5c9b0",
                    "tid": "9122040d-6c67-4c5b-b112-36a304b66dad", "uti": "fqiBqXLPj0eQa82S", "ver": "2.0",
                }),
                // Its keys name no algorithm, but an issuer and certificates.
                keys: keys("RS256", json!({"use": "sig", "issuer": "https://login", "x5c": ["MIIC"]})),
            },
        ),
        (
            "AWS Cognito",
            Shape {
                header: rs256(json!({})),
                claims: json!({
                    "sub": "aaaaaaaa-bbbb-cccc-dddd-example", "cognito:groups": ["deployers"], "version": 2,
                    "client_id": "1example23456789", "origin_jti": "aaaaaaaa", "event_id": "64f513be",
                    "token_use": "access", "scope": "phone openid", "auth_time": NOW - 10, "exp": NOW + 3600,
                    "jti": "bbbbbbbb", "username": "janedoe",
                }),
                keys: usual(),
            },
        ),
        (
            "Okta",
            Shape {
                header: rs256(json!({})),
                claims: json!({
                    "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "aud": "api://default",
                    "exp": NOW + 3600, "cid": "nmdP1fcyvdVO11AL7ECm", "uid": "00ujmkLgagxeRrAg20g3",
                    "scp": ["secrets.read", "openid"], "sub": "john@acme.example", "groups": ["Everyone", "deployers"],
                }),
                keys: usual(),
            },
        ),
        (
            "Auth0",
            Shape {
                header: rs256(json!({"typ": "at+jwt"})),
                claims: json!({
                    "https://acme.example/team": "ops", "sub": "aBcD@clients",
                    "aud": [INSTALLATION, "https://acme.eu.auth0.com/userinfo"], "exp": NOW + 86_400,
                    "scope": "read:secrets", "gty": "client-credentials", "azp": "aBcD",
                    "permissions": ["read:secrets"],
                }),
                keys: keys("RS256", json!({"use": "sig", "alg": "RS256", "x5c": ["MIID"], "x5t": "QTI1"})),
            },
        ),
        (
            "Keycloak",
            Shape {
                header: rs256(json!({"typ": "JWT"})),
                claims: json!({
                    "exp": NOW + 300, "jti": "d3e4", "aud": [INSTALLATION, "account"], "sub": "f:1:ann",
                    "typ": "Bearer", "azp": "deploy", "sid": "0b9c", "acr": "1", "email_verified": true,
                    "realm_access": {"roles": ["offline_access", "deployer"]}, "allowed-origins": ["/*"],
                    "resource_access": {"account": {"roles": ["view-profile"]}}, "scope": "email profile",
                }),
                keys: [keys("RS256", json!({"use": "enc", "alg": "RSA-OAEP"})), usual()].concat(),
            },
        ),
        (
            "Buildkite",
            Shape {
                header: rs256(json!({"typ": "JWT"})),
                claims: json!({
                    "aud": INSTALLATION, "exp": NOW + 300, "nbf": NOW, "organization_slug": "acme",
                    "sub": "organization:acme:pipeline:deploy:ref:refs/heads/main:commit:9f3182061f:step:build",
                    "pipeline_slug": "deploy", "build_number": 1, "build_branch": "main", "build_commit": "9f31",
                    "step_key": "build", "job_id": "0184990a", "agent_id": "0184990b",
                }),
                keys: usual(),
            },
        ),
        (
            "CircleCI",
            Shape {
                header: rs256(json!({"typ": "JWT"})),
                claims: json!({
                    "aud": INSTALLATION, "exp": NOW + 3600, "sub": "org/1b2c/project/9f8e/user/77aa",
                    "oidc.circleci.com/project-id": "9f8e", "oidc.circleci.com/context-ids": ["c0de"],
                    "oidc.circleci.com/vcs-origin": "github.com/acme/shop", "oidc.circleci.com/ssh-rerun": false,
                }),
                keys: usual(),
            },
        ),
        (
            "Fly.io",
            Shape {
                header: rs256(json!({"typ": "JWT"})),
                claims: json!({
                    "app_id": "3671581", "app_name": "shop", "aud": INSTALLATION, "exp": NOW + 600,
                    "image": "image:latest", "image_digest": "sha256:dff7", "jti": "6b7a", "machine_id": "3d8d377ce9e398",
                    "machine_name": "ancient-snow-4824", "machine_version": "01HN", "nbf": NOW, "org_id": "29873298",
                    "org_name": "acme", "region": "yyz", "sub": "acme:shop:ancient-snow-4824",
                }),
                keys: usual(),
            },
        ),
    ])
}

fn issuer(registration: &Value, keys: &[Value]) -> Issuer {
    let texts = |name: &str| -> Vec<String> {
        let list = registration.get(name).and_then(Value::as_array);
        list.into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let algorithms: Vec<Algorithm> =
        texts("algorithms").iter().map(|name| Algorithm::from_name(name).unwrap()).collect();
    let types = texts("types");
    Issuer {
        id: [1; 16],
        iss: registration["issuer"].as_str().unwrap().to_owned(),
        audience: INSTALLATION.to_owned(),
        audiences: texts("audiences"),
        audience_claim: registration.get("audience_claim").map(|name| name.as_str().unwrap().to_owned()),
        types: if types.is_empty() {
            JwtTypes::default()
        } else {
            JwtTypes::of(types.iter().map(String::as_str)).unwrap()
        },
        keys: Jwks::parse_published(&json!({ "keys": keys }).to_string(), &algorithms).unwrap(),
        algorithms,
    }
}

fn longest_life(registration: &Value) -> i64 {
    registration.get("longest_life_seconds").map_or(900, |life| life.as_i64().unwrap())
}

/// The JWT of this shape from this issuer, issued now.
fn jwt(shape: &Shape, iss: &str, changed: &Value) -> String {
    let mut claims = shape.claims.clone();
    claims["iss"] = json!(iss);
    claims["iat"] = json!(NOW);
    claims.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
    let part = |value: &Value| data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(&shape.header), part(&claims));
    let key = signer::SigningKey::of(shape.header["alg"].as_str().unwrap());
    format!("{signed}.{}", key.sign(signed.as_bytes()))
}

fn policy(iss: &str, fields: &Value) -> AppPolicy {
    let mut rule = json!({
        "name": "r", "issuer": iss, "actions": ["read_value"], "secrets": {"names": ["A"]},
    });
    rule.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    AppPolicy::parse(&json!({"format": 1, "rules": [rule]}).to_string()).unwrap()
}

fn reason(denied: Result<petsem_policy::evaluate::Allowed, PolicyDenial>) -> RuleReason {
    denied.unwrap_err().nearest.unwrap().reason
}

#[test]
fn the_page_has_the_issuers_that_are_tested() {
    assert_eq!(page().keys().collect::<Vec<_>>(), shapes().keys().collect::<Vec<_>>());
}

#[test]
fn the_jwts_of_each_issuer_read_by_the_registration_and_the_rule_of_the_page() {
    for (name, (registration, fields)) in page() {
        let shape = &shapes()[name];
        let issuer = issuer(&registration, &shape.keys);
        let life = longest_life(&registration);
        let verified = verify_jwt(&jwt(shape, &issuer.iss, &json!({})), &issuer, life, NOW);
        let claims = verified.unwrap_or_else(|error| panic!("{name}: {error}"));
        let policy_of_page = policy(&issuer.iss, &fields);
        let allowed = policy_of_page.decide_read(&claims, "A");
        let allowed = allowed.unwrap_or_else(|denial| panic!("{name}: {denial}"));
        // What is stored is evaluated again, with the times of the JWT.
        let (issued, expires) = (claims.issued_at().unwrap(), claims.expires_at().unwrap());
        let text = serde_json::to_string(&allowed.claims).unwrap();
        let stored = Claims::from_exchange(serde_json::from_str(&text).unwrap(), issued, expires);
        assert_eq!(policy_of_page.decide_read(&stored, "A"), Ok(allowed), "{name}");

        // What differs from the defaults counts only for a rule that names it, and again when it is evaluated again.
        for (field, expected) in
            [("audiences", RuleReason::Audience), ("max_life_seconds", RuleReason::TooLongLived)]
        {
            let mut without = fields.clone();
            if without.as_object_mut().unwrap().remove(field).is_some() {
                let without = policy(&issuer.iss, &without);
                assert_eq!(reason(without.decide_read(&claims, "A")), expected, "{name}");
                assert_eq!(reason(without.decide_read(&stored, "A")), expected, "{name}");
            }
        }
        // Each condition of the rule is needed.
        for (place, conditions) in [("claims", &fields["claims"]), ("pointers", &fields["pointers"])] {
            for claim in conditions.as_object().into_iter().flatten().map(|(claim, _)| claim) {
                let mut other = fields.clone();
                other[place][claim] = json!("another");
                let other = policy(&issuer.iss, &other);
                let refused = other.decide_read(&claims, "A").unwrap_err().nearest.unwrap();
                let (RuleReason::Claim { claim: at, .. } | RuleReason::ClaimType { claim: at, .. }) =
                    refused.reason
                else {
                    panic!("{name}: {claim}: {:?}", refused.reason)
                };
                assert_eq!(&at, claim, "{name}");
            }
        }
    }
}

#[test]
fn a_jwt_of_one_issuer_counts_neither_at_another_issuer_nor_for_another_audience() {
    let page = page();
    for (name, (registration, _)) in &page {
        let shape = &shapes()[name];
        let own = issuer(registration, &shape.keys);
        let life = longest_life(registration);
        let text = jwt(shape, &own.iss, &json!({}));
        for (other_name, (other, _)) in page.iter().filter(|(other, _)| *other != name) {
            // With the same keys, which is more than an attacker has.
            let other =
                Issuer { types: own.types, algorithms: own.algorithms.clone(), ..issuer(other, &shape.keys) };
            let other = Issuer { keys: own.keys.clone(), ..other };
            assert_eq!(
                verify_jwt(&text, &other, 86_400, NOW),
                Err(JwtError::Claim("iss")),
                "{name} at {other_name}"
            );
        }
        let claim = own.audience_claim.as_deref().unwrap_or("aud");
        let refused = if claim == "aud" { JwtError::Claim("aud") } else { JwtError::AudienceClaim };
        for audience in
            [json!("other"), json!(["other"]), json!([]), json!(null), json!(7), json!("PETSEM-PROD")]
        {
            let text = jwt(shape, &own.iss, &json!({ claim: audience }));
            assert_eq!(verify_jwt(&text, &own, life, NOW), Err(refused), "{name}: {audience}");
        }
        // Beside a claim that is the audience, `aud` must match too.
        let beside = jwt(shape, &own.iss, &json!({"aud": "other"}));
        assert_eq!(verify_jwt(&beside, &own, life, NOW), Err(JwtError::Claim("aud")), "{name}");
        let too_long = jwt(shape, &own.iss, &json!({"exp": NOW + life + 1}));
        assert_eq!(verify_jwt(&too_long, &own, life, NOW), Err(JwtError::TooLongLived), "{name}");
        let other_type =
            Shape { header: own_header(shape, "dpop+jwt"), claims: shape.claims.clone(), keys: Vec::new() };
        let other_type = jwt(&other_type, &own.iss, &json!({}));
        assert_eq!(verify_jwt(&other_type, &own, life, NOW), Err(JwtError::Type), "{name}");
    }
}

fn own_header(shape: &Shape, typ: &str) -> Value {
    let mut header = shape.header.clone();
    header["typ"] = json!(typ);
    header
}

#[test]
fn a_jwt_for_another_audience_needs_a_subject_and_never_boots() {
    let (registration, _) = &page()["Okta"];
    let shape = &shapes()["Okta"];
    let own = issuer(registration, &shape.keys);
    let mut anonymous = shape.claims.clone();
    anonymous.as_object_mut().unwrap().remove("sub");
    let anonymous = Shape { claims: anonymous, header: shape.header.clone(), keys: Vec::new() };
    let refused = verify_jwt(&jwt(&anonymous, &own.iss, &json!({})), &own, 3600, NOW);
    assert_eq!(refused, Err(JwtError::Claim("sub")));
    let here = verify_jwt(&jwt(&anonymous, &own.iss, &json!({"aud": INSTALLATION})), &own, 3600, NOW);
    assert_eq!(here.unwrap().subject(), None, "for this installation it needs none");

    let boots = policy(
        &own.iss,
        &json!({
            "actions": ["boot"], "secrets": null, "max_life_seconds": 3600,
            "bind": {"app": "app", "machine": "vm", "host": "node"},
        }),
    );
    let boot =
        PolicyQuestion::Boot(BootRequest { app_id: [1; 16], app_name: "shop", machine: "m", host: "h" });
    let bound = json!({"app": "shop", "vm": "m", "node": "h"});
    let foreign = verify_jwt(&jwt(shape, &own.iss, &bound), &own, 3600, NOW).unwrap();
    assert_eq!(reason(boots.decide(&foreign, &boot)), RuleReason::ForeignBoot);
    let mut both = bound;
    both["aud"] = json!(["api://default", INSTALLATION]);
    let for_us = verify_jwt(&jwt(shape, &own.iss, &both), &own, 3600, NOW).unwrap();
    assert_eq!(boots.decide(&for_us, &boot).unwrap().rule, "r");
    // Stored, it still boots, and the life of its JWT still counts.
    let stored = boots.decide(&for_us, &boot).unwrap().claims;
    let stored = Claims::from_exchange(stored, NOW, NOW + 3600);
    assert_eq!(boots.decide(&stored, &boot).unwrap().rule, "r");
    let mut shorter = boots;
    shorter.rules[0].max_life_seconds = None;
    assert_eq!(reason(shorter.decide(&stored, &boot)), RuleReason::TooLongLived);
}
