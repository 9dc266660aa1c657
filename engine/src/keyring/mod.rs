//! The keys above the apps' own: keyring, signing keys, their rotation.

pub(crate) mod rotation;
pub(crate) mod signing_keys;
pub(crate) mod state;
