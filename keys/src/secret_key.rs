//! The material of an app's secret keys: keys that are used and never read.

use std::fmt;

use zeroize::Zeroizing;

use crate::context::{Label, WrapContext};
use crate::error::{EncryptError, OpenError};
use crate::role::{KeyRole, WrappedByAppKek, sealed::Role};

/// Longest material, in bytes (4 KiB): room for an RSA-4096 private key.
pub const SECRET_KEY_MAXIMUM: usize = 4 * 1024;

/// The bytes of one secret key, of any algorithm.
pub struct SecretKeyMaterial(Zeroizing<Box<[u8]>>);

impl SecretKeyMaterial {
    /// Takes ownership of the material without copying it.
    ///
    /// # Errors
    /// [`EncryptError::TooLong`] above [`SECRET_KEY_MAXIMUM`].
    pub fn new(material: Zeroizing<Box<[u8]>>) -> Result<Self, EncryptError> {
        if material.len() > SECRET_KEY_MAXIMUM {
            return Err(EncryptError::TooLong { length: material.len(), maximum: SECRET_KEY_MAXIMUM });
        }
        Ok(Self(material))
    }

    /// Material that a [`crate::SecretKey`] created or checked; every type's is far below the maximum.
    pub(crate) fn checked(material: Zeroizing<Box<[u8]>>) -> Self {
        Self(material)
    }

    /// The material itself, for operations of the key.
    pub fn expose_secret_key_material(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretKeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKeyMaterial(..)")
    }
}

impl Role for SecretKeyMaterial {
    const LABEL: Label = Label::SecretKeyMaterial;

    fn key(&self) -> &[u8] {
        &self.0
    }

    fn filled(
        _context: &WrapContext,
        length: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<(), OpenError>,
    ) -> Result<Self, OpenError> {
        if length > SECRET_KEY_MAXIMUM {
            return Err(OpenError::KeyLength { length });
        }
        let mut material = Zeroizing::new(vec![0; length].into_boxed_slice());
        fill(&mut material)?;
        Ok(Self(material))
    }
}

impl KeyRole for SecretKeyMaterial {}
impl WrappedByAppKek for SecretKeyMaterial {}
