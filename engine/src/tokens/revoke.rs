//! `POST /v1/revocations`: who may revoke what.

use petsem_api::{HostId, RevokeRequest, Revoked, SigningKeyId, TokenKind, TokenUuid};
use petsem_policy::{Action, TokenId};
use petsem_store::AppPart;

use crate::authz::decide::Principal;
use crate::authz::target::AccessTarget;
use crate::clock::{Timestamp, rfc3339_seconds};
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::records::{FeedRow, LONGEST_RENEWAL, TokenRow};
use crate::request::AuditRecord;
use crate::tenancy::found::FoundApp;
use crate::tokens::mint::{LONGEST, host_subject};

/// Longest `iss`, `sub` or `jti` that can be revoked, in bytes.
const LONGEST_CLAIM: usize = 4096;
/// Most revoked Machines of one app: they are kept as long as the app.
const MOST_MACHINES: u32 = 100_000;
/// Rows read at once.
const PAGE: u32 = 250;
/// Most pages of tokens that are searched for one of a host: half a second.
const MOST_PAGES: u32 = 400;
/// How far an issuer's clock may be ahead of this node's, in seconds.
const SKEW: i64 = 30;
/// How far in the future a revocation's `before` may be, in seconds.
const LONGEST_AHEAD: i64 = 366 * 24 * 60 * 60;

impl Engine {
    /// Revokes. The revocation is in force on this node when this returns.
    pub async fn revoke(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        request: &RevokeRequest,
        now: Timestamp,
    ) -> Result<Revoked, Failure> {
        let app = match request {
            RevokeRequest::Token { id, .. } => {
                self.may_revoke_token(audit, principal, *id, now).await?;
                None
            }
            // A principal outside the app's org learns nothing about the app.
            RevokeRequest::Machine { app, .. } => {
                let app = self.app_for(principal, audit, app, AppPart::Head, &[(Action::Mint, None)]).await?;
                check_machines(self.control().app(app.id).await?.machines)?;
                Some(app)
            }
            RevokeRequest::Host { .. }
            | RevokeRequest::SigningKey { .. }
            | RevokeRequest::JwtSubject { .. }
            | RevokeRequest::DischargerSubject { .. }
            | RevokeRequest::JwtIssuer { .. }
            | RevokeRequest::Jwt { .. } => {
                let verified = principal.require(audit, &AccessTarget::default(), Action::Operate, now)?;
                if let RevokeRequest::SigningKey { id } = request
                    && verified.token.lineage().0.contains(&TokenId::of_key(id.as_bytes()))
                {
                    return Err(messages::own_signing_key());
                }
                None
            }
        };
        let row = self.revocation(audit, request, app.as_ref(), now).await?;
        self.check_known(request).await?;
        let number = self.commit_control(audit, &[row], |_| {}).await?;
        Ok(Revoked { number })
    }

