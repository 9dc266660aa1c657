//! `nacl_box`: libsodium's sealed boxes (`crypto_box_seal`): X25519, XSalsa20-Poly1305, and a nonce
//! that is BLAKE2b-192 of both public keys: `ephemeral public key 32 | tag 16 | ciphertext`.
//!
//! Of NaCl's boxes it is the one that needs only one key pair, which is what a secret key is: anyone with the
//! public key encrypts to the app (PyNaCl `SealedBox(public).encrypt`), and the app decrypts. A box between
//! two parties needs the other party's key in every call, and these calls have no field for it.

use crypto_box::aead::rand_core as old;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{Algorithm, ImportError, KEY_LENGTH, KeyUseError, Material, array, check_length, random};

pub(super) struct NaclBox;

impl Algorithm for NaclBox {
    fn generate(&self, rng: &mut dyn CryptoRng) -> Material {
        random(rng, KEY_LENGTH)
    }

    fn check(&self, key: &[u8]) -> Result<(), ImportError> {
        check_length(key)
    }

    fn public_key(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyUseError> {
        Ok(Some(PrivateKey::of(key)?.0.public_key().to_bytes().to_vec()))
    }

    fn encrypt(
        &self,
        key: &[u8],
        rng: &mut dyn CryptoRng,
        plaintext: &[u8],
        _associated_data: &[u8],
    ) -> Result<Vec<u8>, KeyUseError> {
        let public = PrivateKey::of(key)?.0.public_key();
        public.seal(&mut OldRng(rng), plaintext).map_err(|_| KeyUseError::Damaged)
    }

    fn decrypt(
        &self,
        key: &[u8],
        ciphertext: &[u8],
        _associated_data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyUseError> {
        PrivateKey::of(key)?.0.unseal(ciphertext).map(Zeroizing::new).map_err(|_| KeyUseError::NotAuthentic)
    }
}

/// A private key of `crypto_box`, which wipes its scalar on drop, but not the bytes that it keeps in
/// addition: this wipes them. On the heap, so that a move leaves no copy.
struct PrivateKey(Box<crypto_box::SecretKey>);

impl PrivateKey {
    fn of(key: &[u8]) -> Result<Self, KeyUseError> {
        let mut private = Self(Box::new(crypto_box::SecretKey::from([0; KEY_LENGTH])));
        *private.0 = crypto_box::SecretKey::from(*array(key)?);
        Ok(private)
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        *self.0 = crypto_box::SecretKey::from([0; KEY_LENGTH]);
        // Otherwise the compiler removes writes that are never read.
        std::hint::black_box(&self.0);
    }
}

/// Adapts the randomness to the older trait that `crypto_box` uses.
struct OldRng<'a>(&'a mut dyn CryptoRng);

impl old::RngCore for OldRng<'_> {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), old::Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl old::CryptoRng for OldRng<'_> {}
