//! Boots: what a host requests for a Machine, and what it gets.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use crate::error::ErrorBody;
use crate::id::AppId;
use crate::name::{AppName, AppRef, MachineId, SecretName};
use crate::schema::{Base64, Timestamp, TokenText};
use crate::secret::{Digest, WireValue, wire_value};
use crate::unique::unique_names;
use crate::value::Value;
use crate::wiped::{WipedBuffer, WipedBytes};

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

/// Bytes of an object of a secret beside name and value, and of an answer beside secrets and renewal; or a few more.
const OBJECT_FIELDS: usize = 80;
const ANSWER_FIELDS: usize = 512;

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
    /// The reserved names that the app's settings allow. An environment leaves out every other reserved name; files and
    /// channels carry all of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed_reserved_names: BTreeSet<SecretName>,
    /// A discharge with which this host may boot this Machine again. Absent if the app allows none, or if this boot
    /// used one that is in the first half of its life: keep that one.
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
        entries(&self.name, self.value.as_ref(), &self.digest, serializer)
    }
}

impl BootedSecret {
    /// The object of one secret in a boot response.
    ///
    /// # Errors
    /// serde's; there are none for these types.
    pub fn write_object(name: &SecretName, value: &Value, digest: &Digest) -> serde_json::Result<WipedBytes> {
        struct Object<'a>(&'a SecretName, &'a Value, &'a Digest);
        impl Serialize for Object<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                entries(self.0, Some(self.1), self.2, serializer)
            }
        }
        let mut object =
            WipedBuffer::with_capacity(name.as_str().len() + value.len() * 4 / 3 + OBJECT_FIELDS);
        serde_json::to_writer(&mut object, &Object(name, value, digest))?;
        Ok(object.into_inner())
    }

    /// The value in such an object.
    ///
    /// # Errors
    /// It is no such object, or has no value.
    pub fn read_value(object: &[u8]) -> serde_json::Result<Value> {
        #[derive(Deserialize)]
        struct Fields {
            value: Option<String>,
            value_b64: Option<String>,
        }
        let fields: Fields = serde_json::from_slice(object)?;
        Value::from_wire(fields.value, fields.value_b64).map_err(serde::de::Error::custom)
    }
}

fn entries<S: Serializer>(
    name: &SecretName,
    value: Option<&Value>,
    digest: &Digest,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("name", name)?;
    if let Some(value) = value {
        wire_value::entries(value, &mut map)?;
    }
    map.serialize_entry("digest", digest)?;
    map.end()
}

/// The list of secrets of a boot response, as JSON that is in memory already. Wiped on drop.
pub struct SecretsJson {
    bytes: WipedBytes,
    list: Range<usize>,
}

impl SecretsJson {
    /// The list in this part of these bytes; empty if they have no such part.
    #[must_use]
    pub fn new(bytes: WipedBytes, list: Range<usize>) -> Self {
        Self { bytes, list }
    }

    /// The JSON: for the response to a boot.
    #[must_use]
    pub fn expose_json(&self) -> &[u8] {
        self.bytes.get(self.list.clone()).unwrap_or(b"[]")
    }
}

impl std::fmt::Debug for SecretsJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretsJson(..)")
    }
}

/// [`BootResponse`] as the server has it: its secrets are JSON already.
#[derive(Debug)]
pub struct BootAnswer {
    /// [`BootResponse::app`].
    pub app: AppId,
    /// [`BootResponse::app_name`].
    pub app_name: AppName,
    /// [`BootResponse::machine`].
    pub machine: MachineId,
    /// [`BootResponse::version`].
    pub version: u64,
    /// [`BootResponse::secrets`].
    pub secrets: SecretsJson,
    /// [`BootResponse::allowed_reserved_names`].
    pub allowed_reserved_names: BTreeSet<SecretName>,
    /// [`BootResponse::renewal`] and when it expires.
    pub renewal: Option<RenewResponse>,
}

