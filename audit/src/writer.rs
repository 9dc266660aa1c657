//! The writer thread: groups of lines, checkpoints, segments, and recovery from a failing disk.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use petsem_keys::{AuditMacKey, AuditSigningKey, scrubbed_call};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::checkpoint::Checkpoint;
use crate::error::AuditError;
use crate::event::{AuditEvent, EncodedEvent, Outcome};
use crate::line::{ENVELOPE_MAXIMUM, write_line};
use crate::lock::DirectoryLock;
use crate::log::{AuditSettings, Clock, DurableCheckpoint, Resume};
use crate::queue::{Item, Pace, Shared, Then};
use crate::reserve::Reserve;
use crate::segment::{self, Presence, Segment};

/// Bytes that every segment keeps free for its last checkpoint.
pub(crate) const CHECKPOINT_ROOM: u64 = 1024;
/// Room for a few lines. With less, the log continues to refuse.
const PROBE: u64 = 8 * 1024;
/// The longest wait before the writer checks the clock, the file and the reserve again.
const TICK: Duration = Duration::from_secs(1);

/// The state of the log between two groups. All of it is durable.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) settings: AuditSettings,
    pub(crate) clock: Clock,
    pub(crate) node: [u8; 16],
    pub(crate) segment: Segment,
    pub(crate) reserve: Reserve,
    /// Number and chain of the last line.
    pub(crate) line: u64,
    pub(crate) head: [u8; 32],
    pub(crate) keys: Option<CurrentKeys>,
    /// Signed checkpoints in the log.
    pub(crate) signed: u64,
    pub(crate) checkpoints: mpsc::Sender<DurableCheckpoint>,
    /// Held while this process writes the log.
    pub(crate) lock: DirectoryLock,
    /// Bytes of the last line of the segment, to find the position again after a failed write.
    pub(crate) last_line: Vec<u8>,
    pub(crate) condition: Condition,
}

/// Faults and due work, to be handled before the next line or once a second.
#[derive(Default)]
pub(crate) struct Condition {
    /// A checkpoint comes first: after opening, and when one was requested.
    pub(crate) checkpoint_first: bool,
    /// Lines after the last checkpoint.
    pub(crate) lines: u64,
    /// When the last checkpoint was written, in Unix milliseconds.
    pub(crate) checkpoint_ms: u64,
    /// The second of the last maintenance.
    pub(crate) second: Option<u64>,
    /// A write or sync failed: nothing after the position is trusted.
    pub(crate) suspect: bool,
    /// Durable lines are lost. An operator must decide how to continue.
    pub(crate) damaged: bool,
    /// The reserve cannot be filled.
    pub(crate) reserve_short: bool,
    /// The last attempt to write failed. The writer retries without a caller: a load balancer sends no more
    /// requests to a node that reports itself as not ready.
    pub(crate) refusing: bool,
    /// The file is not at its path, and could not be restored there.
    pub(crate) displaced: bool,
}

/// The keys of the next line and checkpoint.
pub(crate) struct CurrentKeys {
    /// Replaced by its one-way successor at each checkpoint.
    pub(crate) mac: Option<AuditMacKey>,
    pub(crate) signing: AuditSigningKey,
}

impl Writer {
    /// Writes until the log is closed.
    pub(crate) fn run(mut self) {
        let mut pace = Pace::default();
        loop {
            let work = self.shared.take(TICK, pace);
            let last = work.last;
            pace = work.pace;
            // The MAC key is replaced one way: no copy of the previous one may stay on the stack.
            scrubbed_call(|| {
                self.write_items(work.items);
                self.maintain();
                self.checkpoint_if_due();
            });
            if last {
                self.end();
                return;
            }
        }
    }

    /// Writes the last lines and a checkpoint.
    fn end(mut self) {
        let Some(closer) = self.shared.closer() else { return };
        self.write_unverified((self.clock)());
        let result = self.checkpoint_now();
        drop(self.lock);
        // The caller may have stopped waiting.
        let _ignored = closer.send(result);
    }

