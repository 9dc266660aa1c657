//! `nacl_sign`: Ed25519 (RFC 8032), detached signatures of 64 bytes (libsodium
//! `crypto_sign_detached`, PyNaCl `SigningKey.sign(..).signature`).
//!
//! The stored form is the seed. libsodium's own form, seed and public key, is accepted too. Verification is
//! strict: no weak keys, no second form of a signature.

use ed25519_dalek::{Signature, Signer, SigningKey};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{Algorithm, ImportError, KEY_LENGTH, KeyUseError, Material, array, check_length, random};

pub(super) struct NaclSign;

impl Algorithm for NaclSign {
    fn generate(&self, rng: &mut dyn CryptoRng) -> Material {
        random(rng, KEY_LENGTH)
    }

    fn check(&self, key: &[u8]) -> Result<(), ImportError> {
        check_length(key)
    }

    fn import(&self, given: &[u8]) -> Result<Material, ImportError> {
        let length =
            ImportError::Length { length: given.len(), wanted: "32 bytes, or 64 with the public key" };
        let (seed, public) = given.split_first_chunk::<KEY_LENGTH>().ok_or(length)?;
        match public.len() {
            0 => {}
            KEY_LENGTH if SigningKey::from_bytes(seed).verifying_key().as_bytes() == public => {}
            KEY_LENGTH => return Err(ImportError::OtherPublicKey),
            _ => return Err(length),
        }
        Ok(Zeroizing::new(seed.as_slice().into()))
    }

    fn public_key(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyUseError> {
        Ok(Some(SigningKey::from_bytes(array(key)?).verifying_key().to_bytes().to_vec()))
    }

    fn sign(&self, key: &[u8], message: &[u8]) -> Result<Vec<u8>, KeyUseError> {
        Ok(SigningKey::from_bytes(array(key)?).sign(message).to_bytes().to_vec())
    }

    fn verify(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), KeyUseError> {
        let signature = Signature::from_slice(signature).map_err(|_| KeyUseError::SignatureMismatch)?;
        SigningKey::from_bytes(array(key)?)
            .verifying_key()
            .verify_strict(message, &signature)
            .map_err(|_| KeyUseError::SignatureMismatch)
    }
}
