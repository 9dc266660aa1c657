//! The list of seals of a store that one of them opened. Changes of the list are planned on it.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use petsem_keys::{RootKey, Seal, SealContext, SealExt as _, SealSource};

use crate::entropy;
use crate::error::Failure;
use crate::keyring::seal_list::{KeepShares, SealAction, SealChange, SealInfo, info, make_seal, names_seal};
use crate::keyring::unlock::{MOST_SEALS, SealSources, SealedRows, UnlockError, Unlocked, unlock_rows};
use crate::messages;
use crate::records::{IntegrityFault, RecordCodec, Row, SealRow, StoreRow, id_of};

/// A seal's id and its row.
pub(crate) type SealOfList = ([u8; 16], Row<SealRow>);

/// The list of seals, every MAC checked, and the keys of the store that one of them opened.
pub struct OpenList {
    pub(crate) unlocked: Unlocked,
    pub(crate) store: Row<StoreRow>,
    pub(crate) seals: Vec<SealOfList>,
}

/// A planned change of the seal list, and the keys to commit it with.
pub struct PlannedSeals {
    /// The keys of the store.
    pub unlocked: Unlocked,
    /// The change.
    pub change: SealChange,
}

/// Why a seal of the list is not available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// It is neither configured nor in the input.
    NotTried,
    /// The seal's own error.
    Failed(String),
}

/// Each seal of a list after it opened the root key, or why it is not available.
pub(crate) type Available = Vec<Result<Box<dyn Seal>, Unavailable>>;

impl OpenList {
    /// Opens the store with one of these sources and verifies every row of the list.
    ///
    /// # Errors
    /// [`UnlockError`]: no seal opens the store, or a row differs from what was written.
    pub async fn open(sources: &SealSources, rows: SealedRows) -> Result<Self, UnlockError> {
        let unlocked = unlock_rows(sources, rows.clone()).await?;
        let (store, seals) = checked(&unlocked.codec, &rows).map_err(Failure::from)?;
        Ok(Self { unlocked, store, seals })
    }

    /// The seals.
    pub fn infos(&self) -> Vec<SealInfo> {
        self.seals.iter().map(|(id, row)| info(id, &row.content)).collect()
    }

    /// Adds a seal that wraps the same root key as the others.
    ///
    /// # Errors
    /// [`UnlockError`]. Nothing was changed, except that a new key file may exist.
    pub fn add(
        self,
        source: &dyn SealSource,
        now: u64,
        keep_shares: KeepShares<'_>,
    ) -> Result<(SealInfo, PlannedSeals), UnlockError> {
        if self.seals.len() >= MOST_SEALS as usize {
            return Err(UnlockError::Refused(messages::too_many_seals(MOST_SEALS)));
        }
        let rng = &mut entropy::rng();
        let (id, row) =
            make_seal(source, rng, &self.unlocked.root, self.unlocked.store_id, now, keep_shares)?;
        let added = info(&id, &row);
        let detail = messages::changed_seal(&added.kind, &added.id, &added.description);
        let mut change = SealChange::new(SealAction::Add, detail);
        change.put(&self.unlocked.codec, &id, 1, &row);
        let ids = self.ids().chain([HEXLOWER.encode(&id)]).collect();
        Ok((added, self.planned(change, Some(ids))))
    }

    /// Removes a seal. A seal that has opened the store must remain.
    ///
    /// # Errors
    /// [`UnlockError`]. Nothing was changed.
    pub fn remove(self, which: &str) -> Result<(SealInfo, PlannedSeals), UnlockError> {
        let (id, row) = self.find(which)?;
        let removed = info(id, &row.content);
        may_remove(&self.seals, id)?;
        let detail = messages::changed_seal(&removed.kind, &removed.id, &removed.description);
        let mut change = SealChange::new(SealAction::Remove, detail);
        change.delete(id, row.version);
        let ids = self.ids().filter(|other| *other != removed.id).collect();
        Ok((removed, self.planned(change, Some(ids))))
    }

