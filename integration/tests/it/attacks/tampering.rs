//! Write access to the database: every change is detected and yields no value.

use petsem_integration::dev::{Dev, flyv1, policy};
use petsem_integration::http::Answer;
use petsem_integration::server::{Ended, Server};
use petsem_server::Development;
use rusqlite::{Connection, params};
use serde_json::json;

const CANARY: &str = "canary-tamper-91ab33e0";

/// Kinds of rows, as numbered on disk.
pub(super) mod kind {
    pub(super) const STORE: u8 = 1;
    pub(super) const SEAL: u8 = 2;
    pub(super) const KEYRING_KEY: u8 = 3;
    pub(in crate::attacks) const APP_HEAD: u8 = 6;
    pub(super) const APP_NAME: u8 = 7;
    pub(super) const ORG_APP: u8 = 8;
    pub(in crate::attacks) const POLICY: u8 = 9;
    pub(super) const ISSUER: u8 = 10;
    pub(super) const DISCHARGER: u8 = 11;
    pub(super) const SIGNING_KEY: u8 = 12;
    pub(super) const TOKEN: u8 = 13;
    pub(super) const NODE: u8 = 16;
    pub(super) const FEED_HEAD: u8 = 18;
    pub(in crate::attacks) const CONTROL_PAGE: u8 = 25;
    pub(in crate::attacks) const CONTROL_DIRECTORY: u8 = 26;
}

/// Two apps with secrets, a booted Machine of `shop`, and its renewal.
pub(super) struct Victim {
    pub(super) dev: Dev,
    pub(super) shop: Vec<u8>,
    other: Vec<u8>,
    renewal: String,
}

/// App version, wrapped DEK and ciphertext of a bundle's row.
type Bundle = (i64, Vec<u8>, Vec<u8>);

/// A row as it was at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) kind: u8,
    pub(super) id: Vec<u8>,
    pub(super) row_version: i64,
    pub(super) content: Vec<u8>,
    pub(super) mac: Vec<u8>,
}

impl Victim {
    pub(super) fn new() -> Self {
        let dev = Dev::start();
        let bytes = |id: String| id.parse::<petsem_api::AppId>().unwrap().as_bytes().to_vec();
        let shop = bytes(dev.operate("GET", "/v1/apps/shop", None).field("id"));
        let other = bytes(dev.app("other", &json!({})));
        dev.set("shop", &json!({ "A": CANARY }));
        dev.set("other", &json!({ "A": CANARY }));
        let renewal = dev.boot("shop", "m-1", &dev.discharge("shop", "m-1")).field("renewal");
        let victim = Self { dev, shop, other, renewal };
        assert_eq!(victim.boot().status, 200);
        victim
    }

    pub(super) fn database(&self) -> Connection {
        let database = Connection::open(self.dev.database()).unwrap();
        database.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        database
    }

    pub(super) fn boot(&self) -> Answer {
        self.dev.boot("shop", "m-1", &self.renewal)
    }

