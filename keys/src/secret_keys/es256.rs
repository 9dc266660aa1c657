//! `es256`: ECDSA on P-256 with SHA-256 (FIPS 186-5). A signature is `r 32 | s 32`, big-endian, as in
//! JOSE (RFC 7518 §3.4), not DER; nonces are deterministic (RFC 6979). A key is its private scalar, 32
//! bytes big-endian (`d` of a JWK); the public key an uncompressed point (SEC 1), 65 bytes.

use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{Signature, SigningKey};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{Algorithm, ImportError, KEY_LENGTH, KeyUseError, Material, check_length};

pub(super) struct Es256;

impl Algorithm for Es256 {
    fn generate(&self, rng: &mut dyn CryptoRng) -> Material {
        let mut key = Zeroizing::new(vec![0; KEY_LENGTH].into_boxed_slice());
        // Draws again until it is a scalar: one draw in 2^32 is not.
        while SigningKey::from_slice(&key).is_err() {
            rng.fill_bytes(&mut key);
        }
        key
    }

    fn check(&self, key: &[u8]) -> Result<(), ImportError> {
        check_length(key)?;
        SigningKey::from_slice(key).map(|_| ()).map_err(|_| ImportError::NotOnCurve)
    }

    fn public_key(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyUseError> {
        Ok(Some(signing_key(key)?.verifying_key().to_sec1_point(false).as_bytes().to_vec()))
    }

    fn sign(&self, key: &[u8], message: &[u8]) -> Result<Vec<u8>, KeyUseError> {
        let signature: Signature = signing_key(key)?.try_sign(message).map_err(|_| KeyUseError::Damaged)?;
        Ok(signature.to_bytes().to_vec())
    }

    fn verify(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), KeyUseError> {
        let signature = Signature::from_slice(signature).map_err(|_| KeyUseError::SignatureMismatch)?;
        signing_key(key)?
            .verifying_key()
            .verify(message, &signature)
            .map_err(|_| KeyUseError::SignatureMismatch)
    }
}

fn signing_key(key: &[u8]) -> Result<SigningKey, KeyUseError> {
    SigningKey::from_slice(key).map_err(|_| KeyUseError::Damaged)
}
