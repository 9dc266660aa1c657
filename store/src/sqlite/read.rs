//! The queries. Each is one statement or one transaction, so its rows are of one moment.

use petsem_api::{AppId, AppName, NameError, RequestId, SecretName};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::change::Committed;
use crate::record::{AppRows, BundleRow, FeedEntry, NamedApp, Record, RecordKind, UnauditedChange, ValueRow};

pub(super) fn record(connection: &Connection, kind: RecordKind, id: &[u8]) -> Result<Option<Record>> {
    connection
        .prepare_cached("SELECT id, row_version, content, mac FROM records WHERE kind = ?1 AND id = ?2")?
        .query_row(params![kind.number(), id], |row| record_of(row, 0, kind))
        .optional()
}

pub(super) fn records(
    connection: &Connection,
    kind: RecordKind,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: u32,
) -> Result<Vec<Record>> {
    // The lowest id of the page: the prefix itself, or `after` with a zero byte appended.
    let from = match after {
        Some(after) if after >= prefix => [after, &[0]].concat(),
        _ => prefix.to_vec(),
    };
    let mut statement = connection.prepare_cached(
        "SELECT id, row_version, content, mac FROM records WHERE kind = ?1 AND id >= ?2 ORDER BY id LIMIT ?3",
    )?;
    let mut rows = statement.query(params![kind.number(), from, limit])?;
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        // Ids with one prefix are contiguous, so the first other id ends them.
        if !row.get_ref(0)?.as_blob()?.starts_with(prefix) {
            break;
        }
        page.push(record_of(row, 0, kind)?);
    }
    Ok(page)
}

pub(super) fn app_for_boot(connection: &Connection, app: AppId) -> Result<Option<AppRows>> {
    let (head, policy) = (RecordKind::AppHead, RecordKind::Policy);
    connection
        .prepare_cached(
            "SELECT head.id, head.row_version, head.content, head.mac,
                    policy.id, policy.row_version, policy.content, policy.mac,
                    app_version, wrapped_dek, ciphertext
             FROM records AS head
             LEFT JOIN records AS policy ON policy.kind = ?3 AND policy.id = ?1
             LEFT JOIN bundles ON bundles.app = ?1
             WHERE head.kind = ?2 AND head.id = ?1",
        )?
        .query_row(params![app.as_bytes(), head.number(), policy.number()], |row| {
            Ok(AppRows {
                head: record_of(row, 0, head)?,
                policy: is_set(row, 4)?.then(|| record_of(row, 4, policy)).transpose()?,
                bundle: is_set(row, 8)?.then(|| bundle_of(row, 8, app)).transpose()?,
            })
        })
        .optional()
}

pub(super) fn app_by_name(
    connection: &mut Connection,
    name: &AppName,
    app_of: &dyn Fn(&Record) -> Option<AppId>,
) -> Result<Option<NamedApp>> {
    let transaction = connection.transaction()?;
    let Some(name) = record(&transaction, RecordKind::AppName, name.as_str().as_bytes())? else {
        return Ok(None);
    };
    let app = match app_of(&name) {
        Some(app) => app_for_boot(&transaction, app)?,
        None => None,
    };
    Ok(Some(NamedApp { name, app }))
}

pub(super) fn history(connection: &Connection, app: AppId, name: &SecretName) -> Result<Vec<ValueRow>> {
    connection
        .prepare_cached(
            "SELECT app_version, wrapped_dek, ciphertext FROM secret_values
             WHERE app = ?1 AND name = ?2 ORDER BY app_version DESC",
        )?
        .query_map(params![app.as_bytes(), name.as_str()], |row| value_of(row, app, name))?
        .collect()
}

pub(super) fn value(
    connection: &Connection,
    app: AppId,
    name: &SecretName,
    app_version: u64,
) -> Result<Option<ValueRow>> {
    let Ok(app_version) = i64::try_from(app_version) else { return Ok(None) };
    connection
        .prepare_cached(
            "SELECT app_version, wrapped_dek, ciphertext FROM secret_values
             WHERE app = ?1 AND name = ?2 AND app_version = ?3",
        )?
        .query_row(params![app.as_bytes(), name.as_str(), app_version], |row| value_of(row, app, name))
        .optional()
}

