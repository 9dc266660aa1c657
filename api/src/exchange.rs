//! `POST /v1/token`: a JWT in exchange for a macaroon (RFC 8693).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The one `grant_type`.
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// A `subject_token_type`: a JWT.
pub const JWT_TYPE: &str = "urn:ietf:params:oauth:token-type:jwt";
/// A `subject_token_type`: an ID token of OpenID Connect, which is a JWT.
pub const ID_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:id_token";
/// The type of what is issued.
pub const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What comes of an exchange (RFC 8693 §2.2.1).
#[derive(Serialize, Deserialize)]
pub struct ExchangedToken {
    /// The macaroon's text, `fm2_…`.
    pub access_token: String,
    /// [`ACCESS_TOKEN_TYPE`].
    pub issued_token_type: String,
    /// `Bearer`: how it is sent.
    pub token_type: String,
    /// Seconds until it ends, with the JWT.
    pub expires_in: u64,
}

impl fmt::Debug for ExchangedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangedToken").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}
