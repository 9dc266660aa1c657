//! Signers of JWTs, one for each algorithm, and their public keys. The fuzz targets sign with them, too.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::Jwk;
use serde_json::{Value, json};

pub(crate) enum SigningKey {
    Library(EncodingKey, jsonwebtoken::Algorithm),
    /// The library does not sign with it.
    P521(EcdsaKeyPair),
}

impl SigningKey {
    /// The key for an algorithm.
    pub(crate) fn of(algorithm: &str) -> Self {
        const P256: &[u8] = include_bytes!("../testdata/p256.pem");
        const P384: &[u8] = include_bytes!("../testdata/p384.pem");
        const P521: &str = include_str!("../testdata/p521.pem");
        const ED25519: &[u8] = include_bytes!("../testdata/ed25519.pem");
        const RSA: &[u8] = include_bytes!("../testdata/rsa2048.pem");
        let key = match algorithm {
            "ES512" => {
                let lines: String = P521.lines().filter(|line| !line.starts_with('-')).collect();
                let pkcs8 = BASE64.decode(lines.as_bytes()).unwrap();
                return Self::P521(
                    EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, &pkcs8).unwrap(),
                );
            }
            "ES256" => EncodingKey::from_ec_pem(P256),
            "ES384" => EncodingKey::from_ec_pem(P384),
            "EdDSA" | "Ed25519" => EncodingKey::from_ed_pem(ED25519),
            _ => EncodingKey::from_rsa_pem(RSA),
        };
        let name = if algorithm == "Ed25519" { "EdDSA" } else { algorithm };
        Self::Library(key.unwrap(), name.parse().unwrap())
    }

    pub(crate) fn jwk(&self, id: &str) -> Value {
        let mut jwk = match self {
            Self::Library(key, algorithm) => {
                serde_json::to_value(Jwk::from_encoding_key(key, *algorithm).unwrap()).unwrap()
            }
            Self::P521(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(66);
                json!({
                    "kty": "EC", "crv": "P-521", "x": BASE64URL_NOPAD.encode(x), "y": BASE64URL_NOPAD.encode(y),
                })
            }
        };
        jwk["kid"] = json!(id);
        jwk.as_object_mut().unwrap().remove("alg");
        jwk
    }

    /// The signature in base64url.
    pub(crate) fn sign(&self, signed: &[u8]) -> String {
        match self {
            Self::Library(key, algorithm) => jsonwebtoken::crypto::sign(signed, key, *algorithm).unwrap(),
            Self::P521(key) => {
                BASE64URL_NOPAD.encode(key.sign(&SystemRandom::new(), signed).unwrap().as_ref())
            }
        }
    }
}
