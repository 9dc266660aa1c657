//! `nacl_auth`: libsodium's `crypto_auth`, which is HMAC-SHA-512 (RFC 2104) cut to its first 32 bytes.
//! It is not HMAC with SHA-512/256.

use hmac::Hmac;
use rand_core::CryptoRng;
use sha2::Sha512;

use super::{Algorithm, ImportError, KEY_LENGTH, KeyUseError, Material, check_length, hs, random};

const TAG_LENGTH: usize = 32;

pub(super) struct NaclAuth;

impl Algorithm for NaclAuth {
    fn generate(&self, rng: &mut dyn CryptoRng) -> Material {
        random(rng, KEY_LENGTH)
    }

    fn check(&self, key: &[u8]) -> Result<(), ImportError> {
        check_length(key)
    }

    fn sign(&self, key: &[u8], message: &[u8]) -> Result<Vec<u8>, KeyUseError> {
        let mut tag = hs::tag::<Hmac<Sha512>>(key, message);
        tag.truncate(TAG_LENGTH);
        Ok(tag)
    }

    fn verify(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), KeyUseError> {
        hs::compare(&self.sign(key, message)?, signature)
    }
}
