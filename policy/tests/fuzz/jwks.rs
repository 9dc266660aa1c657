//! Texts of key sets, as an issuer's server answers them.

use petsem_policy::evaluate::{Algorithm, Issuer, Jwks, JwksError, MAX_JWKS_BYTES, verify_jwt};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::allocations::taken;
use crate::caveats::NOW;
use crate::corpus::Corpus;
use crate::engine::{self, Seen};
use crate::json::{self, Vocabulary};
use crate::keys::{Signer, claims};

/// A key in memory, and what JSON takes to get there, per byte of text; measured, and held to.
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
fn a_key_set_verifies_only_what_a_key_that_stands_in_it_signed() {
    let signers = [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA].map(Signer::new);
    let jwts = signers.each_ref().map(|signer| {
        // Without a key id, so that a set whose ids were spoilt can still be asked.
        let header = json!({"alg": signer.algorithm.name()}).to_string();
        signer.sign(header.as_bytes(), claims().to_string().as_bytes())
    });
    let all: Vec<Value> = signers.iter().map(|signer| signer.jwk(signer.algorithm.name())).collect();
    let alone = all.iter().map(|jwk| json!({"keys": [jwk]}));
    let secret = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "s"}, all[1]]});
    let told = all.iter().map(|jwk| {
        let mut jwk = jwk.clone();
        jwk["use"] = json!("sig");
        jwk["key_ops"] = json!(["verify"]);
        json!({"keys": [jwk]})
    });
    let seeds = alone.chain(told).chain([json!({"keys": all}), secret]).map(|set| set.to_string());
    let corpus = Corpus::new(seeds);
    let spoilt = json::spoilt(&corpus, VOCABULARY);
    let template = Issuer {
        id: [1; 16],
        iss: "https://issuer.example".to_owned(),
        audience: "petsem".to_owned(),
        algorithms: Algorithm::ALL.to_vec(),
        keys: Jwks::parse(&json!({"keys": all}).to_string()).unwrap(),
    };
    let counts = engine::run("JWKS", &corpus, spoilt, |text| {
        let (set, memory) = taken(|| Jwks::parse(&text));
        prop_assert!(memory.peak <= BYTES_PER_BYTE * text.len() + BYTES_BESIDE, "{:?}", memory);
        let way = memory.allocations.min(200);
        let set = match set {
            Ok(set) => set,
            Err(error) => {
                let answer = match error {
                    JwksError::TooLong => "too long",
                    JwksError::Json(_) => "JSON",
                    JwksError::NoUsableKey => "no usable key",
                    JwksError::RepeatedId => "repeated id",
                    _ => "another refusal",
                };
                prop_assert_eq!(answer == "too long", text.len() > MAX_JWKS_BYTES);
                return Ok(Seen::new(answer, way, text.as_bytes()));
            }
        };
        // What nests too deep for a value stands in a field that nobody reads.
        let Ok(read) = serde_json::from_str::<Value>(&text) else {
            let nested = text.matches(['[', '{']).count();
            prop_assert!(nested > 100);
            return Ok(Seen::new("deep where nobody reads", way, text.as_bytes()));
        };
        let keys = read["keys"].as_array().unwrap();
        prop_assert!(!set.is_empty() && set.len() <= keys.len());
        prop_assert_eq!(Jwks::parse(&text).unwrap().len(), set.len());
        let issuer = Issuer { keys: set, ..template.clone() };
        let mut good = 0;
        for ((signer, jwt), jwk) in signers.iter().zip(&jwts).zip(&all) {
            if verify_jwt(jwt, &issuer, 300, NOW).is_err() {
                continue;
            }
            good += 1;
            // Then its public numbers stand there, in one key, which is for signing.
            let numbers = if signer.algorithm == Algorithm::RS256 {
                ["kty", "kty", "n", "e"]
            } else {
                ["kty", "crv", "x", if signer.algorithm == Algorithm::EdDSA { "kty" } else { "y" }]
            };
            let is_it = |key: &&Value| numbers.iter().all(|name| key.get(name) == jwk.get(name));
            let found: Vec<&Value> = keys.iter().filter(is_it).collect();
            prop_assert!(!found.is_empty(), "{:?}", signer.algorithm);
            let is_for_signatures = |key: &&Value| {
                let operations = key.get("key_ops").and_then(Value::as_array);
                key.get("use").is_none_or(|purpose| purpose == "sig" || purpose.is_null())
                    && operations.is_none_or(|allowed| allowed.iter().any(|operation| operation == "verify"))
            };
            prop_assert!(found.into_iter().any(|key| is_for_signatures(&key)));
        }
        Ok(Seen::new(
            if good > 0 { "verifies" } else { "verifies none of ours" },
            (good, way),
            text.as_bytes(),
        ))
    });
    counts.reached(&["verifies", "verifies none of ours", "JSON", "no usable key", "repeated id"]);
}
