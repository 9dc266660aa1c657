//! Every byte of every stored record, flipped one at a time: a read answers the right value or `integrity`, a
//! start fails or serves the right values, and nothing panics.
//!
//! A run of the tests flips bytes that lie a prime number apart; `PETSEM_FLIP_EVERY=1` flips all
//! (integration/soak).

use std::collections::BTreeMap;
use std::path::Path;

use petsem_api::AppId;
use petsem_integration::dev::{Dev, flyv1, serve};
use petsem_integration::http::Answer;
use petsem_server::Development;
use rusqlite::types::Value as Column;
use rusqlite::{Connection, params_from_iter};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Rows that a server reads at its start and keeps; it reads the others on request.
const READ_AT_START: [i64; 8] = [1, 2, 3, 10, 11, 12, 16, 18];

/// The database's path in a development directory.
const DATABASE: &str = "data/petsem.db";

/// The distance between flipped bytes; `usual` is for a normal run of the tests.
fn stride(usual: usize) -> usize {
    std::env::var("PETSEM_FLIP_EVERY")
        .map_or(usual, |every| every.parse().expect("PETSEM_FLIP_EVERY is a number"))
}

/// A small installation with a row of every kind that reads depend on.
struct Small {
    dev: Dev,
    renewal: String,
    /// Token of a revoked Machine.
    revoked: String,
    user: String,
    shop: String,
}

/// A read: its name and its answer.
type Read = (&'static str, Answer);

impl Small {
    fn new() -> Self {
        let dev = Dev::start_in_memory();
        dev.set("shop", &json!({"A": "first", "B": "b"}));
        dev.set("shop", &json!({"A": "second"}));
        dev.app("other", &json!({}));
        dev.set("other", &json!({"A": "other's"}));
        let user = flyv1(&dev.mint_as_owner());
        let key = json!({"type": "hs256"});
        let made = dev.call("POST", "/v1/apps/shop/secretkeys/k/generate", &user, Some(&key));
        assert_eq!(made.status, 201, "{}", made.text());
        let revoked = dev.boot("shop", "gone", &dev.discharge("shop", "gone")).field("renewal");
        let machine = json!({"machine": {"app": "shop", "machine": "gone"}});
        assert_eq!(dev.operate("POST", "/v1/revocations", Some(&machine)).status, 201);
        let renewal = dev.boot("shop", "m-1", &dev.discharge("shop", "m-1")).field("renewal");
        let shop = dev.operate("GET", "/v1/apps/shop", None).field("id");
        Self { dev, renewal, revoked, user, shop }
    }

    fn database(&self) -> Connection {
        let database = Connection::open(self.dev.database()).unwrap();
        database.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        database
    }

    /// Every way to read.
    fn reads(&self) -> Vec<Read> {
        let dev = &self.dev;
        let jwt = dev.reader_jwt();
        let sign = json!({"plaintext": "bWVzc2FnZQ=="});
        let get = |target: &str| dev.operate("GET", target, None);
        vec![
            ("boot", dev.boot("shop", "m-1", &self.renewal)),
            ("revoked boot", dev.boot("shop", "gone", &self.revoked)),
            ("all values", dev.call("GET", "/v1/apps/shop/secrets?show_secrets=true", &jwt, None)),
            ("a value", dev.call("GET", "/v1/apps/shop/secrets/A?show_secrets=true", &jwt, None)),
            ("other value", dev.call("GET", "/v1/apps/other/secrets/A?show_secrets=true", &jwt, None)),
            ("list", get("/v1/apps/shop/secrets")),
            ("list by id", get(&format!("/v1/apps/{}/secrets", self.shop))),
            ("history", get("/v1/apps/shop/secrets/A/history")),
            ("other history", get("/v1/apps/other/secrets/A/history")),
            ("signature", dev.call("POST", "/v1/apps/shop/secretkeys/k/sign", &self.user, Some(&sign))),
            ("policy", get("/v1/apps/shop/policy")),
            ("app", get("/v1/apps/shop")),
            ("apps", get("/v1/apps?org=demo")),
            ("orgs", get("/v1/orgs")),
            ("org", get("/v1/orgs/demo")),
            ("tokens", get("/v1/tokens")),
            ("issuers", get("/v1/issuers")),
            ("dischargers", get("/v1/dischargers")),
        ]
    }

    /// The right answers, by read.
    fn right(&self) -> BTreeMap<&'static str, Value> {
        let right: BTreeMap<_, _> =
            self.reads().iter().map(|(name, answer)| (*name, essence(answer))).collect();
        for (name, value) in [("boot", "second"), ("a value", "second"), ("other value", "other's")] {
            assert!(right[name].to_string().contains(value), "{name}: {}", right[name]);
        }
        assert_eq!(right["revoked boot"], json!([401, "revoked"]));
        assert_eq!(right["history"][1]["history"].as_array().unwrap().len(), 2);
        right
    }

    /// Asserts that each read answers what is right, or `integrity`; if the flip moves the row to another
    /// key, "not found" and a shorter list are right too. Returns how many answered `integrity`.
    fn check(&self, right: &BTreeMap<&'static str, Value>, flip: &Flip) -> usize {
        let mut noticed = 0;
        for (name, answer) in self.reads() {
            let is_integrity = answer.outcome() == (500, "integrity".to_owned());
            let is_absent = flip.moves_the_row() && [401, 403, 404].contains(&answer.status);
            let is_shorter = flip.moves_the_row() && is_part(&essence(&answer), &right[name]);
            assert!(
                is_integrity || is_absent || is_shorter || essence(&answer) == right[name],
                "{flip}: {name}: {} {}, not {}",
                answer.status,
                answer.text(),
                right[name]
            );
            noticed += usize::from(is_integrity);
        }
        noticed
    }
}

