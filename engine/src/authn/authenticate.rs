//! Turns the text of an `Authorization` header into a principal with verified tokens.

use petsem_api::ErrorCode;
use petsem_policy::{DischargeBudget, Element, Header, UnverifiedToken};

use crate::authn::tokens::{check_revocations, verify};
use crate::authz::decide::Principal;
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::request::AuditRecord;

impl Engine {
    /// Verifies the macaroons of a header. At least one must verify and not be revoked.
    pub async fn authenticate(
        &self,
        header: Option<&str>,
        audit: &mut AuditRecord,
    ) -> Result<Principal, Failure> {
        self.check_integrity()?;
        let header = Header::parse(header.ok_or_else(messages::no_token)?, &self.settings.location)
            .map_err(|error| messages::refused(ErrorCode::TokenMalformed, &error))?;
        let control = self.control();
        let discharges = header.discharges();
        let mut tokens = Vec::new();
        let mut first_failure = None;
        let (mut budget, now) = (DischargeBudget::default(), self.now());
        for unverified in header.permissions() {
            match verify(&control, unverified, &discharges, &mut budget, now).await {
                Ok(verified) => tokens.push(verified),
                Err(failure) => {
                    first_failure.get_or_insert(failure);
                }
            }
        }
        let Some(first) = tokens.first() else {
            return Err(first_failure.unwrap_or_else(|| self.no_own_token(&header, messages::no_valid_token)));
        };
        audit.verified_token(&first.token);
        let mut valid = Vec::with_capacity(tokens.len());
        for (index, verified) in tokens.into_iter().enumerate() {
            match check_revocations(&control, &verified.token).await {
                Ok(()) => {
                    if valid.is_empty() && index > 0 {
                        audit.verified_token(&verified.token);
                    }
                    valid.push(verified);
                }
                Err(failure) if failure.code() == ErrorCode::Revoked => {}
                Err(failure) => return Err(failure),
            }
        }
        if valid.is_empty() {
            return Err(messages::revoked());
        }
        Ok(Principal::new(valid, audit.peer()))
    }

    /// Why a header without a token of this installation is refused: the token of another one that it has, else `none`.
    pub(crate) fn no_own_token(&self, header: &Header<'_>, none: fn() -> Failure) -> Failure {
        let control = self.control();
        // Discharges are from dischargers.
        let is_discharger = |location: &str| {
            location == self.settings.discharger_location
                || control.dischargers().iter().any(|entry| entry.location == location)
        };
        let mut locations =
            header.elements().iter().filter_map(Element::token).map(UnverifiedToken::location);
        match locations.find(|location| !location.is_empty() && !is_discharger(location)) {
            Some(location) => messages::token_of_another_installation(location),
            None => none(),
        }
    }

    /// Checks again that no token of the principal was revoked. A body may arrive seconds after the header, and a
    /// revocation is in force from its answer on.
    pub async fn recheck_revocations(&self, principal: &Principal) -> Result<(), Failure> {
        self.check_integrity()?;
        let control = self.control();
        for verified in principal.verified() {
            check_revocations(&control, &verified.token).await?;
        }
        Ok(())
    }
}
