//! The state that every operation uses: the store, the keys, the control state, the audit log.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use petsem_api::{AppId, StoreId};
use petsem_audit::{AuditEvent, AuditLog, EncodedEvent, Outcome};
use petsem_keys::Keyring;
use petsem_store::{Change, CommitError, Committed, RecordKind, RequestAudit, Store};
use tokio::sync::oneshot;

use crate::clock::Timestamp;
use crate::control::pending_denials::PendingDenials;
use crate::control::state::{Control, ControlSource};
use crate::error::{Failure, untrusted};
use crate::fetch::Fetch;
use crate::keyring::rotation::progress::Rotations;
use crate::keyring::state::KeyringState;
use crate::keyring::unlock::Unlocked;
use crate::messages;
use crate::records::{Content, IntegrityFault, RecordCodec, Row, Scan, SignedNote, read_row};
use crate::request::{AuditRecord, new_request_id, outcome_of};
use crate::tenancy::seen::SeenHeads;

/// Age of the control feed, in seconds, above which `/readyz` reports it.
const FEED_WARNING: u64 = 60;
/// Most lines that wait for the log when a change is accepted: its answer does not wait for it.
const PENDING_LINES: u64 = 4096;
/// How long a control change waits for its line.
const LONGEST_WAIT_FOR_LINE: Duration = Duration::from_secs(2);
/// How often a change is retried if another node committed first.
pub(crate) const TRIES: usize = 8;
/// Locks that keep writers of the same app on one node from conflicting. So many that writers of different apps seldom
/// share one: a writer that waited reads its app again.
pub(crate) const APP_LOCKS: usize = 4096;

/// The part of the configuration that the engine needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// The name of this installation: the `aud` that JWTs must carry.
    pub name: String,
    /// The location in this installation's tokens.
    pub location: String,
    /// The location of this installation's own discharger. It differs from that of its tokens: that is how a header
    /// distinguishes permission tokens and discharges.
    pub discharger_location: String,
    /// The name of this node, for people.
    pub node_name: String,
    /// The data directory of this node.
    pub data_directory: PathBuf,
    /// Most keys that a rotation re-wraps per second.
    pub rewraps_per_second: u32,
    /// The page where a person approves a discharge; `{id}` is replaced by the id of the request.
    pub approval_page: Option<String>,
    /// The shortest time between two fetches of an issuer's keys that JWTs cause, and the pause after a failed fetch.
    pub refetch_interval: Duration,
}

/// The domain logic of one node: decides which principal may do what to which rows, and does it.
pub struct Engine {
    pub(crate) settings: EngineSettings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) store_id: StoreId,
    pub(crate) node: [u8; 16],
    pub(crate) keys: Arc<KeyringState>,
    pub(crate) codec: Arc<RecordCodec>,
    pub(crate) audit: AuditLog,
    pub(crate) fetch: Arc<dyn Fetch>,
    pub(crate) control: RwLock<Arc<Control>>,
    pub(crate) feed_lock: tokio::sync::Mutex<()>,
    pub(crate) app_locks: Vec<tokio::sync::Mutex<()>>,
    pub(crate) seen_heads: SeenHeads,
    pub(crate) last_revision: Mutex<Option<Committed>>,
    pub(crate) integrity_fault: Mutex<Option<String>>,
    pub(crate) feed_read_at: AtomicI64,
    /// Lines of committed changes that the log refused, with their revisions.
    pending_audit: Arc<Mutex<Vec<(u64, EncodedEvent)>>>,
    pub(crate) denials: PendingDenials,
    pub(crate) rotations: Rotations,
}

/// The parts from which [`Engine::start`] builds an engine.
pub struct EngineParts {
    /// The settings.
    pub settings: EngineSettings,
    /// The open store.
    pub store: Arc<dyn Store>,
    /// The unlocked keys.
    pub unlocked: Unlocked,
    /// The id of this node.
    pub node: [u8; 16],
    /// The audit log of this node.
    pub audit: AuditLog,
    /// Fetches the keys that issuers publish.
    pub fetch: Arc<dyn Fetch>,
}

