//! The types of secret keys, with their names in the Machines API.

use std::fmt;
use std::str::FromStr;

use super::error::KeyOperation;
use super::hs::Hs;
use super::{Algorithm, es256, nacl_auth, nacl_box, nacl_secretbox, nacl_sign, xaes256gcm};

/// The algorithm of a key, and so its use. A key never changes its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecretKeyType {
    /// HMAC-SHA-256.
    Hs256,
    /// HMAC-SHA-384.
    Hs384,
    /// HMAC-SHA-512.
    Hs512,
    /// XAES-256-GCM, with associated data.
    Xaes256Gcm,
    /// libsodium's `crypto_auth`.
    NaclAuth,
    /// libsodium's sealed boxes.
    NaclBox,
    /// libsodium's `crypto_secretbox`.
    NaclSecretbox,
    /// Ed25519.
    NaclSign,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl SecretKeyType {
    /// Every type.
    pub const ALL: [Self; 9] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Xaes256Gcm,
        Self::NaclAuth,
        Self::NaclBox,
        Self::NaclSecretbox,
        Self::NaclSign,
        Self::Es256,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "hs256",
            Self::Hs384 => "hs384",
            Self::Hs512 => "hs512",
            Self::Xaes256Gcm => "xaes256gcm",
            Self::NaclAuth => "nacl_auth",
            Self::NaclBox => "nacl_box",
            Self::NaclSecretbox => "nacl_secretbox",
            Self::NaclSign => "nacl_sign",
            Self::Es256 => "es256",
        }
    }

    /// Whether keys of this type support this: either they encrypt and decrypt, or they sign and verify.
    pub const fn can(self, operation: KeyOperation) -> bool {
        let encrypts = matches!(self, Self::Xaes256Gcm | Self::NaclBox | Self::NaclSecretbox);
        encrypts == matches!(operation, KeyOperation::Encrypt | KeyOperation::Decrypt)
    }

    /// Whether keys of this type authenticate associated data.
    pub const fn takes_associated_data(self) -> bool {
        matches!(self, Self::Xaes256Gcm)
    }

    pub(super) fn algorithm(self) -> &'static dyn Algorithm {
        match self {
            Self::Hs256 => &Hs::SHA_256,
            Self::Hs384 => &Hs::SHA_384,
            Self::Hs512 => &Hs::SHA_512,
            Self::Xaes256Gcm => &xaes256gcm::Xaes,
            Self::NaclAuth => &nacl_auth::NaclAuth,
            Self::NaclBox => &nacl_box::NaclBox,
            Self::NaclSecretbox => &nacl_secretbox::NaclSecretbox,
            Self::NaclSign => &nacl_sign::NaclSign,
            Self::Es256 => &es256::Es256,
        }
    }
}

impl fmt::Display for SecretKeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the name of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown type of key; the types are {}", SecretKeyType::ALL.map(SecretKeyType::as_str).join(" "))]
pub struct UnknownSecretKeyType;

impl FromStr for SecretKeyType {
    type Err = UnknownSecretKeyType;

    fn from_str(text: &str) -> Result<Self, UnknownSecretKeyType> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownSecretKeyType)
    }
}
