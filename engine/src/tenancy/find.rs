//! Finds apps by name or id. Never returns an older head than this node has already seen.

use std::collections::BTreeSet;
use std::sync::Arc;

use petsem_api::{AppId, AppRef, ErrorCode};
use petsem_keys::{Keyring, scrubbed_call};
use petsem_store::{AppPart, AppRows, Record, RecordKind};

use crate::control::state::Control;
use crate::engine::{APP_LOCKS, Engine};
use crate::error::Failure;
use crate::messages;
use crate::records::{AppHead, AppNameRow, IntegrityFault, KekRow, REREADS};
use crate::tenancy::found::FoundApp;

/// The lock of one of this node's writers of an app.
pub(crate) struct AppTurn<'a> {
    /// Whether it had to wait for another writer: data that was read before may be old.
    pub(crate) waited: bool,
    _guard: Option<tokio::sync::MutexGuard<'a, ()>>,
}

impl Engine {
    /// The lock of an app's writers on this node.
    pub(crate) async fn app_turn(&self, app: AppId) -> AppTurn<'_> {
        let Some(lock) = self.app_locks.get(place_of(app.as_bytes())) else {
            return AppTurn { waited: true, _guard: None };
        };
        match lock.try_lock() {
            Ok(guard) => AppTurn { waited: false, _guard: Some(guard) },
            Err(_) => AppTurn { waited: true, _guard: Some(lock.lock().await) },
        }
    }

    /// The locks of several apps' writers. They are taken in order, so that two such calls cannot deadlock.
    pub(crate) async fn app_turns(
        &self,
        apps: impl Iterator<Item = &[u8]>,
    ) -> Vec<tokio::sync::MutexGuard<'_, ()>> {
        let places: BTreeSet<usize> = apps.map(place_of).collect();
        let mut turns = Vec::with_capacity(places.len());
        for lock in places.into_iter().filter_map(|place| self.app_locks.get(place)) {
            turns.push(lock.lock().await);
        }
        turns
    }

    /// An app by name or id, with policy and bundle, in one consistent state.
    pub(crate) async fn find_app(&self, app: &AppRef) -> Result<Option<FoundApp>, Failure> {
        self.find_app_with(app, AppPart::Secrets).await
    }

    /// As [`Self::find_app`], with this part of its rows.
    pub(crate) async fn find_app_with(
        &self,
        app: &AppRef,
        part: AppPart,
    ) -> Result<Option<FoundApp>, Failure> {
        self.find_app_if(app, part, None).await
    }

    /// As [`Self::find_app_with`], but nothing of an app is read if it is not `only`.
    pub(crate) async fn find_app_if(
        &self,
        app: &AppRef,
        part: AppPart,
        only: Option<AppId>,
    ) -> Result<Option<FoundApp>, Failure> {
        let mut tries = 0;
        loop {
            match self.read_app(app, part, only).await? {
                None => return Ok(None),
                Some(found) if self.seen_heads.is_newest(found.id, found.head_version, self.now()) => {
                    return Ok(Some(found));
                }
                // Another request may have written it since this read: only a head that stays old was put back.
                Some(_) if tries < REREADS => tries += 1,
                Some(found) => {
                    let what = "an older version of it was put back";
                    return Err(IntegrityFault::new(RecordKind::AppHead, found.id.as_bytes(), what).into());
                }
            }
        }
    }

    /// An app whose head was decided on, with this part of its rows; in its current state, if it was changed meanwhile.
    /// Id and org never change.
    pub(crate) async fn with_part(&self, app: FoundApp, part: AppPart) -> Result<FoundApp, Failure> {
        if part == AppPart::Head {
            return Ok(app);
        }
        match self.store.app_part(app.id, app.head_version, part).await? {
            Some(part) => Ok(FoundApp { part, ..app }),
            None => self
                .find_app_with(&AppRef::Id(app.id), part)
                .await?
                .ok_or_else(messages::app_deleted_meanwhile),
        }
    }

    /// The current state of an app that the same request already found.
    pub(crate) async fn current_app(&self, app: AppId) -> Result<FoundApp, Failure> {
        self.find_app(&AppRef::Id(app)).await?.ok_or_else(messages::app_deleted_meanwhile)
    }

    async fn read_app(
        &self,
        app: &AppRef,
        part: AppPart,
        only: Option<AppId>,
    ) -> Result<Option<FoundApp>, Failure> {
        // Read before the rows: an app that is deleted after they were read was not put back.
        let control = self.control();
        let keyring = self.keyring();
        let found = self.read_app_with(&control, &keyring, app, part, only).await;
        // Another node may have rotated the keyring, or committed another change that this node has not read yet.
        let is_behind = match &found {
            Ok(found) => {
                found.iter().flat_map(|found| &found.head.keks).any(|kek| !knows(&keyring, &kek.wrapped))
            }
            Err(failure) => failure.code() == ErrorCode::Integrity,
        };
        if is_behind {
            self.refresh().await?;
            return self.read_app_with(&self.control(), &self.keyring(), app, part, only).await;
        }
        found
    }

    async fn read_app_with(
        &self,
        control: &Control,
        keyring: &Arc<Keyring>,
        app: &AppRef,
        part: AppPart,
        only: Option<AppId>,
    ) -> Result<Option<FoundApp>, Failure> {
        let is_wanted = |id: &AppId| only.is_none_or(|only| only == *id);
        match app {
            AppRef::Id(id) if !is_wanted(id) => Ok(None),
            AppRef::Id(id) => match self.store.app(*id, part).await? {
                None => Ok(None),
                Some(rows) => self.open_app(control, keyring, *id, rows).await.map(Some),
            },
            AppRef::Name(name) => {
                let key = name.as_str().as_bytes();
                // Runs on a thread of the store, which has keys only during this call.
                let app_of = |record: &Record| {
                    scrubbed_call(|| self.codec.read::<AppNameRow>(key, record))
                        .ok()
                        .map(|row| row.content.app)
                        .filter(is_wanted)
                };
                let Some(named) = self.store.app_by_name(name, part, &app_of).await? else { return Ok(None) };
                let id = self.codec.read::<AppNameRow>(key, &named.name)?.content.app;
                if !is_wanted(&id) {
                    return Ok(None);
                }
                let missing = || IntegrityFault::new(RecordKind::AppHead, id.as_bytes(), "it is missing");
                let app = self.open_app(control, keyring, id, named.app.ok_or_else(missing)?).await?;
                if app.head.name != *name {
                    return Err(
                        IntegrityFault::new(RecordKind::AppName, key, "the app has another name").into()
                    );
                }
                Ok(Some(app))
            }
        }
    }

    async fn open_app(
        &self,
        control: &Control,
        keyring: &Arc<Keyring>,
        id: AppId,
        rows: AppRows,
    ) -> Result<FoundApp, Failure> {
        let head = self.codec.read_kept::<AppHead>(id.as_bytes(), &rows.head)?;
        let fault = |what| Err(IntegrityFault::new(RecordKind::AppHead, id.as_bytes(), what).into());
        let entry = control.app(id).await?;
        let destroyed = |kek: &KekRow| {
            Keyring::version_of(&kek.wrapped)
                .is_ok_and(|version| control.keyring_versions().is_destroyed(version))
        };
        // The keyring version that wrapped its KEKs ends before the entry of a deleted app is dropped.
        let is_deleted = entry.is_deleted() || head.content.keks.iter().any(destroyed);
        if is_deleted || control.org(head.content.org).await?.is_deleted {
            return fault("the app was deleted, but its row exists again");
        }
        if head.version < entry.floor {
            return fault("an older version of it was put back");
        }
        let (head_version, head) = (head.version, head.content);
        Ok(FoundApp { id, head_version, head, part: rows.part, keyring: Arc::clone(keyring) })
    }
}

/// The place of an app's lock: the end of its id is random.
fn place_of(app: &[u8]) -> usize {
    let end = app.last_chunk().map_or(0, |end| u16::from_be_bytes(*end));
    usize::from(end) % APP_LOCKS
}

/// Whether the keyring has the version of a wrap.
fn knows(keyring: &Keyring, wrapped: &[u8]) -> bool {
    Keyring::version_of(wrapped).is_ok_and(|version| keyring.key(version).is_some())
}
