//! Exchanges a JWT for a macaroon (RFC 8693), for a workload that must delegate less than it has.
//!
//! The macaroon reads of one app what the matching policy rule allows, and expires with the JWT, at the latest after 15
//! minutes. It is not recorded: an exchange writes only its audit line. The macaroon carries the JWT's origin, which is
//! re-evaluated at each use.

use petsem_api::{ACCESS_TOKEN_TYPE, AppRef, ExchangedToken};
use petsem_policy::{
    Action, ActionSet, Actions, Caveat, Exchanged, MAX_EXCHANGED_CLAIMS_BYTES, Organization, Subject,
};

use crate::authn::jwt::JwtUse;
use crate::authn::token_id::token_uuid;
use crate::clock::{Timestamp, rfc3339_seconds};
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::request::AuditRecord;

/// Longest life of a token that a JWT was exchanged for, in seconds (design §7).
const LONGEST_LIFE: i64 = 900;
/// Longest `sub` and `jti` of a JWT that is exchanged, in bytes: a revocation must be able to name them.
const LONGEST_NAME: usize = 1024;

impl Engine {
    /// Verifies the JWT, evaluates the app's policy, and mints the macaroon.
    pub async fn exchange(
        &self,
        audit: &mut AuditRecord,
        jwt: &str,
        app: &AppRef,
        now: Timestamp,
    ) -> Result<ExchangedToken, Failure> {
        self.check_integrity()?;
        let claims = self.verify_jwt(jwt, JwtUse::Read, now).await?;
        let (app, _, allowed) = self.workload_app(audit, &claims, app).await?;
        let (Some(issued), Some(expires)) = (claims.issued_at(), claims.expires_at()) else {
            return Err(Failure::internal("a JWT without iat or exp was accepted"));
        };
        // The clock skew allowed for a JWT does not carry over: a macaroon's expiry is exact.
        let now = self.now().seconds();
        let until = expires.min(now.saturating_add(LONGEST_LIFE));
        let left = u64::try_from(until.saturating_sub(now)).unwrap_or(0);
        if left == 0 {
            return Err(messages::jwt_expired_for_exchange());
        }
        let sub = claims.subject().unwrap_or_default().to_owned();
        let jti = claims.jti().unwrap_or_default().to_owned();
        let rule_claims = serde_json::to_string(&allowed.claims).map_err(Failure::internal)?;
        if rule_claims.len() > MAX_EXCHANGED_CLAIMS_BYTES || sub.len().max(jti.len()) > LONGEST_NAME {
            return Err(messages::jwt_too_large_for_exchange());
        }
        let subject = Subject { issuer: claims.issuer().to_owned(), sub: sub.clone() };
        let rule = allowed.rule;
        let first = Exchanged {
            issuer: claims.issuer().to_owned(),
            sub,
            jti,
            rule: rule.clone(),
            claims: rule_claims,
            issued,
            expires,
        };
        let mut caveats: Vec<Caveat> = first.first_caveats(*app.id.as_bytes()).into();
        if until < expires {
            caveats.push(Caveat::ValidityWindow { not_before: 0, not_after: until });
        }
        caveats.push(subject.into());
        caveats.push(Organization { org: *app.head.org.as_bytes() }.into());
        caveats.push(Actions(ActionSet::from_iter([Action::ReadValue])).into());
        let control = self.control();
        let key = &*control.key_for_new_tokens(Some(app.head.org)).await?;
        let macaroon = self.sign_macaroon(key, caveats).map_err(Failure::internal)?;
        let (id, until) = (token_uuid(macaroon.id()), rfc3339_seconds(until));
        audit.set_detail(messages::token_exchanged(id, &rule, &until));
        Ok(ExchangedToken {
            access_token: macaroon.to_text().to_string(),
            issued_token_type: ACCESS_TOKEN_TYPE.to_owned(),
            token_type: "Bearer".to_owned(),
            expires_in: left,
        })
    }
}