    /// Writes the waiting lines in as few groups as the segments allow, and replies to every caller.
    fn write_items(&mut self, mut items: VecDeque<Item>) {
        while let Some(first) = items.front() {
            let needed = space(first.event.as_bytes());
            let maximum = self.settings.segment_bytes / 2;
            let ready = if needed > maximum {
                Err(AuditError::TooLong { length: to_usize(needed), maximum: to_usize(maximum) })
            } else {
                self.ready(needed)
            };
            if let Err(error) = ready {
                let refused = if needed > maximum {
                    1
                } else {
                    self.report(&error);
                    items.len()
                };
                self.decide(items.drain(..refused).collect(), &Err(error));
                continue;
            }
            let mut room = self.segment.room().saturating_sub(CHECKPOINT_ROOM);
            let fitting = items
                .iter()
                .take_while(|item| match room.checked_sub(space(item.event.as_bytes())) {
                    Some(left) => {
                        room = left;
                        true
                    }
                    None => false,
                })
                .count();
            // The first one fits: `ready` made room for it.
            let fitting = fitting.max(1);
            self.write_group(items.drain(..fitting).collect());
        }
    }

    fn write_group(&mut self, items: Vec<Item>) {
        let events: Vec<&[u8]> = items.iter().map(|item| item.event.as_bytes()).collect();
        let first = self.line.saturating_add(1);
        let result = self.commit(&events).map(|()| first);
        self.decide(items, &result);
    }

    /// Tells every caller that its line is durable or refused; the result has the number of the first line. Replies
    /// leave last, from a task: each wake from outside of a runtime costs it a lock, and often a system call.
    fn decide(&self, items: Vec<Item>, result: &Result<u64, AuditError>) {
        self.shared.decided(items.len());
        // By runtime: a boot does not wait for the threads of other requests. Events are freed there, too: a thread that
        // is interrupted in the allocator keeps others out of its arena.
        let mut replies: Vec<(Handle, Vec<_>)> = Vec::new();
        for (place, item) in (0..).zip(items) {
            let result = result.clone().map(|first| first.saturating_add(place));
            match item.then {
                Then::Call(call) => call(result),
                Then::Reply(reply, runtime) => {
                    let reply = (reply, result, item.event);
                    match replies.iter_mut().find(|(other, _)| other.id() == runtime.id()) {
                        Some((_, replies)) => replies.push(reply),
                        None => replies.push((runtime, vec![reply])),
                    }
                }
            }
        }
        for (runtime, replies) in replies {
            runtime.spawn(async move {
                for (reply, result, _event) in replies {
                    // The caller may have stopped waiting.
                    drop(reply.send(result));
                }
            });
        }
    }

    /// Makes lines of `events`, writes and syncs them. A failure leaves the state unchanged.
    fn commit(&mut self, events: &[&[u8]]) -> Result<(), AuditError> {
        let mut buffer = Vec::with_capacity(events.iter().map(|event| event.len() + ENVELOPE_MAXIMUM).sum());
        let (mut line, mut head, mut last) = (self.line, self.head, 0);
        let key = self.keys.as_ref().and_then(|keys| keys.mac.as_ref());
        for event in events {
            line = line.saturating_add(1);
            last = buffer.len();
            head = write_line(&mut buffer, line, &self.node, event, &head, key);
        }
        if let Err(error) = self.segment.write(&buffer).and_then(|()| self.sync(buffer.len())) {
            self.condition.suspect = true;
            let error = refusal(error);
            self.report(&error);
            return Err(error);
        }
        self.last_line = buffer.split_off(last);
        (self.line, self.head) = (line, head);
        self.condition.lines = self.condition.lines.saturating_add(events.len() as u64);
        self.condition.refusing = false;
        let left = self.reserve_left();
        let bytes = (buffer.len() + self.last_line.len()) as u64;
        self.shared.record(|stats| {
            stats.line = line;
            stats.lines += events.len() as u64;
            stats.syncs += 1;
            stats.bytes += bytes;
            stats.reserve_left = left;
            stats.error = None;
        });
        Ok(())
    }

    fn sync(&mut self, length: usize) -> io::Result<()> {
        #[cfg(test)]
        {
            use std::sync::atomic::Ordering;
            let counted =
                self.shared
                    .failing_syncs
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if counted.is_ok() {
                return Err(io::Error::other("the disk failed"));
            }
        }
        self.segment.sync(length)
    }

    /// Prepares the log to take `bytes` more: recovers from a failed write, starts a segment with room, and
    /// writes a due checkpoint.
    pub(crate) fn ready(&mut self, bytes: u64) -> Result<(), AuditError> {
        if self.condition.damaged {
            return Err(AuditError::Damaged { file: self.segment.path().to_owned() });
        }
        if self.condition.suspect {
            self.leave_suspect()?;
        }
        if self.segment.room() < bytes.saturating_add(CHECKPOINT_ROOM) {
            self.roll()?;
        }
        self.condition.checkpoint_first |= self.shared.take_checkpoint_request();
        if self.segment.is_empty() || self.condition.checkpoint_first {
            self.write_checkpoint()?;
            // The checkpoint used some of the room.
            if self.segment.room() < bytes.saturating_add(CHECKPOINT_ROOM) {
                self.roll()?;
                self.write_checkpoint()?;
            }
        }
        Ok(())
    }

