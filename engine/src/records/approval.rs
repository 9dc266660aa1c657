//! Rows of what needs a second person.

use petsem_api::{AppId, ApprovalId, IssuerId, OrgId, PutIssuer, TokenUuid};
use petsem_store::RecordKind;
use serde::{Deserialize, Serialize};

use super::Content;
use super::content::{DischargerRow, base64};

impl Content for ApprovalRow {
    const KIND: RecordKind = RecordKind::Approval;
}

impl Content for PollRow {
    const KIND: RecordKind = RecordKind::PollEntry;
}

/// What somebody asked for. Id: the request's id.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalRow {
    /// What takes effect when a second person says yes.
    pub(crate) asked: ProtectedChange,
    /// The same in words.
    pub(crate) summary: String,
    /// The org that it is about; none = the platform.
    pub(crate) org: Option<OrgId>,
    /// The app that it is about.
    pub(crate) app: Option<AppId>,
    /// Who asked.
    pub(crate) asker: String,
    /// The asker, and the holders of all tokens that the asker's was minted from: none of them approves.
    pub(crate) people: Vec<String>,
    /// The asker's token and those that it was minted from: if one is revoked, nobody asked.
    pub(crate) tokens: Vec<TokenUuid>,
    /// Why.
    pub(crate) reason: String,
    /// Unix milliseconds.
    pub(crate) asked_at: u64,
    /// Unix seconds, inclusive.
    pub(crate) ends_at: i64,
    /// What was said.
    pub(crate) decision: Option<Decision>,
}

/// What a request asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ProtectedChange {
    /// That this token's ticket is discharged.
    BreakGlass {
        /// The token.
        token: TokenUuid,
    },
    /// A discharger, its key wrapped under this id.
    Discharger {
        /// Its id, hex.
        id: String,
        /// Its row.
        row: DischargerRow,
    },
    /// An issuer.
    Issuer(PutIssuer),
    /// Another registration of an issuer that is registered.
    IssuerChange {
        /// The issuer.
        id: IssuerId,
        /// The version that it replaces.
        expected_version: u64,
        /// What it shall be.
        wanted: PutIssuer,
    },
    /// An app's policy.
    Policy {
        /// The rules.
        policy: serde_json::Value,
        /// The version that it replaces.
        expected_version: u64,
    },
    /// The end of an org's guard.
    GuardOff {},
}

/// What a second person said, or the seal in their place.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decision {
    /// Yes or no.
    pub(crate) approved: bool,
    /// Who said it.
    pub(crate) by: String,
    /// Their token and those that it was minted from: if one is revoked, nobody said it.
    pub(crate) tokens: Vec<TokenUuid>,
    /// Unix milliseconds.
    pub(crate) at: u64,
}

/// A discharge that waits to be polled. Id: BLAKE2b-256 of its secret.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PollRow {
    /// What it waits for.
    pub(crate) request: ApprovalId,
    /// The entry's own key under the keyring.
    #[serde(with = "base64")]
    pub(crate) wrapped_key: Vec<u8>,
    /// The ticket under that key.
    #[serde(with = "base64")]
    pub(crate) sealed_ticket: Vec<u8>,
    /// Unix seconds, inclusive.
    pub(crate) ends_at: i64,
}
