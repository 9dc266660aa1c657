//! Verification of tokens: signatures, discharges and revocations. What a token allows is decided later, for each
//! object that a request touches.

use petsem_api::{ErrorCode, OrgId};
use petsem_policy::{
    Access, Action, DischargeBudget, Reason, Subject, Token, TokenId, TrustedDischarger, UnverifiedToken,
    VerifyError,
};

use crate::authn::token_id::token_uuid;
use crate::clock::Timestamp;
use crate::control::state::{Control, JwtRevocation, NoKey};
use crate::error::Failure;
use crate::messages;

/// A verified token, and the org of its signing key.
#[derive(Debug)]
pub struct Verified {
    pub(crate) token: Token,
    /// `None` for the platform's key.
    pub(crate) org: Option<OrgId>,
    /// Whether a key of the platform signed it, or a token that it was minted from.
    pub(crate) is_platforms: bool,
}

impl Verified {
    /// The token's id.
    pub fn id(&self) -> TokenId {
        self.token.id()
    }

    /// Whether the token allows no action other than those of hosts: boot and enroll.
    pub(crate) fn only_boots(&self) -> bool {
        let others =
            Action::ALL.into_iter().filter(|action| !matches!(action, Action::Boot | Action::Enroll));
        others.into_iter().all(|action| {
            let denials = self.token.denials(&Access::new(action, 0, 0));
            denials.iter().any(|denial| matches!(denial.reason, Reason::Action(_)))
        })
    }

    /// Whether its key covers this org; `None` means the installation.
    pub(crate) fn speaks_for(&self, org: Option<[u8; 16]>) -> bool {
        self.org.is_none_or(|own| org == Some(*own.as_bytes()))
    }
}

/// The holder of a token, as text.
pub(crate) fn author_of(token: &Token) -> String {
    match token.subject() {
        Some(subject) => holder(subject),
        None => format!("token {}", token.id()),
    }
}

/// A holder, as text.
pub(crate) fn holder(subject: &Subject) -> String {
    format!("{} ({})", subject.sub, subject.issuer)
}

/// Verifies one permission token: the key named by its KID, its MACs, its discharges, its time. One that has expired
/// allows nothing, so its holder counts as a stranger.
pub(crate) async fn verify(
    control: &Control,
    unverified: &UnverifiedToken,
    discharges: &[&UnverifiedToken],
    budget: &mut DischargeBudget,
    now: Timestamp,
) -> Result<Verified, Failure> {
    let entry = control.signing_key(unverified.kid()).await.map_err(|missing| match missing {
        NoKey::Unknown => messages::token_not_signed_here(),
        NoKey::Revoked => messages::revoked(),
        NoKey::Failed(failure) => failure,
    })?;
    let trusted = control.dischargers().iter().map(|entry| TrustedDischarger {
        location: &entry.location,
        key: &entry.key,
        discharger: entry.id,
    });
    let token = unverified
        .verify_within(&entry.key, discharges, trusted, budget)
        .map_err(|error| unverifiable(&error))?;
    token.check_time(now.seconds(), now.nanos()).map_err(|denial| {
        let is_expired = matches!(denial.reason, Reason::Expired | Reason::NotYetValid);
        let code = if is_expired { ErrorCode::TokenExpired } else { ErrorCode::Forbidden };
        messages::refused(code, &denial)
    })?;
    let is_platforms = entry.org.is_none() || comes_of_platform(control, &token);
    Ok(Verified { token, org: entry.org, is_platforms })
}

/// Whether the token was minted from one that a key of the platform signed.
fn comes_of_platform(control: &Control, token: &Token) -> bool {
    let ancestors = token.ancestors();
    let directory = control.directory();
    let mut keys = directory.platform_keys.0.iter().chain(&directory.past_platform_keys.0);
    !ancestors.is_empty() && keys.any(|key| ancestors.contains(&TokenId::of_key(key.as_bytes())))
}

/// Refuses a token if it, an ancestor or a discharge of it was revoked.
pub(crate) async fn check_revocations(control: &Control, token: &Token) -> Result<(), Failure> {
    let ids =
        std::iter::once(token.id()).chain(token.ancestors().iter().copied()).chain(token.discharge_ids());
    for id in ids {
        if control.is_token_revoked(&token_uuid(id)).await? {
            return Err(messages::revoked());
        }
    }
    // Revoking a JWT also revokes the tokens that it was exchanged for.
    let Some(of) = token.exchanged() else { return Ok(()) };
    let jti = Some(of.jti.as_str()).filter(|jti| !jti.is_empty());
    check_jwt(control, &of.issuer, Some(&of.sub), jti, of.issued).await
}

/// Refuses a JWT that was revoked: by its `jti`, or with all JWTs that its subject or issuer had before a time. Checked
/// at every use of the JWT and of everything derived from it. `issued_at` in unix seconds.
pub(crate) async fn check_jwt(
    control: &Control,
    issuer: &str,
    sub: Option<&str>,
    jti: Option<&str>,
    issued_at: i64,
) -> Result<(), Failure> {
    // Only who holds a verified JWT gets here, so it may know until when the JWTs of its subject are refused.
    match control.jwt_revocation(issuer, sub, jti, issued_at).await? {
        None => Ok(()),
        Some(JwtRevocation::Alone) => Err(messages::jwt_revoked()),
        Some(JwtRevocation::WithAllBefore(before)) => Err(messages::jwts_revoked_before(before)),
    }
}

fn unverifiable(error: &VerifyError) -> Failure {
    let code = match error {
        VerifyError::NoDischarge { .. } => ErrorCode::DischargeMissing,
        VerifyError::DischargeRejected { .. } => ErrorCode::DischargeInvalid,
        _ => ErrorCode::TokenInvalid,
    };
    messages::refused(code, error)
}
