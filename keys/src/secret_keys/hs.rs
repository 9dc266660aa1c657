//! `hs256`, `hs384`, `hs512`: HMAC with SHA-2 (RFC 2104, FIPS 198-1), the whole tag, as in JOSE
//! (RFC 7518 §3.2).
//!
//! A key is as long as the tag or longer (RFC 7518), and no longer than the hash's block: HMAC hashes longer
//! keys, so that two keys would be equivalent.

use hmac::Hmac;
use hmac::digest::common::{Key, KeyInit};
use hmac::digest::{FixedOutput, Update};
use rand_core::CryptoRng;
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::{Algorithm, ImportError, KeyUseError, Material, random};

/// One of the three types.
pub(super) struct Hs {
    /// Length of a tag and of a new key, in bytes.
    length: usize,
    /// Longest key, in bytes.
    block: usize,
    wanted: &'static str,
    tag: fn(&[u8], &[u8]) -> Vec<u8>,
}

impl Hs {
    pub(super) const SHA_256: Self =
        Self { length: 32, block: 64, wanted: "32 to 64 bytes", tag: tag::<Hmac<Sha256>> };
    pub(super) const SHA_384: Self =
        Self { length: 48, block: 128, wanted: "48 to 128 bytes", tag: tag::<Hmac<Sha384>> };
    pub(super) const SHA_512: Self =
        Self { length: 64, block: 128, wanted: "64 to 128 bytes", tag: tag::<Hmac<Sha512>> };
}

impl Algorithm for Hs {
    fn generate(&self, rng: &mut dyn CryptoRng) -> Material {
        random(rng, self.length)
    }

    fn check(&self, key: &[u8]) -> Result<(), ImportError> {
        if (self.length..=self.block).contains(&key.len()) {
            Ok(())
        } else {
            Err(ImportError::Length { length: key.len(), wanted: self.wanted })
        }
    }

    fn sign(&self, key: &[u8], message: &[u8]) -> Result<Vec<u8>, KeyUseError> {
        Ok((self.tag)(key, message))
    }

    fn verify(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), KeyUseError> {
        compare(&(self.tag)(key, message), signature)
    }
}

/// The whole tag. `key` is no longer than a block.
pub(super) fn tag<M: KeyInit + Update + FixedOutput>(key: &[u8], message: &[u8]) -> Vec<u8> {
    // Padded here, where it is wiped; `new_from_slice` would keep a copy on the stack.
    let mut block = Key::<M>::default();
    block.iter_mut().zip(key).for_each(|(room, byte)| *room = *byte);
    let mut running = M::new(&block);
    block.as_mut_slice().zeroize();
    running.update(message);
    running.finalize_fixed().to_vec()
}

/// In constant time; a signature of another length does not match.
pub(super) fn compare(computed: &[u8], signature: &[u8]) -> Result<(), KeyUseError> {
    if bool::from(computed.ct_eq(signature)) { Ok(()) } else { Err(KeyUseError::SignatureMismatch) }
}