/// An answer without the fields that always differ.
fn essence(answer: &Answer) -> Value {
    if answer.status >= 400 {
        return json!([answer.status, answer.field("status")]);
    }
    let mut body = answer.json();
    if let Some(object) = body.as_object_mut() {
        object.remove("renewal");
        object.remove("renewal_expires_at");
        object.remove("expires_at");
    }
    json!([answer.status, body])
}

/// Whether everything in a list is in the right one.
fn is_part(found: &Value, right: &Value) -> bool {
    match (found, right) {
        (Value::Array(found), Value::Array(right)) => found.iter().all(|item| {
            right.contains(item) || right.iter().any(|other| item.is_object() && is_part(item, other))
        }),
        (Value::Object(found), Value::Object(right)) => found
            .iter()
            .all(|(name, item)| right.get(name).is_some_and(|other| item == other || is_part(item, other))),
        _ => found == right,
    }
}

/// A byte of a column of a row.
struct Flip {
    table: &'static str,
    columns: Vec<String>,
    /// How many of the first columns are the key.
    keys: usize,
    row: Vec<Column>,
    column: usize,
    byte: usize,
}

impl std::fmt::Display for Flip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { table, columns, row, column, byte, keys } = self;
        write!(f, "{table} {:?}, {} byte {byte}", &row[..*keys], columns[*column])
    }
}

impl Flip {
    fn moves_the_row(&self) -> bool {
        self.column < self.keys
    }

    fn flipped(&self) -> Column {
        let mut bytes = bytes(&self.row[self.column]);
        bytes[self.byte] ^= 1 << (self.byte % 8);
        match &self.row[self.column] {
            Column::Integer(_) => Column::Integer(i64::from_be_bytes(bytes.try_into().unwrap())),
            _ => Column::Blob(bytes),
        }
    }

