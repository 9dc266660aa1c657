//! Authentication: tokens, JWTs, and the keys that verify them.

pub(crate) mod authenticate;
pub(crate) mod exchange;
pub(crate) mod issuer_keys;
pub(crate) mod jwt;
pub(crate) mod token_id;
pub(crate) mod tokens;
