//! JWTs: mutated after signing, and mutated before signing.

use std::collections::HashSet;

use data_encoding::BASE64URL_NOPAD;
use petsem_policy::evaluate::{
    Algorithm, Claims, Issuer, Jwks, JwtError, JwtTypes, MAX_JWT_BYTES, UnverifiedIssuer, issuer_of,
    verify_jwt,
};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::allocations::allocations_of;
use crate::caveats::NOW;
use crate::corpus::Corpus;
use crate::engine::{self, Observation};
use crate::json::{self, Vocabulary};
use crate::keys::{Signer, claims};

const MAX_LIFE: i64 = 300;
/// Most memory for a JSON value in a growing list, per byte; measured.
const BYTES_PER_BYTE: usize = 220;
const BYTES_BESIDE: usize = 8192;

const VOCABULARY: Vocabulary = Vocabulary {
    names: &[
        "alg", "kid", "typ", "crit", "b64", "zip", "jwk", "iss", "aud", "exp", "iat", "nbf", "sub", "jti",
        "app",
    ],
    values: &[
        "\"none\"",
        "\"HS256\"",
        "\"RS256\"",
        "\"EdDSA\"",
        "\"other\"",
        "\"k\"",
        "\"at+jwt\"",
        "\"dpop+jwt\"",
        "\"https://issuer.example\"",
        "\"petsem\"",
        "[\"petsem\",1]",
        "[]",
        "{}",
        "1800000000",
        "1800000030",
        "1800000031",
        "1799999970",
        "1800000300.5",
        "1800000301",
        "1e300",
        "-1e300",
        "-1",
        "9223372036854775807",
        "18446744073709551615",
        "-9223372036854775808",
        "\"1800000300\"",
        "true",
    ],
    words: WORDS,
};

const WORDS: &[&str] = &[
    ".",
    "..",
    "=",
    "\"alg\":\"none\",",
    "\"alg\":\"EdDSA\",",
    "\"iss\":\"https://issuer.example\",",
    "\"exp\":1800000300,",
    "\\u0061",
    "\"\\ud800\"",
    "1e400",
    "-0",
    ",",
    "{}",
    "[]",
    " ",
    "[[",
    "{\"a\":",
];

fn issuer(signers: &[Signer]) -> Issuer {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk(signer.algorithm.name())).collect();
    Issuer {
        id: [1; 16],
        iss: "https://issuer.example".to_owned(),
        audience: "petsem".to_owned(),
        audiences: Vec::new(),
        audience_claim: None,
        types: JwtTypes::default(),
        algorithms: Algorithm::ALL.to_vec(),
        keys: Jwks::parse(&json!({"keys": keys}).to_string(), &Algorithm::ALL).unwrap(),
    }
}

/// One key of each kind. The RSA algorithms share one; its id is RS256.
fn signers() -> Vec<Signer> {
    [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::ES512, Algorithm::EdDSA]
        .map(Signer::new)
        .into()
}

#[test]
fn a_jwt_mutated_after_signing_yields_only_signed_claims() {
    let signers = signers();
    let issuer = issuer(&signers);
    let jwts: Vec<String> = signers
        .iter()
        .map(|signer| {
            let header = json!({"alg": signer.algorithm.name(), "kid": signer.algorithm.name()}).to_string();
            signer.sign(header.as_bytes(), claims().to_string().as_bytes())
        })
        .collect();
    let signed: HashSet<&str> = jwts.iter().map(|jwt| jwt.rsplit_once('.').unwrap().0).collect();
    let corpus = Corpus::new(&jwts);
    let mutated = corpus.mutated(WORDS).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let counts = engine::run("JWT", &corpus, mutated, |text| {
        let (verified, memory) = allocations_of(|| verify_jwt(&text, &issuer, MAX_LIFE, NOW));
        prop_assert!(memory.peak <= BYTES_PER_BYTE * text.len() + BYTES_BESIDE, "{:?}", memory);
        let answer = match verified {
            Ok(claims) => {
                let (part, _) = text.rsplit_once('.').unwrap();
                prop_assert!(signed.contains(part));
                prop_assert_eq!(claims.subject(), Some("workload"));
                "verified"
            }
            Err(JwtError::TooLong) => {
                prop_assert!(text.len() > MAX_JWT_BYTES);
                "too long"
            }
            Err(error) => refusal(error),
        };
        let named = match issuer_of(&text) {
            Ok(UnverifiedIssuer(iss)) => iss.len().min(64),
            Err(_) => 99,
        };
        Ok(Observation::new(answer, (named, memory.allocations.min(200)), text.as_bytes()))
    });
    counts.reached(&["verified", "not a JWT", "signature"]);
}

