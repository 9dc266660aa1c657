//! `xaes256gcm`: XAES-256-GCM (C2SP): `nonce 24 | ciphertext | tag 16`, with a random nonce every time, and
//! the caller's associated data.

use aes_gcm::aead::{AeadInOut, KeyInit};
use rand_core::CryptoRng;
use xaes_256_gcm::{Nonce, Tag, Xaes256Gcm};
use zeroize::{Zeroize, Zeroizing};

use super::{Algorithm, ImportError, KEY_LENGTH, KeyUseError, Material, array, check_length, random};
use crate::xaes::{NONCE_LENGTH, TAG_LENGTH};

pub(super) struct Xaes;

impl Algorithm for Xaes {
    fn generate(&self, rng: &mut dyn CryptoRng) -> Material {
        random(rng, KEY_LENGTH)
    }

    fn check(&self, key: &[u8]) -> Result<(), ImportError> {
        check_length(key)
    }

    fn encrypt(
        &self,
        key: &[u8],
        rng: &mut dyn CryptoRng,
        plaintext: &[u8],
        associated_data: &[u8],
    ) -> Result<Vec<u8>, KeyUseError> {
        let cipher = Xaes256Gcm::new(array(key)?.into());
        let mut nonce = Nonce::default();
        rng.fill_bytes(&mut nonce);
        let mut output = Vec::with_capacity(NONCE_LENGTH + plaintext.len() + TAG_LENGTH);
        output.extend_from_slice(&nonce);
        output.extend_from_slice(plaintext);
        let tag = output
            .get_mut(NONCE_LENGTH..)
            .and_then(|buffer| cipher.encrypt_inout_detached(&nonce, associated_data, buffer.into()).ok());
        match tag {
            Some(tag) => output.extend_from_slice(&tag),
            None => {
                output.zeroize();
                return Err(KeyUseError::Damaged);
            }
        }
        Ok(output)
    }

    fn decrypt(
        &self,
        key: &[u8],
        ciphertext: &[u8],
        associated_data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyUseError> {
        let cipher = Xaes256Gcm::new(array(key)?.into());
        let (nonce, rest) =
            ciphertext.split_first_chunk::<NONCE_LENGTH>().ok_or(KeyUseError::NotAuthentic)?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG_LENGTH>().ok_or(KeyUseError::NotAuthentic)?;
        let mut plaintext = Zeroizing::new(ciphertext.to_vec());
        let (nonce, tag): (&Nonce, &Tag) = (nonce.into(), tag.into());
        cipher
            .decrypt_inout_detached(nonce, associated_data, plaintext.as_mut_slice().into(), tag)
            .map_err(|_| KeyUseError::NotAuthentic)?;
        Ok(plaintext)
    }
}
