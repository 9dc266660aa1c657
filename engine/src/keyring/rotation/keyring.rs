//! Rotation of the keyring: a new version at once, then all wraps under it in the background. The old version is
//! destroyed when a complete pass found nothing that it wraps.
//!
//! No new wrap by an old version can appear after that: a transaction that writes a new wrap expects the store's row to
//! be the one that named the version in use ([`Engine::wrapping`]), and a rotation writes that row.

use std::sync::Arc;

use petsem_api::{ErrorCode, KeyringInfo, KeyringVersion, RotationList};
use petsem_keys::{Keyring, KeyringKey, RowMacKey};
use petsem_store::{Change, CommitError, Expect, Record, RecordKind};

use super::progress::{AGAIN, Pace, Progress};
use super::rewrap::{KINDS, Rewrapped};
use crate::authz::decide::Principal;
use crate::clock::{Timestamp, time_text};
use crate::control::state::Control;
use crate::engine::{Engine, TRIES};
use crate::entropy;
use crate::error::Failure;
use crate::keyring::state::{MOST_KEYRING_VERSIONS, old_row_mac_context, row_mac_context};
use crate::messages;
use crate::records::{
    FeedRow, IntegrityFault, KeyringKeyRow, REREADS, ReplacementRow, Row, StoreRow, expect,
};
use crate::request::{AuditRecord, local_record};

