//! Keys that seal messages themselves, with XAES-256-GCM and a random nonce each time: `0x01 | nonce 24 |
//! ciphertext | tag 16`.

use std::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::app_kek::PLAINTEXT_MAXIMUM;
use crate::context::{Context, HostCacheContext};
use crate::error::{EncryptError, OpenError};
use crate::key_bytes::KeyBytes;
use crate::role::random_key_role;
use crate::xaes;

/// Longest poll entry, in bytes (64 KiB).
const POLL_ENTRY_MAXIMUM: usize = 64 * 1024;

random_key_role! {
    /// The key of responses that wait to be polled.
    PollKey, PollKey, WrappedByKeyring
}

impl PollKey {
    /// Seals the response with the id `id` in this store.
    ///
    /// # Errors
    /// [`EncryptError::TooLong`] above 64 KiB.
    pub fn seal(
        &self,
        rng: &mut dyn CryptoRng,
        answer: &[u8],
        store: &[u8; 16],
        id: &[u8; 16],
    ) -> Result<Vec<u8>, EncryptError> {
        xaes::message(rng, &self.0, Context::PollEntry { store, id }, answer, POLL_ENTRY_MAXIMUM)
    }

    /// Opens the response with the id `id`.
    ///
    /// # Errors
    /// [`OpenError`]: changed, cut, or another entry.
    pub fn open(
        &self,
        sealed: &[u8],
        store: &[u8; 16],
        id: &[u8; 16],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        open(&self.0, sealed, Context::PollEntry { store, id }, POLL_ENTRY_MAXIMUM)
    }
}

/// The key of a host's cache: the last bundle of each Machine, sealed to this host and app.
///
/// It belongs to the host, not to a store, so no keyring wraps it.
pub struct HostCacheKey(KeyBytes);

impl HostCacheKey {
    /// A new key, 32 bytes from `rng`.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self(KeyBytes::generate(rng))
    }

    /// Seals the host's cache entry for one Machine.
    ///
    /// # Errors
    /// [`EncryptError::TooLong`] above [`PLAINTEXT_MAXIMUM`].
    pub fn seal(
        &self,
        rng: &mut dyn CryptoRng,
        entry: &[u8],
        context: &HostCacheContext<'_>,
    ) -> Result<Vec<u8>, EncryptError> {
        xaes::message(rng, &self.0, Context::HostCacheEntry(context), entry, PLAINTEXT_MAXIMUM)
    }

    /// Opens the cache entry for exactly this Machine on this host.
    ///
    /// # Errors
    /// [`OpenError`]: changed, cut, or of another Machine, app or host.
    pub fn open(
        &self,
        sealed: &[u8],
        context: &HostCacheContext<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        open(&self.0, sealed, Context::HostCacheEntry(context), PLAINTEXT_MAXIMUM)
    }
}

impl fmt::Debug for HostCacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostCacheKey(..)")
    }
}

fn open(
    key: &KeyBytes,
    sealed: &[u8],
    context: Context<'_>,
    maximum: usize,
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let body = xaes::split_message(sealed, maximum)?;
    let mut plaintext = Zeroizing::new(vec![0; body.plaintext_length()]);
    body.open_into(key, context, &mut plaintext)?;
    Ok(plaintext)
}
