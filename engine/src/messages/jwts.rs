//! JWTs of registered issuers: their verification, their exchange, and the keys that issuers publish.

use petsem_api::ErrorCode;
use petsem_policy::evaluate::JwtError;

use crate::clock::rfc3339_seconds;
use crate::error::Failure;

const WHY_NOT_FETCHED: &str = "the log and `petsem issuer list` give the reason";

pub(crate) fn issuer_not_registered() -> Failure {
    Failure::new(
        ErrorCode::TokenInvalid,
        "the JWT's issuer is not registered; an operator can register it with `petsem issuer add`",
    )
}

/// The name is public: every JWT for this installation has it.
pub(crate) fn jwt_for_another_audience(error: &JwtError, name: &str) -> Failure {
    Failure::new(ErrorCode::TokenInvalid, format!("{error}: {name:?} is this installation's name"))
}

/// Only who holds a JWT of the issuer reads this.
pub(crate) fn jwt_lives_too_long(longest: i64) -> Failure {
    Failure::new(ErrorCode::TokenInvalid, format!("{}: at most {longest} s", JwtError::TooLongLived))
}

pub(crate) fn jwt_revoked() -> Failure {
    Failure::new(ErrorCode::Revoked, "the JWT behind this request was revoked; get a new JWT")
}

/// A revocation of all JWTs so far ends half a minute later, because clocks of issuers differ: a new JWT may be too early.
pub(crate) fn jwts_revoked_before(before: i64) -> Failure {
    Failure::new(
        ErrorCode::Revoked,
        format!(
            "the JWT behind this request was revoked, with all JWTs of its subject or issuer that were issued before {}; \
             get a JWT that is issued then or later",
            rfc3339_seconds(before)
        ),
    )
}

pub(crate) fn jwt_expired_for_exchange() -> Failure {
    Failure::new(
        ErrorCode::TokenExpired,
        "the JWT has expired, and a token from it would have expired too; get a new JWT from the issuer",
    )
}

pub(crate) fn jwt_too_large_for_exchange() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "the JWT's sub or jti is over 1 KiB, or the claims that the rule reads are over 2 KiB in total; issue \
         shorter claims, or read with the JWT itself",
    )
}

pub(crate) fn jwt_too_large_for_boot() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "the JWT's sub, its jti and the claims that the policy's rule reads are over 2 KiB in total; issue shorter \
         claims, or let the rule read fewer",
    )
}

/// The key may have been published a moment ago. The `Retry-After` makes clients try again; invented key ids reveal
/// nothing.
pub(crate) fn jwt_key_unknown(seconds: u64) -> Failure {
    Failure::new(
        ErrorCode::TokenInvalid,
        format!(
            "the JWT names an unknown key; if the issuer has just published it, try again in {seconds} s"
        ),
    )
    .retry_after(u32::try_from(seconds).unwrap_or(u32::MAX))
}

/// `seconds` until the next fetch.
pub(crate) fn issuer_keys_unavailable(seconds: u64) -> Failure {
    Failure::new(
        ErrorCode::IssuerUnavailable,
        "the keys of the JWT's issuer are not available now, so the JWT cannot be verified; try again; operators \
         find the reason in `petsem issuer list`",
    )
    .retry_after(u32::try_from(seconds).unwrap_or(u32::MAX))
}

/// These warnings are public, so they omit why a fetch fails: that may contain internal addresses.
pub(crate) fn issuer_keys_never_fetched(issuer: &str) -> String {
    format!(
        "the keys of issuer {issuer} were not fetched since the server started, so its JWTs are refused; {WHY_NOT_FETCHED}"
    )
}

pub(crate) fn issuer_keys_too_old(issuer: &str, hours: u64) -> String {
    format!(
        "the keys of issuer {issuer} were last fetched {hours} hours ago, so its JWTs are refused; {WHY_NOT_FETCHED}"
    )
}

/// Anyone can read this, so it does not say that a key is known to others.
pub(crate) fn issuer_keys_left_out(issuer: &str) -> String {
    format!("keys of issuer {issuer} are not used; `petsem issuer show` says why, and what to do")
}

pub(crate) fn issuer_keys_unusable(issuer: &str) -> String {
    format!(
        "issuer {issuer} publishes no key for its registered algorithms, so its JWTs are refused; `petsem issuer show` \
         lists its keys"
    )
}

pub(crate) fn issuer_keys_old(issuer: &str, hours: u64) -> String {
    format!(
        "the keys of issuer {issuer} were last fetched {hours} hours ago; its JWTs are refused after 24 hours; \
         {WHY_NOT_FETCHED}"
    )
}