impl BootAnswer {
    /// Bytes of its JSON, or a few more.
    #[must_use]
    pub fn size(&self) -> usize {
        let renewal = self.renewal.as_ref().map_or(0, |renewal| renewal.renewal.len());
        // A name is quoted, and followed by a comma.
        let allowed: usize = self.allowed_reserved_names.iter().map(|name| name.as_str().len() + 3).sum();
        self.secrets.expose_json().len() + allowed + renewal + ANSWER_FIELDS
    }

    /// Appends its JSON: the same bytes as those of the [`BootResponse`].
    ///
    /// # Errors
    /// serde's; there are none for these types.
    pub fn write(&self, out: &mut WipedBuffer) -> serde_json::Result<()> {
        field(out, "{\"app\":", &self.app)?;
        field(out, ",\"app_name\":", &self.app_name)?;
        field(out, ",\"machine\":", &self.machine)?;
        field(out, ",\"version\":", &self.version)?;
        out.extend(b",\"secrets\":");
        out.extend(self.secrets.expose_json());
        if !self.allowed_reserved_names.is_empty() {
            field(out, ",\"allowed_reserved_names\":", &self.allowed_reserved_names)?;
        }
        if let Some(renewal) = &self.renewal {
            field(out, ",\"renewal\":", &renewal.renewal)?;
            field(out, ",\"renewal_expires_at\":", &renewal.expires_at)?;
        }
        out.extend(b"}");
        Ok(())
    }
}

/// [`BatchBootResponse`] as the server has it.
#[derive(Debug)]
pub struct BatchBootAnswer {
    /// One for each item: its secrets, or why it gets none.
    pub boots: Vec<Result<BootAnswer, ErrorBody>>,
}

impl BatchBootAnswer {
    /// Bytes of its JSON, or a few more.
    #[must_use]
    pub fn size(&self) -> usize {
        self.boots.iter().map(|boot| boot.as_ref().map_or(ANSWER_FIELDS, BootAnswer::size)).sum()
    }

    /// Appends its JSON: the same bytes as those of the [`BatchBootResponse`].
    ///
    /// # Errors
    /// serde's; there are none for these types.
    pub fn write(&self, out: &mut WipedBuffer) -> serde_json::Result<()> {
        out.extend(b"{\"boots\":[");
        for (place, boot) in self.boots.iter().enumerate() {
            if place > 0 {
                out.extend(b",");
            }
            match boot {
                Ok(answer) => {
                    out.extend(b"{\"booted\":");
                    answer.write(out)?;
                }
                Err(refused) => field(out, "{\"refused\":", refused)?,
            }
            out.extend(b"}");
        }
        out.extend(b"]}");
        Ok(())
    }
}

fn field(out: &mut WipedBuffer, before: &str, value: &impl Serialize) -> serde_json::Result<()> {
    out.extend(before.as_bytes());
    serde_json::to_writer(out, value)
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
    /// The secrets that were left out of an environment, because their names are reserved or were set already, or no
    /// environment carries their values.
    #[serde(default, deserialize_with = "unique_names", skip_serializing_if = "BTreeSet::is_empty")]
    pub left_out: BTreeSet<SecretName>,
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
    /// The secrets go into the environment of a process, except those that were left out.
    Environment,
}

