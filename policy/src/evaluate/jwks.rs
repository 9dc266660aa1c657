//! The public keys of an issuer (RFC 7517). A set is judged key by key: an odd key shuts out only itself.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::algorithm::Algorithm;
use super::jwk::{self, Key};
use super::text::{JwksError, JwtError, KeyProblem, LeftOutKey};

/// Longest text of a key set, in bytes.
pub const MAX_JWKS_BYTES: usize = 256 * 1024;
/// Most keys that are tried for one signature.
pub const MAX_KEYS_TRIED: usize = 8;
/// Most left-out keys that are remembered with their reasons.
const MAX_LEFT_OUT: usize = 64;

/// An issuer's keys for verifying signatures. Cheap to clone; empty by default.
#[derive(Clone, Default)]
pub struct Jwks {
    keys: Arc<[Key]>,
    left_out: Arc<[LeftOutKey]>,
    left_out_count: usize,
    has_private_parts: bool,
}

impl Jwks {
    /// Parses a key set for a registration that pins these algorithms. A key that cannot be used is left out: see
    /// [`Self::parse_published`].
    ///
    /// # Errors
    /// [`JwksError`] if a key has its private part, or no key can verify any of the algorithms.
    pub fn parse(json: &str, algorithms: &[Algorithm]) -> Result<Self, JwksError> {
        if json.len() > MAX_JWKS_BYTES {
            return Err(JwksError::TooLong);
        }
        // Of a registration nothing private may be sent on, wherever it is, and whatever else is wrong.
        let whole: Value = serde_json::from_str(json).map_err(JwksError::Json)?;
        if let Some(member) = jwk::private_part(&whole) {
            return Err(JwksError::PrivatePart { member });
        }
        let set = read(json)?;
        let keys = Self::of(&set, algorithms);
        if !keys.is_empty() {
            return Ok(keys);
        }
        let names: Vec<&str> = algorithms.iter().map(|algorithm| algorithm.name()).collect();
        Err(JwksError::NoUsableKey { algorithms: names.join(", "), left_out: keys.left_out.to_vec() })
    }

    /// Parses a key set as its issuer publishes it. These keys are left out, each with its [`KeyProblem`]: kinds
    /// without an [`Algorithm`], which includes symmetric keys; keys that are published with their private part; keys
    /// for other uses than signatures, or for none of these algorithms; RSA keys below 2048 or above 8192 bits, or that
    /// can be factored (CVE-2017-15361); and keys that do not parse (RFC 7517 §5). Numbers may have leading zeros or
    /// lack them, padding, and either alphabet of base64. The set may be empty: an issuer can withdraw all keys.
    ///
    /// # Errors
    /// [`JwksError`] if the text is not a key set.
    pub fn parse_published(json: &str, algorithms: &[Algorithm]) -> Result<Self, JwksError> {
        read(json).map(|set| Self::of(&set, algorithms))
    }

    fn of(set: &[&RawValue], algorithms: &[Algorithm]) -> Self {
        let (mut keys, mut left_out, mut left_out_count) = (Vec::new(), Vec::new(), 0);
        let set: Vec<Value> =
            set.iter().map(|text| serde_json::from_str(text.get()).unwrap_or(Value::Null)).collect();
        let exposed = jwk::exposed(&set);
        for (index, value) in set.iter().enumerate() {
            let judged = Key::read(value).and_then(|key| {
                if exposed.contains(&key.thumbprint) {
                    return Err(KeyProblem::Exposed);
                }
                let fits = algorithms.iter().any(|algorithm| key.fits(*algorithm));
                if fits { Ok(key) } else { Err(KeyProblem::NotRegistered) }
            });
            match judged {
                Ok(key) => keys.push(key),
                Err(problem) => {
                    left_out_count += 1;
                    if left_out.len() < MAX_LEFT_OUT {
                        let id = jwk::id_of(value).map(str::to_owned);
                        left_out.push(LeftOutKey { position: index + 1, id, problem });
                    }
                }
            }
        }
        let has_private_parts = set.iter().any(|value| jwk::private_part(value).is_some());
        Self { keys: keys.into(), left_out: left_out.into(), left_out_count, has_private_parts }
    }

    /// The key set with only those members that are understood, all of them public.
    pub fn public_members(set: &Value) -> Value {
        let keys = set.get("keys").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        json!({ "keys": keys.iter().map(jwk::public_members).collect::<Vec<_>>() })
    }

    /// Whether a usable key has this id, for any algorithm.
    pub fn has_id(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// The number of usable keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The thumbprint of each usable key, sorted, each once: the SHA-256 of RFC 7638, in base64url.
    pub fn thumbprints(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.keys.iter().map(|key| key.thumbprint.as_str()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether there is none; never true for a registered set.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The first 64 keys that are left out, in the order of the set.
    pub fn left_out(&self) -> &[LeftOutKey] {
        &self.left_out
    }

    /// Whether private or symmetric keys are in the set, which others may have seen.
    pub fn has_private_parts(&self) -> bool {
        self.has_private_parts
    }

    /// The number of keys that are left out.
    pub fn left_out_count(&self) -> usize {
        self.left_out_count
    }

    /// Verifies a signature by the keys with this id that fit the algorithm; without an id by all that fit (RFC 7515
    /// §4.1.4). Ids are hints and optional in both, so keys without one are tried if none has the JWT's.
    pub(super) fn verify(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), JwtError> {
        let is_named = id.is_none_or(|id| self.has_id(id));
        let candidates = self.keys.iter().filter(|key| match id {
            Some(_) if is_named => key.id.as_deref() == id,
            Some(_) => key.id.is_none(),
            None => true,
        });
        let mut tried: Vec<&str> = Vec::new();
        for key in candidates.filter(|key| key.fits(algorithm)) {
            // A set may list one key for several algorithms.
            if tried.contains(&key.thumbprint.as_str()) {
                continue;
            }
            if tried.len() == MAX_KEYS_TRIED {
                return Err(JwtError::TooManyKeys);
            }
            if key.verifies(algorithm, signed, signature) {
                return Ok(());
            }
            tried.push(&key.thumbprint);
        }
        let left_out = id.and_then(|id| self.left_out.iter().find(|key| key.id.as_deref() == Some(id)));
        Err(match (id, left_out, is_named) {
            (_, _, true) if !tried.is_empty() => JwtError::Signature,
            (_, Some(key), _) => JwtError::KeyLeftOut(key.problem),
            (None, ..) => JwtError::NoKey,
            (Some(_), None, true) => JwtError::KeyDoesNotFit,
            (Some(_), None, false) => JwtError::UnknownKey,
        })
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

/// Keys are parsed one by one, because an issuer may publish unknown kinds.
#[derive(Deserialize)]
struct KeySet<'j> {
    #[serde(borrow)]
    keys: Vec<&'j RawValue>,
}

fn read(json: &str) -> Result<Vec<&RawValue>, JwksError> {
    if json.len() > MAX_JWKS_BYTES {
        return Err(JwksError::TooLong);
    }
    // A derived `Deserialize` also accepts a list of the fields; RFC 7517 requires an object.
    if !json.trim_start().starts_with('{') {
        return Err(JwksError::Json(serde::de::Error::custom("a key set is an object")));
    }
    serde_json::from_str(json).map(|set: KeySet<'_>| set.keys).map_err(JwksError::Json)
}
