//! Boots for which an outside discharger vouches: it names only a subject (docs/discharger.md).

use data_encoding::BASE64;
use petsem_api::{AppId, ErrorCode, OrgId, PutDischarger, RevokeRequest};
use petsem_policy::{BootGrant, Caveat, SharedKey, Ticket, UnverifiedToken};
use serde_json::{Value, json};

use crate::boot::proof::GrantProvenance;
use crate::entropy;
use crate::lab::{Demo, HOST, app_ref, code, policy};

const AUTH: &str = "https://auth.example";
const KEY: [u8; 32] = [7; 32];

/// An installation whose host token needs a discharge from outside.
struct Scene {
    demo: Demo,
    app: AppId,
    org: OrgId,
}

impl Scene {
    async fn new() -> Self {
        let mut demo = Demo::new().await;
        demo.set(&demo.tokens.operator, "shop", json!({"A": "1"})).await.unwrap();
        demo.lab.engine.add_discharger(&registration(AUTH, None)).await.unwrap();
        demo.enroll(HOST).await;
        let wanted = json!({"kind": "host", "host": HOST, "discharger": AUTH});
        demo.tokens.host = demo.mint(&demo.tokens.operator, wanted).await.unwrap().token.clone();
        let found = demo.lab.engine.find_app(&app_ref("shop")).await.unwrap().unwrap();
        Self { app: found.id, org: found.head.org, demo }
    }

    /// With a policy that lets the discharger vouch for these subjects.
    async fn trusting(subjects: &str) -> Self {
        let scene = Self::new().await;
        scene.trust(subjects).await;
        scene
    }

    async fn trust(&self, subjects: &str) {
        let mut policy = policy();
        policy["rules"][0] = rule(AUTH, subjects);
        self.demo.put_policy("shop", policy).await.unwrap();
    }

    /// What the discharger writes for Machine `m-1`.
    fn discharge(&self, provenance: &Value) -> String {
        let host = UnverifiedToken::parse(&self.demo.tokens.host).unwrap();
        let &[(AUTH, sealed)] = host.undischarged(&[]).as_slice() else { panic!("another discharger") };
        let mut discharge =
            Ticket::open(sealed, &SharedKey::new(KEY)).unwrap().discharge(AUTH, &mut entropy::rng());
        let grant = BootGrant {
            org: *self.org.as_bytes(),
            app: *self.app.as_bytes(),
            machine: "m-1".to_owned(),
            host: HOST.to_owned(),
            expires: self.now() + 60,
            provenance: provenance.to_string(),
        };
        let window = Caveat::ValidityWindow { not_before: self.now() - 30, not_after: self.now() + 60 };
        discharge.add([window, grant.into()]).unwrap();
        discharge.to_text().to_string()
    }

    fn now(&self) -> i64 {
        self.demo.lab.engine.now().seconds()
    }

    async fn boots(&self, discharge: &str) -> Result<usize, ErrorCode> {
        code(self.demo.boot("shop", "m-1", discharge).await.map(|boot| boot.secrets.len()))
    }

    async fn revoke(&self, discharger: &str, sub: &str, before: Option<i64>) {
        let (discharger, sub) = (discharger.to_owned(), sub.to_owned());
        let what = RevokeRequest::DischargerSubject { discharger, sub, before, unknown: true };
        self.demo.revoke(&self.demo.tokens.operator, &what).await.unwrap();
    }
}

fn registration(location: &str, org: Option<&str>) -> PutDischarger {
    let org = org.map(|org| org.parse().unwrap());
    PutDischarger { location: location.to_owned(), org, key: BASE64.encode(&KEY) }
}

fn rule(location: &str, subjects: &str) -> Value {
    json!({"name": "auth", "discharger": location, "claims": {"sub": subjects}, "actions": ["boot"]})
}

fn proof(sub: &str, proved_at: i64) -> Value {
    json!({"proof": {"subject": {"sub": sub, "proved_at": proved_at}}})
}

#[tokio::test]
async fn a_subject_counts_only_if_the_policy_names_its_discharger() {
    let scene = Scene::new().await;
    let discharge = scene.discharge(&proof("ann@example.com", scene.now()));
    assert_eq!(scene.boots(&discharge).await, Err(ErrorCode::PolicyDenied));
    scene.trust("*@example.com").await;
    let boot = scene.demo.boot("shop", "m-1", &discharge).await.unwrap();
    assert_eq!(boot.secrets.len(), 1);
    let line = scene.demo.last_line();
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.contains("ann@example.com of the discharger https://auth.example"), "{detail}");
    let other = scene.discharge(&proof("ann@other.example", scene.now()));
    assert_eq!(scene.boots(&other).await, Err(ErrorCode::PolicyDenied));

    // The rule also counts for renewals.
    let renewal = boot.renewal.unwrap();
    assert_eq!(scene.boots(&renewal).await, Ok(1));
    scene.trust("bob@example.com").await;
    assert_eq!(scene.boots(&renewal).await, Err(ErrorCode::PolicyDenied));
    let renewed = scene.demo.renew("shop", "m-1", &renewal).await.map(drop);
    assert_eq!(code(renewed), Err(ErrorCode::PolicyDenied));
}

