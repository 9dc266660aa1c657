//! JWTs (RFC 7519) signed by a registered issuer.
//!
//! The library checks signatures and nothing else: it would read the clock, and take what its defaults say.
//! The order is: size, shape, pinned algorithm, key, signature; only then are claims looked at.

use std::collections::BTreeMap;
use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use super::jwks::{Algorithm, Jwks};
use super::unique::UniqueObject;

/// Longest JWT, in bytes.
pub const MAX_JWT_BYTES: usize = 16 * 1024;
/// How far the issuer's clock may be off, in seconds.
const SKEW_SECONDS: i64 = 30;
/// What `typ` may be, if it is there (RFC 7519 §5.1, RFC 9068 §2.1): whatever was made for another purpose
/// says so here (RFC 8725 §3.11).
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// An issuer as an operator registered it.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its id here.
    pub id: [u8; 16],
    /// The `iss` of its JWTs, exactly.
    pub iss: String,
    /// This installation's own name: `aud` must hold it.
    pub audience: String,
    /// The algorithms that its JWTs may use.
    pub algorithms: Vec<Algorithm>,
    /// Its keys.
    pub keys: Jwks,
}

/// The claims of a JWT that was verified, or those of them that were stored with what came of it.
#[derive(Clone, PartialEq)]
pub struct Claims {
    values: Map<String, Value>,
    /// `iat` and `exp`; not known of stored claims.
    times: Option<(i64, i64)>,
}

impl Claims {
    /// The claims that a rule read when it allowed something, to ask it again later.
    pub fn from_stored(claims: BTreeMap<String, String>) -> Self {
        Self {
            values: claims.into_iter().map(|(name, text)| (name, Value::String(text))).collect(),
            times: None,
        }
    }

    /// Claims that nobody signed, as JSON of an object: to try a policy out, and for nothing else.
    ///
    /// # Errors
    /// [`JwtError::NotAJwt`] unless it is an object with unique names, [`JwtError::TooLong`] over 16 KiB,
    /// [`JwtError::Claim`] if `iat` or `exp` is no time.
    pub fn danger_assume(json: &str) -> Result<Self, JwtError> {
        if json.len() > MAX_JWT_BYTES {
            return Err(JwtError::TooLong);
        }
        let UniqueObject(values) = serde_json::from_str(json).map_err(|_| JwtError::NotAJwt)?;
        Self::unverified(values)
    }

    /// The claims of a JWT that is not verified: to try a policy out, and for nothing else.
    ///
    /// # Errors
    /// [`JwtError::NotAJwt`] or [`JwtError::TooLong`], or [`JwtError::Claim`] if `iat` or `exp` is no time.
    pub fn danger_read_unverified(text: &str) -> Result<Self, JwtError> {
        Self::unverified(json_object(Parts::split(text)?.claims)?)
    }

    fn unverified(values: Map<String, Value>) -> Result<Self, JwtError> {
        let times = time(&values, "iat")?.zip(time(&values, "exp")?);
        Ok(Self { values, times })
    }

    /// A claim, if it is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).and_then(Value::as_str)
    }

    /// Whether the claim is there, as whatever it is.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// `iss`.
    pub fn issuer(&self) -> &str {
        self.text("iss").unwrap_or_default()
    }

    /// `sub`, if it is text.
    pub fn subject(&self) -> Option<&str> {
        self.text("sub")
    }

    /// `jti`, if it is text.
    pub fn jti(&self) -> Option<&str> {
        self.text("jti")
    }

    /// `exp` in unix seconds; `None` of stored claims.
    pub fn expires_at(&self) -> Option<i64> {
        self.times.map(|(_, expires)| expires)
    }

    /// `iat` in unix seconds; `None` of stored claims.
    pub fn issued_at(&self) -> Option<i64> {
        self.times.map(|(issued, _)| issued)
    }

    /// `exp` minus `iat`; `None` of stored claims.
    pub fn life_seconds(&self) -> Option<i64> {
        self.times.map(|(issued, expires)| expires.saturating_sub(issued))
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Claims({} claims)", self.values.len())
    }
}

/// The `iss` of a JWT that nobody has verified: good for finding the issuer's record, and for nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedIssuer(pub String);

/// Reads which issuer a JWT names, to look up its record.
///
/// # Errors
/// [`JwtError`] if the text is too long or no JWT, or `iss` is missing.
pub fn issuer_of(text: &str) -> Result<UnverifiedIssuer, JwtError> {
    let parts = Parts::split(text)?;
    let claims = json_object(parts.claims)?;
    match claims.get("iss") {
        Some(Value::String(iss)) => Ok(UnverifiedIssuer(iss.clone())),
        _ => Err(JwtError::Claim("iss")),
    }
}

/// Verifies a JWT of this issuer.
///
/// Keys, and addresses of keys, that stand in the header (`jwk`, `jku`, `x5c`, `x5u`) are not looked at.
///
/// Required: a pinned algorithm that fits the key, a good signature, `iss`, `aud` (text or list) with this
/// installation's name, `iat` and `exp` at most `max_life_seconds` apart, and `now` (unix seconds) between
/// `iat`, `nbf` (if there) and `exp`, give or take 30 s. A boot proof may live 300 s, a direct use 900 s.
///
/// # Errors
/// [`JwtError`] with the first thing that is wrong.
pub fn verify_jwt(text: &str, issuer: &Issuer, max_life_seconds: i64, now: i64) -> Result<Claims, JwtError> {
    let parts = signed_parts(text, issuer)?;
    checked_claims(json_object(parts.claims)?, issuer, max_life_seconds, now)
}

