//! The tokens that this installation mints: minting, listing, revocation.

pub(crate) mod list;
pub(crate) mod mint;
pub(crate) mod revoke;
