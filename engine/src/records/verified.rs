//! Rows that were verified lately. The same bytes need no second MAC and no second parse: both depend only on the row and
//! on the codec's keys, which never change. A row that differs in any byte is verified like every other, so neither time
//! nor a change makes what is kept here wrong. A row is kept when it is read a second time: boots of many apps, each once
//! in a while, should not pay for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use petsem_store::Record;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// Memory for the rows of one kind, in bytes.
const KEPT_BYTES: u64 = 2 * 1024 * 1024;
/// Longest content that is kept: one row must not displace many.
const LONGEST: usize = 16 * 1024;
/// Rows of which it is remembered that they were read once, at most.
const SEEN: u64 = 4096;
/// What a row takes beside its content and what was parsed of it, about, in bytes.
const OVERHEAD: usize = 512;

/// Verified rows by id.
pub(crate) struct VerifiedRows<T> {
    rows: Cache<Vec<u8>, Arc<VerifiedRow<T>>, RowWeight>,
    /// The beginnings of the MACs of rows that were read lately, each at its own place.
    seen: Vec<AtomicU64>,
}

/// A row, and what was read from it.
struct VerifiedRow<T> {
    record: Record,
    content: Arc<T>,
    change: u64,
}

#[derive(Clone)]
struct RowWeight;

