//! Secrets, in the Machines-API shapes (macaroon format, part 10) with petsem's additions.

use std::collections::BTreeMap;
use std::fmt;

use data_encoding::HEXLOWER;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::SecretName;
use crate::value::Value;

/// Largest value, in bytes.
pub const MAX_VALUE: usize = 64 * 1024;
/// Largest bundle: names and values of an app together, in bytes.
pub const MAX_BUNDLE: usize = 1024 * 1024;
/// Most secrets that one app has.
pub const MAX_SECRETS: usize = 4096;

/// What people compare values by: 16 bytes of a keyed digest, as 32 hex digits.
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
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(serde::de::Error::custom)?;
        bytes.try_into().map(Self).map_err(|_| serde::de::Error::custom("a digest is 32 hex digits"))
    }
}

/// One secret as the API shows it. `value` or `value_b64` only to an authorised reader that asked.
#[derive(Debug, Serialize, Deserialize)]
pub struct AppSecret {
    /// Its name.
    pub name: SecretName,
    /// The value, where it is UTF-8.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none", with = "wire_value")]
    pub value: Option<Value>,
    /// The keyed digest of name and value.
    pub digest: Digest,
    /// When the name was first set, RFC 3339.
    pub created_at: String,
    /// When the value was last set, RFC 3339.
    pub updated_at: String,
    /// The app version that set the value.
    pub set_in_version: u64,
    /// Who set it (issuer and subject, or token id).
    pub author: String,
}

/// `GET …/secrets`.
#[derive(Debug, Serialize, Deserialize)]
pub struct SecretList {
    /// The secrets, by name.
    pub secrets: Vec<AppSecret>,
    /// The app version that they stand at.
    pub version: u64,
}

/// `POST …/secrets/{name}`: one value. `expected_version` makes it a compare-and-swap.
#[derive(Debug)]
pub struct SetSecret {
    /// The new value.
    pub value: Value,
    /// Refuse unless the app stands at this version.
    pub expected_version: Option<u64>,
}

/// `POST …/secrets/{name}` answers the secret and the app version that holds it.
#[derive(Debug, Serialize, Deserialize)]
pub struct SetSecretResponse {
    /// The secret, without its value.
    #[serde(flatten)]
    pub secret: AppSecret,
    /// The new app version.
    pub version: u64,
    /// The same, under its older name.
    #[serde(rename = "Version", default)]
    pub deprecated_version: u64,
}

/// `POST …/secrets`: many changes at once, all or none. `null` deletes; what is not there may be deleted.
#[derive(Debug)]
pub struct BulkUpdate {
    /// Name → new value, or `None` to delete. A value is text, or `{"value_b64": "…"}`.
    pub values: BTreeMap<SecretName, Option<Value>>,
    /// Refuse unless the app stands at this version.
    pub expected_version: Option<u64>,
}

/// `POST …/secrets` answers the secrets that were set, and the new app version.
#[derive(Debug, Serialize, Deserialize)]
pub struct BulkUpdateResponse {
    /// What was set, without values.
    pub secrets: Vec<AppSecret>,
    /// The new app version.
    pub version: u64,
    /// The same, under its older name.
    #[serde(rename = "Version", default)]
    pub deprecated_version: u64,
}

/// `DELETE …/secrets/{name}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// The app version without it.
    pub version: u64,
    /// The same, under its older name.
    #[serde(rename = "Version", default)]
    pub deprecated_version: u64,
}

/// One entry of a secret's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The app version that set or deleted it.
    pub version: u64,
    /// The digest of the value; none where it was deleted.
    pub digest: Option<Digest>,
    /// When, RFC 3339.
    pub at: String,
    /// Who.
    pub author: String,
}

/// `GET …/secrets/{name}/history`, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The secret.
    pub name: SecretName,
    /// What became of it.
    pub history: Vec<HistoryEntry>,
}

/// `POST …/secrets/{name}/rollback`: set the value of an earlier app version again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The app version whose value is wanted, as the history lists it.
    pub to_version: u64,
    /// Refuse unless the app stands at this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<u64>,
}

/// The two fields of a value, as they stand in a body.
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
        let value = Value::from_wire(fields.value, fields.value_b64).map_err(serde::de::Error::custom)?;
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

