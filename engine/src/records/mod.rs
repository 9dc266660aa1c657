//! The rows that decisions depend on: typed, with their MACs verified at every read, unless the same bytes were just
//! verified (`verified`).
//!
//! On disk a row's content is `02 ‖ epoch (u64 BE) ‖ number of the newest control change when it was written (u64 BE) ‖
//! JSON`; the MAC covers all of it, table, id and row version (`petsem_keys::RowMacKey`). A row with an unknown format
//! byte, field or kind is refused; the unknown part is never ignored.

mod approval;
mod base64;
mod bundle;
mod content;
mod control;
mod scan;
mod verified;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use petsem_api::RequestId;
use petsem_keys::{IntegrityError, RowContext, RowMacKey};
use petsem_store::{Expect, FeedEntry, Record, RecordKind};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use approval::{ApprovalRow, Decision, PollRow, ProtectedChange};
pub(crate) use bundle::{Bundle, BundleError, Details, Entry, StoredValue};
pub(crate) use content::{
    AppHead, AppNameRow, AppRotationRow, AppState, ChainEndRow, ChainRow, CheckpointRow, DischargerRow,
    EndedDischargerRow, FeedHeadRow, FeedRow, IssuerRow, KekRow, KeyringKeyRow, NodeRow, OrgAppRow,
    OrgNameRow, OrgRow, PolicyRow, ReplacementCause, ReplacementRow, SealRow, SecretKeyRow, SecretKeysRow,
    SigningKeyRow, StoreRow, TokenRow,
};
pub(crate) use control::{
    AppEntry, ControlEntry, Directory, EntryKey, FAN_OUT, KeyringVersions, LONGEST_RENEWAL, OrgEntry, Page,
    PageRef, RequestEntry, RevokedAt, RevokedJwts, SigningKeyEntry, SigningKeys, TokenEntry,
};
pub(crate) use scan::{RowId, Scan, id_of, id_of_hex, read_row};
use verified::VerifiedRows;

/// The form of rows.
const FORMAT: u8 = 2;
/// The form of control changes: as that of rows, without the number.
const FEED_FORMAT: u8 = 1;
/// Bytes before what the MAC covers as text: format and epoch.
const HEADER: usize = 9;
/// Why a row is refused whose writer knew a later control change than this node.
const AHEAD: &str = "it was written after a control change that the store does not have";

/// How often a row is re-read if another request may just have written it.
pub(crate) const REREADS: usize = 3;

/// Data outside of rows that has a row MAC; each kind has its own table label, distinct from those of `RecordKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum SignedNote {
    /// An audit line that is not written yet.
    Line = 0xe0,
    /// A denial that is passed to the running server.
    Denial = 0xe1,
    /// The server's answer to a denial.
    DenialAnswer = 0xe2,
    /// A command that is passed to the running server.
    Command = 0xe3,
}

impl SignedNote {
    fn context(self, id: &[u8; 16]) -> RowContext<'_> {
        RowContext { table: self as u8, id, epoch: 0, row_version: 1 }
    }
}

/// The content of rows of one kind.
pub(crate) trait Content: Serialize + DeserializeOwned {
    /// The kind of its rows.
    const KIND: RecordKind;
    /// The type of their ids.
    type Id: RowId;
}

/// A row whose MAC is verified.
#[derive(Debug)]
pub(crate) struct Row<T> {
    /// Its row version, which the next write of it expects.
    pub(crate) version: u64,
    /// Its content.
    pub(crate) content: T,
}

/// A row that differs from what was written. The operator learns which one; the principal only gets `integrity`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {kind} row {id} does not hold what was written to it ({what}); restore it from a backup, and check who can \
     write to the database"
)]
pub(crate) struct IntegrityFault {
    /// The kind of row.
    pub(crate) kind: String,
    /// Its id, in hex.
    pub(crate) id: String,
    /// What is wrong with it.
    pub(crate) what: &'static str,
}

impl IntegrityFault {
    /// A fault in a row of this kind.
    pub(crate) fn new(kind: impl fmt::Display, id: &[u8], what: &'static str) -> Self {
        Self { kind: kind.to_string(), id: data_encoding::HEXLOWER.encode(id), what }
    }

    /// Whether the row is good if the store has control changes that this node has not read yet.
    pub(crate) fn is_ahead(&self) -> bool {
        self.what == AHEAD
    }
}