impl Engine {
    /// Builds an engine and reads the control feed to its end.
    ///
    /// # Errors
    /// The control feed cannot be read, or what is stored is not what was written.
    pub async fn start(parts: EngineParts) -> Result<Self, Failure> {
        let EngineParts { settings, store, unlocked, node, audit, fetch } = parts;
        let Unlocked {
            store_id,
            store_version,
            development: _,
            replacement: _,
            root,
            keyring,
            codec,
            opened_by: _,
        } = unlocked;
        let highest = keyring.versions().into_iter().max().unwrap_or_default();
        let is_newest = keyring.current_version() == highest;
        let (keys, codec) = (Arc::new(KeyringState::new(root, keyring)), Arc::new(codec));
        let source = ControlSource::new(
            Arc::clone(&store),
            Arc::clone(&fetch),
            Arc::clone(&codec),
            Arc::clone(&keys),
            store_id,
        );
        let engine = Self {
            settings,
            store,
            store_id,
            node,
            keys,
            codec,
            audit,
            fetch,
            control: RwLock::new(Arc::new(Control::before_all(source))),
            feed_lock: tokio::sync::Mutex::new(()),
            app_locks: (0..APP_LOCKS).map(|_| tokio::sync::Mutex::new(())).collect(),
            seen_heads: SeenHeads::default(),
            last_revision: Mutex::new(None),
            integrity_fault: Mutex::new(None),
            feed_read_at: AtomicI64::new(0),
            pending_audit: Arc::default(),
            denials: PendingDenials::default(),
            rotations: Rotations::default(),
        };
        engine.refresh().await?;
        engine.control().check_store_row(store_version)?;
        // A lower version than the highest may be known to a seal that was removed.
        if !is_newest {
            let what = "it is newer than the version that the store's row names";
            return Err(IntegrityFault::new(RecordKind::KeyringKey, &highest.to_be_bytes(), what).into());
        }
        engine.check_destroyed_versions().await?;
        // Operators need it, so a start names a fault in it.
        engine.control().key_for_new_tokens(None).await?;
        Ok(engine)
    }

    /// Checks that the store has the key of the discharger at the configured location.
    ///
    /// # Errors
    /// It has none: the configuration belongs to another store, or its location was changed.
    pub fn check_own_discharger(&self) -> Result<(), Failure> {
        self.control().own_discharger(&self.settings.discharger_location).map(|_| ())
    }

    /// The current keyring.
    pub(crate) fn keyring(&self) -> Arc<Keyring> {
        self.keys.keyring()
    }

    /// The control state as of the last refresh.
    pub(crate) fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The integrity fault that blocks all decisions, if there is one. `/readyz` reports it.
    pub(crate) fn integrity_fault(&self) -> Option<String> {
        self.integrity_fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Refuses while there is an integrity fault.
    pub(crate) fn check_integrity(&self) -> Result<(), Failure> {
        self.integrity_fault().map_or(Ok(()), |fault| Err(untrusted(&fault)))
    }

    /// Seconds since the control feed was last read to its end.
    pub fn feed_age(&self) -> u64 {
        let age = self.now().seconds().saturating_sub(self.feed_read_at.load(Ordering::Relaxed));
        u64::try_from(age).unwrap_or(0)
    }

    /// The id of the installation.
    pub fn store_id(&self) -> StoreId {
        self.store_id
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Problems that make the node not ready, each with a hint for the operator.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        problems.extend(self.integrity_fault());
        problems.extend(self.denials.problem());
        if let Some(error) = self.audit.stats().error {
            problems.push(messages::audit_log_not_writable(&error));
        }
        let age = self.feed_age();
        if age > FEED_WARNING {
            problems.push(messages::feed_too_old(age));
        }
        problems
    }

    /// The denials that are in force only on this node.
    pub fn denials_waiting(&self) -> usize {
        self.denials.waiting().len()
    }

    /// Warnings for the operator that do not affect readiness, each with a hint.
    pub fn warnings(&self) -> Vec<String> {
        let control = self.control();
        let published = control.issuers().filter_map(|entry| entry.keys.published());
        let mut warnings: Vec<String> = published.filter_map(|published| published.warning()).collect();
        if self.audit.stats().is_displaced {
            warnings.push(messages::audit_files_displaced());
        }
        if let restored @ 1.. = self.audit.stats().files_restored {
            warnings.push(messages::audit_files_restored(restored));
        }
        warnings
    }

    pub(crate) fn note_revision(&self, committed: Committed) {
        let mut last = self.last_revision.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.revision < committed.revision) {
            *last = Some(committed);
            self.audit.set_revision(committed.revision, committed.mark);
        }
    }

    /// A new change of this request. It carries the audit line, in case the process dies before the line is durable.
    pub(crate) fn change(&self, audit: &AuditRecord) -> Change {
        Change::new(RequestAudit { node: self.node, request_id: audit.request_id(), line: self.line(audit) })
    }