/// The attacker is an issuer here: signed claims must still satisfy all requirements.
#[test]
fn a_jwt_mutated_before_signing_is_accepted_only_if_its_claims_are_valid() {
    let signer = Signer::new(Algorithm::EdDSA);
    let keys = Jwks::parse(&json!({"keys": [signer.jwk("k")]}).to_string(), &Algorithm::ALL).unwrap();
    let issuer = Issuer { keys, ..issuer(&signers()) };
    let headers = Corpus::new([signer.header(), json!({"alg": "EdDSA"}).to_string()]);
    let bodies = [
        claims(),
        json!({"iss": "https://issuer.example", "aud": ["other", "petsem"], "iat": NOW - 10, "exp": NOW + 1}),
        json!({"iss": "https://issuer.example", "aud": "petsem", "iat": 1_800_000_000.25, "exp": NOW + 30}),
    ];
    let corpus = Corpus::new(bodies.map(|body| body.to_string()));
    let header = prop_oneof![3 => Just(signer.header()), 1 => json::mutated(&headers, VOCABULARY)];
    let now = select(
        [NOW, NOW - 31, NOW - 30, NOW + 29, NOW + 31, NOW + 330, NOW + 331, i64::MAX, i64::MIN].as_slice(),
    );
    let inputs = (header, json::mutated(&corpus, VOCABULARY), prop_oneof![3 => Just(NOW), 1 => now]);
    let counts = engine::run("JWT, signed", &corpus, inputs, |(header, body, now)| {
        let (header, body) = (header.as_bytes(), body.as_bytes());
        let text = signer.sign(header, body);
        let (verified, memory) = allocations_of(|| verify_jwt(&text, &issuer, MAX_LIFE, now));
        prop_assert!(memory.peak <= BYTES_PER_BYTE * text.len() + BYTES_BESIDE, "{:?}", memory);
        let path = memory.allocations.min(200);
        let claims = match verified {
            Ok(claims) => claims,
            Err(error) => return Ok(Observation::new(refusal(error), path, body)),
        };
        // Checked again with another parser: unique names, and times in whole seconds.
        let head: Value = serde_json::from_slice(header).map_err(fails)?;
        let claimed: Value = serde_json::from_slice(body).map_err(fails)?;
        prop_assert_eq!(&head["alg"], "EdDSA");
        prop_assert!(head.get("kid").is_none_or(|id| id == "k"));
        prop_assert!(["crit", "b64", "zip"].iter().all(|name| head.get(name).is_none()));
        prop_assert_eq!(&claimed["iss"], "https://issuer.example");
        let audience = &claimed["aud"];
        let listed = audience.as_array().is_some_and(|list| list.iter().any(|name| name == "petsem"));
        prop_assert!(audience == "petsem" || listed);
        let seconds = |name: &str| whole_seconds(&claimed[name]);
        let (issued, expires, now) = (seconds("iat").unwrap(), seconds("exp").unwrap(), i128::from(now));
        prop_assert!(issued <= now + 30 && now <= expires + 30 && expires - issued <= i128::from(MAX_LIFE));
        prop_assert!(claimed.get("nbf").is_none() || seconds("nbf").unwrap() <= now + 30);
        prop_assert_eq!(claims.subject(), claimed["sub"].as_str());
        prop_assert_eq!(claims.jti(), claimed["jti"].as_str());
        prop_assert_eq!(BASE64URL_NOPAD.encode(body), text.split('.').nth(1).unwrap());

        let read = issuer_of(&text);
        prop_assert_eq!(read, Ok(UnverifiedIssuer("https://issuer.example".to_owned())));
        let unverified = Claims::danger_read_unverified(&text).map_err(fails)?;
        prop_assert!(unverified == claims);
        let stored = Claims::from_stored(serde_json::Map::new());
        prop_assert!(stored.expires_at().is_none() && stored.get("sub").is_none());
        Ok(Observation::new("accepted", path, body))
    });
    counts.reached(&[
        "accepted",
        "not a JWT",
        "algorithm",
        "claim",
        "expired",
        "not yet valid",
        "too long lived",
    ]);
}

/// A time without its fraction.
fn whole_seconds(value: &Value) -> Option<i128> {
    let exact = value.as_i64().map(i128::from);
    exact.or_else(|| value.as_f64().map(|seconds| seconds.trunc() as i128))
}

fn refusal(error: JwtError) -> &'static str {
    match error {
        JwtError::TooLong => "too long",
        JwtError::NotAJwt => "not a JWT",
        JwtError::Type => "type",
        JwtError::Extension => "extension",
        JwtError::Algorithm => "algorithm",
        JwtError::UnknownKey | JwtError::NoKey | JwtError::KeyId | JwtError::KeyDoesNotFit => "no such key",
        JwtError::Signature => "signature",
        JwtError::Claim(_) => "claim",
        JwtError::NotYetValid => "not yet valid",
        JwtError::Expired => "expired",
        JwtError::TooLongLived => "too long lived",
        _ => "another refusal",
    }
}

fn fails(error: impl std::fmt::Display) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}
