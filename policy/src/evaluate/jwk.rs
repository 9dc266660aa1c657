//! One key of an issuer's key set (RFC 7517), judged by itself: it verifies signatures, or it is left out for a reason
//! that operators can read. A key that counts as usable is one that the library takes.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaPublicKeyComponents,
    VerificationAlgorithm,
};
use curve25519_dalek::edwards::CompressedEdwardsY;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::algorithm::Algorithm;
use super::roca;
use super::text::KeyProblem;

/// Members of private and symmetric keys (RFC 7518 §6.2.2, §6.3.2, §6.4; `priv` of algorithm key pairs).
const PRIVATE_PARTS: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
/// The end of the first line of every private key in PEM.
const PRIVATE_PEM: &str = "PRIVATE KEY-----";
/// How many layers of text in text are searched for private keys.
const MAX_TEXTS: usize = 3;
/// The members that are understood; all of them are public.
const PUBLIC_PARTS: [&str; 10] = ["kty", "crv", "kid", "use", "key_ops", "alg", "n", "e", "x", "y"];
/// Those of them that are numbers, in base64url.
const NUMBERS: [&str; 4] = ["n", "e", "x", "y"];
/// Shortest accepted RSA modulus, in bits (RFC 7518 §3.3).
const SHORTEST_RSA: usize = 2048;
/// Longest accepted RSA modulus, in bits: it bounds the cost of a verification.
const LONGEST_RSA: usize = 8192;
/// Longest accepted RSA exponent, in bits: what the library takes.
const LONGEST_EXPONENT: usize = 33;

/// A key that verifies signatures.
pub(super) struct Key {
    pub(super) id: Option<String>,
    /// The SHA-256 of RFC 7638, in base64url.
    pub(super) thumbprint: String,
    kind: KeyKind,
    /// Its `alg`, if it has one.
    algorithm: Option<Algorithm>,
    /// The key as the library takes it.
    octets: Vec<u8>,
}

/// What kind of key an algorithm takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

impl Key {
    /// Reads a member of a key set.
    pub(super) fn read(value: &Value) -> Result<Self, KeyProblem> {
        let Value::Object(members) = value else { return Err(KeyProblem::NotAnObject) };
        if let Some(member) = private_part(value) {
            return Err(KeyProblem::PrivatePart { member });
        }
        Self::of(members)
    }

    /// Reads the public members.
    fn of(members: &Map<String, Value>) -> Result<Self, KeyProblem> {
        let kind = KeyKind::of(members).ok_or(KeyProblem::Kind)?;
        if !is_for_signatures(members) {
            return Err(KeyProblem::Use);
        }
        let algorithm = match present(members, "alg") {
            None => None,
            Some(name) => {
                let named = name.as_str().and_then(Algorithm::from_name);
                Some(named.filter(|named| named.key_kind() == kind).ok_or(KeyProblem::Algorithm)?)
            }
        };
        let id = match present(members, "kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(KeyProblem::Id),
        };
        let (octets, canonical) = match kind {
            KeyKind::Rsa => rsa(members)?,
            KeyKind::Ed25519 => ed25519(members)?,
            KeyKind::P256 => point(members, "P-256", 32, &ECDSA_P256_SHA256_FIXED)?,
            KeyKind::P384 => point(members, "P-384", 48, &ECDSA_P384_SHA384_FIXED)?,
            KeyKind::P521 => point(members, "P-521", 66, &ECDSA_P521_SHA512_FIXED)?,
        };
        let thumbprint = BASE64URL_NOPAD.encode(&Sha256::digest(canonical.as_bytes()));
        Ok(Self { id, thumbprint, kind, algorithm, octets })
    }

    /// Whether signatures of this algorithm are this key's to verify.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        algorithm.key_kind() == self.kind && self.algorithm.is_none_or(|named| named.covers(algorithm))
    }

    /// Whether the signature is valid.
    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        self.fits(algorithm) && verifier(algorithm).verify_sig(&self.octets, signed, signature).is_ok()
    }
}

/// The id of a key that is left out, if it has one that may be shown.
pub(super) fn id_of(value: &Value) -> Option<&str> {
    let id = value.get("kid").and_then(Value::as_str);
    id.filter(|id| private_text(id, MAX_TEXTS).is_none())
}

