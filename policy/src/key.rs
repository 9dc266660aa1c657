//! The two kinds of key that the format knows, and its AEAD.
//!
//! This crate may not know the key hierarchy, so these are newtypes of its own: callers fill them from theirs.

use std::fmt;

use chacha20poly1305::aead::{Aead, AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce, Tag};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// Bytes of the AEAD's key.
const KEY_LENGTH: usize = 32;
/// Bytes of the AEAD's nonce (RFC 8439), written before the ciphertext.
const NONCE_LENGTH: usize = 12;
/// Bytes of the AEAD's tag (RFC 8439), written after it.
const TAG_LENGTH: usize = 16;

/// The root key of tokens: the key of the first HMAC-SHA-256 of a chain (RFC 2104, so of any length).
/// Wiped on drop, by itself or by who holds it.
pub struct MacaroonKey(Box<dyn AsRef<[u8]> + Send + Sync>);

impl MacaroonKey {
    /// Takes key bytes of any length; 32 random ones are what should be used.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Box::new(Zeroizing::new(bytes.to_vec())))
    }

    /// A key that stays where it is: in memory that is locked, and that `holder` wipes.
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

/// The key that a discharger shares with whoever writes tickets for it: ChaCha20-Poly1305 (RFC 8439), 32
/// bytes. Wiped on drop, by itself or by who holds it.
pub struct SharedKey(Box<dyn AsRef<[u8; KEY_LENGTH]> + Send + Sync>);

/// A key of our own on the heap, so that moving it leaves no copy behind.
struct Owned(Zeroizing<[u8; KEY_LENGTH]>);

impl AsRef<[u8; KEY_LENGTH]> for Owned {
    fn as_ref(&self) -> &[u8; KEY_LENGTH] {
        &self.0
    }
}

impl SharedKey {
    /// Takes a key.
    pub fn new(bytes: [u8; KEY_LENGTH]) -> Self {
        Self(Box::new(Owned(Zeroizing::new(bytes))))
    }

    /// A key that stays where it is: in memory that is locked, and that `holder` wipes.
    pub fn held_by(holder: impl AsRef<[u8; KEY_LENGTH]> + Send + Sync + 'static) -> Self {
        Self(Box::new(holder))
    }

    /// Takes a key from a slice.
    ///
    /// # Errors
    /// [`OpenError`] unless it has 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, OpenError> {
        let mut key = Box::new(Owned(Zeroizing::new([0; KEY_LENGTH])));
        if bytes.len() != KEY_LENGTH {
            return Err(OpenError);
        }
        key.0.copy_from_slice(bytes);
        Ok(Self(key))
    }

    /// A random key.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut key = Box::new(Owned(Zeroizing::new([0; KEY_LENGTH])));
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
        // The one failure of this AEAD is a plaintext of 256 GiB; an empty text then opens for nobody.
        sealed.extend(cipher(self.expose_bytes()).encrypt(&nonce, plaintext).unwrap_or_default());
        sealed
    }

    /// Opens what [`Self::seal`] made.
    ///
    /// # Errors
    /// [`OpenError`]: too short, changed, or sealed under another key.
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

/// A sealed text did not open, or a key is not 32 bytes long. Which one is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenError;

impl fmt::Display for OpenError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(crate::text::OPEN_ERROR)
    }
}

impl std::error::Error for OpenError {}

/// Opens a sealed 32-byte key without touching the heap; anything of another length is refused
/// (macaroon-format 12.13).
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