/// A control change with the MACs of its place in both chains.
pub(crate) struct RemacedChange {
    /// Its MAC by the old key.
    pub(crate) old: [u8; 32],
    /// Its MAC by the new key.
    pub(crate) new: [u8; 32],
    /// The entry with the new MAC; `None` if it has it.
    pub(crate) entry: Option<FeedEntry>,
}

/// A kind whose rows are read again and again: those of an app in use.
pub(crate) trait Kept: Content {
    /// The rows of this kind that were verified lately.
    fn kept(codec: &RecordCodec) -> &VerifiedRows<Self>;
}

impl Kept for AppHead {
    fn kept(codec: &RecordCodec) -> &VerifiedRows<Self> {
        &codec.heads
    }
}

impl Kept for SecretKeysRow {
    fn kept(codec: &RecordCodec) -> &VerifiedRows<Self> {
        &codec.secret_keys
    }
}

/// Writes and verifies rows. Holds the row-MAC key and the store's epoch.
pub struct RecordCodec {
    key: RowMacKey,
    /// The key from before, while rows get new MACs. Only the command that replaces keys opens such a store.
    old: Option<RowMacKey>,
    epoch: u64,
    /// The newest control change that this node knows; 0 before it has read the feed.
    newest_change: AtomicU64,
    heads: VerifiedRows<AppHead>,
    secret_keys: VerifiedRows<SecretKeysRow>,
}

impl RecordCodec {
    /// A codec for this epoch.
    pub(crate) fn new(key: RowMacKey, epoch: u64) -> Self {
        let (heads, secret_keys) = <_>::default();
        Self { key, old: None, epoch, newest_change: AtomicU64::new(0), heads, secret_keys }
    }

    /// The same, which also reads what has a MAC by the key from before.
    pub(crate) fn reading_old(self, old: RowMacKey) -> Self {
        Self { old: Some(old), ..self }
    }

    /// Whether one of the keys verifies something.
    fn verifies(&self, verify: impl Fn(&RowMacKey) -> Result<(), IntegrityError>) -> bool {
        verify(&self.key).is_ok() || self.old.as_ref().is_some_and(|old| verify(old).is_ok())
    }

    /// Notes that the store has this control change. Rows that name a later one are refused.
    pub(crate) fn note_change(&self, number: u64) {
        self.newest_change.fetch_max(number, Ordering::Relaxed);
    }

    /// The store's epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A row to write. `version` is the row's new version, from 1.
    pub(crate) fn write<T: Content>(&self, id: &[u8], version: u64, content: &T) -> Record {
        // Serializing our own types into memory cannot fail; an empty text would be refused on reading.
        let json = serde_json::to_vec(content).unwrap_or_default();
        let change = self.newest_change.load(Ordering::Relaxed).to_be_bytes();
        let bytes = [&[FORMAT][..], &self.epoch.to_be_bytes(), &change, json.as_slice()].concat();
        let covered = bytes.get(HEADER..).unwrap_or_default();
        let mac = self.key.tag(&context::<T>(id, self.epoch, version), covered);
        Record { kind: T::KIND, id: id.to_vec(), row_version: version, content: bytes, mac: mac.to_vec() }
    }

    /// The content of a row, if its MAC is valid for this kind and id, and its writer knew no later control change than
    /// this node.
    pub(crate) fn read<T: Content>(&self, id: &[u8], record: &Record) -> Result<Row<T>, IntegrityFault> {
        let (row, change) = self.read_with_change(id, record)?;
        self.check_change::<T>(id, change)?;
        Ok(row)
    }

    /// The same, of a kind whose rows are read again and again: the bytes of the last read are not verified twice.
    pub(crate) fn read_kept<T: Kept>(
        &self,
        id: &[u8],
        record: &Record,
    ) -> Result<Row<Arc<T>>, IntegrityFault> {
        let (row, change) = match T::kept(self).get(id, record) {
            Some((content, change)) => (Row { version: record.row_version, content }, change),
            None => {
                let (Row { version, content }, change) = self.read_with_change(id, record)?;
                let content = Arc::new(content);
                T::kept(self).keep(id, record, &content, change);
                (Row { version, content }, change)
            }
        };
        self.check_change::<T>(id, change)?;
        Ok(row)
    }

    /// Drops what is kept of a row that was replaced or deleted.
    pub(crate) fn forget(&self, kind: RecordKind, id: &[u8]) {
        match kind {
            RecordKind::AppHead => self.heads.forget(id),
            RecordKind::SecretKeys => self.secret_keys.forget(id),
            _ => {}
        }
    }

