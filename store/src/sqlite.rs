//! The embedded store: one SQLite file in the data directory.
//!
//! One thread writes ([`writer`]), one checkpoints ([`checkpoint`]), and reads run inline on a pool of
//! read-only connections ([`readers`]): a read takes some ten microseconds, less than passing it to another
//! thread. The write-ahead log gives each read a snapshot without waiting for the writer.

mod apply;
mod checkpoint;
mod failure;
mod open;
mod read;
mod readers;
mod schema;
mod view;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use petsem_api::{AppId, AppName, SecretName};
use rand_core::CryptoRng;
use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::change::{Change, Committed};
use crate::cursor::Cursor;
use crate::error::{CloseError, CommitError, OpenError, ReadError};
use crate::lock::FileLock;
use crate::record::{
    AppPart, AppRows, ChangedApps, FeedEntry, NamedApp, PartRows, Record, RecordKind, UnauditedChange,
    ValueRow,
};
use crate::store::{Store, StoreFuture, StoreStats};
use readers::Readers;
pub use view::SqliteView;
use writer::{Audited, Counters, Job, Newest, Writer};

/// Changes that may wait for the writer; further ones wait for a place.
const QUEUE: usize = 1024;
/// Total memory of waiting changes, in KiB.
const QUEUE_KIB: usize = 64 * 1024;

/// Location and size of the embedded store.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The data directory; created with mode 0700 if it does not exist. It contains `petsem.db` (0600),
    /// SQLite's files (`-wal`, `-shm`) and `petsem.lock`.
    pub directory: PathBuf,
    /// The maximum size of the database file, in bytes; `None`: limited only by the disk. At the limit writes
    /// fail with [`CommitError::Full`].
    pub max_bytes: Option<u64>,
}

impl SqliteOptions {
    /// A store in this directory, without a limit.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), max_bytes: None }
    }
}

/// The embedded store. Dropping it closes it after the queued changes.
pub struct SqliteStore {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    room: Arc<Semaphore>,
    readers: Arc<Readers>,
    newest: Arc<Newest>,
    audited: Arc<Audited>,
    counters: Arc<Counters>,
    wal: PathBuf,
    threads: Mutex<Option<Threads>>,
}

impl SqliteStore {
    /// Whether there is no database in the data directory, so that [`Self::open`] would create one. Creates nothing.
    pub fn is_absent(options: &SqliteOptions) -> bool {
        let found = std::fs::symlink_metadata(open::database_in(&options.directory));
        found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    }

    /// Opens the store of a data directory, or creates an empty one. Takes milliseconds for any size, and
    /// blocks meanwhile. `rng` generates the marks of revisions.
    ///
    /// # Errors
    /// [`OpenError`]; it names the path.
    pub fn open(options: &SqliteOptions, rng: Box<dyn CryptoRng + Send>) -> Result<Self, OpenError> {
        let place = open::Place::claim(&options.directory)?;
        let writing = open::writer(&place, options.max_bytes)?;
        let storage = |source: rusqlite::Error| failure::open(&place.database, source);
        let newest = Arc::new(Newest::at_start(read::revision(&writing).map_err(storage)?));
        let readers = Arc::new(Readers::open(&place)?);
        let counters = Arc::new(Counters::default());
        let audited = Arc::new(Audited::default());

        let (checkpoints, checkpointer) =
            checkpoint::start(open::checkpointer(&place)?, Arc::clone(&counters))
                .map_err(|source| place.failed(source))?;
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let writer = Writer::new(
            writing,
            waiting,
            rng,
            Arc::clone(&newest),
            checkpoints,
            Arc::clone(&audited),
            Arc::clone(&counters),
        )
        .map_err(storage)?;
        let writer = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run())
            .map_err(|source| place.failed(source))?;

