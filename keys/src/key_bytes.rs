//! The bytes of a key: one place in locked memory for each key, filled in place and wiped on drop.

use rand_core::CryptoRng;
use zeroize::ZeroizeOnDrop;

use crate::key_memory::{self, Place};

/// 32 bytes of a key. Moving the key moves a pointer and leaves no copy.
pub(crate) struct KeyBytes(Option<Place>);

impl KeyBytes {
    pub(crate) const LENGTH: usize = 32;

    /// Zeros, to be filled before use.
    pub(crate) fn zeroed() -> Self {
        Self(Some(key_memory::take()))
    }

    pub(crate) fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut bytes = Self::zeroed();
        rng.fill_bytes(bytes.as_mut());
        bytes
    }

    #[expect(clippy::expect_used, reason = "the place is given back by `drop` alone")]
    pub(crate) fn as_array(&self) -> &[u8; 32] {
        self.0.as_deref().expect("a key has its place")
    }

    #[expect(clippy::expect_used, reason = "the place is given back by `drop` alone")]
    pub(crate) fn as_mut(&mut self) -> &mut [u8; 32] {
        self.0.as_deref_mut().expect("a key has its place")
    }
}

impl Drop for KeyBytes {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(key_memory::give_back);
    }
}

impl ZeroizeOnDrop for KeyBytes {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compiles only while each type wipes its bytes on drop: it fails if a dependency loses that feature.
    #[test]
    fn every_key_type_is_wiped_on_drop() {
        fn wipes<T: ZeroizeOnDrop>() {}
        wipes::<KeyBytes>();
        wipes::<aes_gcm::Aes256Gcm>();
        wipes::<xaes_256_gcm::Xaes256Gcm>();
        // The state of an HMAC consists of two of these.
        wipes::<sha2::Sha256>();
        wipes::<ed25519_dalek::SigningKey>();
        wipes::<p256::ecdsa::SigningKey>();
        wipes::<sha2::Sha384>();
        wipes::<sha2::Sha512>();
    }
}
