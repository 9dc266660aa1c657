//! What an attacker with a database file and one of its seals can open without petsem's server.

use std::path::Path;

use data_encoding::{BASE64, HEXLOWER};
use petsem_api::{AppId, OrgId, StoreId};
use petsem_keys::{
    AppKek, Keyring, KeyringKey, OpenError, RecordContext, RootKey, SealContext, SealExt as _, SealedRef,
    WrapContext,
};
use petsem_seals::KeyFile;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// Kinds of rows, as numbered on disk.
pub(crate) mod kind {
    pub(crate) const STORE: u8 = 1;
    pub(crate) const SEAL: u8 = 2;
    pub(crate) const KEYRING_KEY: u8 = 3;
    pub(crate) const APP_HEAD: u8 = 6;
    pub(crate) const SIGNING_KEY: u8 = 12;
    pub(crate) const DISCHARGER: u8 = 11;
    pub(crate) const NODE: u8 = 16;
    pub(crate) const SECRET_KEYS: u8 = 21;
    pub(crate) const APP_ROTATION: u8 = 24;
}

/// A database and the keys that its seal opens.
pub(crate) struct Opened {
    database: Connection,
    store: [u8; 16],
    pub(crate) keyring: Keyring,
}

/// A sealed message as stored in a row.
struct Message {
    wrapped_dek: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl Opened {
    /// Opens the database with the key file.
    pub(crate) fn of(database: &Path, key_file: &Path) -> Self {
        Self::if_opens(database, key_file).unwrap()
    }

    /// [`Self::of`]; `None` if the key file opens no wrap of the root key.
    pub(crate) fn if_opens(database: &Path, key_file: &Path) -> Option<Self> {
        let database = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let row = rows_of(&database, kind::STORE).pop().unwrap().1;
        let store: StoreId = row["store"].as_str().unwrap().parse().unwrap();
        let store = *store.as_bytes();
        let root_version = u32::try_from(row["root_version"].as_u64().unwrap()).unwrap();
        let seal = KeyFile::open(key_file).unwrap();
        let root: RootKey = rows_of(&database, kind::SEAL).into_iter().find_map(|(id, row)| {
            let context = SealContext::root_key(store, id.try_into().unwrap(), root_version);
            seal.unwrap(&bytes(&row["wrapped_root"]), &context).ok()
        })?;
        let keys: Vec<KeyringKey> = rows_of(&database, kind::KEYRING_KEY)
            .into_iter()
            .map(|(id, row)| {
                let version = u32::from_be_bytes(id.try_into().unwrap());
                root.unwrap_keyring_key(&bytes(&row["wrapped"]), store, version).unwrap()
            })
            .collect();
        let current = u32::try_from(row["keyring_version"].as_u64().unwrap()).unwrap();
        Some(Self { database, store, keyring: Keyring::new(keys, current).unwrap() })
    }

    /// Ids and contents of the rows of a kind.
    pub(crate) fn rows(&self, kind: u8) -> Vec<(Vec<u8>, Value)> {
        rows_of(&self.database, kind)
    }

    /// The wrapped KEKs of an app, by version, from its head.
    pub(crate) fn keks(&self, app: AppId) -> Vec<(u32, Vec<u8>)> {
        let heads = self.rows(kind::APP_HEAD);
        let (_, head) = heads.into_iter().find(|(id, _)| id == app.as_bytes()).unwrap();
        let keks = head["keks"].as_array().unwrap().iter();
        keks.map(|kek| (u32::try_from(kek["version"].as_u64().unwrap()).unwrap(), bytes(&kek["wrapped"])))
            .collect()
    }

    /// Opens these bytes as this KEK.
    pub(crate) fn open_kek(&self, app: AppId, version: u32, wrapped: &[u8]) -> Result<AppKek, OpenError> {
        self.keyring.unwrap(wrapped, &WrapContext::app_kek(self.store, *app.as_bytes(), version))
    }

    /// The keyring versions named by the wraps in all rows, without duplicates.
    pub(crate) fn versions_in_use(&self) -> Vec<u32> {
        let mut wraps = vec![bytes(&self.rows(kind::STORE)[0].1["row_mac_key"])];
        for (_, row) in self.rows(kind::APP_HEAD) {
            wraps.extend(row["keks"].as_array().unwrap().iter().map(|kek| bytes(&kek["wrapped"])));
        }
        for kind in [kind::SIGNING_KEY, kind::DISCHARGER] {
            wraps.extend(self.rows(kind).iter().map(|(_, row)| bytes(&row["wrapped"])));
        }
        for (_, row) in self.rows(kind::NODE) {
            wraps.extend([bytes(&row["audit_mac_key"]), bytes(&row["audit_signing_key"])]);
            if row["checkpoint"].is_object() {
                wraps.push(bytes(&row["checkpoint"]["audit_ratchet_key"]));
            }
        }
        let mut versions: Vec<u32> =
            wraps.iter().map(|wrapped| Keyring::version_of(wrapped).unwrap()).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    /// The KEK versions that the wrapped DEKs of an app's bundle and values name, with the ciphertexts under them.
    pub(crate) fn deks(&self, app: AppId) -> Vec<(u32, Vec<u8>)> {
        let select = "SELECT wrapped_dek, ciphertext FROM bundles WHERE app = ?1 UNION ALL
                      SELECT wrapped_dek, ciphertext FROM secret_values WHERE app = ?1";
        let mut statement = self.database.prepare(select).unwrap();
        statement
            .query_map([app.as_bytes()], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)))
            .unwrap()
            .map(|row| row.unwrap())
            .map(|(dek, ciphertext)| (AppKek::version_of_dek(&dek).unwrap(), ciphertext))
            .collect()
    }

