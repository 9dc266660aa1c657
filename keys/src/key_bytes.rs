//! Where key bytes lie: one heap block for each key, filled in place and wiped when it is dropped.

use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// 32 bytes of key. Boxed, so that moving the key moves a pointer and leaves no copy behind.
pub(crate) struct KeyBytes(Box<[u8; 32]>);

impl KeyBytes {
    pub(crate) const LENGTH: usize = 32;

    /// A block of zeros, to be filled before use.
    pub(crate) fn zeroed() -> Self {
        Self(Box::new([0; Self::LENGTH]))
    }

    pub(crate) fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut bytes = Self::zeroed();
        rng.fill_bytes(bytes.as_mut());
        bytes
    }

    pub(crate) fn as_array(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn as_mut(&mut self) -> &mut [u8; 32] {
        &mut self.0
    }
}

impl Drop for KeyBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for KeyBytes {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compiles only while each of them wipes itself: a dependency's feature that was lost stops here.
    #[test]
    fn whatever_holds_a_key_wipes_it() {
        fn wipes<T: ZeroizeOnDrop>() {}
        wipes::<KeyBytes>();
        wipes::<aes_gcm::Aes256Gcm>();
        wipes::<xaes_256_gcm::Xaes256Gcm>();
        // The state of an HMAC is two of these.
        wipes::<sha2::Sha256>();
        wipes::<ed25519_dalek::SigningKey>();
        wipes::<p256::ecdsa::SigningKey>();
        wipes::<sha2::Sha384>();
        wipes::<sha2::Sha512>();
    }
}
