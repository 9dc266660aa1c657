//! Verification of JWTs: issuer, keys, lifetime, revocation.

use petsem_api::ErrorCode;
use petsem_policy::evaluate::{Claims, Issuer, Jwks, JwtError, issuer_of, key_id_of, verify_jwt};

use crate::authn::issuer_keys::algorithms_of;
use crate::authn::tokens::check_jwt;
use crate::clock::Timestamp;
use crate::control::state::{Control, IssuerEntry};
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;

/// Longest life of a JWT that proves a boot (design §4), in seconds.
pub(crate) const BOOT_LIFE: i64 = 300;
/// Longest life of a JWT that reads (design §7), in seconds.
pub(crate) const READ_LIFE: i64 = 900;

/// The JWT of an `Authorization` header, if there is one: `Bearer` and three parts.
pub(crate) fn jwt_of(header: Option<&str>) -> Option<&str> {
    let (scheme, rest) = header?.trim().split_once(' ')?;
    let text = rest.trim();
    // Macaroons are base64 with a prefix, so they contain no dot.
    let is_jwt =
        scheme.eq_ignore_ascii_case("bearer") && text.bytes().filter(|byte| *byte == b'.').count() == 2;
    is_jwt.then_some(text)
}

impl Engine {
    /// Verifies a JWT: its issuer is registered, and it was not revoked. Only an otherwise valid JWT with an unknown
    /// key waits for a fetch, because its issuer may just have published that key.
    pub(crate) async fn verify_jwt(
        &self,
        text: &str,
        longest: i64,
        now: Timestamp,
    ) -> Result<Claims, Failure> {
        let error = match self.verify_with_available_keys(text, longest, now).await? {
            Ok(claims) => return Ok(claims),
            Err(error) if !error.newer_keys_may_help() => return Err(refused(&error)),
            Err(error) => error,
        };
        let control = self.control();
        let entry = issuer_entry(&control, text)?;
        let key_id = key_id_of(text).map_err(|error| refused(&error))?;
        let newer = match entry.keys.published() {
            Some(published) => self.look_for_key(published, key_id.as_deref()).await?,
            None => false,
        };
        if !newer {
            return Err(refused(&error));
        }
        // Time has passed: check revocations and the JWT's expiry again.
        self.verify_with_available_keys(text, longest, self.now()).await?.map_err(|error| refused(&error))
    }

    /// Verifies a JWT with the keys that are available.
    async fn verify_with_available_keys(
        &self,
        text: &str,
        longest: i64,
        now: Timestamp,
    ) -> Result<Result<Claims, JwtError>, Failure> {
        let control = self.control();
        let entry = issuer_entry(&control, text)?;
        let issuer = self.issuer_of(entry, entry.keys.available());
        let claims = match verify_jwt(text, &issuer, longest, now.seconds()) {
            Ok(claims) => claims,
            Err(error) => return Ok(Err(error)),
        };
        let issued_at = claims.issued_at().unwrap_or(i64::MIN);
        check_jwt(&control, claims.issuer(), claims.subject(), claims.jti(), issued_at).await?;
        Ok(Ok(claims))
    }

    fn issuer_of(&self, entry: &IssuerEntry, keys: Jwks) -> Issuer {
        Issuer {
            id: *entry.id.as_bytes(),
            iss: entry.row.issuer.clone(),
            audience: self.settings.name.clone(),
            algorithms: algorithms_of(&entry.row),
            keys,
        }
    }
}

/// The registration of the issuer that a JWT names.
fn issuer_entry<'c>(control: &'c Control, text: &str) -> Result<&'c IssuerEntry, Failure> {
    let named = issuer_of(text).map_err(|error| refused(&error))?;
    control.issuer(&named.0).map(AsRef::as_ref).ok_or_else(messages::issuer_not_registered)
}

fn refused(error: &JwtError) -> Failure {
    let code = match error {
        JwtError::TooLong | JwtError::NotAJwt | JwtError::Extension => ErrorCode::TokenMalformed,
        JwtError::Expired | JwtError::NotYetValid => ErrorCode::TokenExpired,
        _ => ErrorCode::TokenInvalid,
    };
    messages::refused(code, error)
}
