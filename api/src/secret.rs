//! Secrets, in the Machines-API shapes (macaroon format, part 10) with petsem's additions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use data_encoding::HEXLOWER;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{
    AdditionalProperties, AnyOfBuilder, Object, ObjectBuilder, OneOfBuilder, SchemaType, Type,
};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::json::{Violation, refused};
use crate::name::SecretName;
use crate::schema::{self, Base64, Timestamp};
use crate::value::{Value, WireField};

/// Largest value, in bytes.
pub const MAX_VALUE: usize = 64 * 1024;
/// Largest bundle: names and values of an app together, in bytes.
pub const MAX_BUNDLE: usize = 1024 * 1024;
/// Most secrets that one app has.
pub const MAX_SECRETS: usize = 4096;

/// A keyed digest of name and value: 16 bytes as 32 hex digits. People compare values by it. Equal values under two
/// names or in two apps have different digests.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 16]);

impl Digest {
    /// The digest with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut hex = [0; 32];
        HEXLOWER.encode_mut(&self.0, &mut hex);
        serializer.serialize_str(std::str::from_utf8(&hex).map_err(serde::ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(serde::de::Error::custom)?;
        bytes.try_into().map(Self).map_err(|_| serde::de::Error::custom("a digest is 32 hex digits"))
    }
}

/// One secret as the API shows it. `value` or `value_b64` is present only for an authorized reader that requested it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AppSecret {
    /// Its name.
    pub name: SecretName,
    /// The value: `value` or `value_b64` on the wire.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none", with = "wire_value")]
    #[schema(value_type = WireValue)]
    pub value: Option<Value>,
    /// The keyed digest of name and value.
    pub digest: Digest,
    /// When the name was first set.
    #[schema(value_type = Timestamp)]
    pub created_at: String,
    /// When the value was last set.
    #[schema(value_type = Timestamp)]
    pub updated_at: String,
    /// The app version that set the value.
    pub set_in_version: u64,
    /// Who set it (issuer and subject, or token id).
    pub author: String,
    /// Why environments leave it out. Files and VM channels carry it.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "known_warnings")]
    #[schema(required = false)]
    pub warnings: Vec<SecretWarning>,
}

/// Why an environment does not get a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SecretWarning {
    /// Its value has a NUL byte, which no environment can carry.
    NulByte,
    /// Programs obey its name, and the app's settings do not allow it.
    ReservedName,
}

/// Warnings of a newer server that this build does not know are dropped.
fn known_warnings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SecretWarning>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Warning {
        Known(SecretWarning),
        Unknown(serde::de::IgnoredAny),
    }
    let all = Vec::<Warning>::deserialize(deserializer)?;
    let known = all.into_iter().filter_map(|warning| match warning {
        Warning::Known(warning) => Some(warning),
        Warning::Unknown(_) => None,
    });
    Ok(known.collect())
}

/// `GET …/secrets`: the secrets of an app.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SecretList {
    /// The secrets, by name.
    pub secrets: Vec<AppSecret>,
    /// The app version of this list.
    pub version: u64,
    /// In reads of values: which of these secrets have a reserved name that the app's settings allow. An environment
    /// leaves out every other reserved name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed_reserved_names: BTreeSet<SecretName>,
}

/// `POST …/secrets/{name}`: one value. `expected_version` makes it a compare-and-swap.
#[derive(Debug)]
pub struct SetSecret {
    /// The new value.
    pub value: Value,
    /// The request is refused unless the app is at this version.
    pub expected_version: Option<u64>,
}

/// The secret, and the app version that has it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SetSecretResponse {
    /// The secret, without its value.
    #[serde(flatten)]
    pub secret: AppSecret,
    /// The new app version.
    pub version: u64,
}

/// `POST …/secrets`: many changes at once, all or none. `null` deletes; a name that does not exist may be deleted.
#[derive(Debug)]
pub struct BulkUpdate {
    /// Name → new value, or `None` to delete. A value is text, or `{"value_b64": "…"}`.
    pub values: BTreeMap<SecretName, Option<Value>>,
    /// The request is refused unless the app is at this version.
    pub expected_version: Option<u64>,
}

