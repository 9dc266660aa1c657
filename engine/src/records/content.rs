//! The contents of rows. Every struct refuses unknown fields. Wrapped keys are base64 text.

use std::collections::BTreeMap;

use petsem_api::{
    AppId, AppName, AppSettings, ApprovalId, BootClaims, HostId, IssuerId, MachineId, OrgId, OrgName, OrgRef,
    SecretKeyName, SecretKeyType, SigningKeyId, StoreId, TokenKind, TokenUuid,
};
use petsem_store::RecordKind;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Content;
use super::base64;
use super::control::{EntryKey, PageRef};

macro_rules! content {
    ($($name:ident = $kind:ident of $id:ty),* $(,)?) => {
        $(impl Content for $name {
            const KIND: RecordKind = RecordKind::$kind;
            type Id = $id;
        })*
    };
}

content! {
    StoreRow = Store of (),
    SealRow = Seal of [u8; 16],
    KeyringKeyRow = KeyringKey of u32,
    OrgRow = Org of OrgId,
    OrgNameRow = OrgName of Vec<u8>,
    AppHead = AppHead of AppId,
    AppNameRow = AppName of Vec<u8>,
    OrgAppRow = OrgApp of (OrgId, AppId),
    PolicyRow = Policy of AppId,
    SecretKeysRow = SecretKeys of AppId,
    IssuerRow = Issuer of IssuerId,
    DischargerRow = Discharger of [u8; 16],
    SigningKeyRow = SigningKey of SigningKeyId,
    TokenRow = Token of TokenUuid,
    NodeRow = Node of [u8; 16],
    FeedHeadRow = FeedHead of (),
    AppRotationRow = AppRotation of AppId,
}

/// The installation. Id: empty.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreRow {
    /// The store's id: in the AAD of every wrap.
    pub(crate) store: StoreId,
    /// Increases with every restore.
    pub(crate) epoch: u64,
    /// Version of the root key.
    pub(crate) root_version: u32,
    /// Version of the keyring that wraps new keys.
    pub(crate) keyring_version: u32,
    /// The row-MAC key under the keyring.
    #[serde(with = "base64")]
    pub(crate) row_mac_key: Vec<u8>,
    /// The ids of the seals, hex: so a removed or restored seal is detected.
    pub(crate) seals: Vec<String>,
    /// Whether `petsem dev` created it, whose keys are in files.
    pub(crate) development: bool,
    /// The replacement of all keys that has begun and is not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replacement: Option<ReplacementRow>,
    /// Unix milliseconds.
    pub(crate) created_at: u64,
}

/// A replacement of all keys. While the store's row has it, no server starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplacementRow {
    /// What it follows.
    pub(crate) cause: ReplacementCause,
    /// The version of the keyring when it began. What this version or an older one wraps is to be replaced.
    pub(crate) keyring_version: u32,
    /// The row-MAC key from before under the keyring's new version; empty unless rows have MACs by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "base64")]
    pub(crate) old_row_mac_key: Vec<u8>,
    /// The outside dischargers whose keys were deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) dischargers: Vec<EndedDischargerRow>,
}

/// Why all keys are replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ReplacementCause {
    /// A seal was removed because others may have it.
    Seal {
        /// Its id, hex.
        id: String,
        /// Which one it was, for people.
        description: String,
    },
    /// An older copy of the store was accepted. Others may have what the lost store signed and wrote.
    Rollback {
        /// The last line of the audit log that the store is not behind.
        after_line: u64,
        /// The last line of the log.
        last_line: u64,
        /// The number of the last control change before the lost ones.
        after_change: u64,
    },
}

/// An outside discharger whose key was deleted by a replacement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndedDischargerRow {
    /// Its location.
    pub(crate) location: String,
    /// Its org; `None` for the platform.
    pub(crate) org: Option<OrgRef>,
}

