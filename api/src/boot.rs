//! Boots: what a host asks for a Machine, and what it gets.

use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;
use crate::id::AppId;
use crate::name::{AppName, AppRef, MachineId, SecretName};
use crate::secret::{Digest, wire_value};
use crate::value::Value;

/// Most Machines in one batch.
pub const MAX_BATCH: usize = 256;
/// Machines of a batch that are worked on at once.
pub const BATCH_AT_ONCE: usize = 32;
/// Bytes of its answer after which a batch begins with no more Machines.
pub const BATCH_ANSWERS: usize = 32 * 1024 * 1024;
/// Most bytes of an answer but a batch's: [`MAX_BUNDLE`](crate::MAX_BUNDLE) in JSON, where a byte takes up to six.
pub const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// Most bytes of a batch's answer.
pub const MAX_BATCH_ANSWER: usize = BATCH_ANSWERS + BATCH_AT_ONCE * MAX_ANSWER;

/// `POST /v1/apps/{app}/boot`. The header carries the host token and this boot's discharge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootRequest {
    /// The Machine that boots.
    pub machine: MachineId,
    /// The lowest app version that will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_version: Option<u64>,
}

/// What a booting Machine gets.
#[derive(Serialize, Deserialize)]
pub struct BootResponse {
    /// The app's id.
    pub app: AppId,
    /// The app's label at this moment.
    pub app_name: AppName,
    /// The Machine.
    pub machine: MachineId,
    /// The app version of the bundle.
    pub version: u64,
    /// Every secret of the app, by name.
    pub secrets: Vec<BootedSecret>,
    /// A discharge with which this host may boot this Machine again; absent where the app allows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<String>,
    /// The renewal's end, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
#[derive(Debug, Serialize, Deserialize)]
pub struct BootedSecret {
    /// Its name.
    pub name: SecretName,
    /// Its value: `value` or `value_b64` on the wire.
    #[serde(flatten, with = "wire_value")]
    pub value: Option<Value>,
    /// Its keyed digest.
    pub digest: Digest,
}

/// `POST /v1/boot`: many Machines of one host. The header carries the host token alone.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchBootRequest {
    /// At most [`MAX_BATCH`]; each is verified, decided, audited and answered alone.
    pub boots: Vec<BatchBootItem>,
}

/// One Machine of a batch.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchBootItem {
    /// The app.
    pub app: AppRef,
    /// The Machine.
    pub machine: MachineId,
    /// The discharge (or renewal) for this app, Machine and host, as token text.
    pub discharge: String,
    /// The lowest app version that will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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

/// The answers of a batch, in the order of the request.
#[derive(Serialize, Deserialize)]
pub struct BatchBootResponse {
    /// One for each item.
    pub boots: Vec<BatchBootResult>,
}

/// The answer for one Machine of a batch.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchBootResult {
    /// Its secrets.
    Booted(Box<BootResponse>),
    /// Why it gets none.
    Refused(ErrorBody),
}

/// `POST /v1/apps/{app}/boot/renew`: a later end for the same app, Machine and host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// The Machine.
    pub machine: MachineId,
}

/// A renewal without values.
#[derive(Serialize, Deserialize)]
pub struct RenewResponse {
    /// The discharge; use it in place of the one that was sent.
    pub renewal: String,
    /// Its end, RFC 3339.
    pub expires_at: String,
}

/// `POST /v1/apps/{app}/boot/report`: what became of a boot, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootReport {
    /// The Machine.
    pub machine: MachineId,
    /// The app version that was given.
    pub version: u64,
    /// What became of it.
    pub delivery: Delivery,
}

/// How a delivery into a Machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// The Machine proved by a keyed digest over a fresh challenge that it holds the bundle.
    Proved,
    /// The Machine's proof did not match: what arrived is not what was sent.
    Mismatch,
    /// The Machine was told DENY.
    Denied,
    /// The Machine never answered.
    Unanswered,
}

/// `POST /.well-known/macfly/3p`: ask the discharger. The proof stands in `Authorization`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DischargeRequest {
    /// The ticket of the third-party caveat, standard base64. Of a host token it names the host; of a
    /// break-glass token, the request.
    pub ticket: String,
    /// The app that boots; absent when nothing boots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppRef>,
    /// The Machine that boots; absent when nothing boots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineId>,
}

/// What a discharger answers, to the ticket and to each poll (macaroon format, part 9). Clients act on the
/// first of these that is there.
#[derive(Default, Serialize, Deserialize)]
pub struct DischargeAnswer {
    /// Why there is no discharge, or not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The discharge as token text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discharge: Option<String>,
    /// Where to ask again; absolute, and a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll_url: Option<String>,
    /// What a person must open before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_interactive: Option<UserInteractive>,
}

/// The user-interactive flow.
#[derive(Serialize, Deserialize)]
pub struct UserInteractive {
    /// Where to ask again; absolute, and a secret.
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