/// The thumbprints of the keys of a set that are in it with their private part.
pub(super) fn exposed(set: &[Value]) -> Vec<String> {
    let private = set.iter().filter(|value| private_part(value).is_some());
    // Judged without what else may be wrong with it: its twin may have no fault.
    let public = private.filter_map(|value| {
        let Value::Object(members) = value else { return None };
        let material = |name: &str| ["kty", "crv", "n", "e", "x", "y"].contains(&name);
        let members = members.iter().filter(|(name, _)| material(name));
        Key::of(&members.map(|(name, value)| (name.clone(), value.clone())).collect()).ok()
    });
    public.map(|key| key.thumbprint).collect()
}

/// What is kept of a key of a registration: the members that are understood, and nothing else of its text. A value of
/// another type, or a number that cannot be read, becomes `false`, which is as wrong as it was: without it the key might
/// become usable.
pub(super) fn public_members(value: &Value) -> Value {
    let Value::Object(members) = value else { return Value::Null };
    let is_unread =
        |name: &str| NUMBERS.into_iter().any(|member| member == name && octets(members, member).is_err());
    let kept = |name: &str, value: &Value| match value {
        Value::String(_) if is_unread(name) => Value::Bool(false),
        Value::String(_) => value.clone(),
        Value::Array(items) => items.iter().filter(|item| item.is_string()).cloned().collect(),
        _ => Value::Bool(false),
    };
    let understood =
        members.iter().filter(|(name, value)| PUBLIC_PARTS.contains(&name.as_str()) && !value.is_null());
    understood.map(|(name, value)| (name.clone(), kept(name, value))).collect()
}

/// What others must not see, at any depth: a member, or text that holds a private key.
pub(super) fn private_part(json: &Value) -> Option<&'static str> {
    private_within(json, MAX_TEXTS)
}

/// `texts` bounds how often text in text is read as JSON.
fn private_within(json: &Value, texts: usize) -> Option<&'static str> {
    match json {
        Value::String(text) => private_text(text, texts),
        Value::Object(members) => PRIVATE_PARTS
            .into_iter()
            .find(|member| members.contains_key(*member))
            .or_else(|| members.values().find_map(|value| private_within(value, texts))),
        Value::Array(items) => items.iter().find_map(|item| private_within(item, texts)),
        _ => None,
    }
}

/// A private key pasted where a public one belongs: in PEM (RFC 7468; OpenSSH's own form ends alike), or a JWK that was
/// turned into text once more.
fn private_text(text: &str, texts: usize) -> Option<&'static str> {
    if text.contains(PRIVATE_PEM) {
        return Some(PRIVATE_PEM);
    }
    let texts = texts.checked_sub(1).filter(|_| text.trim_start().starts_with(['{', '[', '"']))?;
    let json = serde_json::from_str(text).ok()?;
    private_within(&json, texts)
}

impl KeyKind {
    fn of(members: &Map<String, Value>) -> Option<Self> {
        let text = |name| members.get(name).and_then(Value::as_str);
        match (text("kty")?, text("crv")) {
            ("RSA", _) => Some(Self::Rsa),
            ("EC", Some("P-256")) => Some(Self::P256),
            ("EC", Some("P-384")) => Some(Self::P384),
            ("EC", Some("P-521")) => Some(Self::P521),
            ("OKP", Some("Ed25519")) => Some(Self::Ed25519),
            _ => None,
        }
    }
}

/// `jwt-svid` is how bundles of SPIFFE name the keys of its JWTs (SPIFFE Trust Domain and Bundle §4.2.2).
fn is_for_signatures(members: &Map<String, Value>) -> bool {
    let operations = present(members, "key_ops");
    present(members, "use").is_none_or(|purpose| purpose == "sig" || purpose == "jwt-svid")
        && operations.is_none_or(|all| {
            all.as_array().is_some_and(|all| all.iter().any(|operation| operation == "verify"))
        })
}

/// A member that is there; `null` is not.
fn present<'v>(members: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    members.get(name).filter(|value| !value.is_null())
}

