//! Who asks: from the text of an `Authorization` header to tokens whose signatures, discharges and
//! revocations were checked. What they allow is asked for each object that the handler touches.

use petsem_api::{ErrorCode, OrgId};
use petsem_policy::{
    Access, Action, DischargeBudget, DischargeRejection, Reason, Subject, Token, TrustedDischarger,
    UnverifiedToken, VerifyError,
};

use crate::authn::token_id::token_uuid;
use crate::control::state::{Control, NoKey};
use crate::error::Failure;

/// A token that verified, and the org that its key speaks for.
#[derive(Debug)]
pub struct Verified {
    pub(crate) token: Token,
    /// None = the platform's key.
    pub(crate) org: Option<OrgId>,
}

impl Verified {
    /// Whether it lets do nothing but what hosts do.
    pub(crate) fn only_boots(&self) -> bool {
        let others =
            Action::ALL.into_iter().filter(|action| !matches!(action, Action::Boot | Action::Enroll));
        others.into_iter().all(|action| {
            let denials = self.token.denials(&Access::new(action, 0, 0));
            denials.iter().any(|denial| matches!(denial.reason, Reason::Action(_)))
        })
    }

    /// Whether its key may speak for this org; none = the installation.
    pub(crate) fn speaks_for(&self, org: Option<[u8; 16]>) -> bool {
        self.org.is_none_or(|own| org == Some(*own.as_bytes()))
    }
}

/// Who holds a token, in words.
pub(crate) fn author_of(token: &Token) -> String {
    match token.subject() {
        Some(Subject { issuer, sub }) => format!("{sub} ({issuer})"),
        None => format!("token {}", token.id()),
    }
}

/// Verifies one permission token: the key that its KID names, its MACs, its discharges.
pub(crate) fn verify(
    control: &Control,
    unverified: &UnverifiedToken,
    discharges: &[&UnverifiedToken],
    budget: &mut DischargeBudget,
) -> Result<Verified, Failure> {
    let entry = control.signing_key(unverified.kid()).map_err(|missing| match missing {
        NoKey::Unknown => invalid(),
        NoKey::Revoked => revoked(),
    })?;
    let trusted: Vec<TrustedDischarger<'_>> = control
        .dischargers()
        .iter()
        .map(|entry| TrustedDischarger { location: &entry.location, key: &entry.key, discharger: entry.id })
        .collect();
    let token = unverified
        .verify_within(&entry.key, discharges, &trusted, budget)
        .map_err(|error| unverifiable(&error))?;
    Ok(Verified { token, org: entry.org })
}

/// Refuses a token of which anything was revoked: itself, an ancestor, a discharge.
pub(crate) fn check_revocations(control: &Control, token: &Token) -> Result<(), Failure> {
    let ids = std::iter::once(token.id()).chain(token.ancestors()).chain(token.discharge_ids());
    for id in ids {
        if control.revoked().has_token(&token_uuid(id)) {
            return Err(revoked());
        }
    }
    // What was exchanged ends with the JWT that it came of.
    token.exchanged().map_or(Ok(()), |of| {
        let jti = Some(of.jti.as_str()).filter(|jti| !jti.is_empty());
        check_jwt(control, &of.issuer, Some(&of.sub), jti, of.issued)
    })
}

/// Refuses a JWT that was revoked: itself by its `jti`, or its subject's up to a time. Asked at every use of the
/// JWT, and of whatever came of it. `issued_at` in unix seconds.
pub(crate) fn check_jwt(
    control: &Control,
    issuer: &str,
    sub: Option<&str>,
    jti: Option<&str>,
    issued_at: i64,
) -> Result<(), Failure> {
    if control.revoked().has_jwt(issuer, sub, jti, issued_at) {
        return Err(Failure::new(
            ErrorCode::Revoked,
            "the JWT behind this was revoked, or those of its subject or issuer from before a time; get a new one",
        ));
    }
    Ok(())
}

/// Something that was revoked.
pub(crate) fn revoked() -> Failure {
    Failure::new(
        ErrorCode::Revoked,
        "the token, its key, or what it descends from was revoked; ask whoever gave it to you for a new one",
    )
}

fn invalid() -> Failure {
    Failure::new(
        ErrorCode::TokenInvalid,
        "the token was not signed by this petsem, or was changed; ask for a new one",
    )
}

fn unverifiable(error: &VerifyError) -> Failure {
    let code = match error {
        VerifyError::NoDischarge { .. } => ErrorCode::DischargeMissing,
        VerifyError::DischargeRejected { reason: DischargeRejection::Signature, .. }
        | VerifyError::DischargeRejected { .. } => ErrorCode::DischargeInvalid,
        _ => ErrorCode::TokenInvalid,
    };
    Failure::new(code, error.to_string())
}
