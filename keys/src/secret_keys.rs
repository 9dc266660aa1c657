//! An app's secret keys: created or imported here, used here, and never read.
//!
//! One file for each type. Ciphertexts and signatures have the layout of common libraries, without a header
//! of petsem's: the key's label tells which key made them and its type. A key never changes its type; no
//! operation takes a type in addition to the key. Layouts and keys: the crate's page.

mod error;
mod es256;
mod hs;
mod kind;
mod nacl_auth;
mod nacl_box;
mod nacl_secretbox;
mod nacl_sign;
mod xaes256gcm;

use std::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::secret_key::SecretKeyMaterial;

pub use error::{ImportError, KeyOperation, KeyUseError};
pub use kind::{SecretKeyType, UnknownSecretKeyType};

/// Longest message that a secret key encrypts or signs, in bytes (1 MiB).
pub const SECRET_KEY_MESSAGE_MAXIMUM: usize = 1024 * 1024;

/// A usable secret key: material of a known type, whose length and value were checked.
pub struct SecretKey {
    kind: SecretKeyType,
    material: SecretKeyMaterial,
}

impl SecretKey {
    /// A new key.
    pub fn generate(rng: &mut dyn CryptoRng, kind: SecretKeyType) -> Self {
        Self { kind, material: SecretKeyMaterial::checked(kind.algorithm().generate(rng)) }
    }

    /// Imports a key in one of the forms of the crate page's table.
    ///
    /// # Errors
    /// [`ImportError`]: wrong length for this type, or a value that protects nothing.
    pub fn import(kind: SecretKeyType, given: &[u8]) -> Result<Self, ImportError> {
        if given.is_empty() {
            return Err(ImportError::Empty);
        }
        if given.iter().all(|byte| *byte == 0) {
            return Err(ImportError::Zero);
        }
        let kept = kind.algorithm().import(given)?;
        Ok(Self { kind, material: SecretKeyMaterial::checked(kept) })
    }

    /// A key from its stored material.
    ///
    /// # Errors
    /// [`ImportError`] if the material is of another type.
    pub fn from_material(kind: SecretKeyType, material: SecretKeyMaterial) -> Result<Self, ImportError> {
        kind.algorithm().check(material.expose_secret_key_material())?;
        Ok(Self { kind, material })
    }

    /// Its type.
    pub fn kind(&self) -> SecretKeyType {
        self.kind
    }

    /// Its material, to be wrapped by the app's KEK.
    pub fn material(&self) -> &SecretKeyMaterial {
        &self.material
    }

    /// Its public key, if the type has one.
    ///
    /// # Errors
    /// [`KeyUseError::Damaged`], never for a checked key.
    pub fn public_key(&self) -> Result<Option<Vec<u8>>, KeyUseError> {
        self.kind.algorithm().public_key(self.key())
    }

    /// Encrypts a message of at most [`SECRET_KEY_MESSAGE_MAXIMUM`] bytes. Nonces and ephemeral keys are
    /// generated here. Empty associated data counts as none.
    ///
    /// # Errors
    /// [`KeyUseError::Unsupported`] if the type does not encrypt;
    /// [`KeyUseError::AssociatedData`] if it has none; [`KeyUseError::TooLong`].
    pub fn encrypt(
        &self,
        rng: &mut dyn CryptoRng,
        plaintext: &[u8],
        associated_data: &[u8],
    ) -> Result<Vec<u8>, KeyUseError> {
        self.check_use(KeyOperation::Encrypt, plaintext.len(), associated_data)?;
        self.kind.algorithm().encrypt(self.key(), rng, plaintext, associated_data)
    }

    /// Decrypts a ciphertext of this key, or of the owner's library with the same key.
    ///
    /// # Errors
    /// As [`SecretKey::encrypt`]; [`KeyUseError::NotAuthentic`] if it was changed, cut, or made with another
    /// key or other associated data.
    pub fn decrypt(
        &self,
        ciphertext: &[u8],
        associated_data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyUseError> {
        // No layout adds more than 64 bytes.
        self.check_use(KeyOperation::Decrypt, ciphertext.len().saturating_sub(64), associated_data)?;
        self.kind.algorithm().decrypt(self.key(), ciphertext, associated_data)
    }

    /// Signs a message of at most [`SECRET_KEY_MESSAGE_MAXIMUM`] bytes. Deterministic in all types.
    ///
    /// # Errors
    /// [`KeyUseError::Unsupported`] if the type does not sign; [`KeyUseError::TooLong`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyUseError> {
        self.check_use(KeyOperation::Sign, message.len(), &[])?;
        self.kind.algorithm().sign(self.key(), message)
    }

