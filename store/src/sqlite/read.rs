//! The queries. Each is one statement or one transaction, so its rows are of one moment.

use data_encoding::HEXLOWER;
use petsem_api::{AppId, AppName, NameError, RequestId, SecretName};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::change::Committed;
use crate::cursor::Cursor;
use crate::record::{
    AppPart, AppRows, BundleRow, ChangedApps, FeedEntry, NamedApp, PartRows, Record, RecordKind,
    UnauditedChange, ValueRow,
};

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

pub(super) fn app(connection: &Connection, app: AppId, part: AppPart) -> Result<Option<AppRows>> {
    match part {
        AppPart::Head => {
            let head = record(connection, RecordKind::AppHead, app.as_bytes())?;
            Ok(head.map(|head| AppRows { head, part: PartRows::Head }))
        }
        AppPart::Policy => app_with_record(connection, app, RecordKind::Policy, PartRows::Policy),
        AppPart::Bundle => app_with_bundle(connection, app),
        AppPart::Secrets => app_with_secrets(connection, app),
        AppPart::SecretKeys => app_with_record(connection, app, RecordKind::SecretKeys, PartRows::SecretKeys),
    }
}

fn app_with_bundle(connection: &Connection, app: AppId) -> Result<Option<AppRows>> {
    let head = RecordKind::AppHead;
    connection
        .prepare_cached(
            "SELECT head.id, head.row_version, head.content, head.mac, app_version, wrapped_dek, ciphertext
             FROM records AS head LEFT JOIN bundles ON bundles.app = ?1
             WHERE head.kind = ?2 AND head.id = ?1",
        )?
        .query_row(params![app.as_bytes(), head.number()], |row| {
            let bundle = is_set(row, 4)?.then(|| bundle_of(row, 4, app)).transpose()?;
            Ok(AppRows { head: record_of(row, 0, head)?, part: PartRows::Bundle(bundle) })
        })
        .optional()
}

fn app_with_secrets(connection: &Connection, app: AppId) -> Result<Option<AppRows>> {
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
            let policy = is_set(row, 4)?.then(|| record_of(row, 4, policy)).transpose()?;
            let bundle = is_set(row, 8)?.then(|| bundle_of(row, 8, app)).transpose()?;
            Ok(AppRows { head: record_of(row, 0, head)?, part: PartRows::Secrets { policy, bundle } })
        })
        .optional()
}

/// The head, and the app's row of this kind.
fn app_with_record(
    connection: &Connection,
    app: AppId,
    kind: RecordKind,
    part: fn(Option<Record>) -> PartRows,
) -> Result<Option<AppRows>> {
    let head = RecordKind::AppHead;
    connection
        .prepare_cached(
            "SELECT head.id, head.row_version, head.content, head.mac,
                    other.id, other.row_version, other.content, other.mac
             FROM records AS head
             LEFT JOIN records AS other ON other.kind = ?3 AND other.id = ?1
             WHERE head.kind = ?2 AND head.id = ?1",
        )?
        .query_row(params![app.as_bytes(), head.number(), kind.number()], |row| {
            let other = is_set(row, 4)?.then(|| record_of(row, 4, kind)).transpose()?;
            Ok(AppRows { head: record_of(row, 0, head)?, part: part(other) })
        })
        .optional()
}

/// Each statement finds rows only while the head has this version, so several of them read one state
/// without a transaction.
pub(super) fn app_part(
    connection: &Connection,
    app: AppId,
    head_version: u64,
    part: AppPart,
) -> Result<Option<PartRows>> {
    let Ok(version) = i64::try_from(head_version) else { return Ok(None) };
    let record = |kind| record_under(connection, app, version, kind);
    match part {
        AppPart::Head => Ok(record(RecordKind::AppHead)?.map(|_| PartRows::Head)),
        AppPart::Policy => Ok(record(RecordKind::Policy)?.map(PartRows::Policy)),
        AppPart::SecretKeys => Ok(record(RecordKind::SecretKeys)?.map(PartRows::SecretKeys)),
        AppPart::Bundle => Ok(bundle_under(connection, app, version)?.map(PartRows::Bundle)),
        AppPart::Secrets => {
            let policy = record(RecordKind::Policy)?;
            let bundle = bundle_under(connection, app, version)?;
            Ok(policy.zip(bundle).map(|(policy, bundle)| PartRows::Secrets { policy, bundle }))
        }
    }
}

/// The app's row of this kind, which may be absent, if the head has this row version.
fn record_under(
    connection: &Connection,
    app: AppId,
    head_version: i64,
    kind: RecordKind,
) -> Result<Option<Option<Record>>> {
    connection
        .prepare_cached(
            "SELECT other.id, other.row_version, other.content, other.mac
             FROM records AS head
             LEFT JOIN records AS other ON other.kind = ?4 AND other.id = ?1
             WHERE head.kind = ?2 AND head.id = ?1 AND head.row_version = ?3",
        )?
        .query_row(
            params![app.as_bytes(), RecordKind::AppHead.number(), head_version, kind.number()],
            |row| is_set(row, 0)?.then(|| record_of(row, 0, kind)).transpose(),
        )
        .optional()
}