    fn write(&self, database: &Connection, from: &Column, to: &Column) {
        let is = |column: usize, number: usize| {
            format!("{} = {}", self.columns[column], self.parameter(column, number))
        };
        let keys: Vec<_> = (0..self.keys).filter(|key| *key != self.column).collect();
        let mut conditions = vec![is(self.column, 2)];
        conditions.extend(keys.iter().zip(3..).map(|(key, number)| is(*key, number)));
        let (name, value) = (&self.columns[self.column], self.parameter(self.column, 1));
        let update = format!("UPDATE {} SET {name} = {value} WHERE {}", self.table, conditions.join(" AND "));
        let parameters = [to, from].into_iter().chain(keys.iter().map(|key| &self.row[*key])).map(bound);
        let changed = database.execute(&update, params_from_iter(parameters)).unwrap();
        assert_eq!(changed, 1, "{self}");
    }

    /// A parameter; a text is passed as bytes, because a flip may make it invalid UTF-8.
    fn parameter(&self, column: usize, number: usize) -> String {
        match &self.row[column] {
            Column::Text(_) => format!("CAST(?{number} AS TEXT)"),
            _ => format!("?{number}"),
        }
    }

    fn apply(&self, database: &Connection) {
        self.write(database, &self.row[self.column], &self.flipped());
    }

    fn undo(&self, database: &Connection) {
        self.write(database, &self.flipped(), &self.row[self.column]);
    }
}

fn bound(column: &Column) -> Column {
    match column {
        Column::Text(text) => Column::Blob(text.clone().into_bytes()),
        other => other.clone(),
    }
}

fn bytes(column: &Column) -> Vec<u8> {
    match column {
        Column::Integer(number) => number.to_be_bytes().to_vec(),
        Column::Text(text) => text.clone().into_bytes(),
        Column::Blob(bytes) => bytes.clone(),
        Column::Null => Vec::new(),
        other => panic!("no column holds {other:?}"),
    }
}

/// Flips of the bytes of a table, `stride` apart, across columns and rows.
fn flips(
    database: &Connection,
    table: &'static str,
    keys: usize,
    condition: &str,
    stride: usize,
) -> Vec<Flip> {
    let mut statement = database.prepare(&format!("SELECT * FROM {table} WHERE {condition}")).unwrap();
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let width = columns.len();
    let rows = statement.query_map([], |row| (0..width).map(|column| row.get(column)).collect()).unwrap();
    let rows: Vec<Vec<Column>> = rows.map(Result::unwrap).collect();
    let mut flips = Vec::new();
    let mut count = 0;
    for row in rows {
        for column in 0..width {
            for byte in 0..bytes(&row[column]).len() {
                count += 1;
                if count % stride == 0 {
                    let (columns, row) = (columns.clone(), row.clone());
                    flips.push(Flip { table, columns, keys, row, column, byte });
                }
            }
        }
    }
    flips
}

fn kinds(not: &str) -> String {
    let list: Vec<_> = READ_AT_START.iter().map(i64::to_string).collect();
    format!("kind {not} IN ({})", list.join(", "))
}

#[test]
fn a_flipped_byte_of_a_row_that_is_read_yields_the_right_value_or_integrity() {
    let small = Small::new();
    let right = small.right();
    let database = small.database();
    let every = stride(13);
    let mut all = flips(&database, "records", 2, &kinds("NOT"), every);
    all.extend(flips(&database, "bundles", 1, "true", every));
    all.extend(flips(&database, "secret_values", 3, "true", every));
    let mut noticed = 0;
    for flip in &all {
        flip.apply(&database);
        noticed += usize::from(small.check(&right, flip) > 0);
        flip.undo(&database);
    }
    assert_eq!(small.right(), right, "everything is as it was");
    println!("{} bytes flipped, {noticed} of them noticed by a read", all.len());
    // These reads do not need every row, but they need most.
    assert!(noticed * 10 > all.len() * 7, "{noticed} of {}", all.len());
    assert!(!small.dev.server.stop().printed.contains("panicked"));
}

