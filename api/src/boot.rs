//! Boots: what a host requests for a Machine, and what it gets.

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use crate::error::ErrorBody;
use crate::id::AppId;
use crate::name::{AppName, AppRef, MachineId, SecretName};
use crate::schema::{Base64, Timestamp, TokenText};
use crate::secret::{Digest, WireValue, wire_value};
use crate::value::Value;

/// Most Machines in one batch.
pub const MAX_BATCH: usize = 256;
/// Machines of a batch that are processed at once.
pub const BATCH_AT_ONCE: usize = 32;
/// Bytes of its response after which a batch starts no more Machines.
pub const BATCH_ANSWERS: usize = 32 * 1024 * 1024;
/// Most bytes of any other response: [`MAX_BUNDLE`](crate::MAX_BUNDLE) in JSON, where a byte takes up to six.
pub const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// Most bytes of the response to a batch.
pub const MAX_BATCH_ANSWER: usize = BATCH_ANSWERS + BATCH_AT_ONCE * MAX_ANSWER;

/// `POST /v1/apps/{app}/boot`. The header carries the host token and the discharge of this boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BootRequest {
    /// The Machine that boots.
    pub machine: MachineId,
    /// The lowest acceptable app version; otherwise 503 `version_not_reached`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub min_version: Option<u64>,
}

/// What a booting Machine gets.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct BootResponse {
    /// The id of the app.
    pub app: AppId,
    /// The name of the app at this moment.
    pub app_name: AppName,
    /// The Machine.
    pub machine: MachineId,
    /// The app version of the bundle.
    pub version: u64,
    /// Every secret of the app, by name.
    pub secrets: Vec<BootedSecret>,
    /// A discharge with which this host may boot this Machine again. Absent if the app allows none, or if this boot used
    /// one that is in the first half of its life: keep that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<TokenText>)]
    pub renewal: Option<String>,
    /// When the new renewal expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Timestamp>)]
    pub renewal_expires_at: Option<String>,
}

impl std::fmt::Debug for BootResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BootResponse")
            .field("app", &self.app)
            .field("machine", &self.machine)
            .field("version", &self.version)
            .field("secrets", &self.secrets.len())
            .finish_non_exhaustive()
    }
}

/// One secret of a booting Machine.
#[derive(Debug, Deserialize, ToSchema)]
pub struct BootedSecret {
    /// Its name.
    pub name: SecretName,
    /// Its value: `value` or `value_b64` on the wire.
    #[serde(flatten, with = "wire_value")]
    #[schema(value_type = WireValue)]
    pub value: Option<Value>,
    /// Its keyed digest.
    pub digest: Digest,
}

// By hand: `flatten` costs as much as the rest of the answer.
impl Serialize for BootedSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.name)?;
        if let Some(value) = &self.value {
            wire_value::entries(value, &mut map)?;
        }
        map.serialize_entry("digest", &self.digest)?;
        map.end()
    }
}

/// `POST /v1/boot`: many Machines of one host. The header carries only the host token.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchBootRequest {
    /// At most [`MAX_BATCH`]. Each is verified, decided, audited and answered independently.
    #[schema(max_items = 256)]
    pub boots: Vec<BatchBootItem>,
}

/// One Machine of a batch.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchBootItem {
    /// The app.
    pub app: AppRef,
    /// The Machine.
    pub machine: MachineId,
    /// The discharge (or renewal) for this app, Machine and host.
    #[schema(value_type = TokenText)]
    pub discharge: String,
    /// The lowest acceptable app version; otherwise 503 `version_not_reached`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub min_version: Option<u64>,
}

impl std::fmt::Debug for BatchBootItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchBootItem")
            .field("app", &self.app)
            .field("machine", &self.machine)
            .finish_non_exhaustive()
    }
}

/// The results of a batch, in the order of the request.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct BatchBootResponse {
    /// One for each item.
    pub boots: Vec<BatchBootResult>,
}

/// The result for one Machine of a batch.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchBootResult {
    /// Its secrets.
    Booted(Box<BootResponse>),
    /// Why it gets no secrets.
    Refused(ErrorBody),
}

/// `POST /v1/apps/{app}/boot/renew`: a later expiry for the same app, Machine and host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// The Machine.
    pub machine: MachineId,
}

/// A renewal without values.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct RenewResponse {
    /// The discharge. Use it in place of the one that was sent.
    #[schema(value_type = TokenText)]
    pub renewal: String,
    /// When it expires.
    #[schema(value_type = Timestamp)]
    pub expires_at: String,
}

/// `POST /v1/apps/{app}/boot/report`: the outcome of a boot, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BootReport {
    /// The Machine.
    pub machine: MachineId,
    /// The app version that was delivered.
    pub version: u64,
    /// How the delivery ended.
    pub delivery: Delivery,
}

/// The outcome of a boot was recorded: an empty object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Recorded {}

/// How a delivery into a Machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// The Machine proved by a keyed digest over a fresh challenge that it holds the bundle.
    Proved,
    /// The Machine's proof did not match: what arrived is not what was sent.
    Mismatch,
    /// The host answered the Machine DENY.
    Denied,
    /// The Machine never answered.
    Unanswered,
}

/// `POST /.well-known/macfly/3p`: request a discharge. The proof is in `Authorization`.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DischargeRequest {
    /// The ticket of the third-party caveat. The ticket of a host token names the host, that of a break-glass
    /// token the request.
    #[schema(value_type = Base64)]
    pub ticket: String,
    /// The app that boots; absent if nothing boots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub app: Option<AppRef>,
    /// The Machine that boots; absent if nothing boots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub machine: Option<MachineId>,
}

/// The response of a discharger, to a ticket and to each poll (macaroon format, part 9). A client acts on the
/// first of these that is present: error, discharge, poll_url, user_interactive.
#[derive(Default, Serialize, Deserialize, ToSchema)]
pub struct DischargeAnswer {
    /// Why there is no discharge, or not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error: Option<String>,
    /// The discharge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<TokenText>)]
    pub discharge: Option<String>,
    /// Where to poll: an absolute URL, which is a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub poll_url: Option<String>,
    /// What a person must open first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub user_interactive: Option<UserInteractive>,
}

/// The user-interactive flow.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct UserInteractive {
    /// Where to poll: an absolute URL, which is a secret.
    #[serde(default)]
    pub poll_url: String,
    /// The page for a person.
    #[serde(default)]
    pub user_url: String,
}

macro_rules! withheld {
    ($($name:ident),*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}

withheld!(RenewResponse, DischargeAnswer, DischargeRequest, UserInteractive);
