//! Every label and every context that petsem encrypts or authenticates under.
//!
//! One enum, so that two uses cannot share a byte string by accident, and a reviewer sees all of them on one
//! page. A context is encoded as its label byte, then each field with its length: four bytes big-endian, then
//! the field; an integer is a field of eight bytes big-endian. The encoding is injective, so distinct
//! contexts are distinct byte strings. Labels and field orders never change: otherwise existing data would
//! not open.

use crate::seal::SealContext;

/// The first byte of every context. A number is never reused, even if its use has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Label {
    // 0x01–0x1f: kinds of wrapped keys.
    KeyringKey = 0x01,
    AppKek = 0x02,
    SigningKey = 0x03,
    DischargerKey = 0x04,
    RowMacKey = 0x05,
    AuditMacKey = 0x06,
    AuditSigningKey = 0x07,
    PollKey = 0x08,
    Dek = 0x09,
    DigestKey = 0x0a,
    SecretKeyMaterial = 0x0b,
    RootKey = 0x0c,
    SealKey = 0x0d,
    AuditRatchetKey = 0x0e,
    // 0x20–0x3f: sealed messages.
    Value = 0x20,
    Bundle = 0x21,
    PollEntry = 0x22,
    HostCacheEntry = 0x23,
    // 0x40–0x5f: MACs, digests, signatures.
    Row = 0x40,
    Feed = 0x41,
    ValueDigest = 0x42,
    AuditLine = 0x43,
    AuditRatchet = 0x44,
    AuditCheckpoint = 0x45,
}

/// The wrapped key that the caller expects when it unwraps.
///
/// The role is not a field: it is the type of the requested key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrapContext {
    /// Id of the store (16 random bytes, made at `init`).
    pub store: [u8; 16],
    /// Id of the wrapped key; for an app's KEK, the app's id.
    pub id: [u8; 16],
    /// Org or app that owns the key; `None` for the platform's own.
    pub owner: Option<[u8; 16]>,
    /// Version among keys with the same id; 0 for roles without versions.
    pub version: u32,
}

impl WrapContext {
    /// The context of an unversioned key of the platform.
    pub fn new(store: [u8; 16], id: [u8; 16]) -> Self {
        Self { store, id, owner: None, version: 0 }
    }

    /// The same key, owned by an org or an app.
    pub fn owned_by(self, owner: [u8; 16]) -> Self {
        Self { owner: Some(owner), ..self }
    }

    /// The context of version `version` of an app's KEK.
    pub fn app_kek(store: [u8; 16], app: [u8; 16], version: u32) -> Self {
        Self { store, id: app, owner: None, version }
    }
}

/// The record that a value or bundle is sealed to: from the caller's request, never from the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordContext<'a> {
    /// One value of one secret.
    Value {
        /// Epoch of the store.
        epoch: u64,
        /// Id of the org.
        org: [u8; 16],
        /// Id of the app.
        app: [u8; 16],
        /// Name of the secret.
        name: &'a str,
        /// App version that set the value.
        version: u64,
    },
    /// All secrets of an app at one version.
    Bundle {
        /// Epoch of the store.
        epoch: u64,
        /// Id of the org.
        org: [u8; 16],
        /// Id of the app.
        app: [u8; 16],
        /// App version of the set.
        version: u64,
    },
}

impl RecordContext<'_> {
    /// Id of the app that the record belongs to.
    pub fn app(&self) -> &[u8; 16] {
        match self {
            Self::Value { app, .. } | Self::Bundle { app, .. } => app,
        }
    }
}

/// The row that a MAC covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowContext<'a> {
    /// Label of the table; the store's list of tables gives each its own and never changes it.
    pub table: u8,
    /// Primary key of the row, as bytes.
    pub id: &'a [u8],
    /// Epoch of the store.
    pub epoch: u64,
    /// How often the row was written: 1, 2, 3 …
    pub row_version: u64,
}

/// The Machine and host that a cached bundle is sealed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostCacheContext<'a> {
    /// Id of the host, as in its certificate.
    pub host: &'a str,
    /// Id of the org.
    pub org: [u8; 16],
    /// Id of the app.
    pub app: [u8; 16],
    /// Id of the Machine.
    pub machine: &'a str,
}