#[test]
fn a_flipped_byte_of_a_row_that_a_start_reads_refuses_the_start_or_changes_nothing() {
    let small = Small::new();
    let right = small.right();
    let every = stride(41);
    let Small { dev: Dev { server, directory, operator, host }, renewal, revoked, user, shop } = small;
    assert!(server.stop().status.success());
    // Only after the server stopped, because stopping writes its node's row.
    let database = Connection::open(directory.path().join(DATABASE)).unwrap();
    let mut all = flips(&database, "records", 2, &kinds(""), every);
    for (table, keys) in [("feed", 1), ("revisions", 1), ("mark_holds", 1), ("meta", 1), ("unaudited", 1)] {
        all.extend(flips(&database, table, keys, "true", every));
    }
    drop(database);
    let mut refused = 0;
    // The message names the row, or says that nothing opens, and what to do.
    let says =
        ["integrity", "does not hold what was written", "none of the tried seals opens the store", "restore"];
    let mut unclear = Vec::new();
    for flip in &all {
        // A copy for each, because a start writes to the database.
        let copy = copied(directory.path());
        flip.apply(&Connection::open(copy.path().join(DATABASE)).unwrap());
        let printed = match serve(copy.path()) {
            Err(ended) => {
                refused += 1;
                let is_refusal = matches!(ended.status.code(), Some(code) if code != 0);
                // Without the store's row there is no installation.
                let is_gone =
                    flip.moves_the_row() && ended.printed.contains("there is no installation to serve");
                let is_clear = is_gone || says.iter().any(|text| ended.printed.contains(text));
                if !is_refusal || !is_clear {
                    unclear.push(format!("{flip}: {}", ended.printed));
                }
                ended.printed
            }
            Ok(server) => {
                let dev = Dev { server, directory: copy, operator: operator.clone(), host: host.clone() };
                let (renewal, revoked) = (renewal.clone(), revoked.clone());
                let small = Small { dev, renewal, revoked, user: user.clone(), shop: shop.clone() };
                small.check(&right, flip);
                small.dev.server.kill().printed
            }
        };
        assert!(!printed.contains("panicked"), "{flip}: {printed}");
    }
    println!("{} bytes flipped, {refused} starts refused", all.len());
    assert_eq!(unclear, Vec::<String>::new());
    assert!(refused * 2 > all.len(), "{refused} of {}", all.len());
    let server = serve(directory.path()).map_err(|ended| ended.printed).unwrap();
    let dev = Dev { server, directory, operator, host };
    assert_eq!(Small { dev, renewal, revoked, user, shop }.right(), right, "everything is as it was");
}

#[test]
fn operator_verify_finds_each_flipped_byte_of_a_sealed_row() {
    let small = Small::new();
    let Dev { server, directory, .. } = small.dev;
    assert!(server.stop().status.success());
    let settings = Development::at(directory.path()).settings("127.0.0.1:0").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let verified = || runtime.block_on(petsem_server::verify_store(&settings)).unwrap();
    let good = verified();
    assert_eq!((good.fault_count, good.apps, good.values, good.secret_keys), (0, 2, 4, 1), "{good:?}");

    let database = Connection::open(directory.path().join(DATABASE)).unwrap();
    let every = stride(5);
    let mut all = flips(&database, "bundles", 1, "true", every);
    all.extend(flips(&database, "secret_values", 3, "true", every));
    // A value that was moved out of its app leaves no trace: the history of a secret is not anchored.
    all.retain(|flip| flip.table != "secret_values" || flip.columns[flip.column] != "app");
    for flip in &all {
        flip.apply(&database);
        let report = verified();
        let app = AppId::from_bytes(bytes(&flip.row[0]).try_into().unwrap()).to_string();
        assert_eq!(report.fault_count, 1, "{flip}: {:?}", report.faults);
        assert!(report.faults[0].contains(&app), "{flip}: {:?}", report.faults);
        flip.undo(&database);
    }
    println!("{} bytes flipped", all.len());
    assert_eq!(verified(), good);
}

fn copied(from: &Path) -> TempDir {
    let copy = tempfile::tempdir_in("/dev/shm").unwrap();
    copy_into(from, copy.path());
    copy
}

fn copy_into(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&place).unwrap();
            copy_into(&entry.path(), &place);
            // A server refuses a directory that is accessible to other users.
            std::fs::set_permissions(&place, entry.metadata().unwrap().permissions()).unwrap();
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}