/// Runs the rotation of the keyring while one is in progress.
pub(super) async fn follow(engine: &Engine) {
    loop {
        if let Err(failure) = engine.carry_on_keyring().await {
            let reason = failure.operator_text();
            tracing::warn!(reason, "the keyring's rotation failed and will be retried");
        }
        tokio::select! {
            () = engine.rotations.keyring_begun.notified() => {}
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

/// The result for a batch.
#[derive(Default)]
struct Pass {
    rewrapped: u64,
    /// Rows that other requests wrote at the same time.
    left: u64,
}

impl Engine {
    /// The store's own row.
    pub(crate) async fn store_row(&self) -> Result<Row<StoreRow>, Failure> {
        let missing = || IntegrityFault::new(RecordKind::Store, &[], "it is missing");
        let control = self.control();
        let row: Row<StoreRow> = self.row(&[]).await?.ok_or_else(missing)?;
        control.check_store_row(row.version)?;
        Ok(row)
    }

    /// The keyring for a wrap in a new row, and what the change that writes the row must expect: that no rotation has
    /// begun since.
    pub(crate) async fn wrapping(&self) -> Result<(Arc<Keyring>, Expect), Failure> {
        for _ in 0..REREADS {
            let row = self.store_row().await?;
            let keyring = self.keyring();
            if keyring.current_version() == row.content.keyring_version {
                return Ok((keyring, expect::<StoreRow>(&[], row.version)));
            }
            self.refresh().await?;
        }
        Err(messages::keyring_rotating_now())
    }

    /// Brings the keyring in line with the control feed: its current version, and no version that was destroyed.
    pub(crate) fn follow_keyring(&self) {
        let changed = self.keys.change_keyring(|keyring| {
            // Inside the update, so that two tasks cannot set the keyring back.
            let control = self.control();
            if let Some(current) = control.keyring_versions().current {
                keyring.make_current(current)?;
            }
            let versions = keyring.versions().into_iter();
            versions
                .filter(|version| control.keyring_versions().is_destroyed(*version))
                .try_for_each(|version| keyring.remove(version))
        });
        if let Err(error) = changed {
            tracing::error!(%error, "the keyring differs from the control feed");
        }
    }

    /// A destroyed version must have no row: an existing one was restored from outside.
    pub(crate) async fn check_destroyed_versions(&self) -> Result<(), Failure> {
        // By the rows that there are: an old installation has destroyed far more.
        let control = self.control();
        for (version, _) in self.rows::<KeyringKeyRow>(MOST_KEYRING_VERSIONS).await? {
            if control.keyring_versions().is_destroyed(version) {
                let what = "it was destroyed, but its row exists again";
                return Err(IntegrityFault::new(RecordKind::KeyringKey, &version.to_be_bytes(), what).into());
            }
        }
        Ok(())
    }

    /// Creates the version that wraps from now on; a background task re-wraps the rest.
    pub async fn rotate_keyring(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<RotationList, Failure> {
        principal.may_operate(audit, now)?;
        self.begin_keyring_rotation(audit, now).await?;
        self.rotation_list().await
    }

    pub(crate) async fn begin_keyring_rotation(
        &self,
        audit: &mut AuditRecord,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let store = self.store_row().await?;
        let (keyring, root) = (self.keyring(), self.keys.root());
        if keyring.versions().len() > 1 {
            return Err(messages::keyring_rotation_running());
        }
        let is_newest = keyring.current_version() == store.content.keyring_version;
        if !is_newest || root.version() != store.content.root_version {
            return Err(messages::root_key_replaced_now());
        }
        let version = store.content.keyring_version.checked_add(1);
        let version = version.ok_or_else(|| Failure::internal("the keyring has no further version"))?;
        let store_id = *self.store_id.as_bytes();
        let (key, wrapped) = {
            let rng = &mut entropy::rng();
            let key = KeyringKey::generate(rng, version);
            let wrapped = root.wrap_keyring_key(rng, &key, store_id).map_err(Failure::internal)?;
            (key, wrapped)
        };
        let context = row_mac_context(self.store_id);
        let row_mac: RowMacKey =
            keyring.unwrap(&store.content.row_mac_key, &context).map_err(Failure::internal)?;
        let next = Keyring::new([key], version).map_err(Failure::internal)?;
        let (row_mac_key, replacement) = {
            let rng = &mut entropy::rng();
            match store.content.replacement.clone() {
                None => (next.wrap(rng, &row_mac, &context), None),
                // The old key is under a version of the keyring that stays only as one to be replaced.
                Some(replacement) => {
                    let old = next.wrap(rng, &row_mac, &old_row_mac_context(self.store_id));
                    let old_row_mac_key = old.map_err(Failure::internal)?;
                    let new = RowMacKey::generate(rng);
                    let replacement = ReplacementRow { old_row_mac_key, ..replacement };
                    (next.wrap(rng, &new, &context), Some(replacement))
                }
            }
        };
        let row_mac_key = row_mac_key.map_err(Failure::internal)?;
        drop((row_mac, next));
        let at = now.millis();
        let row = KeyringKeyRow { wrapped, created_at: at };
        let content = StoreRow { keyring_version: version, row_mac_key, replacement, ..store.content };
        let id = version.to_be_bytes();
        audit.set_detail(messages::keyring_version(version));
        let feed =
            [FeedRow::KeyringSet { version, at }, FeedRow::StoreSet { version: store.version + 1, at }];
        self.commit_control(audit, &feed, |change| {
            change.expects.push(expect::<StoreRow>(&[], store.version));
            change.expects.push(expect::<KeyringKeyRow>(&id, 0));
            change.puts.push(self.codec.write(&[], store.version + 1, &content));
            change.puts.push(self.codec.write(&id, 1, &row));
        })
        .await?;
        let total = self.rows_under_keyring().await?;
        self.rotations.keyring(|progress| *progress = Some(Progress::of(total)));
        self.rotations.keyring_begun.notify_one();
        Ok(())
    }

    /// The rotations in progress, for operators.
    pub async fn list_rotations(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<RotationList, Failure> {
        principal.may_operate(audit, now)?;
        self.rotation_list().await
    }

    /// As [`Self::list_rotations`], for a command on the node.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn rotation_list(&self) -> Result<RotationList, Failure> {
        let versions = self.rows::<KeyringKeyRow>(MOST_KEYRING_VERSIONS).await?;
        let versions: Vec<_> = versions
            .into_iter()
            .map(|(version, row)| KeyringVersion { version, created_at: time_text(row.content.created_at) })
            .collect();
        let in_progress = versions.len() > 1;
        let rotation = in_progress.then(|| self.rotations.keyring_progress().unwrap_or_default());
        let keyring = KeyringInfo { current: self.keyring().current_version(), versions, rotation };
        Ok(RotationList { keyring, apps: self.app_rotations().await? })
    }

    async fn rows_under_keyring(&self) -> Result<u64, Failure> {
        let mut total = 0;
        for kind in KINDS {
            total += self.store.count(kind).await?;
        }
        Ok(total)
    }

    /// Re-wraps rows until a complete pass finds none that names an old version, then destroys the old versions.
    pub(crate) async fn carry_on_keyring(&self) -> Result<(), Failure> {
        let mut pace = Pace::new(self.settings.rewraps_per_second);
        while self.keyring().versions().len() > 1 && self.integrity_fault().is_none() {
            let keyring = self.keyring();
            if self.rotations.keyring(|progress| progress.is_none()) {
                let total = self.rows_under_keyring().await?;
                tracing::info!(version = keyring.current_version(), "the keyring's rotation is resumed");
                self.rotations.keyring(|progress| *progress = Some(Progress::of(total)));
            }
            let pass = self.keyring_pass(&keyring, &mut pace).await?;
            if self.rotations.keyring(|progress| progress.as_ref().is_some_and(Progress::is_blocked)) {
                return Ok(());
            }
            if pass.rewrapped == 0 && pass.left == 0 {
                for version in keyring.versions() {
                    if version < keyring.current_version() {
                        self.destroy_keyring_version(version).await?;
                    }
                }
            }
        }
        if self.keyring().versions().len() == 1 {
            self.rotations.keyring(|progress| *progress = None);
        }
        Ok(())
    }

    async fn keyring_pass(&self, keyring: &Keyring, pace: &mut Pace) -> Result<Pass, Failure> {
        let mut pass = Pass::default();
        self.rotations.keyring(|progress| {
            if let Some(progress) = progress {
                progress.done = 0;
                progress.again();
            }
        });
        for kind in KINDS {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let page = self.store.records(kind, &[], after.as_deref(), pace.batch()).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.id.clone());
                let batch = self.rewrap_batch(keyring, &page).await?;
                pass.rewrapped += batch.rewrapped;
                pass.left += batch.left;
                self.rotations.count(batch.rewrapped);
                self.rotations.keyring(|progress| {
                    if let Some(progress) = progress {
                        progress.done += u64::try_from(page.len()).unwrap_or(u64::MAX);
                        progress.rewrapped += batch.rewrapped;
                    }
                });
                pace.after(batch.rewrapped).await;
            }
        }
        Ok(pass)
    }

    /// Rewrites the rows of a page that name an old version, in one transaction.
    async fn rewrap_batch(&self, keyring: &Keyring, page: &[Record]) -> Result<Pass, Failure> {
        let mut rows = self.rewrap_all(keyring, page).await;
        let mut pass = Pass::default();
        let Some(first) = rows.first() else { return Ok(pass) };
        if first.feed.is_some() {
            return match self.commit_rewrapped_with_feed(&rows).await {
                Ok(()) => Ok(Pass { rewrapped: keys_of(&rows), left: 0 }),
                Err(failure) if failure.code() == ErrorCode::Conflict => Ok(Pass { left: 1, ..pass }),
                Err(failure) => Err(failure),
            };
        }
        // This node's writers of these apps wait for this transaction, so neither side has a conflict.
        let heads = rows.iter().filter(|row| row.record.kind == RecordKind::AppHead);
        let _turns = self.app_turns(heads.map(|row| row.record.id.as_slice())).await;
        for _ in 0..TRIES + rows.len() {
            if rows.is_empty() {
                return Ok(pass);
            }
            match self.commit_rewrapped(&rows).await {
                Ok(()) => {
                    pass.rewrapped += keys_of(&rows);
                    return Ok(pass);
                }
                Err(CommitError::Conflict { kind, id }) => {
                    // Written or deleted since the page was read.
                    rows.retain(|row| row.record.id != id);
                    if let Some(record) = self.store.record(kind, &id).await? {
                        rows.extend(self.rewrap_all(keyring, &[record]).await);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        pass.left += 1;
        Ok(pass)
    }

    /// The rows to write. A row that cannot be opened is reported, and the old version is not destroyed.
    async fn rewrap_all(&self, keyring: &Keyring, page: &[Record]) -> Vec<Rewrapped> {
        let at = self.now().millis();
        let mut rewrapped = Vec::with_capacity(page.len());
        for record in page {
            match self.rewrapped(keyring, record, at).await {
                Ok(row) => rewrapped.extend(row),
                // Deleted since the page was read.
                Err(_) if matches!(self.store.record(record.kind, &record.id).await, Ok(None)) => {}
                Err(failure) => {
                    self.rotations.keyring(|progress| progress.get_or_insert_default().fault(&failure));
                }
            }
        }
        rewrapped
    }

    /// Re-wraps of single rows have no audit line; the begin and the end of the rotation have one.
    async fn commit_rewrapped(&self, rows: &[Rewrapped]) -> Result<(), CommitError> {
        let mut audit = local_record(self.now(), "keyring.rewrap");
        let mut change = self.change_without_line();
        put_rewrapped(&mut change, rows);
        let committed = self.commit(&mut audit, change).await?;
        self.store.audited(self.node, &[committed.revision]);
        Ok(())
    }

    async fn commit_rewrapped_with_feed(&self, rows: &[Rewrapped]) -> Result<(), Failure> {
        let mut audit = local_record(self.now(), "keyring.rewrap");
        let feed: Vec<FeedRow> = rows.iter().filter_map(|row| row.feed.clone()).collect();
        let request = self.change_without_line().request;
        self.commit_control(&mut audit, &feed, |change| {
            change.request = request.clone();
            put_rewrapped(change, rows);
        })
        .await?;
        if let Some(revision) = audit.revision() {
            self.store.audited(self.node, &[revision]);
        }
        Ok(())
    }

    async fn destroy_keyring_version(&self, version: u32) -> Result<(), Failure> {
        let id = version.to_be_bytes();
        // Missing: another node did it first, and the feed has the change.
        let Some(row) = self.row::<KeyringKeyRow>(&id).await? else {
            self.refresh().await?;
            let missing = || IntegrityFault::new(RecordKind::KeyringKey, &id, "it is missing");
            return self.keyring().key(version).map_or(Ok(()), |_| Err(missing().into()));
        };
        let now = self.now();
        let mut audit = local_record(now, "keyring.destroy");
        audit.set_detail(messages::keyring_version(version));
        let feed = [FeedRow::KeyringDestroyed { version, at: now.millis() }];
        // A version that was just added is not current in this node's keyring yet.
        let check = |control: &Control| match control.keyring_versions().current {
            Some(current) if version < current => Ok(()),
            _ => Err(messages::keyring_rotating_now()),
        };
        self.commit_control_if(&mut audit, &feed, check, |change| {
            change.expects.push(expect::<KeyringKeyRow>(&id, row.version));
            change.deletes.push((RecordKind::KeyringKey, id.to_vec()));
            change.erases = true;
        })
        .await?;
        tracing::info!(version, "an unused version of the keyring was destroyed");
        self.record(&audit).await
    }
}

fn keys_of(rows: &[Rewrapped]) -> u64 {
    rows.iter().map(|row| row.keys).sum()
}

fn put_rewrapped(change: &mut Change, rows: &[Rewrapped]) {
    for row in rows {
        let (kind, id) = (row.record.kind, row.record.id.clone());
        change.expects.push(Expect { kind, id, row_version: row.read });
        change.puts.push(row.record.clone());
    }
}