    /// Verifies a signature; MACs are compared in constant time.
    ///
    /// # Errors
    /// As [`SecretKey::sign`]; [`KeyUseError::SignatureMismatch`] if it is not this key's over
    /// `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyUseError> {
        self.check_use(KeyOperation::Verify, message.len(), &[])?;
        self.kind.algorithm().verify(self.key(), message, signature)
    }

    fn check_use(
        &self,
        operation: KeyOperation,
        length: usize,
        associated_data: &[u8],
    ) -> Result<(), KeyUseError> {
        let kind = self.kind;
        if !kind.can(operation) {
            return Err(KeyUseError::Unsupported { kind, operation });
        }
        if !associated_data.is_empty() && !kind.takes_associated_data() {
            return Err(KeyUseError::AssociatedData { kind });
        }
        let maximum = SECRET_KEY_MESSAGE_MAXIMUM;
        if length > maximum || associated_data.len() > maximum {
            return Err(KeyUseError::TooLong { length: length.max(associated_data.len()), maximum });
        }
        Ok(())
    }

    fn key(&self) -> &[u8] {
        self.material.expose_secret_key_material()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, ..)", self.kind)
    }
}

/// Key bytes in their stored form.
type Material = Zeroizing<Box<[u8]>>;

/// The operations of keys of one type. [`SecretKeyType::can`] is checked first, so operations that a type
/// lacks are never called.
trait Algorithm: Sync {
    /// A new key.
    fn generate(&self, rng: &mut dyn CryptoRng) -> Material;

    /// Whether this is a key in its stored form.
    fn check(&self, key: &[u8]) -> Result<(), ImportError>;

    /// The stored form of an imported key.
    fn import(&self, given: &[u8]) -> Result<Material, ImportError> {
        self.check(given)?;
        Ok(Zeroizing::new(given.into()))
    }

    fn public_key(&self, _key: &[u8]) -> Result<Option<Vec<u8>>, KeyUseError> {
        Ok(None)
    }

    fn encrypt(
        &self,
        _key: &[u8],
        _rng: &mut dyn CryptoRng,
        _plaintext: &[u8],
        _associated_data: &[u8],
    ) -> Result<Vec<u8>, KeyUseError> {
        Err(KeyUseError::Damaged)
    }

    fn decrypt(
        &self,
        _key: &[u8],
        _ciphertext: &[u8],
        _associated_data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyUseError> {
        Err(KeyUseError::Damaged)
    }

    fn sign(&self, _key: &[u8], _message: &[u8]) -> Result<Vec<u8>, KeyUseError> {
        Err(KeyUseError::Damaged)
    }

    fn verify(&self, _key: &[u8], _message: &[u8], _signature: &[u8]) -> Result<(), KeyUseError> {
        Err(KeyUseError::Damaged)
    }
}

/// Length of the keys of most types, in bytes.
const KEY_LENGTH: usize = 32;

/// A new key of `length` random bytes.
fn random(rng: &mut dyn CryptoRng, length: usize) -> Material {
    let mut key = Zeroizing::new(vec![0; length].into_boxed_slice());
    rng.fill_bytes(&mut key);
    key
}

/// Whether a key has the length of most types.
fn check_length(key: &[u8]) -> Result<(), ImportError> {
    if key.len() == KEY_LENGTH {
        Ok(())
    } else {
        Err(ImportError::Length { length: key.len(), wanted: "32 bytes" })
    }
}

/// A checked key, as an array.
fn array(key: &[u8]) -> Result<&[u8; KEY_LENGTH], KeyUseError> {
    key.try_into().map_err(|_| KeyUseError::Damaged)
}
