//! An outside discharger over a real server: it vouches for a subject, and its word can be revoked.

use data_encoding::BASE64;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use petsem_integration::dev::{Dev, flyv1, now, policy};
use petsem_integration::http::Answer;
use petsem_integration::server::{Ended, Server, petsem, run};
use petsem_policy::{BootGrant, Caveat, SharedKey, Ticket, UnverifiedToken};
use petsem_server::Development;
use rusqlite::Connection;
use serde_json::{Value, json};

pub(super) const AUTH: &str = "https://auth.example";
const KEY: [u8; 32] = [7; 32];
const CANARY: &str = "canary-dischargers-4c1f9a02";

/// An installation with a registered discharger, and a host token whose tickets are for it.
struct Scene {
    dev: Dev,
    host: String,
}

impl Scene {
    fn new() -> Self {
        let dev = Dev::start();
        dev.set("shop", &json!({ "A": CANARY }));
        let wanted = json!({"location": AUTH, "org": "demo", "key": BASE64.encode(&KEY)});
        let asked = dev.operate("POST", "/v1/dischargers", Some(&wanted));
        let approve = format!("/v1/approvals/{}/approve", asked.field("id"));
        let body = json!({"key_digest": asked.json()["key_digest"]});
        assert_eq!(dev.call("POST", &approve, &flyv1(&dev.owner()), Some(&body)).status, 200);
        let host = dev.mint(&json!({"kind": "host", "host": Development::HOST, "discharger": AUTH}));
        Self { dev, host }
    }

    fn put_policy(&self, rule: Value) -> Answer {
        let mut policy = policy();
        policy["rules"].as_array_mut().unwrap().push(rule);
        self.dev.own("PUT", "/v1/apps/shop/policy", Some(&json!({ "policy": policy })))
    }

    /// What the discharger writes after `sub` proved itself.
    fn discharge(&self, sub: &str, proved_at: i64) -> String {
        let id = |target: &str| self.dev.operate("GET", target, None).field("id");
        let (org, app) = (id("/v1/orgs/demo"), id("/v1/apps/shop"));
        let host = UnverifiedToken::parse(&self.host).unwrap();
        let &[(AUTH, sealed)] = host.undischarged(&[]).as_slice() else { panic!("another discharger") };
        let grant = BootGrant {
            org: *org.parse::<petsem_api::OrgId>().unwrap().as_bytes(),
            app: *app.parse::<petsem_api::AppId>().unwrap().as_bytes(),
            machine: "m-1".to_owned(),
            host: Development::HOST.to_owned(),
            expires: now() + 60,
            provenance: json!({"proof": {"subject": {"sub": sub, "proved_at": proved_at}}}).to_string(),
        };
        discharge(&Ticket::open(sealed, &SharedKey::new(KEY)).unwrap(), grant)
    }

    fn boot(&self, discharge: &str) -> Answer {
        let both = flyv1(&format!("{},{discharge}", self.host));
        self.dev.call("POST", "/v1/apps/shop/boot", &both, Some(&json!({"machine": "m-1"})))
    }

    fn revoke(&self, arguments: &[&str]) -> Ended {
        let mut command = petsem(["token", "revoke"]);
        command.args(arguments).args(["--endpoint", &format!("http://{}", self.dev.server.address())]);
        command.arg("--token-file").arg(self.dev.layout().operator_token());
        run(command)
    }
}

/// What the discharger answers, as docs/discharger.md describes it.
pub(super) fn discharge(ticket: &Ticket, grant: BootGrant) -> String {
    let mut discharge = ticket.discharge(AUTH, &mut UnwrapErr(SysRng));
    let window = Caveat::ValidityWindow { not_before: now() - 30, not_after: grant.expires };
    discharge.add([window, grant.into()]).unwrap();
    discharge.to_text().to_string()
}

fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.outcome(), (status, code.to_owned()), "{}", answer.text());
    assert!(!answer.text().contains(CANARY), "{}", answer.text());
}