#[tokio::test]
async fn a_subject_is_revoked_with_its_discharger_and_a_time_that_renewals_keep() {
    let scene = Scene::trusting("*").await;
    let now = scene.now();
    let discharge = scene.discharge(&proof("ann", now - 100));
    let renewal = scene.demo.boot("shop", "m-1", &discharge).await.unwrap().renewal.unwrap();
    let second = scene.demo.renew("shop", "m-1", &renewal).await.unwrap().renewal;
    let old = [discharge, renewal, second];
    for (discharger, sub, before) in [
        ("https://other.example", "ann", None),
        (AUTH, "bob", None),
        (AUTH, "ann", Some(now - 100)), // proofs before that second
    ] {
        scene.revoke(discharger, sub, before).await;
        for discharge in &old {
            assert_eq!(scene.boots(discharge).await, Ok(1), "{discharger} {sub}");
        }
    }
    // A slash at the end of the location names no other discharger.
    scene.revoke("https://auth.example/", "ann", Some(now - 50)).await;
    let newer = scene.discharge(&proof("ann", now - 50));
    assert_eq!(scene.boots(&newer).await, Ok(1));
    let demo = scene.demo.restarted().await;
    let scene = Scene { demo, ..scene };
    for discharge in &old {
        assert_eq!(scene.boots(discharge).await, Err(ErrorCode::Revoked));
        let renewed = scene.demo.renew("shop", "m-1", discharge).await.map(drop);
        assert_eq!(code(renewed), Err(ErrorCode::Revoked));
    }
    assert_eq!(scene.boots(&newer).await, Ok(1));
    // Without a time: all so far.
    scene.revoke(AUTH, "ann", None).await;
    assert_eq!(scene.boots(&newer).await, Err(ErrorCode::Revoked));
    let third = scene.discharge(&proof("carol", now));
    assert_eq!(scene.boots(&third).await, Ok(1));
}

#[tokio::test]
async fn an_outside_discharger_names_a_subject_and_nothing_else() {
    let scene = Scene::trusting("*").await;
    let now = scene.now();
    assert_eq!(scene.boots(&scene.discharge(&proof("ann", now + 20))).await, Ok(1));
    let claims = json!({
        "iss": crate::lab::ISSUER, "petsem_app": "shop", "petsem_machine": "m-1", "petsem_host": HOST
    });
    let id = "00000000-0000-5000-8000-000000000000";
    for provenance in [
        json!({"proof": {"token": {"id": id, "ancestors": [], "subject": "ann"}}}),
        json!({"proof": {"jwt": {
            "rule": "boot", "claims": claims, "sub": "ann", "jti": null, "issued_at": now, "expires_at": now + 60
        }}}),
        // A time to come would outlast a revocation of all so far, a long life the revocation itself.
        proof("ann", now + 60),
        proof("ann", now - 301),
    ] {
        let refused = scene.boots(&scene.discharge(&provenance)).await;
        assert_eq!(refused, Err(ErrorCode::DischargeInvalid), "{provenance}");
    }
}

#[tokio::test]
async fn a_policy_names_only_dischargers_that_count_for_its_org() {
    let scene = Scene::new().await;
    scene.demo.org("rivals").await.unwrap();
    for (location, org) in [("https://ours.example", "demo"), ("https://theirs.example", "rivals")] {
        scene.demo.lab.engine.add_discharger(&registration(location, Some(org))).await.unwrap();
    }
    let own = format!("{}/discharger", scene.demo.lab.engine.settings.location);
    for (location, expected) in [
        (AUTH, Ok(())),
        ("https://ours.example", Ok(())),
        ("https://theirs.example", Err(ErrorCode::BadPolicy)),
        ("https://nowhere.example", Err(ErrorCode::BadPolicy)),
        (own.as_str(), Err(ErrorCode::BadPolicy)),
    ] {
        let policy = json!({"format": 1, "rules": [rule(location, "*")]});
        let set = code(scene.demo.put_policy("shop", policy).await.map(drop));
        assert_eq!(set, expected, "{location}");
    }
}

/// The provenances of docs/discharger.json.
#[test]
fn the_documented_provenances_are_read_and_the_others_refused() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/discharger.json");
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = vectors["provenances"].as_array().unwrap();
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let read = GrantProvenance::of(text).and_then(|provenance| provenance.to_text());
        assert_eq!(read.ok().as_deref(), case["stored"].as_str(), "{text}");
    }
    assert_eq!(cases.iter().filter(|case| case["stored"].is_string()).count(), 4);
    assert_eq!(vectors["grant"]["provenance"], cases[0]["text"]);
}