/// A seal's wrap of the root key. Id: the seal's 16 random bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealRow {
    /// `key-file` and so on.
    pub(crate) kind: String,
    /// Which one, for people.
    pub(crate) description: String,
    /// The root key under the seal.
    #[serde(with = "base64")]
    pub(crate) wrapped_root: Vec<u8>,
    /// Unix milliseconds.
    pub(crate) created_at: u64,
    /// When it last opened the store, in Unix milliseconds; `None` if it never has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) verified_at: Option<u64>,
}

/// One version of the keyring. Id: the version, u32 BE.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyringKeyRow {
    /// The key under the root key.
    #[serde(with = "base64")]
    pub(crate) wrapped: Vec<u8>,
    /// Unix milliseconds.
    pub(crate) created_at: u64,
}

/// An org. Id: the org's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrgRow {
    /// Its label.
    pub(crate) name: OrgName,
    /// Unix milliseconds.
    pub(crate) created_at: u64,
}

/// A label of an org. Id: the label.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrgNameRow {
    /// The org that has it.
    pub(crate) org: OrgId,
}

/// The head of an app, which names the versions of its other rows. Id: the app's id.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppHead {
    /// The org that owns it.
    pub(crate) org: OrgId,
    /// Its label.
    pub(crate) name: AppName,
    /// Always `live`: a deleted app has no row.
    pub(crate) state: AppState,
    /// Its app version; 0 before the first secret.
    pub(crate) app_version: u64,
    /// The id of the DEK that encrypts its bundle, in hex; none at version 0. A DEK encrypts one message, so the id
    /// names exactly one bundle; the AEAD binds the bundle to it.
    pub(crate) bundle_dek: Option<String>,
    /// Row version of its policy; 0 = none.
    pub(crate) policy_version: u64,
    /// Row version of its secret keys; 0 = none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) secret_keys_version: u64,
    /// Version of the KEK that seals new data.
    pub(crate) kek_version: u32,
    /// Its KEKs under the keyring.
    pub(crate) keks: Vec<KekRow>,
    /// The digest key under the KEK.
    #[serde(with = "base64")]
    pub(crate) digest_key: Vec<u8>,
    /// The first app version of each epoch: `(epoch, first app version)`.
    pub(crate) epochs: Vec<(u64, u64)>,
    /// The owner's settings.
    pub(crate) settings: AppSettings,
    /// Unix milliseconds.
    pub(crate) created_at: u64,
}

impl AppHead {
    /// The epoch in which an app version was written.
    pub(crate) fn epoch_of(&self, app_version: u64) -> Option<u64> {
        self.epochs.iter().rev().find(|(_, first)| *first <= app_version).map(|(epoch, _)| *epoch)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(version: &u64) -> bool {
    *version == 0
}

/// The state of an app. Always `live`: a deleted app has no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AppState {
    /// In use.
    Live,
}

/// One version of an app's KEK.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KekRow {
    /// Its version.
    pub(crate) version: u32,
    /// The KEK under the keyring.
    #[serde(with = "base64")]
    pub(crate) wrapped: Vec<u8>,
}

/// A rotation of an app's KEK that is in progress. Id: the app's id. The head and the values show its progress; this
/// row lets a start find it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppRotationRow {
    /// Whether values get new DEKs, or only new wraps of their DEKs.
    pub(crate) rewrite: bool,
    /// The requester.
    pub(crate) author: String,
    /// Unix milliseconds.
    pub(crate) started_at: u64,
}

/// An app's secret keys. Id: the app's id. The app head names the row version, so that no key can be dropped, swapped
/// or restored alone.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretKeysRow {
    /// By label.
    pub(crate) keys: BTreeMap<SecretKeyName, SecretKeyRow>,
}

/// One secret key of an app.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretKeyRow {
    /// Its 16 random bytes, base64: in the AAD of its wrap. A key that is set again gets a new id.
    #[serde(with = "base64")]
    pub(crate) id: Vec<u8>,
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) kind: SecretKeyType,
    /// Its material under the app's KEK.
    #[serde(with = "base64")]
    pub(crate) wrapped: Vec<u8>,
    /// Its public key, base64; empty if the type has none.
    #[serde(with = "base64")]
    pub(crate) public_key: Vec<u8>,
    /// Unix milliseconds.
    pub(crate) created_at: u64,
    /// The app version that set it.
    pub(crate) set_in_version: u64,
    /// Who generated or imported it.
    pub(crate) author: String,
}