/// `POST …/secrets`: the secrets that were set, and the new app version.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct BulkUpdateResponse {
    /// The secrets that were set, without values.
    pub secrets: Vec<AppSecret>,
    /// Names that were to be deleted and did not exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub not_found: Vec<SecretName>,
    /// The new app version.
    pub version: u64,
}

/// `DELETE …/secrets/{name}`: the app version without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deleted {
    /// The new app version; the current one if nothing was deleted.
    pub version: u64,
    /// Whether the name did not exist, so that nothing was deleted. Only of secrets: a key that does not exist is 404.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_found: bool,
}

/// One entry of a secret's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    /// The app version that set or deleted it.
    pub version: u64,
    /// The digest of the value; `null` if it was deleted.
    #[schema(required = true)]
    pub digest: Option<Digest>,
    /// When the value was set or deleted (RFC 3339).
    #[schema(value_type = Timestamp)]
    pub at: String,
    /// The author: issuer and subject, or a token id.
    pub author: String,
}

/// `GET …/secrets/{name}/history`: the changes of a secret, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// The secret.
    pub name: SecretName,
    /// The changes.
    pub history: Vec<HistoryEntry>,
}

/// `POST …/secrets/{name}/rollback`: sets the value of an earlier app version again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The app version whose value is set, as the history lists it.
    pub to_version: u64,
    /// The request is refused unless the app is at this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expected_version: Option<u64>,
}

/// The fields of [`SetSecret`] as they are written in a body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValueFields {
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    value_b64: Option<String>,
    #[serde(default)]
    expected_version: Option<u64>,
}

impl<'de> Deserialize<'de> for SetSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = ValueFields::deserialize(deserializer)?;
        let value = Value::from_wire(fields.value, fields.value_b64).map_err(refused)?;
        Ok(Self { value, expected_version: fields.expected_version })
    }
}

impl Serialize for SetSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        wire_value::entries(&self.value, &mut map)?;
        if let Some(version) = self.expected_version {
            map.serialize_entry("expected_version", &version)?;
        }
        map.end()
    }
}

/// The change of one secret in a bulk update: text, an object with one of the two fields, or `null` to delete.
struct BulkChange(Option<Value>);

impl<'de> Deserialize<'de> for BulkChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyChange;
        impl<'de> Visitor<'de> for AnyChange {
            type Value = BulkChange;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, null, or {\"value_b64\": \"…\"}")
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<BulkChange, E> {
                Ok(BulkChange(None))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<BulkChange, E> {
                Ok(BulkChange(Some(Value::new(text.as_bytes().to_vec()))))
            }

            fn visit_string<E: serde::de::Error>(self, text: String) -> Result<BulkChange, E> {
                Ok(BulkChange(Some(Value::new(text.into_bytes()))))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BulkChange, A::Error> {
                let set = SetSecret::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                match set.expected_version {
                    None => Ok(BulkChange(Some(set.value))),
                    Some(_) => Err(refused(Violation::MisplacedVersion)),
                }
            }
        }
        deserializer.deserialize_any(AnyChange)
    }
}

impl<'de> Deserialize<'de> for BulkUpdate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            #[serde(deserialize_with = "unique_names")]
            values: BTreeMap<SecretName, BulkChange>,
            #[serde(default)]
            expected_version: Option<u64>,
        }
        let fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            values: fields.values.into_iter().map(|(name, change)| (name, change.0)).collect(),
            expected_version: fields.expected_version,
        })
    }
}

/// A repeated name is refused: it is not clear which value was meant.
fn unique_names<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<SecretName, BulkChange>, D::Error> {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = BTreeMap<SecretName, BulkChange>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of names and values")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut names = BTreeMap::new();
            while let Some((name, value)) = map.next_entry::<SecretName, BulkChange>()? {
                if names.len() >= MAX_SECRETS {
                    return Err(refused(Violation::TooManyNames));
                }
                if names.insert(name, value).is_some() {
                    return Err(refused(Violation::RepeatedName));
                }
            }
            Ok(names)
        }
    }
    deserializer.deserialize_map(Names)
}

