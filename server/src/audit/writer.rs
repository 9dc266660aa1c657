//! The one thread that writes: groups, checkpoints, segments, and what follows when the disk fails.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use petsem_keys::{AuditMacKey, AuditSigningKey, scrubbed_call};
use petsem_store::FileLock;
use tokio::sync::mpsc;

use super::checkpoint::Checkpoint;
use super::error::AuditError;
use super::event::{AuditEvent, Outcome};
use super::line::{ENVELOPE_MAXIMUM, write_line};
use super::log::{AuditKeys, AuditSettings, Clock};
use super::queue::{Item, Shared};
use super::reserve::Reserve;
use super::segment::{self, Presence, Segment};

/// Bytes that every segment keeps free for its last checkpoint.
pub(super) const CHECKPOINT_ROOM: u64 = 1024;
/// Room for a few lines: with less, the log still refuses.
const PROBE: u64 = 8 * 1024;
/// The longest wait before the writer looks at clock, file and reserve again.
const TICK: Duration = Duration::from_secs(1);

/// The state of the log between two groups: everything in it is durable.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) settings: AuditSettings,
    pub(super) clock: Clock,
    pub(super) node: [u8; 16],
    pub(super) segment: Segment,
    pub(super) reserve: Reserve,
    /// Number and chain of the last line.
    pub(super) line: u64,
    pub(super) head: [u8; 32],
    pub(super) keys: Option<CurrentKeys>,
    /// Signed checkpoints in the log.
    pub(super) signed: u64,
    pub(super) checkpoints: mpsc::Sender<Checkpoint>,
    /// Held as long as this process writes the log.
    pub(super) lock: FileLock,
    /// Bytes of the last line of the segment, to find the position again.
    pub(super) last_line: Vec<u8>,
    pub(super) condition: Condition,
}

/// What must happen before, or beside, the next line.
#[derive(Default)]
pub(super) struct Condition {
    /// A checkpoint comes first: at start and after unsealing.
    pub(super) checkpoint_first: bool,
    /// Lines after the last checkpoint.
    pub(super) lines: u64,
    /// When the last checkpoint was made, in Unix milliseconds.
    pub(super) checkpoint_ms: u64,
    /// The second of the last look around.
    pub(super) second: Option<u64>,
    /// A write or sync failed: nothing after the position is trusted.
    pub(super) suspect: bool,
    /// Durable lines are gone; only a person can say what then.
    pub(super) damaged: bool,
    /// The reserve cannot be filled.
    pub(super) reserve_short: bool,
    /// The last attempt to write failed. It is tried again without a caller, or a node that says so of
    /// itself would never be asked again.
    pub(super) refusing: bool,
}

/// The keys of the next line and checkpoint.
pub(super) struct CurrentKeys {
    /// Taken and put back moved forward at each checkpoint.
    pub(super) mac: Option<AuditMacKey>,
    pub(super) signing: AuditSigningKey,
}

impl Writer {
    /// Writes until the log is closed.
    pub(super) fn run(mut self) {
        loop {
            let work = self.shared.take(TICK);
            let last = work.last;
            // The key of lines moves one way: of the one before nothing may stay.
            scrubbed_call(|| {
                if let Some(keys) = work.keys {
                    self.unseal(keys);
                }
                self.write_items(work.items);
                self.look_around();
                self.checkpoint_if_due();
            });
            if last {
                self.end();
                return;
            }
        }
    }

    /// Brings the last lines and a checkpoint to the disk.
    fn end(mut self) {
        let Some(closer) = self.shared.closer() else { return };
        self.write_unverified((self.clock)());
        let result = self.checkpoint_now();
        drop(self.lock);
        // Nobody may wait any more.
        let _unheard = closer.send(result);
    }

    /// Moves the log's first MAC key to where the log is; a checkpoint under it comes first.
    fn unseal(&mut self, keys: AuditKeys) {
        if self.keys.is_some() {
            return;
        }
        let mut mac = keys.initial_mac;
        for _ in 0..self.signed {
            mac = mac.ratchet();
        }
        self.keys = Some(CurrentKeys { mac: Some(mac), signing: keys.signing });
        self.condition.checkpoint_first = true;
        if let Err(error) = self.ready(0) {
            self.complain(&error);
        }
    }