/// The app's bundle, which may be absent, if the head has this row version.
fn bundle_under(connection: &Connection, app: AppId, head_version: i64) -> Result<Option<Option<BundleRow>>> {
    connection
        .prepare_cached(
            "SELECT app_version, wrapped_dek, ciphertext
             FROM records AS head LEFT JOIN bundles ON bundles.app = ?1
             WHERE head.kind = ?2 AND head.id = ?1 AND head.row_version = ?3",
        )?
        .query_row(params![app.as_bytes(), RecordKind::AppHead.number(), head_version], |row| {
            is_set(row, 0)?.then(|| bundle_of(row, 0, app)).transpose()
        })
        .optional()
}

pub(super) fn app_by_name(
    connection: &mut Connection,
    name: &AppName,
    part: AppPart,
    app_of: &dyn Fn(&Record) -> Option<AppId>,
) -> Result<Option<NamedApp>> {
    let transaction = connection.transaction()?;
    let Some(name) = record(&transaction, RecordKind::AppName, name.as_str().as_bytes())? else {
        return Ok(None);
    };
    let app = match app_of(&name) {
        Some(id) => app(&transaction, id, part)?,
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

/// Literal kind: the index has a condition, which SQLite does not match with a parameter. Without `INDEXED BY`, it
/// reads and sorts all heads.
const CHANGED_HEADS: &str =
    "SELECT id, row_version, content, mac, revision FROM records INDEXED BY changed_heads
     WHERE kind = 6 AND (revision, id) > (?1, ?2) ORDER BY revision, id LIMIT ?3";

pub(super) fn cursor(connection: &Connection) -> Result<Cursor> {
    Ok(Place::after(newest_number(connection)?).into_cursor())
}

pub(super) fn changed_apps(
    connection: &mut Connection,
    after: &Cursor,
    limit: u32,
) -> Result<Option<ChangedApps>> {
    let transaction = connection.transaction()?;
    let newest = newest_number(&transaction)?;
    let Some(from) = Place::of(after).filter(|place| place.last_revision() <= newest) else {
        return Ok(None);
    };
    let mut statement = transaction.prepare_cached(CHANGED_HEADS)?;
    let mut rows = statement.query(params![from.revision, from.id, limit])?;
    let mut heads = Vec::new();
    let mut last = Place::after(newest);
    while let Some(row) = rows.next()? {
        let head = record_of(row, 0, RecordKind::AppHead)?;
        if u64::from(limit) == heads.len() as u64 + 1 {
            last = Place { revision: row.get(4)?, id: head.id.clone() };
        }
        heads.push(head);
    }
    Ok(Some(ChangedApps { heads, next: last.into_cursor() }))
}

/// 0 before the first change.
fn newest_number(connection: &Connection) -> Result<i64> {
    connection
        .prepare_cached("SELECT coalesce(max(number), 0) FROM revisions")?
        .query_row([], |row| row.get(0))
}

/// What a cursor of this store says: after the app head of this id, among those that this revision wrote. As text
/// `s1.REVISION` or `s1.REVISION.ID`, in decimal and hex; without an id, the place is before the revision's first head.
struct Place {
    revision: i64,
    id: Vec<u8>,
}

impl Place {
    /// After all that a revision wrote.
    fn after(revision: i64) -> Self {
        Self { revision: revision.saturating_add(1), id: Vec::new() }
    }

    /// The last revision of which it has seen anything.
    fn last_revision(&self) -> i64 {
        self.revision - i64::from(self.id.is_empty())
    }

    fn into_cursor(self) -> Cursor {
        let Self { revision, id } = self;
        Cursor::of(if id.is_empty() {
            format!("s1.{revision}")
        } else {
            format!("s1.{revision}.{}", HEXLOWER.encode(&id))
        })
    }

    fn of(cursor: &Cursor) -> Option<Self> {
        let rest = cursor.as_str().strip_prefix("s1.")?;
        let (revision, id) = rest.split_once('.').map_or((rest, None), |(revision, id)| (revision, Some(id)));
        let id = id.map_or(Some(Vec::new()), |id| HEXLOWER.decode(id.as_bytes()).ok())?;
        let place = Self { revision: revision.parse().ok().filter(|number| *number > 0)?, id };
        // One text for one place.
        (Self { revision: place.revision, id: place.id.clone() }.into_cursor() == *cursor).then_some(place)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema;

    #[test]
    fn changed_heads_are_found_by_their_index() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::create(&mut connection).unwrap();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {CHANGED_HEADS}")).unwrap();
        let steps = statement.query_map(params![1, [0_u8; 0], 1], |row| row.get(3)).unwrap();
        let steps: Vec<String> = steps.map(Result::unwrap).collect();
        assert_eq!(steps, ["SEARCH records USING INDEX changed_heads ((revision,id)>(?,?))"]);
        assert_eq!(RecordKind::AppHead.number(), 6);
    }
}
