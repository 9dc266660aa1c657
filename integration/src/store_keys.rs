//! All keys of a store, opened from its rows with its key file. It implements the tables in the documentation
//! of `petsem-keys` and in docs/formats.md, and does not use that crate, which never exposes a key.

use std::path::Path;

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use rusqlite::Connection;
use serde_json::Value;
use sha2::Sha256;
use xaes_256_gcm::Xaes256Gcm;
use xaes_256_gcm::aead::{Aead, Payload};

use crate::dev::audit_log;

/// Kinds of rows, as numbered on disk.
mod kind {
    pub(super) const STORE: u8 = 1;
    pub(super) const SEAL: u8 = 2;
    pub(super) const KEYRING_KEY: u8 = 3;
    pub(super) const APP_HEAD: u8 = 6;
    pub(super) const DISCHARGER: u8 = 11;
    pub(super) const SIGNING_KEY: u8 = 12;
    pub(super) const NODE: u8 = 16;
    pub(super) const SECRET_KEYS: u8 = 21;
}

/// A key with its name.
pub type Named = (String, Vec<u8>);

/// The keys of a store with one key file, one keyring key and one node.
#[derive(Default)]
pub struct StoreKeys {
    /// Keys that a server needs while it runs.
    pub kept: Vec<Named>,
    /// Keys that it needs briefly: the seal's key at its start, an app's keys for a request.
    pub passing: Vec<Named>,
    /// The earlier audit MAC keys from which the current one is derived, oldest first.
    pub spent_audit_keys: Vec<Named>,
    /// The current audit MAC key, and the next one in case a checkpoint is written.
    pub audit_keys: Vec<Named>,
}

struct Row {
    id: Vec<u8>,
    content: Value,
}

impl std::fmt::Debug for StoreKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreKeys(..)")
    }
}

impl StoreKeys {
    /// Opens them. The node's audit log says how many checkpoints it wrote.
    ///
    /// # Panics
    /// If anything does not open.
    pub fn open(database: &Path, key_file: &Path, audit: &Path) -> Self {
        let log = audit_log(audit);
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let checkpoints = lines.filter_map(|line| line.pointer("/checkpoint/number")?.as_u64()).max();
        let checkpoints = checkpoints.expect("a log begins with a checkpoint");
        let connection = Connection::open(database).expect("the database opens");
        let rows = |kind| rows(&connection, kind);
        let store_row = only(rows(kind::STORE));
        let store = id(&store_row.content, "store");
        let mut keys = Self::default();

        let seal_key = seal_key(key_file);
        let seal = only(rows(kind::SEAL));
        let root_version = store_row.content.get("root_version").and_then(Value::as_u64).unwrap_or(1);
        let fields = [&store[..], &seal.id, &[], &int(root_version), &int(0)];
        let root = unwrap(&seal_key, &bytes(&seal.content, "wrapped_root"), 0x0c, &fields);
        let keyring = only(rows(kind::KEYRING_KEY));
        let version = u64::from(u32::from_be_bytes(keyring.id.as_slice().try_into().expect("a version")));
        let fields = [&store[..], &[0; 16], &[], &int(version), &int(root_version)];
        let keyring = unwrap(&root, &bytes(&keyring.content, "wrapped"), 0x01, &fields);
        let under_keyring = |wrapped: &[u8], label, id: &[u8], owner: &[u8], key_version| {
            unwrap(&keyring, wrapped, label, &[&store, id, owner, &int(key_version), &int(version)])
        };
        keys.kept.push((
            "row-MAC key".to_owned(),
            under_keyring(&bytes(&store_row.content, "row_mac_key"), 0x05, &store, &[], 0),
        ));
        for (kind, label, name) in
            [(kind::SIGNING_KEY, 0x03, "signing key"), (kind::DISCHARGER, 0x04, "discharger key")]
        {
            for row in rows(kind) {
                let owner = match row.content.get("org") {
                    Some(Value::String(org)) => parse_id(org),
                    _ => Vec::new(),
                };
                let key = under_keyring(&bytes(&row.content, "wrapped"), label, &row.id, &owner, 0);
                keys.kept.push((format!("{name} {}", HEXLOWER.encode(&row.id)), key));
            }
        }
        let node = only(rows(kind::NODE));
        let signing = under_keyring(&bytes(&node.content, "audit_signing_key"), 0x07, &node.id, &[], 0);
        keys.kept.push(("audit signing key".to_owned(), signing));
        let mut mac = under_keyring(&bytes(&node.content, "audit_mac_key"), 0x06, &node.id, &[], 0);
        for number in 0..=checkpoints + 1 {
            let next = hmac(&mac, &[0x44]);
            let list = if number < checkpoints { &mut keys.spent_audit_keys } else { &mut keys.audit_keys };
            list.push((format!("audit MAC key {number}"), std::mem::replace(&mut mac, next)));
        }
        for row in rows(kind::APP_HEAD) {
            let name = row.content.get("name").and_then(Value::as_str).unwrap_or_default();
            for kek in row.content.get("keks").and_then(Value::as_array).into_iter().flatten() {
                let kek_version = kek.get("version").and_then(Value::as_u64).unwrap_or_default();
                let key = under_keyring(&bytes(kek, "wrapped"), 0x02, &row.id, &[], kek_version);
                keys.of_app(&connection, &row, &store, (kek_version, &key));
                keys.passing.push((format!("KEK of {name}"), key));
            }
        }
        keys.kept.push(("keyring key".to_owned(), keyring));
        keys.kept.push(("root key".to_owned(), root));
        keys.passing.push(("seal key".to_owned(), seal_key));
        keys
    }

