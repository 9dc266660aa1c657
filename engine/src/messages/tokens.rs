//! Tokens: the header that carries them, minting, revoking, and the keys that sign them.

use petsem_api::{ErrorCode, HostId, SigningKeyId, TokenUuid, escaped};

use crate::error::Failure;

pub(crate) fn no_token() -> Failure {
    Failure::new(
        ErrorCode::TokenMissing,
        "the request has no token, or more than one Authorization header; send one: `Authorization: FlyV1 fm2_…` or `Bearer …`",
    )
}

pub(crate) fn no_valid_token() -> Failure {
    Failure::new(
        ErrorCode::TokenMalformed,
        "the Authorization header has no valid petsem token; examine the token with `petsem token inspect`",
    )
}

/// The location of a token says who issued it. That of this installation is not said: the caller may be anyone.
pub(crate) fn token_of_another_installation(location: &str) -> Failure {
    const SHOWN: usize = 128;
    let shown: String = location.chars().take(SHOWN).collect();
    Failure::new(
        ErrorCode::TokenMalformed,
        format!(
            "the token is from {}, not from this installation; send a token of this one, or call the other one",
            escaped(&shown, &[])
        ),
    )
}

/// The token, its key or an ancestor was revoked.
pub(crate) fn revoked() -> Failure {
    Failure::new(
        ErrorCode::Revoked,
        "the token, its key, or something that it depends on was revoked; get a new one (of an operator: `petsem operator \
         recover` on the node, if no other operator's token is left)",
    )
}

pub(crate) fn too_many_names() -> Failure {
    bad_request(
        "there are too many names for the caveats of this token, which are evaluated for each; nothing was changed; name \
         fewer secrets at once, or use a token with fewer caveats or shorter lists",
    )
}

pub(crate) fn token_not_signed_here() -> Failure {
    Failure::new(
        ErrorCode::TokenInvalid,
        "the token was not signed by this petsem installation, or was altered; get a new token",
    )
}

pub(crate) fn break_glass_needs_reason() -> Failure {
    bad_request("a break-glass token needs a reason: POST /v1/apps/{app}/break-glass, `petsem break-glass`")
}

pub(crate) fn only_operators_mint_operators() -> Failure {
    Failure::new(ErrorCode::Forbidden, "only an operator's token can mint operators' tokens")
}

pub(crate) fn token_names_no_org() -> Failure {
    bad_request("a token of kind org must name its org")
}

pub(crate) fn token_names_no_host() -> Failure {
    bad_request("a token of kind host must name its host")
}

pub(crate) fn token_too_large(bytes: usize, most: usize) -> Failure {
    bad_request(format!(
        "the token would be {bytes} bytes, over the limit of {most}; nothing was created; restrict it to fewer apps, \
         names or Machines, or to a prefix"
    ))
}

pub(crate) fn no_discharger_at_location() -> Failure {
    bad_request(
        "no discharger is registered at this location; `petsem discharger list` shows all dischargers",
    )
}

pub(crate) fn invalid_holder() -> Failure {
    bad_request("the name of a token's holder must be 1 to 256 bytes of text on one line")
}

pub(crate) fn invalid_first_life(days: u64) -> Failure {
    bad_request(format!("the lifetime of a token must be 1 second to {days} days; nothing was created"))
}

pub(crate) fn token_life_too_short() -> Failure {
    bad_request("expires_in must be at least 1 second")
}

pub(crate) fn token_life_too_long(longest: u64) -> Failure {
    bad_request(format!("expires_in must be at most {longest} seconds for this kind of token"))
}

pub(crate) fn field_not_of_kind(kind: &str, field: &str) -> Failure {
    bad_request(format!("a token of kind {kind} has no {field}; omit it"))
}

/// Whether the token exists or not.
pub(crate) fn token_not_revocable() -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        "there is no such token, or your token may not revoke it; operators revoke every token, minters of an org \
         those of the org",
    )
}

/// The error for a token of which the store has no row.
pub fn unknown_token(id: TokenUuid) -> Failure {
    unknown(format!(
        "there is no token {id}; nothing was changed; `petsem token list` shows all; discharges and renewals are \
                     not stored: to revoke one,"
    ))
}

pub(crate) fn unknown_host(host: &HostId) -> Failure {
    unknown(format!(
        "no token was minted for host {host}; nothing was changed; `petsem token list` shows all; to revoke it \
                     nevertheless,"
    ))
}

pub(crate) fn unknown_issuer(issuer: &str) -> Failure {
    unknown(format!(
        "issuer {issuer} is not registered; nothing was changed; `petsem issuer list` shows all; to revoke its \
                     JWTs nevertheless,"
    ))
}

pub(crate) fn unknown_discharger(location: &str) -> Failure {
    unknown(format!(
        "no discharger is registered at {location}; nothing was changed; `petsem discharger list` shows all; to \
                     revoke its boots nevertheless,"
    ))
}

fn unknown(text: String) -> Failure {
    Failure::new(ErrorCode::NotFound, format!("{text} give --unknown (in a request, \"unknown\": true)"))
}

pub(crate) fn not_a_token_id() -> Failure {
    bad_request(
        "this is not the id of a token; nothing was changed; `petsem token list` and `petsem token inspect` show the \
         ids of tokens",
    )
}

pub(crate) fn id_of_signing_key(key: SigningKeyId) -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        format!(
            "this id represents signing key {key} in the lineage of its tokens; nothing was changed; to revoke them \
             all: `petsem token revoke --key {key}`"
        ),
    )
}

pub(crate) fn revocation_too_far_ahead() -> Failure {
    bad_request("before must be at most 366 days from now")
}

pub(crate) fn invalid_claim(name: &str, shortest: usize, longest: usize) -> Failure {
    bad_request(format!("{name} must be {shortest} to {longest} bytes, exactly as in the JWT"))
}

/// The error for an unknown signing key.
pub fn no_such_signing_key() -> Failure {
    Failure::new(
        ErrorCode::NotFound,
        "there is no such signing key; nothing was changed; `petsem signing-key list` shows all",
    )
}

pub(crate) fn own_signing_key() -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        "this key signed your own token or an ancestor of it; nothing was changed; first create a token with \
         `petsem operator recover`",
    )
}

pub(crate) fn signing_key_in_use() -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        "new tokens are signed with this key; nothing was changed; rotate it first: `petsem signing-key rotate`",
    )
}

pub(crate) fn too_many_signing_keys(most: usize) -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        format!(
            "there are already {most} signing keys; nothing was changed; revoke the oldest ones \
             (`petsem signing-key list`, `petsem token revoke --key`)"
        ),
    )
}

fn bad_request(text: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::BadRequest, text)
}

pub(crate) fn too_many_revoked_machines(most: u32) -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        format!(
            "{most} Machines of this app are revoked, as many as an app can have; nothing was changed; revoke the token or \
             the JWTs that prove its boots, or the host, or delete the app"
        ),
    )
}
