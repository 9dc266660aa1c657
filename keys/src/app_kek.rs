//! An app's KEK, and what it protects: values and bundles, the app's digest key, secret keys.
//!
//! Each value or bundle gets its own DEK, created here, used for one message and dropped. No function takes a
//! DEK and a plaintext, so a retried transaction must seal again.

use std::fmt;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::context::{Context, Label, RecordContext, WrapContext};
use crate::error::{EncryptError, OpenError, RewrapError};
use crate::key_bytes::KeyBytes;
use crate::role::{self, KeyRole, WrappedByAppKek, WrappedByKeyring, sealed::Role};
use crate::xaes::{self, Body};

/// Longest value or bundle that can be sealed, in bytes (8 MiB): the
/// largest bundle of the API, where a byte of a value takes up to six in JSON.
pub const PLAINTEXT_MAXIMUM: usize = 8 * 1024 * 1024;

const DEK_ID_LENGTH: usize = 16;
const NONCE_LENGTH: usize = 12;
const TAG_LENGTH: usize = 16;
const CIPHERTEXT_OVERHEAD: usize = 1 + NONCE_LENGTH + TAG_LENGTH;
const WRAPPED_DEK_LENGTH: usize =
    1 + 4 + DEK_ID_LENGTH + xaes::NONCE_LENGTH + KeyBytes::LENGTH + xaes::TAG_LENGTH;

/// A value or bundle with its wrapped DEK: two columns of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// `0x01 | KEK version u32 | DEK id 16 | nonce 24 | ciphertext 32 | tag 16`, XAES-256-GCM.
    pub wrapped_dek: Vec<u8>,
    /// `0x01 | nonce 12 | ciphertext | tag 16`, AES-256-GCM.
    pub ciphertext: Vec<u8>,
}

impl Sealed {
    /// The same, borrowed, for [`AppKek::open`].
    pub fn borrowed(&self) -> SealedRef<'_> {
        SealedRef { wrapped_dek: &self.wrapped_dek, ciphertext: &self.ciphertext }
    }
}

/// A [`Sealed`] as stored in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedRef<'a> {
    /// See [`Sealed::wrapped_dek`].
    pub wrapped_dek: &'a [u8],
    /// See [`Sealed::ciphertext`].
    pub ciphertext: &'a [u8],
}

/// One version of the key-encryption key of one app.
pub struct AppKek {
    app: [u8; 16],
    version: u32,
    bytes: KeyBytes,
}

impl AppKek {
    /// A new KEK for an app. Versions count from 1.
    pub fn generate(rng: &mut dyn CryptoRng, app: [u8; 16], version: u32) -> Self {
        Self { app, version, bytes: KeyBytes::generate(rng) }
    }

    /// Id of its app.
    pub fn app(&self) -> &[u8; 16] {
        &self.app
    }

    /// Its version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Seals a value or bundle under its own DEK.
    ///
    /// # Errors
    /// [`EncryptError::TooLong`] above [`PLAINTEXT_MAXIMUM`]; [`EncryptError::OtherKey`] if the
    /// context names another app.
    pub fn seal(
        &self,
        rng: &mut dyn CryptoRng,
        plaintext: &[u8],
        record: &RecordContext<'_>,
    ) -> Result<Sealed, EncryptError> {
        if plaintext.len() > PLAINTEXT_MAXIMUM {
            return Err(EncryptError::TooLong { length: plaintext.len(), maximum: PLAINTEXT_MAXIMUM });
        }
        if record.app() != &self.app {
            return Err(EncryptError::OtherKey);
        }
        let dek = Dek::generate(rng);
        let ciphertext = dek.encrypt(rng, plaintext, record)?;
        Ok(Sealed { wrapped_dek: self.wrap_dek(rng, &dek)?, ciphertext })
    }

    /// Opens a message sealed for exactly this record. Only the result holds the plaintext.
    ///
    /// # Errors
    /// [`OpenError`]: changed, cut, sealed for another record, or by another version of the KEK.
    pub fn open(
        &self,
        sealed: SealedRef<'_>,
        record: &RecordContext<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        if record.app() != &self.app {
            return Err(OpenError::NotAuthentic);
        }
        let message = Message::split(sealed.ciphertext)?;
        self.unwrap_dek(sealed.wrapped_dek)?.decrypt(message, record)
    }

    /// The KEK version in the header of a wrapped DEK; only opening it verifies the version.
    ///
    /// # Errors
    /// [`OpenError`] if it is not a wrapped DEK.
    pub fn version_of_dek(wrapped_dek: &[u8]) -> Result<u32, OpenError> {
        WrappedDek::split(wrapped_dek).map(|parsed| parsed.kek_version)
    }

