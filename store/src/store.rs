//! The trait: the engine's whole interface to storage.

use std::future::Future;
use std::pin::Pin;

use petsem_api::{AppId, AppName, SecretName};

use crate::change::{Change, Committed};
use crate::cursor::Cursor;
use crate::error::{CloseError, CommitError, ReadError};
use crate::record::{
    AppPart, AppRows, ChangedApps, FeedEntry, NamedApp, PartRows, Record, RecordKind, UnauditedChange,
    ValueRow,
};

/// The return type of the trait's methods, so that `dyn Store` works.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Rows of ciphertext and metadata, durable and transactional.
///
/// Reads see every change that was acknowledged before they started; the rows of one read are of one moment.
/// Reads never wait for writes. Dropping a future of [`Store::commit`] does not cancel the change.
pub trait Store: Send + Sync {
    /// Applies a change as a whole or not at all, and returns when it is durable. Waiting changes are
    /// committed together; one that conflicts fails alone.
    fn commit(&self, change: Change) -> StoreFuture<'_, Result<Committed, CommitError>>;

    /// One decision row.
    fn record<'a>(
        &'a self,
        kind: RecordKind,
        id: &'a [u8],
    ) -> StoreFuture<'a, Result<Option<Record>, ReadError>>;

    /// Decision rows of a kind whose ids start with `prefix`, in the order of their ids (bytewise), after the
    /// id `after`, at most `limit`. A page shorter than `limit` is the last one.
    fn records<'a>(
        &'a self,
        kind: RecordKind,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: u32,
    ) -> StoreFuture<'a, Result<Vec<Record>, ReadError>>;

    /// The head of an app and this part of its rows, at one moment.
    fn app(&self, app: AppId, part: AppPart) -> StoreFuture<'_, Result<Option<AppRows>, ReadError>>;

    /// This part of the rows of an app whose head was read before, if the head still has that row version; `None` if the
    /// app was changed or deleted since. A change of these rows writes the head, too, so they belong to that head.
    fn app_part(
        &self,
        app: AppId,
        head_version: u64,
        part: AppPart,
    ) -> StoreFuture<'_, Result<Option<PartRows>, ReadError>>;

    /// [`Self::app`] by the app's name. The store does not read contents: `app_of` verifies the name's row and
    /// returns the app that it names.
    fn app_by_name<'a>(
        &'a self,
        name: &'a AppName,
        part: AppPart,
        app_of: &'a (dyn Fn(&Record) -> Option<AppId> + Send + Sync),
    ) -> StoreFuture<'a, Result<Option<NamedApp>, ReadError>>;

    /// The values of a secret, newest first.
    fn history<'a>(
        &'a self,
        app: AppId,
        name: &'a SecretName,
    ) -> StoreFuture<'a, Result<Vec<ValueRow>, ReadError>>;

    /// The value of a secret set by exactly this app version.
    fn value<'a>(
        &'a self,
        app: AppId,
        name: &'a SecretName,
        app_version: u64,
    ) -> StoreFuture<'a, Result<Option<ValueRow>, ReadError>>;

    /// All kept values of an app in the order of name (bytewise) and app version, after the one that `after`
    /// names, at most `limit`. A page shorter than `limit` is the last one.
    fn values<'a>(
        &'a self,
        app: AppId,
        after: Option<(&'a SecretName, u64)>,
        limit: u32,
    ) -> StoreFuture<'a, Result<Vec<ValueRow>, ReadError>>;

    /// The number of kept values of an app.
    fn count_values(&self, app: AppId) -> StoreFuture<'_, Result<u64, ReadError>>;

    /// The number of decision rows of a kind. It reads all of them, so only slow operations use it.
    fn count(&self, kind: RecordKind) -> StoreFuture<'_, Result<u64, ReadError>>;

    /// Entries of the control feed with numbers above `after`, in order, at most `limit`.
    fn feed(&self, after: u64, limit: u32) -> StoreFuture<'_, Result<Vec<FeedEntry>, ReadError>>;

    /// The place after the newest change.
    fn cursor(&self) -> StoreFuture<'_, Result<Cursor, ReadError>>;

    /// The app heads that were written after `after`, at most `limit`, and the place after them. Every change that was
    /// acknowledged is before or after a cursor, never lost between two pages. Re-wraps write heads, too, so the caller
    /// compares app versions. `None` if this store never gave out the cursor: it is of another store, or of a later
    /// state of this one.
    fn changed_apps<'a>(
        &'a self,
        after: &'a Cursor,
        limit: u32,
    ) -> StoreFuture<'a, Result<Option<ChangedApps>, ReadError>>;

    /// The newest revision that this process found at its start or wrote, and its mark; none before the first change. A
    /// row that others added since does not count.
    fn revision(&self) -> StoreFuture<'_, Result<Option<Committed>, ReadError>>;

    /// The mark of a revision. None if this store never had that revision, or if it was pruned: no node held it
    /// ([`Change::hold_marks_from`]), and thousands followed it. A check that gets none fails.
    fn mark(&self, revision: u64) -> StoreFuture<'_, Result<Option<[u8; 16]>, ReadError>>;

    /// Changes of a node not yet reported as audited, oldest first. Read once at start: after a kill, each
    /// gets its line. The log may already have the last lines; compare the request ids.
    fn unaudited(&self, node: [u8; 16]) -> StoreFuture<'_, Result<Vec<UnauditedChange>, ReadError>>;

    /// Reports that the lines of these revisions of a node are durable. Cheap and without waiting: the rows
    /// are deleted with the next commit or at [`Store::close`].
    fn audited(&self, node: [u8; 16], revisions: &[u64]);

    /// Whether the store has no record of any kind, and so no installation.
    fn is_empty(&self) -> StoreFuture<'_, Result<bool, ReadError>>;

    /// The newest record format that every node of this installation supports: the one to write.
    fn format_floor(&self) -> StoreFuture<'_, Result<u32, ReadError>>;

    /// Numbers for metrics. Never waits.
    fn stats(&self) -> StoreStats;

    /// Refuses new work, finishes the waiting changes, and checkpoints. Further calls return `Unavailable`.
    fn close(&self) -> StoreFuture<'_, Result<(), CloseError>>;
}

/// Counters since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Changes committed.
    pub commits: u64,
    /// Transactions that committed them; each took one fsync.
    pub groups: u64,
    /// Changes refused for a conflict.
    pub conflicts: u64,
    /// Changes that failed for any other reason.
    pub failures: u64,
    /// How long the last transaction took, in microseconds, fsync included.
    pub last_commit_micros: u64,
    /// Length of the write-ahead log's file, in bytes; 0 if there is none.
    pub wal_bytes: u64,
    /// Checkpoints done.
    pub checkpoints: u64,
    /// Checkpoints that failed; the log grows until one succeeds.
    pub checkpoint_failures: u64,
    /// Changes that wait for the writer.
    pub queue_length: u64,
}
