//! The PKCS#11 seal: an AES-256 key in a token (an HSM, a smart card, SoftHSM2) that does not export it.
//!
//! The token encrypts a seal key with CKM_AES_GCM (PKCS #11 v2.40, and v3.1 §6.13.3; a 12-byte nonce, a
//! 128-bit tag), with store, seal and root version as AAD: SoftHSM2 and commercial HSMs support it, and
//! CKM_AES_KEY_WRAP has no AAD. A sealed key is `nonce 12 | ciphertext 32 | tag 16`. The nonce is read back
//! after encryption, because some HSMs replace it with their own; and each sealed key is opened once before
//! it is returned, because tokens may treat parameters differently.
//!
//! A module belongs to the whole process and a login to all of its sessions. So modules stay loaded, calls
//! are serialized, and each call logs in and out, with the PIN read again. No PIN is tried twice, or when the
//! token reports that one try is left, because tokens lock themselves.

mod error;
#[cfg(test)]
mod tests;
mod token;

use std::path::PathBuf;

use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use petsem_keys::{OpenError, Seal, SealContext, SealError, SealKey};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use error::Pkcs11Error;

use crate::envelope;

/// The kind of this seal in a store's list of seals.
pub const PKCS11_KIND: &str = "pkcs11";

const NONCE_LENGTH: usize = 12;
const KEY_LENGTH: usize = 32;
const TAG_LENGTH: usize = 16;
const SEALED_LENGTH: usize = NONCE_LENGTH + KEY_LENGTH + TAG_LENGTH;

/// A key on a token, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkcs11Settings {
    /// The module: a shared library that petsem loads and runs, e.g. `/usr/lib/softhsm/libsofthsm2.so`.
    pub module: PathBuf,
    /// Label of the token.
    pub token: String,
    /// Label of the key on it.
    pub key: String,
    /// File with the user's PIN, mode 0600; one newline at its end is ignored.
    pub pin_file: PathBuf,
}

impl Pkcs11Settings {
    /// The seal's name for people, as [`Seal::describe`].
    pub fn describe(&self) -> String {
        format!("key {} of token {}", self.key, self.token)
    }
}

/// A seal whose key is in a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkcs11 {
    settings: Pkcs11Settings,
}

impl Pkcs11 {
    /// The seal; creates the key on the token if it is absent: AES-256, sensitive, never extractable.
    ///
    /// # Errors
    /// [`Pkcs11Error`].
    pub fn create(settings: Pkcs11Settings) -> Result<Self, Pkcs11Error> {
        token::with_session(&settings, true, |session| match token::find_key(session, &settings) {
            Err(Pkcs11Error::KeyAbsent { .. }) => token::generate_key(session, &settings),
            found => found.map(|_| ()),
        })?;
        Ok(Self { settings })
    }

    /// The seal of an existing key, after checking that it can be used and cannot be extracted.
    ///
    /// # Errors
    /// [`Pkcs11Error`].
    pub fn open(settings: Pkcs11Settings) -> Result<Self, Pkcs11Error> {
        token::with_session(&settings, false, |session| token::find_key(session, &settings))?;
        Ok(Self { settings })
    }

    /// Runs `work` with the key, logged in.
    fn with_key<T>(
        &self,
        work: impl FnOnce(&Session, ObjectHandle) -> Result<T, Pkcs11Error>,
    ) -> Result<T, Pkcs11Error> {
        token::with_session(&self.settings, false, |session| {
            let key = token::find_key(session, &self.settings)?;
            work(session, key)
        })
    }
}

impl Seal for Pkcs11 {
    fn kind(&self) -> &'static str {
        PKCS11_KIND
    }

    fn describe(&self) -> String {
        self.settings.describe()
    }

    fn new_key(
        &self,
        rng: &mut dyn CryptoRng,
        context: &SealContext,
    ) -> Result<(Vec<u8>, SealKey), SealError> {
        let aad = context.seal_key_aad();
        envelope::new_key(rng, &self.describe(), |rng, seal_key| {
            let mut nonce = [0; NONCE_LENGTH];
            rng.fill_bytes(&mut nonce);
            let sealed = self.with_key(|session, key| {
                let sealed = encrypt(session, key, &mut nonce, &aad, seal_key)?;
                let again = decrypt(session, key, &sealed, &aad).map_err(|_| Pkcs11Error::NotReadBack)?;
                if bool::from(again.expose_seal_key().ct_eq(seal_key.expose_seal_key())) {
                    Ok(sealed)
                } else {
                    Err(Pkcs11Error::NotReadBack)
                }
            })?;
            Ok(sealed.to_vec())
        })
    }

    fn find_key<'w>(
        &self,
        wrapped: &'w [u8],
        context: &SealContext,
    ) -> Result<(SealKey, &'w [u8]), SealError> {
        let aad = context.seal_key_aad();
        envelope::find_key(wrapped, &self.describe(), |sealed| {
            let not_its_wrap = |source| SealError::NotItsWrap { seal: self.describe(), source };
            let length = sealed.len();
            let sealed = sealed.as_array().ok_or_else(|| not_its_wrap(OpenError::KeyLength { length }))?;
            self.with_key(|session, key| Ok(decrypt(session, key, sealed, &aad)))?.map_err(
                |error| match error {
                    DecryptError::NotItsOwn => not_its_wrap(OpenError::NotAuthentic),
                    DecryptError::Token(error) => error.into(),
                },
            )
        })
    }
}

/// Why a token did not decrypt.
enum DecryptError {
    /// The token refused the ciphertext for this key and AAD, or returned something that is not a key.
    NotItsOwn,
    Token(Pkcs11Error),
}

fn encrypt(
    session: &Session,
    key: ObjectHandle,
    nonce: &mut [u8; NONCE_LENGTH],
    aad: &[u8],
    seal_key: &SealKey,
) -> Result<[u8; SEALED_LENGTH], Pkcs11Error> {
    let failed = |source| Pkcs11Error::Call { doing: "encrypt with the key", source };
    let mechanism = gcm(nonce, aad).map_err(failed)?;
    let ciphertext = session.encrypt(&mechanism, key, seal_key.expose_seal_key()).map_err(failed)?;
    let sealed = [nonce.as_slice(), &ciphertext].concat();
    let length = sealed.len();
    sealed.as_array().copied().ok_or(Pkcs11Error::NotGcm { length, expected: SEALED_LENGTH })
}

fn decrypt(
    session: &Session,
    key: ObjectHandle,
    sealed: &[u8; SEALED_LENGTH],
    aad: &[u8],
) -> Result<SealKey, DecryptError> {
    let (nonce, ciphertext) = sealed.split_at(NONCE_LENGTH);
    let mut nonce = nonce.to_vec();
    let plaintext = gcm(&mut nonce, aad)
        .and_then(|mechanism| session.decrypt(&mechanism, key, ciphertext))
        .map(Zeroizing::new)
        .map_err(|source| match error::is_about_the_ciphertext(&source) {
            true => DecryptError::NotItsOwn,
            false => DecryptError::Token(Pkcs11Error::Call { doing: "decrypt with the key", source }),
        })?;
    SealKey::filled_by(|key| match plaintext.as_array::<KEY_LENGTH>() {
        Some(bytes) => {
            key.copy_from_slice(bytes);
            Ok(())
        }
        None => Err(DecryptError::NotItsOwn),
    })
}

fn gcm<'a>(nonce: &'a mut [u8], aad: &'a [u8]) -> Result<Mechanism<'a>, cryptoki::error::Error> {
    // The tag has 128 bits.
    Ok(Mechanism::AesGcm(GcmParams::new(nonce, aad, 128.into())?))
}
