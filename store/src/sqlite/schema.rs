//! The tables, and which files this build opens.
//!
//! The file's header identifies it: `application_id` is petsem's number, `user_version` the format, which covers the
//! tables and what the engine puts into them. A file of another format is refused and not migrated: until release 1.0,
//! formats change without migration.
//!
//! | format | what changed |
//! |---|---|
//! | 2 | `unaudited.line` is the encoded audit event; the app head names the id of the bundle's DEK, no digest |
//! | 3 | rows name a control change, and the control state is in pages; a bundle has the secrets as a boot response has them; a node has name and chain, and its checkpoint the audit MAC key after it; old `revisions` are pruned; an app head has the revision that wrote it |
//! | 4 | the control feed names the names of apps and orgs |

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::failure;
use crate::error::OpenError;

/// "PtSm".
const APPLICATION_ID: i32 = 0x5074_536d;

/// The one format that this build reads and writes.
const FORMAT: u32 = 4;

const TABLES: &str = "
    -- Numbers of the installation as a whole.
    CREATE TABLE meta (
        name TEXT NOT NULL PRIMARY KEY,
        value INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
    -- The newest record format that all nodes know.
    INSERT INTO meta VALUES ('format_floor', 1);

    -- Every row that decides something. A row is about 1 KiB: in a table without rowids the inner pages would hold whole
    -- rows, few on each, and a read would pass through seven pages instead of four.
    CREATE TABLE records (
        kind INTEGER NOT NULL,
        id BLOB NOT NULL,
        row_version INTEGER NOT NULL,
        content BLOB NOT NULL,
        mac BLOB NOT NULL,
        -- The revision that wrote it; only app heads have one.
        revision INTEGER,
        PRIMARY KEY (kind, id)
    ) STRICT;
    -- 6 is the kind of app heads.
    CREATE INDEX changed_heads ON records (revision, id) WHERE kind = 6;

    -- The current bundle of each app, up to 1 MiB.
    CREATE TABLE bundles (
        app BLOB NOT NULL PRIMARY KEY,
        app_version INTEGER NOT NULL,
        wrapped_dek BLOB NOT NULL,
        ciphertext BLOB NOT NULL
    ) STRICT;

    -- History. New values are next to each other, whatever their app.
    CREATE TABLE secret_values (
        app BLOB NOT NULL,
        name TEXT NOT NULL,
        app_version INTEGER NOT NULL,
        wrapped_dek BLOB NOT NULL,
        ciphertext BLOB NOT NULL,
        PRIMARY KEY (app, name, app_version)
    ) STRICT;

    -- The control feed, without gaps.
    CREATE TABLE feed (
        number INTEGER PRIMARY KEY,
        content BLOB NOT NULL,
        mac BLOB NOT NULL
    ) STRICT;

    -- The newest changes, and all whose marks a node's log may ask for. Numbers rise and may have gaps.
    CREATE TABLE revisions (
        number INTEGER PRIMARY KEY,
        mark BLOB NOT NULL
    ) STRICT;

    -- The oldest mark that the log of each node may ask for.
    CREATE TABLE mark_holds (
        node BLOB NOT NULL PRIMARY KEY,
        revision INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;

    -- Changes whose audit line is not yet known to be durable.
    CREATE TABLE unaudited (
        revision INTEGER PRIMARY KEY,
        node BLOB NOT NULL,
        request_id BLOB NOT NULL,
        line BLOB NOT NULL
    ) STRICT;
";

/// Whether the file is empty: it has no tables yet. Refuses every file that is not petsem's, or of another format.
/// Writes nothing.
pub(super) fn is_empty(connection: &Connection, path: &Path) -> Result<bool, OpenError> {
    let header = || -> rusqlite::Result<(i32, u32, bool, bool)> {
        Ok((
            connection.pragma_query_value(None, "application_id", |row| row.get(0))?,
            connection.pragma_query_value(None, "user_version", |row| row.get(0))?,
            connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?,
            connection.query_row("SELECT page_count > 0 FROM pragma_page_count", [], |row| row.get(0))?,
        ))
    };
    let (application, found, has_tables, has_pages) =
        header().map_err(|source| failure::open(path, source))?;
    // SQLite treats a file shorter than a page as empty, and would overwrite its content. Its length is read only now:
    // the first read takes back what a killed creation left.
    let has_bytes = || std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0);
    let empty = !has_tables && (has_pages || !has_bytes());
    let (path, known) = (path.into(), FORMAT);
    match (application, found) {
        (APPLICATION_ID, FORMAT) => Ok(false),
        (APPLICATION_ID, _) if found > known => Err(OpenError::NewerFormat { path, found, known }),
        (APPLICATION_ID, _) => Err(OpenError::OlderFormat { path, found, known }),
        (0, 0) if empty => Ok(true),
        _ => Err(OpenError::NotPetsem { path }),
    }
}

/// Creates the tables of an empty file in one transaction: a kill leaves it empty.
pub(super) fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}
