//! Signers of JWTs, one for each pinned algorithm, and their public keys.

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::Jwk;
use petsem_policy::evaluate::Algorithm;
use serde_json::{Value, json};

use crate::caveats::NOW;

pub(crate) struct Signer {
    key: EncodingKey,
    pub(crate) algorithm: Algorithm,
}

impl Signer {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        const P256: &[u8] = include_bytes!("../../src/evaluate/testdata/p256.pem");
        const P384: &[u8] = include_bytes!("../../src/evaluate/testdata/p384.pem");
        const ED25519: &[u8] = include_bytes!("../../src/evaluate/testdata/ed25519.pem");
        const RSA: &[u8] = include_bytes!("../../src/evaluate/testdata/rsa2048.pem");
        let key = match algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_pem(P256),
            Algorithm::ES384 => EncodingKey::from_ec_pem(P384),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(ED25519),
            _ => EncodingKey::from_rsa_pem(RSA),
        };
        Self { key: key.unwrap(), algorithm }
    }

    pub(crate) fn jwk(&self, id: &str) -> Value {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.key, self.to_library()).unwrap()).unwrap();
        jwk["kid"] = json!(id);
        jwk.as_object_mut().unwrap().remove("alg");
        jwk
    }

    /// A JWT with these two texts as header and claims.
    pub(crate) fn sign(&self, header: &[u8], claims: &[u8]) -> String {
        let signed = format!("{}.{}", BASE64URL_NOPAD.encode(header), BASE64URL_NOPAD.encode(claims));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, self.to_library()).unwrap();
        format!("{signed}.{signature}")
    }

    pub(crate) fn header(&self) -> String {
        json!({"alg": self.algorithm.name(), "kid": "k", "typ": "JWT"}).to_string()
    }

    fn to_library(&self) -> jsonwebtoken::Algorithm {
        self.algorithm.name().parse().unwrap()
    }
}

/// The claims that the test issuer signs.
pub(crate) fn claims() -> Value {
    json!({
        "iss": "https://issuer.example", "aud": "petsem", "iat": NOW, "exp": NOW + 300, "nbf": NOW,
        "sub": "workload", "app": "shop", "vm": "m1", "node": "h1", "roles": ["a"], "jti": "j",
    })
}