/// A label of an app. Id: the label.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppNameRow {
    /// The app that has it.
    pub(crate) app: AppId,
}

/// An app of an org. Id: org id, app id.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrgAppRow {}

/// An app's policy. Id: the app's id. The app head names the row version.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyRow {
    /// The rules, as `petsem_policy::AppPolicy` reads them.
    pub(crate) policy: Box<RawValue>,
    /// The author.
    pub(crate) author: String,
    /// Unix milliseconds.
    pub(crate) at: u64,
}

/// A registered issuer of JWTs. Id: the issuer's id.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssuerRow {
    /// The exact `iss`.
    pub(crate) issuer: String,
    /// Its algorithms.
    pub(crate) algorithms: Vec<String>,
    /// Its public keys, a JWK set, if they were registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keys: Option<serde_json::Value>,
    /// The URL of its keys, if that was registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) jwks_url: Option<String>,
    /// Whether the URL of its keys comes from its discovery document.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) discovery: bool,
    /// The longest life of its JWTs, in seconds; 900 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) longest_life_seconds: Option<u32>,
    /// The longest life of its JWTs that prove boots, in seconds; 300 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) longest_boot_life_seconds: Option<u32>,
    /// Its audiences besides this installation's name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) audiences: Vec<String>,
    /// The claim that is the audience, if not `aud`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) audience_claim: Option<String>,
    /// The accepted `typ`s; the default ones if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) types: Vec<String>,
    /// The claims that name the app and the Machine of a boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) boot_claims: Option<BootClaims>,
    /// Whether `petsem dev` registered it: `petsem server` then refuses the store.
    pub(crate) development: bool,
    /// Unix milliseconds.
    pub(crate) created_at: u64,
}

/// A registered discharger. Id: 16 random bytes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DischargerRow {
    /// Its location.
    pub(crate) location: String,
    /// The org that it belongs to; `None` for the platform.
    pub(crate) org: Option<OrgId>,
    /// The shared key under the keyring.
    #[serde(with = "base64")]
    pub(crate) wrapped: Vec<u8>,
    /// Unix milliseconds.
    pub(crate) created_at: u64,
}

/// A signing key. Id: its 16 random bytes, the KID of its tokens.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SigningKeyRow {
    /// The org that it belongs to; `None` for the platform.
    pub(crate) org: Option<OrgId>,
    /// The key under the keyring.
    #[serde(with = "base64")]
    pub(crate) wrapped: Vec<u8>,
    /// Unix milliseconds.
    pub(crate) created_at: u64,
}

/// The description of a minted token, without the token. Id: the token's id.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRow {
    /// Its kind.
    pub(crate) kind: TokenKind,
    /// The org of its signing key; `None` for the platform.
    pub(crate) org: Option<OrgId>,
    /// The key that signed it.
    pub(crate) key: SigningKeyId,
    /// Its holder.
    pub(crate) subject: String,
    /// The tokens that it was minted from, nearest first.
    pub(crate) ancestors: Vec<TokenUuid>,
    /// Its caveats as text.
    pub(crate) caveats: Vec<String>,
    /// Unix milliseconds.
    pub(crate) created_at: u64,
    /// Unix seconds.
    pub(crate) expires_at: i64,
}

/// A node. Id: the node's 16 random bytes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeRow {
    /// Its name, for people.
    pub(crate) name: String,
    /// Which of its chains is current.
    pub(crate) chain: ChainRow,
    /// The first audit MAC key under the keyring.
    #[serde(with = "base64")]
    pub(crate) audit_mac_key: Vec<u8>,
    /// The checkpoint signing key under the keyring.
    #[serde(with = "base64")]
    pub(crate) audit_signing_key: Vec<u8>,
    /// The public half, base64.
    #[serde(with = "base64")]
    pub(crate) audit_public_key: Vec<u8>,
    /// Its newest audit checkpoint; in the row of the keys, so that it cannot be removed alone.
    pub(crate) checkpoint: Option<CheckpointRow>,
    /// Unix milliseconds.
    pub(crate) created_at: u64,
}

