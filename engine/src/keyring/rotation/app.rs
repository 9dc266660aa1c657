//! Rotation of one app's KEK: a new version that at once covers all that a boot needs, then the history in the
//! background, then the destruction of the old version.
//!
//! While the head of the app names two versions, the rotation is in progress. A value whose DEK is wrapped by an old
//! version must still be re-wrapped, so a killed rotation resumes from the rows. With `rewrite` each value also gets a
//! new DEK, and no value is ever under its old DEK and a new KEK.

use std::collections::{BTreeMap, BTreeSet};

use petsem_api::{AppId, AppRef, AppRotation, ErrorCode, SecretName};
use petsem_keys::{AppKek, DigestKey, SecretKeyMaterial, WrapContext};
use petsem_policy::Action;
use petsem_store::{AppPart, CommitError, NewValue, RecordKind};

use super::progress::{AGAIN, Pace, Progress};
use crate::authz::decide::Principal;
use crate::clock::{Timestamp, time_text};
use crate::engine::{Engine, TRIES};
use crate::entropy;
use crate::error::Failure;
use crate::messages;
use crate::records::{AppHead, AppRotationRow, IntegrityFault, KekRow, Row, SecretKeysRow, expect};
use crate::request::{AuditRecord, local_record};
use crate::secrets::bundle::dek_of;
use crate::tenancy::found::FoundApp;

/// Most rotations of apps at once; each has a row.
const MOST: u32 = 10_000;
/// Values that are kept when one of them is rewritten: all of them.
const KEEP_ALL: u32 = u32::MAX;

