//! Changes that need approval: break-glass, dischargers, issuers, guarded policies.

use std::os::unix::fs::PermissionsExt as _;

use data_encoding::{BASE64, HEXLOWER};
use petsem_integration::dev::{Dev, appended, flyv1, now};
use petsem_integration::http::{Answer, Request};
use petsem_integration::installation::Installation;
use petsem_integration::pause;
use petsem_integration::server::{Server, petsem, run};
use petsem_policy::{SecretNames, SharedKey, Ticket, UnverifiedToken};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const VALUES: &str = "/v1/apps/shop/secrets?show_secrets=true";
const TENTH: std::time::Duration = std::time::Duration::from_millis(100);
const THIRD_PARTY: &str = "/discharger/.well-known/macfly/3p";

/// An installation whose app `shop` has a secret, and its two people.
struct Scene {
    dev: Dev,
    /// The org's owner, whose token the operator did not mint.
    owner: String,
}

/// A pending break-glass request.
struct Asked {
    request: String,
    token: String,
    ticket: String,
}

impl Scene {
    fn new() -> Self {
        let dev = Dev::start();
        dev.set("shop", &json!({"A": "first"}));
        let owner = std::fs::read_to_string(dev.layout().owner_token()).unwrap().trim().to_owned();
        Self { dev, owner }
    }

    fn ask(&self, by: &str) -> Asked {
        let body = json!({"reason": "the shop is down", "expires_in": 600});
        let answer = self.dev.call("POST", "/v1/apps/shop/break-glass", &flyv1(by), Some(&body));
        assert_eq!(answer.status, 201, "{}", answer.text());
        let token = answer.field("token");
        let read = UnverifiedToken::parse(&token).unwrap();
        let ticket = BASE64.encode(read.undischarged(&[])[0].1);
        Asked { request: answer.field("request"), token, ticket }
    }

    fn discharge(&self, asked: &Asked, by: &str) -> Answer {
        self.dev.call("POST", THIRD_PARTY, &flyv1(by), Some(&json!({"ticket": asked.ticket})))
    }

    /// The path for polling; the URL must be absolute and at the discharger's location.
    fn poll_path(&self, asked: &Asked, by: &str) -> String {
        let answer = self.discharge(asked, by);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let url = answer.field("poll_url");
        let path = url.strip_prefix("https://petsem-dev.invalid").unwrap();
        let secret = path.strip_prefix("/discharger/.well-known/macfly/3p/poll/").unwrap();
        assert!(secret.len() == 32 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "{secret}");
        path.to_owned()
    }

    fn poll(&self, path: &str) -> (u16, Value) {
        let answer = self.dev.call("GET", path, "", None);
        (answer.status, serde_json::from_str(&answer.text()).unwrap())
    }

    fn decide(&self, request: &str, verb: &str, by: &str) -> Answer {
        self.dev.call("POST", &format!("/v1/approvals/{request}/{verb}"), &flyv1(by), Some(&json!({})))
    }

    fn read(&self, tokens: &str) -> Answer {
        self.dev.call("GET", VALUES, &flyv1(tokens), None)
    }

    /// A token minted from another, for this holder.
    fn minted(&self, from: &str, holder: &str) -> String {
        let body = json!({"kind": "org", "org": "demo", "subject": holder});
        let answer = self.dev.call("POST", "/v1/tokens", &flyv1(from), Some(&body));
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.field("token")
    }

    fn lines(&self, action: &str) -> Vec<Value> {
        self.dev.audit_lines().into_iter().filter(|line| line["action"] == action).collect()
    }
}

/// The development policy with one more rule.
fn with_rule(name: &str) -> Value {
    let mut policy = petsem_integration::dev::policy();
    let mut rule = policy["rules"][1].clone();
    rule["name"] = json!(name);
    policy["rules"].as_array_mut().unwrap().push(rule);
    policy
}

fn refused(answer: &Answer, status: u16, code: &str, text: &str) {
    assert_eq!(answer.outcome(), (status, code.to_owned()), "{}", answer.text());
    assert!(answer.error().contains(text), "{:?} does not say {text:?}", answer.error());
}

