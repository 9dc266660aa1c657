//! The rows. Contents, wrapped keys and MACs are bytes that this crate stores and never opens.

use std::fmt;

use crate::cursor::Cursor;
use petsem_api::{AppId, RequestId, SecretName};

/// The subject of a decision row. The numbers are on disk and in row MACs: they never change and are never
/// reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum RecordKind {
    /// The installation itself: one row. A store without it is empty.
    Store = 1,
    /// A seal's wrap of the root key.
    Seal = 2,
    /// One version of the keyring, wrapped.
    KeyringKey = 3,
    /// An org, by its id.
    Org = 4,
    /// An org's name → its id.
    OrgName = 5,
    /// An app's head, by its id: the other rows of the app depend on it.
    AppHead = 6,
    /// An app's name → its id.
    AppName = 7,
    /// The apps of an org: id is org id, then app id.
    OrgApp = 8,
    /// An app's policy.
    Policy = 9,
    /// A registered issuer of JWTs.
    Issuer = 10,
    /// A registered discharger.
    Discharger = 11,
    /// A signing key, wrapped.
    SigningKey = 12,
    /// A minted token.
    Token = 13,
    /// One version of an app's KEK, wrapped: id is app id, then version.
    AppKek = 14,
    /// An audit key, wrapped.
    AuditKey = 15,
    /// A petsem node.
    Node = 16,
    /// An audit checkpoint.
    Checkpoint = 17,
    /// The head of the control feed.
    FeedHead = 18,
    /// A revocation.
    Revocation = 19,
    /// An app's secret keys, wrapped: one row for all of them.
    SecretKeys = 21,
    /// A request that a second person must approve.
    Approval = 22,
    /// A response that waits to be polled: id is the hash of its secret.
    PollEntry = 23,
    /// A rotation of an app's KEK in progress: id is the app's.
    AppRotation = 24,
    /// A page of the control state: id is its place in the tree of pages.
    ControlPage = 25,
    /// The part of the control state that every node keeps in memory: one row.
    ControlDirectory = 26,
}

impl RecordKind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; 25] = [
        Self::Store,
        Self::Seal,
        Self::KeyringKey,
        Self::Org,
        Self::OrgName,
        Self::AppHead,
        Self::AppName,
        Self::OrgApp,
        Self::Policy,
        Self::Issuer,
        Self::Discharger,
        Self::SigningKey,
        Self::Token,
        Self::AppKek,
        Self::AuditKey,
        Self::Node,
        Self::Checkpoint,
        Self::FeedHead,
        Self::Revocation,
        Self::SecretKeys,
        Self::Approval,
        Self::PollEntry,
        Self::AppRotation,
        Self::ControlPage,
        Self::ControlDirectory,
    ];

    /// The number on disk and in row MACs.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Store => "store",
            Self::Seal => "seal",
            Self::KeyringKey => "keyring key",
            Self::Org => "org",
            Self::OrgName => "org name",
            Self::AppHead => "app head",
            Self::AppName => "app name",
            Self::OrgApp => "app of an org",
            Self::Policy => "policy",
            Self::Issuer => "issuer",
            Self::Discharger => "discharger",
            Self::SigningKey => "signing key",
            Self::Token => "token",
            Self::AppKek => "app KEK",
            Self::AuditKey => "audit key",
            Self::Node => "node",
            Self::Checkpoint => "checkpoint",
            Self::FeedHead => "feed head",
            Self::Revocation => "revocation",
            Self::SecretKeys => "secret keys",
            Self::Approval => "approval",
            Self::PollEntry => "poll entry",
            Self::AppRotation => "app rotation",
            Self::ControlPage => "control page",
            Self::ControlDirectory => "control directory",
        })
    }
}

