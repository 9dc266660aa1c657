//! What every route works on: the store, the keys, the state of control, the audit log.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use data_encoding::HEXLOWER;
use petsem_api::{AppId, AppRef, ErrorCode, StoreId};
use petsem_keys::{AppKek, Keyring, RecordContext, SealedRef, WrapContext};
use petsem_outbound::OutboundClient;
use petsem_store::{
    AppRows, BundleRow, Change, CommitError, Committed, Expect, Record, RecordKind, RequestAudit, Store,
};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, Semaphore, watch};

use crate::audit::{AuditEvent, AuditLog};
use crate::clock::Moment;
use crate::control::{Control, Readers};
use crate::denials::Denials;
use crate::failure::Failure;
use crate::forms::Forms;
use crate::jwt::PerSecond;
use crate::keyring_state::KeyringState;
use crate::metrics::Counters;
use crate::request::Trail;
use crate::rotation::Rotations;
use crate::rows::{AppHead, AppNameRow, Bundle, Content, FeedHeadRow, FeedRow, IntegrityFault, Ledger, Note};
use crate::settings::Settings;
use crate::stack::scrubbed_call;

/// Age of the control feed, in seconds, at which `/readyz` says so.
const FEED_WARNING: u64 = 60;
/// Apps whose newest head this node remembers.
const SEEN_APPS: usize = 1_000_000;
/// How often a row is read again when another request may just have written it.
pub(crate) const REREADS: usize = 3;
/// Locks that keep one node's writers of one app from conflicting with each other.
const APP_LOCKS: usize = 64;

/// The parts that a running server brings together.
pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) store_id: StoreId,
    pub(crate) node: [u8; 16],
    pub(crate) keys: KeyringState,
    pub(crate) ledger: Ledger,
    pub(crate) audit: AuditLog,
    pub(crate) counters: Counters,
    pub(crate) outside: Arc<OutboundClient>,
    control: RwLock<Arc<Control>>,
    feed_lock: tokio::sync::Mutex<()>,
    app_locks: Vec<tokio::sync::Mutex<()>>,
    seen: Mutex<HashMap<AppId, u64>>,
    last: Mutex<Option<Committed>>,
    trouble: Mutex<Option<String>>,
    feed_read_at: AtomicI64,
    owed: Mutex<Vec<(u64, AuditEvent)>>,
    pub(crate) denials: Denials,
    pub(crate) room: Arc<Semaphore>,
    /// Places for bodies that are waited for before anybody is known: a part of the room, so that strangers who send
    /// none never have all of it.
    pub(crate) forms: Forms,
    pub(crate) jwt_lines: PerSecond,
    pub(crate) rotations: Rotations,
    /// An operator has asked that the server forget its keys.
    pub(crate) sealing: Notify,
    /// Requests that have not ended by now do: the keys go.
    pub(crate) cut_off: watch::Sender<bool>,
}

/// The parts as they stand at start.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) store_id: StoreId,
    pub(crate) node: [u8; 16],
    pub(crate) keys: KeyringState,
    pub(crate) ledger: Ledger,
    pub(crate) audit: AuditLog,
    pub(crate) outside: OutboundClient,
}

/// An app as of one moment: its head's MAC was checked.
pub(crate) struct OpenApp {
    pub(crate) id: AppId,
    /// Row version of the head.
    pub(crate) head_version: u64,
    pub(crate) head: AppHead,
    bundle: Option<BundleRow>,
    /// As it was before the rows were read: a version that is destroyed meanwhile still opens them.
    keyring: Arc<Keyring>,
}

impl OpenApp {
    /// The sealed bundle; [`Core::open_bundle`] checks it.
    pub(crate) fn bundle_row(&self) -> Option<&BundleRow> {
        self.bundle.as_ref()
    }

    /// Whether the head names a KEK of this version.
    pub(crate) fn has_kek(&self, version: u32) -> bool {
        self.head.keks.iter().any(|kek| kek.version == version)
    }
}

impl std::fmt::Debug for OpenApp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenApp({})", self.id)
    }
}