    /// The control change of a request, if it is allowed. `app` is the app of a Machine, to which the principal already
    /// has access.
    pub(crate) async fn revocation(
        &self,
        audit: &mut AuditRecord,
        request: &RevokeRequest,
        app: Option<&FoundApp>,
        now: Timestamp,
    ) -> Result<FeedRow, Failure> {
        let at = now.millis();
        check_revocation(request, now)?;
        let row = match request {
            RevokeRequest::Token { id, .. } => {
                // It would revoke all tokens of the key without the checks for the revocation of a key.
                // A fault in what is read here does not stop a revocation.
                if let Ok(Some(key)) = self.control().key_with_lineage_id(id).await {
                    return Err(messages::id_of_signing_key(key));
                }
                audit.set_detail(messages::revokes_token(*id));
                // Discharges and renewals have no row, and renewals may outlive the token that proved their boot.
                let ends = match self.row::<TokenRow>(id.as_bytes()).await {
                    Ok(Some(row)) => row.content.expires_at.max(now.seconds_after(LONGEST_RENEWAL)),
                    Ok(None) | Err(_) => now.seconds_after(LONGEST),
                };
                FeedRow::TokenRevoked { token: *id, ends, at }
            }
            RevokeRequest::Machine { machine, .. } => {
                let app = app.ok_or_else(messages::no_such_app)?;
                audit.set_app(app);
                audit.set_machine(machine);
                audit.set_detail(messages::revokes_machine(machine, &app.head.name));
                FeedRow::MachineRevoked { app: app.id, machine: machine.clone(), at }
            }
            RevokeRequest::Host { host, .. } => {
                audit.set_detail(messages::revokes_host(host));
                FeedRow::HostRevoked { host: host.clone(), at }
            }
            RevokeRequest::SigningKey { id } => {
                self.check_revocable_key(*id).await?;
                audit.set_detail(messages::revokes_signing_key(*id));
                FeedRow::SigningKeyRevoked { key: *id, at }
            }
            RevokeRequest::JwtSubject { issuer, sub, before, .. } => {
                let before = before.unwrap_or_else(|| all_so_far(now));
                audit.set_detail(messages::revokes_subject(sub, issuer, &rfc3339_seconds(before)));
                FeedRow::JwtSubjectRevoked { issuer: issuer.clone(), sub: sub.clone(), before, at }
            }
            RevokeRequest::DischargerSubject { discharger, sub, before, .. } => {
                let before = before.unwrap_or_else(|| all_so_far(now));
                let discharger = discharger.trim_end_matches('/').to_owned();
                audit.set_detail(messages::revokes_discharger_subject(
                    sub,
                    &discharger,
                    &rfc3339_seconds(before),
                ));
                FeedRow::DischargerSubjectRevoked { discharger, sub: sub.clone(), before, at }
            }
            RevokeRequest::JwtIssuer { issuer, before, .. } => {
                let before = before.unwrap_or_else(|| all_so_far(now));
                audit.set_detail(messages::revokes_issuer(issuer, &rfc3339_seconds(before)));
                FeedRow::JwtIssuerRevoked { issuer: issuer.clone(), before, at }
            }
            RevokeRequest::Jwt { issuer, jti, .. } => {
                audit.set_detail(messages::revokes_jwt(jti, issuer));
                FeedRow::JwtRevoked { issuer: issuer.clone(), jti: jti.clone(), at }
            }
        };
        Ok(row)
    }

    /// Refuses to revoke what petsem does not know, unless the request says so: a mistyped name revokes nothing. A fault
    /// in what is read here does not stop a revocation.
    pub(crate) async fn check_known(&self, request: &RevokeRequest) -> Result<(), Failure> {
        let control = self.control();
        match request {
            RevokeRequest::Token { id, unknown: false } => match self.row::<TokenRow>(id.as_bytes()).await {
                Ok(None) => Err(messages::unknown_token(*id)),
                Ok(Some(_)) | Err(_) => Ok(()),
            },
            RevokeRequest::Host { host, unknown: false } => match self.has_token_of_host(host).await {
                Ok(false) => Err(messages::unknown_host(host)),
                Ok(true) | Err(_) => Ok(()),
            },
            RevokeRequest::JwtSubject { issuer, unknown: false, .. }
            | RevokeRequest::JwtIssuer { issuer, unknown: false, .. }
            | RevokeRequest::Jwt { issuer, unknown: false, .. } => match control.issuer(issuer) {
                Some(_) => Ok(()),
                None => Err(messages::unknown_issuer(issuer)),
            },
            RevokeRequest::DischargerSubject { discharger, unknown: false, .. } => {
                let location = discharger.trim_end_matches('/');
                match control.dischargers().iter().any(|entry| entry.location == location) {
                    true => Ok(()),
                    false => Err(messages::unknown_discharger(location)),
                }
            }
            _ => Ok(()),
        }
    }

    /// Whether a host has a token; true without an answer if there are too many tokens to look at, since a denial must
    /// not wait.
    async fn has_token_of_host(&self, host: &HostId) -> Result<bool, Failure> {
        let subject = host_subject(host);
        let mut scan = self.scan::<TokenRow>(PAGE);
        for _ in 0..MOST_PAGES {
            let page = scan.next_page().await?;
            if page.is_empty() {
                return Ok(false);
            }
            for entry in page {
                let (_, row) = entry?;
                if row.content.kind == TokenKind::Host && row.content.subject.starts_with(&subject) {
                    return Ok(true);
                }
            }
        }
        Ok(true)
    }