    /// After a failed write: the durable lines must still be there, and no further line goes to that file.
    fn leave_suspect(&mut self) -> Result<(), AuditError> {
        if !self.segment.is_empty() && !self.segment.ends_with(&self.last_line).map_err(refusal)? {
            return Err(self.damage());
        }
        self.segment.finish().map_err(refusal)?;
        self.condition.suspect = false;
        Ok(())
    }

    /// Continues in the next segment.
    fn roll(&mut self) -> Result<(), AuditError> {
        let next = self.reserve.take().map_err(refusal)?;
        if let Err(error) = self.segment.finish() {
            self.reserve.put_back(&next);
            return Err(refusal(error));
        }
        let old = std::mem::replace(&mut self.segment, next);
        if old.is_empty() {
            // It never held a line: its first write failed.
            let _kept = fs::remove_file(old.path());
        }
        self.last_line.clear();
        Ok(())
    }

    /// Writes a checkpoint, sends it to the store once it is durable, and replaces the MAC key.
    fn write_checkpoint(&mut self) -> Result<(), AuditError> {
        let store = *self.shared.position();
        let time_ms = (self.clock)();
        let mut checkpoint = Checkpoint {
            node: self.node,
            number: self.signed.saturating_add(u64::from(self.keys.is_some())),
            line: self.line,
            head: self.head,
            time_ms,
            revision: store.revision,
            feed: store.feed,
            signature: None,
        };
        if let Some(keys) = &self.keys {
            checkpoint.sign(&keys.signing);
        }
        let (segment, offset) = (self.segment.number(), self.segment.position());
        self.commit(&[&checkpoint.encode()])?;
        if let Some(keys) = self.keys.as_mut() {
            keys.mac = keys.mac.take().map(AuditMacKey::ratchet);
        }
        let mac = self.keys.as_ref().and_then(|keys| keys.mac.as_ref()).map(AuditMacKey::as_ratchet);
        let resume = mac.map(|mac| Resume { number: checkpoint.number, segment, offset, mac });
        self.signed = checkpoint.number;
        self.condition.checkpoint_first = false;
        self.condition.lines = 0;
        self.condition.checkpoint_ms = time_ms;
        self.shared.record(|stats| stats.checkpoints += 1);
        // If the channel is full, this one is dropped: a later one covers more.
        let _dropped = self.checkpoints.try_send(DurableCheckpoint { checkpoint, resume });
        Ok(())
    }

    /// Writes a checkpoint after the last line, in a new segment if necessary.
    pub(crate) fn checkpoint_now(&mut self) -> Result<(), AuditError> {
        self.check_presence()?;
        let before = self.line;
        self.ready(0)?;
        if self.line == before { self.write_checkpoint() } else { Ok(()) }
    }

    /// Tests whether lines can be written again. A checkpoint proves it.
    fn retry(&mut self) -> Result<(), AuditError> {
        self.ready(PROBE)?;
        self.write_checkpoint()
    }

    fn checkpoint_if_due(&mut self) {
        let age_ms = (self.clock)().saturating_sub(self.condition.checkpoint_ms);
        let many = self.condition.lines >= self.settings.checkpoint_lines;
        let late = age_ms >= self.settings.checkpoint_seconds.saturating_mul(1000);
        if (many || (late && self.condition.lines > 0))
            && let Err(error) = self.checkpoint_now()
        {
            self.report(&error);
        }
    }

    /// Once a second: checks the file, retries a failed write, writes the counts of refused requests, and
    /// fills the reserve.
    fn maintain(&mut self) {
        let now_ms = (self.clock)();
        let second = now_ms / 1000;
        if self.condition.second == Some(second) {
            // Replaces at once the segment that was taken from the reserve, while the disk allows it.
            if self.reserve.is_short() && !self.condition.reserve_short {
                self.fill_reserve();
            }
            return;
        }
        self.condition.second = Some(second);
        if let Err(error) = self.check_presence() {
            self.report(&error);
        }
        if self.condition.refusing
            && let Err(error) = self.retry()
        {
            self.report(&error);
        }
        self.write_unverified(now_ms);
        self.fill_reserve();
    }

