//! The plaintext of a bundle and of a value of the history.
//!
//! Numbers are big-endian; texts and values have their length before them.
//!
//! A bundle: `02`, the list of secrets of a boot response (u32, JSON), count u32, then for each secret of that list, in
//! name order: name (u16), length of its object in the list (u32), length of its value (u32), created, updated (unix
//! ms, u64), app version (u64), digest (16), author (u16). So a boot copies the list into its response, a list of names
//! reads only the rest, and a change copies the objects of the secrets that stay.
//!
//! A value: `01`, kind (0 = deleted, 1 = set), time (u64), author (u16), and for kind 1 digest (16), created (u64) and
//! value (u32).

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use petsem_api::{BootedSecret, Digest, SecretName, Value, WipedBytes};

const BUNDLE_FORMAT: u8 = 2;
const VALUE_FORMAT: u8 = 1;
/// Bytes of a bundle before its list.
const LIST_START: usize = 5;

/// What is known of a secret beside its name and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Details<'a> {
    /// When the name was first set, unix milliseconds.
    pub(crate) created_at: u64,
    /// When the value was set, unix milliseconds.
    pub(crate) updated_at: u64,
    /// The app version that set it.
    pub(crate) set_in_version: u64,
    /// Its keyed digest.
    pub(crate) digest: Digest,
    /// The author.
    pub(crate) author: &'a str,
}

/// One secret of a bundle.
pub(crate) struct Entry<'a> {
    /// What is known of it.
    pub(crate) details: Details<'a>,
    value_length: usize,
    object: Object<'a>,
}

/// The JSON of a secret: of the bundle that was read, or new.
enum Object<'a> {
    Kept(&'a [u8]),
    New(WipedBytes),
}

impl<'a> Entry<'a> {
    /// A secret with a new value.
    pub(crate) fn new(name: &SecretName, value: &Value, details: Details<'a>) -> Result<Self, BundleError> {
        let object = BootedSecret::write_object(name, value, &details.digest).map_err(|_| BundleError)?;
        Ok(Self { details, value_length: value.len(), object: Object::New(object) })
    }

    /// Its value.
    pub(crate) fn value(&self) -> Result<Value, BundleError> {
        BootedSecret::read_value(self.object()).map_err(|_| BundleError)
    }

    /// Whether its value has a NUL byte. Most values are not decoded for that: JSON escapes the byte in a text.
    pub(crate) fn has_nul(&self) -> Result<bool, BundleError> {
        let object = self.object();
        let has = |part: &[u8]| object.windows(part.len()).any(|window| window == part);
        Ok((has(b"\\u0000") || has(b"\"value_b64\"")) && self.value()?.expose_bytes().contains(&0))
    }

    fn object(&self) -> &[u8] {
        match &self.object {
            Object::Kept(bytes) => bytes,
            Object::New(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("digest", &self.details.digest).finish_non_exhaustive()
    }
}

/// All secrets of an app at one version. It borrows from the plaintext.
#[derive(Debug, Default)]
pub(crate) struct Bundle<'a> {
    /// By name.
    pub(crate) entries: BTreeMap<&'a str, Entry<'a>>,
}

/// A value of the history.
pub(crate) enum StoredValue {
    /// The name was deleted.
    Deleted {
        /// When, unix milliseconds.
        at: u64,
        /// Who.
        author: String,
    },
    /// The name was set.
    Set {
        /// When, unix milliseconds.
        at: u64,
        /// Who.
        author: String,
        /// The keyed digest of the value.
        digest: Digest,
        /// The value.
        value: Value,
    },
}

/// A plaintext in another format. It was authentic, so another build wrote it, or this build has a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed message is authentic, but its format is unknown to this build")]
pub(crate) struct BundleError;

impl<'a> Bundle<'a> {
    /// Bytes of names and values together: what the bundle limit counts.
    pub(crate) fn size(&self) -> usize {
        self.entries.iter().map(|(name, entry)| name.len() + entry.value_length).sum()
    }