    /// The key that signs new tokens must be replaced before it is revoked. A replaced key never signs again.
    async fn check_revocable_key(&self, id: SigningKeyId) -> Result<(), Failure> {
        if self.control().is_current_key(id).await? {
            return Err(messages::signing_key_in_use());
        }
        // Its row says nothing: others may have deleted it, and tokens of the key still verify.
        if self.control().has_key(id).await? { Ok(()) } else { Err(messages::no_such_signing_key()) }
    }

    /// Operators may revoke every token, and an org's minter those that the org's keys signed. Holding a token is not
    /// enough to revoke it: every attenuated copy shares its id, and could revoke the original.
    async fn may_revoke_token(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        id: TokenUuid,
        now: Timestamp,
    ) -> Result<(), Failure> {
        if principal.allows(audit, &AccessTarget::default(), Action::Operate, now).is_ok() {
            return Ok(());
        }
        let org = self.row::<TokenRow>(id.as_bytes()).await?.and_then(|row| row.content.org);
        let target = AccessTarget { org, ..AccessTarget::default() };
        match (org, principal.allows(audit, &target, Action::Mint, now)) {
            (Some(_), Ok(_)) => Ok(()),
            // The same response for another org's token and for a missing one.
            _ => Err(messages::token_not_revocable()),
        }
    }
}

/// Refuses to revoke a Machine of an app that has so many revoked ones: whether a Machine exists cannot be checked.
fn check_machines(revoked: u32) -> Result<(), Failure> {
    if revoked < MOST_MACHINES { Ok(()) } else { Err(messages::too_many_revoked_machines(MOST_MACHINES)) }
}

/// The checks of a request that do not need the store.
pub fn check_revocation(request: &RevokeRequest, now: Timestamp) -> Result<(), Failure> {
    match request {
        RevokeRequest::Token { id, .. } => check_token_id(*id),
        RevokeRequest::JwtSubject { issuer, sub, before, .. } => {
            check_claim("issuer", issuer, 1)?;
            check_claim("sub", sub, 0)?;
            check_before(*before, now)
        }
        RevokeRequest::DischargerSubject { discharger, sub, before, .. } => {
            check_claim("discharger", discharger, 1)?;
            check_claim("sub", sub, 1)?;
            check_before(*before, now)
        }
        RevokeRequest::JwtIssuer { issuer, before, .. } => {
            check_claim("issuer", issuer, 1)?;
            check_before(*before, now)
        }
        RevokeRequest::Jwt { issuer, jti, .. } => {
            check_claim("issuer", issuer, 1)?;
            check_claim("jti", jti, 1)
        }
        RevokeRequest::Machine { .. } | RevokeRequest::Host { .. } | RevokeRequest::SigningKey { .. } => {
            Ok(())
        }
    }
}

/// Refuses the id of a request, app or org in place of a token's: token ids are UUIDv5, all others are not. Whether the
/// token exists cannot be checked, because discharges are not stored.
fn check_token_id(id: TokenUuid) -> Result<(), Failure> {
    match id.as_bytes() {
        [_, _, _, _, _, _, version, ..] if version >> 4 == 5 => Ok(()),
        _ => Err(messages::not_a_token_id()),
    }
}

/// A time after every `iat` that an issuer can have put into a JWT by now.
pub(crate) fn all_so_far(now: Timestamp) -> i64 {
    now.seconds().saturating_add(SKEW + 1)
}

fn check_before(before: Option<i64>, now: Timestamp) -> Result<(), Failure> {
    match before {
        Some(before) if before > now.seconds().saturating_add(LONGEST_AHEAD) => {
            Err(messages::revocation_too_far_ahead())
        }
        _ => Ok(()),
    }
}

fn check_claim(name: &str, text: &str, shortest: usize) -> Result<(), Failure> {
    if (shortest..=LONGEST_CLAIM).contains(&text.len()) {
        return Ok(());
    }
    Err(messages::invalid_claim(name, shortest, LONGEST_CLAIM))
}

#[cfg(test)]
mod tests {
    use petsem_api::ErrorCode;

    use super::*;

    #[test]
    fn an_app_has_at_most_100_000_revoked_machines() {
        let code = |count| check_machines(count).map_err(|refused| refused.code());
        assert_eq!((code(MOST_MACHINES - 1), code(MOST_MACHINES)), (Ok(()), Err(ErrorCode::Conflict)));
        assert_eq!(MOST_MACHINES, 100_000);
    }
}