/// An RSA key as SubjectPublicKeyInfo (RFC 5280), with what its thumbprint is of.
fn rsa(members: &Map<String, Value>) -> Result<(Vec<u8>, String), KeyProblem> {
    let (n, e) = (number(members, "n")?, number(members, "e")?);
    let bits = bits_of(&n);
    if !(SHORTEST_RSA..=LONGEST_RSA).contains(&bits) {
        return Err(KeyProblem::RsaLength { bits });
    }
    let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
    if !(2..=LONGEST_EXPONENT).contains(&bits_of(&e)) || !is_odd(&e) || !is_odd(&n) {
        return Err(KeyProblem::RsaNumbers);
    }
    if roca::has_fingerprint(&n) {
        return Err(KeyProblem::Factorable);
    }
    let canonical = format!(
        r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#,
        BASE64URL_NOPAD.encode(&e),
        BASE64URL_NOPAD.encode(&n)
    );
    let parsed = RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
    let octets = parsed.map_err(|_| KeyProblem::RsaNumbers)?.as_ref().to_vec();
    Ok((octets, canonical))
}

/// A point of a curve whose coordinates have `length` bytes, uncompressed (SEC 1 §2.3.3).
fn point(
    members: &Map<String, Value>,
    curve: &str,
    length: usize,
    verifier: &'static dyn VerificationAlgorithm,
) -> Result<(Vec<u8>, String), KeyProblem> {
    let coordinate = |name| {
        let number = number(members, name)?;
        let missing = length.checked_sub(number.len()).ok_or(KeyProblem::Number { member: name })?;
        Ok([vec![0; missing], number].concat())
    };
    let (x, y) = (coordinate("x")?, coordinate("y")?);
    let canonical = format!(
        r#"{{"crv":"{curve}","kty":"EC","x":"{}","y":"{}"}}"#,
        BASE64URL_NOPAD.encode(&x),
        BASE64URL_NOPAD.encode(&y)
    );
    let octets = [vec![4], x, y].concat();
    ParsedPublicKey::new(verifier, &octets).map_err(|_| KeyProblem::Point)?;
    Ok((octets, canonical))
}

fn ed25519(members: &Map<String, Value>) -> Result<(Vec<u8>, String), KeyProblem> {
    let octets = octets(members, "x")?;
    let compressed =
        CompressedEdwardsY::from_slice(&octets).map_err(|_| KeyProblem::Number { member: "x" })?;
    // The library checks the length alone. By a point of small order, anyone can sign.
    let point =
        compressed.decompress().filter(|point| !point.is_small_order() && point.compress() == compressed);
    if point.is_none() {
        return Err(KeyProblem::Point);
    }
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, BASE64URL_NOPAD.encode(&octets));
    Ok((octets, canonical))
}

/// An unsigned number without leading zeros. Some issuers write signed numbers, or drop zeros that belong to a
/// coordinate (RFC 7518 §6.2.1.2, §6.3.1.1): the number is the same.
fn number(members: &Map<String, Value>, member: &'static str) -> Result<Vec<u8>, KeyProblem> {
    let octets = octets(members, member)?;
    Ok(octets.into_iter().skip_while(|byte| *byte == 0).collect())
}

/// Bytes in base64url. Padding, the standard alphabet and white space mean the same bytes.
fn octets(members: &Map<String, Value>, member: &'static str) -> Result<Vec<u8>, KeyProblem> {
    let problem = KeyProblem::Number { member };
    let text = members.get(member).and_then(Value::as_str).ok_or(problem)?;
    let text = text.trim_end_matches(|character: char| character == '=' || character.is_ascii_whitespace());
    let urlsafe = |byte| match byte {
        b'+' => b'-',
        b'/' => b'_',
        other => other,
    };
    let text: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).map(urlsafe).collect();
    match BASE64URL_NOPAD.decode(&text) {
        Ok(octets) if !octets.is_empty() => Ok(octets),
        _ => Err(problem),
    }
}

/// The length of a number without leading zeros, in bits.
fn bits_of(number: &[u8]) -> usize {
    let Some((first, rest)) = number.split_first() else { return 0 };
    usize::try_from(8 - first.leading_zeros()).unwrap_or(0) + 8 * rest.len()
}

fn verifier(algorithm: Algorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        Algorithm::RS256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &RSA_PSS_2048_8192_SHA512,
        Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED,
        Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED,
        Algorithm::ES512 => &ECDSA_P521_SHA512_FIXED,
        Algorithm::EdDSA | Algorithm::Ed25519 => &ED25519,
    }
}