/// `POST /.well-known/macfly/3p`: request a discharge. The proof is in `Authorization`.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DischargeRequest {
    /// The ticket of the third-party caveat. The ticket of a host token names the host, that of a break-glass
    /// token the request.
    #[schema(value_type = Base64)]
    pub ticket: String,
    /// The app that boots; absent if nothing boots, or if the proof names exactly one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub app: Option<AppRef>,
    /// The Machine that boots; absent if nothing boots, or if the proof names exactly one.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    const NAMES_AND_VALUES: [(&str, &[u8]); 3] = [("A", b"x \"y\"\n"), ("B", &[0xff, 0]), ("C", b"")];

    fn secrets() -> Vec<BootedSecret> {
        let secret = |(name, value): (&str, &[u8])| BootedSecret {
            name: name.parse().unwrap(),
            value: Some(Value::new(value.to_vec())),
            digest: Digest::from_bytes([9; 16]),
        };
        NAMES_AND_VALUES.into_iter().map(secret).collect()
    }

    fn response(renewal: Option<&str>) -> BootResponse {
        let allowed = renewal.map(|_| ["NODE_OPTIONS", "PATH"].map(|name| name.parse().unwrap()));
        BootResponse {
            app: AppId::from_bytes([7; 16]),
            app_name: "shop".parse().unwrap(),
            machine: "m-1".parse().unwrap(),
            version: 3,
            secrets: secrets(),
            allowed_reserved_names: allowed.into_iter().flatten().collect(),
            renewal: renewal.map(str::to_owned),
            renewal_expires_at: renewal.map(|_| "2027-01-01T00:00:00Z".to_owned()),
        }
    }

    fn answer(renewal: Option<&str>) -> BootAnswer {
        let BootResponse { app, app_name, machine, version, allowed_reserved_names, .. } = response(renewal);
        let BootResponse { renewal, renewal_expires_at, .. } = response(renewal);
        let mut json = b"before[".to_vec();
        for (place, secret) in secrets().iter().enumerate() {
            if place > 0 {
                json.push(b',');
            }
            let value = secret.value.as_ref().unwrap();
            json.extend_from_slice(&BootedSecret::write_object(&secret.name, value, &secret.digest).unwrap());
        }
        json.extend_from_slice(b"]after");
        let list = 6..json.len() - 5;
        let renewal = renewal
            .zip(renewal_expires_at)
            .map(|(renewal, expires_at)| RenewResponse { renewal, expires_at });
        let secrets = SecretsJson::new(WipedBytes::new(json), list);
        BootAnswer { app, app_name, machine, version, secrets, allowed_reserved_names, renewal }
    }

    fn refused() -> ErrorBody {
        let error = "no".to_owned();
        ErrorBody { error, error_description: None, status: ErrorCode::Forbidden, request_id: None }
    }

    #[test]
    fn an_answer_has_the_bytes_of_its_response() {
        let written = |write: &dyn Fn(&mut WipedBuffer) -> serde_json::Result<()>| {
            let mut out = WipedBuffer::default();
            write(&mut out).unwrap();
            String::from_utf8(out.into_inner().to_vec()).unwrap()
        };
        for renewal in [None, Some("fm2_x")] {
            let answer = answer(renewal);
            let text = written(&|out| answer.write(out));
            assert_eq!(text, serde_json::to_string(&response(renewal)).unwrap());
            assert!(text.len() <= answer.size());
        }
        let response = |renewal| BatchBootResult::Booted(Box::new(response(renewal)));
        for (boots, results) in [
            (vec![], vec![]),
            (
                vec![Ok(answer(None)), Err(refused()), Ok(answer(Some("fm2_x")))],
                vec![response(None), BatchBootResult::Refused(refused()), response(Some("fm2_x"))],
            ),
        ] {
            let answer = BatchBootAnswer { boots };
            let text = written(&|out| answer.write(out));
            assert_eq!(text, serde_json::to_string(&BatchBootResponse { boots: results }).unwrap());
        }
    }

    #[test]
    fn an_object_of_a_secret_has_its_value() {
        for (secret, (_, value)) in secrets().iter().zip(NAMES_AND_VALUES) {
            let written = secret.value.as_ref().unwrap();
            let object = BootedSecret::write_object(&secret.name, written, &secret.digest).unwrap();
            assert_eq!(BootedSecret::read_value(&object).unwrap().expose_bytes(), value);
        }
        assert!(BootedSecret::read_value(br#"{"name":"A","digest":""}"#).is_err());
    }
}
