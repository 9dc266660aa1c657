//! The handle of an open log: settings, keys, appending, closing.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use petsem_keys::{AuditMacKey, AuditRatchetKey, AuditSigningKey};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::checkpoint::{Checkpoint, Revision, StorePosition};
use crate::error::{AuditError, AuditOpenError};
use crate::event::{AuditEvent, EncodedEvent};
use crate::open;
use crate::queue::{Item, Shared, Then};
use crate::search::{Searched, search};
use crate::stats::AuditStats;

/// The clock: Unix time in milliseconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The log's directory, sizes and intervals.
#[derive(Clone, Debug)]
pub struct AuditSettings {
    /// Directory of the log, for this node alone; created with mode 0700.
    pub directory: PathBuf,
    /// Lowest number of a file: above those of a chain of this node that was lost, whose files may have been shipped.
    pub first_segment: u64,
    /// Size of a segment in bytes; at least 64 KiB.
    pub segment_bytes: u64,
    /// Bytes that are allocated in advance, to be used when the disk is full.
    pub reserve_bytes: u64,
    /// A checkpoint is written after this many lines …
    pub checkpoint_lines: u64,
    /// … or after this many seconds, if there are new lines.
    pub checkpoint_seconds: u64,
    /// How long a line may take to be durable, including its time in the queue.
    pub append_timeout: Duration,
}

impl AuditSettings {
    /// The defaults: segments of 64 MiB, a reserve of 256 MiB, a checkpoint every 1000 lines or 60 s, and
    /// 5 s for a line.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            first_segment: 1,
            segment_bytes: 64 << 20,
            reserve_bytes: 256 << 20,
            checkpoint_lines: 1000,
            checkpoint_seconds: 60,
            append_timeout: Duration::from_secs(5),
        }
    }
}

/// The keys of a node's log. A sealed node has none.
pub struct AuditKeys {
    /// The log's first MAC key. The current one follows from it and the number of signed checkpoints.
    pub initial_mac: AuditMacKey,
    /// Signs checkpoints.
    pub signing: AuditSigningKey,
    /// The place and the key of the store's last checkpoint, with which verification at start begins. `None` if the
    /// store has none: verification then begins with the first MAC key.
    pub resume: Option<Resume>,
}

/// Where a checkpoint is in the log, and the MAC key after it.
pub struct Resume {
    /// [`Checkpoint::number`].
    pub number: u64,
    /// Number of the segment that holds the checkpoint.
    pub segment: u64,
    /// Where in the segment its line begins, in bytes.
    pub offset: u64,
    /// The MAC key of the next line.
    pub mac: AuditRatchetKey,
}

/// A durable checkpoint, with what the store keeps of it.
pub struct DurableCheckpoint {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Where it is, and the MAC key after it; `None` while the node is sealed.
    pub resume: Option<Resume>,
}

impl fmt::Debug for DurableCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableCheckpoint").field("checkpoint", &self.checkpoint).finish_non_exhaustive()
    }
}

impl fmt::Debug for AuditKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKeys(..)")
    }
}

/// The last checkpoint of this node that the store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownCheckpoint {
    /// [`Checkpoint::line`].
    pub line: u64,
    /// [`Checkpoint::head`].
    pub head: [u8; 32],
}

/// An opened log, and the state in which it was found.
#[derive(Debug)]
pub struct Opened {
    /// The log.
    pub log: AuditLog,
    /// Its end, as it was found.
    pub tail: Tail,
    /// Every durable checkpoint, for the store. When the channel is full, a checkpoint is dropped: a later
    /// one covers more.
    pub checkpoints: mpsc::Receiver<DurableCheckpoint>,
}

/// The end of a log as it was found on opening.
#[derive(Debug)]
pub struct Tail {
    /// Number of the last line; 0 in a new log.
    pub line: u64,
    /// Chain of the last line.
    pub head: [u8; 32],
    /// First line that was verified.
    pub verified_from: u64,
    /// How often the MAC key was replaced by its successor to get to the end: the work that would otherwise grow
    /// with the age of the log.
    pub ratchet_steps: u64,
    /// Bytes of a torn last write that were cut: its lines were never acknowledged.
    pub cut_bytes: u64,
    /// How far the node saw the store.
    pub seen: StorePosition,
    /// Request ids of the lines after the checkpoint that the store knows; if it knows none, of the lines
    /// after the last checkpoint but one. A committed change whose id is not here has no line.
    pub request_ids: HashSet<String>,
}

/// The audit log of this node.
///
/// [`AuditLog::close`] ends it with a last checkpoint; dropping it ends the writer without one.
pub struct AuditLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    append_timeout: Duration,
    directory: PathBuf,
}

