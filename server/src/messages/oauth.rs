//! The form of a token exchange (RFC 8693). These texts are its `error_description`.

use petsem_api::{ACCESS_TOKEN_TYPE, ErrorCode, ID_TOKEN_TYPE, JWT_TYPE, TOKEN_EXCHANGE};
use petsem_engine::Failure;

pub(crate) fn no_grant_type() -> Failure {
    bad_form(format!("grant_type is missing; send {TOKEN_EXCHANGE}"))
}

pub(crate) fn unsupported_grant_type() -> Failure {
    bad_form(format!("unsupported grant_type; send {TOKEN_EXCHANGE}"))
}

pub(crate) fn unsupported_subject_token_type() -> Failure {
    bad_form(format!("unsupported or missing subject_token_type; send {JWT_TYPE} or {ID_TOKEN_TYPE}"))
}

pub(crate) fn no_subject_token() -> Failure {
    bad_form("subject_token is missing; send the JWT")
}

pub(crate) fn unsupported_requested_token_type() -> Failure {
    bad_form(format!("unsupported requested_token_type; send {ACCESS_TOKEN_TYPE}, or omit it"))
}

pub(crate) fn actor_tokens_not_supported() -> Failure {
    bad_form("actor tokens are not supported; omit actor_token and actor_token_type")
}

pub(crate) fn scope_not_supported() -> Failure {
    bad_form("a token's scope is the rule that allowed it; omit scope, and narrow the token itself")
}

pub(crate) fn one_app_in_audience() -> Failure {
    bad_form("a token is for one app: name it, by name or id, in audience, once; omit resource")
}

pub(crate) fn form_field_repeated(name: &str) -> Failure {
    bad_form(format!("{name} is repeated; send it once"))
}

fn bad_form(text: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::BadRequest, text)
}