/// Runs the rotations of apps that are in progress.
pub(super) async fn follow(engine: &Engine) {
    loop {
        if let Err(failure) = engine.carry_on_apps().await {
            let reason = failure.operator_text();
            tracing::warn!(reason, "the rotation of apps failed and will be retried");
        }
        tokio::select! {
            () = engine.rotations.app_begun.notified() => {}
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

/// An app whose head names an old KEK has a rotation in progress; no node deleted its row.
fn missing_rotation(app: AppId) -> Failure {
    let what = "it is missing, but the app's old KEK still exists";

    IntegrityFault::new(RecordKind::AppRotation, app.as_bytes(), what).into()
}

/// The result for a page of values.
struct Page {
    /// The last value of the page; `None` if there are no more.
    last: Option<(SecretName, u64)>,
    seen: u64,
    rewrapped: u64,
}

impl Engine {
    /// Gives an app a new KEK. Boots, lists and sets use it from now on; a background task re-wraps the history.
    ///
    /// # Errors
    /// Refused, or a rotation is in progress. Nothing was changed.
    pub async fn rotate_app(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        app: &AppRef,
        rewrite: bool,
        now: Timestamp,
    ) -> Result<AppRotation, Failure> {
        let app = self.app_for(principal, audit, app, AppPart::Head, &[(Action::Operate, None)]).await?.id;
        let author = principal.author();
        let turn = self.app_turn(app).await;
        for _ in 0..TRIES {
            let found = self.current_app(app).await?;
            if found.head.keks.len() > 1 {
                let row = self.row::<AppRotationRow>(app.as_bytes()).await?;
                return Err(row.map_or_else(|| missing_rotation(app), |_| messages::app_rotation_running()));
            }
            let (found, keys) = self.secret_keys_of(found).await?;
            let row = AppRotationRow { rewrite, author: author.clone(), started_at: now.millis() };
            match self.begin_app_rotation(audit, &found, keys, &row).await? {
                Ok(()) => {
                    drop(turn);
                    let total = self.store.count_values(app).await?;
                    self.rotations.app(app, |progress| *progress = Progress::of(total));
                    self.rotations.app_begun.notify_one();
                    let keks = vec![found.head.kek_version, found.head.kek_version + 1];
                    return Ok(self.shown_rotation(app, keks, &row));
                }
                Err(CommitError::Conflict { kind: RecordKind::AppHead, .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(messages::app_always_changing())
    }

    async fn begin_app_rotation(
        &self,
        audit: &mut AuditRecord,
        app: &FoundApp,
        keys: SecretKeysRow,
        rotation: &AppRotationRow,
    ) -> Result<Result<(), CommitError>, Failure> {
        let id = app.id.as_bytes();
        let store = *self.store_id.as_bytes();
        let old = self.kek(app, app.head.kek_version)?;
        let version = old.version().checked_add(1);
        let version = version.ok_or_else(|| Failure::internal("the app's KEK has no further version"))?;
        let new = AppKek::generate(&mut entropy::rng(), *id, version);
        let (keyring, fence) = self.wrapping().await?;
        let wrapped = keyring
            .wrap(&mut entropy::rng(), &new, &WrapContext::app_kek(store, *id, version))
            .map_err(Failure::internal)?;
        let fault = |what, id: &[u8]| IntegrityFault::new(what, id, "it does not open");
        let digest_key = old
            .rewrap::<DigestKey>(&mut entropy::rng(), &new, &app.head.digest_key, store, *id)
            .map_err(|error| Failure::from(fault("digest key", id)).because(error))?;

        let mut change = self.change(audit);
        let mut head = AppHead { kek_version: version, digest_key, ..AppHead::clone(&app.head) };
        head.keks.push(KekRow { version, wrapped });
        if let Some(bundle) = self.reseal_bundle(app, &old, &new, rotation.rewrite)? {
            head.bundle_dek = Some(dek_of(&bundle.wrapped_dek)?);
            change.bundle = Some(bundle);
        }
        if app.head.secret_keys_version > 0 {
            let keys = self.secret_keys_under(app, keys, &old, &new)?;
            head.secret_keys_version += 1;
            change.puts.push(self.codec.write(id, head.secret_keys_version, &keys));
        }
        audit.set_detail(messages::kek_version(version, rotation.rewrite));
        change.request.line = self.line(audit);
        change.expects.push(fence);
        change.expects.push(expect::<AppHead>(id, app.head_version));
        change.expects.push(expect::<AppRotationRow>(id, 0));
        change.puts.push(self.codec.write(id, app.head_version + 1, &head));
        change.puts.push(self.codec.write(id, 1, rotation));
        Ok(self.commit(audit, change).await.map(|_| ()))
    }

    fn secret_keys_under(
        &self,
        app: &FoundApp,
        mut row: SecretKeysRow,
        old: &AppKek,
        new: &AppKek,
    ) -> Result<SecretKeysRow, Failure> {
        for (name, key) in &mut row.keys {
            let fault = |what| {
                let id = app.row_name(name.as_str());
                Failure::from(IntegrityFault::new("secret key", &id, what))
            };
            let id: [u8; 16] =
                key.id.as_slice().try_into().map_err(|_| fault("its id has the wrong length"))?;
            key.wrapped = old
                .rewrap::<SecretKeyMaterial>(
                    &mut entropy::rng(),
                    new,
                    &key.wrapped,
                    *self.store_id.as_bytes(),
                    id,
                )
                .map_err(|error| fault("it does not open").because(error))?;
        }
        Ok(row)
    }

    /// The rotations that are in progress: those with a row, and those that this node has begun and not ended.
    pub(super) async fn app_rotations(&self) -> Result<Vec<AppRotation>, Failure> {
        let rows: BTreeMap<_, _> = self.rows::<AppRotationRow>(MOST).await?.into_iter().collect();
        let mut rotations = Vec::new();
        for app in rows.keys().copied().chain(self.rotations.apps()).collect::<BTreeSet<_>>() {
            let Some(open) = self.find_app(&AppRef::Id(app)).await? else { continue };
            let keks: Vec<_> = open.head.keks.iter().map(|kek| kek.version).collect();
            match rows.get(&app) {
                Some(row) => rotations.push(self.shown_rotation(app, keks, &row.content)),
                None if keks.len() > 1 => return Err(missing_rotation(app)),
                None => {}
            }
        }
        Ok(rotations)
    }

    fn shown_rotation(&self, app: AppId, kek_versions: Vec<u32>, row: &AppRotationRow) -> AppRotation {
        AppRotation {
            app,
            rewrite: row.rewrite,
            kek_versions,
            started_at: time_text(row.started_at),
            progress: self.rotations.app_progress(app),
        }
    }

    async fn carry_on_apps(&self) -> Result<(), Failure> {
        let mut pace = Pace::new(self.settings.rewraps_per_second);
        for (app, row) in self.rows::<AppRotationRow>(MOST).await? {
            // A failure for one app does not stop the others.
            if let Err(failure) = self.carry_on_app(app, &row, &mut pace).await {
                self.rotations.app(app, |progress| progress.fault(&failure));
            }
        }
        Ok(())
    }

    /// Re-wraps an app's values until a complete pass finds none under an old KEK, then destroys the old KEK.
    async fn carry_on_app(
        &self,
        app: AppId,
        row: &Row<AppRotationRow>,
        pace: &mut Pace,
    ) -> Result<(), Failure> {
        let total = self.store.count_values(app).await?;
        self.rotations.app(app, |progress| progress.total = progress.total.max(total));
        loop {
            self.rotations.app(app, |progress| {
                progress.done = 0;
                progress.again();
            });
            let (mut after, mut rewrapped) = (None, 0);
            loop {
                let page = self.rewrap_values(app, row.content.rewrite, after.as_ref(), pace.batch()).await?;
                rewrapped += page.rewrapped;
                self.rotations.count(page.rewrapped);
                self.rotations.app(app, |progress| {
                    progress.done += page.seen;
                    progress.rewrapped += page.rewrapped;
                });
                pace.after(page.rewrapped).await;
                after = page.last;
                if after.is_none() {
                    break;
                }
            }
            if self.rotations.app(app, |progress| progress.is_blocked()) {
                return Ok(());
            }
            if rewrapped == 0 {
                return self.end_app_rotation(app, row.version).await;
            }
        }
    }

    /// Processes the next page of an app's values; those under an old KEK are rewritten in one transaction.
    async fn rewrap_values(
        &self,
        app: AppId,
        rewrite: bool,
        after: Option<&(SecretName, u64)>,
        limit: u32,
    ) -> Result<Page, Failure> {
        // This node's writers of the app wait for this transaction.
        let _turn = self.app_turn(app).await;
        for _ in 0..TRIES {
            let Some(open) = self.find_app(&AppRef::Id(app)).await? else {
                return Ok(Page { last: None, seen: 0, rewrapped: 0 });
            };
            let new = self.kek(&open, open.head.kek_version)?;
            let page = self.store.values(app, after.map(|(name, version)| (name, *version)), limit).await?;
            let last = page.last().map(|row| (row.name.clone(), row.app_version));
            let seen = u64::try_from(page.len()).unwrap_or(u64::MAX);
            let mut change = self.change_without_line();
            for row in &page {
                match self.reseal_value(&open, &new, row, rewrite) {
                    Ok(None) => {}
                    Ok(Some(row)) => change.values.push(NewValue { row, keep: KEEP_ALL }),
                    Err(failure) => self.rotations.app(app, |progress| progress.fault(&failure)),
                }
            }
            let rewrapped = u64::try_from(change.values.len()).unwrap_or(u64::MAX);
            if rewrapped == 0 {
                return Ok(Page { last, seen, rewrapped });
            }
            // No secret was set since the page was read, so no value was removed from the history.
            change.expects.push(expect::<AppHead>(app.as_bytes(), open.head_version));
            let mut audit = local_record(self.now(), "app.rewrap");
            match self.commit(&mut audit, change).await {
                Ok(committed) => {
                    self.store.audited(self.node, &[committed.revision]);
                    return Ok(Page { last, seen, rewrapped });
                }
                Err(CommitError::Conflict { kind: RecordKind::AppHead, .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(messages::app_always_changing())
    }

    /// Removes the old KEK from the head: no value is under it any more.
    async fn end_app_rotation(&self, app: AppId, rotation: u64) -> Result<(), Failure> {
        let _turn = self.app_turn(app).await;
        let mut audit = local_record(self.now(), "app.kek_destroy");
        for _ in 0..TRIES {
            let row = self.row::<AppRotationRow>(app.as_bytes()).await?;
            let open = self.find_app(&AppRef::Id(app)).await?;
            let Some(open) = open.filter(|open| open.head.keks.len() > 1) else {
                // Another node did it first, or the app was deleted with its rotation.
                self.rotations.end_app(app);
                return Ok(());
            };
            if row.is_none_or(|row| row.version != rotation) {
                return Err(missing_rotation(app));
            }
            audit.set_app(&open);
            let mut head = AppHead::clone(&open.head);
            head.keks.retain(|kek| kek.version == head.kek_version);
            audit.set_detail(messages::only_kek_version(head.kek_version));
            let mut change = self.change(&audit);
            change.erases = true;
            change.expects.push(expect::<AppHead>(app.as_bytes(), open.head_version));
            change.puts.push(self.codec.write(app.as_bytes(), open.head_version + 1, &head));
            change.expects.push(expect::<AppRotationRow>(app.as_bytes(), rotation));
            change.deletes.push((RecordKind::AppRotation, app.as_bytes().to_vec()));
            match self.commit_head(&mut audit, &open, true, None, change).await {
                Ok(()) => {
                    self.rotations.end_app(app);
                    return self.record(&audit).await;
                }
                Err(failure) if failure.code() == ErrorCode::Conflict => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(messages::app_always_changing())
    }
}
