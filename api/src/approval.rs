//! What needs a second person: break-glass, dischargers, issuers, guarded policies; and who may say yes.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::id::{AppId, ApprovalId, OrgId, TokenUuid};
use crate::name::OrgRef;

/// `POST /v1/apps/{app}/break-glass`: ask to read the values of one app, for at most an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskBreakGlass {
    /// Why, for whoever approves and for the audit log; 1 to 512 bytes.
    pub reason: String,
    /// How long from now, in seconds: approval and reading must both come before. Default 1800, at most 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
}

/// A break-glass token, answered once. Without the discharge that follows the approval it opens nothing.
#[derive(Serialize, Deserialize)]
pub struct BreakGlassToken {
    /// The request that a second person approves.
    pub request: ApprovalId,
    /// The token's id: the handle for listing and revoking.
    pub id: TokenUuid,
    /// The token's text, `fm2_…`. It is not kept.
    pub token: String,
    /// The end of request and token, RFC 3339.
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

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalKind {
    /// Reading the values of an app.
    BreakGlass,
    /// Registering an outside discharger.
    Discharger,
    /// Registering an issuer of JWTs.
    Issuer,
    /// Setting an app's policy in an org that guards them.
    Policy,
    /// Ending the guard of an org's policies.
    GuardOff,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// It waits for a second person.
    Open,
    /// A second person said yes.
    Approved,
    /// Somebody said no, also after an approval.
    Denied,
    /// Its time is over.
    Expired,
}

/// A request that needs a second person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Its id: what `petsem approve` takes.
    pub id: ApprovalId,
    /// What is asked for.
    pub kind: ApprovalKind,
    /// The same in words.
    pub summary: String,
    /// The org that it is about; none = the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgId>,
    /// The app that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppId>,
    /// Who asked.
    pub asker: String,
    /// Why, in the asker's words.
    pub reason: String,
    /// How far it has come.
    pub state: ApprovalState,
    /// Who approved or denied it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// When it was asked, RFC 3339.
    pub asked_at: String,
    /// Until when it can be approved; of break-glass also the end of reading. RFC 3339.
    pub ends_at: String,
    /// What would be set, an app's rules or an issuer's registration: where one request is asked about, not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<serde_json::Value>,
}

/// `GET /v1/approvals`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalList {
    /// Those that the caller could approve or has asked for, oldest first.
    pub approvals: Vec<Approval>,
}

/// `POST /v1/dischargers`: register a key that is shared with an outside discharger.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutDischarger {
    /// The location that its tickets and discharges carry.
    pub location: String,
    /// The org that it speaks for; none = the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgRef>,
    /// The shared key: 32 bytes, standard base64.
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discharger {
    /// Its id, 32 hex digits. Each key of a location has its own.
    pub id: String,
    /// Its location.
    pub location: String,
    /// The org that it speaks for; none = the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgId>,
    /// Whether it is this installation itself.
    pub own: bool,
}

/// `GET /v1/dischargers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DischargerList {
    /// Those of the platform and of orgs, by location.
    pub dischargers: Vec<Discharger>,
}

/// `PUT /v1/orgs/{org}/guard`: whether rules that let boot or read need a second person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrgGuard {
    /// Whether they do. Switching it off needs a second person itself.
    pub guard_policies: bool,
}