impl Core {
    /// Brings the parts together and reads the control feed to its end.
    pub(crate) async fn start(parts: Parts) -> Result<Self, Failure> {
        let room = Arc::new(Semaphore::new(parts.settings.limits.requests));
        let forms = Forms::new(parts.settings.limits.requests / 4);
        let Parts { settings, store, store_id, node, keys, ledger, audit, outside } = parts;
        let core = Self {
            settings,
            store,
            store_id,
            node,
            keys,
            ledger,
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
            owed: Mutex::new(Vec::new()),
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

    /// Reads what is new in the control feed, and checks that the store still holds what this node saw last.
    /// A fault stays: decisions fail closed until an operator has looked.
    pub(crate) async fn refresh(&self) -> Result<(), Failure> {
        let result = self.refresh_once().await;
        if let Err(failure) = &result
            && failure.code() == ErrorCode::Integrity
        {
            let text = failure.internal_text().unwrap_or_default().to_owned();
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        }
        result
    }

    async fn refresh_once(&self) -> Result<(), Failure> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last
            && self.store.mark(last.revision).await? != Some(last.mark)
        {
            let what = "the store lacks a revision that this node has seen: it was rolled back or forked";
            return Err(IntegrityFault::new("revision", &last.revision.to_be_bytes(), what).into());
        }
        if let Some(newest) = self.store.revision().await? {
            self.note_revision(newest);
        }
        let before = self.control();
        if let Some(next) = before.advanced(&self.readers()).await? {
            let mut guard = self.control.write().unwrap_or_else(PoisonError::into_inner);
            if guard.number <= next.number {
                self.audit.set_feed(next.number);
                *guard = Arc::new(next.denying(&self.denials.rows()));
            }
            drop(guard);
            self.follow_keyring();
        }
        self.feed_read_at.store(self.now().seconds(), Ordering::Relaxed);
        Ok(())
    }

    /// Makes a denial effective on this node, before the control feed has it.
    pub(crate) fn deny(&self, row: FeedRow) {
        // First the list, then the state: a refresh in between takes it from the list.
        self.denials.add(row);
        let mut guard = self.control.write().unwrap_or_else(PoisonError::into_inner);
        *guard = Arc::new(guard.denying(&self.denials.rows()));
    }

    fn readers(&self) -> Readers<'_> {
        Readers {
            store: &*self.store,
            ledger: &self.ledger,
            keys: &self.keys,
            before: self.keyring(),
            store_id: self.store_id,
            now: self.now(),
        }
    }

