//! `nacl_secretbox`: XSalsa20-Poly1305, like NaCl's `crypto_secretbox` and PyNaCl's `SecretBox.encrypt`:
//! `nonce 24 | tag 16 | ciphertext`. The nonce is random every time; 192 bits are enough for any number of
//! messages.

use crypto_secretbox::aead::AeadInPlace;
use crypto_secretbox::{KeyInit, Nonce, Tag, XSalsa20Poly1305};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use super::{Algorithm, ImportError, KEY_LENGTH, KeyUseError, Material, array, check_length, random};

const NONCE_LENGTH: usize = 24;
const TAG_LENGTH: usize = 16;

pub(super) struct NaclSecretbox;

impl Algorithm for NaclSecretbox {
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
        _associated_data: &[u8],
    ) -> Result<Vec<u8>, KeyUseError> {
        let cipher = XSalsa20Poly1305::new(array(key)?.into());
        let mut nonce = Nonce::default();
        rng.fill_bytes(&mut nonce);
        // Allocated in full, so that a growing vector leaves no copy of the plaintext.
        let mut output = Vec::with_capacity(NONCE_LENGTH + TAG_LENGTH + plaintext.len());
        output.extend_from_slice(&nonce);
        output.extend_from_slice(&[0; TAG_LENGTH]);
        output.extend_from_slice(plaintext);
        let sealed = output.get_mut(NONCE_LENGTH..).and_then(|rest| {
            let (tag_room, buffer) = rest.split_at_mut_checked(TAG_LENGTH)?;
            let tag = cipher.encrypt_in_place_detached(&nonce, b"", buffer).ok()?;
            tag_room.copy_from_slice(&tag);
            Some(())
        });
        if sealed.is_none() {
            output.zeroize();
            return Err(KeyUseError::Damaged);
        }
        Ok(output)
    }

    fn decrypt(
        &self,
        key: &[u8],
        ciphertext: &[u8],
        _associated_data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyUseError> {
        let cipher = XSalsa20Poly1305::new(array(key)?.into());
        let (nonce, rest) =
            ciphertext.split_first_chunk::<NONCE_LENGTH>().ok_or(KeyUseError::NotAuthentic)?;
        let (tag, rest) = rest.split_first_chunk::<TAG_LENGTH>().ok_or(KeyUseError::NotAuthentic)?;
        let mut plaintext = Zeroizing::new(rest.to_vec());
        let (nonce, tag): (&Nonce, &Tag) = (nonce.into(), tag.into());
        cipher
            .decrypt_in_place_detached(nonce, b"", &mut plaintext, tag)
            .map_err(|_| KeyUseError::NotAuthentic)?;
        Ok(plaintext)
    }
}