    /// The id of the DEK in a wrapped DEK: a re-wrap keeps it, each [`AppKek::seal`] generates a new one.
    ///
    /// The AAD of the wrap and of the message contain it, so only opening the message verifies it.
    ///
    /// # Errors
    /// [`OpenError`] if it is not a wrapped DEK.
    pub fn id_of_dek(wrapped_dek: &[u8]) -> Result<[u8; 16], OpenError> {
        WrappedDek::split(wrapped_dek).map(|parsed| *parsed.id)
    }

    /// The same DEK under another version of the app's KEK; the ciphertext does not change.
    ///
    /// # Errors
    /// [`RewrapError`] says which half failed; a KEK of another app is [`EncryptError::OtherKey`].
    pub fn rewrap_dek(
        &self,
        rng: &mut dyn CryptoRng,
        new: &Self,
        wrapped_dek: &[u8],
    ) -> Result<Vec<u8>, RewrapError> {
        if new.app != self.app {
            return Err(EncryptError::OtherKey.into());
        }
        let dek = self.unwrap_dek(wrapped_dek)?;
        Ok(new.wrap_dek(rng, &dek)?)
    }

    /// Wraps the app's digest key or one of its secret keys, with the id `id`.
    ///
    /// # Errors
    /// [`EncryptError::Cipher`] if the cipher refuses, which is not expected.
    pub fn wrap<K: WrappedByAppKek>(
        &self,
        rng: &mut dyn CryptoRng,
        key: &K,
        store: [u8; 16],
        id: [u8; 16],
    ) -> Result<Vec<u8>, EncryptError> {
        role::wrap(rng, &self.bytes, self.version, key, &self.owned(store, id))
    }

    /// Opens a wrap as the key of role `K` with the id `id`.
    ///
    /// # Errors
    /// [`OpenError::UnknownKeyVersion`] if it is by another version of the KEK; otherwise as every opening.
    pub fn unwrap<K: WrappedByAppKek>(
        &self,
        wrapped: &[u8],
        store: [u8; 16],
        id: [u8; 16],
    ) -> Result<K, OpenError> {
        let (version, body) = xaes::split_wrap(wrapped)?;
        self.check_version(version)?;
        role::unwrap(&self.bytes, self.version, body, &self.owned(store, id))
    }

    /// The KEK version in the header of a wrap; only [`AppKek::unwrap`] verifies it.
    ///
    /// # Errors
    /// [`OpenError`] if it is not a wrap.
    pub fn version_of(wrapped: &[u8]) -> Result<u32, OpenError> {
        xaes::split_wrap(wrapped).map(|(version, _)| version)
    }

    /// The same key under another version of the app's KEK.
    ///
    /// # Errors
    /// As [`AppKek::rewrap_dek`].
    pub fn rewrap<K: WrappedByAppKek>(
        &self,
        rng: &mut dyn CryptoRng,
        new: &Self,
        wrapped: &[u8],
        store: [u8; 16],
        id: [u8; 16],
    ) -> Result<Vec<u8>, RewrapError> {
        if new.app != self.app {
            return Err(EncryptError::OtherKey.into());
        }
        let key: K = self.unwrap(wrapped, store, id)?;
        Ok(new.wrap(rng, &key, store, id)?)
    }

    fn wrap_dek(&self, rng: &mut dyn CryptoRng, dek: &Dek) -> Result<Vec<u8>, EncryptError> {
        let mut output = Vec::with_capacity(WRAPPED_DEK_LENGTH);
        output.push(xaes::FORMAT);
        output.extend_from_slice(&self.version.to_be_bytes());
        output.extend_from_slice(&dek.id);
        let context = Context::Dek { app: &self.app, dek: &dek.id, kek_version: self.version };
        xaes::append_body(rng, &self.bytes, context, dek.bytes.as_array(), &mut output)?;
        Ok(output)
    }

    fn unwrap_dek(&self, wrapped_dek: &[u8]) -> Result<Dek, OpenError> {
        let WrappedDek { kek_version, id, body } = WrappedDek::split(wrapped_dek)?;
        self.check_version(kek_version)?;
        let mut dek = Dek { id: *id, bytes: KeyBytes::zeroed() };
        let context = Context::Dek { app: &self.app, dek: id, kek_version };
        body.open_into(&self.bytes, context, dek.bytes.as_mut())?;
        Ok(dek)
    }

    fn check_version(&self, version: u32) -> Result<(), OpenError> {
        if version == self.version { Ok(()) } else { Err(OpenError::UnknownKeyVersion { version }) }
    }

    fn owned(&self, store: [u8; 16], id: [u8; 16]) -> WrapContext {
        WrapContext::new(store, id).owned_by(self.app)
    }
}

impl fmt::Debug for AppKek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppKek(..)")
    }
}

impl Role for AppKek {
    const LABEL: Label = Label::AppKek;

