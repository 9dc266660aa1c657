//! Claims the data directory, checks that its file is petsem's, and opens connections to it.
//!
//! SQLite never creates the file, because it would use the process's umask. Nothing is written to a file
//! before it is known to be petsem's, or empty.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use super::{failure, schema};
use crate::error::OpenError;
use crate::lock::FileLock;

/// How long a connection waits for a lock of another program (a copier such as Litestream).
const BUSY: Duration = Duration::from_secs(5);
/// Longest row, and statement, in bytes.
const LONGEST_ROW: i32 = 32 * 1024 * 1024;
/// Length that the write-ahead log's file is truncated to after a burst, in bytes.
const WAL_FILE: u32 = 64 << 20;
/// Page cache of a connection that writes, in KiB.
const WRITER_CACHE: i32 = 8 * 1024;
/// Prepared statements that a connection caches: more than this crate has.
const STATEMENTS: usize = 32;

/// A data directory locked by this process.
pub(super) struct Place {
    pub(super) database: PathBuf,
    /// Held while the store is open.
    pub(super) lock: FileLock,
}

impl Place {
    /// Creates missing directory and database file, and locks the directory.
    pub(super) fn claim(directory: &Path) -> Result<Self, OpenError> {
        if std::fs::metadata(directory).is_ok_and(|metadata| !metadata.is_dir()) {
            return Err(OpenError::NotADirectory { path: directory.into() });
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| not_writable(directory, source))?;
        let mode = std::fs::metadata(directory).map_err(|source| not_writable(directory, source))?.mode();
        if mode & 0o022 != 0 {
            return Err(OpenError::WritableByOthers { path: directory.into() });
        }
        let lock = lock(&directory.join("petsem.lock"))?;

        let database = database_in(directory);
        let file = open_file(&database)?;
        if file.metadata().map_err(|source| not_writable(&database, source))?.len() == 0 {
            // The file's name must be as durable as its content.
            let synced = file.sync_all().and_then(|()| File::open(directory)?.sync_all());
            synced.map_err(|source| not_writable(&database, source))?;
        }
        Ok(Self { database, lock })
    }

    /// SQLite's write-ahead log next to the database.
    pub(super) fn wal(&self) -> PathBuf {
        let mut name = self.database.clone().into_os_string();
        name.push("-wal");
        name.into()
    }

    pub(super) fn failed(&self, source: io::Error) -> OpenError {
        OpenError::Storage { path: self.database.clone(), source: Arc::new(source) }
    }
}

/// The database file in a data directory.
pub(super) fn database_in(directory: &Path) -> PathBuf {
    directory.join("petsem.db")
}

/// The only connection that writes. Checks the file's identity, and creates the tables if it is empty.
pub(super) fn writer(place: &Place, max_bytes: Option<u64>) -> Result<Connection, OpenError> {
    let path = &place.database;
    let mut connection =
        connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|source| failure::open(path, source))?;
    // A refused file stays as it is: closing makes no checkpoint of a write-ahead log that a killed server left.
    let has_log = std::fs::metadata(place.wal()).is_ok_and(|metadata| metadata.len() > 0);
    keep_log(&connection, has_log).map_err(|source| failure::open(path, source))?;
    let is_empty = schema::is_empty(&connection, path)?;
    let prepare = |connection: &mut Connection| -> rusqlite::Result<()> {
        keep_log(connection, false)?;
        durable(connection)?;
        if is_empty {
            schema::create(connection)?;
        }
        if let Some(bytes) = max_bytes {
            let page: u64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
            let pages = (bytes / page.max(1)).clamp(1, u64::from(u32::MAX) - 1);
            connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        }
        Ok(())
    };
    prepare(&mut connection).map_err(|source| failure::open(path, source))?;
    Ok(connection)
}

/// The connection of the checkpoint thread.
pub(super) fn checkpointer(place: &Place) -> Result<Connection, OpenError> {
    let path = &place.database;
    let open = || {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        durable(&connection)?;
        Ok(connection)
    };
    open().map_err(|source| failure::open(path, source))
}

/// A connection that cannot write, with a page cache of so many KiB.
pub(super) fn reader(place: &Place, cache_kib: i32) -> Result<Connection, OpenError> {
    let connection = reader_of(&place.database)?;
    set_cache(&connection, cache_kib).map_err(|source| failure::open(&place.database, source))?;
    Ok(connection)
}