    /// The audit line that the store keeps with a change.
    pub(crate) fn line(&self, audit: &AuditRecord) -> Vec<u8> {
        self.codec.write_note(SignedNote::Line, audit.request_id(), audit.recovery_line().as_bytes())
    }

    /// A new change that needs no audit line: the node's own bookkeeping, and re-wraps of single rows.
    pub(crate) fn change_without_line(&self) -> Change {
        change_without_line(&self.codec, self.node, self.now())
    }

    /// The row with this id.
    pub(crate) async fn row<T: Content>(&self, id: &[u8]) -> Result<Option<Row<T>>, Failure> {
        match read_row(&*self.store, &self.codec, id).await? {
            // Another node committed a control change that this node has not read yet.
            Some(Err(fault)) if fault.is_ahead() => {
                self.refresh().await?;
                Ok(read_row(&*self.store, &self.codec, id).await?.transpose()?)
            }
            row => Ok(row.transpose()?),
        }
    }

    /// The rows of a kind that has at most `most`.
    pub(crate) async fn rows<T: Content>(&self, most: u32) -> Result<Vec<(T::Id, Row<T>)>, Failure> {
        let page = self.scan::<T>(most).next_page().await?;
        Ok(page.into_iter().collect::<Result<_, _>>()?)
    }

    /// A scan of the rows of a kind.
    pub(crate) fn scan<T: Content>(&self, page: u32) -> Scan<'_, T> {
        Scan::new(&*self.store, &self.codec, page)
    }

    /// Writes again the audit lines that the log refused.
    pub fn flush_pending_audit(&self) {
        let pending = std::mem::take(&mut *self.pending_audit());
        for (revision, line) in pending {
            drop(self.write_committed(revision, line));
        }
    }

    /// Lines that are not durable yet. Those of changes are kept in the store meanwhile.
    pub(crate) fn pending_lines(&self) -> u64 {
        self.pending_audit().len() as u64 + self.audit.stats().pending
    }

    fn pending_audit(&self) -> MutexGuard<'_, Vec<(u64, EncodedEvent)>> {
        self.pending_audit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues the line of a committed change: the change's own transaction holds it, too, until the store is told here
    /// that it is durable. The receiver ends when the line is durable or refused.
    pub(crate) fn write_committed(&self, revision: u64, line: EncodedEvent) -> oneshot::Receiver<()> {
        let (done, written) = oneshot::channel();
        let (store, node, kept) = (Arc::clone(&self.store), self.node, line.clone());
        let pending = Arc::clone(&self.pending_audit);
        let queued = self.audit.append_then(line.clone(), move |written| {
            match written {
                Ok(_) => store.audited(node, &[revision]),
                Err(_) => pending.lock().unwrap_or_else(PoisonError::into_inner).push((revision, kept)),
            }
            drop(done);
        });
        if queued.is_err() {
            self.pending_audit().push((revision, line));
        }
        written
    }

    /// Commits a change. The record keeps the revision, so that the store can be told when its audit line is durable.
    pub(crate) async fn commit(
        &self,
        audit: &mut AuditRecord,
        change: Change,
    ) -> Result<Committed, CommitError> {
        // A change must not be made if its audit line cannot be written.
        if let Some(error) = self.audit.stats().error {
            tracing::warn!(error, "refused a change: the audit log cannot be written");
            return Err(CommitError::Unavailable);
        }
        if self.pending_lines() >= PENDING_LINES {
            tracing::warn!("refused a change: the audit log is too slow for the changes before it");
            return Err(CommitError::Unavailable);
        }
        let heads = written_heads(&change);
        let replaced: Vec<_> = replaced_rows(&change).collect();
        let committed = self.store.commit(change).await?;
        // Wrapped keys that the change destroys leave the memory, too.
        for (kind, id) in replaced {
            self.codec.forget(kind, &id);
        }
        audit.committed(committed.revision);
        self.note_revision(committed);
        // An older head that is read from now on was put back, even if nobody has read this one.
        for (app, version) in heads {
            self.seen_heads.note(app, version, self.now());
        }
        Ok(committed)
    }

    /// Writes an audit line and waits until it is durable.
    pub(crate) async fn audit(&self, line: EncodedEvent) -> Result<(), Failure> {
        let written = self.audit.append_encoded(line).await;
        written.map(|_| ()).map_err(|error| messages::no_audit_line().because(error))
    }

    /// The current time. Each request reads it once. A clock that was set back revives nothing whose revocation was
    /// dropped.
    pub fn now(&self) -> Timestamp {
        Timestamp::now().max(Timestamp::from_seconds(self.control().directory().ended))
    }

    /// Makes the record of an operation on the node itself durable.
    pub async fn record(&self, audit: &AuditRecord) -> Result<(), Failure> {
        self.write_line(audit, &audit.event(Outcome::Allowed, None)).await
    }

    /// Makes an audit line durable. A committed change holds its own, so its line is only queued; that of a control
    /// change is waited for, because the checkpoint before it names the change: a store that lacks it is then refused.
    pub(crate) async fn write_line(&self, audit: &AuditRecord, event: &AuditEvent) -> Result<(), Failure> {
        let line = event.encode().map_err(|error| messages::no_audit_line().because(error))?;
        match audit.revision() {
            Some(revision) => {
                let written = self.write_committed(revision, line);
                if audit.is_in_feed() {
                    // A disk that hangs does not keep the answer: the store has the line.
                    let _ended = tokio::time::timeout(LONGEST_WAIT_FOR_LINE, written).await;
                }
            }
            None => self.audit(line).await?,
        }
        Ok(())
    }

    /// Makes the record of a request durable; only then may its result leave. A request without a verified credential
    /// is only counted, and so are the refusals of one credential beyond a few a second. A result that cannot be
    /// recorded becomes a refusal.
    ///
    /// # Errors
    /// The request's own failure, or the audit log cannot be written.
    pub async fn conclude<T>(
        &self,
        audit: &mut AuditRecord,
        result: Result<T, Failure>,
    ) -> Result<T, Failure> {
        if !audit.is_verified() {
            let reason = result.as_ref().err().map_or("unverified", |failure| failure.code().as_str());
            self.audit.unverified(audit.source(), reason);
            return result;
        }
        let outcome = result.as_ref().err().map_or(Outcome::Allowed, outcome_of);
        audit.conclude(outcome, result.as_ref().err(), self.feed_age());
        // The line of a committed change is in the store already.
        if result.is_err() && audit.revision().is_none() && self.audit.counts_refusal(audit.as_event()) {
            return result;
        }
        self.write_line(audit, audit.as_event()).await.and(result)
    }
}