    fn write_unverified(&mut self, time_ms: u64) {
        let summaries = self.shared.unverified.take();
        let events: Vec<EncodedEvent> =
            summaries.iter().filter_map(|summary| summary.event(time_ms).encode().ok()).collect();
        if events.is_empty() {
            return;
        }
        // Each has at most 5 KiB, so these pieces fit into every segment.
        let mut written = 0;
        for piece in events.chunks(8) {
            if let Err(error) = self.write_own(piece) {
                self.report(&error);
                break;
            }
            written += piece.len();
        }
        self.shared.unverified.put_back(summaries.into_iter().skip(written).collect());
    }

    /// Writes lines that no request belongs to.
    fn write_own(&mut self, events: &[EncodedEvent]) -> Result<(), AuditError> {
        self.ready(events.iter().map(|event| space(event.as_bytes())).sum())?;
        let events: Vec<&[u8]> = events.iter().map(EncodedEvent::as_bytes).collect();
        self.commit(&events)
    }

    /// Writes a line about the log itself.
    pub(crate) fn write_notice(&mut self, action: &'static str, detail: String) -> Result<(), AuditError> {
        let event = AuditEvent {
            detail: Some(detail),
            ..AuditEvent::new((self.clock)(), "-", action, Outcome::Failed)
        };
        let encoded = event.encode()?;
        self.write_own(&[encoded])
    }

    pub(crate) fn reserve_is_short(&self) -> bool {
        self.reserve.is_short()
    }

    /// Adds one segment to a short reserve; one at a time, so that no line waits long. Returns whether it
    /// could.
    pub(crate) fn fill_reserve(&mut self) -> bool {
        let added = if self.reserve.is_short() { self.reserve.add_one() } else { Ok(()) };
        let left = self.reserve_left();
        let short = added.is_err();
        self.shared.record(|stats| {
            stats.reserve_left = left;
            stats.reserve_short = short;
        });
        if let Err(error) = added
            && !self.condition.reserve_short
        {
            tracing::error!(error = %error, left, "audit reserve cannot be filled");
        }
        self.condition.reserve_short = short;
        !short
    }

    fn reserve_left(&self) -> u64 {
        self.reserve.bytes().saturating_add(self.segment.room())
    }

    /// Detects that another process deleted, replaced or truncated the file. A deleted or replaced file is
    /// restored from the open one, which is logged.
    fn check_presence(&mut self) -> Result<(), AuditError> {
        if self.condition.damaged {
            return Ok(());
        }
        let how = match self.segment.presence().map_err(refusal)? {
            Presence::Same => {
                if std::mem::take(&mut self.condition.displaced) {
                    self.shared.record(|stats| stats.is_displaced = false);
                }
                return Ok(());
            }
            Presence::Cut => return Err(self.damage()),
            Presence::Gone => "deleted",
            Presence::Replaced => "replaced",
        };
        let restored = self.segment.restore();
        self.condition.displaced = restored.is_err();
        self.shared.record(|stats| {
            stats.is_displaced = restored.is_err();
            stats.files_restored += u64::from(restored.is_ok());
        });
        restored.map_err(refusal)?;
        let detail = format!("{} was {how} while in use; restored", self.segment.path().display());
        tracing::error!(detail, "audit file restored");
        self.write_notice("audit.restore", detail)
    }

    fn damage(&mut self) -> AuditError {
        self.condition.damaged = true;
        AuditError::Damaged { file: self.segment.path().to_owned() }
    }

    /// Records an error for the metrics, and logs it if it differs from the last one.
    fn report(&mut self, error: &AuditError) {
        self.condition.refusing = true;
        let text = match error {
            AuditError::Write(source) => format!("{error} ({source})"),
            _ => error.to_string(),
        };
        let left = self.reserve_left();
        let mut is_new = false;
        self.shared.record(|stats| {
            is_new = stats.error.as_ref() != Some(&text);
            stats.error = Some(text.clone());
            stats.reserve_left = left;
        });
        if is_new {
            tracing::error!(error = text, "the audit log cannot be written");
        }
    }
}

/// The most bytes that the line of an event can take.
fn space(event: &[u8]) -> u64 {
    (event.len() + ENVELOPE_MAXIMUM) as u64
}

fn refusal(error: io::Error) -> AuditError {
    if segment::is_full(&error) { AuditError::Full } else { AuditError::Write(Arc::new(error)) }
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
