//! The proof of a boot, and the provenance of a boot grant that came of it. The discharger writes the provenance into the
//! grant; each boot and renewal re-evaluates it.

use std::collections::BTreeMap;

use petsem_api::{ErrorCode, TokenUuid};
use petsem_policy::evaluate::{AppPolicy, BootRequest, Claims};
use serde::{Deserialize, Serialize};

use crate::authn::tokens::check_jwt;
use crate::authz::decide::Principal;
use crate::control::state::Control;
use crate::error::Failure;
use crate::messages;
use crate::tenancy::found::FoundApp;

/// A verified credential that is to prove a boot.
pub enum Proof {
    /// A verified JWT.
    Jwt(Claims),
    /// A user's token.
    Token(Principal),
}

/// The proof behind a grant, and the first discharge: revoking that one ends all renewals derived from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantProvenance {
    /// The proof of the boot.
    pub(crate) proof: BootProof,
    /// The first discharge; `None` in the first discharge itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first: Option<TokenUuid>,
}

/// The part of an accepted proof that is re-evaluated later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum BootProof {
    /// A JWT that a rule of the app's policy accepted.
    Jwt {
        /// The rule that accepted it.
        rule: String,
        /// The claims that the rule evaluated.
        claims: BTreeMap<String, String>,
        /// The JWT's `sub`.
        sub: Option<String>,
        /// The JWT's `jti`.
        jti: Option<String>,
        /// The JWT's `iat`, unix seconds.
        issued_at: i64,
        /// The JWT's `exp`, unix seconds: the rule may have a shorter longest life by now. Absent in grants of builds
        /// before it was kept; no rule's longest life applies to those.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<i64>,
    },
    /// A user's token that named exactly this boot.
    Token {
        /// The token's id.
        id: TokenUuid,
        /// Its key, and the tokens that it was minted from.
        ancestors: Vec<TokenUuid>,
        /// Its holder.
        subject: String,
    },
}

/// Bytes of `"first":"…",` with a UUID.
const FIRST: usize = 47;

impl GrantProvenance {
    /// The text that a grant carries.
    pub(crate) fn to_text(&self) -> Result<String, Failure> {
        let text = serde_json::to_string(self).map_err(Failure::internal)?;
        // Keep room for `first`, which renewals add.
        let reserved = if self.first.is_none() { FIRST } else { 0 };
        if text.len() + reserved > petsem_policy::MAX_PROVENANCE_BYTES {
            return Err(messages::jwt_too_large_for_boot());
        }
        Ok(text)
    }

    /// Parses the text of a grant. Unknown forms are refused.
    pub(crate) fn of(text: &str) -> Result<Self, Failure> {
        serde_json::from_str(text).map_err(|_| messages::unknown_grant())
    }

    /// A description for the audit log.
    pub(crate) fn describe(&self) -> String {
        match &self.proof {
            BootProof::Jwt { rule, claims, sub, .. } => {
                let issuer = claims.get("iss").map_or("", String::as_str);
                messages::proved_by_jwt(sub.as_deref(), issuer, rule)
            }
            BootProof::Token { id, subject, .. } => messages::proved_by_token(subject, *id),
        }
    }

    /// Re-evaluates the proof: it must not be revoked, and the app's policy must still accept it.
    pub(crate) async fn reauthorize(
        &self,
        control: &Control,
        policy: &AppPolicy,
        app: &FoundApp,
        machine: &str,
        host: &str,
    ) -> Result<(), Failure> {
        if control.is_any_revoked(self.first.as_slice()).await? {
            return Err(messages::discharge_revoked());
        }
        match &self.proof {
            BootProof::Jwt { claims, sub, jti, issued_at, expires_at, .. } => {
                let claims = match expires_at {
                    Some(expires_at) => Claims::from_exchange(claims.clone(), *issued_at, *expires_at),
                    None => Claims::from_stored(claims.clone()),
                };
                check_jwt(control, claims.issuer(), sub.as_deref(), jti.as_deref(), *issued_at).await?;
                if control.issuer(claims.issuer()).is_none() {
                    return Err(messages::issuer_of_boot_deleted());
                }
                let name = app.head.name.as_str();
                let request = BootRequest { app_id: *app.id.as_bytes(), app_name: name, machine, host };
                policy
                    .decide_boot(&claims, &request)
                    .map(|_| ())
                    .map_err(|denial| messages::refused(ErrorCode::PolicyDenied, &denial))
            }
            BootProof::Token { id, ancestors, .. } => {
                if control.is_token_revoked(id).await? || control.is_any_revoked(ancestors).await? {
                    return Err(messages::token_of_boot_revoked());
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_grant_keeps_exactly_the_room_that_a_renewal_needs() {
        let id = TokenUuid::from_bytes([7; 16]);
        let proof = BootProof::Token { id, ancestors: vec![id], subject: "dev".to_owned() };
        let first = GrantProvenance { proof, first: None };
        let renewed = GrantProvenance { first: Some(id), ..first.clone() };
        assert_eq!(renewed.to_text().unwrap().len() - first.to_text().unwrap().len(), FIRST);
    }
}
