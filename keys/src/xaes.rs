//! XAES-256-GCM (C2SP `XAES-256-GCM`): a 256-bit key, a random 192-bit nonce, a 128-bit tag. Random nonces of
//! that length practically never repeat, so a key may wrap any number of times.
//!
//! A wrap is `0x01 | version of the wrapping key, u32 big-endian | nonce 24 | ciphertext | tag 16`. A message
//! is the same without the version, for keys that have none.

use aes_gcm::aead::{AeadInOut, KeyInit};
use rand_core::CryptoRng;
use xaes_256_gcm::{Nonce, Tag, Xaes256Gcm};
use zeroize::Zeroize;

use crate::context::Context;
use crate::error::{EncryptError, OpenError};
use crate::key_bytes::KeyBytes;

pub(crate) const FORMAT: u8 = 0x01;
pub(crate) const NONCE_LENGTH: usize = 24;
pub(crate) const TAG_LENGTH: usize = 16;

const VERSION_LENGTH: usize = 4;
const BODY_MINIMUM: usize = NONCE_LENGTH + TAG_LENGTH;
const WRAP_MINIMUM: usize = 1 + VERSION_LENGTH + BODY_MINIMUM;
const MESSAGE_MINIMUM: usize = 1 + BODY_MINIMUM;

/// Nonce, ciphertext and tag, split but not verified.
#[derive(Clone, Copy)]
pub(crate) struct Body<'a> {
    nonce: &'a [u8; NONCE_LENGTH],
    ciphertext: &'a [u8],
    tag: &'a [u8; TAG_LENGTH],
}

impl<'a> Body<'a> {
    /// Splits `nonce | ciphertext | tag`.
    pub(crate) fn split(bytes: &'a [u8]) -> Result<Self, OpenError> {
        let too_short = OpenError::TooShort { length: bytes.len(), minimum: BODY_MINIMUM };
        let (nonce, rest) = bytes.split_first_chunk().ok_or(too_short)?;
        let (ciphertext, tag) = rest.split_last_chunk().ok_or(too_short)?;
        Ok(Self { nonce, ciphertext, tag })
    }

    /// Length of the plaintext, in bytes.
    pub(crate) fn plaintext_length(&self) -> usize {
        self.ciphertext.len()
    }

    /// Decrypts into `plaintext`, which has the length of [`Body::plaintext_length`]; the plaintext is in no
    /// other place.
    pub(crate) fn open_into(
        &self,
        key: &KeyBytes,
        context: Context<'_>,
        plaintext: &mut [u8],
    ) -> Result<(), OpenError> {
        if plaintext.len() != self.ciphertext.len() {
            return Err(OpenError::KeyLength { length: self.ciphertext.len() });
        }
        plaintext.copy_from_slice(self.ciphertext);
        let cipher = Xaes256Gcm::new(key.as_array().into());
        let nonce: &Nonce = self.nonce.into();
        let tag: &Tag = self.tag.into();
        cipher
            .decrypt_inout_detached(nonce, &context.to_vec(), plaintext.into(), tag)
            .map_err(|_| OpenError::NotAuthentic)
    }
}

/// Splits a wrap into the version of its wrapping key and its body.
pub(crate) fn split_wrap(bytes: &[u8]) -> Result<(u32, Body<'_>), OpenError> {
    let too_short = OpenError::TooShort { length: bytes.len(), minimum: WRAP_MINIMUM };
    let rest = check_format(bytes, too_short)?;
    let (version, rest) = rest.split_first_chunk::<VERSION_LENGTH>().ok_or(too_short)?;
    let body = Body::split(rest).map_err(|_| too_short)?;
    Ok((u32::from_be_bytes(*version), body))
}

/// Splits a message of at most `maximum` bytes of plaintext.
pub(crate) fn split_message(bytes: &[u8], maximum: usize) -> Result<Body<'_>, OpenError> {
    let too_short = OpenError::TooShort { length: bytes.len(), minimum: MESSAGE_MINIMUM };
    let body = Body::split(check_format(bytes, too_short)?).map_err(|_| too_short)?;
    if body.plaintext_length() > maximum {
        return Err(OpenError::TooLong { length: bytes.len(), maximum: MESSAGE_MINIMUM + maximum });
    }
    Ok(body)
}

