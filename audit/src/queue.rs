//! What callers and the writer share: the lines that wait, bounded, and the numbers for the metrics.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::checkpoint::Revision;
use crate::error::AuditError;
use crate::log::AuditKeys;
use crate::stats::AuditStats;
use crate::unverified::Unverified;

/// Lines of one group: one write, one sync.
const GROUP_LINES: usize = 1024;
/// Lines that may wait.
const QUEUE_LINES: usize = 8192;
/// Bytes of events that may wait.
const QUEUE_BYTES: usize = 16 << 20;

/// What is given to the writer.
#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    lines: usize,
    bytes: usize,
    keys: Option<AuditKeys>,
    closed: bool,
    closer: Option<Answer<()>>,
}

/// Where an answer goes.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, AuditError>>;

/// Lines that are written together, and who waits for their numbers.
pub(crate) struct Item {
    pub(crate) events: Vec<Vec<u8>>,
    pub(crate) answer: Answer<Vec<u64>>,
}

impl Item {
    fn bytes(&self) -> usize {
        self.events.iter().map(Vec::len).sum()
    }
}

/// What the writer finds when it looks.
pub(crate) struct Work {
    pub(crate) items: VecDeque<Item>,
    pub(crate) keys: Option<AuditKeys>,
    /// The log was closed, and these were the last lines.
    pub(crate) last: bool,
}

/// What the node last saw of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StorePosition {
    pub(crate) revision: Option<Revision>,
    pub(crate) feed: Option<u64>,
}

/// Shared by the handle and the writer.
#[derive(Default)]
pub(crate) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    position: Mutex<StorePosition>,
    checkpoint_soon: AtomicBool,
    stats: Mutex<AuditStats>,
    pub(crate) unverified: Unverified,
    /// How many of the next syncs fail.
    #[cfg(test)]
    pub(crate) failing_syncs: std::sync::atomic::AtomicU64,
}

impl Shared {
    /// Lets lines wait, or says at once why not.
    pub(crate) fn push(&self, item: Item) -> Result<(), AuditError> {
        let mut queue = lock(&self.queue);
        if queue.closed {
            return Err(AuditError::Closed);
        }
        let lines = queue.lines.saturating_add(item.events.len());
        let bytes = queue.bytes.saturating_add(item.bytes());
        if lines > QUEUE_LINES || bytes > QUEUE_BYTES {
            return Err(AuditError::Busy);
        }
        queue.lines = lines;
        queue.bytes = bytes;
        queue.items.push_back(item);
        drop(queue);
        self.wake.notify_one();
        Ok(())
    }

    /// Gives keys to the writer.
    pub(crate) fn give_keys(&self, keys: AuditKeys) -> Result<(), AuditError> {
        let mut queue = lock(&self.queue);
        if queue.closed {
            return Err(AuditError::Closed);
        }
        queue.keys = Some(keys);
        drop(queue);
        self.wake.notify_one();
        Ok(())
    }

    /// Ends intake. With an answer, the writer makes a last checkpoint.
    pub(crate) fn close(&self, answer: Option<Answer<()>>) -> Result<(), AuditError> {
        let mut queue = lock(&self.queue);
        if queue.closed {
            return Err(AuditError::Closed);
        }
        queue.closed = true;
        queue.closer = answer;
        drop(queue);
        self.wake.notify_one();
        Ok(())
    }

    /// Who waits for the end.
    pub(crate) fn closer(&self) -> Option<Answer<()>> {
        lock(&self.queue).closer.take()
    }

    /// Waits for something to do, at most for `longest`, and takes one group of it.
    pub(crate) fn take(&self, longest: Duration) -> Work {
        let queue = lock(&self.queue);
        let idle = |queue: &mut Queue| queue.items.is_empty() && queue.keys.is_none() && !queue.closed;
        let (mut queue, _) =
            self.wake.wait_timeout_while(queue, longest, idle).unwrap_or_else(PoisonError::into_inner);
        let mut items = VecDeque::new();
        let mut lines = 0;
        while let Some(item) = queue.items.front() {
            if !items.is_empty() && lines + item.events.len() > GROUP_LINES {
                break;
            }
            let Some(item) = queue.items.pop_front() else { break };
            lines += item.events.len();
            queue.lines = queue.lines.saturating_sub(item.events.len());
            queue.bytes = queue.bytes.saturating_sub(item.bytes());
            items.push_back(item);
        }
        Work { items, keys: queue.keys.take(), last: queue.closed && queue.items.is_empty() }
    }

    /// What the node last saw of the store.
    pub(crate) fn position(&self) -> MutexGuard<'_, StorePosition> {
        lock(&self.position)
    }

    /// Asks for a checkpoint in front of the next lines.
    pub(crate) fn ask_for_checkpoint(&self) {
        self.checkpoint_soon.store(true, Ordering::Release);
    }

    /// Whether a checkpoint was asked for since the last one.
    pub(crate) fn take_checkpoint_asked(&self) -> bool {
        self.checkpoint_soon.swap(false, Ordering::AcqRel)
    }

    /// Changes the numbers.
    pub(crate) fn record(&self, change: impl FnOnce(&mut AuditStats)) {
        change(&mut lock(&self.stats));
    }

    /// The numbers now.
    pub(crate) fn stats(&self) -> AuditStats {
        let mut stats = lock(&self.stats).clone();
        stats.queue = lock(&self.queue).lines as u64;
        stats.unverified = self.unverified.total();
        stats
    }
}

/// A thread that panicked with the lock left plain data behind: go on with it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
