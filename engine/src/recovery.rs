//! Ties the audit log to the store: checkpoints kept in the store, and lines lost when a process was killed.

use std::collections::{BTreeMap, HashSet};

use data_encoding::HEXLOWER;
use petsem_api::RequestId;
use petsem_audit::{AuditError, AuditEvent, DurableCheckpoint, EncodedEvent, Outcome, StorePosition};
use petsem_store::{RecordKind, Store};

use crate::engine::Engine;
use crate::entropy;
use crate::error::Failure;
use crate::keyring::node_keys::ratchet_context;
use crate::keyring::unlock::Unlocked;
use crate::messages;
use crate::records::{CheckpointRow, FeedHeadRow, IntegrityFault, NodeRow, SignedNote, expect, read_row};

/// How long before its line, by the node's clock, a request may have begun, in milliseconds. A clock that was set by
/// more than that may let a row that was put back have a second line.
const LONGEST_REQUEST: u64 = 10 * 60 * 1000;

/// What this node's audit log has seen by its checkpoints and the store lacks: the store was rolled back, or is another
/// store. `None` if nothing is missing.
///
/// # Errors
/// The store cannot be read, or the head of the control feed is not what was written.
pub async fn missing_from_store(
    store: &dyn Store,
    unlocked: &Unlocked,
    log: StorePosition,
) -> Result<Option<String>, Failure> {
    if let Some(seen) = log.revision
        && store.mark(seen.revision).await? != Some(seen.mark)
    {
        return Ok(Some(messages::revision(seen.revision)));
    }
    let Some(seen) = log.feed else { return Ok(None) };
    let head = read_row::<FeedHeadRow>(store, &unlocked.codec, &[]).await?.transpose()?;
    let number = head.map_or(0, |row| row.content.number);
    Ok((number < seen).then(|| messages::control_change(seen)))
}

impl Engine {
    /// Writes a last checkpoint and ends the audit log.
    ///
    /// # Errors
    /// The last checkpoint could not be made durable.
    pub async fn close_audit(&self) -> Result<(), AuditError> {
        self.audit.close().await
    }

    /// Keeps a checkpoint in the store, so that a truncated log is detected, and the next start verifies only what
    /// comes after it.
    pub async fn record_checkpoint(&self, checkpoint: &DurableCheckpoint) {
        if let Err(error) = self.keep_checkpoint(checkpoint).await {
            tracing::warn!(
                reason = error.operator_text(),
                "cannot keep an audit checkpoint in the store; a later one will be kept"
            );
        }
    }

    async fn keep_checkpoint(&self, durable: &DurableCheckpoint) -> Result<(), Failure> {
        // An engine has keys, so its log has a MAC key.
        let DurableCheckpoint { checkpoint, resume: Some(resume) } = durable else { return Ok(()) };
        let missing = || IntegrityFault::new(RecordKind::Node, &self.node, "it is missing");
        let row = self.row::<NodeRow>(&self.node).await?.ok_or_else(missing)?;
        let (keyring, unchanged) = self.wrapping().await?;
        let context = ratchet_context(self.store_id, self.node, resume.number);
        let ratchet = keyring.wrap(&mut entropy::rng(), &resume.mac, &context).map_err(Failure::internal)?;
        let kept = CheckpointRow {
            number: resume.number,
            line: checkpoint.line,
            head: HEXLOWER.encode(&checkpoint.head),
            signature: checkpoint.signature.map(|signature| HEXLOWER.encode(&signature)),
            segment: resume.segment,
            offset: resume.offset,
            audit_ratchet_key: ratchet,
        };
        let name = self.settings.node_name.clone();
        let content = NodeRow { name, checkpoint: Some(kept), ..row.content };
        let mut change = self.change_without_line();
        // The next start reads the log from this checkpoint on, and revisions only rise.
        change.hold_marks_from = checkpoint.revision.map(|pair| pair.revision);
        change.expects.push(unchanged);
        change.expects.push(expect::<NodeRow>(&self.node, row.version));
        change.puts.push(self.codec.write(&self.node, row.version + 1, &content));
        let committed = self.store.commit(change).await?;
        self.store.audited(self.node, &[committed.revision]);
        Ok(())
    }

    /// The line of a change whose kept line differs from what was written.
    fn altered_line(&self, request: RequestId) -> Result<EncodedEvent, Failure> {
        let (now, id) = (self.now().millis(), request.to_string());
        let detail = Some(messages::altered_line());
        let event = AuditEvent { detail, ..AuditEvent::new(now, id, "unknown", Outcome::Recovered) };
        event.encode().map_err(Failure::internal)
    }

    /// Writes the missing audit lines of committed changes, after a kill. `written` has the request ids at the end of
    /// the log. It does not wait: the store keeps each line until it is durable in the log. A row whose line the log
    /// has from before that was put back, and is deleted.
    pub async fn recover_lines(&self, written: &HashSet<String>) -> Result<(), Failure> {
        let mut done = Vec::new();
        let mut missing: BTreeMap<RequestId, MissingLine> = BTreeMap::new();
        for change in self.store.unaudited(self.node).await? {
            let line = self.codec.read_note(SignedNote::Line, change.request_id, &change.line);
            // A node's own bookkeeping (a checkpoint) needs no line.
            let is_pending = line.is_none_or(|line| !line.is_empty());
            if !is_pending || written.contains(&change.request_id.to_string()) {
                done.push(change.revision);
                continue;
            }
            let missing = missing.entry(change.request_id).or_default();
            done.extend(missing.revision.replace(change.revision));
            if let Some(line) = line {
                missing.line = Some(EncodedEvent::from_bytes(line.to_vec()));
            }
        }
        for request in self.written_earlier(missing.keys())? {
            tracing::warn!(%request, "the log has the audit line of a change that the store lists as missing: its row was put back");
            done.extend(missing.remove(&request).and_then(|missing| missing.revision));
        }
        for (request, MissingLine { revision, line }) in missing {
            let Some(revision) = revision else { continue };
            tracing::warn!(%request, "writing the missing audit line of a committed change");
            let line = line.map_or_else(|| self.altered_line(request), Ok)?;
            self.write_committed(revision, line);
        }
        self.store.audited(self.node, &done);
        Ok(())
    }

    /// Those of the requests that have a line in the log. One from before the oldest line that is left had time to get
    /// its line.
    fn written_earlier<'r>(
        &self,
        requests: impl Iterator<Item = &'r RequestId> + Clone,
    ) -> Result<Vec<RequestId>, Failure> {
        let begun = |request: &RequestId| millis_of(*request).saturating_sub(LONGEST_REQUEST);
        let ended = |request: &RequestId| millis_of(*request).saturating_add(LONGEST_REQUEST);
        let Some(since_ms) = requests.clone().map(begun).min() else { return Ok(Vec::new()) };
        let wanted = requests.clone().map(ToString::to_string).collect();
        let searched = self.audit.search(&wanted, since_ms).map_err(Failure::internal)?;
        let is_written = |request: &&RequestId| {
            ended(request) < searched.since_ms || searched.found.contains(&request.to_string())
        };
        Ok(requests.filter(is_written).copied().collect())
    }
}

/// The line of a request that the log lacks.
#[derive(Default)]
struct MissingLine {
    /// The newest change of the request.
    revision: Option<u64>,
    /// `None` if none of its rows is what was written.
    line: Option<EncodedEvent>,
}

/// When a request began, in Unix milliseconds: its id is a UUIDv7.
fn millis_of(request: RequestId) -> u64 {
    request.as_bytes().iter().take(6).fold(0, |millis, byte| (millis << 8) | u64::from(*byte))
}
