//! The list of seals: how a seal is created, what is stored about it, and how the list is changed.
//!
//! The command on the node opens a seal and plans the change. The process that holds the store commits it; that may be
//! the running server, which has the row-MAC key and accepts only changes with a MAC by it. So every change of the list
//! needs a seal, but the server does not need to open one again.

use data_encoding::{BASE64, HEXLOWER};
use petsem_api::StoreId;
use petsem_keys::{
    NamedSealError, NewShare, RootKey, Seal, SealContext, SealError, SealExt as _, SealSource,
};
use petsem_store::{Change, Expect, Record, RecordKind};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::control::state::Control;
use crate::engine::Engine;
use crate::entropy;
use crate::error::Failure;
use crate::keyring::unlock::{MOST_SEALS, OpenedBy, UnlockError};
use crate::messages;
use crate::records::{Content, FeedRow, IntegrityFault, RecordCodec, Row, SealRow, StoreRow, expect};
use crate::request::AuditRecord;

/// The public description of a seal of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealInfo {
    /// Its id, 32 hex digits.
    pub id: String,
    /// `key-file` and so on.
    pub kind: String,
    /// Which one.
    pub description: String,
    /// When it was created (RFC 3339).
    pub created_at: String,
    /// When it last opened the store (RFC 3339); `None` if it never has.
    pub verified_at: Option<String>,
}

/// Receives new shares before the store depends on them. On its error the operation ends and nothing was changed.
pub type KeepShares<'a> = &'a mut dyn FnMut(&[NewShare]) -> Result<(), String>;

/// Creates a seal and wraps the root key with it. A seal that opens without a person is verified at once.
pub(crate) fn make_seal(
    source: &dyn SealSource,
    rng: &mut dyn CryptoRng,
    root: &RootKey,
    store: StoreId,
    now: u64,
    keep_shares: KeepShares<'_>,
) -> Result<([u8; 16], SealRow), UnlockError> {
    let id: [u8; 16] = entropy::bytes();
    let context = SealContext::root_key(*store.as_bytes(), id, root.version());
    let created = source
        .create(rng)
        .map_err(UnlockError::Seal)?
        .ok_or_else(|| UnlockError::Refused(messages::NO_PASSPHRASE.to_owned()))?;
    let seal = &*created.seal;
    let mut row = SealRow {
        kind: seal.kind().to_owned(),
        description: seal.describe(),
        wrapped_root: seal.wrap(rng, root, &context).map_err(|error| seal_failed(seal, error))?,
        created_at: now,
        verified_at: None,
    };
    if !created.shares.is_empty() {
        keep_shares(&created.shares).map_err(UnlockError::Refused)?;
    } else if source.is_automatic() {
        seal.unwrap::<RootKey>(&row.wrapped_root, &context).map_err(|error| seal_failed(seal, error))?;
        row.verified_at = Some(now);
    }
    Ok((id, row))
}

/// The error of a seal that cannot wrap, or cannot open what it wrapped.
pub(crate) fn seal_failed(seal: &dyn Seal, error: SealError) -> UnlockError {
    UnlockError::Seal(Box::new(NamedSealError::new(seal.describe(), error)))
}

/// Whether an operator means the seal with this id: by the id, the start of it, or its description.
pub(crate) fn names_seal(which: &str, id: &str, description: &str) -> bool {
    (which.len() >= 4 && id.starts_with(which)) || description == which
}

/// The public description of a seal's row.
pub(crate) fn info(id: &[u8], row: &SealRow) -> SealInfo {
    SealInfo {
        id: HEXLOWER.encode(id),
        kind: row.kind.clone(),
        description: row.description.clone(),
        created_at: Timestamp::from_millis(row.created_at).rfc3339(),
        verified_at: row.verified_at.map(|at| Timestamp::from_millis(at).rfc3339()),
    }
}

/// The kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SealAction {
    Add,
    Remove,
    Verify,
}

impl SealAction {
    fn audited_as(self) -> &'static str {
        match self {
            Self::Add => "operator.seal.add",
            Self::Remove => "operator.seal.remove",
            Self::Verify => "operator.seal.verify",
        }
    }
}

/// A planned change of the list.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealChange {
    pub(crate) action: SealAction,
    /// For the audit log.
    pub(crate) detail: String,
    /// The store's own row, which names the seals; `None` if they stay the same.
    store: Option<PutRow>,
    seals: Vec<PutRow>,
    /// Ids and row versions.
    deleted: Vec<(String, u64)>,
}

/// A row to write, with its MAC; it replaces the previous version.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PutRow {
    id: String,
    row_version: u64,
    content: String,
    mac: String,
}

impl SealChange {
    /// A change without rows.
    pub(crate) fn new(action: SealAction, detail: String) -> Self {
        Self { action, detail, store: None, seals: Vec::new(), deleted: Vec::new() }
    }

    /// Writes a seal's row as its next version.
    pub(crate) fn put(&mut self, codec: &RecordCodec, id: &[u8], version: u64, row: &SealRow) {
        self.seals.push(PutRow::of(&codec.write(id, version, row)));
    }

    /// Deletes a seal's row.
    pub(crate) fn delete(&mut self, id: &[u8], version: u64) {
        self.deleted.push((HEXLOWER.encode(id), version));
    }

    /// Sets the list of seals in the store's row.
    pub(crate) fn name(&mut self, codec: &RecordCodec, row: Row<StoreRow>, seals: Vec<String>) {
        let content = StoreRow { seals, ..row.content };
        self.store = Some(PutRow::of(&codec.write(&[], row.version + 1, &content)));
    }

    fn is_empty(&self) -> bool {
        self.store.is_none() && self.seals.is_empty() && self.deleted.is_empty()
    }