impl<T> Weighter<Vec<u8>, Arc<VerifiedRow<T>>> for RowWeight {
    fn weight(&self, _: &Vec<u8>, row: &Arc<VerifiedRow<T>>) -> u64 {
        // What is parsed takes about as much as its text.
        let bytes = row.record.content.len().saturating_mul(2).saturating_add(OVERHEAD);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

impl<T> Default for VerifiedRows<T> {
    fn default() -> Self {
        let rows = usize::try_from(KEPT_BYTES).unwrap_or(usize::MAX) / (4 * OVERHEAD);
        Self {
            rows: Cache::with_weighter(rows, KEPT_BYTES, RowWeight),
            seen: (0..SEEN).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl<T> VerifiedRows<T> {
    /// What the row with this id holds, and the newest control change that its writer knew, if these very bytes were
    /// verified under this id.
    pub(super) fn get(&self, id: &[u8], record: &Record) -> Option<(Arc<T>, u64)> {
        let row = self.rows.get(id).filter(|row| row.record == *record)?;
        Some((Arc::clone(&row.content), row.change))
    }

    /// Keeps a row that was verified under this id, if it was read before.
    pub(super) fn keep(&self, id: &[u8], record: &Record, content: &Arc<T>, change: u64) {
        if record.content.len() <= LONGEST && self.was_seen(record) {
            let row = VerifiedRow { record: record.clone(), content: Arc::clone(content), change };
            self.rows.insert(id.to_vec(), Arc::new(row));
        }
    }

    /// Drops the row with this id.
    pub(super) fn forget(&self, id: &[u8]) {
        self.rows.remove(id);
    }

    /// Whether it has a row with this id.
    #[cfg(test)]
    pub(super) fn keeps(&self, id: &[u8]) -> bool {
        self.rows.get(id).is_some()
    }

    /// Whether this row was read lately. Remembers it.
    fn was_seen(&self, record: &Record) -> bool {
        let Some(mark) = record.mac.first_chunk().map(|start| u64::from_be_bytes(*start)) else {
            return false;
        };
        let place = usize::try_from(mark % SEEN).unwrap_or_default();
        self.seen.get(place).is_some_and(|seen| seen.swap(mark, Ordering::Relaxed) == mark)
    }
}

#[cfg(test)]
mod tests {
    use petsem_keys::{Keyring, KeyringKey, RowMacKey, WrapContext};

    use super::*;
    use crate::entropy;
    use crate::records::{Content as _, IntegrityFault, RecordCodec, Row, SecretKeysRow};

    type Read = Result<Row<Arc<SecretKeysRow>>, IntegrityFault>;

    fn read(codec: &RecordCodec, id: &[u8], record: &Record) -> Read {
        codec.read_kept(id, record)
    }

    /// The control change that the writer of a kept row knew.
    fn kept_change(codec: &RecordCodec, id: &[u8], record: &Record) -> Option<u64> {
        codec.secret_keys.get(id, record).map(|(_, change)| change)
    }

    #[test]
    fn a_row_that_differs_in_any_byte_from_the_kept_one_is_refused_as_if_none_were_kept() {
        let codec = RecordCodec::new(RowMacKey::generate(&mut entropy::rng()), 1);
        let (id, other) = ([7; 16], [8; 16]);
        let record = codec.write(&id, 3, &SecretKeysRow::default());
        read(&codec, &id, &record).unwrap();
        assert_eq!(kept_change(&codec, &id, &record), None, "it was read once");
        let first = read(&codec, &id, &record).unwrap();
        let is_kept = || {
            let again = read(&codec, &id, &record).unwrap();
            (again.version, Arc::ptr_eq(&again.content, &first.content))
        };
        assert_eq!(is_kept(), (3, true));
        let mut changed = vec![Record { row_version: 4, ..record.clone() }];
        for at in 0..record.content.len() {
            let mut row = record.clone();
            row.content[at] ^= 1;
            changed.push(row);
        }
        for at in 0..record.mac.len() {
            let mut row = record.clone();
            row.mac[at] ^= 1;
            changed.push(row);
        }
        for row in &changed {
            let refused = codec.read::<SecretKeysRow>(&id, row).unwrap_err();
            assert_eq!(read(&codec, &id, row).unwrap_err(), refused);
        }
        assert_eq!(read(&codec, &other, &record).unwrap_err().what, "the store returned another row");
        assert_eq!(is_kept(), (3, true));
        // The next version takes its place.
        let next = codec.write(&id, 4, &SecretKeysRow::default());
        assert_eq!([(); 2].map(|()| read(&codec, &id, &next).unwrap().version), [4, 4]);
        assert_eq!(kept_change(&codec, &id, &next), Some(0));
        assert_eq!(is_kept(), (3, false));
        codec.forget(SecretKeysRow::KIND, &id);
        assert_eq!(kept_change(&codec, &id, &record), None);
    }

    #[test]
    fn a_kept_row_whose_writer_knew_a_later_control_change_is_refused() {
        let rng = &mut entropy::rng();
        let keyring = Keyring::new([KeyringKey::generate(rng, 1)], 1).unwrap();
        let context = WrapContext::new([1; 16], [1; 16]);
        let key = RowMacKey::generate(rng);
        let wrapped = keyring.wrap(rng, &key, &context).unwrap();
        let node = || RecordCodec::new(keyring.unwrap(&wrapped, &context).unwrap(), 1);
        let (writer, reader) = (node(), node());
        writer.note_change(5);
        let record = writer.write(&[7; 16], 1, &SecretKeysRow::default());
        // A node that has not read the feed yet keeps it.
        assert_eq!([(); 2].map(|()| read(&reader, &[7; 16], &record).unwrap().version), [1, 1]);
        assert_eq!(kept_change(&reader, &[7; 16], &record), Some(5));
        reader.note_change(4);
        assert!(read(&reader, &[7; 16], &record).unwrap_err().is_ahead());
        reader.note_change(5);
        assert_eq!(read(&reader, &[7; 16], &record).unwrap().version, 1);
    }

    #[test]
    fn kept_rows_have_a_bound_and_a_long_one_is_not_kept() {
        let rows = VerifiedRows::default();
        let record = |id: &[u8], length| Record {
            kind: SecretKeysRow::KIND,
            id: id.to_vec(),
            row_version: 1,
            content: vec![0; length],
            mac: vec![1; 32],
        };
        let content = Arc::new(SecretKeysRow::default());
        for number in 0..10_000_u32 {
            let row = record(&number.to_be_bytes(), 1000);
            (0..2).for_each(|_| rows.keep(&row.id, &row, &content, 0));
        }
        let weight = rows.rows.weight();
        assert!((KEPT_BYTES / 2..=KEPT_BYTES).contains(&weight), "{weight}");
        let rows = VerifiedRows::default();
        let is_kept = |length: usize| {
            let row = record(b"row", length);
            (0..2).for_each(|_| rows.keep(&row.id, &row, &content, 0));
            rows.get(&row.id, &row).is_some()
        };
        assert_eq!([LONGEST, LONGEST + 1].map(is_kept), [true, false]);
    }
}
