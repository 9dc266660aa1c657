//! `POST /v1/token`: a JWT is exchanged for a macaroon (RFC 8693).

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::name::AppRef;
use crate::schema::{GrantType, IssuedTokenType, SubjectTokenType, TokenText, TokenType};

/// The only `grant_type`.
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// A `subject_token_type`: a JWT.
pub const JWT_TYPE: &str = "urn:ietf:params:oauth:token-type:jwt";
/// A `subject_token_type`: an ID token of OpenID Connect, which is a JWT.
pub const ID_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:id_token";
/// The type of the issued token.
pub const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The form of an exchange, for the OpenAPI document alone: a form is not JSON.
pub enum ExchangeRequest {}

impl PartialSchema for ExchangeRequest {
    fn schema() -> RefOr<Schema> {
        ExchangeForm::schema()
    }
}

impl ToSchema for ExchangeRequest {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        ExchangeForm::schemas(schemas);
    }
}

/// The form of an exchange (RFC 8693 §2.1). Unknown fields are ignored, and an empty field counts as absent.
/// `scope`, `resource` and `actor_token` are refused.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its fields are those of the schema")]
struct ExchangeForm {
    /// The exchange.
    grant_type: GrantType,
    /// The JWT.
    #[schema(min_length = 1)]
    subject_token: String,
    /// Both mean a JWT.
    subject_token_type: SubjectTokenType,
    /// The app that the token is for.
    audience: AppRef,
    /// The type of the issued token.
    #[schema(nullable = false)]
    requested_token_type: Option<IssuedTokenType>,
}

/// A macaroon that reads what a rule of one app's policy allows, while that rule allows it. It expires with
/// the JWT, at the latest after 15 minutes. The holder may narrow it (RFC 8693 §2.2.1).
#[derive(Serialize, Deserialize, ToSchema)]
pub struct ExchangedToken {
    /// The macaroon as text, `fm2_…`. The server does not keep it.
    #[schema(value_type = TokenText)]
    pub access_token: String,
    /// [`ACCESS_TOKEN_TYPE`].
    #[schema(value_type = IssuedTokenType)]
    pub issued_token_type: String,
    /// How it is sent.
    #[schema(value_type = TokenType)]
    pub token_type: String,
    /// Its remaining life in seconds.
    pub expires_in: u64,
}

impl fmt::Debug for ExchangedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangedToken").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}
