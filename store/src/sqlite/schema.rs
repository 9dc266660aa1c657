//! The tables, and the migration from each format of the file to the next.
//!
//! The file's header identifies it: `application_id` is petsem's number, `user_version` the format. A
//! released format never changes; a new one is another entry of [`MIGRATIONS`].

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::failure;
use crate::error::OpenError;

/// "PtSm".
const APPLICATION_ID: i32 = 0x5074_536d;

/// Step n migrates a file from format n to n + 1.
const MIGRATIONS: &[&str] = &[FORMAT_1];

const FORMAT_1: &str = "
    -- Numbers of the installation as a whole.
    CREATE TABLE meta (
        name TEXT NOT NULL PRIMARY KEY,
        value INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
    -- The newest record format that all nodes know.
    INSERT INTO meta VALUES ('format_floor', 1);

    -- Every row that decides something.
    CREATE TABLE records (
        kind INTEGER NOT NULL,
        id BLOB NOT NULL,
        row_version INTEGER NOT NULL,
        content BLOB NOT NULL,
        mac BLOB NOT NULL,
        PRIMARY KEY (kind, id)
    ) WITHOUT ROWID, STRICT;

    -- The current bundle of each app, up to 1 MiB: rows that long are better off with a rowid.
    CREATE TABLE bundles (
        app BLOB NOT NULL PRIMARY KEY,
        app_version INTEGER NOT NULL,
        wrapped_dek BLOB NOT NULL,
        ciphertext BLOB NOT NULL
    ) STRICT;

    -- History, in the order in which it is read: by app, then name.
    CREATE TABLE secret_values (
        app BLOB NOT NULL,
        name TEXT NOT NULL,
        app_version INTEGER NOT NULL,
        wrapped_dek BLOB NOT NULL,
        ciphertext BLOB NOT NULL,
        PRIMARY KEY (app, name, app_version)
    ) WITHOUT ROWID, STRICT;

    -- The control feed, without gaps.
    CREATE TABLE feed (
        number INTEGER PRIMARY KEY,
        content BLOB NOT NULL,
        mac BLOB NOT NULL
    ) STRICT;

    -- One row for each change that was ever committed, without gaps.
    CREATE TABLE revisions (
        number INTEGER PRIMARY KEY,
        mark BLOB NOT NULL
    ) STRICT;

    -- Changes whose audit line is not yet known to be durable.
    CREATE TABLE unaudited (
        revision INTEGER PRIMARY KEY,
        node BLOB NOT NULL,
        request_id BLOB NOT NULL,
        line BLOB NOT NULL
    ) STRICT;
";

/// The format of the file, 0 for an empty one. Writes nothing.
pub(super) fn identify(connection: &Connection, path: &Path, length: u64) -> Result<u32, OpenError> {
    let header = || -> rusqlite::Result<(i32, u32, bool)> {
        Ok((
            connection.pragma_query_value(None, "application_id", |row| row.get(0))?,
            connection.pragma_query_value(None, "user_version", |row| row.get(0))?,
            // SQLite treats a file shorter than a page as empty, and would overwrite its content.
            connection.query_row(
                "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema) AND (page_count > 0 OR ?1 = 0)
                 FROM pragma_page_count",
                [length],
                |row| row.get(0),
            )?,
        ))
    };
    let (application, format, empty) = header().map_err(|source| failure::open(path, source))?;
    match (application, format) {
        (APPLICATION_ID, found) if found > known() => {
            Err(OpenError::NewerFormat { path: path.into(), found, known: known() })
        }
        (APPLICATION_ID, found) => Ok(found),
        (0, 0) if empty => Ok(0),
        _ => Err(OpenError::NotPetsem { path: path.into() }),
    }
}

/// Migrates a file from format `from` to the newest, in one transaction: a kill leaves it unchanged.
pub(super) fn migrate(connection: &mut Connection, from: u32) -> rusqlite::Result<()> {
    if from == known() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in MIGRATIONS.iter().skip(usize::try_from(from).unwrap_or(usize::MAX)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", known())?;
    transaction.commit()
}

fn known() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}
