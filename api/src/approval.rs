//! What needs a second person: break-glass, hosts, dischargers, issuers, guarded policies and settings.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroize;

use crate::id::{AppId, ApprovalId, OrgId, TokenUuid};
use crate::name::{HostId, OrgRef};
use crate::schema::{Base64Key, DischargerId, DischargerLocation, Reason, Timestamp, TokenText};

/// `POST /v1/apps/{app}/break-glass`: request to read the values of one app, for at most an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakGlassRequest {
    /// Why, for the approver and for the audit log: 1 to 512 bytes on one line.
    #[schema(value_type = Reason)]
    pub reason: String,
    /// Seconds from now. Approval and reading must both come before. Default 1800.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 3600, default = 1800)]
    pub expires_in: Option<u64>,
}

/// A break-glass token, shown once. It opens nothing without the discharge that follows the approval.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct BreakGlassToken {
    /// The request that a second person approves.
    pub request: ApprovalId,
    /// The id of the token, for listing and revoking.
    pub id: TokenUuid,
    /// The token as text, `fm2_…`. The server does not keep it.
    #[schema(value_type = TokenText)]
    pub token: String,
    /// When the request and the token expire.
    #[schema(value_type = Timestamp)]
    pub expires_at: String,
}

impl fmt::Debug for BreakGlassToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakGlassToken")
            .field("request", &self.request)
            .field("id", &self.id)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// What is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalKind {
    /// Reading the values of an app.
    BreakGlass,
    /// Registering an outside discharger.
    Discharger,
    /// Registering an issuer of JWTs.
    Issuer,
    /// Adding a rule to the policy of an app, in an org that guards its policies or with an operator's token.
    Policy,
    /// Changing settings of an app so that they give more: consent to a reserved name, or longer renewals.
    Settings,
    /// Ending the guard of the policies of an org.
    GuardOff,
    /// Minting the tokens of hosts.
    Enrollment,
}

/// `POST /v1/enrollments`: request to mint the tokens of hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrollmentRequest {
    /// The hosts.
    #[schema(min_items = 1, max_items = 256)]
    pub hosts: Vec<HostId>,
    /// Why, for the approver and for the audit log: 1 to 512 bytes on one line.
    #[schema(value_type = Reason)]
    pub reason: String,
}

/// The state of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// It waits for a second person.
    Open,
    /// A second person approved it.
    Approved,
    /// It was denied, possibly after an approval.
    Denied,
    /// It has expired.
    Expired,
}

/// `POST /v1/approvals/{id}/approve`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// The digest of the keys that are registered, as their owner gave it to the approver; absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub key_digest: Option<String>,
}

/// A request that needs a second person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Approval {
    /// The id of the request, for `petsem approve`.
    pub id: ApprovalId,
    /// What is requested.
    pub kind: ApprovalKind,
    /// The request in words.
    pub summary: String,
    /// The org; absent for the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub org: Option<OrgId>,
    /// The app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub app: Option<AppId>,
    /// The requester, and who minted its token, if others did: a minter chooses the name of a token's holder.
    #[serde(rename = "asker")]
    pub requester: String,
    /// Why, in the words of the requester.
    pub reason: String,
    /// Its state.
    pub state: ApprovalState,
    /// Whether it can no longer take effect although it is open: what it would change has changed since. Request again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outdated: bool,
    /// Who approved or denied it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub decided_by: Option<String>,
    /// When it was made.
    #[serde(rename = "asked_at")]
    #[schema(value_type = Timestamp)]
    pub requested_at: String,
    /// Until when it can be approved. Break-glass also ends then, and an enrollment's right to mint.
    #[schema(value_type = Timestamp)]
    pub ends_at: String,
    /// The digest of the keys that are registered; who approves repeats it. Of one key of an issuer: its thumbprint
    /// (RFC 7638). Of several: the SHA-256 of their thumbprints, sorted, one a line, in hex. Of a discharger's key: its
    /// SHA-256, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub key_digest: Option<String>,
    /// What would be set: the rules of an app, the registration of an issuer, or the hosts. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>)]
    pub wanted: Option<serde_json::Value>,
}

/// `GET /v1/approvals`: requests that need a second person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalList {
    /// The requests that the caller could approve or has made, oldest first.
    pub approvals: Vec<Approval>,
}

/// `POST /v1/dischargers`: a key that is shared with an outside discharger.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutDischarger {
    /// Its location.
    #[schema(value_type = DischargerLocation)]
    pub location: String,
    /// The org that it speaks for; absent for the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub org: Option<OrgRef>,
    /// The shared key.
    #[schema(value_type = Base64Key)]
    pub key: String,
}

impl Drop for PutDischarger {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for PutDischarger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PutDischarger")
            .field("location", &self.location)
            .field("org", &self.org)
            .finish_non_exhaustive()
    }
}

/// A registered discharger; never its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Discharger {
    /// The id of the discharger.
    #[schema(value_type = DischargerId)]
    pub id: String,
    /// Its location.
    pub location: String,
    /// The org that it speaks for; absent for the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub org: Option<OrgId>,
    /// Whether it is this installation itself.
    pub own: bool,
}

/// `GET /v1/dischargers`: the registered dischargers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DischargerList {
    /// The dischargers of the platform and of orgs, by location.
    pub dischargers: Vec<Discharger>,
}

/// `PUT /v1/orgs/{org}/guard`: whether rules that allow boots or reads need a second person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrgGuard {
    /// Whether they do. Ending the guard needs a second person itself.
    pub guard_policies: bool,
}
