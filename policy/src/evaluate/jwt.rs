//! JWTs (RFC 7519) signed by a registered issuer.
//!
//! The library only verifies signatures. The order here is size, shape, pinned algorithm, key, signature, and only then
//! the claims.

use std::borrow::Cow;
use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::jwks::Jwks;
use super::pointer;
use super::text::JwtError;
use super::unique::UniqueObject;

/// Longest JWT, in bytes.
pub const MAX_JWT_BYTES: usize = 16 * 1024;
/// Accepted clock skew of the issuer, in seconds.
const SKEW_SECONDS: i64 = 30;
/// Where the stored claims hold the foreign audiences, so that tokens and grants need no new format. No rule can name it.
const FOREIGN: &str = "";

/// An issuer, as registered by an operator.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its id in petsem.
    pub id: [u8; 16],
    /// The `iss` of its JWTs, exactly.
    pub iss: String,
    /// This installation's name: `aud` must contain it.
    pub audience: String,
    /// The audiences that it uses besides, for rules that name them.
    pub audiences: Vec<String>,
    /// The claim with the audience, where that is not `aud`. A present `aud` must match, too.
    pub audience_claim: Option<String>,
    /// The accepted values of `typ`.
    pub types: JwtTypes,
    /// The pinned algorithms.
    pub algorithms: Vec<Algorithm>,
    /// Its keys.
    pub keys: Jwks,
}

/// What an issuer's JWTs declare in `typ` (RFC 7519 §5.1): JWTs for other purposes declare that there (RFC 8725 §3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JwtTypes {
    accepted: [bool; JwtTypes::NAMES.len()],
}

impl JwtTypes {
    /// The names of a registration; `none` is a JWT without `typ`.
    pub const NAMES: [&'static str; 4] = ["JWT", "JOSE", "at+jwt", "none"];

    /// These types, by their [`Self::NAMES`]; `None` if one is unknown.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<Self> {
        let mut accepted = [false; Self::NAMES.len()];
        for name in names {
            let index = Self::NAMES.iter().position(|known| *known == name)?;
            *accepted.get_mut(index)? = true;
        }
        Some(Self { accepted })
    }

    /// Media types are compared without case, and `application/` may be left out (RFC 7515 §4.1.9).
    fn accepts(self, declared: Option<&Value>) -> bool {
        let has = |name: &str| {
            let mut known = Self::NAMES.iter().zip(self.accepted);
            known.any(|(known, accepted)| accepted && known.eq_ignore_ascii_case(name))
        };
        match declared {
            None => has("none"),
            Some(Value::String(text)) => {
                let text = text.to_ascii_lowercase();
                let name = text.strip_prefix("application/").unwrap_or(&text);
                // Written out, it is another type.
                name != "none" && has(name)
            }
            Some(_) => false,
        }
    }
}

impl Default for JwtTypes {
    /// `JWT`, `at+jwt` (RFC 9068 §2.1) and none.
    fn default() -> Self {
        Self { accepted: Self::NAMES.map(|name| name != "JOSE") }
    }
}

/// The claims of a verified JWT, or the stored subset that a rule used.
#[derive(Clone, PartialEq)]
pub struct Claims {
    values: Map<String, Value>,
    /// `iat` and `exp`; unknown for stored claims.
    times: Option<(i64, i64)>,
    /// For each claim with an audience that is not this installation: the registered ones among its audiences.
    foreign: Vec<Vec<String>>,
}

impl Claims {
    /// The claims that a rule used when it allowed a request, to evaluate it again later.
    pub fn from_stored(mut claims: Map<String, Value>) -> Self {
        let foreign = claims.remove(FOREIGN).map_or_else(Vec::new, |foreign| {
            // What cannot be read is an audience that no rule names.
            serde_json::from_value(foreign).unwrap_or_else(|_| vec![Vec::new()])
        });
        Self { values: claims, times: None, foreign }
    }

    /// Adds to the claims to be stored which foreign audiences the JWT has.
    pub(super) fn store_audiences(&self, stored: &mut Map<String, Value>) {
        if !self.foreign.is_empty() {
            stored.insert(FOREIGN.to_owned(), Value::from(self.foreign.clone()));
        }
    }

