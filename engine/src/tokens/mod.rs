//! Tokens that this installation mints: made, listed, revoked.

pub(crate) mod mint;
pub(crate) mod revoke;