    /// Writes what waits, as few groups as fit into segments, and answers everybody.
    fn write_items(&mut self, mut items: VecDeque<Item>) {
        while let Some(first) = items.front() {
            let needed = space(&first.events);
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
                    self.complain(&error);
                    items.len()
                };
                for item in items.drain(..refused) {
                    let _unheard = item.answer.send(Err(error.clone()));
                }
                continue;
            }
            let mut room = self.segment.room().saturating_sub(CHECKPOINT_ROOM);
            let fitting = items
                .iter()
                .take_while(|item| match room.checked_sub(space(&item.events)) {
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
        let events: Vec<&[u8]> = items.iter().flat_map(|item| &item.events).map(Vec::as_slice).collect();
        let first = self.line.saturating_add(1);
        let result = self.commit(&events);
        let mut number = first;
        for item in items {
            let answer = match &result {
                Ok(()) => {
                    let next = number.saturating_add(item.events.len() as u64);
                    let numbers = (number..next).collect();
                    number = next;
                    Ok(numbers)
                }
                Err(error) => Err(error.clone()),
            };
            let _unheard = item.answer.send(answer);
        }
    }

    /// Makes lines of `events`, writes and syncs them. On failure the state is as before.
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
            self.complain(&error);
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

    /// Makes the log fit to take `bytes` more: healed, in a segment with room, behind a checkpoint.
    pub(super) fn ready(&mut self, bytes: u64) -> Result<(), AuditError> {
        if self.condition.damaged {
            return Err(AuditError::Damaged { file: self.segment.path().to_owned() });
        }
        if self.condition.suspect {
            self.leave_suspect()?;
        }
        if self.segment.room() < bytes.saturating_add(CHECKPOINT_ROOM) {
            self.roll()?;
        }
        self.condition.checkpoint_first |= self.shared.take_checkpoint_asked();
        if self.segment.is_empty() || self.condition.checkpoint_first {
            self.write_checkpoint()?;
            // It took its own room.
            if self.segment.room() < bytes.saturating_add(CHECKPOINT_ROOM) {
                self.roll()?;
                self.write_checkpoint()?;
            }
        }
        Ok(())
    }

    /// After a failed write: the durable lines must be there, and no other line follows in that file.
    fn leave_suspect(&mut self) -> Result<(), AuditError> {
        if !self.segment.is_empty() && !self.segment.ends_with(&self.last_line).map_err(refusal)? {
            return Err(self.damage());
        }
        self.segment.finish().map_err(refusal)?;
        self.condition.suspect = false;
        Ok(())
    }

    /// Goes on in the next segment.
    fn roll(&mut self) -> Result<(), AuditError> {
        let next = self.reserve.take().map_err(refusal)?;
        if let Err(error) = self.segment.finish() {
            self.reserve.put_back(&next);
            return Err(refusal(error));
        }
        let old = std::mem::replace(&mut self.segment, next);
        if old.is_empty() {
            // It never held a line: a failed write was its first.
            let _kept = fs::remove_file(old.path());
        }
        self.last_line.clear();
        Ok(())
    }

    /// Writes a checkpoint, hands it on once durable, and moves the MAC key forward.
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
        self.commit(&[&checkpoint.encode()])?;
        if let Some(keys) = self.keys.as_mut() {
            keys.mac = keys.mac.take().map(AuditMacKey::ratchet);
        }
        self.signed = checkpoint.number;
        self.condition.checkpoint_first = false;
        self.condition.lines = 0;
        self.condition.checkpoint_ms = time_ms;
        self.shared.record(|stats| stats.checkpoints += 1);
        // If nobody took the last ones, a later one says more.
        let _left_out = self.checkpoints.try_send(checkpoint);
        Ok(())
    }

    /// A checkpoint behind the last line, whatever it takes.
    pub(super) fn checkpoint_now(&mut self) -> Result<(), AuditError> {
        self.check_presence()?;
        let before = self.line;
        self.ready(0)?;
        if self.line == before { self.write_checkpoint() } else { Ok(()) }
    }

