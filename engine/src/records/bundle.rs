//! The plaintext of a bundle and of a value of the history.
//!
//! Both are `01` and then fields; numbers are big-endian, texts and values have their length before them.
//! The bundle: count u32, then for each secret in name order: name (u16), value (u32), created, updated
//! (unix ms, u64), app version (u64), digest (16), author (u16). A value: kind (0 = deleted, 1 = set), time
//! (u64), author (u16), and for kind 1 digest (16), created (u64) and value (u32).

use std::collections::BTreeMap;
use std::fmt;

use petsem_api::{Digest, SecretName, Value};
use zeroize::Zeroizing;

const FORMAT: u8 = 1;

/// One secret at its current value.
pub(crate) struct Entry {
    /// The value.
    pub(crate) value: Value,
    /// When the name was first set, unix milliseconds.
    pub(crate) created_at: u64,
    /// When the value was set, unix milliseconds.
    pub(crate) updated_at: u64,
    /// The app version that set it.
    pub(crate) set_in_version: u64,
    /// Its keyed digest.
    pub(crate) digest: Digest,
    /// The author.
    pub(crate) author: String,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// All secrets of an app at one version.
#[derive(Debug, Default)]
pub(crate) struct Bundle {
    /// By name.
    pub(crate) entries: BTreeMap<SecretName, Entry>,
}

/// A value of the history.
#[derive(Debug)]
pub(crate) enum StoredValue {
    /// The name was deleted.
    Deleted {
        /// When, unix milliseconds.
        at: u64,
        /// Who.
        author: String,
    },
    /// The name was set.
    Set(Entry),
}

/// A plaintext in another format. It was authentic, so another build wrote it, or this build has a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed message is authentic, but its format is unknown to this build")]
pub(crate) struct BundleError;

impl Bundle {
    /// Bytes of names and values together: what the bundle limit counts.
    pub(crate) fn size(&self) -> usize {
        self.entries.iter().map(|(name, entry)| name.as_str().len() + entry.value.len()).sum()
    }

    /// The plaintext.
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let overhead: usize = self.entries.values().map(|entry| 64 + entry.author.len()).sum();
        // Enough capacity from the start: a growing buffer would leave copies in memory.
        let mut out = Writer::with_capacity(16 + self.size() + overhead);
        out.u8(FORMAT);
        out.u32(self.entries.len());
        for (name, entry) in &self.entries {
            out.short(name.as_str().as_bytes());
            out.long(entry.value.expose_bytes());
            out.u64(entry.created_at);
            out.u64(entry.updated_at);
            out.u64(entry.set_in_version);
            out.raw(entry.digest.as_bytes());
            out.short(entry.author.as_bytes());
        }
        out.0
    }

    /// Reads a plaintext.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BundleError> {
        let mut input = Reader(bytes);
        input.format()?;
        let count = input.u32()?;
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let name: SecretName = input.text()?.parse().map_err(|_| BundleError)?;
            let entry = Entry {
                value: Value::new(input.long()?.to_vec()),
                created_at: input.u64()?,
                updated_at: input.u64()?,
                set_in_version: input.u64()?,
                digest: Digest::from_bytes(input.array()?),
                author: input.text()?.to_owned(),
            };
            if entries.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err(BundleError);
            }
            entries.insert(name, entry);
        }
        input.end()?;
        Ok(Self { entries })
    }
}

impl StoredValue {
    /// The plaintext of a value that is set.
    pub(crate) fn encode_set(entry: &Entry) -> Zeroizing<Vec<u8>> {
        let mut out = Writer::with_capacity(64 + entry.value.len() + entry.author.len());
        out.u8(FORMAT);
        out.u8(1);
        out.u64(entry.updated_at);
        out.short(entry.author.as_bytes());
        out.raw(entry.digest.as_bytes());
        out.u64(entry.created_at);
        out.long(entry.value.expose_bytes());
        out.0
    }

    /// The plaintext of a deletion.
    pub(crate) fn encode_deleted(at: u64, author: &str) -> Zeroizing<Vec<u8>> {
        let mut out = Writer::with_capacity(16 + author.len());
        out.u8(FORMAT);
        out.u8(0);
        out.u64(at);
        out.short(author.as_bytes());
        out.0
    }