/// A chain of a node's audit log. A node whose log was lost, and the loss accepted, or whose audit keys were replaced,
/// continues with a new one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChainRow {
    /// Which chain of the node, from 1.
    pub(crate) number: u64,
    /// The end of the chain before it, as far as the store knew it; `None` for the first chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<ChainEndRow>,
}

/// The last line of a chain that the store knew when the loss of the log was accepted, or its keys were replaced.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChainEndRow {
    /// Its number.
    pub(crate) line: u64,
    /// Its chain, hex.
    pub(crate) head: String,
    /// The highest number of its files.
    pub(crate) segment: u64,
}

/// A node's newest audit checkpoint, with which verification at start begins.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckpointRow {
    /// How many signed checkpoints the log has, this one included.
    pub(crate) number: u64,
    /// The last line before it.
    pub(crate) line: u64,
    /// The chain of that line, hex.
    pub(crate) head: String,
    /// Ed25519 over the checkpoint's message, hex.
    pub(crate) signature: Option<String>,
    /// Number of the log's file that holds it.
    pub(crate) segment: u64,
    /// Where its line begins in that file, in bytes.
    pub(crate) offset: u64,
    /// The audit MAC key of the lines after it under the keyring.
    #[serde(with = "base64")]
    pub(crate) audit_ratchet_key: Vec<u8>,
}

/// The end of the control feed, and the root of what its changes add up to. Id: empty.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeedHeadRow {
    /// The store.
    pub(crate) store: StoreId,
    /// Number of the last change.
    pub(crate) number: u64,
    /// Its MAC, hex.
    pub(crate) mac: String,
    /// The MAC of the directory's row, hex.
    pub(crate) directory: String,
    /// The top page; `None` if there is no entry.
    pub(crate) pages: Option<PageRef>,
}

