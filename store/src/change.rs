//! A write: one [`Change`], applied as a whole or not at all.

use petsem_api::{AppId, RequestId};

use crate::record::{BundleRow, FeedEntry, Record, RecordKind, ValueRow};

/// A set of rows to write in one transaction.
///
/// Order within the change: every [`Expect`] is checked, then `deletes`, `delete_app`, `puts`, `bundle`,
/// `values`, `feed` and `replaced_feed` are applied; so a change may delete an app's rows and write new ones.
///
/// A change sealed for one app version must expect the row version of the app head on which it is based: this
/// is the compare-and-swap on the app version. After a conflict, seal again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The request, and its audit line in case the process dies between commit and log.
    pub request: RequestAudit,
    /// Rows that must still have the version that the caller read.
    pub expects: Vec<Expect>,
    /// Decision rows to insert or replace.
    pub puts: Vec<Record>,
    /// Decision rows to delete; a missing one is not an error.
    pub deletes: Vec<(RecordKind, Vec<u8>)>,
    /// The app's bundle, to insert or replace.
    pub bundle: Option<BundleRow>,
    /// An app whose bundle and values are deleted. Its decision rows are deleted by `deletes`.
    pub delete_app: Option<AppId>,
    /// Values for the history.
    pub values: Vec<NewValue>,
    /// The log of the request's node names no revision before this one any more, so that older marks may be pruned. A
    /// node that was never named keeps nothing; a store in which no node is named prunes nothing.
    pub hold_marks_from: Option<u64>,
    /// Entries of the control feed; the first number is the last one in the store plus 1.
    pub feed: Vec<FeedEntry>,
    /// Whether the change destroys something: once it is committed, no file of the store has what it deleted or
    /// replaced. While a reader of the files keeps an earlier state, that is retried every second.
    pub erases: bool,
    /// Entries in place of those in the store with the same numbers.
    pub replaced_feed: Vec<FeedEntry>,
}

impl Change {
    /// A change that writes nothing yet.
    pub fn new(request: RequestAudit) -> Self {
        Self {
            request,
            expects: Vec::new(),
            puts: Vec::new(),
            deletes: Vec::new(),
            bundle: None,
            delete_app: None,
            values: Vec::new(),
            hold_marks_from: None,
            feed: Vec::new(),
            erases: false,
            replaced_feed: Vec::new(),
        }
    }

    /// Approximate size of the change in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        let records: usize =
            self.puts.iter().map(|put| put.id.len() + put.content.len() + put.mac.len()).sum();
        let values: usize = self.values.iter().map(|value| value.row.ciphertext.len() + 512).sum();
        let entries = self.feed.iter().chain(&self.replaced_feed);
        let feed: usize = entries.map(|entry| entry.content.len() + entry.mac.len()).sum();
        let bundle = self.bundle.as_ref().map_or(0, |bundle| bundle.ciphertext.len());
        let keys: usize = self.expects.iter().map(|expect| expect.id.len()).sum::<usize>()
            + self.deletes.iter().map(|(_, id)| id.len()).sum::<usize>();
        256 + self.request.line.len() + records + values + feed + bundle + keys
    }
}

/// The transaction stores this part of the request until its audit line is durable
/// ([`crate::Store::audited`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestAudit {
    /// The node that writes the line.
    pub node: [u8; 16],
    /// The request.
    pub request_id: RequestId,
    /// The line, or its source; opaque here.
    pub line: Vec<u8>,
}

/// A row version that must hold for the change to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// Kind of the row.
    pub kind: RecordKind,
    /// Its id.
    pub id: Vec<u8>,
    /// Its version; 0: the row must be absent.
    pub row_version: u64,
}

/// A value for the history, and how many values the history keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewValue {
    /// The row.
    pub row: ValueRow,
    /// How many rows of this app and name to keep, newest first, this one included; the newest is always
    /// kept. Older ones are deleted in the same transaction.
    pub keep: u32,
}

/// The revision of a committed change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Number of the change in this store, from 1; a later change has a higher one. Numbers may have gaps.
    pub revision: u64,
    /// 128 random bits that only this store's history has at this revision. A reader that remembers the pair
    /// detects a store that was rolled back or forked.
    pub mark: [u8; 16],
}