    /// Whether something is kept of this row.
    #[cfg(test)]
    pub(crate) fn keeps(&self, kind: RecordKind, id: &[u8]) -> bool {
        match kind {
            RecordKind::AppHead => self.heads.keeps(id),
            RecordKind::SecretKeys => self.secret_keys.keeps(id),
            _ => false,
        }
    }

    /// Refuses a row whose writer knew a later control change than this node.
    fn check_change<T: Content>(&self, id: &[u8], change: u64) -> Result<(), IntegrityFault> {
        let newest = self.newest_change.load(Ordering::Relaxed);
        if newest > 0 && change > newest {
            return Err(IntegrityFault::new(T::KIND, id, AHEAD));
        }
        Ok(())
    }

    /// The same, whatever the writer knew, and the number of the newest control change that it knew.
    pub(crate) fn read_with_change<T: Content>(
        &self,
        id: &[u8],
        record: &Record,
    ) -> Result<(Row<T>, u64), IntegrityFault> {
        let fault = |what| IntegrityFault::new(T::KIND, id, what);
        if record.kind != T::KIND || record.id != id {
            return Err(fault("the store returned another row"));
        }
        let (epoch, covered) =
            split(FORMAT, &record.content).ok_or_else(|| fault("its format is unknown to this build"))?;
        let (change, json) =
            covered.split_first_chunk().ok_or_else(|| fault("its format is unknown to this build"))?;
        if epoch > self.epoch {
            return Err(fault("it is of a later epoch"));
        }
        let tag = <&[u8; 32]>::try_from(record.mac.as_slice())
            .map_err(|_| fault("its MAC has the wrong length"))?;
        let context = context::<T>(id, epoch, record.row_version);
        if !self.verifies(|key| key.verify(&context, covered, tag)) {
            return Err(fault("its MAC does not fit"));
        }
        let content = serde_json::from_slice(json)
            .map_err(|_| fault("it has a field that is unknown to this build"))?;
        Ok((Row { version: record.row_version, content }, u64::from_be_bytes(*change)))
    }

    /// A note under this id: its MAC, then its bytes. It cannot be forged without the key.
    pub(crate) fn write_note(&self, note: SignedNote, id: RequestId, bytes: &[u8]) -> Vec<u8> {
        let tag = self.key.tag(&note.context(id.as_bytes()), bytes);
        [tag.as_slice(), bytes].concat()
    }

    /// The bytes of a note, if it is the one that was written under this id.
    pub(crate) fn read_note<'n>(&self, note: SignedNote, id: RequestId, kept: &'n [u8]) -> Option<&'n [u8]> {
        let (tag, bytes) = kept.split_first_chunk::<32>()?;
        self.verifies(|key| key.verify(&note.context(id.as_bytes()), bytes, tag)).then_some(bytes)
    }

    /// A control change to write after the one whose MAC is `previous`.
    pub(crate) fn write_feed(&self, number: u64, previous: &[u8; 32], content: &FeedRow) -> FeedEntry {
        let json = serde_json::to_vec(content).unwrap_or_default();
        let mac = self.key.feed_tag(self.epoch, number, previous, &json);
        let bytes = [&[FEED_FORMAT][..], &self.epoch.to_be_bytes(), json.as_slice()].concat();
        FeedEntry { number, content: bytes, mac: mac.to_vec() }
    }

    /// A control change, if it is the one after `previous`; and its MAC.
    pub(crate) fn read_feed(
        &self,
        number: u64,
        previous: &[u8; 32],
        entry: &FeedEntry,
    ) -> Result<(FeedRow, [u8; 32]), IntegrityFault> {
        let fault = |what| IntegrityFault::new("control change", &number.to_be_bytes(), what);
        if entry.number != number {
            return Err(fault("it is missing"));
        }
        let (epoch, json) =
            split(FEED_FORMAT, &entry.content).ok_or_else(|| fault("its format is unknown to this build"))?;
        let tag =
            <[u8; 32]>::try_from(entry.mac.as_slice()).map_err(|_| fault("its MAC has the wrong length"))?;
        if !self.verifies(|key| key.verify_feed(epoch, number, previous, json, &tag)) {
            return Err(fault("its MAC does not fit the change before it"));
        }
        let content = serde_json::from_slice(json)
            .map_err(|_| fault("it has a field that is unknown to this build"))?;
        Ok((content, tag))
    }

    /// Whether a row of any kind has a MAC by the new key.
    pub(crate) fn has_new_mac(&self, record: &Record) -> bool {
        Covered::of(record).is_some_and(|covered| covered.fits(&self.key))
    }

    /// A row of any kind, unchanged, with a MAC by the new key; `None` if it has it.
    pub(crate) fn remac(&self, record: &Record) -> Result<Option<Record>, IntegrityFault> {
        let fault = |what| IntegrityFault::new(record.kind, &record.id, what);
        let covered = Covered::of(record).ok_or_else(|| fault("its format is unknown to this build"))?;
        if covered.fits(&self.key) {
            return Ok(None);
        }
        if !self.old.as_ref().is_some_and(|old| covered.fits(old)) {
            return Err(fault("its MAC does not fit"));
        }
        let mac = self.key.tag(&covered.context, covered.bytes).to_vec();
        Ok(Some(Record { mac, ..record.clone() }))
    }

    /// A control change with its new MAC, if it follows on the one before by either key.
    pub(crate) fn remac_feed(
        &self,
        number: u64,
        old_previous: &[u8; 32],
        new_previous: &[u8; 32],
        entry: &FeedEntry,
    ) -> Result<RemacedChange, IntegrityFault> {
        let fault = |what| IntegrityFault::new("control change", &number.to_be_bytes(), what);
        if entry.number != number {
            return Err(fault("it is missing"));
        }
        let (epoch, json) =
            split(FEED_FORMAT, &entry.content).ok_or_else(|| fault("its format is unknown to this build"))?;
        let stored =
            <[u8; 32]>::try_from(entry.mac.as_slice()).map_err(|_| fault("its MAC has the wrong length"))?;
        let old_key = self.old.as_ref().unwrap_or(&self.key);
        // The old MAC of a change that has its new one is still needed for the next.
        let old = old_key.feed_tag(epoch, number, old_previous, json);
        let new = self.key.feed_tag(epoch, number, new_previous, json);
        if self.key.verify_feed(epoch, number, new_previous, json, &stored).is_ok() {
            return Ok(RemacedChange { old, new, entry: None });
        }
        old_key
            .verify_feed(epoch, number, old_previous, json, &stored)
            .map_err(|_| fault("its MAC does not fit the change before it"))?;
        Ok(RemacedChange { old, new, entry: Some(FeedEntry { mac: new.to_vec(), ..entry.clone() }) })
    }
}

