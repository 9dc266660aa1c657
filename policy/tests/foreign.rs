//! JWTs of other software (`tests/foreign/generate`) are accepted and refused as expected.

use std::collections::BTreeMap;

use petsem_policy::evaluate::{Algorithm, Issuer, Jwks, JwtError, JwtTypes, verify_jwt};
use serde_json::Value;

const FIXTURES: &str = include_str!("foreign/jwts.json");
const MAX_LIFE_SECONDS: i64 = 300;

#[test]
fn each_jwt_gets_the_expected_answer() {
    let fixtures: Value = serde_json::from_str(FIXTURES).unwrap();
    let text = |name: &str| fixtures[name].as_str().unwrap().to_owned();
    let issuer = Issuer {
        id: [1; 16],
        iss: text("iss"),
        audience: text("aud"),
        audiences: Vec::new(),
        audience_claim: None,
        types: JwtTypes::default(),
        algorithms: Algorithm::ALL.to_vec(),
        keys: Jwks::parse(&fixtures["keys"].to_string(), &Algorithm::ALL).unwrap(),
    };
    let now = fixtures["now"].as_i64().unwrap();
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for case in fixtures["cases"].as_array().unwrap() {
        let field = |name: &str| case[name].as_str().unwrap().to_owned();
        let answer = match verify_jwt(&field("jwt"), &issuer, MAX_LIFE_SECONDS, now) {
            Ok(claims) => {
                assert_eq!((claims.subject(), claims.jti()), (Some("workload"), Some("j")));
                "accepted".to_owned()
            }
            Err(error) => answer(error),
        };
        assert_eq!(answer, field("answer"), "{} of {}", field("name"), field("by"));
        *counts.entry((field("by"), answer)).or_default() += 1;
    }
    for ((by, answer), count) in counts {
        println!("{by:16} {answer:16} {count:3}");
    }
}

/// More than one implementation covers every algorithm.
#[test]
fn every_pinned_algorithm_has_jwts_of_two_implementations() {
    let fixtures: Value = serde_json::from_str(FIXTURES).unwrap();
    for algorithm in Algorithm::ALL {
        let makers = fixtures["cases"].as_array().unwrap().iter();
        let makers = makers.filter(|case| case["name"] == algorithm.name() && case["answer"] == "accepted");
        assert!(makers.count() >= 2, "{algorithm:?}");
    }
}

fn answer(error: JwtError) -> String {
    match error {
        JwtError::TooLong => "too long".to_owned(),
        JwtError::NotAJwt => "not a JWT".to_owned(),
        JwtError::Type => "type".to_owned(),
        JwtError::Extension => "extension".to_owned(),
        JwtError::Algorithm => "algorithm".to_owned(),
        JwtError::UnknownKey => "unknown key".to_owned(),
        JwtError::KeyDoesNotFit => "key does not fit".to_owned(),
        JwtError::Signature => "signature".to_owned(),
        JwtError::Claim(name) => format!("claim {name}"),
        JwtError::NotYetValid => "not yet valid".to_owned(),
        JwtError::Expired => "expired".to_owned(),
        JwtError::TooLongLived => "too long lived".to_owned(),
        other => format!("{other:?}"),
    }
}
