//! The state that callers and the writer share: the bounded queue of lines, and the numbers for the metrics.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::checkpoint::StorePosition;
use crate::error::AuditError;
use crate::event::EncodedEvent;
use crate::stats::AuditStats;
use crate::unverified::Unverified;

/// Lines of one group: one write, one sync.
const GROUP_LINES: usize = 1024;
/// Lines that may wait.
const QUEUE_LINES: usize = 8192;
/// Bytes of events that may wait.
const QUEUE_BYTES: usize = 16 << 20;
/// A group waits for more lines until none came for so long: about as long as two syncs of a fast disk …
const SILENCE: Duration = Duration::from_micros(250);
/// … and no longer than this in all …
const GATHERING: Duration = Duration::from_millis(2);
/// … and for no more than these: then a sync costs each of them little.
const ENOUGH: usize = 32;
/// After a group that waited in vain for more lines, the next ones do not try that: so many of them.
const STEADY: u8 = 8;

/// Lines that wait for the writer.
#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    /// Lines that wait, or are being written.
    pending: usize,
    /// Since when lines wait without one becoming durable.
    stuck_since: Option<Instant>,
    /// How many lines the writer waits for; it is woken when they are there.
    wanted: usize,
    /// Whether it waits now. A notification is a system call even if nothing waits.
    waits: bool,
    closed: bool,
    closer: Option<Reply<()>>,
}

/// The sender of a result to the caller that waits for it.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, AuditError>>;

/// What happens with the number of a line, or with the reason why it was refused.
pub(crate) enum Then {
    /// It is sent to the caller that waits for it, on its runtime.
    Reply(Reply<u64>, Handle),
    /// It is called, on the writer's thread.
    Call(Box<dyn FnOnce(Result<u64, AuditError>) + Send>),
}

/// An encoded event, and what happens after its line is durable or refused.
pub(crate) struct Item {
    pub(crate) event: EncodedEvent,
    pub(crate) then: Then,
}

impl Item {
    /// The length of the event.
    fn bytes(&self) -> usize {
        self.event.as_bytes().len()
    }
}

/// One group for the writer.
pub(crate) struct Work {
    pub(crate) items: VecDeque<Item>,
    /// The log was closed, and these are the last lines.
    pub(crate) last: bool,
    /// How the next group waits.
    pub(crate) pace: Pace,
}

/// How many lines a group waits for. As many as the last one had, because their clients come back; and sometimes twice as
/// many, because there may be more clients by now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    wanted: usize,
    /// How many groups keep this number.
    steady: u8,
}

impl Pace {
    /// After a group of so many lines, which had to wait until none came.
    fn after_silence(group: usize) -> Self {
        Self::of(group, STEADY)
    }

    /// After a group of so many lines, which had all that it wanted.
    fn after(self, group: usize) -> Self {
        match self.steady.checked_sub(1) {
            Some(steady) if group <= self.wanted => Self::of(group, steady),
            _ => Self::of(group * 2, 0),
        }
    }

