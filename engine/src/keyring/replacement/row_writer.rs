//! Writes rows and control changes in place of those with the same versions and numbers.

use petsem_store::{Change, Expect, FeedEntry, Record, Store};

use super::{ReplacementStep, ReportProgress};
use crate::clock::Timestamp;
use crate::engine::change_without_line;
use crate::error::Failure;
use crate::records::RecordCodec;

/// The writer of a replacement of row MACs, with its progress.
pub(super) struct RowWriter<'a> {
    /// The store.
    pub(super) store: &'a dyn Store,
    /// Reads old and new MACs, writes new ones.
    pub(super) codec: &'a RecordCodec,
    /// The node whose changes they are.
    pub(super) node: [u8; 16],
    /// Receives the progress.
    pub(super) report: ReportProgress<'a>,
    /// Rows that are done.
    pub(super) done: u64,
    /// All rows.
    pub(super) total: u64,
}

impl RowWriter<'_> {
    /// A change of this node's, which needs no audit line.
    pub(super) fn change(&self) -> Change {
        change_without_line(self.codec, self.node, Timestamp::now())
    }

    /// Reports rows that are done.
    pub(super) fn count(&mut self, rows: usize) {
        self.done += u64::try_from(rows).unwrap_or(u64::MAX);
        (self.report)(ReplacementStep::RowMacs, self.done.min(self.total), self.total);
    }

    /// Writes rows in place of those with the same versions.
    pub(super) async fn put(&self, rows: Vec<Record>) -> Result<(), Failure> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut change = self.change();
        for row in &rows {
            change.expects.push(Expect { kind: row.kind, id: row.id.clone(), row_version: row.row_version });
        }
        change.puts = rows;
        self.commit(change).await
    }

    /// Writes control changes in place of those with the same numbers.
    pub(super) async fn put_feed(&self, entries: Vec<FeedEntry>) -> Result<(), Failure> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut change = self.change();
        change.replaced_feed = entries;
        self.commit(change).await
    }

    /// Commits a change.
    pub(super) async fn commit(&self, change: Change) -> Result<(), Failure> {
        let committed = self.store.commit(change).await?;
        self.store.audited(self.node, &[committed.revision]);
        Ok(())
    }
}