/// What the MAC of a stored row covers.
struct Covered<'r> {
    context: RowContext<'r>,
    bytes: &'r [u8],
    tag: &'r [u8; 32],
}

impl<'r> Covered<'r> {
    fn of(record: &'r Record) -> Option<Self> {
        let (epoch, bytes) = split(FORMAT, &record.content)?;
        let context = RowContext {
            table: record.kind.number(),
            id: &record.id,
            epoch,
            row_version: record.row_version,
        };
        Some(Self { context, bytes, tag: record.mac.as_slice().try_into().ok()? })
    }

    fn fits(&self, key: &RowMacKey) -> bool {
        key.verify(&self.context, self.bytes, self.tag).is_ok()
    }
}

/// The content of a row before its MAC can be verified: only for the rows that lead to the row-MAC key. Their AEAD
/// protects their keys, and [`RecordCodec::read`] verifies the rows once the row-MAC key is open.
pub(crate) fn danger_read_unverified<T: Content>(record: &Record) -> Result<T, IntegrityFault> {
    let fault = |what| IntegrityFault::new(T::KIND, &record.id, what);
    let json =
        split(FORMAT, &record.content).and_then(|(_, covered)| Some(covered.split_first_chunk::<8>()?.1));
    let json = json.ok_or_else(|| fault("its format is unknown to this build"))?;
    serde_json::from_slice(json).map_err(|_| fault("it has a field that is unknown to this build"))
}

fn split(format: u8, content: &[u8]) -> Option<(u64, &[u8])> {
    let (header, covered) = content.split_at_checked(HEADER)?;
    let (found, epoch) = header.split_first()?;
    (*found == format).then_some(())?;
    Some((u64::from_be_bytes(epoch.try_into().ok()?), covered))
}

/// The version that a row must have; 0: it must not exist.
pub(crate) fn expect<T: Content>(id: &[u8], row_version: u64) -> Expect {
    Expect { kind: T::KIND, id: id.to_vec(), row_version }
}

fn context<T: Content>(id: &[u8], epoch: u64, row_version: u64) -> RowContext<'_> {
    RowContext { table: T::KIND.number(), id, epoch, row_version }
}

#[cfg(test)]
mod tests {
    use petsem_api::AppId;
    use petsem_keys::{Keyring, KeyringKey, WrapContext};

    use super::*;
    use crate::entropy;

