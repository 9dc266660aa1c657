//! What the control feed adds up to, as it is stored: entries in pages, and the directory that every node keeps in
//! memory. The head of the feed names the MACs of both, so pages of two states cannot be mixed.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;
use petsem_api::{
    AppId, AppName, ApprovalId, HostId, IssuerId, MachineId, OrgId, OrgName, SigningKeyId, TokenUuid,
};
use petsem_store::RecordKind;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::Content;

/// Children of a branch.
pub(crate) const FAN_OUT: usize = 16;

/// The first byte of the keys of names.
const NAME_PREFIX: u8 = 0xff;

/// Where the entry about a subject is: SHA-256 over the kind of subject and its fields; of names, the first byte is
/// replaced. The first four bits choose the
/// child of the top page, the next four that of the page below it, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryKey([u8; 32]);

impl EntryKey {
    pub(crate) fn app(app: AppId) -> Self {
        Self::of(1, &[app.as_bytes()])
    }

    pub(crate) fn org(org: OrgId) -> Self {
        Self::of(2, &[org.as_bytes()])
    }

    pub(crate) fn signing_key(key: SigningKeyId) -> Self {
        Self::of(3, &[key.as_bytes()])
    }

    pub(crate) fn token(token: &TokenUuid) -> Self {
        Self::of(4, &[token.as_bytes()])
    }

    pub(crate) fn machine(app: AppId, machine: &MachineId) -> Self {
        Self::of(5, &[app.as_bytes(), machine.as_str().as_bytes()])
    }

    pub(crate) fn host(host: &HostId) -> Self {
        Self::of(6, &[host.as_str().as_bytes()])
    }

    pub(crate) fn jwt(issuer: &str, jti: &str) -> Self {
        Self::of(7, &[issuer.as_bytes(), jti.as_bytes()])
    }

    /// `sub` is empty for JWTs without one.
    pub(crate) fn jwt_subject(issuer: &str, sub: &str) -> Self {
        Self::of(8, &[issuer.as_bytes(), sub.as_bytes()])
    }

    pub(crate) fn jwt_issuer(issuer: &str) -> Self {
        Self::of(9, &[issuer.as_bytes()])
    }

    pub(crate) fn request(request: ApprovalId) -> Self {
        Self::of(10, &[request.as_bytes()])
    }

    /// What an outside discharger proved for a subject.
    pub(crate) fn discharger_subject(location: &str, sub: &str) -> Self {
        Self::of(11, &[location.as_bytes(), sub.as_bytes()])
    }

    pub(crate) fn app_name(name: &AppName) -> Self {
        Self::of(12, &[name.as_str().as_bytes()]).under_name_prefix()
    }

    pub(crate) fn org_name(name: &OrgName) -> Self {
        Self::of(13, &[name.as_str().as_bytes()]).under_name_prefix()
    }

    /// Moves the key to the names' part of the tree: only creations and deletions read names, so the pages of all other
    /// entries stay few, and in memory.
    fn under_name_prefix(mut self) -> Self {
        self.0[0] = NAME_PREFIX;
        self
    }

    fn of(kind: u8, fields: &[&[u8]]) -> Self {
        let mut hash = Sha256::new_with_prefix([kind]);
        for field in fields {
            hash.update((field.len() as u64).to_be_bytes());
            hash.update(field);
        }
        Self(hash.finalize().into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The child that leads to this entry from a page at this depth.
    pub(crate) fn child(&self, depth: usize) -> usize {
        let byte = self.0.get(depth / 2).copied().unwrap_or_default();
        usize::from(if depth.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f })
    }
}

impl Serialize for EntryKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for EntryKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bytes_32(deserializer).map(Self)
    }
}

/// What the control state holds about one subject. A subject without an entry has the default of its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ControlEntry {
    /// An app.
    App(AppEntry),
    /// An org.
    Org(OrgEntry),
    /// A signing key.
    SigningKey(SigningKeyEntry),
    /// A token, discharge or renewal, or the id that stands for a signing key in lineages.
    Token(TokenEntry),
    /// A revoked Machine, with its app.
    Machine(AppId),
    /// A revoked host.
    Host(RevokedAt),
    /// A revoked JWT.
    Jwt(RevokedAt),
    /// Revoked JWTs of a subject or an issuer, or proofs of a discharger's subject.
    Jwts(RevokedJwts),
    /// A decided request for an approval.
    Request(RequestEntry),
    /// The name of an app.
    AppName(AppId),
    /// The name of an org.
    OrgName(OrgId),
}