/// The apps whose heads a change writes, with the versions of the rows.
fn written_heads(change: &Change) -> Vec<(AppId, u64)> {
    let heads = change.puts.iter().filter(|record| record.kind == RecordKind::AppHead);
    heads
        .filter_map(|record| {
            Some((AppId::from_bytes(record.id.as_slice().try_into().ok()?), record.row_version))
        })
        .collect()
}

/// The rows of apps that a change replaces or deletes.
fn replaced_rows(change: &Change) -> impl Iterator<Item = (RecordKind, Vec<u8>)> {
    let puts = change.puts.iter().map(|record| (record.kind, &record.id));
    let rows = puts.chain(change.deletes.iter().map(|(kind, id)| (*kind, id)));
    let of_app = |kind: &RecordKind| matches!(kind, RecordKind::AppHead | RecordKind::SecretKeys);
    rows.filter(move |(kind, _)| of_app(kind)).map(|(kind, id)| (kind, id.clone()))
}

/// A change of this node that needs no audit line.
pub(crate) fn change_without_line(codec: &RecordCodec, node: [u8; 16], now: Timestamp) -> Change {
    let request_id = new_request_id(now);
    Change::new(RequestAudit { node, request_id, line: codec.write_note(SignedNote::Line, request_id, b"") })
}

#[cfg(test)]
mod tests {
    use petsem_api::ErrorCode;

    use crate::lab::Lab;
    use crate::request::local_record;

    #[tokio::test]
    async fn a_committed_change_keeps_its_line_if_the_log_cannot_be_written() {
        let lab = Lab::new().await;
        let engine = &lab.engine;
        let mut audit = local_record(engine.now(), "org.create");
        engine.make_org(&mut audit, &"shop".parse().unwrap()).await.unwrap();
        engine.close_audit().await.unwrap();
        engine.record(&audit).await.unwrap();
        let pending: Vec<_> = engine.pending_audit().iter().map(|(revision, _)| Some(*revision)).collect();
        assert_eq!(pending, [audit.revision()]);
        assert_eq!(engine.pending_lines(), 1);
        // A read of that time is refused: nothing else holds its record.
        let read = local_record(engine.now(), "org.list");
        assert_eq!(engine.record(&read).await.unwrap_err().code(), ErrorCode::AuditFull);
    }
}
