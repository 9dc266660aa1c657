//! What every route works on: the store, the keys, the state of control, the audit log.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use data_encoding::HEXLOWER;
use petsem_api::{AppId, AppRef, ErrorCode, StoreId};
use petsem_client::Outside;
use petsem_keys::{AppKek, Keyring, RecordContext, SealedRef, WrapContext};
use petsem_store::{
    AppRows, BundleRow, Change, CommitError, Committed, Expect, Record, RecordKind, RequestAudit, Store,
};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, Semaphore, watch};

use crate::clock::Timestamp;
use crate::control::state::{Control, Readers};
use crate::control::pending_denials::Denials;
use crate::error::Failure;
use crate::forms::UnauthenticatedBodyQueue;
use crate::authn::rate::PerSecond;
use crate::keyring::state::KeyringState;
use crate::metrics::Counters;
use crate::request::AuditRecord;
use crate::keyring::rotation::progress::Rotations;
use crate::records::{AppHead, AppNameRow, Bundle, Content, FeedHeadRow, FeedRow, IntegrityFault, RecordCodec, SignedNote};
use crate::settings::Settings;
use petsem_keys::scrubbed_call;
use petsem_audit::{AuditEvent, AuditLog};

/// Age of the control feed, in seconds, at which `/readyz` says so.
const FEED_WARNING: u64 = 60;
/// Apps whose newest head this node remembers.
const SEEN_APPS: usize = 1_000_000;
/// How often a row is read again when another request may just have written it.
pub(crate) const REREADS: usize = 3;
/// Locks that keep one node's writers of one app from conflicting with each other.
const APP_LOCKS: usize = 64;

/// The parts that a running server brings together.
pub(crate) struct Engine {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) store_id: StoreId,
    pub(crate) node: [u8; 16],
    pub(crate) keys: KeyringState,
    pub(crate) codec: RecordCodec,
    pub(crate) audit: AuditLog,
    pub(crate) counters: Counters,
    pub(crate) outside: Arc<Outside>,
    control: RwLock<Arc<Control>>,
    feed_lock: tokio::sync::Mutex<()>,
    app_locks: Vec<tokio::sync::Mutex<()>>,
    seen: Mutex<HashMap<AppId, u64>>,
    last: Mutex<Option<Committed>>,
    trouble: Mutex<Option<String>>,
    feed_read_at: AtomicI64,
    pending_audit: Mutex<Vec<(u64, AuditEvent)>>,
    pub(crate) denials: Denials,
    pub(crate) room: Arc<Semaphore>,
    /// Places for bodies that are waited for before anybody is known: a part of the room, so that strangers who send
    /// none never have all of it.
    pub(crate) forms: UnauthenticatedBodyQueue,
    pub(crate) jwt_lines: PerSecond,
    pub(crate) rotations: Rotations,
    /// An operator has asked that the server forget its keys.
    pub(crate) sealing: Notify,
    /// Requests that have not ended by now do: the keys go.
    pub(crate) cut_off: watch::Sender<bool>,
}

/// The parts as they stand at start.
pub(crate) struct EngineParts {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) store_id: StoreId,
    pub(crate) node: [u8; 16],
    pub(crate) keys: KeyringState,
    pub(crate) codec: RecordCodec,
    pub(crate) audit: AuditLog,
    pub(crate) outside: Outside,
}

impl Engine {
    /// Brings the parts together and reads the control feed to its end.
    pub(crate) async fn start(parts: EngineParts) -> Result<Self, Failure> {
        let room = Arc::new(Semaphore::new(parts.settings.limits.requests));
        let forms = UnauthenticatedBodyQueue::new(parts.settings.limits.requests / 4);
        let EngineParts { settings, store, store_id, node, keys, codec, audit, outside } = parts;
        let core = Self {
            settings,
            store,
            store_id,
            node,
            keys,
            codec,
            audit,
            counters: Counters::default(),
            outside: Arc::new(outside),
            control: RwLock::new(Arc::new(Control::default())),
            feed_lock: tokio::sync::Mutex::new(()),
            app_locks: (0..APP_LOCKS).map(|_| tokio::sync::Mutex::new(())).collect(),
            seen: Mutex::new(HashMap::new()),
            last: Mutex::new(None),
            trouble: Mutex::new(None),
            feed_read_at: AtomicI64::new(0),
            pending_audit: Mutex::new(Vec::new()),
            denials: Denials::default(),
            room,
            forms,
            jwt_lines: PerSecond::default(),
            rotations: Rotations::default(),
            sealing: Notify::new(),
            cut_off: watch::Sender::new(false),
        };
        core.refresh().await?;
        core.check_destroyed_versions().await?;
        Ok(core)
    }