        Ok(Self {
            jobs: Mutex::new(Some(jobs)),
            room: Arc::new(Semaphore::new(QUEUE_KIB)),
            readers: Arc::clone(&readers),
            newest,
            audited,
            counters,
            wal: place.wal(),
            threads: Mutex::new(Some(Threads { writer, checkpointer, readers, _lock: place.lock })),
        })
    }

    async fn enqueue(&self, change: Change) -> Result<Committed, CommitError> {
        let kib = u32::try_from((change.size() / 1024 + 1).min(QUEUE_KIB)).unwrap_or(u32::MAX);
        let jobs = lock(&self.jobs).clone().ok_or(CommitError::Unavailable)?;
        let room =
            Arc::clone(&self.room).acquire_many_owned(kib).await.map_err(|_| CommitError::Unavailable)?;
        let (answer, answered) = oneshot::channel();
        jobs.send(Job { change, answer, _room: room }).await.map_err(|_| CommitError::Unavailable)?;
        drop(jobs);
        answered.await.map_err(|_| CommitError::Unavailable)?
    }
}

impl Store for SqliteStore {
    fn commit(&self, change: Change) -> StoreFuture<'_, Result<Committed, CommitError>> {
        Box::pin(self.enqueue(change))
    }

    fn record<'a>(
        &'a self,
        kind: RecordKind,
        id: &'a [u8],
    ) -> StoreFuture<'a, Result<Option<Record>, ReadError>> {
        Box::pin(async move { self.readers.read(|connection| read::record(connection, kind, id)) })
    }

    fn records<'a>(
        &'a self,
        kind: RecordKind,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: u32,
    ) -> StoreFuture<'a, Result<Vec<Record>, ReadError>> {
        Box::pin(async move {
            self.readers.read(|connection| read::records(connection, kind, prefix, after, limit))
        })
    }

    fn app(&self, app: AppId, part: AppPart) -> StoreFuture<'_, Result<Option<AppRows>, ReadError>> {
        Box::pin(async move { self.readers.read(|connection| read::app(connection, app, part)) })
    }

    fn app_part(
        &self,
        app: AppId,
        head_version: u64,
        part: AppPart,
    ) -> StoreFuture<'_, Result<Option<PartRows>, ReadError>> {
        Box::pin(async move {
            self.readers.read(|connection| read::app_part(connection, app, head_version, part))
        })
    }

    fn app_by_name<'a>(
        &'a self,
        name: &'a AppName,
        part: AppPart,
        app_of: &'a (dyn Fn(&Record) -> Option<AppId> + Send + Sync),
    ) -> StoreFuture<'a, Result<Option<NamedApp>, ReadError>> {
        Box::pin(
            async move { self.readers.read(|connection| read::app_by_name(connection, name, part, app_of)) },
        )
    }

    fn history<'a>(
        &'a self,
        app: AppId,
        name: &'a SecretName,
    ) -> StoreFuture<'a, Result<Vec<ValueRow>, ReadError>> {
        Box::pin(async move { self.readers.read(|connection| read::history(connection, app, name)) })
    }

    fn value<'a>(
        &'a self,
        app: AppId,
        name: &'a SecretName,
        app_version: u64,
    ) -> StoreFuture<'a, Result<Option<ValueRow>, ReadError>> {
        Box::pin(
            async move { self.readers.read(|connection| read::value(connection, app, name, app_version)) },
        )
    }

    fn values<'a>(
        &'a self,
        app: AppId,
        after: Option<(&'a SecretName, u64)>,
        limit: u32,
    ) -> StoreFuture<'a, Result<Vec<ValueRow>, ReadError>> {
        Box::pin(async move { self.readers.read(|connection| read::values(connection, app, after, limit)) })
    }

    fn count_values(&self, app: AppId) -> StoreFuture<'_, Result<u64, ReadError>> {
        Box::pin(async move { self.readers.read(|connection| read::count_values(connection, app)) })
    }

    fn count(&self, kind: RecordKind) -> StoreFuture<'_, Result<u64, ReadError>> {
        Box::pin(async move { self.readers.read(|connection| read::count(connection, kind)) })
    }

    fn feed(&self, after: u64, limit: u32) -> StoreFuture<'_, Result<Vec<FeedEntry>, ReadError>> {
        Box::pin(async move { self.readers.read(|connection| read::feed(connection, after, limit)) })
    }

    fn cursor(&self) -> StoreFuture<'_, Result<Cursor, ReadError>> {
        Box::pin(async move { self.readers.read(|connection| read::cursor(connection)) })
    }

    fn changed_apps<'a>(
        &'a self,
        after: &'a Cursor,
        limit: u32,
    ) -> StoreFuture<'a, Result<Option<ChangedApps>, ReadError>> {
        Box::pin(async move { self.readers.read(|connection| read::changed_apps(connection, after, limit)) })
    }

    fn revision(&self) -> StoreFuture<'_, Result<Option<Committed>, ReadError>> {
        // Through the pool: a closed store is refused.
        Box::pin(async move { self.readers.read(|_| Ok(self.newest.get())) })
    }

    fn mark(&self, revision: u64) -> StoreFuture<'_, Result<Option<[u8; 16]>, ReadError>> {
        Box::pin(async move { self.readers.read(|connection| read::mark(connection, revision)) })
    }

    fn unaudited(&self, node: [u8; 16]) -> StoreFuture<'_, Result<Vec<UnauditedChange>, ReadError>> {
        Box::pin(async move { self.readers.read(|connection| read::unaudited(connection, node)) })
    }

    fn audited(&self, node: [u8; 16], revisions: &[u64]) {
        self.audited.add(node, revisions);
    }

    fn is_empty(&self) -> StoreFuture<'_, Result<bool, ReadError>> {
        Box::pin(async move { self.readers.read(|connection| read::is_empty(connection)) })
    }

    fn format_floor(&self) -> StoreFuture<'_, Result<u32, ReadError>> {
        Box::pin(async move { self.readers.read(|connection| read::format_floor(connection)) })
    }

    fn stats(&self) -> StoreStats {
        let queued = lock(&self.jobs).as_ref().map_or(0, |jobs| jobs.max_capacity() - jobs.capacity());
        StoreStats {
            wal_bytes: file_length(&self.wal),
            queue_length: u64::try_from(queued).unwrap_or(u64::MAX),
            ..self.counters.read()
        }
    }

    fn close(&self) -> StoreFuture<'_, Result<(), CloseError>> {
        Box::pin(async move {
            drop(lock(&self.jobs).take());
            let Some(threads) = lock(&self.threads).take() else { return Ok(()) };
            let (done, closed) = oneshot::channel();
            // Joining blocks, and changes that still wait for a place in the queue need the runtime.
            std::thread::Builder::new()
                .name("store-close".into())
                .spawn(move || done.send(threads.join()))
                .map_err(|_| CloseError::ThreadLost)?;
            closed.await.map_err(|_| CloseError::ThreadLost)?
        })
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        drop(lock(&self.jobs).take());
        if let Some(threads) = lock(&self.threads).take() {
            // The error cannot be reported; the log is read at the next start.
            let _ = threads.join();
        }
    }
}

/// The threads that run until the store is closed, and the lock, which must outlive them.
struct Threads {
    writer: JoinHandle<Connection>,
    checkpointer: JoinHandle<()>,
    readers: Arc<Readers>,
    _lock: FileLock,
}

impl Threads {
    /// Waits for the writer to finish its queue; then only one file remains, because the last connection
    /// deletes the write-ahead log when it closes.
    fn join(self) -> Result<(), CloseError> {
        let writer = self.writer.join();
        let checkpointer = self.checkpointer.join();
        self.readers.close();
        let connection = writer.map_err(|_| CloseError::ThreadLost)?;
        checkpointer.map_err(|_| CloseError::ThreadLost)?;
        checkpoint::truncate(&connection)
            .map(drop)
            .map_err(|source| CloseError::Checkpoint(Arc::new(source)))?;
        connection.close().map_err(|(_, source)| CloseError::Checkpoint(Arc::new(source)))
    }
}

fn file_length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Ignores poisoning: the data is valid at every moment, even after a panic elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
