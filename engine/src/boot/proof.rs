//! The proof of a boot, and the provenance of a boot grant that came of it. The discharger writes the provenance into
//! the grant; each boot and renewal re-evaluates it.

use petsem_api::{ErrorCode, TokenUuid};
use petsem_policy::evaluate::{AppPolicy, BootRequest, Claims};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::authn::tokens::check_jwt;
use crate::authz::decide::Principal;
use crate::clock::Timestamp;
use crate::control::state::{Control, DischargerEntry};
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
        /// What the rule evaluated of the claims, with their JSON types.
        claims: Map<String, Value>,
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
    /// The word of an outside discharger, which names only a subject.
    Subject {
        /// The subject: it counts with the discharger's location.
        sub: String,
        /// When the discharger saw its proof, in unix seconds. Renewals keep it.
        proved_at: i64,
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
/// Longest subject that an outside discharger names, in bytes.
const LONGEST_SUBJECT: usize = 512;
/// How far a discharger's clock may be ahead, in seconds.
const SKEW: i64 = 30;
/// How long after its proof the first discharge of an outside discharger counts, in seconds: like a proof that petsem
/// verifies. A longer one could outlive a revocation of its subject.
const LONGEST_FIRST: i64 = 300;

/// A boot that is decided by a grant.
pub(crate) struct GrantedBoot<'a> {
    pub(crate) app: &'a FoundApp,
    pub(crate) machine: &'a str,
    pub(crate) host: &'a str,
    /// Whose grant it is.
    pub(crate) discharger: &'a DischargerEntry,
    /// Whether that is this installation's own discharger.
    pub(crate) is_own: bool,
    pub(crate) now: Timestamp,
}

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
        let provenance: Self = serde_json::from_str(text).map_err(|_| messages::unknown_grant())?;
        match &provenance.proof {
            BootProof::Subject { sub, .. } if !is_subject(sub) => Err(messages::unknown_grant()),
            _ => Ok(provenance),
        }
    }

    /// A description for the audit log. `discharger` is the location of the grant's discharger.
    pub(crate) fn describe(&self, discharger: &str) -> String {
        match &self.proof {
            BootProof::Subject { sub, .. } => messages::proved_by_discharger(sub, discharger),
            BootProof::Jwt { rule, claims, sub, .. } => {
                let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
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
        boot: &GrantedBoot<'_>,
    ) -> Result<(), Failure> {
        let GrantedBoot { app, machine, host, discharger, .. } = *boot;
        match (&self.proof, boot.is_own) {
            (BootProof::Subject { .. }, false) | (BootProof::Jwt { .. } | BootProof::Token { .. }, true) => {}
            (BootProof::Subject { .. }, true) => return Err(messages::unknown_grant()),
            // Only petsem's own discharger verifies JWTs and tokens as petsem does: another one could name any.
            (_, false) => return Err(messages::discharger_names_no_subject()),
        }
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
            BootProof::Subject { sub, proved_at } => {
                // A time to come would outlast revocations.
                if *proved_at > boot.now.seconds().saturating_add(SKEW) {
                    return Err(messages::grant_of_the_future());
                }
                if self.first.is_none() && boot.now.seconds() > proved_at.saturating_add(LONGEST_FIRST) {
                    return Err(messages::grant_too_old());
                }
                if control.is_subject_revoked(&discharger.location, sub, *proved_at).await? {
                    return Err(messages::subject_of_boot_revoked());
                }
                policy
                    .rule_for_subject(&discharger.location, sub)
                    .map(|_| ())
                    .ok_or_else(messages::policy_names_no_such_discharger)
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

/// Whether a discharger may name this subject: one line, which stays short in JSON.
fn is_subject(sub: &str) -> bool {
    (1..=LONGEST_SUBJECT).contains(&sub.len()) && !sub.contains(char::is_control)
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