#[test]
fn an_outside_discharger_vouches_for_a_subject_until_it_is_revoked() {
    let scene = Scene::new();
    let proved_at = now() - 100;
    let discharge = scene.discharge("ann@example.com", proved_at);
    refused(&scene.boot(&discharge), 403, "policy_denied");
    let rule = |location: &str| json!({"name": "auth", "discharger": location, "claims": {"sub": "*@example.com"}, "actions": ["boot"]});
    refused(&scene.put_policy(rule("https://nowhere.example")), 400, "bad_policy");
    assert_eq!(scene.put_policy(rule(AUTH)).status, 200);

    let boot = scene.boot(&discharge);
    assert_eq!((boot.status, boot.text().matches(CANARY).count()), (200, 1), "{}", boot.text());
    let renewal = boot.field("renewal");
    assert_eq!(scene.boot(&renewal).status, 200);
    let line = scene.dev.audit_lines().into_iter().rev().find(|line| line["action"] == "boot").unwrap();
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.contains("ann@example.com of the discharger https://auth.example"), "{detail}");
    refused(&scene.boot(&scene.discharge("ann@other.example", proved_at)), 403, "policy_denied");

    let revoked = scene.revoke(&["--discharger", AUTH, "--sub", "ann@example.com"]);
    assert!(revoked.status.success(), "{}", revoked.printed);
    let said =
        "the boots that https://auth.example has proved for ann@example.com so far, and their renewals, are";
    assert!(revoked.printed.contains(said), "{}", revoked.printed);
    for old in [&discharge, &renewal] {
        refused(&scene.boot(old), 401, "revoked");
    }
    assert_eq!(scene.boot(&scene.discharge("bob@example.com", now())).status, 200);
    // Only operators revoke subjects, and a subject belongs to an issuer or to a discharger.
    let what = json!({"discharger_subject": {"discharger": AUTH, "sub": "bob@example.com"}});
    let owner = flyv1(&scene.dev.owner());
    refused(&scene.dev.call("POST", "/v1/revocations", &owner, Some(&what)), 403, "forbidden");
    for arguments in [
        &["--sub", "bob@example.com"][..],
        &["--discharger", AUTH],
        &["--discharger", AUTH, "--issuer", Development::ISSUER, "--sub", "bob@example.com"],
    ] {
        assert_eq!(scene.revoke(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_deleted_discharger_proves_no_boot_even_if_its_row_is_put_back() {
    let mut scene = Scene::new();
    let rule = json!({"name": "auth", "discharger": AUTH, "claims": {"sub": "*"}, "actions": ["boot"]});
    assert_eq!(scene.put_policy(rule).status, 200);
    let discharge = scene.discharge("ann@example.com", now());
    let boot = scene.boot(&discharge);
    assert_eq!((boot.status, boot.text().matches(CANARY).count()), (200, 1), "{}", boot.text());
    let renewal = boot.field("renewal");

    let listed = scene.dev.operate("GET", "/v1/dischargers", None).json()["dischargers"].clone();
    let registered = listed.as_array().unwrap().iter().find(|one| one["location"] == AUTH).unwrap();
    let id = registered["id"].as_str().unwrap();
    let backups = tempfile::tempdir().unwrap();
    let old = backups.path().join("old.db");
    let database = scene.dev.database();
    Connection::open(&database).unwrap().execute("VACUUM INTO ?1", [old.to_str().unwrap()]).unwrap();
    let proves_nothing = |scene: &Scene| {
        for (what, proof) in [
            ("its discharge of before", &discharge),
            ("the renewal of its boot", &renewal),
            ("a new discharge", &scene.discharge("ann@example.com", now())),
        ] {
            let answer = scene.boot(proof);
            assert_eq!(answer.outcome(), (401, "discharge_missing".to_owned()), "{what}: {}", answer.text());
            assert!(!answer.text().contains(CANARY), "{what}");
        }
        let listed = scene.dev.operate("GET", "/v1/dischargers", None);
        assert!(!listed.text().contains(AUTH), "{}", listed.text());
    };
    assert_eq!(scene.dev.operate("DELETE", &format!("/v1/dischargers/{id}"), None).status, 200);
    proves_nothing(&scene);

    // 11 is the kind of dischargers. The rest of the database has the deletion.
    let put_back = |server: Server| {
        let ended = server.stop();
        let newer = Connection::open(&database).unwrap();
        newer.execute("ATTACH ?1 AS old", [old.to_str().unwrap()]).unwrap();
        let missing = "INSERT OR IGNORE INTO records SELECT * FROM old.records WHERE kind = 11";
        assert_eq!(newer.execute(missing, []).unwrap(), 1);
        ended
    };
    scene.dev = scene.dev.restart(put_back).unwrap();
    proves_nothing(&scene);
}
