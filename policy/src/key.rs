//! The two kinds of key in the format, and its AEAD.
//!
//! This crate must not know the key hierarchy, so it has its own newtypes; callers fill them from theirs.

use std::fmt;

use chacha20poly1305::aead::{Aead, AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce, Tag};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::text::OpenError;

/// Bytes of the AEAD's key.
const KEY_LENGTH: usize = 32;
/// Bytes of the AEAD's nonce (RFC 8439), which precedes the ciphertext.
const NONCE_LENGTH: usize = 12;
/// Bytes of the AEAD's tag (RFC 8439), which follows it.
const TAG_LENGTH: usize = 16;

/// The root key of tokens: the key of the first HMAC-SHA-256 of a chain, of any length (RFC 2104).
/// Wiped on drop, by this type or by its holder.
pub struct MacaroonKey(Box<dyn AsRef<[u8]> + Send + Sync>);

impl MacaroonKey {
    /// Copies key bytes of any length; use 32 random bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Box::new(Zeroizing::new(bytes.to_vec())))
    }

    /// A key that stays in the memory of `holder`, which locks and wipes it.
    pub fn held_by(holder: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(Box::new(holder))
    }

    /// 32 random bytes.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut bytes = Zeroizing::new(vec![0; KEY_LENGTH]);
        rng.fill_bytes(&mut bytes);
        Self(Box::new(bytes))
    }

    /// The key bytes, for wrapping them.
    pub fn expose_bytes(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl fmt::Debug for MacaroonKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("MacaroonKey(..)")
    }
}

/// The key that a discharger shares with the authors of its tickets: ChaCha20-Poly1305 (RFC 8439), 32 bytes.
/// Wiped on drop, by this type or by its holder.
pub struct SharedKey(Box<dyn AsRef<[u8; KEY_LENGTH]> + Send + Sync>);

/// A key on the heap, so that moving it leaves no copy behind.
struct HeapKey(Zeroizing<[u8; KEY_LENGTH]>);

impl AsRef<[u8; KEY_LENGTH]> for HeapKey {
    fn as_ref(&self) -> &[u8; KEY_LENGTH] {
        &self.0
    }
}

impl SharedKey {
    /// Takes the key bytes.
    pub fn new(bytes: [u8; KEY_LENGTH]) -> Self {
        Self(Box::new(HeapKey(Zeroizing::new(bytes))))
    }

    /// A key that stays in the memory of `holder`, which locks and wipes it.
    pub fn held_by(holder: impl AsRef<[u8; KEY_LENGTH]> + Send + Sync + 'static) -> Self {
        Self(Box::new(holder))
    }

    /// Copies the key from a slice.
    ///
    /// # Errors
    /// [`OpenError`] unless the slice has 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, OpenError> {
        let mut key = Box::new(HeapKey(Zeroizing::new([0; KEY_LENGTH])));
        if bytes.len() != KEY_LENGTH {
            return Err(OpenError);
        }
        key.0.copy_from_slice(bytes);
        Ok(Self(key))
    }

    /// A random key.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut key = Box::new(HeapKey(Zeroizing::new([0; KEY_LENGTH])));
        rng.fill_bytes(key.0.as_mut_slice());
        Self(key)
    }

    /// The key bytes, for wrapping them.
    pub fn expose_bytes(&self) -> &[u8; KEY_LENGTH] {
        (*self.0).as_ref()
    }

    /// `nonce(12) ‖ ciphertext ‖ tag(16)`, random nonce, no associated data (macaroon-format §5).
    pub fn seal(&self, plaintext: &[u8], rng: &mut dyn CryptoRng) -> Vec<u8> {
        let mut nonce = Nonce::default();
        rng.fill_bytes(&mut nonce);
        let mut sealed = Vec::with_capacity(NONCE_LENGTH + plaintext.len() + TAG_LENGTH);
        sealed.extend_from_slice(&nonce);
        // This AEAD fails only for a plaintext over 256 GiB; the empty ciphertext then never opens.
        sealed.extend(cipher(self.expose_bytes()).encrypt(&nonce, plaintext).unwrap_or_default());
        sealed
    }

    /// Opens a sealed text of [`Self::seal`].
    ///
    /// # Errors
    /// [`OpenError`]: too short, modified, or sealed under another key.
    pub fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LENGTH>().ok_or(OpenError)?;
        cipher(self.expose_bytes())
            .decrypt(&Nonce::from(*nonce), ciphertext)
            .map(Zeroizing::new)
            .map_err(|_| OpenError)
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SharedKey(..)")
    }
}

/// Opens a sealed 32-byte key without an allocation; other lengths are refused (macaroon-format 12.13).
pub(crate) fn open_key(key: &[u8; 32], sealed: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_LENGTH>()?;
    let (ciphertext, tag) = rest.split_last_chunk::<TAG_LENGTH>()?;
    let mut opened = Zeroizing::new(<[u8; KEY_LENGTH]>::try_from(ciphertext).ok()?);
    cipher(key)
        .decrypt_inout_detached(&Nonce::from(*nonce), b"", opened.as_mut_slice().into(), &Tag::from(*tag))
        .ok()?;
    Some(opened)
}

fn cipher(key: &[u8; KEY_LENGTH]) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(<&Key>::from(key))
}