    /// Sees whether lines can be written once more. A checkpoint proves it.
    fn try_again(&mut self) -> Result<(), AuditError> {
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
            self.complain(&error);
        }
    }

    /// Once a second: is the file still there, who knocked, is the reserve whole?
    fn look_around(&mut self) {
        let now_ms = (self.clock)();
        let second = now_ms / 1000;
        if self.condition.second == Some(second) {
            // What a full segment took is made up for at once, while the disk allows it.
            if self.reserve.is_short() && !self.condition.reserve_short {
                self.fill_reserve();
            }
            return;
        }
        self.condition.second = Some(second);
        if let Err(error) = self.check_presence() {
            self.complain(&error);
        }
        if self.condition.refusing
            && let Err(error) = self.try_again()
        {
            self.complain(&error);
        }
        self.write_unverified(now_ms);
        self.fill_reserve();
    }

    fn write_unverified(&mut self, time_ms: u64) {
        let summaries = self.shared.unverified.take();
        let events: Vec<Vec<u8>> =
            summaries.iter().filter_map(|summary| summary.event(time_ms).encode().ok()).collect();
        if events.is_empty() {
            return;
        }
        // 1025 short lines fit into half of every segment but the smallest; pieces fit into all.
        let mut written = 0;
        for piece in events.chunks(32) {
            if let Err(error) = self.write_own(piece) {
                self.complain(&error);
                break;
            }
            written += piece.len();
        }
        self.shared.unverified.put_back(summaries.into_iter().skip(written).collect());
    }

    /// Writes lines of the log's own.
    fn write_own(&mut self, events: &[Vec<u8>]) -> Result<(), AuditError> {
        self.ready(space(events))?;
        let events: Vec<&[u8]> = events.iter().map(Vec::as_slice).collect();
        self.commit(&events)
    }

    /// Writes a line about the log itself.
    pub(super) fn write_notice(&mut self, action: &'static str, detail: String) -> Result<(), AuditError> {
        let event = AuditEvent {
            detail: Some(detail),
            ..AuditEvent::new((self.clock)(), "-", action, Outcome::Failed)
        };
        let encoded = event.encode()?;
        self.write_own(&[encoded])
    }

    pub(super) fn reserve_is_short(&self) -> bool {
        self.reserve.is_short()
    }

    /// Adds one segment to a short reserve, so that nobody waits long for it. Answers whether it could.
    pub(super) fn fill_reserve(&mut self) -> bool {
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

    /// Notices a file that was deleted, replaced or cut underneath. The first two are healed from the file
    /// that is still open, and said aloud.
    fn check_presence(&mut self) -> Result<(), AuditError> {
        if self.condition.damaged {
            return Ok(());
        }
        let how = match self.segment.presence().map_err(refusal)? {
            Presence::Same => return Ok(()),
            Presence::Cut => return Err(self.damage()),
            Presence::Gone => "deleted",
            Presence::Replaced => "replaced",
        };
        self.segment.restore().map_err(refusal)?;
        self.shared.record(|stats| stats.files_restored += 1);
        let detail = format!("{} was {how} while in use; written anew", self.segment.path().display());
        tracing::error!(detail, "audit file restored");
        self.write_notice("audit.restore", detail)
    }

    fn damage(&mut self) -> AuditError {
        self.condition.damaged = true;
        AuditError::Damaged { file: self.segment.path().to_owned() }
    }

    /// Tells metrics and log what is wrong; the log once, not at every line.
    fn complain(&mut self, error: &AuditError) {
        self.condition.refusing = true;
        let text = match error {
            AuditError::Write(source) => format!("{error} ({source})"),
            _ => error.to_string(),
        };
        let left = self.reserve_left();
        let mut news = false;
        self.shared.record(|stats| {
            news = stats.error.as_ref() != Some(&text);
            stats.error = Some(text.clone());
            stats.reserve_left = left;
        });
        if news {
            tracing::error!(error = text, "audit log");
        }
    }
}

/// The most that events can take in a segment.
fn space(events: &[Vec<u8>]) -> u64 {
    events.iter().map(|event| (event.len() + ENVELOPE_MAXIMUM) as u64).sum()
}

fn refusal(error: io::Error) -> AuditError {
    if segment::is_full(&error) { AuditError::Full } else { AuditError::Write(Arc::new(error)) }
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
