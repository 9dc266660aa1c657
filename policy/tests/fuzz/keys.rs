//! Signers of JWTs, one for each pinned algorithm, and their public keys.

use data_encoding::BASE64URL_NOPAD;
use petsem_policy::evaluate::Algorithm;
use serde_json::{Value, json};

use crate::caveats::NOW;

#[path = "../../src/evaluate/tests/signer.rs"]
mod signer;

pub(crate) struct Signer {
    key: signer::SigningKey,
    pub(crate) algorithm: Algorithm,
}

impl Signer {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        Self { key: signer::SigningKey::of(algorithm.name()), algorithm }
    }

    pub(crate) fn jwk(&self, id: &str) -> Value {
        self.key.jwk(id)
    }

    /// A JWT with these two texts as header and claims.
    pub(crate) fn sign(&self, header: &[u8], claims: &[u8]) -> String {
        let signed = format!("{}.{}", BASE64URL_NOPAD.encode(header), BASE64URL_NOPAD.encode(claims));
        let signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{signature}")
    }

    pub(crate) fn header(&self) -> String {
        json!({"alg": self.algorithm.name(), "kid": "k", "typ": "JWT"}).to_string()
    }
}

/// The claims that the test issuer signs.
pub(crate) fn claims() -> Value {
    json!({
        "iss": "https://issuer.example", "aud": "petsem", "iat": NOW, "exp": NOW + 300, "nbf": NOW,
        "sub": "workload", "app": "shop", "vm": "m1", "node": "h1", "roles": ["a"], "jti": "j",
    })
}