/// A value inside a bulk update: text, or an object with one of the two fields.
struct BulkValue(Value);

impl<'de> Deserialize<'de> for BulkValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Wanted;
        impl<'de> Visitor<'de> for Wanted {
            type Value = BulkValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, null, or {\"value_b64\": \"…\"}")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<BulkValue, E> {
                Ok(BulkValue(Value::new(text.as_bytes().to_vec())))
            }

            fn visit_string<E: serde::de::Error>(self, text: String) -> Result<BulkValue, E> {
                Ok(BulkValue(Value::new(text.into_bytes())))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BulkValue, A::Error> {
                SetSecret::deserialize(serde::de::value::MapAccessDeserializer::new(map)).and_then(|set| {
                    match set.expected_version {
                        None => Ok(BulkValue(set.value)),
                        Some(_) => Err(serde::de::Error::custom("expected_version belongs beside values")),
                    }
                })
            }
        }
        deserializer.deserialize_any(Wanted)
    }
}

impl<'de> Deserialize<'de> for BulkUpdate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            #[serde(deserialize_with = "unique_names")]
            values: BTreeMap<SecretName, Option<BulkValue>>,
            #[serde(default)]
            expected_version: Option<u64>,
        }
        let fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            values: fields
                .values
                .into_iter()
                .map(|(name, value)| (name, value.map(|value| value.0)))
                .collect(),
            expected_version: fields.expected_version,
        })
    }
}

/// A name that stands twice is refused: which value was meant cannot be known.
fn unique_names<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<SecretName, Option<BulkValue>>, D::Error> {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = BTreeMap<SecretName, Option<BulkValue>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of names and values")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut names = BTreeMap::new();
            while let Some((name, value)) = map.next_entry::<SecretName, Option<BulkValue>>()? {
                if names.len() >= MAX_SECRETS {
                    return Err(serde::de::Error::custom("more than 4096 names at once"));
                }
                if names.insert(name, value).is_some() {
                    return Err(serde::de::Error::custom("a name stands twice in values"));
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
                            (Some(text), _) => map.serialize_entry(name, text.as_str())?,
                            (None, _) => map.serialize_entry(name, &Binary(value))?,
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

/// `value` / `value_b64` inside another object.
pub(crate) mod wire_value {
    use serde::ser::SerializeMap;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::value::Value;

    #[derive(Deserialize)]
    struct Fields {
        #[serde(default)]
        value: Option<String>,
        #[serde(default)]
        value_b64: Option<String>,
    }

    pub(crate) fn entries<M: SerializeMap>(value: &Value, map: &mut M) -> Result<(), M::Error> {
        match value.expose_wire() {
            (Some(text), _) => map.serialize_entry("value", text.as_str()),
            (None, Some(encoded)) => map.serialize_entry("value_b64", encoded.as_str()),
            (None, None) => Ok(()),
        }
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
            (text, encoded) => Value::from_wire(text, encoded).map(Some).map_err(serde::de::Error::custom),
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
    fn what_a_client_read_it_prints_as_it_was_answered() {
        let deleted = r#"{"version":7,"Version":7}"#;
        let bulk = r#"{"secrets":[],"version":8,"Version":8}"#;
        let set = r#"{"name":"A","digest":"00000000000000000000000000000000","created_at":"t","updated_at":"t","set_in_version":9,"author":"a","version":9,"Version":9}"#;
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
    fn a_bulk_update_refuses_what_is_unclear() {
        let error =
            |text: &str| serde_json::from_str::<BulkUpdate>(text).map(|_| ()).unwrap_err().to_string();
        assert!(error(r#"{"values":{"A":"x","A":"y"}}"#).starts_with("a name stands twice"));
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
        };
        assert!(!serde_json::to_string(&secret).unwrap().contains("value"));
        secret.value = Some(Value::new(vec![0xff]));
        let json = serde_json::to_string(&secret).unwrap();
        assert!(json.contains(r#""value_b64":"/w==""#), "{json}");
        let back: AppSecret = serde_json::from_str(&json).unwrap();
        assert_eq!(back.value.unwrap().expose_bytes(), [0xff]);
        assert!(format!("{secret:?}").contains("Value(..)"));
    }
}