    /// The key with this name.
    ///
    /// # Panics
    /// If there is none.
    pub fn named(&self, name: &str) -> &[u8] {
        let mut all = self.all();
        &all.find(|(known, _)| known == name).expect("the store has this key").1
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Named> {
        [&self.kept, &self.passing, &self.spent_audit_keys, &self.audit_keys].into_iter().flatten()
    }

    /// The keys under an app's KEK.
    fn of_app(&mut self, connection: &Connection, head: &Row, store: &[u8], kek: (u64, &[u8])) {
        let (version, kek) = kek;
        let app = &head.id;
        let name = head.content.get("name").and_then(Value::as_str).unwrap_or_default();
        let owned = |wrapped: &[u8], label, id: &[u8]| {
            unwrap(kek, wrapped, label, &[store, id, app, &int(0), &int(version)])
        };
        let digest = owned(&bytes(&head.content, "digest_key"), 0x0a, app);
        self.passing.push((format!("digest key of {name}"), digest));
        for row in rows(connection, kind::SECRET_KEYS).iter().filter(|row| row.id == *app) {
            for (label, key) in row.content.get("keys").and_then(Value::as_object).into_iter().flatten() {
                let material = owned(&bytes(key, "wrapped"), 0x0b, &bytes(key, "id"));
                self.passing.push((format!("secret key {label} of {name}"), material));
            }
        }
        for (table, what) in [("bundles", "bundle"), ("secret_values", "value")] {
            let query = format!("SELECT app_version, wrapped_dek FROM {table} WHERE app = ?1");
            let mut statement = connection.prepare(&query).expect("the table is there");
            let deks =
                statement.query_map([app], |row| Ok((row.get::<_, u64>(0)?, row.get::<_, Vec<u8>>(1)?)));
            for (app_version, wrapped) in deks.expect("it can be read").map(|row| row.expect("a row")) {
                let (dek_id, body) = (slice(&wrapped, 5, 21), slice(&wrapped, 21, wrapped.len()));
                let dek = open(kek, body, &context(0x09, &[app, dek_id, &int(version)]));
                self.passing.push((format!("DEK of a {what} of {name} at version {app_version}"), dek));
            }
        }
    }
}

/// The MAC of a row by this row-MAC key. `covered` is its content after format and epoch.
pub fn row_mac(key: &[u8], row: (u8, &[u8]), epoch: u64, row_version: u64, covered: &[u8]) -> Vec<u8> {
    let (kind, id) = row;
    hmac(key, &context(0x40, &[&int(u64::from(kind)), id, &int(epoch), &int(row_version), covered]))
}

/// The MAC of a control change by this row-MAC key.
pub fn change_mac(key: &[u8], epoch: u64, number: u64, previous: &[u8], covered: &[u8]) -> Vec<u8> {
    hmac(key, &context(0x41, &[&int(epoch), &int(number), previous, covered]))
}

fn rows(connection: &Connection, kind: u8) -> Vec<Row> {
    let mut statement =
        connection.prepare("SELECT id, content FROM records WHERE kind = ?1").expect("the table is there");
    let rows = statement
        .query_map([kind], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)))
        .expect("it can be read");
    rows.map(|row| {
        let (id, content) = row.expect("a row");
        let content = serde_json::from_slice(slice(&content, 17, content.len())).expect("a row holds JSON");
        Row { id, content }
    })
    .collect()
}

fn only(mut rows: Vec<Row>) -> Row {
    assert_eq!(rows.len(), 1, "there is one such row");
    rows.remove(0)
}

fn seal_key(path: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(path).expect("the key file can be read");
    let digits = text.lines().nth(1).expect("a key file has two lines");
    HEXLOWER.decode(digits.as_bytes()).expect("hexadecimal digits")
}

/// Opens a wrap, by its header's version.
fn unwrap(key: &[u8], wrapped: &[u8], label: u8, fields: &[&[u8]]) -> Vec<u8> {
    open(key, slice(wrapped, 5, wrapped.len()), &context(label, fields))
}

/// Opens `nonce 24 | ciphertext | tag 16`.
fn open(key: &[u8], body: &[u8], aad: &[u8]) -> Vec<u8> {
    let cipher = Xaes256Gcm::new(key.try_into().expect("a key has 32 bytes"));
    let nonce = slice(body, 0, 24).try_into().expect("a nonce has 24 bytes");
    let payload = Payload { msg: slice(body, 24, body.len()), aad };
    cipher.decrypt(nonce, payload).expect("it opens with its key, in its context")
}

fn context(label: u8, fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![label];
    for field in fields {
        bytes.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(field);
    }
    bytes
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes any key");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn int(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

fn bytes(content: &Value, field: &str) -> Vec<u8> {
    let text = content.get(field).and_then(Value::as_str).expect("the field is there");
    BASE64.decode(text.as_bytes()).expect("base64")
}

fn id(content: &Value, field: &str) -> Vec<u8> {
    parse_id(content.get(field).and_then(Value::as_str).expect("the field is there"))
}

fn parse_id(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.replace('-', "").as_bytes()).expect("an id")
}

fn slice(bytes: &[u8], from: usize, to: usize) -> &[u8] {
    bytes.get(from..to).expect("it is long enough")
}