    pub(super) fn row(&self, kind: u8, id: &[u8]) -> Saved {
        let query = "SELECT row_version, content, mac FROM records WHERE kind = ?1 AND id = ?2";
        let row = |row: &rusqlite::Row<'_>| {
            Ok(Saved {
                kind,
                id: id.to_vec(),
                row_version: row.get(0)?,
                content: row.get(1)?,
                mac: row.get(2)?,
            })
        };
        self.database().query_row(query, params![kind, id], row).unwrap()
    }

    fn any_row(&self, kind: u8) -> Saved {
        let query = "SELECT id FROM records WHERE kind = ?1";
        let id: Vec<u8> = self.database().query_row(query, [kind], |row| row.get(0)).unwrap();
        self.row(kind, &id)
    }

    fn platform_key(&self) -> Saved {
        let query = "SELECT id FROM records WHERE kind = ?1 AND instr(content, '\"org\":null') > 0";
        let id: Vec<u8> = self.database().query_row(query, [kind::SIGNING_KEY], |row| row.get(0)).unwrap();
        self.row(kind::SIGNING_KEY, &id)
    }

    pub(super) fn put(&self, row: &Saved) {
        put(&self.database(), row);
    }

    fn delete(&self, kind: u8, id: &[u8]) {
        let deleted =
            self.database().execute("DELETE FROM records WHERE kind = ?1 AND id = ?2", params![kind, id]);
        assert_eq!(deleted.unwrap(), 1);
    }

    fn bundle(&self, app: &[u8]) -> Bundle {
        let query = "SELECT app_version, wrapped_dek, ciphertext FROM bundles WHERE app = ?1";
        self.database().query_row(query, [app], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
    }

    fn put_bundle(&self, app: &[u8], (version, dek, ciphertext): &Bundle) {
        put_bundle(&self.database(), app, (*version, dek, ciphertext));
    }

    /// Renews, lists, reads as a workload, requests a discharge: all that leads to values or shows what
    /// exists.
    fn answers(&self) -> [(&'static str, Answer); 4] {
        let dev = &self.dev;
        [
            ("renewal", self.boot()),
            ("discharge", dev.ask_discharge(&dev.host, &dev.boot_jwt("shop", "m-1"), "shop", "m-1")),
            ("workload", dev.call("GET", "/v1/apps/shop/secrets?show_secrets=true", &dev.reader_jwt(), None)),
            ("list", dev.operate("GET", "/v1/apps/shop/secrets", None)),
        ]
    }

    /// Asserts that nothing that depends on a damaged row yields a value, that all that needs it answers
    /// `integrity`, and that the log names the row and never a value.
    pub(super) fn notices(&self, what: &str, needed_by: &[&str], row: &str) {
        for (name, answer) in self.answers() {
            assert!(
                !answer.text().contains(CANARY) || !needed_by.contains(&name),
                "{what}: {name} yields a value"
            );
            if needed_by.contains(&name) {
                assert_eq!(
                    answer.outcome(),
                    (500, "integrity".to_owned()),
                    "{what}: {name}: {}",
                    answer.text()
                );
                assert!(answer.error().contains("give the operator"), "{what}: {}", answer.error());
                let id = answer.field("request_id");
                let line = self.dev.server.printed_line(&id);
                assert!(line.contains(row), "{what}: the log does not name {row:?}: {line}");
                assert!(!line.contains(CANARY));
            }
        }
    }

    fn restart(self, how: impl FnOnce(Server) -> Ended) -> Result<Self, Ended> {
        let Self { dev, shop, other, renewal } = self;
        Ok(Self { dev: dev.restart(how)?, shop, other, renewal })
    }

    /// Stops the server, changes the database, and starts it again.
    pub(super) fn restart_changed(self, tamper: impl FnOnce(&Connection)) -> Result<Self, Ended> {
        let database = self.dev.database();
        self.restart(|server| {
            let ended = server.stop();
            assert!(ended.status.success(), "{}", ended.printed);
            tamper(&Connection::open(database).unwrap());
            ended
        })
    }

    /// Stops the server, changes the database, and asserts that a start fails and names the row.
    pub(super) fn does_not_start(self, what: &str, tamper: impl FnOnce(&Connection), texts: &[&str]) {
        let ended = match self.restart_changed(tamper) {
            Ok(victim) => panic!("{what}: a server started: {}", victim.dev.server.printed()),
            Err(ended) => ended,
        };
        assert!(matches!(ended.status.code(), Some(code) if code != 0), "{what}: {}", ended.printed);
        for text in texts {
            assert!(ended.printed.contains(text), "{what}: {:?} does not say {text:?}", ended.printed);
        }
        assert!(
            !ended.printed.contains(CANARY) && !ended.printed.contains("panicked"),
            "{what}: {}",
            ended.printed
        );
    }
}

pub(super) fn put(database: &Connection, row: &Saved) {
    let put =
        "INSERT OR REPLACE INTO records (kind, id, row_version, content, mac) VALUES (?1, ?2, ?3, ?4, ?5)";
    database.execute(put, params![row.kind, row.id, row.row_version, row.content, row.mac]).unwrap();
}

fn put_bundle(database: &Connection, app: &[u8], (version, dek, ciphertext): (i64, &[u8], &[u8])) {
    let put =
        "INSERT OR REPLACE INTO bundles (app, app_version, wrapped_dek, ciphertext) VALUES (?1, ?2, ?3, ?4)";
    database.execute(put, params![app, version, dek, ciphertext]).unwrap();
}

/// Ways to change a row but not its key.
fn damaged(row: &Saved) -> Vec<(&'static str, Saved)> {
    let mut content = row.clone();
    let last = content.content.len() - 1;
    content.content[last / 2] ^= 1;
    let mut mac = row.clone();
    mac.mac[0] ^= 1;
    let mut short = row.clone();
    short.mac.truncate(16);
    let version = Saved { row_version: row.row_version + 1, ..row.clone() };
    let mut format = row.clone();
    format.content[0] = 9;
    let mut epoch = row.clone();
    epoch.content[8] += 1;
    let empty = Saved { content: Vec::new(), ..row.clone() };
    vec![
        ("content", content),
        ("mac", mac),
        ("short mac", short),
        ("row version", version),
        ("format", format),
        ("epoch", epoch),
        ("empty", empty),
    ]
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

pub(super) const EVERY: &[&str] = &["renewal", "discharge", "workload", "list"];
/// Listing does not evaluate a policy.
const POLICY: &[&str] = &["renewal", "discharge", "workload"];
/// A discharge does not open the bundle.
const BUNDLE: &[&str] = &["renewal", "workload", "list"];

#[test]
fn a_changed_row_that_an_app_depends_on_is_detected_at_the_next_request() {
    let victim = Victim::new();
    for (kind, id, needed_by, name) in [
        (kind::APP_HEAD, victim.shop.clone(), EVERY, "app head"),
        (kind::APP_NAME, b"shop".to_vec(), EVERY, "app name"),
        (kind::POLICY, victim.shop.clone(), POLICY, "policy"),
    ] {
        let good = victim.row(kind, &id);
        for (what, bad) in damaged(&good) {
            victim.put(&bad);
            victim.notices(&format!("{name}: {what}"), needed_by, &format!("the {name} row {}", hex(&id)));
        }
        victim.put(&good);
        assert_eq!(victim.boot().status, 200, "{name} is as it was");
    }
}

#[test]
fn a_row_replaced_by_that_of_another_app_is_detected() {
    let victim = Victim::new();
    for (kind, id, from, needed_by, name) in [
        (kind::APP_HEAD, victim.shop.clone(), victim.other.clone(), EVERY, "app head"),
        (kind::APP_NAME, b"shop".to_vec(), b"other".to_vec(), EVERY, "app name"),
        (kind::POLICY, victim.shop.clone(), victim.other.clone(), POLICY, "policy"),
    ] {
        let good = victim.row(kind, &id);
        victim.put(&Saved { id: id.clone(), ..victim.row(kind, &from) });
        victim.notices(name, needed_by, &format!("the {name} row {}", hex(&id)));
        victim.put(&good);
        assert_eq!(victim.boot().status, 200);
    }
}

#[test]
fn a_removed_row_yields_nothing() {
    let victim = Victim::new();
    let policy = victim.row(kind::POLICY, &victim.shop);
    victim.delete(kind::POLICY, &victim.shop);
    victim.notices("no policy", POLICY, "the policy row");
    victim.put(&policy);

    let head = victim.row(kind::APP_HEAD, &victim.shop);
    victim.delete(kind::APP_HEAD, &victim.shop);
    victim.notices("no head", EVERY, "the app head row");
    victim.put(&head);

    let name = victim.row(kind::APP_NAME, b"shop");
    victim.delete(kind::APP_NAME, b"shop");
    let outcomes = victim.answers().map(|(what, answer)| {
        assert!(!answer.text().contains(CANARY), "{what}");
        (what, answer.outcome())
    });
    let refused = |what, status, code: &str| (what, (status, code.to_owned()));
    assert_eq!(
        outcomes,
        [
            refused("renewal", 401, "discharge_invalid"),
            refused("discharge", 403, "policy_denied"),
            refused("workload", 403, "policy_denied"),
            refused("list", 404, "not_found"),
        ]
    );
    victim.put(&name);
    assert_eq!(victim.boot().status, 200);

    victim.database().execute("DELETE FROM bundles WHERE app = ?1", [&victim.shop]).unwrap();
    victim.notices("no bundle", BUNDLE, "the bundle row");
}

#[test]
fn a_restored_older_app_head_is_detected_by_the_node_that_read_a_newer_one() {
    let victim = Victim::new();
    let (head, bundle) = (victim.row(kind::APP_HEAD, &victim.shop), victim.bundle(&victim.shop));
    victim.dev.set("shop", &json!({"A": "newer", "B": "more"}));
    assert_eq!(victim.boot().number("version"), 2);
    victim.put(&head);
    victim.notices("the old head", EVERY, "an older version of it was put back");
    victim.put_bundle(&victim.shop.clone(), &bundle);
    victim.notices("the old head with its bundle", EVERY, "an older version of it was put back");
}

#[test]
fn a_bundle_that_its_head_does_not_name_is_detected() {
    let victim = Victim::new();
    let (shop, other) = (victim.bundle(&victim.shop), victim.bundle(&victim.other));
    victim.put_bundle(&victim.shop, &other);
    victim.put_bundle(&victim.other, &shop);
    victim.notices("bundles exchanged", BUNDLE, "the bundle row");
    victim.put_bundle(&victim.other, &other);

    let (version, mut dek, mut ciphertext) = shop.clone();
    dek[20] ^= 1;
    victim.put_bundle(&victim.shop, &(version, dek, shop.2.clone()));
    victim.notices("a changed DEK", BUNDLE, "the bundle row");
    ciphertext[20] ^= 1;
    victim.put_bundle(&victim.shop, &(version, shop.1.clone(), ciphertext));
    victim.notices("a changed bundle", BUNDLE, "the bundle row");
    victim.put_bundle(&victim.shop, &(version, Vec::new(), Vec::new()));
    victim.notices("an empty bundle", BUNDLE, "the bundle row");
}

#[test]
fn an_older_bundle_put_back_under_the_current_head_is_detected() {
    let victim = Victim::new();
    let older = victim.bundle(&victim.shop);
    victim.dev.set("shop", &json!({"A": "newer"}));
    let newer = victim.bundle(&victim.shop);
    for (what, bundle) in older_bundles(&older, &newer) {
        victim.put_bundle(&victim.shop, &bundle);
        victim.notices(what, BUNDLE, &format!("the bundle row {}", hex(&victim.shop)));
    }
    victim.put_bundle(&victim.shop, &newer);
    assert_eq!(victim.boot().number("version"), 2);
}

#[test]
fn operator_verify_names_the_app_whose_bundle_is_not_that_of_its_head() {
    let victim = Victim::new();
    let older = victim.bundle(&victim.shop);
    victim.dev.set("shop", &json!({"A": "newer"}));
    let newer = victim.bundle(&victim.shop);
    let Victim { dev, shop, other, .. } = victim;
    let Dev { server, directory, .. } = dev;
    assert!(server.stop().status.success());
    let development = Development::at(directory.path());
    let settings = development.settings("127.0.0.1:0").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let verified = || runtime.block_on(petsem_server::verify_store(&settings)).unwrap();
    let database = Connection::open(directory.path().join("data/petsem.db")).unwrap();
    let theirs: (Vec<u8>, Vec<u8>) = {
        let query = "SELECT wrapped_dek, ciphertext FROM bundles WHERE app = ?1";
        database.query_row(query, [&other], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    assert!(verified().is_good());

    let mut bundles = older_bundles(&older, &newer);
    bundles.push(("the bundle of another app", (newer.0, theirs.0, theirs.1)));
    let id = petsem_api::AppId::from_bytes(shop.clone().try_into().unwrap());
    let named = format!("the app {id}: the bundle row {} does not hold what was written to it", hex(&shop));
    let finds = |what: &str| {
        let report = verified();
        assert_eq!((report.fault_count, report.faults.len()), (1, 1), "{what}: {:?}", report.faults);
        assert!(report.faults[0].starts_with(&named), "{what}: {:?}", report.faults);
    };
    for (what, (version, dek, ciphertext)) in &bundles {
        put_bundle(&database, &shop, (*version, dek, ciphertext));
        finds(what);
    }
    database.execute("DELETE FROM bundles WHERE app = ?1", [&shop]).unwrap();
    finds("no bundle");
    put_bundle(&database, &shop, (newer.0, &newer.1, &newer.2));
    assert!(verified().is_good());
}

/// Rows made of an app's older bundle to replace its newer one.
fn older_bundles(older: &Bundle, newer: &Bundle) -> Vec<(&'static str, Bundle)> {
    // A wrapped DEK: 01, KEK version u32, DEK id 16, …
    let mut renamed = older.1.clone();
    renamed[5..21].copy_from_slice(&newer.1[5..21]);
    vec![
        ("the older bundle", older.clone()),
        ("the older bundle as the newer version", (newer.0, older.1.clone(), older.2.clone())),
        ("the older bundle with the DEK id of the newer", (newer.0, renamed, older.2.clone())),
        ("the older bundle with the DEK of the newer", (newer.0, newer.1.clone(), older.2.clone())),
        ("the newer bundle as the older version", (older.0, newer.1.clone(), newer.2.clone())),
    ]
}

#[test]
fn moved_values_of_the_history_are_detected() {
    let victim = Victim::new();
    victim.dev.set("shop", &json!({"A": "second", "B": CANARY}));
    let database = victim.database();
    let changed = database
        .execute(
            "UPDATE secret_values SET (wrapped_dek, ciphertext) =
             (SELECT wrapped_dek, ciphertext FROM secret_values AS b WHERE b.app = ?1 AND b.name = 'B')
             WHERE app = ?1 AND name = 'A' AND app_version = 1",
            [&victim.shop],
        )
        .unwrap();
    assert_eq!(changed, 1);
    let rollback = json!({"to_version": 1});
    for answer in [
        victim.dev.operate("GET", "/v1/apps/shop/secrets/A/history", None),
        victim.dev.operate("POST", "/v1/apps/shop/secrets/A/rollback", Some(&rollback)),
    ] {
        assert_eq!(answer.outcome(), (500, "integrity".to_owned()), "{}", answer.text());
    }
    assert_eq!(victim.dev.version("shop"), 2);
    // A version that the app has not reached.
    database
        .execute(
            "UPDATE secret_values SET app_version = 9 WHERE app = ?1 AND name = 'A' AND app_version = 1",
            [&victim.shop],
        )
        .unwrap();
    let answer = victim.dev.operate("GET", "/v1/apps/shop/secrets/A/history", None);
    assert_eq!(answer.outcome(), (500, "integrity".to_owned()), "{}", answer.text());
}

#[test]
fn a_value_replaced_by_one_of_another_app_or_version_is_detected() {
    let victim = Victim::new();
    victim.dev.set("shop", &json!({"A": "second"}));
    let database = victim.database();
    let row = |app: &[u8], version: i64| -> (Vec<u8>, Vec<u8>) {
        let query = "SELECT wrapped_dek, ciphertext FROM secret_values WHERE app = ?1 AND name = 'A' AND app_version = ?2";
        database.query_row(query, params![app, version], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    let put = |(dek, ciphertext): &(Vec<u8>, Vec<u8>)| {
        let put = "UPDATE secret_values SET wrapped_dek = ?1, ciphertext = ?2
                   WHERE app = ?3 AND name = 'A' AND app_version = 1";
        assert_eq!(database.execute(put, params![dek, ciphertext, victim.shop]).unwrap(), 1);
    };
    let first = row(&victim.shop, 1);
    let history = || victim.dev.operate("GET", "/v1/apps/shop/secrets/A/history", None);
    assert_eq!(history().status, 200);
    for (what, from) in
        [("another app's", row(&victim.other, 1)), ("another version's", row(&victim.shop, 2))]
    {
        put(&from);
        let rollback = json!({"to_version": 1});
        for answer in
            [history(), victim.dev.operate("POST", "/v1/apps/shop/secrets/A/rollback", Some(&rollback))]
        {
            assert_eq!(answer.outcome(), (500, "integrity".to_owned()), "{what}: {}", answer.text());
        }
        // Only its ciphertext, under the DEK of the other.
        put(&(first.0.clone(), from.1));
        assert_eq!(history().outcome(), (500, "integrity".to_owned()), "{what} ciphertext");
    }
    put(&first);
    assert_eq!(history().status, 200);
}

#[test]
fn a_forged_policy_allows_nothing() {
    let victim = Victim::new();
    let bare = json!({"org": Development::ORG, "name": "bare"});
    let made = victim.dev.operate("POST", "/v1/apps", Some(&bare));
    assert_eq!(made.status, 201, "{}", made.text());
    victim.dev.set("bare", &json!({ "A": CANARY }));
    let id = made.field("id").parse::<petsem_api::AppId>().unwrap().as_bytes().to_vec();
    let reads = || {
        let jwt = victim.dev.reader_jwt();
        victim.dev.call("GET", "/v1/apps/bare/secrets?show_secrets=true", &jwt, None)
    };
    let without = reads();
    assert_eq!(without.outcome(), (403, "policy_denied".to_owned()), "{}", without.text());
    // With the policy of an app that admits its readers, while the head has no policy version.
    victim.put(&Saved { id: id.clone(), ..victim.row(kind::POLICY, &victim.shop) });
    let after = reads();
    assert!(after.status >= 400 && !after.text().contains(CANARY), "{}", after.text());
    // And with a head that has one.
    let mut head = victim.row(kind::APP_HEAD, &id);
    let content =
        String::from_utf8_lossy(&head.content).replace("\"policy_version\":0", "\"policy_version\":1");
    assert_ne!(content.as_bytes(), head.content);
    head.content = content.into_bytes();
    victim.put(&head);
    assert_eq!(reads().outcome(), (500, "integrity".to_owned()));
}

#[test]
fn a_deleted_app_restored_row_by_row_is_not_served() {
    let victim = Victim::new();
    let org: petsem_api::OrgId =
        victim.dev.operate("GET", "/v1/orgs/demo", None).field("id").parse().unwrap();
    let rows = [
        victim.row(kind::APP_HEAD, &victim.shop),
        victim.row(kind::APP_NAME, b"shop"),
        victim.row(kind::POLICY, &victim.shop),
        victim.row(kind::ORG_APP, &[org.as_bytes().as_slice(), &victim.shop].concat()),
    ];
    let bundle = victim.bundle(&victim.shop);
    assert_eq!(victim.dev.operate("DELETE", "/v1/apps/shop", None).status, 200);
    for row in &rows {
        victim.put(row);
    }
    victim.put_bundle(&victim.shop.clone(), &bundle);
    let yields_nothing = |victim: &Victim, when: &str| {
        for (what, answer) in victim.answers() {
            assert!(answer.status >= 400, "{when}: {what}: {}", answer.text());
            assert!(!answer.text().contains(CANARY), "{when}: {what}");
        }
    };
    yields_nothing(&victim, "at once");
    if let Ok(victim) = victim.restart(Server::stop) {
        yields_nothing(&victim, "after a restart");
    }
}

#[test]
fn an_older_policy_restored_with_its_head_allows_nothing() {
    let victim = Victim::new();
    let rows = [victim.row(kind::APP_HEAD, &victim.shop), victim.row(kind::POLICY, &victim.shop)];
    let none = json!({"policy": {"format": 1, "rules": []}});
    assert_eq!(victim.dev.operate("PUT", "/v1/apps/shop/policy", Some(&none)).status, 200);
    assert_eq!(victim.boot().outcome(), (403, "policy_denied".to_owned()));

    victim.put(&rows[1]);
    victim.notices("the old policy", POLICY, "it is not at the version that the app head names");
    victim.put(&rows[0]);
    victim.notices("the old policy with its head", EVERY, "an older version of it was put back");
    let Ok(victim) = victim.restart(Server::stop) else { panic!("the rows of one app stop a start") };
    // A node that has never seen the newer head knows the floor.
    victim.notices("the old policy after a start", EVERY, "an older version of it was put back");
}

pub(super) fn revoke_machine(victim: &Victim) {
    let what = json!({"machine": {"app": "shop", "machine": "m-1"}});
    let answer = victim.dev.operate("POST", "/v1/revocations", Some(&what));
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(victim.boot().outcome(), (401, "revoked".to_owned()));
}

const CUT_FEED: &str = "DELETE FROM feed WHERE number = (SELECT max(number) FROM feed)";

#[test]
fn a_revocation_removed_from_the_feed_stays_effective() {
    let victim = Victim::new();
    revoke_machine(&victim);
    let number: i64 =
        victim.database().query_row("SELECT max(number) FROM feed", [], |row| row.get(0)).unwrap();
    victim.database().execute(CUT_FEED, []).unwrap();
    let still = victim.boot();
    assert!(["revoked", "integrity"].contains(&still.outcome().1.as_str()), "{}", still.text());
    let row = format!("control change row {}", hex(&number.to_be_bytes()));
    victim.does_not_start("a removed revocation", |_| (), &[&row, "it is missing"]);
}

#[test]
fn a_feed_truncated_with_its_head_is_detected() {
    let victim = Victim::new();
    let head = victim.row(kind::FEED_HEAD, &[]);
    revoke_machine(&victim);
    victim.database().execute(CUT_FEED, []).unwrap();
    victim.put(&head);
    // The running node reads its feed twice a second; until then it uses its earlier state.
    let end = petsem_integration::dev::now() + 10;
    loop {
        let (_, code) = victim.boot().outcome();
        if code == "integrity" {
            break;
        }
        assert_eq!(code, "revoked");
        assert!(petsem_integration::dev::now() < end, "the cut feed is not noticed");
    }
    for (what, answer) in victim.answers() {
        assert_eq!(answer.outcome(), (500, "integrity".to_owned()), "{what}");
    }
    let ready = victim.dev.operate("GET", "/readyz", None);
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("control change"), "{}", ready.text());
    victim.does_not_start("a cut feed", |_| (), &["control change"]);
}

#[test]
fn a_feed_truncated_with_its_head_while_no_server_ran_is_detected() {
    let victim = Victim::new();
    let head = victim.row(kind::FEED_HEAD, &[]);
    revoke_machine(&victim);
    let cut = |database: &Connection| {
        database.execute(CUT_FEED, []).unwrap();
        put(database, &head);
    };
    victim.does_not_start("a cut feed", cut, &["control change", "audit log"]);
}

#[test]
fn an_older_copy_of_the_whole_database_is_not_served() {
    let victim = Victim::new();
    let copy = tempfile::NamedTempFile::new().unwrap();
    let path = copy.path().to_str().unwrap().to_owned();
    std::fs::remove_file(&path).unwrap();
    victim.database().execute("VACUUM INTO ?1", [&path]).unwrap();
    revoke_machine(&victim);
    let file = victim.dev.database();
    let replace = |database: &Connection| {
        let _ = database;
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", file.display()));
        }
        std::fs::copy(&path, &file).unwrap();
    };
    victim.does_not_start(
        "an older copy",
        replace,
        &["integrity", "the audit log recorded"].map(|text| text.trim_start_matches("the ")),
    );
}

#[test]
fn jwts_of_a_forged_issuer_are_refused() {
    let victim = Victim::new();
    // A forged row that the feed does not name, and one in place of the registered issuer's.
    let issuer = victim.any_row(kind::ISSUER);
    let renamed =
        String::from_utf8_lossy(&issuer.content).replace(Development::ISSUER, "https://evil.example");
    victim.put(&Saved { id: vec![7; 16], content: renamed.into_bytes(), ..issuer.clone() });
    let jwt = victim.dev.jwt(&json!({"iss": "https://evil.example", "sub": "developer"}));
    let read = victim.dev.call("GET", "/v1/apps/shop/secrets?show_secrets=true", &jwt, None);
    assert_eq!(read.outcome(), (401, "token_invalid".to_owned()));
    // With a feed entry forged from the last one.
    let forge = "INSERT INTO feed SELECT number + 1, content, mac FROM feed ORDER BY number DESC LIMIT 1";
    victim.database().execute(forge, []).unwrap();
    let read = victim.dev.call("GET", "/v1/apps/shop/secrets?show_secrets=true", &jwt, None);
    assert!([401, 500].contains(&read.status), "{}", read.text());

    let victim = Victim::new();
    let (_, damaged) = damaged(&victim.any_row(kind::ISSUER)).remove(0);
    let row = format!("the issuer row {}", hex(&damaged.id));
    victim.does_not_start("a changed issuer", |database| put(database, &damaged), &[&row]);
}

#[test]
fn jwts_of_a_deleted_issuer_whose_row_is_restored_are_refused() {
    let victim = Victim::new();
    let row = victim.any_row(kind::ISSUER);
    let id = victim.dev.operate("GET", "/v1/issuers", None).json()["issuers"][0]["id"].clone();
    let path = format!("/v1/issuers/{}", id.as_str().unwrap());
    assert_eq!(victim.dev.operate("DELETE", &path, None).status, 200);
    victim.put(&row);
    assert_eq!(victim.boot().outcome(), (401, "revoked".to_owned()));
    let read = victim.dev.call("GET", "/v1/apps/shop/secrets", &victim.dev.reader_jwt(), None);
    assert_eq!(read.outcome(), (401, "token_invalid".to_owned()));
    // The control state names the issuers, so a start does not read the row.
    let Ok(victim) = victim.restart_changed(|database| put(database, &row)) else {
        panic!("a row that nothing names stops a start")
    };
    let read = victim.dev.call("GET", "/v1/apps/shop/secrets", &victim.dev.reader_jwt(), None);
    assert_eq!(read.outcome(), (401, "token_invalid".to_owned()));
    assert_eq!(victim.boot().outcome(), (401, "revoked".to_owned()));
}

#[test]
fn a_changed_signing_key_of_an_org_is_detected_when_it_is_used() {
    let victim = Victim::new();
    let of_org = "SELECT id FROM records WHERE kind = ?1 AND instr(content, '\"org\":null') = 0";
    let id: Vec<u8> = victim.database().query_row(of_org, [kind::SIGNING_KEY], |row| row.get(0)).unwrap();
    let mut row = victim.row(kind::SIGNING_KEY, &id);
    row.mac[0] ^= 1;
    let Ok(victim) = victim.restart_changed(|database| put(database, &row)) else {
        panic!("the key of one org stops a start")
    };
    let list = victim.dev.call("GET", "/v1/apps/shop/secrets", &flyv1(&victim.dev.owner()), None);
    assert_eq!(list.outcome(), (500, "integrity".to_owned()), "{}", list.text());
    let line = victim.dev.server.printed_line(&list.field("request_id"));
    assert!(line.contains(&format!("the signing key row {}", hex(&id))), "{line}");
    assert_eq!(victim.dev.operate("GET", "/v1/apps/shop/secrets", None).status, 200);
}

#[test]
fn a_server_does_not_start_on_a_changed_row_that_it_must_read() {
    for (kind, name) in [
        (kind::STORE, "store"),
        (kind::SEAL, "seal"),
        (kind::KEYRING_KEY, "keyring key"),
        (kind::DISCHARGER, "discharger"),
        (kind::SIGNING_KEY, "signing key"),
        (kind::FEED_HEAD, "feed head"),
    ] {
        let victim = Victim::new();
        let mut row = match kind {
            kind::SIGNING_KEY => victim.platform_key(),
            kind => victim.any_row(kind),
        };
        row.mac[0] ^= 1;
        let texts = [format!("the {name} row {}", hex(&row.id)), "restore it from a backup".to_owned()];
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        victim.does_not_start(name, |database| put(database, &row), &texts);
    }
}

#[test]
fn a_server_does_not_start_without_the_row_of_the_node_that_wrote_its_audit_log() {
    let victim = Victim::new();
    let remove = |database: &Connection| {
        let removed = database.execute("DELETE FROM records WHERE kind = ?1", [kind::NODE]);
        assert_eq!(removed.unwrap(), 1);
    };
    victim.does_not_start("a removed node", remove, &["integrity", "its row was removed", "node.id"]);

    let victim = Victim::new();
    let (_, changed) = damaged(&victim.any_row(kind::NODE)).remove(0);
    let row = format!("the node row {}", hex(&changed.id));
    victim.does_not_start("a changed node", |database| put(database, &changed), &[&row]);
}

#[test]
fn a_changed_row_of_a_token_is_detected_when_tokens_are_listed() {
    let victim = Victim::new();
    let mut row = victim.any_row(kind::TOKEN);
    row.mac[0] ^= 1;
    victim.put(&row);
    let list = victim.dev.operate("GET", "/v1/tokens", None);
    assert_eq!(list.outcome(), (500, "integrity".to_owned()));
    let named = format!("the token row {}", hex(&row.id));
    assert!(victim.dev.server.printed_line(&named).contains(&named), "the log does not name it");
}

#[test]
fn setting_a_policy_after_damage_does_not_repair_the_app() {
    let victim = Victim::new();
    let mut head = victim.row(kind::APP_HEAD, &victim.shop);
    head.mac[0] ^= 1;
    victim.put(&head);
    for (what, method, target, body) in [
        ("policy", "PUT", "/v1/apps/shop/policy", Some(json!({ "policy": policy() }))),
        ("set", "POST", "/v1/apps/shop/secrets/A", Some(json!({"value": "x"}))),
        ("delete", "DELETE", "/v1/apps/shop", None),
    ] {
        let answer = victim.dev.operate(method, target, body.as_ref());
        assert_eq!(answer.outcome(), (500, "integrity".to_owned()), "{what}: {}", answer.text());
    }
    assert_eq!(victim.row(kind::APP_HEAD, &victim.shop), head);
}

/// The time that reading takes would say how large the app is. Here, a read of the bundle fails.
#[test]
fn a_refusal_does_not_read_the_bundle() {
    let victim = Victim::new();
    let dev = &victim.dev;
    let stranger = dev.jwt(&json!({"sub": "stranger"}));
    let of_other = flyv1(&dev.mint(&json!({"kind": "org", "org": "demo", "apps": ["other"]})));
    let lists = flyv1(&dev.mint(&json!({"kind": "org", "org": "demo", "actions": ["list"]})));
    let to_other = dev.discharge("other", "m-1");
    let app_id = dev.operate("GET", "/v1/apps/shop", None).field("id");
    let set = json!({"values": {"B": "1"}});
    let refused = || {
        let mut seen = Vec::new();
        for app in ["shop", &app_id] {
            let secrets = format!("/v1/apps/{app}/secrets");
            seen.push(dev.call("GET", &format!("{secrets}?show_secrets=true"), &stranger, None).outcome());
            seen.push(dev.call("GET", &secrets, &of_other, None).outcome());
            seen.push(dev.call("POST", &secrets, &lists, Some(&set)).outcome());
            seen.push(dev.ask_discharge(&dev.host, &stranger, app, "m-1").outcome());
            seen.push(dev.boot(app, "m-1", &to_other).outcome());
        }
        seen
    };
    let before = refused();
    assert!(before.iter().all(|(status, _)| matches!(status, 401 | 403)), "{before:?}");
    let broken = "UPDATE bundles SET app_version = -1 WHERE app = ?1";
    assert_eq!(victim.database().execute(broken, [&victim.shop]).unwrap(), 1);
    assert_eq!(refused(), before);
    assert_eq!(dev.call("GET", "/v1/apps/shop/secrets", &lists, None).status, 500);
    assert_eq!(victim.boot().status, 500);
}