    /// The rows, each checked against its MAC.
    fn rows(&self, codec: &RecordCodec) -> Result<SealRows, Failure> {
        let mut rows = SealRows::default();
        if let Some(put) = &self.store {
            let record = put.checked::<StoreRow>(codec)?;
            rows.store_version = Some(record.row_version);
            rows.put(record);
        }
        for put in &self.seals {
            rows.put(put.checked::<SealRow>(codec)?);
        }
        for (id, version) in &self.deleted {
            let id = HEXLOWER.decode(id.as_bytes()).map_err(|_| messages::unknown_seal_change())?;
            rows.delete(id, *version);
        }
        Ok(rows)
    }
}

/// Rows of seals and keys to commit, with the store's own row.
#[derive(Default)]
pub struct SealRows {
    /// The new version of the store's own row, if it changes.
    store_version: Option<u64>,
    expects: Vec<Expect>,
    puts: Vec<Record>,
    deletes: Vec<(RecordKind, Vec<u8>)>,
}

impl SealRows {
    /// Rows that change together with the store's own row, whose new version this is.
    pub(crate) fn of_store(version: u64) -> Self {
        Self { store_version: Some(version), ..Self::default() }
    }

    /// Writes a row as the version after the one that is expected.
    pub(crate) fn put(&mut self, record: Record) {
        let (kind, id) = (record.kind, record.id.clone());
        self.expects.push(Expect { kind, id, row_version: record.row_version.saturating_sub(1) });
        self.puts.push(record);
    }

    /// Deletes a seal's row at this version.
    pub(crate) fn delete(&mut self, id: Vec<u8>, version: u64) {
        self.expects.push(expect::<SealRow>(&id, version));
        self.deletes.push((RecordKind::Seal, id));
    }

    fn add_to(&self, change: &mut Change) {
        change.expects.extend(self.expects.iter().cloned());
        change.puts.extend(self.puts.iter().cloned());
        change.deletes.extend(self.deletes.iter().cloned());
    }
}

impl PutRow {
    fn of(record: &Record) -> Self {
        Self {
            id: HEXLOWER.encode(&record.id),
            row_version: record.row_version,
            content: BASE64.encode(&record.content),
            mac: HEXLOWER.encode(&record.mac),
        }
    }

    fn checked<T: Content>(&self, codec: &RecordCodec) -> Result<Record, Failure> {
        let record = Record {
            kind: T::KIND,
            id: HEXLOWER.decode(self.id.as_bytes()).map_err(|_| messages::unknown_seal_change())?,
            row_version: self.row_version,
            content: BASE64.decode(self.content.as_bytes()).map_err(|_| messages::unknown_seal_change())?,
            mac: HEXLOWER.decode(self.mac.as_bytes()).map_err(|_| messages::unknown_seal_change())?,
        };
        codec.read::<T>(&record.id, &record)?;
        Ok(record)
    }
}

impl Engine {
    /// Commits a planned change of the seal list, and records it.
    ///
    /// # Errors
    /// It belongs to another store. Nothing was changed.
    pub async fn change_seals(&self, source: &str, wanted: &SealChange) -> Result<(), Failure> {
        let mut audit = AuditRecord::on_node(self.now(), source, wanted.action.audited_as());
        audit.set_detail(&wanted.detail);
        if !wanted.is_empty() {
            self.commit_seals(&mut audit, &wanted.rows(&self.codec)?).await?;
        }
        self.record(&audit).await
    }

    /// Commits rows of seals and keys. They may not follow on a list that a later one has replaced.
    pub(crate) async fn commit_seals(&self, audit: &mut AuditRecord, rows: &SealRows) -> Result<(), Failure> {
        let Some(version) = rows.store_version else {
            let mut change = self.change(audit);
            rows.add_to(&mut change);
            self.commit(audit, change).await?;
            return Ok(());
        };
        let check = |control: &Control| match control.directory().store.checked_add(1) == Some(version) {
            true => Ok(()),
            false => Err(messages::seals_replaced_now()),
        };
        let feed = [FeedRow::StoreSet { version, at: self.now().millis() }];
        self.commit_control_if(audit, &feed, check, |change| {
            rows.add_to(change);
            // Wraps that were replaced or removed would still open.
            change.erases = true;
        })
        .await?;
        Ok(())
    }

    /// The seals of the store; each row is verified.
    ///
    /// # Errors
    /// The store cannot be read, or a row differs from what was written.
    pub async fn seals(&self) -> Result<Vec<SealInfo>, Failure> {
        let seals = self.rows::<SealRow>(MOST_SEALS).await?;
        Ok(seals.iter().map(|(id, row)| info(id, &row.content)).collect())
    }

    /// Records in the list that a seal has opened the store. If the store accepts no writes, it still opens.
    pub async fn note_opened(&self, opened_by: &OpenedBy) {
        if let Err(failure) = self.try_note_opened(opened_by).await {
            tracing::warn!(
                reason = failure.operator_text(),
                "the store could not record that this seal opened it"
            );
        }
    }

    async fn try_note_opened(&self, opened_by: &OpenedBy) -> Result<(), Failure> {
        let missing = || IntegrityFault::new(RecordKind::Seal, &opened_by.id, "it is missing");
        let row = self.row::<SealRow>(&opened_by.id).await?.ok_or_else(missing)?;
        let content = SealRow { verified_at: Some(self.now().millis()), ..row.content };
        // The start itself has an audit line; this write needs none, like a checkpoint.
        let mut change = self.change_without_line();
        change.expects.push(expect::<SealRow>(&opened_by.id, row.version));
        change.puts.push(self.codec.write(&opened_by.id, row.version + 1, &content));
        let committed = self.store.commit(change).await?;
        self.store.audited(self.node, &[committed.revision]);
        Ok(())
    }
}