/// How long a revocation is kept after what it refuses has ended, or after it was made, in seconds.
const KEPT: i64 = 31 * 24 * 60 * 60;
/// Longest `renewal_life` of an app, in seconds. Renewals of a boot may outlive its proof by that.
pub(crate) const LONGEST_RENEWAL: u64 = 30 * 24 * 60 * 60;

impl ControlEntry {
    /// When what a revocation refuses has ended, if the revocation need not be kept at `now`. Both in Unix seconds.
    pub(crate) fn ended(&self, now: i64) -> Option<i64> {
        let seconds = |millis: u64| i64::try_from(millis / 1000).unwrap_or(i64::MAX);
        let renewed = |time: i64| time.saturating_add_unsigned(LONGEST_RENEWAL);
        let (made, end) = match self {
            Self::Token(TokenEntry { is_revoked: true, ends, at, signing_key: None }) => {
                (seconds(*at), *ends)
            }
            Self::Jwt(RevokedAt { at }) => (seconds(*at), renewed(seconds(*at))),
            Self::Jwts(RevokedJwts { before, at }) => (seconds(*at), renewed(seconds(*at).max(*before))),
            Self::Request(RequestEntry { ends, at, .. }) => (seconds(*at), *ends),
            _ => return None,
        };
        (made.max(end).saturating_add(KEPT) < now).then_some(end)
    }
}

macro_rules! typed {
    ($($variant:ident($name:ident)),* $(,)?) => {
        $(
            impl From<$name> for ControlEntry {
                fn from(entry: $name) -> Self {
                    Self::$variant(entry)
                }
            }

            impl TryFrom<ControlEntry> for $name {
                type Error = ();

                fn try_from(entry: ControlEntry) -> Result<Self, ()> {
                    match entry {
                        ControlEntry::$variant(entry) => Ok(entry),
                        _ => Err(()),
                    }
                }
            }
        )*
    };
}

typed! {
    App(AppEntry),
    Org(OrgEntry),
    SigningKey(SigningKeyEntry),
    Token(TokenEntry),
    Jwts(RevokedJwts),
    Request(RequestEntry),
}

/// An app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppEntry {
    /// The row version of its head at the last change that took something away; a lower head was put back.
    pub(crate) floor: u64,
    /// If it was deleted, the version of the keyring that wrapped its KEKs: its rows, if there are any, were put back.
    pub(crate) deleted_at_keyring: Option<u32>,
    /// How many of its Machines were revoked.
    #[serde(default)]
    pub(crate) machines: u32,
}

impl AppEntry {
    /// Whether it was deleted.
    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted_at_keyring.is_some()
    }
}

/// An org.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrgEntry {
    /// Whether it was deleted.
    pub(crate) is_deleted: bool,
    /// Whether rules that allow boots or reads need a second person.
    pub(crate) is_guarded: bool,
    /// Its signing keys, oldest first.
    pub(crate) keys: SigningKeys,
    /// How many apps it has.
    pub(crate) apps: u64,
}

/// The signing keys of an org or of the platform, oldest first. The newest signs new tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SigningKeys(pub(crate) Vec<SigningKeyId>);

impl SigningKeys {
    /// The key that signs new tokens.
    pub(crate) fn current(&self) -> Option<SigningKeyId> {
        self.0.last().copied()
    }
}

/// A signing key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SigningKeyEntry {
    /// Its org; `None` for the platform.
    pub(crate) org: Option<OrgId>,
    /// The version of its row that the newest change names; 0 once it was destroyed.
    pub(crate) version: u64,
    /// Whether it was revoked.
    pub(crate) is_revoked: bool,
}

/// A token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenEntry {
    /// Whether it, and with it all tokens minted from it, was revoked.
    pub(crate) is_revoked: bool,
    /// If it was revoked: when it and all that comes of it has ended, in Unix seconds.
    pub(crate) ends: i64,
    /// When it was revoked, in Unix milliseconds.
    pub(crate) at: u64,
    /// The signing key that has this id in lineages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signing_key: Option<SigningKeyId>,
}

/// When something was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokedAt {
    /// Unix milliseconds.
    pub(crate) at: u64,
}

/// JWTs that were revoked together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokedJwts {
    /// Those issued before this time, in Unix seconds; a later revocation with an earlier time restores nothing.
    pub(crate) before: i64,
    /// When the newest of these revocations was made, in Unix milliseconds.
    pub(crate) at: u64,
}

impl Default for RevokedJwts {
    /// None: no time is before the first.
    fn default() -> Self {
        Self { before: i64::MIN, at: 0 }
    }
}

/// A request for an approval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestEntry {
    /// Whether it was approved; `None` before a decision.
    pub(crate) approved: Option<bool>,
    /// When it ends, in Unix seconds.
    pub(crate) ends: i64,
    /// When it was decided, in Unix milliseconds.
    pub(crate) at: u64,
}

