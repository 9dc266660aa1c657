//! Deleting an app destroys its keys; older backups still open with their seal.

use std::path::Path;

use petsem_api::{AppId, OrgId};
use petsem_integration::dev::Dev;
use petsem_integration::store_keys::{Named, StoreKeys};
use petsem_keys::OpenError;
use serde_json::json;

use crate::opened::{Opened, kind};

const CANARY: &str = "canary-shredded-77c1";
const NAMES: [&str; 2] = ["A", "B"];
/// The app's last version: three sets and a key.
const NEWEST: u64 = 4;

/// An app with a history in a store that has others.
struct Doomed {
    dev: Dev,
    org: OrgId,
    app: AppId,
}

impl Doomed {
    fn new() -> Self {
        let dev = Dev::start();
        let app: AppId = dev.app("doomed", &json!({})).parse().unwrap();
        let org = dev.operate("GET", "/v1/apps/doomed", None).field("org").parse().unwrap();
        for number in 1..=3 {
            dev.set("doomed", &json!({"A": format!("{CANARY} {number}"), "B": "b"}));
            dev.set("shop", &json!({"A": format!("other {number}")}));
        }
        let generate = json!({"type": "hs256"});
        let key = dev.operate("POST", "/v1/apps/doomed/secretkeys/k/generate", Some(&generate));
        assert_eq!(key.status, 201, "{}", key.text());
        assert_eq!(dev.version("doomed"), NEWEST);
        Self { dev, org, app }
    }

    fn opened(&self, database: &Path) -> Opened {
        Opened::of(database, &self.dev.directory.path().join("seal.key"))
    }

    /// What an attacker with this database and the key file decrypts of the app: texts with the canary.
    fn canaries(&self, database: &Path) -> usize {
        let opened = self.opened(database).plaintexts(self.org, self.app, &NAMES, NEWEST);
        opened.iter().filter(|plaintext| contains(plaintext, CANARY.as_bytes())).count()
    }

    fn copy(&self, to: &Path) {
        let database = rusqlite::Connection::open(self.dev.database()).unwrap();
        database.execute("VACUUM INTO ?1", [to.to_str().unwrap()]).unwrap();
    }
}

#[test]
fn a_deleted_app_cannot_be_read_from_the_database_but_from_an_older_backup_with_its_seal() {
    let doomed = Doomed::new();
    let backups = tempfile::tempdir().unwrap();
    let before = backups.path().join("before.db");
    doomed.copy(&before);
    // Control: the search finds three values and the bundle.
    assert_eq!(doomed.canaries(&before), 4);
    assert_eq!(doomed.canaries(&doomed.dev.database()), 4);
    let (_, kek) = doomed.opened(&before).keks(doomed.app).remove(0);
    let ciphertexts: Vec<Vec<u8>> =
        doomed.opened(&before).deks(doomed.app).into_iter().map(|(_, ciphertext)| ciphertext).collect();
    assert_eq!(ciphertexts.len(), 7);

    let deleted = doomed.dev.operate("DELETE", "/v1/apps/doomed", None);
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    // The answer says what the deletion does not do, and which command does.
    let notice = deleted.field("notice");
    for said in [
        "The app's keys are destroyed",
        "Older backups",
        "WAL",
        "copies of dead rows",
        "a seal that was valid at that time",
        "petsem operator rotate-keyring",
        "destroy those copies",
    ] {
        assert!(notice.contains(said), "{said}: {notice}");
    }

    // No key of the store opens anything of the app, and the files no longer have the wrapped keys.
    assert_eq!(doomed.canaries(&doomed.dev.database()), 0);
    let after = backups.path().join("after.db");
    doomed.copy(&after);
    assert_eq!(doomed.canaries(&after), 0);
    let kek_text = data_encoding::BASE64.encode(&kek);
    for file in ["data/petsem.db", "data/petsem.db-wal"] {
        let bytes = std::fs::read(doomed.dev.directory.path().join(file)).unwrap();
        assert!(!contains(&bytes, kek_text.as_bytes()), "the wrapped KEK is still in {file}");
        for ciphertext in &ciphertexts {
            assert!(!contains(&bytes, ciphertext), "a sealed value is still in {file}");
        }
    }
    // Other apps still work.
    assert_eq!(doomed.dev.version("shop"), 3);

    // The older backup still opens while its seal exists.
    assert_eq!(doomed.canaries(&before), 4);
    doomed.opened(&before).open_kek(doomed.app, 1, &kek).unwrap();
    // A copy of one KEK opens with the current store until the keyring is rotated, and not after.
    doomed.opened(&doomed.dev.database()).open_kek(doomed.app, 1, &kek).unwrap();
    let rotated = doomed.dev.operate("POST", "/v1/keyring/rotate", Some(&json!({})));
    assert_eq!(rotated.status, 202, "{}", rotated.text());
    let doomed = until_rotated(doomed);
    let opened = doomed.opened(&doomed.dev.database()).open_kek(doomed.app, 1, &kek).map(|_| ());
    assert_eq!(opened.unwrap_err(), OpenError::UnknownKeyVersion { version: 1 });
    // The whole backup contains its keyring too: the copies or their seal must be destroyed.
    assert_eq!(doomed.canaries(&before), 4);
}

#[test]
fn a_deleted_secret_key_is_in_an_older_backup_alone() {
    let doomed = Doomed::new();
    let backups = tempfile::tempdir().unwrap();
    let before = backups.path().join("before.db");
    doomed.copy(&before);
    let Doomed { dev, .. } = &doomed;
    let material = |database: &Path| -> Option<Vec<u8>> {
        let keys = StoreKeys::open(database, &dev.directory.path().join("seal.key"), &dev.layout().audit());
        let is_it = |(name, _): &&Named| name == "secret key k of doomed";
        keys.all().find(is_it).map(|(_, key)| key.clone())
    };
    let key = material(&before).unwrap();
    assert_eq!(material(&dev.database()), Some(key.clone()));
    assert_eq!(dev.operate("DELETE", "/v1/apps/doomed/secretkeys/k", None).status, 200);
    assert_eq!((material(&dev.database()), material(&before)), (None, Some(key)));

    // The files no longer have the wrap either.
    let [(_, row)] = doomed.opened(&before).rows(kind::SECRET_KEYS).try_into().unwrap();
    let wrapped = row["keys"]["k"]["wrapped"].as_str().unwrap().to_owned();
    assert!(contains(&std::fs::read(&before).unwrap(), wrapped.as_bytes()));
    for file in ["data/petsem.db", "data/petsem.db-wal"] {
        let bytes = std::fs::read(dev.directory.path().join(file)).unwrap();
        assert!(!contains(&bytes, wrapped.as_bytes()), "{file}");
    }
}

fn until_rotated(doomed: Doomed) -> Doomed {
    for _ in 0..1000 {
        let list = doomed.dev.operate("GET", "/v1/rotations", None).json();
        if list["keyring"]["versions"].as_array().unwrap().len() == 1 {
            return doomed;
        }
    }
    panic!("the keyring's rotation does not end");
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