impl Serialize for BulkUpdate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Values<'a>(&'a BTreeMap<SecretName, Option<Value>>);
        impl Serialize for Values<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(self.0.len()))?;
                for (name, value) in self.0 {
                    match value {
                        None => map.serialize_entry(name, &())?,
                        Some(value) => match value.expose_wire() {
                            WireField::Value(text) => map.serialize_entry(name, text)?,
                            WireField::ValueB64(_) => map.serialize_entry(name, &Binary(value))?,
                        },
                    }
                }
                map.end()
            }
        }
        struct Binary<'a>(&'a Value);
        impl Serialize for Binary<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(1))?;
                wire_value::entries(self.0, &mut map)?;
                map.end()
            }
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("values", &Values(&self.values))?;
        if let Some(version) = self.expected_version {
            map.serialize_entry("expected_version", &version)?;
        }
        map.end()
    }
}

/// A value in a response: `value` or `value_b64`, or neither.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "the fields are those of the schema")]
pub(crate) struct WireValue {
    /// The value, if it is UTF-8.
    #[schema(nullable = false)]
    value: Option<String>,
    /// The value, if it is not UTF-8.
    #[schema(value_type = Option<Base64>, nullable = false)]
    value_b64: Option<String>,
}

impl PartialSchema for Digest {
    fn schema() -> RefOr<Schema> {
        schema::text(
            "A keyed digest of name and value: 16 bytes as 32 hex digits. Equal values under two names or in two apps \
             have different digests.",
        )
        .pattern(Some("^[0-9a-f]{32}$"))
        .into()
    }
}

impl ToSchema for Digest {}

/// An object with one of the two fields of a value, and no other field but the given one.
fn one_value(other: Option<(&str, &Object)>) -> OneOfBuilder {
    let text = ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::String))
        .max_length(Some(MAX_VALUE))
        .description(Some("The value as text: at most 64 KiB of UTF-8."));
    let encoded = ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::String))
        .content_encoding("base64")
        .pattern(Some(schema::BASE64))
        .max_length(Some(MAX_VALUE.div_ceil(3) * 4))
        .description(Some("The value in standard base64 with padding: at most 64 KiB when decoded."));
    let object = |name: &str, field: ObjectBuilder| {
        let object = ObjectBuilder::new()
            .property(name, field)
            .required(name)
            .additional_properties(Some(AdditionalProperties::FreeForm(false)));
        match other {
            Some((name, field)) => object.property(name, field.clone()),
            None => object,
        }
    };
    OneOfBuilder::new().item(object("value", text)).item(object("value_b64", encoded))
}

fn expected_version() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::Integer))
        .format(Some(schema::INT64))
        .minimum(Some(0))
        .description(Some("The request is refused unless the app is at this version."))
}

impl PartialSchema for SetSecret {
    fn schema() -> RefOr<Schema> {
        one_value(Some(("expected_version", &expected_version().build())))
            .description(Some("One value: `value` or `value_b64`, never both."))
            .into()
    }
}

impl ToSchema for SetSecret {}

impl PartialSchema for BulkUpdate {
    fn schema() -> RefOr<Schema> {
        let change = AnyOfBuilder::new()
            .item(
                ObjectBuilder::new()
                    .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
                    .max_length(Some(MAX_VALUE))
                    .description(Some("The value as text: at most 64 KiB of UTF-8; `null` deletes.")),
            )
            .item(one_value(None));
        let values = ObjectBuilder::new()
            .description(Some("Name → text, `{\"value_b64\": \"…\"}`, or `null` to delete. A name that does not exist may be deleted."))
            .max_properties(Some(MAX_SECRETS))
            .property_names(match SecretName::schema() {
                RefOr::T(schema) => Some(schema),
                RefOr::Ref(_) => None,
            })
            .additional_properties(Some(RefOr::T(Schema::AnyOf(change.build()))));
        ObjectBuilder::new()
            .description(Some("Many changes at once, all or none."))
            .property("values", values)
            .required("values")
            .property("expected_version", expected_version())
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .into()
    }
}

impl ToSchema for BulkUpdate {}

/// `value` / `value_b64` inside another object.
pub(crate) mod wire_value {
    use serde::ser::SerializeMap;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::json::refused;
    use crate::value::Value;

    #[derive(Deserialize)]
    struct Fields {
        #[serde(default)]
        value: Option<String>,
        #[serde(default)]
        value_b64: Option<String>,
    }

    pub(crate) fn entries<M: SerializeMap>(value: &Value, map: &mut M) -> Result<(), M::Error> {
        let field = value.expose_wire();
        let (name, text) = field.expose();
        map.serialize_entry(name, text)
    }

