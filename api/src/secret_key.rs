//! Secret keys, in the shapes of the Machines API (macaroon format, part 10) with petsem's additions. Byte fields
//! are standard base64 with padding; `null` is no bytes, as Go writes an empty slice.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::json::refused;
use crate::name::SecretKeyName;
use crate::schema::{self, Base64, NullableBase64, Timestamp};
use crate::text;
use crate::value::Value;

/// Longest message that a secret key encrypts or signs, in bytes.
pub const MAX_KEY_MESSAGE: usize = 1024 * 1024;
/// Most secret keys that one app has.
pub const MAX_SECRET_KEYS: usize = 128;

macro_rules! types {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What a secret key is for, and with which algorithm.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum SecretKeyType {
            $($(#[$doc])* $name,)*
        }

        impl SecretKeyType {
            /// Every type.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

types! {
    /// HMAC-SHA-256.
    Hs256 = "hs256";
    /// HMAC-SHA-384.
    Hs384 = "hs384";
    /// HMAC-SHA-512.
    Hs512 = "hs512";
    /// XAES-256-GCM, with associated data.
    Xaes256Gcm = "xaes256gcm";
    /// libsodium's `crypto_auth`.
    NaclAuth = "nacl_auth";
    /// libsodium's sealed boxes.
    NaclBox = "nacl_box";
    /// libsodium's `crypto_secretbox`.
    NaclSecretbox = "nacl_secretbox";
    /// Ed25519.
    NaclSign = "nacl_sign";
    /// ECDSA on P-256 with SHA-256.
    Es256 = "es256";
}

impl std::fmt::Display for SecretKeyType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No type has this name. The error never repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", text::secret_key_type())]
pub struct SecretKeyTypeError;

impl std::str::FromStr for SecretKeyType {
    type Err = SecretKeyTypeError;

    fn from_str(text: &str) -> Result<Self, SecretKeyTypeError> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text).ok_or(SecretKeyTypeError)
    }
}

impl Serialize for SecretKeyType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for SecretKeyType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|error: SecretKeyTypeError| refused(error))
    }
}

impl PartialSchema for SecretKeyType {
    fn schema() -> RefOr<Schema> {
        schema::text(
            "What a secret key is for, and with which algorithm. `xaes256gcm`, `nacl_box` and `nacl_secretbox` encrypt, the \
             others sign.",
        )
        .enum_values(Some(Self::ALL.iter().map(|kind| kind.as_str())))
        .into()
    }
}

impl ToSchema for SecretKeyType {}

/// One secret key as the API shows it: never its material.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretKey {
    /// Its name.
    pub name: SecretKeyName,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: SecretKeyType,
    /// Its public key, if the type has one: 32 bytes for `nacl_box` and `nacl_sign`, an uncompressed point of 65 for
    /// `es256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Base64>)]
    pub public_key: Option<String>,
    /// When it was generated or imported.
    #[schema(value_type = Timestamp)]
    pub created_at: String,
    /// The app version that first had it.
    pub set_in_version: u64,
    /// Who generated or imported it (issuer and subject, or token id).
    pub author: String,
}

/// `GET …/secretkeys`: the secret keys of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretKeyList {
    /// The keys, by name.
    pub secret_keys: Vec<SecretKey>,
    /// The app version of this list.
    pub version: u64,
}

/// `POST …/secretkeys/{name}`: a key to import.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSecretKey {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: SecretKeyType,
    /// The bare key, as long as its type requires.
    #[serde(with = "base64")]
    #[schema(value_type = NullableBase64)]
    pub value: Value,
}

/// `POST …/secretkeys/{name}/generate`: a new key that never leaves the server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateSecretKey {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: SecretKeyType,
    /// Clients in Go send `null`. Any other value is refused: another route imports keys.
    #[serde(default, skip_serializing, deserialize_with = "null_or_any")]
    pub value: Option<IgnoredAny>,
}

/// A secret key, and the app version that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetSecretKeyResponse {
    /// The key, without its material.
    #[serde(flatten)]
    pub key: SecretKey,
    /// The new app version.
    pub version: u64,
    /// Whether it replaced a key with this label: what that one encrypted can never be decrypted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub replaced: bool,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

/// `POST …/encrypt`: a message to encrypt.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EncryptRequest {
    /// The message, at most 1 MiB.
    #[serde(with = "base64")]
    #[schema(value_type = NullableBase64)]
    pub plaintext: Value,
    /// Data that is authenticated with the message; only for `xaes256gcm`.
    #[serde(default = "no_bytes", with = "base64", skip_serializing_if = "Value::is_empty")]
    #[schema(value_type = NullableBase64)]
    pub associated_data: Value,
}

/// `POST …/encrypt`: the ciphertext.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EncryptResponse {
    /// In the layout of the key type.
    #[serde(with = "base64")]
    #[schema(value_type = Base64)]
    pub ciphertext: Value,
}

/// `POST …/decrypt`: a ciphertext to decrypt.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecryptRequest {
    /// In the layout of the key type.
    #[serde(with = "base64")]
    #[schema(value_type = NullableBase64)]
    pub ciphertext: Value,
    /// The data that was authenticated with the message.
    #[serde(default = "no_bytes", with = "base64", skip_serializing_if = "Value::is_empty")]
    #[schema(value_type = NullableBase64)]
    pub associated_data: Value,
}