impl RequestEntry {
    /// Whether it is a decision that a row lacks which is `approved`, denied or undecided.
    pub(crate) fn is_after(&self, approved: Option<bool>) -> bool {
        matches!((self.approved, approved), (Some(_), None) | (Some(false), Some(true)))
    }
}

/// A page of entries. Id: the child numbers on the way to it from the top page, a byte each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Page {
    /// Entries, in the order of their keys.
    Leaf(Vec<(EntryKey, ControlEntry)>),
    /// Pages below this one; `None` where there is no entry.
    Branch(Box<[Option<PageRef>; FAN_OUT]>),
}

impl Content for Page {
    const KIND: RecordKind = RecordKind::ControlPage;
    type Id = Vec<u8>;
}

/// A page, as the page above it or the feed's head names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageRef {
    /// The MAC of its row.
    #[serde(serialize_with = "to_base64", deserialize_with = "bytes_32")]
    pub(crate) mac: [u8; 32],
    /// Entries in it and below it.
    pub(crate) entries: u64,
}

/// What every node keeps in memory. Id: empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Directory {
    /// The platform's signing keys.
    pub(crate) platform_keys: SigningKeys,
    /// Those that were destroyed: tokens that were minted from theirs still come of the platform.
    pub(crate) past_platform_keys: SigningKeys,
    /// The registered issuers, each with the version of its row.
    pub(crate) issuers: BTreeMap<IssuerId, u64>,
    /// The registered dischargers by id, hex, each with the version of its row.
    pub(crate) dischargers: BTreeMap<String, u64>,
    /// The keyring.
    pub(crate) keyring: KeyringVersions,
    /// The version of the store's own row.
    pub(crate) store: u64,
    /// When the last of what dropped entries refused ended, in Unix seconds. For no node is it earlier than that.
    pub(crate) ended: i64,
}

impl Content for Directory {
    const KIND: RecordKind = RecordKind::ControlDirectory;
    type Id = ();
}

/// The versions of the keyring. No change names version 1 of a new installation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyringVersions {
    /// The version that wraps; `None` = 1.
    pub(crate) current: Option<u32>,
    /// All lower versions were destroyed.
    pub(crate) lowest: u32,
    /// Versions above `lowest` that were destroyed.
    pub(crate) destroyed: BTreeSet<u32>,
}

impl KeyringVersions {
    /// Whether a version was destroyed.
    pub(crate) fn is_destroyed(&self, version: u32) -> bool {
        version < self.lowest || self.destroyed.contains(&version)
    }

    /// The versions that wrap something or may; none before the first change that names one.
    pub(crate) fn live(&self) -> impl Iterator<Item = u32> {
        let current = self.current.unwrap_or_default();
        (self.lowest.max(1)..=current).filter(|version| !self.is_destroyed(*version))
    }

    pub(crate) fn destroy(&mut self, version: u32) {
        self.lowest = self.lowest.max(1);
        self.destroyed.insert(version);
        while self.destroyed.remove(&self.lowest) {
            self.lowest = self.lowest.saturating_add(1);
        }
    }
}

fn to_base64<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64.encode(bytes))
}

fn bytes_32<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let bytes = super::base64::deserialize(deserializer)?;
    bytes.try_into().map_err(|_| D::Error::custom("it does not have 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_key_cannot_be_shifted_into_each_other() {
        assert_ne!(EntryKey::jwt("ab", "c"), EntryKey::jwt("a", "bc"));
        assert_ne!(EntryKey::jwt("a", "b"), EntryKey::jwt_subject("a", "b"));
        assert_ne!(EntryKey::jwt_subject("a", ""), EntryKey::jwt_issuer("a"));
    }

    #[test]
    fn a_key_chooses_a_child_by_four_bits_at_each_depth() {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&[0xa1, 0x2f]);
        let key = EntryKey(bytes);
        assert_eq!([0, 1, 2, 3, 63, 64].map(|depth| key.child(depth)), [10, 1, 2, 15, 0, 0]);
    }

    #[test]
    fn destroyed_versions_are_kept_as_a_bound_as_far_as_they_are_contiguous() {
        let mut versions = KeyringVersions::default();
        versions.destroy(3);
        assert_eq!((versions.lowest, versions.destroyed.len()), (1, 1));
        versions.destroy(1);
        assert_eq!((versions.lowest, versions.destroyed.len()), (2, 1));
        versions.destroy(2);
        assert_eq!((versions.lowest, versions.destroyed.len()), (4, 0));
        assert_eq!([1, 2, 3, 4].map(|version| versions.is_destroyed(version)), [true, true, true, false]);
    }
}
