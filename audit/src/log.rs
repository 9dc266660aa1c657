//! The handle that the server holds: settings, keys, appending, closing.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use petsem_keys::{AuditMacKey, AuditSigningKey};
use tokio::sync::{mpsc, oneshot};

use crate::checkpoint::{Checkpoint, Revision};
use crate::error::{AuditError, AuditOpenError};
use crate::event::AuditEvent;
use crate::open;
use crate::queue::{Item, Shared};
use crate::stats::AuditStats;

/// The clock: Unix time in milliseconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Where the log lies and how large it gets.
#[derive(Clone, Debug)]
pub struct AuditSettings {
    /// Directory of the log, for this node alone; made with mode 0700.
    pub directory: PathBuf,
    /// Size of a segment in bytes; at least 64 KiB.
    pub segment_bytes: u64,
    /// Bytes that are allocated ahead, for the day that the disk is full.
    pub reserve_bytes: u64,
    /// A checkpoint follows after this many lines …
    pub checkpoint_lines: u64,
    /// … or this many seconds, if there are new lines.
    pub checkpoint_seconds: u64,
    /// How long a line may take to be durable, waiting included.
    pub append_timeout: Duration,
}

impl AuditSettings {
    /// The defaults: segments of 64 MiB, a reserve of 256 MiB, a checkpoint every 1000 lines or 60 s, and
    /// 5 s for a line.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            segment_bytes: 64 << 20,
            reserve_bytes: 256 << 20,
            checkpoint_lines: 1000,
            checkpoint_seconds: 60,
            append_timeout: Duration::from_secs(5),
        }
    }
}

/// The keys of a node's log. A node that is sealed has none.
pub struct AuditKeys {
    /// The MAC key that the log began with: the log itself says how far it has moved since.
    pub initial_mac: AuditMacKey,
    /// Signs checkpoints.
    pub signing: AuditSigningKey,
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

/// An opened log, and what was found in it.
#[derive(Debug)]
pub struct Opened {
    /// The log.
    pub log: AuditLog,
    /// Its end, as it was found.
    pub tail: Tail,
    /// Every checkpoint that became durable, for the store. One that is not taken in time is left out:
    /// a later one says more.
    pub checkpoints: mpsc::Receiver<Checkpoint>,
}

/// The end of a log as it was found at start.
#[derive(Debug)]
pub struct Tail {
    /// Number of the last line; 0 in a new log.
    pub line: u64,
    /// Chain of the last line.
    pub head: [u8; 32],
    /// First line that was verified.
    pub verified_from: u64,
    /// Bytes of a torn last write that were cut: its lines were never acknowledged.
    pub cut_bytes: u64,
    /// The last revision of the store that the node saw, as its checkpoints say.
    pub seen_revision: Option<Revision>,
    /// The last control change that the node saw, as its checkpoints say.
    pub seen_feed: Option<u64>,
    /// Request ids of the lines after the checkpoint that the store knows; without one, of the lines
    /// after the last checkpoint but one. A committed change whose id is not here has no line.
    pub request_ids: HashSet<String>,
}

/// The audit log of this node.
///
/// Dropping it ends the writer without a last checkpoint; [`AuditLog::close`] is the way to end it.
pub struct AuditLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    append_timeout: Duration,
}

impl AuditLog {
    /// Opens the log of `node`, or begins it.
    ///
    /// A torn last write is cut. What is there is verified: the newest four segments, from the checkpoint
    /// that the first of them begins with; [`verify_log`](crate::verify_log) sees the whole. `known` is
    /// the last checkpoint of this node in the store. Blocks while it reads.
    ///
    /// # Errors
    /// [`AuditOpenError::Broken`] names the line at which the log is not as it was written, or the line
    /// that the store knows and the log lacks; the others say what is wrong with directory or disk.
    pub fn open(
        settings: AuditSettings,
        node: [u8; 16],
        keys: Option<AuditKeys>,
        known: Option<KnownCheckpoint>,
        clock: Clock,
    ) -> Result<Opened, AuditOpenError> {
        open::open(settings, node, keys, known, clock)
    }

