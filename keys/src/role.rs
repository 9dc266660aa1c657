//! The roles of keys. Types decide which key wraps which: the keyring takes [`WrappedByKeyring`], an app's KEK takes
//! [`WrappedByAppKek`], a seal takes any [`KeyRole`].

use rand_core::CryptoRng;

use crate::context::{Context, WrapContext};
use crate::error::{EncryptError, OpenError};
use crate::key_bytes::KeyBytes;
use crate::xaes::{self, Body};

/// A key of one role. Sealed: roles are added in this crate, each with its own label.
pub trait KeyRole: sealed::Role {}

/// A role whose keys are wrapped by the keyring.
///
/// ```
/// fn keyring_wraps<K: petsem_keys::WrappedByKeyring>() {}
/// keyring_wraps::<petsem_keys::SigningKey>();
/// ```
/// Keys of an app are wrapped only by the app's KEK:
/// ```compile_fail,E0277
/// fn keyring_wraps<K: petsem_keys::WrappedByKeyring>() {}
/// keyring_wraps::<petsem_keys::DigestKey>();
/// ```
pub trait WrappedByKeyring: KeyRole {}

/// A role whose keys are wrapped by an app's KEK.
pub trait WrappedByAppKek: KeyRole {}

/// The part of a role that only this crate may implement.
pub(crate) mod sealed {
    use crate::context::{Label, WrapContext};
    use crate::error::OpenError;

    /// Label and bytes of a role's keys.
    pub trait Role: Sized {
        /// First byte of the AAD of every wrap.
        const LABEL: Label;

        /// Whether the context names this key.
        fn is_named_by(&self, _context: &WrapContext) -> bool {
            true
        }

        /// The bytes that a wrap contains.
        fn key(&self) -> &[u8];

        /// Allocates a key of `length` bytes, which `fill` writes in place.
        fn filled(
            context: &WrapContext,
            length: usize,
            fill: &mut dyn FnMut(&mut [u8]) -> Result<(), OpenError>,
        ) -> Result<Self, OpenError>;
    }
}

/// Wraps `key` under version `wrapping_version` of `wrapping_key`.
pub(crate) fn wrap<K: sealed::Role>(
    rng: &mut dyn CryptoRng,
    wrapping_key: &KeyBytes,
    wrapping_version: u32,
    key: &K,
    wrapped: &WrapContext,
) -> Result<Vec<u8>, EncryptError> {
    if !key.is_named_by(wrapped) {
        return Err(EncryptError::OtherKey);
    }
    let context = Context::Wrap { role: K::LABEL, wrapped, wrapping_version };
    xaes::wrap(rng, wrapping_key, wrapping_version, context, key.key())
}

/// Opens a body made by `wrapping_version` of `wrapping_key`, as a key of role `K`.
pub(crate) fn unwrap<K: sealed::Role>(
    wrapping_key: &KeyBytes,
    wrapping_version: u32,
    body: Body<'_>,
    wrapped: &WrapContext,
) -> Result<K, OpenError> {
    let context = Context::Wrap { role: K::LABEL, wrapped, wrapping_version };
    K::filled(wrapped, body.plaintext_length(), &mut |room| body.open_into(wrapping_key, context, room))
}

/// Fills 32 bytes in place, refusing a wrap of any other length.
pub(crate) fn filled_key_bytes(
    length: usize,
    fill: &mut dyn FnMut(&mut [u8]) -> Result<(), OpenError>,
) -> Result<KeyBytes, OpenError> {
    if length != KeyBytes::LENGTH {
        return Err(OpenError::KeyLength { length });
    }
    let mut bytes = KeyBytes::zeroed();
    fill(bytes.as_mut())?;
    Ok(bytes)
}

/// Declares a role with keys of 32 random bytes: the newtype, its `Debug`, its label, its memory.
macro_rules! random_key_role {
    ($(#[$docs:meta])* $name:ident, $label:ident, $place:ident) => {
        $(#[$docs])*
        pub struct $name(crate::key_bytes::KeyBytes);

        impl $name {
            /// A new key, 32 bytes from `rng`.
            pub fn generate(rng: &mut dyn rand_core::CryptoRng) -> Self {
                Self(crate::key_bytes::KeyBytes::generate(rng))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }

        impl crate::role::sealed::Role for $name {
            const LABEL: crate::context::Label = crate::context::Label::$label;

            fn key(&self) -> &[u8] {
                self.0.as_array()
            }

            fn filled(
                _context: &crate::context::WrapContext,
                length: usize,
                fill: &mut dyn FnMut(&mut [u8]) -> Result<(), crate::error::OpenError>,
            ) -> Result<Self, crate::error::OpenError> {
                crate::role::filled_key_bytes(length, fill).map(Self)
            }
        }

        impl crate::role::KeyRole for $name {}
        impl crate::role::$place for $name {}
    };
}
pub(crate) use random_key_role;