/// `POST …/decrypt`: the message.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DecryptResponse {
    /// The message.
    #[serde(with = "base64")]
    #[schema(value_type = Base64)]
    pub plaintext: Value,
}

/// `POST …/sign`: a message to sign.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignRequest {
    /// The message, at most 1 MiB.
    #[serde(with = "base64")]
    #[schema(value_type = NullableBase64)]
    pub plaintext: Value,
}

/// `POST …/sign`: the signature.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SignResponse {
    /// In the layout of the key type.
    #[serde(with = "base64")]
    #[schema(value_type = Base64)]
    pub signature: Value,
}

/// `POST …/verify`: a message and its signature.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    /// The message.
    #[serde(with = "base64")]
    #[schema(value_type = NullableBase64)]
    pub plaintext: Value,
    /// Its signature.
    #[serde(with = "base64")]
    #[schema(value_type = NullableBase64)]
    pub signature: Value,
}

fn no_bytes() -> Value {
    Value::new(Vec::new())
}

impl PartialSchema for GenerateSecretKey {
    fn schema() -> RefOr<Schema> {
        let null = ObjectBuilder::new().schema_type(SchemaType::new(Type::Null)).description(Some(
            "Clients in Go send `null`. Any other value is refused: another route imports keys.",
        ));
        ObjectBuilder::new()
            .description(Some("`POST …/secretkeys/{name}/generate`: a new key that never leaves the server."))
            .property("type", Ref::from_schema_name(SecretKeyType::name()))
            .required("type")
            .property("value", null)
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .into()
    }
}

impl ToSchema for GenerateSecretKey {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((SecretKeyType::name().into_owned(), SecretKeyType::schema()));
    }
}

/// `null` and an absent field are `None`.
fn null_or_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IgnoredAny>, D::Error> {
    let value = crate::unique::UniqueJson::deserialize(deserializer)?.0;
    Ok(if value.is_null() { None } else { Some(IgnoredAny) })
}

/// Bytes as one base64 text; `null` is no bytes.
mod base64 {
    use std::fmt;

    use data_encoding::BASE64;
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};
    use zeroize::Zeroizing;

    use crate::json::{Violation, refused};
    use crate::value::Value;

    pub(super) fn serialize<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(BASE64.encode(value.expose_bytes())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        struct Base64;
        impl Visitor<'_> for Base64 {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64 or null")
            }

            fn visit_unit<E: Error>(self) -> Result<Value, E> {
                Ok(Value::new(Vec::new()))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
                let decoded = BASE64.decode(text.as_bytes());
                decoded.map(Value::new).map_err(|_| refused(Violation::NotBase64))
            }
        }
        deserializer.deserialize_any(Base64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_back_and_no_other_is_known() {
        for kind in SecretKeyType::ALL {
            let json = serde_json::to_string(kind).unwrap();
            assert_eq!(json, format!("\"{kind}\""));
            assert_eq!(serde_json::from_str::<SecretKeyType>(&json).unwrap(), *kind);
        }
        assert_eq!(
            serde_json::from_str::<SecretKeyType>("\"canary\"").unwrap_err().to_string(),
            "a secret key's type is one of hs256 hs384 hs512 xaes256gcm nacl_auth nacl_box nacl_secretbox \
             nacl_sign es256"
        );
    }

    #[test]
    fn bytes_are_base64_and_null_is_no_bytes() {
        let read = |text: &str| {
            serde_json::from_str::<EncryptRequest>(text).map_err(|error| error.to_string()).map(|request| {
                (request.plaintext.expose_bytes().to_vec(), request.associated_data.expose_bytes().to_vec())
            })
        };
        assert_eq!(read(r#"{"plaintext":"/wA="}"#), Ok((vec![0xff, 0], vec![])));
        assert_eq!(read(r#"{"plaintext":null,"associated_data":"eA=="}"#), Ok((vec![], b"x".to_vec())));
        for bad in [r#"{"plaintext":"_wA="}"#, r#"{"plaintext":"canary"}"#] {
            assert!(read(bad).unwrap_err().starts_with("a byte field is not base64"), "{bad}");
        }
        for bad in [r#"{"plaintext":[1]}"#, r#"{}"#, r#"{"plaintext":"","extra":1}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_encryption_without_associated_data_leaves_the_field_out() {
        let request = EncryptRequest { plaintext: Value::new(b"m".to_vec()), associated_data: no_bytes() };
        assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"plaintext":"bQ=="}"#);
    }

    #[test]
    fn a_generation_takes_null_as_its_value() {
        let given =
            [r#"{"type":"hs256","value":null}"#, r#"{"type":"hs256"}"#, r#"{"type":"hs256","value":"eA=="}"#]
                .map(|text| serde_json::from_str::<GenerateSecretKey>(text).unwrap().value.is_some());
        assert_eq!(given, [false, false, true]);
    }

    #[test]
    fn debug_shows_no_material_and_no_message() {
        let key = SetSecretKey { kind: SecretKeyType::Hs256, value: Value::new(b"canary".to_vec()) };
        assert_eq!(format!("{key:?}"), "SetSecretKey { kind: Hs256, value: Value(..) }");
    }
}