/// The same for a database whose directory another process may hold.
pub(super) fn reader_of(path: &Path) -> Result<Connection, OpenError> {
    let open = || {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.pragma_update(None, "query_only", true)?;
        // The first read opens the other files. Later, the database may have been moved away from the server.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    };
    open().map_err(|source| failure::open(path, source))
}

/// A connection with the common settings: no code in the file may run (triggers, views, functions in the
/// schema), and no content goes to other files or into mapped memory.
fn connect(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    // Without it, SQLite plans a cached statement again whenever a bound value changes: half of the time of a read.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // A row that others wrote must not fill the memory; petsem's own have at most a few MiB.
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_ROW)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update_and_check(None, "mmap_size", 0, |_| Ok(())).or_else(no_row)?;
    Ok(connection)
}

/// Pages beyond this size are dropped and read again. A cache grows with use.
fn set_cache(connection: &Connection, kib: i32) -> rusqlite::Result<()> {
    // To SQLite, a negative number is KiB.
    connection.pragma_update(None, "cache_size", -kib)
}

/// Additional settings of a connection that writes.
fn durable(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_FILE, |_| Ok(()))?;
    set_cache(connection, WRITER_CACHE)?;
    // Checkpoints have their own thread.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    Ok(())
}

/// Whether the connection leaves the write-ahead log as it is when it closes.
fn keep_log(connection: &Connection, keep: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep).map(drop)
}

fn no_row(error: rusqlite::Error) -> rusqlite::Result<()> {
    match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        other => Err(other),
    }
}

fn lock(path: &Path) -> Result<FileLock, OpenError> {
    match FileLock::of(path) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => Err(OpenError::InUse { path: path.into() }),
        Err(source) => Err(OpenError::Storage { path: path.into(), source: Arc::new(source) }),
    }
}

fn open_file(path: &Path) -> Result<File, OpenError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| not_writable(path, source))
}

fn not_writable(path: &Path, source: io::Error) -> OpenError {
    OpenError::NotWritable { path: path.into(), source: Arc::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(connection: &Connection, pragma: &str) -> i64 {
        connection.pragma_query_value(None, pragma, |row| row.get(0)).unwrap()
    }

    #[test]
    fn writing_connections_are_durable_and_delete_securely() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::claim(directory.path()).unwrap();
        for connection in [writer(&place, None).unwrap(), checkpointer(&place).unwrap()] {
            let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
            assert_eq!(mode, "wal");
            // 2 means FULL, and MEMORY for temp_store.
            for (pragma, value) in [
                ("synchronous", 2),
                ("secure_delete", 1),
                ("temp_store", 2),
                ("trusted_schema", 0),
                ("cell_size_check", 1),
                ("wal_autocheckpoint", 0),
                ("journal_size_limit", i64::from(WAL_FILE)),
                ("busy_timeout", 5000),
            ] {
                assert_eq!((pragma, number(&connection, pragma)), (pragma, value));
            }
        }
    }

    #[test]
    fn readers_cannot_write() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::claim(directory.path()).unwrap();
        let _writer = writer(&place, None).unwrap();
        let reader = reader(&place, 1024).unwrap();
        let error = reader.execute("DELETE FROM records", []).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::ReadOnly));
        assert_eq!((number(&reader, "temp_store"), number(&reader, "trusted_schema")), (2, 0));
        assert_eq!(number(&reader, "cache_size"), -1024);
    }

    #[test]
    fn a_start_completes_a_database_whose_creation_was_killed() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::claim(directory.path()).unwrap();
        // Killed before the tables exist: once without a page, once with the first.
        drop(place);
        let place = Place::claim(directory.path()).unwrap();
        let connection = connect(&place.database, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        durable(&connection).unwrap();
        drop((connection, place));
        let place = Place::claim(directory.path()).unwrap();
        let page = std::fs::read(&place.database).unwrap();
        assert_eq!(page.len(), 4096);
        assert_eq!(number(&writer(&place, None).unwrap(), "user_version"), 4);

        // Killed while SQLite still has a journal that takes the first page back.
        let directory = tempfile::tempdir().unwrap();
        let place = Place::claim(directory.path()).unwrap();
        std::fs::write(&place.database, page).unwrap();
        let mut journal = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7".to_vec();
        // No pages, a nonce, a database of no pages before, and the sizes of sectors and pages.
        journal.extend([0, 1, 0, 512, 4096_u32].into_iter().flat_map(u32::to_be_bytes));
        journal.resize(512, 0);
        std::fs::write(directory.path().join("petsem.db-journal"), journal).unwrap();
        assert_eq!(number(&writer(&place, None).unwrap(), "user_version"), 4);
    }
}