pub(super) fn values(
    connection: &Connection,
    app: AppId,
    after: Option<(&SecretName, u64)>,
    limit: u32,
) -> Result<Vec<ValueRow>> {
    let (name, app_version) = after.map_or(("", 0), |(name, version)| (name.as_str(), version));
    let Ok(app_version) = i64::try_from(app_version) else { return Ok(Vec::new()) };
    let mut statement = connection.prepare_cached(
        "SELECT app_version, wrapped_dek, ciphertext, name FROM secret_values
         WHERE app = ?1 AND (name, app_version) > (?2, ?3) ORDER BY name, app_version LIMIT ?4",
    )?;
    let mut rows = statement.query(params![app.as_bytes(), name, app_version, limit])?;
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        let text: String = row.get(3)?;
        let name = text.parse().map_err(|error: NameError| {
            rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, Box::new(error))
        })?;
        page.push(value_of(row, app, &name)?);
    }
    Ok(page)
}

pub(super) fn count_values(connection: &Connection, app: AppId) -> Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM secret_values WHERE app = ?1")?
        .query_row([app.as_bytes()], |row| row.get(0))
}

pub(super) fn count(connection: &Connection, kind: RecordKind) -> Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM records WHERE kind = ?1")?
        .query_row([kind.number()], |row| row.get(0))
}

pub(super) fn feed(connection: &Connection, after: u64, limit: u32) -> Result<Vec<FeedEntry>> {
    let Ok(after) = i64::try_from(after) else { return Ok(Vec::new()) };
    connection
        .prepare_cached("SELECT number, content, mac FROM feed WHERE number > ?1 ORDER BY number LIMIT ?2")?
        .query_map(params![after, limit], |row| {
            Ok(FeedEntry { number: row.get(0)?, content: row.get(1)?, mac: row.get(2)? })
        })?
        .collect()
}

pub(super) fn revision(connection: &Connection) -> Result<Option<Committed>> {
    connection
        .prepare_cached("SELECT number, mark FROM revisions ORDER BY number DESC LIMIT 1")?
        .query_row([], |row| Ok(Committed { revision: row.get(0)?, mark: row.get(1)? }))
        .optional()
}

pub(super) fn mark(connection: &Connection, revision: u64) -> Result<Option<[u8; 16]>> {
    let Ok(revision) = i64::try_from(revision) else { return Ok(None) };
    connection
        .prepare_cached("SELECT mark FROM revisions WHERE number = ?1")?
        .query_row([revision], |row| row.get(0))
        .optional()
}

pub(super) fn unaudited(connection: &Connection, node: [u8; 16]) -> Result<Vec<UnauditedChange>> {
    connection
        .prepare_cached("SELECT revision, request_id, line FROM unaudited WHERE node = ?1 ORDER BY revision")?
        .query_map([node], |row| {
            Ok(UnauditedChange {
                revision: row.get(0)?,
                request_id: RequestId::from_bytes(row.get(1)?),
                line: row.get(2)?,
            })
        })?
        .collect()
}

pub(super) fn is_empty(connection: &Connection) -> Result<bool> {
    connection.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM records)")?.query_row([], |row| row.get(0))
}

pub(super) fn format_floor(connection: &Connection) -> Result<u32> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE name = 'format_floor'")?
        .query_row([], |row| row.get(0))
}

/// The record whose id, row version, content and MAC are the columns from `first` on.
fn record_of(row: &Row<'_>, first: usize, kind: RecordKind) -> Result<Record> {
    Ok(Record {
        kind,
        id: row.get(first)?,
        row_version: row.get(first + 1)?,
        content: row.get(first + 2)?,
        mac: row.get(first + 3)?,
    })
}

/// The bundle whose app version, wrapped DEK and ciphertext are the columns from `first` on.
fn bundle_of(row: &Row<'_>, first: usize, app: AppId) -> Result<BundleRow> {
    Ok(BundleRow {
        app,
        app_version: row.get(first)?,
        wrapped_dek: row.get(first + 1)?,
        ciphertext: row.get(first + 2)?,
    })
}

/// Whether a column of an outer join has a row.
fn is_set(row: &Row<'_>, column: usize) -> Result<bool> {
    Ok(row.get_ref(column)? != ValueRef::Null)
}

fn value_of(row: &Row<'_>, app: AppId, name: &SecretName) -> Result<ValueRow> {
    Ok(ValueRow {
        app,
        name: name.clone(),
        app_version: row.get(0)?,
        wrapped_dek: row.get(1)?,
        ciphertext: row.get(2)?,
    })
}
