//! Why was I denied? What each of the caller's tokens says to one request that is not made.

use serde::{Deserialize, Serialize};

use crate::id::TokenUuid;
use crate::name::{AppRef, HostId, MachineId, OrgRef, SecretKeyName, SecretName};

/// `POST /v1/tokens/explain`: the request to explain. What it does not name, it is not about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainToken {
    /// What it would do, such as `read_value`.
    pub action: String,
    /// The org that it would touch; an app's is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgRef>,
    /// The app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppRef>,
    /// The secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
    /// The secret key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<SecretKeyName>,
    /// The Machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineId>,
    /// The host that would ask; in a real request its listener says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
}

/// What the tokens say. They never add up: one alone has to allow the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Whether one of them allows it.
    pub allowed: bool,
    /// Each of them, in the order of the header.
    pub tokens: Vec<ExplainedToken>,
}

/// What one token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedToken {
    /// The token.
    pub id: TokenUuid,
    /// All that refuses; with all of it out of the way the token allows the request. Empty: it does.
    pub refusals: Vec<ExplainedRefusal>,
}

/// One thing that refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedRefusal {
    /// The caveat in words; none where something is missing rather than in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caveat: Option<String>,
    /// A word for the reason, forever the same.
    pub code: String,
    /// The reason, and what would have to be different, in words.
    pub reason: String,
}