/// A decision row. Unverified until the reader has checked `mac` over kind, id, row version and content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The subject of the row.
    pub kind: RecordKind,
    /// The key within its kind: an id, a name, or two of them concatenated.
    pub id: Vec<u8>,
    /// Version of this row, from 1; what [`crate::Expect`] compares.
    pub row_version: u64,
    /// The content; opaque here.
    pub content: Vec<u8>,
    /// The server's MAC; opaque here.
    pub mac: Vec<u8>,
}

/// The current bundle of an app: all its secrets, sealed as one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleRow {
    /// The app; one row for each.
    pub app: AppId,
    /// The app version that the bundle holds.
    pub app_version: u64,
    /// The bundle's DEK under the app's KEK.
    pub wrapped_dek: Vec<u8>,
    /// The sealed bundle.
    pub ciphertext: Vec<u8>,
}

/// One value of one secret in the history, set by one app version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueRow {
    /// The app.
    pub app: AppId,
    /// The secret's name.
    pub name: SecretName,
    /// The app version that set it.
    pub app_version: u64,
    /// The value's DEK under the app's KEK.
    pub wrapped_dek: Vec<u8>,
    /// The sealed value.
    pub ciphertext: Vec<u8>,
}

/// One entry of the control feed. Numbers have no gaps and start at 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEntry {
    /// Its number in the feed.
    pub number: u64,
    /// The change; opaque here.
    pub content: Vec<u8>,
    /// The server's MAC, which also covers the previous entry; opaque here.
    pub mac: Vec<u8>,
}

/// What a read of an app returns besides its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppPart {
    /// Nothing else.
    Head,
    /// Its policy.
    Policy,
    /// Its current bundle.
    Bundle,
    /// What a boot needs: policy and bundle.
    Secrets,
    /// Its secret keys.
    SecretKeys,
}

/// The head of an app and a part of its rows, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppRows {
    /// The row of kind [`RecordKind::AppHead`].
    pub head: Record,
    /// The rows of the part that was asked for.
    pub part: PartRows,
}

/// The rows of an [`AppPart`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartRows {
    /// Nothing else.
    Head,
    /// The row of kind [`RecordKind::Policy`]; absent before the first policy is set.
    Policy(Option<Record>),
    /// The current bundle; absent before the first secret is set.
    Bundle(Option<BundleRow>),
    /// What a boot needs.
    Secrets {
        /// The row of kind [`RecordKind::Policy`]; absent before the first policy is set.
        policy: Option<Record>,
        /// The current bundle; absent before the first secret is set.
        bundle: Option<BundleRow>,
    },
    /// The row of kind [`RecordKind::SecretKeys`]; absent before the first key is set.
    SecretKeys(Option<Record>),
}

/// The app with a name, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedApp {
    /// The row of kind [`RecordKind::AppName`].
    pub name: Record,
    /// The app that the caller read from it; absent if the caller read none or its head does not exist.
    pub app: Option<AppRows>,
}

/// App heads that were written after a cursor, oldest first; of an app that was written more than once, the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedApps {
    /// Rows of kind [`RecordKind::AppHead`]. A deleted app has none: the control feed names it.
    pub heads: Vec<Record>,
    /// The place after them.
    pub next: Cursor,
}

/// A committed change whose audit line may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnauditedChange {
    /// The revision of the change.
    pub revision: u64,
    /// The request that made it.
    pub request_id: RequestId,
    /// The audit line, as in [`crate::RequestAudit`].
    pub line: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are on disk and in MACs: this list may only grow.
    #[test]
    fn kinds_keep_their_numbers() {
        let numbers: Vec<u8> = RecordKind::ALL.iter().map(|kind| kind.number()).collect();
        assert_eq!(numbers, (1..=19).chain(21..=26).collect::<Vec<u8>>());
        assert_eq!(RecordKind::AppHead.number(), 6);
        assert_eq!(RecordKind::Revocation.number(), 19);
        assert_eq!(RecordKind::PollEntry.number(), 23);
        assert_eq!(RecordKind::AppRotation.number(), 24);
        assert_eq!(RecordKind::ControlDirectory.number(), 26);
    }
}
