//! Reads rows of one kind: one by its id, or all in the order of their ids, a page at a time. Each row is verified, and
//! has the id of its type.

use std::marker::PhantomData;

use data_encoding::HEXLOWER;
use petsem_api::{AppId, ApprovalId, IssuerId, OrgId, SigningKeyId, TokenUuid};
use petsem_store::{ReadError, Record, Store};

use super::{Content, IntegrityFault, RecordCodec, Row};

/// One row of a kind, verified; `None` if the store has no such row.
pub(crate) async fn read_row<T: Content>(
    store: &dyn Store,
    codec: &RecordCodec,
    id: &[u8],
) -> Result<Option<Result<Row<T>, IntegrityFault>>, ReadError> {
    Ok(store.record(T::KIND, id).await?.map(|record| codec.read(id, &record)))
}

/// A verified row with its id, or its fault.
pub(crate) type Scanned<T> = Result<(<T as Content>::Id, Row<T>), IntegrityFault>;

/// A scan of the rows of one kind.
pub(crate) struct Scan<'a, T> {
    store: &'a dyn Store,
    codec: &'a RecordCodec,
    prefix: &'a [u8],
    after: Option<Vec<u8>>,
    page: u32,
    is_ended: bool,
    content: PhantomData<fn() -> T>,
}

impl<'a, T: Content> Scan<'a, T> {
    /// All rows of the kind, `page` at a time.
    pub(crate) fn new(store: &'a dyn Store, codec: &'a RecordCodec, page: u32) -> Self {
        Self { store, codec, prefix: &[], after: None, page, is_ended: false, content: PhantomData }
    }

    /// Only rows whose id starts with `prefix`, and that come after the id `after`.
    pub(crate) fn within(self, prefix: &'a [u8], after: Option<Vec<u8>>) -> Self {
        Self { prefix, after, ..self }
    }

    /// The next page; empty at the end.
    pub(crate) async fn next_page(&mut self) -> Result<Vec<Scanned<T>>, ReadError> {
        if self.is_ended {
            return Ok(Vec::new());
        }
        let records = self.store.records(T::KIND, self.prefix, self.after.as_deref(), self.page).await?;
        self.is_ended = records.len() < self.page as usize;
        let entries = records.iter().map(|record| self.read(record)).collect();
        Ok(entries)
    }

    /// Storage is not trusted: a row outside of the prefix, or out of order, is refused. The scan then ends: a store
    /// that repeats its pages would otherwise never let it end.
    fn read(&mut self, record: &Record) -> Scanned<T> {
        let is_next = self.after.as_ref().is_none_or(|after| *after < record.id);
        if !is_next || !record.id.starts_with(self.prefix) {
            self.is_ended = true;
            return Err(IntegrityFault::new(record.kind, &record.id, "the store returned another row"));
        }
        self.after = Some(record.id.clone());
        Ok((id_of::<T>(record)?, self.codec.read(&record.id, record)?))
    }
}

/// The id of a row of this kind.
pub(crate) fn id_of<T: Content>(record: &Record) -> Result<T::Id, IntegrityFault> {
    T::Id::of_row(&record.id)
        .ok_or_else(|| IntegrityFault::new(record.kind, &record.id, "its id has the wrong length"))
}

/// A 16-byte id that another row names in hex.
pub(crate) fn id_of_hex(hex: &str) -> Option<[u8; 16]> {
    HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
}

/// The id of rows of some kind.
pub(crate) trait RowId: Sized {
    /// The id whose bytes these are.
    fn of_row(bytes: &[u8]) -> Option<Self>;
}

/// There is one row of the kind.
impl RowId for () {
    fn of_row(bytes: &[u8]) -> Option<Self> {
        bytes.is_empty().then_some(())
    }
}

/// A name.
impl RowId for Vec<u8> {
    fn of_row(bytes: &[u8]) -> Option<Self> {
        Some(bytes.to_vec())
    }
}

/// A version.
impl RowId for u32 {
    fn of_row(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

impl<const N: usize> RowId for [u8; N] {
    fn of_row(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok()
    }
}

impl RowId for (OrgId, AppId) {
    fn of_row(bytes: &[u8]) -> Option<Self> {
        let (org, app) = bytes.split_first_chunk()?;
        Some((OrgId::from_bytes(*org), AppId::of_row(app)?))
    }
}

macro_rules! row_ids {
    ($($id:ident),*) => {
        $(impl RowId for $id {
            fn of_row(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self::from_bytes)
            }
        })*
    };
}

row_ids!(AppId, ApprovalId, IssuerId, OrgId, SigningKeyId, TokenUuid);
