//! Removed seals: what they still open, and what a row does that is deleted or put back.

use std::path::{Path, PathBuf};

use petsem_integration::dev::flyv1;
use petsem_integration::http::Request;
use petsem_integration::installation::Installation;
use petsem_integration::seals::{
    KEY_FILE, SECOND_KEY_FILE, assert_sealed, configuration, configured, done, id_of, init, operator,
    recover, refused, seals, status,
};
use petsem_integration::server::Server;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::lifecycle::seals::SEAL_ROWS;
use crate::opened::Opened;

#[test]
fn removing_a_compromised_seal_replaces_root_key_and_keyring() {
    let installation = configured(&format!("{KEY_FILE}{SECOND_KEY_FILE}"));
    done(&init(&installation, &[]));
    let server = installation.start().unwrap();
    let authorization = flyv1(&installation.operator());
    let post = |server: &Server, path: &str, body: &Value| {
        let answer =
            Request::new("POST", path).authorization(&authorization).json(body).send(server.address());
        assert_eq!(answer.status, 201, "{path}: {}", answer.text());
    };
    post(&server, "/v1/orgs", &json!({"name": "acme"}));
    post(&server, "/v1/apps", &json!({"name": "shop", "org": "acme"}));
    let second = id_of(&installation, "second.key");
    refused(
        &operator(&installation, &["seal", "remove", "--compromised", "--yes", &second], &[]),
        &["a server holds the store", "nothing was changed"],
    );
    server.stop();
    let (database, backup) = (installation.path("data/petsem.db"), installation.path("backup.db"));
    copy_database(&database, &backup);
    let ended = operator(&installation, &["seal", "remove", "--compromised", "--yes", &second], &[]);
    assert!(done(&ended).contains("the keyring is at version 2; it wraps everything"), "{}", ended.printed);
    let store = status(&installation)["store"].clone();
    assert_eq!((&store["root_version"], &store["keyring_version"]), (&json!(2), &json!(2)));
    assert_eq!((&store["keyring_versions"], store["seals"].as_array().unwrap().len()), (&json!(1), 1));
    // The removed seal opens the backup, but with its row from there nothing of now.
    let key = installation.path("second.key");
    let put_back = with_row_of_seal(&installation, &backup, &second);
    let kept = installation.path("seal.key");
    assert_eq!([opens(&backup, &key), opens(&put_back, &key), opens(&put_back, &kept)], [true, false, true]);
    recover(&installation);
    let recovered = flyv1(&installation.operator());
    let server = installation.start().unwrap();
    let show =
        |token: &str| Request::new("GET", "/v1/apps/shop").authorization(token).send(server.address()).status;
    assert_eq!([&authorization, &recovered].map(|token| show(token)), [401, 200]);
    server.stop();
    let verified = operator(&installation, &["verify"], &[]);
    assert!(done(&verified).contains("1 app,"), "{}", verified.printed);
    installation.configure(&configuration(SECOND_KEY_FILE));
    let server = installation.start().unwrap();
    assert_sealed(&installation, &server);
}

#[test]
fn the_key_file_of_a_removed_seal_is_not_let_in_again() {
    for compromised in [&[][..], &["--compromised", "--yes"]] {
        let installation = configured(&format!("{KEY_FILE}{SECOND_KEY_FILE}"));
        done(&init(&installation, &[]));
        let second = id_of(&installation, "second.key");
        let remove: Vec<&str> =
            ["seal", "remove"].iter().chain(compromised).copied().chain([&*second]).collect();
        done(&operator(&installation, &remove, &[]));
        let (key, away) = (installation.path("second.key"), installation.path("away.key"));
        let known = std::fs::read(&key).unwrap();
        let add = || operator(&installation, &["seal", "add", "key-file"], &[]);
        let told = ["second.key already", "nothing was changed", "a path where no file is"];
        refused(&add(), &told);
        // As a link, too.
        std::fs::rename(&key, &away).unwrap();
        std::os::unix::fs::symlink(&away, &key).unwrap();
        refused(&add(), &told);
        assert_eq!((std::fs::read(&away).unwrap(), seals(&installation).len()), (known.clone(), 1));
        std::fs::remove_file(&key).unwrap();
        done(&add());
        assert_ne!(std::fs::read(&key).unwrap(), known);
        assert_eq!(seals(&installation).len(), 2);
    }
}

/// Whether a key file opens a database, with a row of its seal that is there.
fn opens(database: &Path, key: &Path) -> bool {
    Opened::if_opens(database, key).is_some()
}

fn copy_database(database: &Path, to: &Path) {
    let database = Connection::open(database).unwrap();
    database.execute("VACUUM INTO ?1", [to.to_str().unwrap()]).unwrap();
}