    /// Lets the next syncs fail, as a dying disk does.
    #[cfg(test)]
    pub(crate) fn fail_syncs(&self, count: u64) {
        self.shared.failing_syncs.store(count, std::sync::atomic::Ordering::SeqCst);
    }

    pub(crate) fn new(shared: Arc<Shared>, writer: JoinHandle<()>, append_timeout: Duration) -> Self {
        Self { shared, writer: Mutex::new(Some(writer)), append_timeout }
    }

    /// Writes one line and answers its number, once it is durable.
    ///
    /// A caller that gives up waiting does not take the line back.
    ///
    /// # Errors
    /// See [`AuditError`]; in every case the request must be refused.
    pub async fn append(&self, event: AuditEvent) -> Result<u64, AuditError> {
        let numbers = self.append_encoded(vec![event.encode()?]).await?;
        numbers.first().copied().ok_or(AuditError::Closed)
    }

    /// Writes a batch under one sync and answers its line numbers, in its order: all of it, or an error.
    ///
    /// # Errors
    /// See [`AuditError`]; [`AuditError::TooLong`] if the batch does not fit into half a segment.
    pub async fn append_batch(&self, events: Vec<AuditEvent>) -> Result<Vec<u64>, AuditError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let encoded = events.into_iter().map(AuditEvent::encode).collect::<Result<Vec<_>, _>>()?;
        self.append_encoded(encoded).await
    }

    async fn append_encoded(&self, events: Vec<Vec<u8>>) -> Result<Vec<u64>, AuditError> {
        let (answer, answered) = oneshot::channel();
        self.shared.push(Item { events, answer })?;
        match tokio::time::timeout(self.append_timeout, answered).await {
            Err(_) => Err(AuditError::TimedOut),
            Ok(Err(_)) => Err(AuditError::Closed),
            Ok(Ok(result)) => result,
        }
    }

    /// Counts a request whose token did not verify. Writes at most one line a second and source,
    /// and what is left when the log is closed.
    ///
    /// `reason` is a machine code. Never blocks on the disk.
    pub fn unverified(&self, source: &str, reason: &'static str) {
        self.shared.unverified.count(source, reason);
    }

    /// Tells the log the store's last revision and mark, for the next checkpoint.
    pub fn set_revision(&self, revision: u64, mark: [u8; 16]) {
        self.shared.position().revision = Some(Revision { revision, mark });
    }

    /// Tells the log the number of the last control change that this node applied. The next lines follow a
    /// checkpoint that names it, so that a store that was put back behind it is noticed.
    pub fn set_feed(&self, number: u64) {
        self.shared.position().feed = Some(number);
        self.shared.ask_for_checkpoint();
    }

    /// Gives the keys to a log that was opened sealed. The next lines carry MACs, after a checkpoint.
    ///
    /// # Errors
    /// [`AuditError::Closed`] if the log was closed.
    pub fn unseal(&self, keys: AuditKeys) -> Result<(), AuditError> {
        self.shared.give_keys(keys)
    }

    /// What the metrics show.
    pub fn stats(&self) -> AuditStats {
        self.shared.stats()
    }

    /// Writes what waits and a last checkpoint, syncs, and ends the writer. Later appends answer
    /// [`AuditError::Closed`].
    ///
    /// # Errors
    /// What kept the last checkpoint from being durable; [`AuditError::TimedOut`] if the disk hangs.
    pub async fn close(&self) -> Result<(), AuditError> {
        let (answer, answered) = oneshot::channel();
        self.shared.close(Some(answer))?;
        let result = match tokio::time::timeout(self.append_timeout, answered).await {
            Err(_) => return Err(AuditError::TimedOut),
            Ok(Err(_)) => Err(AuditError::Closed),
            Ok(Ok(result)) => result,
        };
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // The thread has answered: nothing is left for it to do.
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