    /// The audiences that are not this installation, by claim; a rule must name one of each.
    pub(super) fn foreign_audiences(&self) -> &[Vec<String>] {
        &self.foreign
    }

    /// [`Self::from_stored`], with `iat` and `exp` of the JWT in unix seconds, so that a rule's longest lifetime
    /// applies too.
    pub fn from_exchange(claims: Map<String, Value>, issued_at: i64, expires_at: i64) -> Self {
        Self { times: Some((issued_at, expires_at)), ..Self::from_stored(claims) }
    }

    /// Unsigned claims, as a JSON object. Use it only to test a policy.
    ///
    /// # Errors
    /// [`JwtError::NotAJwt`] unless it is an object with unique names, [`JwtError::TooLong`] over 16 KiB,
    /// [`JwtError::Claim`] if `iat` or `exp` is not a time, or `sub` or `jti` is not text.
    pub fn danger_assume(json: &str) -> Result<Self, JwtError> {
        if json.len() > MAX_JWT_BYTES {
            return Err(JwtError::TooLong);
        }
        let UniqueObject(values) = serde_json::from_str(json).map_err(|_| JwtError::NotAJwt)?;
        Self::unverified(values)
    }

    /// The claims of an unverified JWT. Use it only to test a policy.
    ///
    /// # Errors
    /// [`JwtError::NotAJwt`] or [`JwtError::TooLong`], or [`JwtError::Claim`] if `iat` or `exp` is not a time.
    pub fn danger_read_unverified(text: &str) -> Result<Self, JwtError> {
        Self::unverified(json_object(CompactJws::split(text)?.claims)?)
    }

    fn unverified(values: Map<String, Value>) -> Result<Self, JwtError> {
        check_texts(&values)?;
        let times = time(&values, "iat")?.zip(time(&values, "exp")?);
        Ok(Self { values, times, foreign: Vec::new() })
    }

    /// A claim.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// The value that a JSON pointer finds, through objects only.
    pub fn at(&self, path: &str) -> Option<&Value> {
        self.find(&pointer::steps(path)?)
    }

    pub(super) fn find(&self, steps: &[Cow<'_, str>]) -> Option<&Value> {
        pointer::find(&self.values, steps)
    }

    /// A claim, if it is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).and_then(Value::as_str)
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

    /// `exp` in unix seconds; `None` for stored claims without times.
    pub fn expires_at(&self) -> Option<i64> {
        self.times.map(|(_, expires)| expires)
    }

    /// `iat` in unix seconds; `None` for stored claims.
    pub fn issued_at(&self) -> Option<i64> {
        self.times.map(|(issued, _)| issued)
    }

    /// `exp` minus `iat`; `None` for stored claims.
    pub fn life_seconds(&self) -> Option<i64> {
        self.times.map(|(issued, expires)| expires.saturating_sub(issued))
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Claims({} claims)", self.values.len())
    }
}

/// The `iss` of an unverified JWT. Use it only to find the issuer's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedIssuer(pub String);

/// The issuer that an unverified JWT names, to find its record.
///
/// # Errors
/// [`JwtError`] if the text is too long or not a JWT, or `iss` is missing.
pub fn issuer_of(text: &str) -> Result<UnverifiedIssuer, JwtError> {
    let claims = json_object(CompactJws::split(text)?.claims)?;
    match claims.get("iss") {
        Some(Value::String(iss)) => Ok(UnverifiedIssuer(iss.clone())),
        _ => Err(JwtError::Claim("iss")),
    }
}

/// The `kid` of an unverified JWT. Use it only to decide whether to fetch newer keys from the issuer. `None` also if
/// it is not text.
///
/// # Errors
/// [`JwtError`] if the text is too long or not a JWT.
pub fn key_id_of(text: &str) -> Result<Option<String>, JwtError> {
    match json_object(CompactJws::split(text)?.header)?.remove("kid") {
        Some(Value::String(id)) => Ok(Some(id)),
        _ => Ok(None),
    }
}

/// Verifies a JWT of this issuer.
///
/// Keys and key addresses in the header (`jwk`, `jku`, `x5c`, `x5u`) are ignored.
///
/// Required: a pinned algorithm that fits the key, a valid signature, a registered `typ`, `iss`, an audience (text or
/// list) that is this installation's name or registered for the issuer, `iat` and `exp` at most `max_life_seconds`
/// apart, and `now` (unix seconds) between `iat`, `nbf` (if present) and `exp`, with 30 s of skew. `sub` and `jti`, if
/// present, are text. How long a JWT may live is what its issuer is registered with; rules allow less unless they name
/// more.
///
/// # Errors
/// [`JwtError`] with the first failed check.
pub fn verify_jwt(text: &str, issuer: &Issuer, max_life_seconds: i64, now: i64) -> Result<Claims, JwtError> {
    let jws = verify_signature(text, issuer)?;
    checked_claims(json_object(jws.claims)?, issuer, max_life_seconds, now)
}

/// A JWS with an accepted header and a valid signature of one of the issuer's keys. Its claims are not checked.
pub(super) fn verify_signature<'t>(text: &'t str, issuer: &Issuer) -> Result<CompactJws<'t>, JwtError> {
    let jws = CompactJws::split(text)?;
    let header = json_object(jws.header)?;
    // petsem supports no critical extension (RFC 7515 §4.1.11).
    if header.contains_key("crit") || header.contains_key("b64") || header.contains_key("zip") {
        return Err(JwtError::Extension);
    }
    if !issuer.types.accepts(header.get("typ")) {
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
        Some(_) => return Err(JwtError::KeyId),
    };
    // What is not base64url is no signature of any key; the keys are looked for first, to blame what is at fault.
    let signature = BASE64URL_NOPAD.decode(jws.signature.as_bytes()).unwrap_or_default();
    issuer.keys.verify(key_id, algorithm, jws.signed.as_bytes(), &signature)?;
    Ok(jws)
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
    let foreign = foreign_audiences(&values, issuer)?;
    check_texts(&values)?;
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
    // Without a subject, nobody could revoke or tell apart what a JWT for somebody else did here.
    if !foreign.is_empty() && values.get("sub").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(JwtError::Claim("sub"));
    }
    Ok(Claims { values, times: Some((issued, expires)), foreign })
}

