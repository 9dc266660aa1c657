//! Secret keys, in the Machines-API shapes (macaroon format, part 10) with petsem's additions. Byte fields
//! are standard base64 with padding; `null` is none, as Go writes it.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::name::SecretKeyName;
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

/// No type has this name. Never repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretKeyTypeError;

impl std::fmt::Display for SecretKeyTypeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a secret key's type is one of")?;
        SecretKeyType::ALL.iter().try_for_each(|kind| write!(f, " {kind}"))
    }
}

impl std::error::Error for SecretKeyTypeError {}

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
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One secret key as the API shows it: never its material.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretKey {
    /// Its label.
    pub name: SecretKeyName,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: SecretKeyType,
    /// Its public key in base64, where the type has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// When it was made or brought, RFC 3339.
    pub created_at: String,
    /// The app version that has it since.
    pub set_in_version: u64,
    /// Who made or brought it (issuer and subject, or token id).
    pub author: String,
}

/// `GET …/secretkeys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretKeyList {
    /// The keys, by name.
    pub secret_keys: Vec<SecretKey>,
    /// The app version that they stand at.
    pub version: u64,
}

/// `POST …/secretkeys/{name}`: a key that its owner brings.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSecretKey {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: SecretKeyType,
    /// Its material.
    #[serde(with = "base64")]
    pub value: Value,
}

/// `POST …/secretkeys/{name}/generate`: a new key, which nobody ever sees.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateSecretKey {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: SecretKeyType,
    /// Go's client sends `null`; anything else belongs to another route.
    #[serde(default, skip_serializing)]
    pub value: Option<IgnoredAny>,
}

/// A set or generated key, and the app version that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetSecretKeyResponse {
    /// The key, without its material.
    #[serde(flatten)]
    pub key: SecretKey,
    /// The new app version.
    pub version: u64,
    /// The same, under its older name.
    #[serde(rename = "Version", default)]
    pub deprecated_version: u64,
}

/// `POST …/encrypt`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptRequest {
    /// The message, at most 1 MiB.
    #[serde(with = "base64")]
    pub plaintext: Value,
    /// What is authenticated beside it, where the type can.
    #[serde(default = "nothing", with = "base64", skip_serializing_if = "Value::is_empty")]
    pub associated_data: Value,
}

/// What `encrypt` answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct EncryptResponse {
    /// In the layout of the key's type.
    #[serde(with = "base64")]
    pub ciphertext: Value,
}

/// `POST …/decrypt`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecryptRequest {
    /// In the layout of the key's type.
    #[serde(with = "base64")]
    pub ciphertext: Value,
    /// What was authenticated beside it.
    #[serde(default = "nothing", with = "base64", skip_serializing_if = "Value::is_empty")]
    pub associated_data: Value,
}

/// What `decrypt` answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct DecryptResponse {
    /// The message.
    #[serde(with = "base64")]
    pub plaintext: Value,
}

/// `POST …/sign`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignRequest {
    /// The message, at most 1 MiB.
    #[serde(with = "base64")]
    pub plaintext: Value,
}

/// What `sign` answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct SignResponse {
    /// In the layout of the key's type.
    #[serde(with = "base64")]
    pub signature: Value,
}

/// `POST …/verify`; a good signature answers 204.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    /// The message.
    #[serde(with = "base64")]
    pub plaintext: Value,
    /// Its signature.
    #[serde(with = "base64")]
    pub signature: Value,
}

fn nothing() -> Value {
    Value::new(Vec::new())
}

/// Bytes as one base64 text; `null` is none.
mod base64 {
    use data_encoding::BASE64;
    use serde::{Deserialize, Deserializer, Serializer};
    use zeroize::{Zeroize, Zeroizing};

    use crate::value::Value;

    pub(super) fn serialize<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(BASE64.encode(value.expose_bytes())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        let mut text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        let decoded = BASE64.decode(text.as_bytes());
        text.zeroize();
        decoded.map(Value::new).map_err(|_| {
            serde::de::Error::custom(
                "a byte field is not base64: use the standard alphabet (+ /) with padding",
            )
        })
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
    fn bytes_are_base64_and_null_is_none() {
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
        let request = EncryptRequest { plaintext: Value::new(b"m".to_vec()), associated_data: nothing() };
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