    /// The plaintext.
    pub(crate) fn encode(&self) -> WipedBytes {
        let objects: usize = self.entries.values().map(|entry| entry.object().len()).sum();
        // Brackets, and commas between the objects.
        let list = objects + 2 + self.entries.len().saturating_sub(1);
        let rest = |(name, entry): (&&str, &Entry<'_>)| 64 + name.len() + entry.details.author.len();
        let rest: usize = self.entries.iter().map(rest).sum();
        // Enough capacity from the start: a growing buffer would leave copies in memory.
        let mut out = Writer::with_capacity(LIST_START + list + 4 + rest);
        out.u8(BUNDLE_FORMAT);
        out.u32(list);
        out.u8(b'[');
        for (place, entry) in self.entries.values().enumerate() {
            if place > 0 {
                out.u8(b',');
            }
            out.raw(entry.object());
        }
        out.u8(b']');
        out.u32(self.entries.len());
        for (name, entry) in &self.entries {
            let details = &entry.details;
            out.short(name.as_bytes());
            out.u32(entry.object().len());
            out.u32(entry.value_length);
            out.u64(details.created_at);
            out.u64(details.updated_at);
            out.u64(details.set_in_version);
            out.raw(details.digest.as_bytes());
            out.short(details.author.as_bytes());
        }
        out.0
    }

    /// Reads a plaintext.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, BundleError> {
        let list = Self::list_in(bytes)?;
        let (head, rest) = bytes.split_at_checked(list.end).ok_or(BundleError)?;
        let mut list = Reader(head.get(list.start..).ok_or(BundleError)?);
        let mut input = Reader(rest);
        list.byte(b'[')?;
        let count = input.u32()?;
        let mut entries = BTreeMap::new();
        for place in 0..count {
            if place > 0 {
                list.byte(b',')?;
            }
            let name = input.text()?;
            let object = list.take(input.length()?)?;
            let value_length = input.length()?;
            let details = Details {
                created_at: input.u64()?,
                updated_at: input.u64()?,
                set_in_version: input.u64()?,
                digest: Digest::from_bytes(input.array()?),
                author: input.text()?,
            };
            if entries.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err(BundleError);
            }
            entries.insert(name, Entry { details, value_length, object: Object::Kept(object) });
        }
        list.byte(b']')?;
        list.end()?;
        input.end()?;
        Ok(Self { entries })
    }

    /// Where a plaintext has the list of secrets of a boot response.
    pub(crate) fn list_in(bytes: &[u8]) -> Result<Range<usize>, BundleError> {
        let mut input = Reader(bytes);
        input.byte(BUNDLE_FORMAT)?;
        let length = input.length()?;
        input.take(length)?;
        Ok(LIST_START..LIST_START + length)
    }
}

impl StoredValue {
    /// The plaintext of a value that is set.
    pub(crate) fn encode_set(value: &Value, details: &Details<'_>) -> WipedBytes {
        let mut out = Writer::with_capacity(64 + value.len() + details.author.len());
        out.u8(VALUE_FORMAT);
        out.u8(1);
        out.u64(details.updated_at);
        out.short(details.author.as_bytes());
        out.raw(details.digest.as_bytes());
        out.u64(details.created_at);
        out.long(value.expose_bytes());
        out.0
    }

    /// The plaintext of a deletion.
    pub(crate) fn encode_deleted(at: u64, author: &str) -> WipedBytes {
        let mut out = Writer::with_capacity(16 + author.len());
        out.u8(VALUE_FORMAT);
        out.u8(0);
        out.u64(at);
        out.short(author.as_bytes());
        out.0
    }

    /// Reads a plaintext.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BundleError> {
        let mut input = Reader(bytes);
        input.byte(VALUE_FORMAT)?;
        let kind = input.u8()?;
        let at = input.u64()?;
        let author = input.text()?.to_owned();
        let stored = match kind {
            0 => Self::Deleted { at, author },
            1 => {
                let digest = Digest::from_bytes(input.array()?);
                let _created_at = input.u64()?;
                Self::Set { at, author, digest, value: Value::new(input.long()?.to_vec()) }
            }
            _ => return Err(BundleError),
        };
        input.end()?;
        Ok(stored)
    }
}

struct Writer(WipedBytes);

impl Writer {
    fn with_capacity(bytes: usize) -> Self {
        Self(WipedBytes::new(Vec::with_capacity(bytes)))
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

    fn length(&mut self) -> Result<usize, BundleError> {
        usize::try_from(self.u32()?).map_err(|_| BundleError)
    }

    fn long(&mut self) -> Result<&'a [u8], BundleError> {
        let length = self.length()?;
        self.take(length)
    }