/// All uses of all keys.
#[derive(Clone, Copy)]
pub(crate) enum Context<'a> {
    /// A key of role `role` under the keyring, an app's KEK, the root key or a seal.
    Wrap { role: Label, wrapped: &'a WrapContext, wrapping_version: u32 },
    /// The key of a seal under a key of a device, which wraps it itself.
    SealKey(&'a SealContext),
    /// A DEK under its app's KEK. The KEK is bound to the store by its own wrap.
    Dek { app: &'a [u8; 16], dek: &'a [u8; 16], kek_version: u32 },
    /// A value or bundle under its DEK. It names no KEK version: re-wrapping never touches it.
    Record { record: &'a RecordContext<'a>, dek: &'a [u8; 16] },
    /// A response that waits to be polled.
    PollEntry { store: &'a [u8; 16], id: &'a [u8; 16] },
    /// A bundle that a host caches for an outage of the central service.
    HostCacheEntry(&'a HostCacheContext<'a>),
    /// A decision row.
    Row { row: &'a RowContext<'a>, content: &'a [u8] },
    /// One numbered control change, chained to the previous one.
    Feed { epoch: u64, number: u64, previous: &'a [u8; 32], content: &'a [u8] },
    /// The digest of a value, shown to people.
    ValueDigest { name: &'a str, value: &'a [u8] },
    /// One line of the audit log.
    AuditLine { line: &'a [u8] },
    /// The one-way step of the audit MAC key.
    AuditRatchet,
    /// A signed checkpoint of the audit log.
    AuditCheckpoint { message: &'a [u8] },
}

impl Context<'_> {
    fn label(&self) -> Label {
        match self {
            Self::Wrap { role, .. } => *role,
            Self::SealKey(_) => Label::SealKey,
            Self::Dek { .. } => Label::Dek,
            Self::Record { record: RecordContext::Value { .. }, .. } => Label::Value,
            Self::Record { record: RecordContext::Bundle { .. }, .. } => Label::Bundle,
            Self::PollEntry { .. } => Label::PollEntry,
            Self::HostCacheEntry(_) => Label::HostCacheEntry,
            Self::Row { .. } => Label::Row,
            Self::Feed { .. } => Label::Feed,
            Self::ValueDigest { .. } => Label::ValueDigest,
            Self::AuditLine { .. } => Label::AuditLine,
            Self::AuditRatchet => Label::AuditRatchet,
            Self::AuditCheckpoint { .. } => Label::AuditCheckpoint,
        }
    }

    /// Writes the label and all fields.
    pub(crate) fn write_to(&self, sink: &mut impl Sink) {
        sink.put(&[self.label() as u8]);
        match *self {
            Self::Wrap { role: _, wrapped, wrapping_version } => {
                sink.bytes(&wrapped.store);
                sink.bytes(&wrapped.id);
                sink.bytes(wrapped.owner.as_ref().map_or(&[], |owner| owner.as_slice()));
                sink.integer(u64::from(wrapped.version));
                sink.integer(u64::from(wrapping_version));
            }
            Self::SealKey(SealContext { seal, key }) => {
                sink.bytes(&key.store);
                sink.bytes(seal);
                sink.integer(u64::from(key.version));
            }
            Self::Dek { app, dek, kek_version } => {
                sink.bytes(app);
                sink.bytes(dek);
                sink.integer(u64::from(kek_version));
            }
            Self::Record { record: RecordContext::Value { epoch, org, app, name, version }, dek } => {
                sink.integer(*epoch);
                sink.bytes(org);
                sink.bytes(app);
                sink.bytes(name.as_bytes());
                sink.integer(*version);
                sink.bytes(dek);
            }
            Self::Record { record: RecordContext::Bundle { epoch, org, app, version }, dek } => {
                sink.integer(*epoch);
                sink.bytes(org);
                sink.bytes(app);
                sink.integer(*version);
                sink.bytes(dek);
            }
            Self::PollEntry { store, id } => {
                sink.bytes(store);
                sink.bytes(id);
            }
            Self::HostCacheEntry(HostCacheContext { host, org, app, machine }) => {
                sink.bytes(host.as_bytes());
                sink.bytes(org);
                sink.bytes(app);
                sink.bytes(machine.as_bytes());
            }
            Self::Row { row: RowContext { table, id, epoch, row_version }, content } => {
                sink.integer(u64::from(*table));
                sink.bytes(id);
                sink.integer(*epoch);
                sink.integer(*row_version);
                sink.bytes(content);
            }
            Self::Feed { epoch, number, previous, content } => {
                sink.integer(epoch);
                sink.integer(number);
                sink.bytes(previous);
                sink.bytes(content);
            }
            Self::ValueDigest { name, value } => {
                sink.bytes(name.as_bytes());
                sink.bytes(value);
            }
            Self::AuditLine { line } => sink.bytes(line),
            Self::AuditRatchet => {}
            Self::AuditCheckpoint { message } => sink.bytes(message),
        }
    }

    /// The context as one byte string: the AAD of an AEAD, the message of a signature.
    pub(crate) fn to_vec(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(192);
        self.write_to(&mut bytes);
        bytes
    }
}

/// The destination of a context: a buffer or a running MAC, without a copy of the content.
pub(crate) trait Sink {
    /// Appends bytes unchanged.
    fn put(&mut self, bytes: &[u8]);

    /// Appends one field: its length, then the bytes.
    fn bytes(&mut self, field: &[u8]) {
        // Rows and values are far shorter than 4 GiB (the largest message is 8 MiB).
        let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
        self.put(&length.to_be_bytes());
        self.put(field);
    }

    /// Appends an integer as a field of eight bytes.
    fn integer(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_their_published_bytes() {
        let labels = [
            (Label::KeyringKey, 0x01),
            (Label::AppKek, 0x02),
            (Label::SigningKey, 0x03),
            (Label::DischargerKey, 0x04),
            (Label::RowMacKey, 0x05),
            (Label::AuditMacKey, 0x06),
            (Label::AuditSigningKey, 0x07),
            (Label::PollKey, 0x08),
            (Label::Dek, 0x09),
            (Label::DigestKey, 0x0a),
            (Label::SecretKeyMaterial, 0x0b),
            (Label::RootKey, 0x0c),
            (Label::SealKey, 0x0d),
            (Label::AuditRatchetKey, 0x0e),
            (Label::Value, 0x20),
            (Label::Bundle, 0x21),
            (Label::PollEntry, 0x22),
            (Label::HostCacheEntry, 0x23),
            (Label::Row, 0x40),
            (Label::Feed, 0x41),
            (Label::ValueDigest, 0x42),
            (Label::AuditLine, 0x43),
            (Label::AuditRatchet, 0x44),
            (Label::AuditCheckpoint, 0x45),
        ];
        for (label, byte) in labels {
            assert_eq!(label as u8, byte, "{label:?}");
        }
    }

    #[test]
    fn a_context_is_its_label_then_each_field_with_its_length() {
        let record = RecordContext::Value { epoch: 1, org: [2; 16], app: [3; 16], name: "AB", version: 4 };
        let mut expected = vec![0x20, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 16];
        expected.extend_from_slice(&[2; 16]);
        expected.extend_from_slice(&[0, 0, 0, 16]);
        expected.extend_from_slice(&[3; 16]);
        expected.extend_from_slice(&[0, 0, 0, 2, b'A', b'B', 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 4]);
        expected.extend_from_slice(&[0, 0, 0, 16]);
        expected.extend_from_slice(&[5; 16]);
        assert_eq!(Context::Record { record: &record, dek: &[5; 16] }.to_vec(), expected);
    }

    #[test]
    fn moving_a_byte_between_two_fields_changes_the_context() {
        let one = Context::ValueDigest { name: "ab", value: b"c" }.to_vec();
        let other = Context::ValueDigest { name: "a", value: b"bc" }.to_vec();
        assert_ne!(one, other);
    }

    #[test]
    fn a_key_without_owner_differs_from_one_owned_by_zeros() {
        let platform = WrapContext::new([1; 16], [2; 16]);
        let owned = platform.owned_by([0; 16]);
        let encode = |wrapped: &WrapContext| {
            Context::Wrap { role: Label::SigningKey, wrapped, wrapping_version: 1 }.to_vec()
        };
        assert_ne!(encode(&platform), encode(&owned));
    }
}