#[test]
fn break_glass_reads_a_value_after_another_persons_approval() {
    let scene = Scene::new();
    let operator = scene.dev.operator.clone();
    let asked = scene.ask(&operator);
    let path = scene.poll_path(&asked, &operator);
    assert_eq!(scene.poll(&path), (202, json!({"error": "not ready"})));

    let approved = scene.decide(&asked.request, "approve", &scene.owner);
    assert_eq!((approved.status, approved.field("state")), (200, "approved".to_owned()));
    let (status, answer) = scene.poll(&path);
    let discharge = answer["discharge"].as_str().unwrap().to_owned();
    assert_eq!((status, answer.as_object().unwrap().len()), (200, 1));
    assert_eq!(scene.poll(&path), (404, json!({"error": "not found"})));
    assert_eq!(scene.discharge(&asked, &operator).status, 201);

    let both = format!("{},{discharge}", asked.token);
    let read = scene.read(&both);
    assert_eq!(read.status, 200, "{}", read.text());
    assert!(read.text().contains(r#""value":"first""#), "{}", read.text());
    let one = scene.dev.call("GET", "/v1/apps/shop/secrets/A?show_secrets=true", &flyv1(&both), None);
    assert_eq!((one.status, one.field("value")), (200, "first".to_owned()));

    // It reads the values of this app and does nothing else.
    let write = json!({"values": {"A": "second"}});
    for (method, target, body) in [
        ("GET", "/v1/apps/shop/secrets", None),
        ("POST", "/v1/apps/shop/secrets", Some(&write)),
        ("GET", "/v1/tokens?org=demo", None),
        ("GET", "/v1/apps/shop/policy", None),
    ] {
        let answer = scene.dev.call(method, target, &flyv1(&both), body);
        assert_eq!(answer.status, 403, "{method} {target}: {}", answer.text());
    }
    scene.dev.app("other", &json!({}));
    let other = scene.dev.call("GET", "/v1/apps/other/secrets?show_secrets=true", &flyv1(&both), None);
    assert_eq!(other.status, 403, "{}", other.text());

    // The audit lines name both people.
    let (requester, approver) = ("developer (", "owner (");
    for (action, subject) in
        [("break_glass.ask", "developer"), ("approval.approve", "owner"), ("secret.read", "developer")]
    {
        let lines = scene.lines(action);
        let line = lines.iter().find(|line| line["outcome"] == "allowed").unwrap();
        assert_eq!(line["subject"]["sub"], subject, "{line}");
        if action != "break_glass.ask" {
            let detail = line["detail"].as_str().unwrap();
            assert!(detail.contains(requester) && detail.contains(approver), "{detail}");
        }
    }

    // The approver withdraws the approval, which ends reading immediately.
    assert_eq!(scene.decide(&asked.request, "deny", &scene.owner).status, 200);
    refused(&scene.read(&both), 401, "revoked", "revoked");
}

#[test]
fn break_glass_for_one_secret_reads_and_records_only_that_one() {
    let scene = Scene::new();
    scene.dev.set("shop", &json!({"B": "second"}));
    let operator = scene.dev.operator.clone();
    let asked = scene.ask(&operator);
    let states = || -> Vec<Value> {
        let tokens = scene.dev.operate("GET", "/v1/tokens", None).json()["tokens"].clone();
        let glass = tokens.as_array().unwrap().iter().filter(|token| token["kind"] == "break_glass");
        glass.map(|token| token["approval"].clone()).collect()
    };
    assert_eq!(states(), [json!("open")]);
    assert_eq!(scene.decide(&asked.request, "approve", &scene.owner).status, 200);
    assert_eq!(states(), [json!("approved")]);
    let both = format!("{},{}", asked.token, scene.discharge(&asked, &operator).field("discharge"));
    let file = scene.dev.directory.path().join("glass.token");
    std::fs::write(&file, &both).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let recorded = || scene.lines("secret.read").last().unwrap()["secrets"].clone();
    let run_only = |only: &[&str]| {
        let mut command = petsem(["run", "--app", "shop", "--break-glass", "glass.token"]);
        command.args(only).args(["--", "sh", "-c", "echo A=$A B=$B"]);
        command.current_dir(scene.dev.directory.path());
        command.env("PETSEM_CONTEXT", scene.dev.directory.path().join("context.toml"));
        run(command)
    };
    let ran = run_only(&["--only", "B"]);
    assert!(ran.status.success() && ran.printed.contains("A= B=second\n"), "{}", ran.printed);
    assert_eq!(recorded(), json!({"count": 1, "names": ["B"]}));
    let missing = run_only(&["--only", "B", "--only", "NONE"]);
    assert!(!missing.status.success() && missing.printed.contains("NONE"), "{}", missing.printed);
    let ran = run_only(&[]);
    assert!(ran.status.success() && ran.printed.contains("A=first B=second\n"), "{}", ran.printed);
    assert_eq!(recorded(), json!({"count": 2, "names": ["A", "B"]}));

    // A token that its holder narrowed to one secret reads that, by its name.
    let narrowed = appended(&asked.token, [SecretNames::new(["A".to_owned()], []).into()]);
    let both = format!("{narrowed},{}", both.split_once(',').unwrap().1);
    let named = |names: &str| scene.dev.call("GET", &format!("{VALUES}&names={names}"), &flyv1(&both), None);
    assert_eq!(named("A").json()["secrets"][0]["value"], json!("first"));
    assert_eq!(named("A,B").outcome(), (403, "forbidden".to_owned()));
    assert_eq!(named("B").outcome(), (403, "forbidden".to_owned()));

    assert_eq!(scene.decide(&asked.request, "deny", &scene.owner).status, 200);
    assert_eq!(states(), [json!("denied")]);
}

#[test]
fn break_glass_lasts_an_hour_at_most() {
    let scene = Scene::new();
    let ask = |expires_in: u64| {
        let body = json!({"reason": "the shop is down", "expires_in": expires_in});
        scene.dev.operate("POST", "/v1/apps/shop/break-glass", Some(&body))
    };
    refused(&ask(3601), 400, "bad_request", "3600");
    let before = now();
    let longest = ask(3600);
    assert_eq!(longest.status, 201, "{}", longest.text());
    let end = UnverifiedToken::parse(&longest.field("token")).unwrap().expires_at().unwrap();
    assert!((before + 3600..=now() + 3600).contains(&end), "{before} {end}");
}

#[test]
fn the_seal_replaces_the_approval_of_break_glass_and_the_audit_log_records_it() {
    let scene = Scene::new();
    let operator = scene.dev.operator.clone();
    let asked = scene.ask(&operator);
    assert_eq!(scene.discharge(&asked, &operator).field("discharge"), "");
    scene.dev.approve_with_seal(&asked.request, None);
    let discharge = scene.discharge(&asked, &operator).field("discharge");
    let read = scene.read(&format!("{},{discharge}", asked.token));
    assert!(read.status == 200 && read.text().contains(r#""value":"first""#), "{}", read.text());
    let lines = scene.lines("approval.approve");
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&line["outcome"], &line["subject"]), (&json!("allowed"), &Value::Null), "{line}");
    assert!(line["source"].as_str().unwrap().starts_with("operator.sock uid "), "{line}");
    assert!(line["detail"].as_str().unwrap().contains("seal"), "{line}");
}

#[test]
fn enroll_and_break_glass_open_nothing_without_a_discharge() {
    let scene = Scene::new();
    let asked = scene.ask(&scene.dev.operator);
    let enrolled = scene.dev.mint(&json!({"kind": "host", "host": "dev"}));
    let boot = json!({"machine": "m-1"});
    let write = json!({"values": {"A": "second"}});
    for token in [asked.token, enrolled] {
        for (method, target, body) in [
            ("GET", VALUES, None),
            ("GET", "/v1/apps/shop/secrets", None),
            ("GET", "/v1/apps/shop/secrets/A?show_secrets=true", None),
            ("POST", "/v1/apps/shop/secrets", Some(&write)),
            ("POST", "/v1/apps/shop/boot", Some(&boot)),
            ("GET", "/v1/tokens", None),
            ("GET", "/v1/approvals", None),
            ("GET", "/v1/orgs", None),
        ] {
            let answer = scene.dev.call(method, target, &flyv1(&token), body);
            assert_eq!(
                answer.outcome(),
                (401, "discharge_missing".to_owned()),
                "{method} {target}: {}",
                answer.text()
            );
        }
    }
    assert_eq!(scene.dev.version("shop"), 1);
}

#[test]
fn no_token_of_the_requester_approves_its_own_request() {
    let scene = Scene::new();
    let operator = scene.dev.operator.clone();
    let asked = scene.ask(&operator);
    // The requester; a token that it minted under another name; and a missing request id.
    refused(&scene.decide(&asked.request, "approve", &operator), 403, "forbidden", "different persons");
    let friend = scene.minted(&operator, "friend");
    refused(&scene.decide(&asked.request, "approve", &friend), 403, "forbidden", "different persons");
    refused(
        &scene.decide("00000000-0000-7000-8000-000000000000", "approve", &scene.owner),
        403,
        "forbidden",
        "there is no such request",
    );
    // Two holders whose tokens one person minted.
    let (one, other) = (scene.minted(&scene.owner, "one"), scene.minted(&scene.owner, "other"));
    let theirs = scene.ask(&one);
    refused(&scene.decide(&theirs.request, "approve", &other), 403, "forbidden", "owner (");
    assert_eq!(scene.decide(&theirs.request, "approve", &operator).status, 200);
    refused(&scene.decide(&theirs.request, "approve", &operator), 409, "conflict", "already approved");
}

#[test]
fn a_denied_request_is_reported_once_and_cannot_be_approved() {
    let scene = Scene::new();
    let operator = scene.dev.operator.clone();
    let asked = scene.ask(&operator);
    let path = scene.poll_path(&asked, &operator);
    refused(&scene.discharge(&asked, &scene.owner), 403, "forbidden", "another token");
    assert_eq!(scene.decide(&asked.request, "deny", &scene.owner).status, 200);
    let (status, answer) = scene.poll(&path);
    assert_eq!(status, 200);
    assert!(answer["error"].as_str().unwrap().contains("denied"), "{answer}");
    assert_eq!(scene.poll(&path), (404, json!({"error": "not found"})));
    refused(&scene.decide(&asked.request, "approve", &scene.owner), 409, "conflict", "request again");
    for (wrong, status) in [("0", 404), (&"0".repeat(32), 404), (&"F".repeat(32), 404), ("%ff", 400)] {
        let answer = scene.dev.call("GET", &format!("{THIRD_PARTY}/poll/{wrong}"), "", None);
        assert_eq!(answer.status, status, "{wrong}: {}", answer.text());
    }
}

/// A row of a request, as it was.
type RequestRow = (i64, Vec<u8>, Vec<u8>);

impl Scene {
    fn database(&self) -> Connection {
        let database = Connection::open(self.dev.database()).unwrap();
        database.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        database
    }

    fn request_row(&self, request: &str) -> RequestRow {
        let query = "SELECT row_version, content, mac FROM records WHERE kind = 22 AND id = ?1";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        self.database().query_row(query, [id_of(request)], row).unwrap()
    }

    fn put_back(&self, request: &str, (version, content, mac): &RequestRow) {
        let put = "INSERT OR REPLACE INTO records (kind, id, row_version, content, mac) VALUES (22, ?1, ?2, ?3, ?4)";
        assert_eq!(self.database().execute(put, params![id_of(request), version, content, mac]).unwrap(), 1);
    }

    /// Asserts that a decision that was put back allows nothing, and that the log names the row.
    fn notices(&self, request: &str, answer: &Answer) {
        assert_eq!(answer.outcome(), (500, "integrity".to_owned()), "{}", answer.text());
        let line = self.dev.server.printed_line(&answer.field("request_id"));
        let hex = HEXLOWER.encode(&id_of(request));
        let row = format!("the approval row {hex} does not hold what was written to it");
        assert!(line.contains(&row) && line.contains("it was put back to before its decision"), "{line}");
    }
}

fn id_of(request: &str) -> [u8; 16] {
    *request.parse::<petsem_api::ApprovalId>().unwrap().as_bytes()
}

/// The control feed names each decision, so an old row of a request restores no permission.
#[test]
fn a_decided_request_that_was_put_back_allows_nothing() {
    let scene = Scene::new();
    let operator = scene.dev.operator.clone();
    // Denied, then open again.
    let asked = scene.ask(&operator);
    let open = scene.request_row(&asked.request);
    assert_eq!(scene.decide(&asked.request, "deny", &scene.owner).field("state"), "denied");
    scene.put_back(&asked.request, &open);
    scene.notices(&asked.request, &scene.decide(&asked.request, "approve", &scene.owner));
    scene.notices(&asked.request, &scene.discharge(&asked, &operator));
    scene.notices(&asked.request, &scene.dev.call("GET", "/v1/approvals", &flyv1(&scene.owner), None));
    // A row that was deleted after the decision and put back is the same.
    let delete = "DELETE FROM records WHERE kind = 22 AND id = ?1";
    assert_eq!(scene.database().execute(delete, [id_of(&asked.request)]).unwrap(), 1);
    scene.put_back(&asked.request, &open);
    scene.notices(&asked.request, &scene.decide(&asked.request, "approve", &scene.owner));
    assert_eq!(scene.database().execute(delete, [id_of(&asked.request)]).unwrap(), 1);

    // Approved, denied while it is in force, then approved again.
    let asked = scene.ask(&operator);
    assert_eq!(scene.decide(&asked.request, "approve", &scene.owner).field("state"), "approved");
    let approved = scene.request_row(&asked.request);
    let discharge = scene.discharge(&asked, &operator).field("discharge");
    let tokens = format!("{},{discharge}", asked.token);
    assert_eq!(scene.read(&tokens).status, 200);
    assert_eq!(scene.decide(&asked.request, "deny", &scene.owner).field("state"), "denied");
    assert_eq!(scene.read(&tokens).outcome(), (401, "revoked".to_owned()));
    scene.put_back(&asked.request, &approved);
    scene.notices(&asked.request, &scene.read(&tokens));
    scene.notices(&asked.request, &scene.discharge(&asked, &operator));
}

#[test]
fn a_revoked_break_glass_token_reads_nothing() {
    let scene = Scene::new();
    let operator = scene.dev.operator.clone();
    let asked = scene.ask(&operator);
    assert_eq!(scene.decide(&asked.request, "approve", &scene.owner).status, 200);
    let both = format!("{},{}", asked.token, scene.discharge(&asked, &operator).field("discharge"));
    assert_eq!(scene.read(&both).status, 200);
    let listed = scene.dev.operate("GET", "/v1/tokens", None);
    let tokens: Value = serde_json::from_str(&listed.text()).unwrap();
    let glass =
        tokens["tokens"].as_array().unwrap().iter().find(|token| token["kind"] == "break_glass").unwrap();
    let revoked = scene.dev.operate("POST", "/v1/revocations", Some(&json!({"token": {"id": glass["id"]}})));
    assert_eq!(revoked.status, 201, "{}", revoked.text());
    refused(&scene.read(&both), 401, "revoked", "revoked");
}

#[test]
fn a_token_with_the_requesters_name_gives_no_access_to_its_requests() {
    let scene = Scene::new();
    let operator = scene.dev.operator.clone();
    assert_eq!(scene.dev.operate("POST", "/v1/orgs", Some(&json!({"name": "rivals"}))).status, 201);
    let asked = scene.ask(&operator);
    let guard = json!({"guard_policies": true});
    assert_eq!(scene.dev.operate("PUT", "/v1/orgs/demo/guard", Some(&guard)).status, 200);
    let policy = json!({"policy": with_rule("new")});
    let put = scene.dev.operate("PUT", "/v1/apps/shop/policy", Some(&policy));
    let key = BASE64.encode(&[7; 32]);
    let platform = json!({"location": "https://auth.example", "key": key});
    let registration = scene.dev.operate("POST", "/v1/dischargers", Some(&platform));
    let digest = "4bb06f8e4e3a7715d201d573d0aa423762e55dabd61a2c02278fa56cc6d294e0";
    assert_eq!(
        registration.field("summary"),
        format!(
            "register the discharger at https://auth.example for the whole platform, key with the SHA-256 digest {digest}"
        )
    );
    let requests = [asked.request.clone(), put.field("id"), registration.field("id")];

    // A token that the operator mints inherits its name; and the minter can choose any name.
    let inherited = scene.dev.mint(&json!({"kind": "org", "org": "rivals"}));
    let rival = scene.dev.mint(&json!({"kind": "org", "org": "rivals", "subject": "mallory"}));
    let wanted = json!({"kind": "org", "org": "rivals", "subject": "developer"});
    let named = scene.dev.call("POST", "/v1/tokens", &flyv1(&rival), Some(&wanted)).field("token");
    let lister = scene.dev.mint(&json!({"kind": "org", "org": "demo", "actions": ["list"]}));
    for token in [&inherited, &named, &lister] {
        let token = token.as_str();
        assert_eq!(UnverifiedToken::parse(token).unwrap().undischarged(&[]).len(), 0);
        let list = scene.dev.call("GET", "/v1/approvals", &flyv1(token), None);
        assert_eq!((list.status, list.text().as_str()), (200, r#"{"approvals":[]}"#));
        for request in &requests {
            let shown = scene.dev.call("GET", &format!("/v1/approvals/{request}"), &flyv1(token), None);
            refused(&shown, 403, "forbidden", "there is no such request");
            refused(&scene.decide(request, "deny", token), 403, "forbidden", "there is no such request");
        }
        refused(&scene.discharge(&asked, token), 403, "forbidden", "another token");
    }
    // The requester sees its requests, fetches their results, and withdraws them.
    let list = scene.dev.operate("GET", "/v1/approvals", None).text();
    assert_eq!(list.matches(r#""state":"open""#).count(), 3, "{list}");
    assert_eq!(scene.discharge(&asked, &operator).status, 201);
    for request in &requests {
        assert_eq!(scene.decide(request, "deny", &operator).field("state"), "denied");
    }
}

#[test]
fn pending_requests_of_one_org_do_not_count_against_another() {
    const MOST_OF_ORG: usize = 100;
    let scene = Scene::new();
    let ask = |app: &str, token: &str| {
        let body = json!({"reason": "the shop is down"});
        scene.dev.call("POST", &format!("/v1/apps/{app}/break-glass"), &flyv1(token), Some(&body))
    };
    assert_eq!(scene.dev.operate("POST", "/v1/orgs", Some(&json!({"name": "rivals"}))).status, 201);
    let theirs = scene.dev.operate("POST", "/v1/apps", Some(&json!({"org": "rivals", "name": "theirs"})));
    assert_eq!(theirs.status, 201, "{}", theirs.text());
    let rival = scene.dev.mint(&json!({"kind": "org", "org": "rivals", "subject": "mallory"}));
    // A few requests for each of many self-chosen names.
    let mut made = 0;
    'names: for number in 0..60 {
        let wanted = json!({"kind": "org", "org": "rivals", "subject": format!("mallory-{number}")});
        let token = scene.dev.call("POST", "/v1/tokens", &flyv1(&rival), Some(&wanted)).field("token");
        for _ in 0..20 {
            let answer = ask("theirs", &token);
            if answer.status != 201 {
                refused(&answer, 409, "conflict", "have some decided first");
                break 'names;
            }
            made += 1;
        }
    }
    assert_eq!(made, MOST_OF_ORG);
    assert_eq!(ask("shop", &scene.owner).status, 201);
    assert_eq!(ask("shop", &scene.dev.operator).status, 201);
}

#[test]
fn expired_requests_do_not_count_against_new_ones() {
    let scene = Scene::new();
    let owner = scene.minted(&scene.owner, "mallory");
    let ask = |token: &str, seconds: u64| {
        let body = json!({"reason": "the shop is down", "expires_in": seconds});
        scene.dev.call("POST", "/v1/apps/shop/break-glass", &flyv1(token), Some(&body))
    };
    for number in 0..6 {
        let token = scene.minted(&owner, &format!("mallory-{number}"));
        for _ in 0..20 {
            let answer = ask(&token, 1);
            if answer.status != 201 {
                refused(&answer, 409, "conflict", "have some decided first");
                break;
            }
        }
    }
    let states = || -> Vec<String> {
        let listed = scene.dev.operate("GET", "/v1/approvals", None).json()["approvals"].clone();
        listed.as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap().to_owned()).collect()
    };
    let of = |state: &str| states().iter().filter(|is| *is == state).count();
    let mut tries = (0..100).inspect(|_| pause(TENTH));
    assert!(tries.any(|_| of("open") == 0), "they last a second");
    let asked = ask(&scene.owner, 600);
    assert_eq!(asked.status, 201, "{}", asked.text());
    assert_eq!((of("open"), of("expired")), (1, 99), "the oldest of those that are over made room");
}

/// An org may register a key for the location of the platform's discharger; host tokens are not sealed for it.
#[test]
fn tickets_of_hosts_are_sealed_for_the_platforms_newest_key_and_never_for_an_orgs() {
    const LOCATION: &str = "https://auth.example";
    let installation = Installation::made();
    let lee = installation.path("lee.token");
    let lee_file = lee.to_str().unwrap();
    let recover = ["operator", "recover", "--operator", "lee@example.com", "--out", lee_file];
    let recovered = run(installation.with_configuration(&recover));
    assert!(recovered.status.success(), "{}", recovered.printed);
    let (kim, lee) = (installation.operator(), std::fs::read_to_string(&lee).unwrap().trim().to_owned());
    let server = installation.start().unwrap();
    let call = |method: &str, target: &str, token: &str, body: &Value| {
        Request::new(method, target).authorization(&flyv1(token)).json(body).send(server.address())
    };
    assert_eq!(call("POST", "/v1/orgs", &kim, &json!({"name": "rivals"})).status, 201);
    let register = |byte: u8, org: Option<&str>| {
        let mut wanted = json!({"location": LOCATION, "key": BASE64.encode(&[byte; 32])});
        if let Some(org) = org {
            wanted["org"] = json!(org);
        }
        let pending = call("POST", "/v1/dischargers", &kim, &wanted);
        assert_eq!(pending.status, 202, "{}", pending.text());
        let path = format!("/v1/approvals/{}/approve", pending.field("id"));
        let digest = HEXLOWER.encode(&Sha256::digest([byte; 32]));
        assert_eq!(call("POST", &path, &lee, &json!({"key_digest": digest})).status, 200);
    };
    let opened_by = || {
        let body = json!({"kind": "host", "host": "host-9", "discharger": LOCATION});
        let token = call("POST", "/v1/tokens", &kim, &body).field("token");
        let token = UnverifiedToken::parse(&token).unwrap();
        let ticket = token.undischarged(&[])[0].1.to_vec();
        (1..=6)
            .filter(|byte| Ticket::open(&ticket, &SharedKey::new([*byte; 32])).is_ok())
            .collect::<Vec<u8>>()
    };
    installation.enroll(server.address(), "host-9");
    register(1, None);
    register(2, Some("rivals"));
    assert_eq!(opened_by(), [1]);
    // A rotation of the keyring re-wraps all keys; the newest is still the newest.
    for byte in 3..=6 {
        register(byte, None);
    }
    assert_eq!(opened_by(), [6]);
    let rotated = run({
        let mut command = petsem(["operator", "rotate-keyring", "--endpoint"]);
        command.arg(format!("http://{}", server.address())).arg("--token-file");
        command.arg(installation.path("operator.token"));
        command
    });
    assert!(rotated.status.success(), "{}", rotated.printed);
    assert_eq!(opened_by(), [6]);
}

/// The policy and the decision are one change: the rules of a denied request are never in force.
#[test]
fn a_guarded_policy_approved_and_denied_concurrently_is_either_set_or_denied() {
    let scene = Scene::new();
    let guard = json!({"guard_policies": true});
    assert_eq!(scene.dev.operate("PUT", "/v1/orgs/demo/guard", Some(&guard)).status, 200);
    let version = || scene.dev.operate("GET", "/v1/apps/shop/policy", None).number("version");
    for number in 0..20 {
        let before = version();
        let body = json!({"policy": with_rule(&format!("new-{number}"))});
        let request = scene.dev.operate("PUT", "/v1/apps/shop/policy", Some(&body)).field("id");
        let (approved, denied) = std::thread::scope(|scope| {
            let approved = scope.spawn(|| scene.decide(&request, "approve", &scene.owner).status);
            let denied = scope.spawn(|| scene.decide(&request, "deny", &scene.dev.operator).status);
            (approved.join().unwrap(), denied.join().unwrap())
        });
        let state = scene.dev.operate("GET", &format!("/v1/approvals/{request}"), None).field("state");
        let (set, statuses) = match state.as_str() {
            "approved" => (1, (200, 409)),
            _ => (0, (409, 200)),
        };
        assert_eq!(((approved, denied), version() - before), (statuses, set), "{state}");
    }
}

#[test]
fn a_discharger_takes_effect_when_another_person_approves() {
    let scene = Scene::new();
    let key = BASE64.encode(&[7; 32]);
    let wanted = json!({"location": "https://auth.example", "org": "demo", "key": key});
    let pending = scene.dev.operate("POST", "/v1/dischargers", Some(&wanted));
    assert_eq!((pending.status, pending.field("state")), (202, "open".to_owned()), "{}", pending.text());
    let known = || scene.dev.operate("GET", "/v1/dischargers", None).text().matches("auth.example").count();
    assert_eq!(known(), 0);
    let request = pending.field("id");
    refused(&scene.decide(&request, "approve", &scene.dev.operator), 403, "forbidden", "different persons");
    refused(&scene.decide(&request, "approve", &scene.owner), 409, "conflict", "key_digest");
    let digest = HEXLOWER.encode(&Sha256::digest([7; 32]));
    assert!(pending.field("summary").contains(&digest), "{}", pending.text());
    let approve = format!("/v1/approvals/{request}/approve");
    let body = json!({"key_digest": digest});
    let approved = scene.dev.call("POST", &approve, &flyv1(&scene.owner), Some(&body));
    assert_eq!((approved.status, known()), (200, 1), "{}", approved.text());
    assert!(!scene.dev.audit_log().contains(&key));

    // An org's owner may not approve dischargers of the platform.
    let platform = json!({"location": "https://other.example", "key": key});
    let pending = scene.dev.operate("POST", "/v1/dischargers", Some(&platform));
    refused(
        &scene.decide(&pending.field("id"), "approve", &scene.owner),
        403,
        "forbidden",
        "no such request",
    );
    for (location, key) in
        [("https://petsem-dev.invalid/discharger", key.as_str()), ("ftp://x", &key), ("https://x", "AAAA")]
    {
        let answer =
            scene.dev.operate("POST", "/v1/dischargers", Some(&json!({"location": location, "key": key})));
        assert_eq!(answer.outcome(), (400, "bad_request".to_owned()), "{location}");
    }
}

#[test]
fn dischargers_of_one_org_do_not_count_against_other_orgs() {
    let scene = Scene::new();
    assert_eq!(scene.dev.operate("POST", "/v1/orgs", Some(&json!({"name": "rivals"}))).status, 201);
    let ask = |org: &str, location: &str| {
        let wanted = json!({"location": location, "org": org, "key": BASE64.encode(&[7; 32])});
        scene.dev.operate("POST", "/v1/dischargers", Some(&wanted))
    };
    let approve = |request: &str| {
        let body = json!({"key_digest": HEXLOWER.encode(&Sha256::digest([7; 32]))});
        let path = format!("/v1/approvals/{request}/approve");
        scene.dev.call("POST", &path, &flyv1(&scene.owner), Some(&body))
    };
    let add = |location: &str| {
        let pending = ask("demo", location);
        assert_eq!(pending.status, 202, "{}", pending.text());
        assert_eq!(approve(&pending.field("id")).status, 200);
    };
    let full = |answer: &Answer, text: &str| refused(answer, 409, "conflict", text);
    // More requests may be pending than there is room for; the limit is checked again at approval.
    let asked: Vec<_> = (0..9).map(|_| ask("demo", "https://auth.example").field("id")).collect();
    let (ninth, eight) = asked.split_last().unwrap();
    for request in eight {
        assert_eq!(approve(request).status, 200);
    }
    full(&approve(ninth), "this location already has 8 keys");
    full(&ask("demo", "https://auth.example"), "this location already has 8 keys");
    for number in 8..32 {
        add(&format!("https://auth-{number}.example"));
    }
    full(&ask("demo", "https://more.example"), "this org already has 32 discharger keys");
    assert_eq!(ask("rivals", "https://auth.example").status, 202);
}

#[test]
fn a_guarded_policy_takes_effect_when_another_person_approves() {
    let scene = Scene::new();
    let guard = "/v1/orgs/demo/guard";
    let on = scene.dev.operate("PUT", guard, Some(&json!({"guard_policies": true})));
    assert_eq!(on.status, 200, "{}", on.text());
    let policy = with_rule("new");
    let set = |body: Value| scene.dev.operate("PUT", "/v1/apps/shop/policy", Some(&body));
    // A change that can never take effect is refused immediately.
    let nonsense = set(json!({"policy": {"format": 1, "rules": [{"nope": 1}]}}));
    refused(&nonsense, 400, "bad_policy", "the policy was not changed");
    refused(&set(json!({"policy": policy, "expected_version": 99})), 412, "stale_version", "at version 1");
    // What adds no rule takes effect at once.
    assert_eq!(set(json!({"policy": petsem_integration::dev::policy()})).number("version"), 2);
    let put = set(json!({"policy": policy}));
    assert_eq!(put.status, 202, "{}", put.text());
    let version = || scene.dev.operate("GET", "/v1/apps/shop/policy", None).number("version");
    assert_eq!(version(), 2);
    // Only approvers see the wanted rules.
    let request = format!("/v1/approvals/{}", put.field("id"));
    let seen = scene.dev.call("GET", &request, &flyv1(&scene.owner), None);
    assert_eq!((seen.status, &seen.json()["wanted"]), (200, &policy), "{}", seen.text());
    let other = scene.dev.operate("POST", "/v1/orgs", Some(&json!({"name": "other"})));
    assert_eq!(other.status, 201, "{}", other.text());
    let stranger = scene.dev.mint(&json!({"kind": "org", "org": "other"}));
    assert_eq!(scene.dev.call("GET", &request, &flyv1(&stranger), None).status, 403);
    let approved = scene.decide(&put.field("id"), "approve", &scene.owner);
    assert_eq!((approved.status, version()), (200, 3), "{}", approved.text());
    let off = scene.dev.operate("PUT", guard, Some(&json!({"guard_policies": false})));
    assert_eq!(off.status, 202, "{}", off.text());
    assert_eq!(scene.decide(&off.field("id"), "approve", &scene.owner).status, 200);
    assert_eq!(scene.dev.operate("GET", guard, None).text(), r#"{"guard_policies":false}"#);
}

#[test]
fn the_command_line_requests_and_approves_break_glass() {
    let scene = Scene::new();
    let asked = scene.ask(&scene.dev.operator);
    let mut approve = petsem(["approve", &asked.request, "--endpoint"]);
    approve.arg(format!("http://{}", scene.dev.server.address()));
    approve.arg("--token-file").arg(scene.dev.layout().owner_token());
    let ended = run(approve);
    assert!(ended.status.success(), "{}", ended.printed);
    assert!(ended.printed.contains(" is approved: read the values of app shop"), "{}", ended.printed);
}

#[test]
fn polls_of_denied_requests_do_not_prevent_new_requests() {
    let scene = Scene::new();
    let minter = scene.minted(&scene.owner, "minter");
    let mut first = None;
    for _ in 0..126 {
        let asked = scene.ask(&minter);
        for _ in 0..8 {
            let path = scene.poll_path(&asked, &minter);
            first.get_or_insert(path);
        }
        assert_eq!(scene.decide(&asked.request, "deny", &minter).status, 200);
    }
    // Evicted to make room.
    assert_eq!(scene.poll(&first.unwrap()), (404, json!({"error": "not found"})));
    let operator = scene.dev.operator.clone();
    let asked = scene.ask(&operator);
    scene.poll_path(&asked, &operator);
}

#[test]
fn polling_a_pending_request_is_not_recorded_as_a_refusal() {
    let scene = Scene::new();
    let operator = scene.dev.operator.clone();
    let asked = scene.ask(&operator);
    let path = scene.poll_path(&asked, &operator);
    for _ in 0..3 {
        assert_eq!(scene.poll(&path), (202, json!({"error": "not ready"})));
    }
    // Shutdown writes the remaining summaries.
    let dev = scene.dev.restart(Server::stop).unwrap();
    let lines = dev.audit_lines();
    assert_eq!(lines.iter().find(|line| line["action"] == "request.unverified"), None);
}