    /// The seal to remove, if these sources open it, and no other seal of the list.
    ///
    /// # Errors
    /// [`UnlockError`]: it cannot be removed, or the attempt was interrupted.
    pub async fn last_available(
        self,
        which: &str,
        sources: &SealSources,
    ) -> Result<Option<SealInfo>, UnlockError> {
        let (id, _) = self.find(which)?;
        let id = *id;
        may_remove(&self.seals, &id)?;
        let (list, available) = self.available(sources).await?;
        let mut opened = list.seals.iter().zip(available).filter(|(_, seal)| seal.is_ok());
        Ok(match (opened.next(), opened.next()) {
            (Some(((last, row), _)), None) if *last == id => Some(info(last, &row.content)),
            _ => None,
        })
    }

    /// Tries each available seal; one that opens the store is recorded as verified.
    ///
    /// # Errors
    /// [`UnlockError`]: the attempt was interrupted.
    pub async fn verify(
        self,
        sources: &SealSources,
        now: u64,
    ) -> Result<(Vec<(SealInfo, Option<Unavailable>)>, PlannedSeals), UnlockError> {
        let (list, available) = self.available(sources).await?;
        let mut tried = Vec::new();
        let mut change = SealChange::new(SealAction::Verify, String::new());
        let mut names = Vec::new();
        for ((id, row), seal) in list.seals.iter().zip(available) {
            let mut shown = info(id, &row.content);
            let fault = match seal {
                Ok(_) => {
                    let next = SealRow { verified_at: Some(now), ..row.content.clone() };
                    change.put(&list.unlocked.codec, id, row.version + 1, &next);
                    names.push(format!("{} ({})", shown.id, shown.description));
                    shown = info(id, &next);
                    None
                }
                Err(fault) => Some(fault),
            };
            tried.push((shown, fault));
        }
        change.detail = names.join(", ");
        Ok((tried, list.planned(change, None)))
    }

    /// Whether this source opens a seal of the list. A source that has no seal yet opens none.
    pub fn is_opened_by(&self, source: &dyn SealSource) -> bool {
        source.open().ok().flatten().is_some_and(|seal| {
            self.seals.iter().any(|(id, row)| {
                row.content.kind == seal.kind()
                    && seal.unwrap::<RootKey>(&row.content.wrapped_root, &self.context(id)).is_ok()
            })
        })
    }

    fn planned(self, mut change: SealChange, names: Option<Vec<String>>) -> PlannedSeals {
        let Self { unlocked, store, .. } = self;
        if let Some(names) = names {
            change.name(&unlocked.codec, store, names);
        }
        PlannedSeals { unlocked, change }
    }

    fn ids(&self) -> impl Iterator<Item = String> {
        self.seals.iter().map(|(id, _)| HEXLOWER.encode(id))
    }

    /// The seal whose id begins with `which`, or whose description is `which`.
    pub(crate) fn find(&self, which: &str) -> Result<(&[u8; 16], &Row<SealRow>), UnlockError> {
        let is_meant =
            |(id, row): &&SealOfList| names_seal(which, &HEXLOWER.encode(id), &row.content.description);
        let mut found = self.seals.iter().filter(is_meant);
        match (found.next(), found.next()) {
            (Some((id, row)), None) => Ok((id, row)),
            (None, _) => Err(UnlockError::Refused(messages::no_such_seal(which))),
            (Some(_), Some(_)) => Err(UnlockError::Refused(messages::seal_ambiguous(which))),
        }
    }

    fn context(&self, id: &[u8; 16]) -> SealContext {
        SealContext::root_key(*self.unlocked.store_id.as_bytes(), *id, self.unlocked.root.version())
    }

    /// Each seal of the list that the configuration or the input from people has.
    pub(crate) async fn available(self, sources: &SealSources) -> Result<(Self, Available), UnlockError> {
        let sources = sources.clone();
        tokio::task::spawn_blocking(move || {
            let available = self.try_all(&sources);
            (self, available)
        })
        .await
        .map_err(|error| UnlockError::Refused(messages::seals_interrupted(&error)))
    }

