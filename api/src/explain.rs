//! Why a request would be denied: what each token of the caller says to a request that is not made.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::TokenUuid;
use crate::name::{AppRef, HostId, MachineId, OrgRef, SecretKeyName, SecretName};
use crate::schema::Action;

/// `POST /v1/tokens/explain`: the request to explain. An absent field is not part of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainToken {
    /// The action of the request, such as `read_value`.
    #[schema(value_type = Action)]
    pub action: String,
    /// The org; not needed where an app is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub org: Option<OrgRef>,
    /// The app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub app: Option<AppRef>,
    /// The secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub secret: Option<SecretName>,
    /// The secret key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub secret_key: Option<SecretKeyName>,
    /// The Machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub machine: Option<MachineId>,
    /// The host. In a real request the listener supplies it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub host: Option<HostId>,
}

/// What the tokens say. They never add up: one of them alone has to allow the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// Whether one of them allows it.
    pub allowed: bool,
    /// Each token, in the order of the header.
    pub tokens: Vec<ExplainedToken>,
}

/// What one token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedToken {
    /// The token.
    pub id: TokenUuid,
    /// Every reason for a refusal. Empty: the token allows the request.
    pub refusals: Vec<ExplainedRefusal>,
}

/// One reason for a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedRefusal {
    /// The caveat in words; absent if something is missing rather than forbidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub caveat: Option<String>,
    /// A word for the reason, which never changes.
    pub code: String,
    /// The reason, and what would have to be different, in words.
    pub reason: String,
}