    /// Every plaintext of an app that the keys of this store open: every byte string is tried as a KEK of the
    /// app, and with the KEKs found, every sealed message is tried as each of its values and bundles.
    pub(crate) fn plaintexts(&self, org: OrgId, app: AppId, names: &[&str], newest: u64) -> Vec<Vec<u8>> {
        let keks: Vec<AppKek> = self
            .everything()
            .iter()
            .flat_map(|candidate| (1..=3).filter_map(|version| self.open_kek(app, version, candidate).ok()))
            .collect();
        let (org, app) = (*org.as_bytes(), *app.as_bytes());
        let mut contexts = Vec::new();
        for version in 0..=newest {
            contexts.push(RecordContext::Bundle { epoch: 1, org, app, version });
            contexts.extend(names.iter().map(|name| RecordContext::Value {
                epoch: 1,
                org,
                app,
                name,
                version,
            }));
        }
        let mut opened = Vec::new();
        for message in self.messages() {
            let sealed = SealedRef { wrapped_dek: &message.wrapped_dek, ciphertext: &message.ciphertext };
            for kek in &keks {
                opened.extend(contexts.iter().filter_map(|context| kek.open(sealed, context).ok()));
            }
        }
        opened.into_iter().map(|plaintext| plaintext.to_vec()).collect()
    }

    /// All sealed messages, of all apps.
    fn messages(&self) -> Vec<Message> {
        let select = "SELECT wrapped_dek, ciphertext FROM bundles UNION ALL
                      SELECT wrapped_dek, ciphertext FROM secret_values";
        let mut statement = self.database.prepare(select).unwrap();
        let message =
            |row: &rusqlite::Row<'_>| Ok(Message { wrapped_dek: row.get(0)?, ciphertext: row.get(1)? });
        statement.query_map([], message).unwrap().map(|row| row.unwrap()).collect()
    }

    /// Every byte string of the database: blobs, and base64 or hex in rows.
    fn everything(&self) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let mut tables =
            self.database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
        let tables: Vec<String> =
            tables.query_map([], |row| row.get(0)).unwrap().map(|row| row.unwrap()).collect();
        for table in tables {
            let mut statement = self.database.prepare(&format!("SELECT * FROM {table}")).unwrap();
            let columns = statement.column_count();
            let mut rows = statement.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                for column in 0..columns {
                    if let rusqlite::types::ValueRef::Blob(blob) = row.get_ref(column).unwrap() {
                        found.push(blob.to_vec());
                        // JSON begins after 9 bytes in the feed, and after 17 in rows.
                        for begin in [9, 17] {
                            let json = blob.get(begin..).and_then(|json| serde_json::from_slice(json).ok());
                            strings(&json.unwrap_or(Value::Null), &mut found);
                        }
                    }
                }
            }
        }
        found
    }
}

/// Bytes of a base64 field.
pub(crate) fn bytes(field: &Value) -> Vec<u8> {
    BASE64.decode(field.as_str().unwrap().as_bytes()).unwrap()
}

fn rows_of(database: &Connection, kind: u8) -> Vec<(Vec<u8>, Value)> {
    let mut statement =
        database.prepare("SELECT id, content FROM records WHERE kind = ?1 ORDER BY id").unwrap();
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?));
    let rows = statement.query_map([kind], row).unwrap().map(|row| row.unwrap());
    // The content is: 02, epoch, number of a control change, JSON.
    rows.map(|(id, content)| (id, serde_json::from_slice(&content[17..]).unwrap())).collect()
}

fn strings(value: &Value, found: &mut Vec<Vec<u8>>) {
    match value {
        Value::String(text) => {
            found.extend(BASE64.decode(text.as_bytes()));
            found.extend(HEXLOWER.decode(text.as_bytes()));
        }
        Value::Array(values) => values.iter().for_each(|value| strings(value, found)),
        Value::Object(map) => map.values().for_each(|value| strings(value, found)),
        _ => {}
    }
}