    fn try_all(&self, sources: &SealSources) -> Available {
        let mut available: Available = self.seals.iter().map(|_| Err(Unavailable::NotTried)).collect();
        let configured = sources.configured.iter().filter(|source| source.is_automatic());
        for source in configured.chain(&sources.given) {
            match source.open() {
                Ok(Some(seal)) => self.take(seal, &mut available),
                Ok(None) => self.take_by_wrap(source, &mut available),
                Err(error) => {
                    self.record_error(
                        source.kind(),
                        source.description(),
                        &error.to_string(),
                        &mut available,
                    );
                }
            }
        }
        available
    }

    /// Assigns a seal to the row that it opens. Each seal opens one row, even if two seals are equal.
    fn take(&self, seal: Box<dyn Seal>, available: &mut [Result<Box<dyn Seal>, Unavailable>]) {
        let mut error_text = None;
        for ((id, row), place) in self.seals.iter().zip(available.iter_mut()) {
            if row.content.kind != seal.kind() || place.is_ok() {
                continue;
            }
            match seal.unwrap::<RootKey>(&row.content.wrapped_root, &self.context(id)) {
                Ok(_) => {
                    *place = Ok(seal);
                    return;
                }
                Err(error) => error_text = Some(error.to_string()),
            }
        }
        if let Some(error_text) = error_text {
            self.record_error(seal.kind(), Some(seal.describe()), &error_text, available);
        }
    }

    /// A source that needs a wrap to become a seal: shares that combine must also open the wrap.
    fn take_by_wrap(&self, source: &Arc<dyn SealSource>, available: &mut Available) {
        for ((id, row), place) in self.seals.iter().zip(available) {
            if row.content.kind != source.kind() {
                continue;
            }
            let mut wrong = Vec::new();
            let opened = source.open_for(&row.content.wrapped_root, &mut wrong);
            *place = match opened {
                Ok(Some(seal)) => seal
                    .unwrap::<RootKey>(&row.content.wrapped_root, &self.context(id))
                    .map(|_| seal)
                    .map_err(|error| Unavailable::Failed(error.to_string())),
                Ok(None) => continue,
                Err(error) => {
                    wrong.push(error.to_string());
                    Err(Unavailable::Failed(wrong.join("; ")))
                }
            };
        }
    }

    /// Records an error for the row of this description, or, if none has it, for the rows of the kind that no seal has
    /// opened yet.
    fn record_error(
        &self,
        kind: &str,
        description: Option<String>,
        error_text: &str,
        available: &mut [Result<Box<dyn Seal>, Unavailable>],
    ) {
        let has = |row: &SealRow| row.kind == kind && Some(&row.description) == description.as_ref();
        let is_known = self.seals.iter().any(|(_, row)| has(&row.content));
        for ((_, row), place) in self.seals.iter().zip(available) {
            let is_meant = if is_known { has(&row.content) } else { row.content.kind == kind };
            if is_meant && place.is_err() {
                *place = Err(Unavailable::Failed(error_text.to_owned()));
            }
        }
    }
}

/// Checks that another seal has opened the store, so that this one may be removed.
pub(crate) fn may_remove(seals: &[SealOfList], id: &[u8; 16]) -> Result<(), UnlockError> {
    let mut others = seals.iter().filter(|(other, _)| other != id).peekable();
    if others.peek().is_none() {
        return Err(UnlockError::Refused(messages::LAST_SEAL.to_owned()));
    }
    if others.all(|(_, row)| row.content.verified_at.is_none()) {
        return Err(UnlockError::Refused(messages::LAST_SEAL_THAT_OPENED.to_owned()));
    }
    Ok(())
}

fn checked(
    codec: &RecordCodec,
    rows: &SealedRows,
) -> Result<(Row<StoreRow>, Vec<SealOfList>), IntegrityFault> {
    let missing = || IntegrityFault::new("store", &[], "it is missing");
    let store = codec.read::<StoreRow>(&[], rows.store.as_ref().ok_or_else(missing)?)?;
    let mut seals = Vec::new();
    for record in &rows.seals {
        seals.push((id_of::<SealRow>(record)?, codec.read::<SealRow>(&record.id, record)?));
    }
    Ok((store, seals))
}