    fn note_revision(&self, committed: Committed) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.revision < committed.revision) {
            *last = Some(committed);
            self.audit.set_revision(committed.revision, committed.mark);
        }
    }

    /// A change that this request makes. Its audit line goes with it, in case the process dies in between.
    pub(crate) fn change(&self, trail: &Trail) -> Change {
        Change::new(RequestAudit { node: self.node, request_id: trail.request_id(), line: self.line(trail) })
    }

    /// The line that the store keeps with a change.
    pub(crate) fn line(&self, trail: &Trail) -> Vec<u8> {
        self.ledger.write_note(Note::Line, trail.request_id(), &trail.to_line())
    }

    /// A line could not be made durable after its change was: it is tried again until it is.
    pub(crate) fn owe(&self, revision: u64, event: AuditEvent) {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner).push((revision, event));
    }

    /// Writes the lines that are owed.
    pub(crate) async fn pay_owed(&self) {
        let owed = std::mem::take(&mut *self.owed.lock().unwrap_or_else(PoisonError::into_inner));
        for (revision, event) in owed {
            match self.audit.append(event.clone()).await {
                Ok(_) => self.store.audited(self.node, &[revision]),
                Err(_) => self.owe(revision, event),
            }
        }
    }

    /// Commits a change. The trail remembers the revision, so that its line ends the change's wait for one.
    pub(crate) async fn commit(&self, trail: &mut Trail, change: Change) -> Result<Committed, CommitError> {
        if let Some(error) = self.audit.stats().error {
            // A change whose line cannot be written must not be made.
            tracing::warn!(error, "a change was refused: the audit log cannot be written");
            return Err(CommitError::Unavailable);
        }
        let committed = self.store.commit(change).await?;
        trail.committed(committed.revision);
        self.note_revision(committed);
        Ok(committed)
    }

    /// Commits control changes: numbers them, and lets `fill` add the rows that go with them. `fill` is asked
    /// anew when another node was faster.
    pub(crate) async fn commit_control(
        &self,
        trail: &mut Trail,
        rows: &[FeedRow],
        fill: impl Fn(&mut Change) + Send,
    ) -> Result<u64, Failure> {
        self.commit_control_if(trail, rows, |_| Ok(()), fill).await
    }

    /// The same, if `check` agrees to it in the very state of control that the change follows.
    pub(crate) async fn commit_control_if(
        &self,
        trail: &mut Trail,
        rows: &[FeedRow],
        check: impl Fn(&Control) -> Result<(), Failure> + Send,
        fill: impl Fn(&mut Change) + Send,
    ) -> Result<u64, Failure> {
        let _turn = self.feed_lock.lock().await;
        for _ in 0..5 {
            self.refresh().await?;
            let control = self.control();
            check(&control)?;
            let mut change = self.change(trail);
            fill(&mut change);
            let (mut number, mut mac) = (control.number, *control.mac());
            for row in rows {
                number += 1;
                let entry = self.ledger.write_feed(number, &mac, row);
                mac = <[u8; 32]>::try_from(entry.mac.as_slice()).unwrap_or_default();
                change.feed.push(entry);
            }
            let head_version = control.head_version();
            change.expects.push(Expect {
                kind: RecordKind::FeedHead,
                id: Vec::new(),
                row_version: head_version,
            });
            let head = FeedHeadRow { number, mac: HEXLOWER.encode(&mac) };
            change.puts.push(self.ledger.write(&[], head_version + 1, &head));
            match self.commit(trail, change).await {
                Ok(_) => {
                    self.refresh().await?;
                    return Ok(number);
                }
                Err(
                    CommitError::FeedConflict { .. }
                    | CommitError::Conflict { kind: RecordKind::FeedHead, .. },
                ) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::new(ErrorCode::Busy, "other nodes change the same installation all the time; try again")
            .retry_after(1))
    }

    /// The lock of an app's writers on this node.
    pub(crate) async fn app_turn(&self, app: AppId) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let [.., last] = *app.as_bytes();
        match self.app_locks.get(usize::from(last) % APP_LOCKS) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        }
    }

    /// The locks of several apps' writers. In order: two who take several never wait for each other.
    pub(crate) async fn app_turns(
        &self,
        apps: impl Iterator<Item = &[u8]>,
    ) -> Vec<tokio::sync::MutexGuard<'_, ()>> {
        let places: BTreeSet<usize> =
            apps.filter_map(|app| app.last()).map(|last| usize::from(*last) % APP_LOCKS).collect();
        let mut turns = Vec::with_capacity(places.len());
        for lock in places.into_iter().filter_map(|place| self.app_locks.get(place)) {
            turns.push(lock.lock().await);
        }
        turns
    }

    /// An app by name or id, with its bundle, as of one moment.
    pub(crate) async fn find_app(&self, app: &AppRef) -> Result<Option<OpenApp>, Failure> {
        let mut tries = 0;
        loop {
            match self.read_app(app).await? {
                None => return Ok(None),
                Some(found) if self.is_newest(&found) => return Ok(Some(found)),
                // Another request wrote it between this one's read and now: only what stays old was put back.
                Some(_) if tries < REREADS => tries += 1,
                Some(found) => {
                    let what = "an older version of it was put back";
                    return Err(IntegrityFault::new(RecordKind::AppHead, found.id.as_bytes(), what).into());
                }
            }
        }
    }

    async fn read_app(&self, app: &AppRef) -> Result<Option<OpenApp>, Failure> {
        // Before the rows: an app that is deleted after they were read was not put back.
        let control = self.control();
        let keyring = self.keyring();
        let found = self.read_app_with(&control, &keyring, app).await?;
        match found {
            // Another node rotated the keyring, and this one has not read so yet.
            Some(found) if !found.head.keks.iter().all(|kek| knows(&keyring, &kek.wrapped)) => {
                self.refresh().await?;
                self.read_app_with(&control, &self.keyring(), app).await
            }
            found => Ok(found),
        }
    }

    async fn read_app_with(
        &self,
        control: &Control,
        keyring: &Arc<Keyring>,
        app: &AppRef,
    ) -> Result<Option<OpenApp>, Failure> {
        match app {
            AppRef::Id(id) => match self.store.app_for_boot(*id).await? {
                None => Ok(None),
                Some(rows) => self.open_app(control, keyring, *id, rows).map(Some),
            },
            AppRef::Name(name) => {
                let key = name.as_str().as_bytes();
                // On a thread of the store, which has no key but for this moment.
                let app_of = |record: &Record| {
                    scrubbed_call(|| self.ledger.read::<AppNameRow>(key, record))
                        .ok()
                        .map(|row| row.content.app)
                };
                let Some(named) = self.store.app_by_name(name, &app_of).await? else { return Ok(None) };
                let id = self.ledger.read::<AppNameRow>(key, &named.name)?.content.app;
                let missing = || IntegrityFault::new(RecordKind::AppHead, id.as_bytes(), "it is missing");
                let app = self.open_app(control, keyring, id, named.app.ok_or_else(missing)?)?;
                if app.head.name != *name {
                    return Err(
                        IntegrityFault::new(RecordKind::AppName, key, "the app has another name").into()
                    );
                }
                Ok(Some(app))
            }
        }
    }

    fn open_app(
        &self,
        control: &Control,
        keyring: &Arc<Keyring>,
        id: AppId,
        rows: AppRows,
    ) -> Result<OpenApp, Failure> {
        let head = self.ledger.read::<AppHead>(id.as_bytes(), &rows.head)?;
        let fault = |what| Failure::from(IntegrityFault::new(RecordKind::AppHead, id.as_bytes(), what));
        if control.is_app_deleted(id) || control.is_org_deleted(head.content.org) {
            return Err(fault("the app was deleted, and its row is there again"));
        }
        let keyring = Arc::clone(keyring);
        Ok(OpenApp { id, head_version: head.version, head: head.content, bundle: rows.bundle, keyring })
    }

    /// Whether this node has seen no newer head of the app; remembers it.
    fn is_newest(&self, app: &OpenApp) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= SEEN_APPS {
            // What is forgotten is still noticed by hosts and by the audit log; memory is bounded.
            seen.clear();
        }
        let newest = seen.entry(app.id).or_insert(0);
        let is_newest = app.head_version >= *newest;
        *newest = app.head_version.max(*newest);
        is_newest
    }

    /// An app's KEK of this version.
    pub(crate) fn kek(&self, app: &OpenApp, version: u32) -> Result<AppKek, Failure> {
        let fault = |what| IntegrityFault::new("app KEK", app.id.as_bytes(), what);
        let row =
            app.head.keks.iter().find(|kek| kek.version == version).ok_or_else(|| fault("it is missing"))?;
        let context = WrapContext::app_kek(*self.store_id.as_bytes(), *app.id.as_bytes(), version);
        self.keys
            .unwrap(&app.keyring, &row.wrapped, &context)
            .map_err(|error| Failure::from(fault("it does not open")).because(error))
    }

    /// The app's secrets. What the head names is demanded: its version, its digest, its app.
    pub(crate) fn open_bundle(&self, app: &OpenApp) -> Result<Bundle, Failure> {
        let fault = |what| Failure::from(IntegrityFault::new("bundle", app.id.as_bytes(), what));
        let version = app.head.app_version;
        let (Some(row), Some(digest)) = (&app.bundle, &app.head.bundle_digest) else {
            return match (version, &app.bundle) {
                (0, None) => Ok(Bundle::default()),
                _ => Err(fault("it is missing, or the head does not name it")),
            };
        };
        let sealed = SealedRef { wrapped_dek: &row.wrapped_dek, ciphertext: &row.ciphertext };
        if bundle_digest(sealed) != *digest {
            return Err(fault("it is not the one that the app head names"));
        }
        let epoch = app.head.epoch_of(version).ok_or_else(|| fault("its epoch is unknown"))?;
        let context =
            RecordContext::Bundle { epoch, org: *app.head.org.as_bytes(), app: *app.id.as_bytes(), version };
        let kek_version =
            AppKek::version_of_dek(sealed.wrapped_dek).map_err(|_| fault("its DEK does not open"))?;
        let plaintext = self
            .kek(app, kek_version)?
            .open(sealed, &context)
            .map_err(|error| fault("it does not open").because(error))?;
        Ok(Bundle::decode(&plaintext)?)
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
    pub(crate) fn now(&self) -> Moment {
        Moment::now()
    }
}

/// Whether the keyring has the version that made a wrap.
fn knows(keyring: &Keyring, wrapped: &[u8]) -> bool {
    Keyring::version_of(wrapped).is_ok_and(|version| keyring.key(version).is_some())
}

/// SHA-256 over the wrapped DEK and the ciphertext, each with its length (u64 BE) before it, in hex.
pub(crate) fn bundle_digest(sealed: SealedRef<'_>) -> String {
    let mut hash = Sha256::new();
    for part in [sealed.wrapped_dek, sealed.ciphertext] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    HEXLOWER.encode(&hash.finalize())
}

/// The row of a name must exist or not; a shorthand for [`Expect`].
pub(crate) fn expect<T: Content>(id: &[u8], row_version: u64) -> Expect {
    Expect { kind: T::KIND, id: id.to_vec(), row_version }
}
