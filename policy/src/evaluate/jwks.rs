//! The public keys of an issuer (RFC 7517), and the algorithms that can be pinned.

use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse, RSAKeyParameters, ThumbprintHash,
};
use serde::Deserialize;
use serde_json::Value;

use super::roca;
use super::text::JwksError;

/// Longest text of a key set, in bytes.
pub const MAX_JWKS_BYTES: usize = 256 * 1024;
/// Members of private and symmetric keys (RFC 7518 §6.2.2, §6.3.2, §6.4; `priv` of algorithm key pairs).
const PRIVATE_PARTS: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
/// Shortest accepted RSA modulus, in bits (RFC 7518 §3.3).
const SHORTEST_RSA: usize = 2048;
/// Longest accepted RSA modulus, in bits: it bounds the cost of a verification.
const LONGEST_RSA: usize = 8192;

/// Signature algorithms of JWTs (RFC 7518, RFC 8037). None uses a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::RS256, Self::RS384, Self::RS512, Self::PS256, Self::ES256, Self::ES384, Self::EdDSA];

    /// The name in a JWT header, exactly.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    /// The algorithm with that [`Self::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    pub(super) const fn to_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::RS256 => jsonwebtoken::Algorithm::RS256,
            Self::RS384 => jsonwebtoken::Algorithm::RS384,
            Self::RS512 => jsonwebtoken::Algorithm::RS512,
            Self::PS256 => jsonwebtoken::Algorithm::PS256,
            Self::ES256 => jsonwebtoken::Algorithm::ES256,
            Self::ES384 => jsonwebtoken::Algorithm::ES384,
            Self::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        }
    }

    const fn key_kind(self) -> KeyKind {
        match self {
            Self::RS256 | Self::RS384 | Self::RS512 | Self::PS256 => KeyKind::Rsa,
            Self::ES256 => KeyKind::P256,
            Self::ES384 => KeyKind::P384,
            Self::EdDSA => KeyKind::Ed25519,
        }
    }
}

/// An issuer's keys for verifying signatures. Cheap to clone; empty by default.
#[derive(Clone, Default)]
pub struct Jwks(Arc<[Key]>);

#[derive(Clone)]
struct Key {
    id: Option<String>,
    kind: KeyKind,
    /// The algorithm, if the key names one.
    only: Option<String>,
    thumbprint: String,
    key: DecodingKey,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Jwks {
    /// Parses a key set for a registration. Unusable keys are skipped: see [`Self::parse_published`].
    ///
    /// # Errors
    /// [`JwksError`] if a key has its private part, no usable key remains, or two keys of one kind have the same id.
    pub fn parse(json: &str) -> Result<Self, JwksError> {
        let set = read(json)?;
        // A registration is stored and shown as it was given, with all that surrounds the keys.
        let whole: Value = serde_json::from_str(json).map_err(JwksError::Json)?;
        if let Some(member) = private_part(&whole) {
            return Err(JwksError::PrivatePart { member });
        }
        let keys = Self::of(set)?;
        if keys.is_empty() { Err(JwksError::NoUsableKey) } else { Ok(keys) }
    }

    /// Parses a key set as its issuer publishes it. These keys are skipped: kinds without an [`Algorithm`], which
    /// includes symmetric keys; keys that are published with their private part; keys for other uses than signatures; RSA
    /// keys below 2048 or above 8192 bits, or that can be factored (CVE-2017-15361); and keys that do not parse (RFC 7517
    /// §5). The set may be empty: an issuer can withdraw all keys.
    ///
    /// # Errors
    /// [`JwksError`] if the text is not a key set, or two keys of one kind have the same id.
    pub fn parse_published(json: &str) -> Result<Self, JwksError> {
        Self::of(read(json)?)
    }

    fn of(set: Vec<Value>) -> Result<Self, JwksError> {
        let keys: Vec<Key> = set.into_iter().filter_map(Key::usable).collect();
        for (index, key) in keys.iter().enumerate() {
            let same = |other: &Key| other.id == key.id && other.kind == key.kind;
            if key.id.is_some() && keys.iter().take(index).any(same) {
                return Err(JwksError::RepeatedId);
            }
        }
        Ok(Self(keys.into()))
    }

    /// Whether a key has this id, for any algorithm.
    pub fn has_id(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// The number of usable keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The thumbprint of each usable key: the SHA-256 of RFC 7638, in base64url.
    pub fn thumbprints(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.thumbprint.as_str())
    }

    /// Whether there is none; never true for a registered set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that a JWT names. Without an id, the set must have exactly one key for the algorithm.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let mut candidates = self
            .0
            .iter()
            .filter(|key| id.is_none() || key.id.as_deref() == id)
            .filter(|key| key.kind == algorithm.key_kind())
            .filter(|key| key.only.as_deref().is_none_or(|only| only == algorithm.name()));
        match (candidates.next(), candidates.next()) {
            (Some(key), None) => Some(&key.key),
            _ => None,
        }
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

/// Keys are parsed one by one, because an issuer may publish unknown kinds.
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

fn read(json: &str) -> Result<Vec<Value>, JwksError> {
    if json.len() > MAX_JWKS_BYTES {
        return Err(JwksError::TooLong);
    }
    // A derived `Deserialize` also accepts a list of the fields; RFC 7517 requires an object.
    if !json.trim_start().starts_with('{') {
        return Err(JwksError::Json(serde::de::Error::custom("a key set is an object")));
    }
    serde_json::from_str(json).map(|set: KeySet| set.keys).map_err(JwksError::Json)
}

/// The member, at any depth, that others must not see.
fn private_part(json: &Value) -> Option<&'static str> {
    match json {
        Value::Object(members) => PRIVATE_PARTS
            .into_iter()
            .find(|member| members.contains_key(*member))
            .or_else(|| members.values().find_map(private_part)),
        Value::Array(items) => items.iter().find_map(private_part),
        _ => None,
    }
}

impl Key {
    fn usable(value: Value) -> Option<Self> {
        if private_part(&value).is_some() {
            return None;
        }
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let kind = match &jwk.algorithm {
            AlgorithmParameters::RSA(key) if has_accepted_modulus(key) => KeyKind::Rsa,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => KeyKind::P256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => KeyKind::P384,
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => KeyKind::Ed25519,
            _ => return None,
        };
        let common = &jwk.common;
        let for_signatures =
            common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature)
                && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
        if !for_signatures {
            return None;
        }
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        let thumbprint = jwk.thumbprint(ThumbprintHash::SHA256).ok()?;
        let only = common.key_algorithm.map(|algorithm| algorithm.to_string());
        Some(Self { id: jwk.common.key_id, kind, only, thumbprint, key })
    }
}

/// Whether the modulus has an accepted length, and is not known to be factorable.
fn has_accepted_modulus(key: &RSAKeyParameters) -> bool {
    let Ok(modulus) = BASE64URL_NOPAD.decode(key.n.trim_end_matches('=').as_bytes()) else { return false };
    let mut bytes = modulus.iter().skip_while(|byte| **byte == 0);
    let Some(first) = bytes.next() else { return false };
    let top = usize::try_from(8 - first.leading_zeros()).unwrap_or(0);
    (SHORTEST_RSA..=LONGEST_RSA).contains(&(top + 8 * bytes.count())) && !roca::has_fingerprint(&modulus)
}