    /// The keyring as of now.
    pub(crate) fn keyring(&self) -> Arc<Keyring> {
        self.keys.keyring()
    }

    /// The state of control, as of the last refresh.
    pub(crate) fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What stands in the way of serving, if anything does: for `/readyz`, and checked by every decision.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Seconds since the control feed was last read to its end.
    pub(crate) fn feed_age(&self) -> u64 {
        let age = self.now().seconds().saturating_sub(self.feed_read_at.load(Ordering::Relaxed));
        u64::try_from(age).unwrap_or(0)
    }

    /// What an operator must know, each with what to do.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        problems.extend(self.trouble());
        problems.extend(self.denials.problem());
        if let Some(error) = self.audit.stats().error {
            problems.push(format!("the audit log cannot be written: {error}"));
        }
        let age = self.feed_age();
        if age > FEED_WARNING {
            problems.push(format!("the control feed was last read {age} seconds ago; look at the store"));
        }
        problems
    }

    /// What an operator must know though boots go on, each with what to do.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let control = self.control();
        let published = control.issuers().filter_map(|entry| entry.keys.published());
        published.filter_map(|published| published.warning()).collect()
    }

    fn note_revision(&self, committed: Committed) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.revision < committed.revision) {
            *last = Some(committed);
            self.audit.set_revision(committed.revision, committed.mark);
        }
    }

    /// A change that this request makes. Its audit line goes with it, in case the process dies in between.
    pub(crate) fn change(&self, audit: &AuditRecord) -> Change {
        Change::new(RequestAudit { node: self.node, request_id: audit.request_id(), line: self.line(audit) })
    }

    /// The line that the store keeps with a change.
    pub(crate) fn line(&self, audit: &AuditRecord) -> Vec<u8> {
        self.codec.write_note(SignedNote::Line, audit.request_id(), &audit.to_line())
    }

    /// A line could not be made durable after its change was: it is tried again until it is.
    pub(crate) fn defer_audit(&self, revision: u64, event: AuditEvent) {
        self.pending_audit.lock().unwrap_or_else(PoisonError::into_inner).push((revision, event));
    }

    /// Writes the lines that are pending_audit.
    pub(crate) async fn flush_pending_audit(&self) {
        let owed = std::mem::take(&mut *self.pending_audit.lock().unwrap_or_else(PoisonError::into_inner));
        for (revision, event) in owed {
            match self.audit.append(event.clone()).await {
                Ok(_) => self.store.audited(self.node, &[revision]),
                Err(_) => self.defer_audit(revision, event),
            }
        }
    }

    /// Commits a change. The audit remembers the revision, so that its line ends the change's wait for one.
    pub(crate) async fn commit(&self, audit: &mut AuditRecord, change: Change) -> Result<Committed, CommitError> {
        if let Some(error) = self.audit.stats().error {
            // A change whose line cannot be written must not be made.
            tracing::warn!(error, "a change was refused: the audit log cannot be written");
            return Err(CommitError::Unavailable);
        }
        let committed = self.store.commit(change).await?;
        audit.committed(committed.revision);
        self.note_revision(committed);
        Ok(committed)
    }

    /// Writes an audit line and waits until it is durable.
    pub(crate) async fn audit(&self, event: AuditEvent) -> Result<(), Failure> {
        self.audit.append(event).await.map(|_| ()).map_err(|error| {
            Failure::new(
                ErrorCode::AuditFull,
                "the audit log cannot be written, and nothing is answered without a record; try again later",
            )
            .because(error)
            .retry_after(5)
        })
    }

    /// The moment of now; requests read it once.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