    fn codec() -> RecordCodec {
        RecordCodec::new(RowMacKey::generate(&mut entropy::rng()), 1)
    }

    fn name_row() -> AppNameRow {
        AppNameRow { app: AppId::from_bytes([7; 16]) }
    }

    #[test]
    fn a_note_verifies_only_under_its_own_kind_and_id() {
        let codec = codec();
        let (id, other) = (RequestId::from_bytes([1; 16]), RequestId::from_bytes([2; 16]));
        let note = codec.write_note(SignedNote::Denial, id, b"text");
        assert_eq!(codec.read_note(SignedNote::Denial, id, &note), Some(b"text".as_slice()));
        assert_eq!(codec.read_note(SignedNote::Denial, other, &note), None);
        assert_eq!(codec.read_note(SignedNote::DenialAnswer, id, &note), None);
        assert_eq!(self::codec().read_note(SignedNote::Denial, id, &note), None);
        assert_eq!(codec.read_note(SignedNote::Denial, id, &note[..31]), None);
    }

    #[test]
    fn a_row_verifies_only_at_its_own_place() {
        let codec = codec();
        let record = codec.write(b"shop", 3, &name_row());
        let row: Row<AppNameRow> = codec.read(b"shop", &record).unwrap();
        assert_eq!((row.version, row.content.app), (3, AppId::from_bytes([7; 16])));

        let what = |record: &Record, id: &[u8]| codec.read::<AppNameRow>(id, record).unwrap_err().what;
        assert_eq!(what(&record, b"other"), "the store returned another row");
        assert_eq!(what(&Record { row_version: 4, ..record.clone() }, b"shop"), "its MAC does not fit");
        assert_eq!(what(&Record { id: b"shoq".to_vec(), ..record.clone() }, b"shoq"), "its MAC does not fit");
        assert_eq!(
            what(&Record { mac: vec![0; 31], ..record.clone() }, b"shop"),
            "its MAC has the wrong length"
        );
        for at in 0..record.content.len() {
            let mut changed = record.clone();
            changed.content[at] ^= 1;
            let expected = match at {
                0 => "its format is unknown to this build",
                // A bit of the epoch that was not set.
                1..HEADER if changed.content[at] & 1 == 1 => "it is of a later epoch",
                _ => "its MAC does not fit",
            };
            assert_eq!(what(&changed, b"shop"), expected, "byte {at}");
        }
    }

    #[test]
    fn a_row_names_the_newest_control_change_that_its_writer_knew() {
        let rng = &mut entropy::rng();
        let keyring = Keyring::new([KeyringKey::generate(rng, 1)], 1).unwrap();
        let context = WrapContext::new([1; 16], [1; 16]);
        let key = RowMacKey::generate(rng);
        let wrapped = keyring.wrap(rng, &key, &context).unwrap();
        let node = || RecordCodec::new(keyring.unwrap(&wrapped, &context).unwrap(), 1);
        let (writer, reader) = (node(), node());
        writer.note_change(5);
        let record = writer.write(b"shop", 1, &name_row());
        assert!(reader.read::<AppNameRow>(b"shop", &record).is_ok(), "a node that has not read the feed yet");
        reader.note_change(4);
        let fault = reader.read::<AppNameRow>(b"shop", &record).unwrap_err();
        assert!(fault.is_ahead());
        reader.note_change(5);
        assert!(reader.read::<AppNameRow>(b"shop", &record).is_ok());
        let mut earlier = record;
        earlier.content[HEADER + 7] = 4;
        assert_eq!(reader.read::<AppNameRow>(b"shop", &earlier).unwrap_err().what, "its MAC does not fit");
    }

    #[test]
    fn a_control_change_follows_the_one_before_it() {
        let codec = codec();
        let first =
            codec.write_feed(1, &[0; 32], &FeedRow::HostRevoked { host: "h".parse().unwrap(), at: 1 });
        let (_, mac) = codec.read_feed(1, &[0; 32], &first).unwrap();
        let second = codec.write_feed(2, &mac, &FeedRow::HostRevoked { host: "i".parse().unwrap(), at: 2 });
        assert_eq!(
            codec.read_feed(2, &mac, &second).unwrap().0,
            FeedRow::HostRevoked { host: "i".parse().unwrap(), at: 2 }
        );
        assert_eq!(
            codec.read_feed(2, &[0; 32], &second).unwrap_err().what,
            "its MAC does not fit the change before it"
        );
        assert_eq!(codec.read_feed(1, &[0; 32], &second).unwrap_err().what, "it is missing");
    }
}
