//! OAuth 2.0 token exchange (RFC 8693).

pub(crate) mod exchange;