/// A copy of the database with the row of a seal from a backup.
fn with_row_of_seal(installation: &Installation, backup: &Path, seal: &str) -> PathBuf {
    let copy = installation.path("put-back.db");
    copy_database(&installation.path("data/petsem.db"), &copy);
    let connection = Connection::open(&copy).unwrap();
    connection.execute("ATTACH ?1 AS old", [backup.to_str().unwrap()]).unwrap();
    let row = format!("kind = {SEAL_ROWS} AND hex(id) = upper('{seal}')");
    let put_back = format!("INSERT INTO records SELECT * FROM old.records WHERE {row}");
    assert_eq!(connection.execute(&put_back, []).unwrap(), 1);
    copy
}

/// Removing a seal keeps the root key, so whoever has its row can use it, though not with petsem.
#[test]
fn a_removed_seal_opens_the_root_key_with_its_row_from_a_backup() {
    let installation = configured(&format!("{KEY_FILE}{SECOND_KEY_FILE}"));
    done(&init(&installation, &[]));
    let second = id_of(&installation, "second.key");
    let (database, backup) = (installation.path("data/petsem.db"), installation.path("backup.db"));
    copy_database(&database, &backup);
    done(&operator(&installation, &["seal", "remove", &second], &[]));
    let key = installation.path("second.key");
    let put_back = with_row_of_seal(&installation, &backup, &second);
    assert_eq!([opens(&database, &key), opens(&put_back, &key)], [false, true]);
}

#[test]
fn a_removed_or_restored_row_of_the_seal_list_is_detected() {
    let fresh = || {
        let installation = configured(&format!("{KEY_FILE}{SECOND_KEY_FILE}"));
        done(&init(&installation, &[]));
        installation
    };
    let database =
        |installation: &Installation| Connection::open(installation.path("data/petsem.db")).unwrap();
    let fault = |installation: &Installation, text: &str| {
        let ended = installation.start().unwrap_err();
        refused(&ended, &["seal row", text]);
    };
    // Deleted row: the other seal still opens, and the start says what is missing.
    let installation = fresh();
    let second = id_of(&installation, "second.key");
    let sql = format!("DELETE FROM records WHERE kind = {SEAL_ROWS} AND hex(id) = upper('{second}')");
    assert_eq!(database(&installation).execute(&sql, []).unwrap(), 1);
    fault(&installation, "it is missing");
    // A removed seal's row restored: the holder of that key file could open the store again.
    let removed_and_put_back = |rows: &str, count: usize| {
        let installation = fresh();
        let second = id_of(&installation, "second.key");
        let old = installation.path("old.db");
        database(&installation).execute("VACUUM INTO ?1", [old.to_str().unwrap()]).unwrap();
        done(&operator(&installation, &["seal", "remove", &second], &[]));
        let connection = database(&installation);
        connection.execute("ATTACH ?1 AS old", [old.to_str().unwrap()]).unwrap();
        let rows = rows.replace("SECOND", &second);
        let sql = format!("INSERT OR REPLACE INTO records SELECT * FROM old.records WHERE {rows}");
        assert_eq!(connection.execute(&sql, []).unwrap(), count);
        installation
    };
    let installation = removed_and_put_back(&format!("kind = {SEAL_ROWS} AND hex(id) = upper('SECOND')"), 1);
    fault(&installation, "it was removed, but exists again");
    // The same with the store's own row, which names the seals, as it was before.
    let installation = removed_and_put_back(&format!("kind IN (1, {SEAL_ROWS})"), 3);
    refused(&installation.start().unwrap_err(), &["store row", "an older version of it was put back"]);
    let verified = operator(&installation, &["verify"], &[]);
    refused(&verified, &["store row", "an older version of it was put back"]);
    // Changed description, which opens nothing: the MAC does not match.
    let installation = fresh();
    let second = id_of(&installation, "second.key");
    let sql = format!(
        "UPDATE records SET content = CAST(replace(CAST(content AS TEXT), 'second.key', 'foreign.ke') AS BLOB)
         WHERE kind = {SEAL_ROWS} AND hex(id) = upper('{second}')"
    );
    assert_eq!(database(&installation).execute(&sql, []).unwrap(), 1);
    let ended = installation.start().unwrap_err();
    refused(&ended, &["seal row"]);
    // The rows of two seals swapped, with their MACs: neither opens.
    let installation = fresh();
    let connection = database(&installation);
    let sql = format!("SELECT id, content, mac FROM records WHERE kind = {SEAL_ROWS}");
    let rows: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> = connection
        .prepare(&sql)
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for ((id, ..), (_, content, mac)) in rows.iter().zip(rows.iter().rev()) {
        let sql = format!("UPDATE records SET content = ?2, mac = ?3 WHERE kind = {SEAL_ROWS} AND id = ?1");
        assert_eq!(connection.execute(&sql, (id, content, mac)).unwrap(), 1);
    }
    drop(connection);
    let server = installation.start().unwrap();
    assert_sealed(&installation, &server);
}