/// Checks the audiences, and returns the foreign ones: see [`Claims::foreign`].
fn foreign_audiences(values: &Map<String, Value>, issuer: &Issuer) -> Result<Vec<Vec<String>>, JwtError> {
    let mut claims = vec![issuer.audience_claim.as_deref().unwrap_or("aud")];
    if claims != ["aud"] && values.contains_key("aud") {
        claims.push("aud");
    }
    let mut foreign = Vec::new();
    for claim in claims {
        let all: Vec<&str> = match values.get(claim) {
            Some(Value::String(audience)) => vec![audience.as_str()],
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if all.contains(&issuer.audience.as_str()) {
            continue;
        }
        let known = issuer.audiences.iter().filter(|known| all.contains(&known.as_str()));
        let known: Vec<String> = known.cloned().collect();
        if known.is_empty() {
            return Err(if claim == "aud" { JwtError::Claim("aud") } else { JwtError::AudienceClaim });
        }
        foreign.push(known);
    }
    Ok(foreign)
}

/// `sub` and `jti` are text (RFC 7519 §4.1.2, §4.1.7). A revocation names them as text, so others could not be revoked.
fn check_texts(values: &Map<String, Value>) -> Result<(), JwtError> {
    match ["sub", "jti"].into_iter().find(|name| values.get(*name).is_some_and(|value| !value.is_string())) {
        Some(name) => Err(JwtError::Claim(name)),
        None => Ok(()),
    }
}

/// A NumericDate (RFC 7519 §2), truncated to seconds.
fn time(values: &Map<String, Value>, name: &'static str) -> Result<Option<i64>, JwtError> {
    let Some(value) = values.get(name) else { return Ok(None) };
    if let Some(seconds) = value.as_i64() {
        return Ok(Some(seconds));
    }
    match value.as_f64() {
        #[expect(clippy::cast_possible_truncation, reason = "the range is checked; fractions are truncated")]
        Some(seconds) if seconds.abs() < 1e15 => Ok(Some(seconds as i64)),
        _ => Err(JwtError::Claim(name)),
    }
}

/// The parts of a compact JWS (RFC 7515 §7.1).
pub(super) struct CompactJws<'t> {
    header: &'t str,
    claims: &'t str,
    signature: &'t str,
    signed: &'t str,
}

impl<'t> CompactJws<'t> {
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
