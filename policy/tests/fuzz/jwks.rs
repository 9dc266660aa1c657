//! Key sets, as an issuer publishes them.

use data_encoding::BASE64URL_NOPAD;
use petsem_policy::evaluate::{Algorithm, Issuer, Jwks, JwksError, JwtTypes, MAX_JWKS_BYTES, verify_jwt};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::allocations::allocations_of;
use crate::caveats::NOW;
use crate::corpus::Corpus;
use crate::engine::{self, Observation};
use crate::json::{self, Vocabulary};
use crate::keys::{Signer, claims};

/// Most memory for a key and its JSON, per byte of text; measured.
const BYTES_PER_BYTE: usize = 220;
const BYTES_BESIDE: usize = 8192;

const VOCABULARY: Vocabulary = Vocabulary {
    names: &["keys", "kty", "crv", "kid", "use", "alg", "key_ops", "x5c", "n", "e", "x", "y", "k", "d"],
    values: &[
        "{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}",
        "\"k\"",
        "\"EdDSA\"",
        "\"enc\"",
        "\"sig\"",
        "\"HS256\"",
        "\"RS384\"",
        "\"oct\"",
        "\"EC\"",
        "\"RSA\"",
        "\"OKP\"",
        "\"P-384\"",
        "\"P-256\"",
        "\"P-521\"",
        "\"X25519\"",
        "[\"sign\"]",
        "[\"verify\"]",
        "[\"verify\",\"sign\"]",
        "[]",
        "[\"\"]",
        "\"AQ\"",
        "\"AQAB\"",
        "\"AAEAAQ\"",
        "\"\"",
        "\"!\"",
        "7",
    ],
    words: &[
        "\"kid\":\"k\",",
        "\"kty\":\"oct\",",
        "\"keys\":[],",
        "\"alg\":\"HS256\",",
        "null",
        "[[",
        "{\"a\":",
        ",",
        "{}",
        "[]",
        "A",
        "=",
        "\\u0041",
    ],
};

#[test]
fn a_key_set_verifies_only_signatures_of_its_keys() {
    let signers = [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::ES512, Algorithm::EdDSA]
        .map(Signer::new);
    let jwts = signers.each_ref().map(|signer| {
        // Without a key id, so that sets with mutated ids can still verify it.
        let header = json!({"alg": signer.algorithm.name()}).to_string();
        signer.sign(header.as_bytes(), claims().to_string().as_bytes())
    });
    let all: Vec<Value> = signers.iter().map(|signer| signer.jwk(signer.algorithm.name())).collect();
    let single = all.iter().map(|jwk| json!({"keys": [jwk]}));
    let secret = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "s"}, all[1]]});
    let explicit = all.iter().map(|jwk| {
        let mut jwk = jwk.clone();
        jwk["use"] = json!("sig");
        jwk["key_ops"] = json!(["verify"]);
        json!({"keys": [jwk]})
    });
    let seeds = single.chain(explicit).chain([json!({"keys": all}), secret]).map(|set| set.to_string());
    let corpus = Corpus::new(seeds);
    let mutated = json::mutated(&corpus, VOCABULARY);
    let template = Issuer {
        id: [1; 16],
        iss: "https://issuer.example".to_owned(),
        audience: "petsem".to_owned(),
        audiences: Vec::new(),
        audience_claim: None,
        types: JwtTypes::default(),
        algorithms: Algorithm::ALL.to_vec(),
        keys: Jwks::parse(&json!({"keys": all}).to_string(), &Algorithm::ALL).unwrap(),
    };
    let counts = engine::run("JWKS", &corpus, mutated, |text| {
        let (set, memory) = allocations_of(|| Jwks::parse(&text, &Algorithm::ALL));
        prop_assert!(memory.peak <= BYTES_PER_BYTE * text.len() + BYTES_BESIDE, "{:?}", memory);
        let path = memory.allocations.min(200);
        let set = match set {
            Ok(set) => set,
            Err(error) => {
                let answer = match error {
                    JwksError::TooLong => "too long",
                    JwksError::Json(_) => "JSON",
                    JwksError::NoUsableKey { .. } => "no usable key",
                    JwksError::PrivatePart { .. } => "private part",
                    _ => "another refusal",
                };
                prop_assert_eq!(answer == "too long", text.len() > MAX_JWKS_BYTES);
                return Ok(Observation::new(answer, path, text.as_bytes()));
            }
        };
        // JSON too deep for a `Value` can only be in an ignored field.
        let Ok(read) = serde_json::from_str::<Value>(&text) else {
            let nested = text.matches(['[', '{']).count();
            prop_assert!(nested > 100);
            return Ok(Observation::new("deep in an ignored field", path, text.as_bytes()));
        };
        let keys = read["keys"].as_array().unwrap();
        prop_assert!(!set.is_empty() && set.len() <= keys.len());
        prop_assert_eq!(Jwks::parse(&text, &Algorithm::ALL).unwrap().len(), set.len());
        let issuer = Issuer { keys: set, ..template.clone() };
        let mut good = 0;
        for ((signer, jwt), jwk) in signers.iter().zip(&jwts).zip(&all) {
            if verify_jwt(jwt, &issuer, 300, NOW).is_err() {
                continue;
            }
            good += 1;
            // Then one key in the set has its public numbers, and is for signatures.
            let is_it = |key: &&Value| {
                ["kty", "crv"].iter().all(|name| jwk.get(name).is_none() || key.get(name) == jwk.get(name))
                    && ["n", "e", "x", "y"].iter().all(|name| {
                        jwk.get(name).is_none_or(|number| {
                            key.get(name).is_some_and(|other| octets(other) == octets(number))
                        })
                    })
            };
            let found: Vec<&Value> = keys.iter().filter(is_it).collect();
            prop_assert!(!found.is_empty(), "{:?}", signer.algorithm);
            let is_for_signatures = |key: &&Value| {
                let operations = key.get("key_ops").and_then(Value::as_array);
                key.get("use").is_none_or(|purpose| purpose == "sig" || purpose.is_null())
                    && operations.is_none_or(|allowed| allowed.iter().any(|operation| operation == "verify"))
            };
            prop_assert!(found.into_iter().any(|key| is_for_signatures(&key)));
        }
        Ok(Observation::new(
            if good > 0 { "verifies" } else { "verifies none of ours" },
            (good, path),
            text.as_bytes(),
        ))
    });
    counts.reached(&["verifies", "verifies none of ours", "JSON", "no usable key"]);
}

/// A number, however it is written.
fn octets(number: &Value) -> Option<Vec<u8>> {
    let text = number.as_str()?.replace('+', "-").replace('/', "_");
    let text: String = text.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    let octets = BASE64URL_NOPAD.decode(text.trim_end_matches('=').as_bytes()).ok()?;
    Some(octets.into_iter().skip_while(|byte| *byte == 0).collect())
}