    /// A client alone never waits.
    fn of(wanted: usize, steady: u8) -> Self {
        if wanted < 2 { Self::default() } else { Self { wanted: wanted.min(ENOUGH), steady } }
    }
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
    /// Queues a line, or returns at once why it cannot.
    pub(crate) fn push(&self, item: Item) -> Result<(), AuditError> {
        let mut queue = lock(&self.queue);
        if queue.closed {
            return Err(AuditError::Closed);
        }
        let bytes = queue.bytes.saturating_add(item.bytes());
        if queue.items.len() >= QUEUE_LINES || bytes > QUEUE_BYTES {
            return Err(AuditError::Busy);
        }
        queue.bytes = bytes;
        queue.items.push_back(item);
        queue.pending += 1;
        queue.stuck_since.get_or_insert_with(now);
        let wakes = queue.waits && queue.items.len() >= queue.wanted;
        queue.waits &= !wakes;
        drop(queue);
        if wakes {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Refuses further lines. If a caller waits for a reply, the writer writes a last checkpoint.
    pub(crate) fn close(&self, reply: Option<Reply<()>>) -> Result<(), AuditError> {
        let mut queue = lock(&self.queue);
        if queue.closed {
            return Err(AuditError::Closed);
        }
        queue.closed = true;
        queue.closer = reply;
        drop(queue);
        self.wake.notify_one();
        Ok(())
    }

    /// The caller that waits for the log to close.
    pub(crate) fn closer(&self) -> Option<Reply<()>> {
        lock(&self.queue).closer.take()
    }

    /// Waits for work, at most for `longest`, and takes one group. Lines of one group share a sync, which costs more than
    /// the rest of a request: while lines arrive, it waits until the group has as many as `pace` says.
    pub(crate) fn take(&self, longest: Duration, pace: Pace) -> Work {
        let mut queue = self.wait_for(lock(&self.queue), 1, longest);
        let begun = now();
        let mut was_silent = false;
        while !queue.items.is_empty()
            && queue.items.len() < pace.wanted
            && !queue.closed
            && now().saturating_duration_since(begun) < GATHERING
        {
            let before = queue.items.len();
            queue = self.wait_for(queue, pace.wanted, SILENCE);
            was_silent = queue.items.len() == before;
            if was_silent {
                break;
            }
        }
        let group = queue.items.len().min(GROUP_LINES);
        let pace = match group {
            0 | 1 => Pace::default(),
            _ if was_silent => Pace::after_silence(group),
            _ => pace.after(group),
        };
        let items: VecDeque<Item> = queue.items.drain(..group).collect();
        let taken = items.iter().map(Item::bytes).sum();
        queue.bytes = queue.bytes.saturating_sub(taken);
        Work { items, last: queue.closed && queue.items.is_empty(), pace }
    }

    fn wait_for<'q>(
        &self,
        mut queue: MutexGuard<'q, Queue>,
        lines: usize,
        longest: Duration,
    ) -> MutexGuard<'q, Queue> {
        (queue.wanted, queue.waits) = (lines, true);
        let (mut queue, _) = self
            .wake
            .wait_timeout_while(queue, longest, |queue| queue.items.len() < lines && !queue.closed)
            .unwrap_or_else(PoisonError::into_inner);
        queue.waits = false;
        queue
    }

    /// Counts lines that are durable or refused.
    pub(crate) fn decided(&self, lines: usize) {
        let mut queue = lock(&self.queue);
        queue.pending = queue.pending.saturating_sub(lines);
        queue.stuck_since = (queue.pending > 0).then(now);
    }

    /// The position in the store that the node last saw.
    pub(crate) fn position(&self) -> MutexGuard<'_, StorePosition> {
        lock(&self.position)
    }

    /// Requests a checkpoint before the next lines.
    pub(crate) fn request_checkpoint(&self) {
        self.checkpoint_soon.store(true, Ordering::Release);
    }

    /// Whether a checkpoint was requested since the last one.
    pub(crate) fn take_checkpoint_request(&self) -> bool {
        self.checkpoint_soon.swap(false, Ordering::AcqRel)
    }

    /// Changes the numbers.
    pub(crate) fn record(&self, change: impl FnOnce(&mut AuditStats)) {
        change(&mut lock(&self.stats));
    }

    /// The numbers now. A disk that takes longer than `longest` for a line counts as an error: a write that hangs
    /// reports none.
    pub(crate) fn stats(&self, longest: Duration) -> AuditStats {
        let mut stats = lock(&self.stats).clone();
        let queue = lock(&self.queue);
        (stats.queue, stats.pending) = (queue.items.len() as u64, queue.pending as u64);
        let stuck = queue.stuck_since.map(|since| now().saturating_duration_since(since));
        drop(queue);
        if stuck.is_some_and(|stuck| stuck > longest) {
            stats.error.get_or_insert_with(|| AuditError::TimedOut.to_string());
        }
        stats.unverified = self.unverified.total();
        stats
    }
}

/// Ignores poisoning: the data stays valid if a thread panics while it holds the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place of this crate; it measures how long a write takes"
)]
fn now() -> Instant {
    Instant::now()
}