/// One control change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum FeedRow {
    /// A token and all its descendants are refused from now on.
    TokenRevoked {
        /// The token.
        token: TokenUuid,
        /// When it and all that comes of it has ended, in Unix seconds.
        ends: i64,
        /// Unix milliseconds.
        at: u64,
    },
    /// All tokens of a signing key and all their descendants are refused from now on.
    SigningKeyRevoked {
        /// The key.
        key: SigningKeyId,
        /// Unix milliseconds.
        at: u64,
    },
    /// One JWT, and everything derived from it, is refused.
    JwtRevoked {
        /// The exact `iss`.
        issuer: String,
        /// The exact `jti`.
        jti: String,
        /// Unix milliseconds.
        at: u64,
    },
    /// A subject's JWTs that were issued before a time, and everything derived from them, are refused.
    JwtSubjectRevoked {
        /// The exact `iss`.
        issuer: String,
        /// The exact `sub`; empty = none.
        sub: String,
        /// Unix seconds.
        before: i64,
        /// Unix milliseconds.
        at: u64,
    },
    /// The boots that an outside discharger proved for a subject before a time, and their renewals, are refused.
    DischargerSubjectRevoked {
        /// The discharger's location.
        discharger: String,
        /// The exact subject.
        sub: String,
        /// Unix seconds.
        before: i64,
        /// Unix milliseconds.
        at: u64,
    },
    /// All JWTs of an issuer that were issued before a time, and everything derived from them, are refused.
    JwtIssuerRevoked {
        /// The exact `iss`.
        issuer: String,
        /// Unix seconds.
        before: i64,
        /// Unix milliseconds.
        at: u64,
    },
    /// A Machine may no longer boot on any host.
    MachineRevoked {
        /// Its app.
        app: AppId,
        /// The Machine.
        machine: MachineId,
        /// Unix milliseconds.
        at: u64,
    },
    /// No Machine may boot on a host any more.
    HostRevoked {
        /// The host.
        host: HostId,
        /// Unix milliseconds.
        at: u64,
    },
    /// A change took something away from an app: a lower version of its head is refused from now on.
    FloorSet {
        /// The app.
        app: AppId,
        /// The version of the head's row.
        version: u64,
        /// Unix milliseconds.
        at: u64,
    },
    /// An app was created: no other has its name now.
    AppCreated {
        /// The app.
        app: AppId,
        /// Its org.
        org: OrgId,
        /// Its name.
        name: AppName,
        /// Unix milliseconds.
        at: u64,
    },
    /// An app was deleted with its KEKs.
    AppDeleted {
        /// The app.
        app: AppId,
        /// Its org.
        org: OrgId,
        /// Its name.
        name: AppName,
        /// Unix milliseconds.
        at: u64,
    },
    /// An org was created: no other has its name now.
    OrgCreated {
        /// The org.
        org: OrgId,
        /// Its name.
        name: OrgName,
        /// Unix milliseconds.
        at: u64,
    },
    /// An org was deleted.
    OrgDeleted {
        /// The org.
        org: OrgId,
        /// Its name.
        name: OrgName,
        /// Unix milliseconds.
        at: u64,
    },
    /// An org's guard changed: whether rules that allow boots or reads need a second person.
    OrgGuardSet {
        /// The org.
        org: OrgId,
        /// Whether they need one.
        on: bool,
        /// Unix milliseconds.
        at: u64,
    },
    /// A request for an approval was decided: rows from before count no more.
    RequestDecided {
        /// The request.
        request: ApprovalId,
        /// Whether it was approved. A denial may follow an approval.
        approved: bool,
        /// When the request ends, in Unix seconds.
        ends: i64,
        /// Unix milliseconds.
        at: u64,
    },
    /// An issuer's row has a new version.
    IssuerSet {
        /// The issuer.
        issuer: IssuerId,
        /// The row's version.
        version: u64,
        /// Unix milliseconds.
        at: u64,
    },
    /// An issuer was deleted.
    IssuerDeleted {
        /// The issuer.
        issuer: IssuerId,
        /// Unix milliseconds.
        at: u64,
    },
    /// A discharger's row has a new version.
    DischargerSet {
        /// Its id, hex.
        discharger: String,
        /// The row's version.
        version: u64,
        /// Unix milliseconds.
        at: u64,
    },
    /// A discharger was deleted.
    DischargerDeleted {
        /// Its id, hex.
        discharger: String,
        /// Unix milliseconds.
        at: u64,
    },
    /// A signing key's row has a new version.
    SigningKeySet {
        /// Its id, hex.
        key: String,
        /// The org that it belongs to; `None` for the platform.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        org: Option<OrgId>,
        /// The row's version.
        version: u64,
        /// Unix milliseconds.
        at: u64,
    },
    /// A signing key was destroyed: no token that it signed is valid any more.
    SigningKeyDestroyed {
        /// The key.
        key: SigningKeyId,
        /// Unix milliseconds.
        at: u64,
    },
    /// Entries that refuse nothing any more were dropped.
    Dropped {
        /// The entries.
        keys: Vec<EntryKey>,
        /// When the last of what they refused ended, in Unix seconds.
        ended: i64,
        /// Unix milliseconds.
        at: u64,
    },
    /// The store's own row, which names the seals, has a new version: a lower one is refused from now on.
    StoreSet {
        /// The row's version.
        version: u64,
        /// Unix milliseconds.
        at: u64,
    },
    /// This version of the keyring wraps from now on.
    KeyringSet {
        /// The version.
        version: u32,
        /// Unix milliseconds.
        at: u64,
    },
    /// A version of the keyring was destroyed: it no longer wraps anything.
    KeyringDestroyed {
        /// The version.
        version: u32,
        /// Unix milliseconds.
        at: u64,
    },
}