    pub(crate) fn serialize<S: Serializer>(value: &Option<Value>, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(value) = value {
            entries(value, &mut map)?;
        }
        map.end()
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
        let fields = Fields::deserialize(deserializer)?;
        match (fields.value, fields.value_b64) {
            (None, None) => Ok(None),
            (text, encoded) => Value::from_wire(text, encoded).map(Some).map_err(refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bulk_update_reads_text_null_and_bytes() {
        let update: BulkUpdate = serde_json::from_str(
            r#"{"values":{"A":"x","B":null,"C":{"value_b64":"/wA="}},"expected_version":3}"#,
        )
        .unwrap();
        let plain: Vec<_> = update
            .values
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_ref().map(|value| value.expose_bytes().to_vec())))
            .collect();
        assert_eq!(plain, [("A", Some(b"x".to_vec())), ("B", None), ("C", Some(vec![0xff, 0]))]);
        assert_eq!(update.expected_version, Some(3));
        let again = serde_json::to_string(&update).unwrap();
        assert_eq!(again, r#"{"values":{"A":"x","B":null,"C":{"value_b64":"/wA="}},"expected_version":3}"#);
    }

    #[test]
    fn a_client_prints_a_response_as_it_was_received() {
        let deleted = r#"{"version":7}"#;
        let bulk = r#"{"secrets":[],"version":8}"#;
        let set = r#"{"name":"A","digest":"00000000000000000000000000000000","created_at":"t","updated_at":"t","set_in_version":9,"author":"a","version":9}"#;
        let again = |text: serde_json::Result<String>| text.unwrap();
        assert_eq!(again(serde_json::to_string(&serde_json::from_str::<Deleted>(deleted).unwrap())), deleted);
        assert_eq!(
            again(serde_json::to_string(&serde_json::from_str::<BulkUpdateResponse>(bulk).unwrap())),
            bulk
        );
        assert_eq!(
            again(serde_json::to_string(&serde_json::from_str::<SetSecretResponse>(set).unwrap())),
            set
        );
    }

    #[test]
    fn an_ambiguous_bulk_update_is_refused() {
        let error =
            |text: &str| serde_json::from_str::<BulkUpdate>(text).map(|_| ()).unwrap_err().to_string();
        assert!(error(r#"{"values":{"A":"x","A":"y"}}"#).starts_with("a name occurs twice"));
        assert!(
            error(r#"{"values":{"A":{"value":"x","value_b64":"eA=="}}}"#).starts_with("value and value_b64")
        );
        assert!(error(r#"{"values":{"1":"x"}}"#).starts_with("a secret's name is"));
        assert!(error(r#"{"values":{},"extra":1}"#).starts_with("unknown field"));
        assert!(error(r#"{"values":{"A":5}}"#).starts_with("invalid type"));
    }

    #[test]
    fn a_secret_shows_its_value_only_when_it_has_one() {
        let mut secret = AppSecret {
            name: "A".parse().unwrap(),
            value: None,
            digest: Digest::from_bytes([1; 16]),
            created_at: "2026-01-01T00:00:00Z".into(),
            updated_at: "2026-01-01T00:00:00Z".into(),
            set_in_version: 1,
            author: "x".into(),
            warnings: Vec::new(),
        };
        assert!(!serde_json::to_string(&secret).unwrap().contains("value"));
        secret.value = Some(Value::new(vec![0xff]));
        let json = serde_json::to_string(&secret).unwrap();
        assert!(json.contains(r#""value_b64":"/w==""#), "{json}");
        let back: AppSecret = serde_json::from_str(&json).unwrap();
        assert_eq!(back.value.unwrap().expose_bytes(), [0xff]);
        assert!(format!("{secret:?}").contains("Value(..)"));
    }

    #[test]
    fn a_client_ignores_warnings_that_it_does_not_know() {
        let text = r#"{"name":"A","digest":"00000000000000000000000000000000","created_at":"t","updated_at":"t","set_in_version":9,"author":"a","warnings":["later","nul_byte",{"also":"later"},"reserved_name"]}"#;
        let secret: AppSecret = serde_json::from_str(text).unwrap();
        assert_eq!(secret.warnings, [SecretWarning::NulByte, SecretWarning::ReservedName]);
    }
}