    fn byte(&mut self, wanted: u8) -> Result<(), BundleError> {
        if self.u8()? == wanted { Ok(()) } else { Err(BundleError) }
    }

    fn end(&self) -> Result<(), BundleError> {
        if self.0.is_empty() { Ok(()) } else { Err(BundleError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DETAILS: Details<'static> = Details {
        created_at: 1,
        updated_at: 2,
        set_in_version: 3,
        digest: Digest::from_bytes([9; 16]),
        author: "iss|sub",
    };

    fn bundle(secrets: &[(&'static str, &[u8])]) -> Bundle<'static> {
        let entry = |(name, value): &(&'static str, &[u8])| {
            let value = Value::new(value.to_vec());
            (*name, Entry::new(&name.parse().unwrap(), &value, DETAILS).unwrap())
        };
        Bundle { entries: secrets.iter().map(entry).collect() }
    }

    fn plain(bundle: &Bundle<'_>) -> Vec<(String, Vec<u8>, u64, String)> {
        let one = |(name, entry): (&&str, &Entry<'_>)| {
            (
                (*name).to_owned(),
                entry.value().unwrap().expose_bytes().to_vec(),
                entry.details.set_in_version,
                entry.details.author.to_owned(),
            )
        };
        bundle.entries.iter().map(one).collect()
    }

    #[test]
    fn a_bundle_decodes_to_what_was_encoded_and_every_truncation_is_refused() {
        let bundle = bundle(&[("B", &[0, 0xff]), ("A", b"")]);
        let bytes = bundle.encode();
        let decoded = Bundle::decode(&bytes).unwrap();
        assert_eq!(plain(&decoded), plain(&bundle));
        assert_eq!((decoded.size(), decoded.encode().to_vec()), (4, bytes.to_vec()));
        for length in 0..bytes.len() {
            assert_eq!(Bundle::decode(&bytes[..length]).err(), Some(BundleError), "{length}");
        }
        assert_eq!(Bundle::decode(&[&bytes[..], &[0]].concat()).err(), Some(BundleError));
        assert_eq!(Bundle::decode(&[2, 0xff, 0xff, 0xff, 0xff]).err(), Some(BundleError));
    }

    #[test]
    fn a_nul_byte_is_found_in_texts_and_bytes_and_nothing_else_is_taken_for_one() {
        let values: [(&'static str, &[u8]); 7] = [
            ("A", b"\0"),
            ("B", b"x\0"),
            ("C", b"\xff\0"),
            ("D", b"\xff"),
            ("E", b"\\u0000"),
            ("F", b"\"value_b64\""),
            ("G", b"\x01 0"),
        ];
        let bytes = bundle(&values).encode();
        let decoded = Bundle::decode(&bytes).unwrap();
        let found: Vec<_> = decoded
            .entries
            .iter()
            .filter(|(_, entry)| entry.has_nul().unwrap())
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(found, ["A", "B", "C"]);
    }

    #[test]
    fn the_list_is_that_of_a_boot_response() {
        let all: [(&str, &[u8]); 3] = [("A", b"x\""), ("B", b""), ("C", &[0, 0xff])];
        for secrets in [&all[..0], &all[..1], &all] {
            let bytes = bundle(secrets).encode();
            let list = &bytes[Bundle::list_in(&bytes).unwrap()];
            let response = secrets.iter().map(|(name, value)| BootedSecret {
                name: name.parse().unwrap(),
                value: Some(Value::new(value.to_vec())),
                digest: DETAILS.digest,
            });
            assert_eq!(list, serde_json::to_vec(&response.collect::<Vec<_>>()).unwrap());
        }
    }

    #[test]
    fn a_value_decodes_to_what_was_encoded() {
        let bytes = StoredValue::encode_set(&Value::new(b"v".to_vec()), &DETAILS);
        match StoredValue::decode(&bytes).unwrap() {
            StoredValue::Set { at, author, digest, value } => {
                assert_eq!((value.expose_bytes(), at), (&b"v"[..], 2));
                assert_eq!((author.as_str(), digest), ("iss|sub", DETAILS.digest));
            }
            StoredValue::Deleted { .. } => panic!("it was set"),
        }
        let bytes = StoredValue::encode_deleted(5, "me");
        assert!(matches!(StoredValue::decode(&bytes), Ok(StoredValue::Deleted { at: 5, .. })));
    }
}