/// The parts of a JWS whose header asks for nothing strange, and which one of the issuer's keys signed. What it
/// says was not looked at.
pub(super) fn signed_parts<'t>(text: &'t str, issuer: &Issuer) -> Result<Parts<'t>, JwtError> {
    let parts = Parts::split(text)?;
    let header = json_object(parts.header)?;
    // Extensions that must be understood (RFC 7515 §4.1.11): none is.
    if header.contains_key("crit") || header.contains_key("b64") || header.contains_key("zip") {
        return Err(JwtError::Extension);
    }
    if !header.get("typ").is_none_or(is_jwt_type) {
        return Err(JwtError::Type);
    }
    let algorithm = match header.get("alg") {
        Some(Value::String(name)) => Algorithm::from_name(name),
        _ => None,
    };
    let algorithm = algorithm.filter(|name| issuer.algorithms.contains(name)).ok_or(JwtError::Algorithm)?;
    let key_id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) => Some(id.as_str()),
        Some(_) => return Err(JwtError::UnknownKey),
    };
    let key = issuer.keys.find(key_id, algorithm).ok_or(JwtError::UnknownKey)?;
    if is_signed(parts.signed.as_bytes(), parts.signature, key, algorithm) {
        Ok(parts)
    } else {
        Err(JwtError::Signature)
    }
}

/// Whether the signature, in base64url, is good.
fn is_signed(signed: &[u8], signature: &str, key: &DecodingKey, algorithm: Algorithm) -> bool {
    jsonwebtoken::crypto::verify(signature, signed, key, algorithm.of_library()).unwrap_or(false)
}

/// Media types are compared without case, and `application/` may be left out (RFC 7515 §4.1.9).
fn is_jwt_type(value: &Value) -> bool {
    let Some(text) = value.as_str() else { return false };
    let text = text.to_ascii_lowercase();
    TYPES.contains(&text.strip_prefix("application/").unwrap_or(&text))
}

fn checked_claims(
    values: Map<String, Value>,
    issuer: &Issuer,
    max_life_seconds: i64,
    now: i64,
) -> Result<Claims, JwtError> {
    if values.get("iss").and_then(Value::as_str) != Some(issuer.iss.as_str()) {
        return Err(JwtError::Claim("iss"));
    }
    let for_us = match values.get("aud") {
        Some(Value::String(audience)) => *audience == issuer.audience,
        Some(Value::Array(list)) => list.iter().any(|audience| audience.as_str() == Some(&issuer.audience)),
        _ => false,
    };
    if !for_us {
        return Err(JwtError::Claim("aud"));
    }
    let issued = time(&values, "iat")?.ok_or(JwtError::Claim("iat"))?;
    let expires = time(&values, "exp")?.ok_or(JwtError::Claim("exp"))?;
    let not_before = time(&values, "nbf")?.unwrap_or(issued);
    let latest_start = now.saturating_add(SKEW_SECONDS);
    if issued > latest_start || not_before > latest_start {
        return Err(JwtError::NotYetValid);
    }
    if now > expires.saturating_add(SKEW_SECONDS) {
        return Err(JwtError::Expired);
    }
    if expires.saturating_sub(issued) > max_life_seconds {
        return Err(JwtError::TooLongLived);
    }
    Ok(Claims { values, times: Some((issued, expires)) })
}

/// A NumericDate (RFC 7519 §2), fractions cut off.
fn time(values: &Map<String, Value>, name: &'static str) -> Result<Option<i64>, JwtError> {
    let Some(value) = values.get(name) else { return Ok(None) };
    if let Some(seconds) = value.as_i64() {
        return Ok(Some(seconds));
    }
    match value.as_f64() {
        #[expect(clippy::cast_possible_truncation, reason = "the range was checked; fractions are cut off")]
        Some(seconds) if seconds.abs() < 1e15 => Ok(Some(seconds as i64)),
        _ => Err(JwtError::Claim(name)),
    }
}

/// The parts of a compact JWS (RFC 7515 §7.1).
pub(super) struct Parts<'t> {
    header: &'t str,
    claims: &'t str,
    signature: &'t str,
    signed: &'t str,
}

impl<'t> Parts<'t> {
    fn split(text: &'t str) -> Result<Self, JwtError> {
        if text.len() > MAX_JWT_BYTES {
            return Err(JwtError::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(JwtError::NotAJwt)?;
        let (header, claims) = signed.split_once('.').ok_or(JwtError::NotAJwt)?;
        if claims.contains('.') {
            return Err(JwtError::NotAJwt);
        }
        Ok(Self { header, claims, signature, signed })
    }
}

fn json_object(part: &str) -> Result<Map<String, Value>, JwtError> {
    let bytes = BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| JwtError::NotAJwt)?;
    serde_json::from_slice(&bytes).map(|UniqueObject(map)| map).map_err(|_| JwtError::NotAJwt)
}

/// Why a JWT does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JwtError {
    /// Over 16 KiB.
    TooLong,
    /// Not three parts of base64url, or not JSON objects with unique names in them.
    NotAJwt,
    /// Its header says that it was made for another purpose.
    Type,
    /// The header asks for an extension that must be understood.
    Extension,
    /// The algorithm is not one of the issuer's.
    Algorithm,
    /// The issuer has no such key for that algorithm. A caller may fetch its keys anew.
    UnknownKey,
    /// The signature is wrong.
    Signature,
    /// A required claim is missing, or not what it must be.
    Claim(&'static str),
    /// Its time has not come.
    NotYetValid,
    /// Its time is over.
    Expired,
    /// It lives longer than its use here allows.
    TooLongLived,
}

impl fmt::Display for JwtError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::text::jwt_error(*self, out)
    }
}

impl std::error::Error for JwtError {}