    fn is_named_by(&self, context: &WrapContext) -> bool {
        (self.app, self.version) == (context.id, context.version)
    }

    fn key(&self) -> &[u8] {
        self.bytes.as_array()
    }

    fn filled(
        context: &WrapContext,
        length: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<(), OpenError>,
    ) -> Result<Self, OpenError> {
        let bytes = role::filled_key_bytes(length, fill)?;
        Ok(Self { app: context.id, version: context.version, bytes })
    }
}

impl KeyRole for AppKek {}
impl WrappedByKeyring for AppKek {}

/// A data-encryption key: AES-256-GCM (NIST SP 800-38D), 96-bit nonce, 128-bit tag, one message.
/// It never leaves this file.
struct Dek {
    id: [u8; DEK_ID_LENGTH],
    bytes: KeyBytes,
}

impl Dek {
    fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut id = [0; DEK_ID_LENGTH];
        rng.fill_bytes(&mut id);
        Self { id, bytes: KeyBytes::generate(rng) }
    }

    fn encrypt(
        &self,
        rng: &mut dyn CryptoRng,
        plaintext: &[u8],
        record: &RecordContext<'_>,
    ) -> Result<Vec<u8>, EncryptError> {
        let mut nonce = Nonce::default();
        rng.fill_bytes(&mut nonce);
        let mut output = Vec::with_capacity(CIPHERTEXT_OVERHEAD + plaintext.len());
        output.push(xaes::FORMAT);
        output.extend_from_slice(&nonce);
        let start = output.len();
        output.extend_from_slice(plaintext);
        let Some(buffer) = output.get_mut(start..) else { return Err(EncryptError::Cipher) };
        let aad = Context::Record { record, dek: &self.id }.to_vec();
        let cipher = Aes256Gcm::new(self.bytes.as_array().into());
        match cipher.encrypt_inout_detached(&nonce, &aad, buffer.into()) {
            Ok(tag) => output.extend_from_slice(&tag),
            Err(_) => {
                output.zeroize();
                return Err(EncryptError::Cipher);
            }
        }
        Ok(output)
    }

    fn decrypt(
        self,
        message: Message<'_>,
        record: &RecordContext<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let mut plaintext = Zeroizing::new(message.ciphertext.to_vec());
        let aad = Context::Record { record, dek: &self.id }.to_vec();
        let cipher = Aes256Gcm::new(self.bytes.as_array().into());
        let tag: &Tag = message.tag.into();
        cipher
            .decrypt_inout_detached(message.nonce.into(), &aad, plaintext.as_mut_slice().into(), tag)
            .map_err(|_| OpenError::NotAuthentic)?;
        Ok(plaintext)
    }
}

/// A wrapped DEK, split but not verified.
struct WrappedDek<'a> {
    kek_version: u32,
    id: &'a [u8; DEK_ID_LENGTH],
    body: Body<'a>,
}

impl<'a> WrappedDek<'a> {
    fn split(bytes: &'a [u8]) -> Result<Self, OpenError> {
        let too_short = OpenError::TooShort { length: bytes.len(), minimum: WRAPPED_DEK_LENGTH };
        let rest = xaes::check_format(bytes, too_short)?;
        if bytes.len() > WRAPPED_DEK_LENGTH {
            return Err(OpenError::TooLong { length: bytes.len(), maximum: WRAPPED_DEK_LENGTH });
        }
        if bytes.len() < WRAPPED_DEK_LENGTH {
            return Err(too_short);
        }
        let (version, rest) = rest.split_first_chunk().ok_or(too_short)?;
        let (id, rest) = rest.split_first_chunk().ok_or(too_short)?;
        Ok(Self { kek_version: u32::from_be_bytes(*version), id, body: Body::split(rest)? })
    }
}

/// The ciphertext of a value or bundle, split but not verified.
struct Message<'a> {
    nonce: &'a [u8; NONCE_LENGTH],
    ciphertext: &'a [u8],
    tag: &'a [u8; TAG_LENGTH],
}

impl<'a> Message<'a> {
    fn split(bytes: &'a [u8]) -> Result<Self, OpenError> {
        let too_short = OpenError::TooShort { length: bytes.len(), minimum: CIPHERTEXT_OVERHEAD };
        let rest = xaes::check_format(bytes, too_short)?;
        let (nonce, rest) = rest.split_first_chunk().ok_or(too_short)?;
        let (ciphertext, tag) = rest.split_last_chunk().ok_or(too_short)?;
        if ciphertext.len() > PLAINTEXT_MAXIMUM {
            return Err(OpenError::TooLong {
                length: bytes.len(),
                maximum: CIPHERTEXT_OVERHEAD + PLAINTEXT_MAXIMUM,
            });
        }
        Ok(Self { nonce, ciphertext, tag })
    }
}