    /// Reads the plaintext of the value that this app version set.
    pub(crate) fn decode(bytes: &[u8], set_in_version: u64) -> Result<Self, BundleError> {
        let mut input = Reader(bytes);
        input.format()?;
        let kind = input.u8()?;
        let at = input.u64()?;
        let author = input.text()?.to_owned();
        let stored = match kind {
            0 => Self::Deleted { at, author },
            1 => {
                let digest = Digest::from_bytes(input.array()?);
                let created_at = input.u64()?;
                let value = Value::new(input.long()?.to_vec());
                Self::Set(Entry { value, created_at, updated_at: at, set_in_version, digest, author })
            }
            _ => return Err(BundleError),
        };
        input.end()?;
        Ok(stored)
    }
}

struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    fn with_capacity(bytes: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(bytes)))
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn u8(&mut self, number: u8) {
        self.0.push(number);
    }

    fn u32(&mut self, number: usize) {
        self.raw(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.raw(&number.to_be_bytes());
    }

    /// At most 65,535 bytes; names and authors are far shorter.
    fn short(&mut self, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.raw(&length.to_be_bytes());
        self.raw(bytes.get(..usize::from(length)).unwrap_or(bytes));
    }

    fn long(&mut self, bytes: &[u8]) {
        self.u32(bytes.len());
        self.raw(bytes);
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], BundleError> {
        let (head, tail) = self.0.split_at_checked(length).ok_or(BundleError)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BundleError> {
        self.take(N)?.try_into().map_err(|_| BundleError)
    }

    fn u8(&mut self) -> Result<u8, BundleError> {
        self.array::<1>().map(u8::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, BundleError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, BundleError> {
        self.array().map(u64::from_be_bytes)
    }

    fn text(&mut self) -> Result<&'a str, BundleError> {
        let length = self.array().map(u16::from_be_bytes)?;
        std::str::from_utf8(self.take(usize::from(length))?).map_err(|_| BundleError)
    }

    fn long(&mut self) -> Result<&'a [u8], BundleError> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| BundleError)?)
    }

    fn format(&mut self) -> Result<(), BundleError> {
        if self.u8()? == FORMAT { Ok(()) } else { Err(BundleError) }
    }

    fn end(&self) -> Result<(), BundleError> {
        if self.0.is_empty() { Ok(()) } else { Err(BundleError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(value: &[u8]) -> Entry {
        Entry {
            value: Value::new(value.to_vec()),
            created_at: 1,
            updated_at: 2,
            set_in_version: 3,
            digest: Digest::from_bytes([9; 16]),
            author: "iss|sub".to_owned(),
        }
    }

    fn plain(bundle: &Bundle) -> Vec<(String, Vec<u8>, u64, String)> {
        let one = |(name, entry): (&SecretName, &Entry)| {
            (
                name.to_string(),
                entry.value.expose_bytes().to_vec(),
                entry.set_in_version,
                entry.author.clone(),
            )
        };
        bundle.entries.iter().map(one).collect()
    }

    #[test]
    fn a_bundle_decodes_to_what_was_encoded_and_every_truncation_is_refused() {
        let mut bundle = Bundle::default();
        bundle.entries.insert("B".parse().unwrap(), entry(&[0, 0xff]));
        bundle.entries.insert("A".parse().unwrap(), entry(b""));
        let bytes = bundle.encode();
        assert_eq!(plain(&Bundle::decode(&bytes).unwrap()), plain(&bundle));
        for length in 0..bytes.len() {
            assert_eq!(Bundle::decode(&bytes[..length]).err(), Some(BundleError), "{length}");
        }
        assert_eq!(Bundle::decode(&[&bytes[..], &[0]].concat()).err(), Some(BundleError));
        assert_eq!(Bundle::decode(&[1, 0xff, 0xff, 0xff, 0xff]).err(), Some(BundleError));
    }

    #[test]
    fn a_value_decodes_to_what_was_encoded() {
        let bytes = StoredValue::encode_set(&entry(b"v"));
        match StoredValue::decode(&bytes, 3).unwrap() {
            StoredValue::Set(read) => {
                assert_eq!((read.value.expose_bytes(), read.set_in_version), (&b"v"[..], 3))
            }
            StoredValue::Deleted { .. } => panic!("it was set"),
        }
        let bytes = StoredValue::encode_deleted(5, "me");
        assert!(matches!(StoredValue::decode(&bytes, 1), Ok(StoredValue::Deleted { at: 5, .. })));
    }
}
