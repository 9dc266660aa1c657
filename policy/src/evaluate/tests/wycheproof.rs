//! Project Wycheproof's cases of JWS and its keys (testdata/wycheproof/README.md).
//!
//! The payloads are not claims, so the tests verify only signatures.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::super::jwt::verify_signature;
use super::super::*;

/// Cases of a file: accepted; refused; valid, but with an algorithm that petsem does not have or the key does not name.
type Counts = (usize, usize, usize);

#[test]
fn every_jws_has_the_expected_result() {
    let files: [(&str, &str, Counts); 3] = [
        ("signature", include_str!("../testdata/wycheproof/json_web_signature_test.json"), (32, 355, 14)),
        ("key", include_str!("../testdata/wycheproof/json_web_key_test.json"), (1, 21, 4)),
        ("crypto", include_str!("../testdata/wycheproof/json_web_crypto_test.json"), (2, 45, 2)),
    ];
    let mut differing = Vec::new();
    let mut all = Vec::new();
    for (name, text, expected) in files {
        let file: Value = serde_json::from_str(text).unwrap();
        let mut counts: Counts = (0, 0, 0);
        let mut algorithms: BTreeMap<String, usize> = BTreeMap::new();
        for group in file["testGroups"].as_array().unwrap() {
            for case in group["tests"].as_array().unwrap() {
                // The other cases are encryption.
                let Some(jws) = case.get("jws") else { continue };
                let jws = jws.as_str().map_or_else(|| jws.to_string(), str::to_owned);
                let answer = answer(group, &jws);
                let is_valid = case["result"] == "valid";
                match (&answer, is_valid) {
                    (Ok(algorithm), true) => {
                        counts.0 += 1;
                        *algorithms.entry(algorithm.clone()).or_default() += 1;
                    }
                    (Err(_), false) => counts.1 += 1,
                    (Err(_), true) if !is_for_key(group, &jws) => counts.2 += 1,
                    _ => differing.push(format!("{name} {}: {} {answer:?}", case["tcId"], case["comment"])),
                }
            }
        }
        println!("{name}: {counts:?}, accepted by algorithm: {algorithms:?}");
        all.push((name, counts, expected));
    }
    assert_eq!(differing, Vec::<String>::new());
    for (name, counts, expected) in all {
        assert_eq!(counts, expected, "{name}");
    }
}

/// Verifies for an issuer that published the group's key, with every algorithm pinned.
fn answer(group: &Value, jws: &str) -> Result<String, String> {
    let key = group.get("public").unwrap_or(&group["private"]);
    let set = if key.get("keys").is_some() { key.clone() } else { json!({"keys": [key]}) };
    let keys = Jwks::parse(&set.to_string(), &Algorithm::ALL).map_err(|error| error.to_string())?;
    let issuer = Issuer {
        id: [1; 16],
        iss: String::new(),
        audience: String::new(),
        audiences: Vec::new(),
        audience_claim: None,
        types: JwtTypes::default(),
        algorithms: Algorithm::ALL.to_vec(),
        keys,
    };
    verify_signature(jws, &issuer).map_err(|error| error.to_string())?;
    Ok(algorithm_of(jws).unwrap().name().to_owned())
}

/// Whether petsem has the algorithm in the header, and the key names no other one.
fn is_for_key(group: &Value, jws: &str) -> bool {
    let key = group.get("public").unwrap_or(&group["private"]);
    algorithm_of(jws).is_some_and(|algorithm| key["alg"].as_str().is_none_or(|name| name == algorithm.name()))
}

/// The algorithm in the header, if petsem has it.
fn algorithm_of(jws: &str) -> Option<Algorithm> {
    let header = BASE64URL_NOPAD.decode(jws.split('.').next()?.as_bytes()).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    Algorithm::from_name(header["alg"].as_str()?)
}
