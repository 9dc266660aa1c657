//! Verification of JWTs: issuer, keys, lifetime, revocation.

use petsem_api::ErrorCode;
use petsem_policy::evaluate::{
    BOOT_LIFE_SECONDS, Claims, Issuer, Jwks, JwtError, JwtTypes, READ_LIFE_SECONDS, issuer_of, key_id_of,
    verify_jwt,
};

use crate::authn::issuer_keys::algorithms_of;
use crate::authn::tokens::check_jwt;
use crate::clock::Timestamp;
use crate::control::state::{Control, IssuerEntry};
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::records::IssuerRow;

/// What a JWT is used for. How long it may live depends on it.
#[derive(Clone, Copy)]
pub(crate) enum JwtUse {
    /// It proves a boot (design §4).
    Boot,
    /// It reads, or is exchanged for a token that reads (design §7).
    Read,
}

impl JwtUse {
    /// The longest life that the issuer's registration allows, in seconds. Rules allow less unless they name more.
    fn longest_life(self, row: &IssuerRow) -> i64 {
        i64::from(match self {
            Self::Boot => row.longest_boot_life_seconds.unwrap_or(BOOT_LIFE_SECONDS),
            Self::Read => row.longest_life_seconds.unwrap_or(READ_LIFE_SECONDS),
        })
    }
}

/// The accepted `typ`s of a registration; `None` if one is unknown.
pub(crate) fn types_of(names: &[String]) -> Option<JwtTypes> {
    if names.is_empty() { Some(JwtTypes::default()) } else { JwtTypes::of(names.iter().map(String::as_str)) }
}

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
    /// Verifies a JWT: its issuer is registered, and it was not revoked. Only a JWT without a usable key waits for a
    /// fetch, because its issuer may just have published that key.
    pub(crate) async fn verify_jwt(
        &self,
        text: &str,
        purpose: JwtUse,
        now: Timestamp,
    ) -> Result<Claims, Failure> {
        let error = match self.verify_with_available_keys(text, purpose, now).await? {
            Ok(claims) => return Ok(claims),
            Err(error) if !error.newer_keys_may_help() => return Err(self.refusal(&error, text, purpose)),
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
        let verified = self.verify_with_available_keys(text, purpose, self.now()).await?;
        verified.map_err(|error| self.refusal(&error, text, purpose))
    }

    /// The refusal of a JWT, with what its issuer must set instead where that is known here.
    fn refusal(&self, error: &JwtError, text: &str, purpose: JwtUse) -> Failure {
        match error {
            JwtError::Claim("aud") | JwtError::AudienceClaim => {
                messages::jwt_for_another_audience(error, &self.settings.name)
            }
            JwtError::TooLongLived => match issuer_entry(&self.control(), text) {
                Ok(entry) => messages::jwt_lives_too_long(purpose.longest_life(&entry.row)),
                Err(failure) => failure,
            },
            error => refused(error),
        }
    }

    /// Verifies a JWT with the keys that are available.
    async fn verify_with_available_keys(
        &self,
        text: &str,
        purpose: JwtUse,
        now: Timestamp,
    ) -> Result<Result<Claims, JwtError>, Failure> {
        let control = self.control();
        let entry = issuer_entry(&control, text)?;
        let issuer = self.issuer_of(entry, entry.keys.available());
        let longest = purpose.longest_life(&entry.row);
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
            audiences: entry.row.audiences.clone(),
            audience_claim: entry.row.audience_claim.clone(),
            // Only known names are registered.
            types: types_of(&entry.row.types).unwrap_or_default(),
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
