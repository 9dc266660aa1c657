//! Rows of requests that need a second person's approval.

use petsem_api::{AppId, ApprovalId, ChangeAppSettings, HostId, IssuerId, OrgId, PutIssuer, TokenUuid};
use petsem_store::RecordKind;
use serde::{Deserialize, Serialize};

use super::Content;
use super::base64;
use super::content::DischargerRow;

impl Content for ApprovalRow {
    const KIND: RecordKind = RecordKind::Approval;
    type Id = ApprovalId;
}

impl Content for PollRow {
    const KIND: RecordKind = RecordKind::PollEntry;
    type Id = [u8; 32];
}

/// A request for an approval. Id: the request's id.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalRow {
    /// The change that takes effect when a second person approves it.
    #[serde(rename = "asked")]
    pub(crate) change: ProtectedChange,
    /// The change as text.
    pub(crate) summary: String,
    /// The org that it concerns; `None` for the platform.
    pub(crate) org: Option<OrgId>,
    /// The app that it concerns.
    pub(crate) app: Option<AppId>,
    /// The requester.
    #[serde(rename = "asker")]
    pub(crate) requester: String,
    /// The requester, and the holders of all tokens that its token was minted from: none of them may approve.
    pub(crate) people: Vec<String>,
    /// The requester's token and those that it was minted from: if one is revoked, the request is void.
    pub(crate) tokens: Vec<TokenUuid>,
    /// Why.
    pub(crate) reason: String,
    /// Unix milliseconds.
    #[serde(rename = "asked_at")]
    pub(crate) requested_at: u64,
    /// Unix seconds, inclusive.
    pub(crate) ends_at: i64,
    /// The decision.
    pub(crate) decision: Option<Decision>,
}

impl ApprovalRow {
    /// Whether it was approved; `None` before a decision.
    pub(crate) fn approved(&self) -> Option<bool> {
        self.decision.as_ref().map(|decision| decision.approved)
    }
}

/// The requested change.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ProtectedChange {
    /// A discharge of this token's ticket.
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
        /// The SHA-256 of its key, hex.
        key_digest: String,
    },
    /// An issuer.
    Issuer(PutIssuer),
    /// A new registration of a registered issuer.
    IssuerChange {
        /// The issuer.
        id: IssuerId,
        /// The version that it replaces.
        expected_version: u64,
        /// The new registration.
        wanted: PutIssuer,
    },
    /// An app's policy.
    Policy {
        /// The rules.
        policy: serde_json::Value,
        /// The version that it replaces.
        expected_version: u64,
    },
    /// Settings of an app.
    Settings(ChangeAppSettings),
    /// The end of an org's guard.
    GuardOff {},
    /// Minting the tokens of hosts.
    Enrollment {
        /// The hosts, sorted.
        hosts: Vec<HostId>,
    },
}

impl ProtectedChange {
    /// Whether an approval stays in force until the request ends, and can be withdrawn; others complete a change.
    pub(crate) fn stays_in_force(&self) -> bool {
        matches!(self, Self::BreakGlass { .. } | Self::Enrollment { .. })
    }
}

/// The decision of a second person, or of the seal instead.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decision {
    /// Whether it is approved.
    pub(crate) approved: bool,
    /// The approver.
    pub(crate) by: String,
    /// The approver's token and those that it was minted from: if one is revoked, the decision is void.
    pub(crate) tokens: Vec<TokenUuid>,
    /// Unix milliseconds.
    pub(crate) at: u64,
}

/// A discharge that can be polled. Id: BLAKE2b-256 of its secret.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PollRow {
    /// The request whose approval it needs.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_request_keeps_the_names_of_its_fields() {
        let row = ApprovalRow {
            change: ProtectedChange::GuardOff {},
            summary: "s".to_owned(),
            org: None,
            app: None,
            requester: "r".to_owned(),
            people: Vec::new(),
            tokens: Vec::new(),
            reason: "why".to_owned(),
            requested_at: 1,
            ends_at: 2,
            decision: None,
        };
        let stored = r#"{"asked":{"guard_off":{}},"summary":"s","org":null,"app":null,"asker":"r","people":[],"tokens":[],"reason":"why","asked_at":1,"ends_at":2,"decision":null}"#;
        assert_eq!(serde_json::to_string(&row).unwrap(), stored);
    }
}
