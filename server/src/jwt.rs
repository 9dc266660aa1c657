//! JWTs as proofs: which issuer, which keys, how long.

use std::sync::{Mutex, PoisonError};

use petsem_api::ErrorCode;
use petsem_policy::evaluate::{Algorithm, Claims, Issuer, JwtError, issuer_of, verify_jwt};

use crate::authority::check_jwt;
use crate::clock::Moment;
use crate::control::IssuerEntry;
use crate::core::Core;
use crate::failure::Failure;
use crate::request::Trail;

/// Longest life of a JWT that proves a boot (design §4), in seconds.
pub(crate) const BOOT_LIFE: i64 = 300;
/// Longest life of a JWT that reads (design §7), in seconds.
pub(crate) const READ_LIFE: i64 = 900;

/// The JWT of an `Authorization` header, if it holds one: `Bearer` and three parts.
pub(crate) fn jwt_of(header: Option<&str>) -> Option<&str> {
    let (scheme, rest) = header?.trim().split_once(' ')?;
    let text = rest.trim();
    // Macaroons are base64 with a label in front: they have no dot.
    let is_jwt =
        scheme.eq_ignore_ascii_case("bearer") && text.bytes().filter(|byte| *byte == b'.').count() == 2;
    is_jwt.then_some(text)
}

impl Core {
    /// Verifies a JWT of a registered issuer that was not revoked.
    pub(crate) fn verify_jwt(&self, text: &str, longest: i64, now: Moment) -> Result<Claims, Failure> {
        let control = self.control();
        let named = issuer_of(text).map_err(|error| refused(&error))?;
        let entry = control.issuer(&named.0).ok_or_else(|| {
            Failure::new(
                ErrorCode::TokenInvalid,
                "the JWT's issuer is not registered here; an operator registers issuers",
            )
        })?;
        let issuer = self.issuer_of(entry)?;
        let claims = verify_jwt(text, &issuer, longest, now.seconds()).map_err(|error| refused(&error))?;
        let issued_at = claims.issued_at().unwrap_or(i64::MIN);
        check_jwt(&control, claims.issuer(), claims.subject(), claims.jti(), issued_at)?;
        Ok(claims)
    }

    /// Gives a JWT that no rule has accepted yet a line of its own, as long as there are few of them: whoever gets
    /// JWTs of a public issuer must not be able to fill the log. The rest is summed up.
    pub(crate) fn count_jwt(&self, trail: &mut Trail, claims: &Claims, now: Moment) {
        if self.jwt_lines.allows(now.seconds()) {
            trail.accepted_jwt(claims);
        }
    }

    fn issuer_of(&self, entry: &IssuerEntry) -> Result<Issuer, Failure> {
        let algorithms = entry.row.algorithms.iter().filter_map(|name| Algorithm::from_name(name)).collect();
        Ok(Issuer {
            id: *entry.id.as_bytes(),
            iss: entry.row.issuer.clone(),
            audience: self.settings.name.clone(),
            algorithms,
            keys: entry.keys.clone(),
        })
    }
}

/// At most so many a second.
#[derive(Debug, Default)]
pub(crate) struct PerSecond(Mutex<(i64, u32)>);

impl PerSecond {
    const MOST: u32 = 50;

    fn allows(&self, second: i64) -> bool {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.0 != second {
            *counted = (second, 0);
        }
        counted.1 = counted.1.saturating_add(1);
        counted.1 <= Self::MOST
    }
}

fn refused(error: &JwtError) -> Failure {
    let code = match error {
        JwtError::TooLong | JwtError::NotAJwt | JwtError::Extension => ErrorCode::TokenMalformed,
        JwtError::Expired | JwtError::NotYetValid => ErrorCode::TokenExpired,
        _ => ErrorCode::TokenInvalid,
    };
    Failure::new(code, error.to_string())
}
