//! One change, inside the writer's transaction.

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::failure;
use crate::change::{Change, Committed, Expect, NewValue};
use crate::error::CommitError;
use crate::record::{BundleRow, FeedEntry, Record, RecordKind};

/// Newest marks that are never pruned.
const MARKS_KEPT: u64 = 4096;
/// Most marks that one step deletes: a few pages.
const PRUNED_IN_A_STEP: u64 = 512;

/// Whether the rows have the expected versions. Only reads.
pub(super) fn check(connection: &Connection, change: &Change) -> std::result::Result<(), CommitError> {
    for expect in &change.expects {
        if row_version(connection, expect).map_err(failure::commit)? != expect.row_version {
            return Err(CommitError::Conflict { kind: expect.kind, id: expect.id.clone() });
        }
    }
    if !change.feed.is_empty() {
        let last = last_in_feed(connection).map_err(failure::commit)?;
        let follows =
            change.feed.iter().zip(last.saturating_add(1)..).all(|(entry, number)| entry.number == number);
        if !follows {
            return Err(CommitError::FeedConflict { last });
        }
    }
    if let Some(highest) = change.replaced_feed.iter().map(|entry| entry.number).max() {
        let last = last_in_feed(connection).map_err(failure::commit)?;
        if highest > last {
            return Err(CommitError::FeedConflict { last });
        }
    }
    Ok(())
}

/// Writes the change. After an error the caller must roll back.
pub(super) fn apply(connection: &Connection, change: &Change, committed: &Committed) -> Result<()> {
    for (kind, id) in &change.deletes {
        connection
            .prepare_cached("DELETE FROM records WHERE kind = ?1 AND id = ?2")?
            .execute(params![kind.number(), id])?;
    }
    if let Some(app) = &change.delete_app {
        connection.prepare_cached("DELETE FROM bundles WHERE app = ?1")?.execute([app.as_bytes()])?;
        connection.prepare_cached("DELETE FROM secret_values WHERE app = ?1")?.execute([app.as_bytes()])?;
    }
    change.puts.iter().try_for_each(|record| put_record(connection, record, committed.revision))?;
    change.bundle.iter().try_for_each(|bundle| put_bundle(connection, bundle))?;
    change.values.iter().try_for_each(|value| put_value(connection, value))?;
    change.feed.iter().try_for_each(|entry| put_feed(connection, entry))?;
    change.replaced_feed.iter().try_for_each(|entry| replace_feed(connection, entry))?;
    connection
        .prepare_cached("INSERT INTO revisions (number, mark) VALUES (?1, ?2)")?
        .execute(params![committed.revision, committed.mark])?;
    let request = &change.request;
    if let Some(revision) = change.hold_marks_from {
        connection
            .prepare_cached("INSERT OR REPLACE INTO mark_holds (node, revision) VALUES (?1, ?2)")?
            .execute(params![request.node, revision])?;
    }
    connection
        .prepare_cached("INSERT INTO unaudited (revision, node, request_id, line) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![committed.revision, request.node, request.request_id.as_bytes(), request.line])?;
    Ok(())
}

/// Deletes some marks that no check asks for: those before `newest` that are neither recent nor held. A lost or raised
/// hold loses marks, or keeps too many; it never makes a check pass, because an absent mark fails every check.
pub(super) fn prune_marks(connection: &Connection, newest: u64, steps: u64) -> Result<()> {
    // Without holds the inner minimum is NULL, and nothing is deleted.
    connection
        .prepare_cached(
            "DELETE FROM revisions WHERE number IN (
                 SELECT number FROM revisions
                 WHERE number < min(?1, (SELECT min(revision) FROM mark_holds))
                 ORDER BY number LIMIT ?2)",
        )?
        .execute(params![newest.saturating_sub(MARKS_KEPT), steps * PRUNED_IN_A_STEP])?;
    Ok(())
}

/// Deletes the row of a change whose audit line is durable.
pub(super) fn audited(connection: &Connection, node: &[u8; 16], revision: u64) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM unaudited WHERE revision = ?1 AND node = ?2")?
        .execute(params![revision, node])?;
    Ok(())
}

/// 0 if the row is absent.
fn row_version(connection: &Connection, expect: &Expect) -> Result<u64> {
    connection
        .prepare_cached("SELECT row_version FROM records WHERE kind = ?1 AND id = ?2")?
        .query_row(params![expect.kind.number(), expect.id], |row| row.get(0))
        .optional()
        .map(Option::unwrap_or_default)
}

/// 0 if the feed is empty.
fn last_in_feed(connection: &Connection) -> Result<u64> {
    connection.prepare_cached("SELECT coalesce(max(number), 0) FROM feed")?.query_row([], |row| row.get(0))
}

fn put_record(connection: &Connection, record: &Record, revision: u64) -> Result<()> {
    let revision = (record.kind == RecordKind::AppHead).then_some(revision);
    connection
        .prepare_cached(
            "INSERT INTO records (kind, id, row_version, content, mac, revision) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (kind, id) DO UPDATE
             SET row_version = excluded.row_version, content = excluded.content, mac = excluded.mac,
                 revision = excluded.revision",
        )?
        .execute(params![
            record.kind.number(),
            record.id,
            record.row_version,
            record.content,
            record.mac,
            revision
        ])?;
    Ok(())
}

fn put_bundle(connection: &Connection, bundle: &BundleRow) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO bundles (app, app_version, wrapped_dek, ciphertext) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (app) DO UPDATE
             SET app_version = excluded.app_version, wrapped_dek = excluded.wrapped_dek,
                 ciphertext = excluded.ciphertext",
        )?
        .execute(params![bundle.app.as_bytes(), bundle.app_version, bundle.wrapped_dek, bundle.ciphertext])?;
    Ok(())
}

fn put_value(connection: &Connection, value: &NewValue) -> Result<()> {
    let row = &value.row;
    let (app, name) = (row.app.as_bytes(), row.name.as_str());
    connection
        .prepare_cached(
            "INSERT INTO secret_values (app, name, app_version, wrapped_dek, ciphertext)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (app, name, app_version) DO UPDATE
             SET wrapped_dek = excluded.wrapped_dek, ciphertext = excluded.ciphertext",
        )?
        .execute(params![app, name, row.app_version, row.wrapped_dek, row.ciphertext])?;
    // With fewer rows than to keep, the inner query is NULL, and nothing is deleted.
    connection
        .prepare_cached(
            "DELETE FROM secret_values WHERE app = ?1 AND name = ?2 AND app_version < (
                 SELECT app_version FROM secret_values WHERE app = ?1 AND name = ?2
                 ORDER BY app_version DESC LIMIT 1 OFFSET ?3)",
        )?
        .execute(params![app, name, value.keep.saturating_sub(1)])?;
    Ok(())
}

fn put_feed(connection: &Connection, entry: &FeedEntry) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO feed (number, content, mac) VALUES (?1, ?2, ?3)")?
        .execute(params![entry.number, entry.content, entry.mac])?;
    Ok(())
}

fn replace_feed(connection: &Connection, entry: &FeedEntry) -> Result<()> {
    connection
        .prepare_cached("UPDATE feed SET content = ?2, mac = ?3 WHERE number = ?1")?
        .execute(params![entry.number, entry.content, entry.mac])?;
    Ok(())
}