/// Removes the format byte.
pub(crate) fn check_format(bytes: &[u8], too_short: OpenError) -> Result<&[u8], OpenError> {
    match bytes.split_first() {
        None => Err(too_short),
        Some((&FORMAT, rest)) => Ok(rest),
        Some((&format, _)) => Err(OpenError::UnknownFormat { format }),
    }
}

/// Makes a wrap of `plaintext` under version `wrapping_version` of `key`.
pub(crate) fn wrap(
    rng: &mut dyn CryptoRng,
    key: &KeyBytes,
    wrapping_version: u32,
    context: Context<'_>,
    plaintext: &[u8],
) -> Result<Vec<u8>, EncryptError> {
    let mut output = Vec::with_capacity(WRAP_MINIMUM + plaintext.len());
    output.push(FORMAT);
    output.extend_from_slice(&wrapping_version.to_be_bytes());
    append_body(rng, key, context, plaintext, &mut output)?;
    Ok(output)
}

/// Makes a message of `plaintext` under `key`.
pub(crate) fn message(
    rng: &mut dyn CryptoRng,
    key: &KeyBytes,
    context: Context<'_>,
    plaintext: &[u8],
    maximum: usize,
) -> Result<Vec<u8>, EncryptError> {
    if plaintext.len() > maximum {
        return Err(EncryptError::TooLong { length: plaintext.len(), maximum });
    }
    let mut output = Vec::with_capacity(MESSAGE_MINIMUM + plaintext.len());
    output.push(FORMAT);
    append_body(rng, key, context, plaintext, &mut output)?;
    Ok(output)
}

/// Appends `nonce | ciphertext | tag` with a fresh nonce. The caller reserved the space, so that a growing
/// vector leaves no copy of the plaintext.
pub(crate) fn append_body(
    rng: &mut dyn CryptoRng,
    key: &KeyBytes,
    context: Context<'_>,
    plaintext: &[u8],
    output: &mut Vec<u8>,
) -> Result<(), EncryptError> {
    let mut nonce = Nonce::default();
    rng.fill_bytes(&mut nonce);
    output.extend_from_slice(&nonce);
    let start = output.len();
    output.extend_from_slice(plaintext);
    let Some(buffer) = output.get_mut(start..) else { return Err(EncryptError::Cipher) };
    let cipher = Xaes256Gcm::new(key.as_array().into());
    match cipher.encrypt_inout_detached(&nonce, &context.to_vec(), buffer.into()) {
        Ok(tag) => output.extend_from_slice(&tag),
        Err(_) => {
            output.zeroize();
            return Err(EncryptError::Cipher);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two worked examples of the C2SP specification.
    #[test]
    fn the_cipher_gives_the_ciphertexts_of_the_c2sp_specification() {
        let nonce = Nonce::from(*b"ABCDEFGHIJKLMNOPQRSTUVWX");
        let encrypt = |key: [u8; 32], aad: &[u8]| {
            let mut buffer = *b"XAES-256-GCM";
            let cipher = Xaes256Gcm::new(&key.into());
            let tag = cipher.encrypt_inout_detached(&nonce, aad, buffer.as_mut_slice().into()).unwrap();
            [buffer.as_slice(), tag.as_slice()].concat()
        };
        assert_eq!(
            encrypt([1; 32], b""),
            [
                0xce, 0x54, 0x6e, 0xf6, 0x3c, 0x9c, 0xc6, 0x07, 0x65, 0x92, 0x36, 0x09, 0xb3, 0x3a, 0x9a,
                0x19, 0x74, 0xe9, 0x6e, 0x52, 0xda, 0xf2, 0xfc, 0xf7, 0x07, 0x5e, 0x22, 0x71
            ]
        );
        assert_eq!(
            encrypt([3; 32], b"c2sp.org/XAES-256-GCM"),
            [
                0x98, 0x6e, 0xc1, 0x83, 0x25, 0x93, 0xdf, 0x54, 0x43, 0xa1, 0x79, 0x43, 0x7f, 0xd0, 0x83,
                0xbf, 0x3f, 0xdb, 0x41, 0xab, 0xd7, 0x40, 0xa2, 0x1f, 0x71, 0xeb, 0x76, 0x9d
            ]
        );
    }
}