impl AuditLog {
    /// Opens the log of `node`, or creates it.
    ///
    /// A torn last write is removed. `known` is the last checkpoint of this node in the store: the lines after
    /// it are verified. Without one, the newest four segments are, from the checkpoint with which the first of
    /// them begins. [`verify_log`](crate::verify_log) verifies all. Blocks while it reads.
    ///
    /// # Errors
    /// [`AuditOpenError::Broken`] names the first line that was changed, or the line that the store knows and
    /// the log lacks; the others name a fault of the directory or disk.
    pub fn open(
        settings: AuditSettings,
        node: [u8; 16],
        keys: Option<AuditKeys>,
        known: Option<KnownCheckpoint>,
        clock: Clock,
    ) -> Result<Opened, AuditOpenError> {
        open::open(settings, node, keys, known, clock)
    }

    /// Makes the next syncs fail, as a failing disk does.
    #[cfg(test)]
    pub(crate) fn fail_syncs(&self, count: u64) {
        self.shared.failing_syncs.store(count, std::sync::atomic::Ordering::SeqCst);
    }

    pub(crate) fn new(
        shared: Arc<Shared>,
        writer: JoinHandle<()>,
        append_timeout: Duration,
        directory: PathBuf,
    ) -> Self {
        Self { shared, writer: Mutex::new(Some(writer)), append_timeout, directory }
    }

    /// Searches for the requests with these ids in the lines since a time, in Unix milliseconds. Blocks while it reads.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn search(&self, wanted: &HashSet<String>, since_ms: u64) -> io::Result<Searched> {
        search(&self.directory, wanted, since_ms)
    }

    /// Writes one line and returns its number once it is durable.
    ///
    /// A caller that stops waiting does not withdraw the line.
    ///
    /// # Errors
    /// See [`AuditError`]; in every case the request must be refused.
    pub async fn append(&self, event: AuditEvent) -> Result<u64, AuditError> {
        self.append_encoded(event.encode()?).await
    }

    /// As [`AuditLog::append`], for an event that is encoded.
    ///
    /// # Errors
    /// As [`AuditLog::append`].
    pub async fn append_encoded(&self, event: EncodedEvent) -> Result<u64, AuditError> {
        let (reply, replied) = oneshot::channel();
        self.shared.push(Item { event, then: Then::Reply(reply, Handle::current()) })?;
        match tokio::time::timeout(self.append_timeout, replied).await {
            Err(_) => Err(AuditError::TimedOut),
            Ok(Err(_)) => Err(AuditError::Closed),
            Ok(Ok(result)) => result,
        }
    }

    /// Queues one line and returns at once. When it is durable or refused, `then` runs on the writer's thread, where it
    /// must not block; it runs before a later checkpoint is handed over.
    ///
    /// # Errors
    /// The queue takes no line; `then` is not called.
    pub fn append_then(
        &self,
        event: EncodedEvent,
        then: impl FnOnce(Result<u64, AuditError>) + Send + 'static,
    ) -> Result<(), AuditError> {
        self.shared.push(Item { event, then: Then::Call(Box::new(then)) })
    }

    /// Counts a request whose token did not verify. At most one line per second and source is written; the
    /// remaining counts are written when the log is closed.
    ///
    /// `reason` is a machine-readable code. Never blocks on the disk.
    pub fn unverified(&self, source: &str, reason: &'static str) {
        self.shared.unverified.count(source, reason);
    }

    /// Counts the refusal of a verified credential. Beyond a few a second for each token, or subject of a JWT, it
    /// returns `true`: the refusal then gets no line of its own, but counts in a summary that is written within a
    /// second.
    pub fn counts_refusal(&self, event: &AuditEvent) -> bool {
        self.shared.unverified.counts_refusal(event)
    }

    /// Sets the store's last revision and mark, for the next checkpoint.
    pub fn set_revision(&self, revision: u64, mark: [u8; 16]) {
        self.shared.position().revision = Some(Revision { revision, mark });
    }

    /// Sets the number of the last control change that this node applied. A checkpoint that names it is
    /// written before the next lines, so that a store that was restored to an earlier state is detected.
    pub fn set_feed(&self, number: u64) {
        self.shared.position().feed = Some(number);
        self.shared.request_checkpoint();
    }

    /// The numbers for the metrics.
    pub fn stats(&self) -> AuditStats {
        self.shared.stats(self.append_timeout)
    }

    /// Writes the waiting lines and a last checkpoint, syncs, and ends the writer. Later appends return
    /// [`AuditError::Closed`].
    ///
    /// # Errors
    /// Why the last checkpoint is not durable; [`AuditError::TimedOut`] if the disk hangs.
    pub async fn close(&self) -> Result<(), AuditError> {
        let (reply, replied) = oneshot::channel();
        self.shared.close(Some(reply))?;
        let result = match tokio::time::timeout(self.append_timeout, replied).await {
            Err(_) => return Err(AuditError::TimedOut),
            Ok(Err(_)) => Err(AuditError::Closed),
            Ok(Ok(result)) => result,
        };
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // The thread has replied and has nothing left to do.
            let _ended = writer.join();
        }
        result
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        let _already_closed = self.shared.close(None);
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
