//! Who may do what to which rows: the decision, as data, and the refusal that this principal may read.

use std::net::IpAddr;
use std::sync::OnceLock;

use petsem_api::{AppRef, ErrorCode, OrgId, SecretKeyName, SecretName, TokenUuid};
use petsem_policy::{Access, Action, Denial, Reason, Resource};

use crate::authn::token_id::token_uuid;
use crate::authn::tokens::{Verified, author_of};
use crate::authz::target::AccessTarget;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::Failure;
use crate::request::AuditRecord;
use crate::tenancy::found::FoundApp;

/// Whoever stands behind a request. Tokens never add up: the first question that one of them answers settles
/// which one it is, for all further questions, for the audit line and for histories.
#[derive(Debug)]
pub struct Principal {
    tokens: Vec<Verified>,
    selected: OnceLock<usize>,
    peer: Option<IpAddr>,
}

impl Engine {
    /// Whether the principal may seal this server.
    ///
    /// # Errors
    /// Refused.
    pub fn may_seal(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<(), Failure> {
        principal.may_operate(audit, now).map(|_| ())
    }

    /// The app that a request names, if one of the principal's tokens allows all that is asked there. Whoever is not
    /// of the app's org gets one answer, whether the app is there or not.
    pub(crate) async fn app_for(
        &self,
        principal: &Principal,
        audit: &mut AuditRecord,
        app: &AppRef,
        asked: &[(Action, Option<&SecretName>)],
    ) -> Result<FoundApp, Failure> {
        let found = self.find_app(app).await?;
        let now = self.now();
        let target = |secret| AccessTarget { app: found.as_ref(), secret, ..AccessTarget::default() };
        let questions: Vec<_> = asked.iter().map(|(action, secret)| (*action, target(*secret))).collect();
        let decision = principal.select_token(audit, &questions, now).map(|_| ());
        let action = asked.first().map_or(Action::List, |(action, _)| *action);
        answer(principal, audit, found, action, now, decision)
    }

    /// As [`Engine::app_for`], for one of the app's secret keys, or for all of them.
    pub(crate) async fn app_for_key(
        &self,
        principal: &Principal,
        audit: &mut AuditRecord,
        app: &AppRef,
        action: Action,
        secret_key: Option<&SecretKeyName>,
    ) -> Result<FoundApp, Failure> {
        let found = self.find_app(app).await?;
        let target = AccessTarget { app: found.as_ref(), secret_key, ..AccessTarget::default() };
        let now = self.now();
        let decision = principal.select_token(audit, &[(action, target)], now).map(|_| ());
        answer(principal, audit, found, action, now, decision)
    }
}

/// What was found, if it is allowed; else the refusal that this principal may read.
fn answer(
    principal: &Principal,
    audit: &mut AuditRecord,
    found: Option<FoundApp>,
    action: Action,
    now: Timestamp,
    decision: Result<(), Refused>,
) -> Result<FoundApp, Failure> {
    if let Some(app) = &found {
        audit.set_app(app);
    }
    match (found, decision) {
        (Some(app), Ok(())) => Ok(app),
        (None, Ok(())) => Err(no_such_app()),
        (found, Err(refused)) => {
            let insider = found.as_ref().map_or(principal.is_platform(), |app| {
                principal.is_of(app.head.org) && principal.may_know(app, action, now)
            });
            Err(if insider && !refused.tells_of_another() {
                denied(&refused)
            } else {
                stranger(action, &refused)
            })
        }
    }
}

impl Verified {
    /// Whether this token allows this. An org's key speaks only for its org, whatever the caveats say.
    pub(crate) fn allows(&self, access: &Access<'_>) -> Result<(), Refused> {
        if !self.speaks_for(access.org) {
            return Err(Refused::OtherOrg);
        }
        self.token.clear(access).map_err(Refused::Denied)
    }
}

impl Principal {
    /// The principal of these tokens, at this address. There is at least one.
    pub(crate) fn new(tokens: Vec<Verified>, peer: Option<IpAddr>) -> Self {
        Self { tokens, selected: OnceLock::new(), peer }
    }

    /// The token that may operate the installation.
    pub(crate) fn may_operate(&self, audit: &mut AuditRecord, now: Timestamp) -> Result<&Verified, Failure> {
        self.allows(audit, &AccessTarget::default(), Action::Operate, now).map_err(|refused| denied(&refused))
    }

    /// Whether one of the tokens allows this.
    pub(crate) fn allows(
        &self,
        audit: &mut AuditRecord,
        target: &AccessTarget<'_>,
        action: Action,
        now: Timestamp,
    ) -> Result<&Verified, Refused> {
        self.select_token(audit, &[(action, *target)], now)
    }

    /// The token that allows all of this alone; from now on no other speaks for the principal.
    pub(crate) fn select_token(
        &self,
        audit: &mut AuditRecord,
        questions: &[(Action, AccessTarget<'_>)],
        now: Timestamp,
    ) -> Result<&Verified, Refused> {
        let selected = self.selected.get().copied();
        let mut first = None;
        let candidates = self
            .tokens
            .iter()
            .enumerate()
            .filter(|(index, _)| selected.is_none_or(|selected| selected == *index));
        for (index, verified) in candidates {
            let refused = questions
                .iter()
                .find_map(|(action, target)| verified.allows(&self.access(target, *action, now)).err());
            match refused {
                None => {
                    if self.selected.set(index).is_ok() {
                        audit.verified_token(&verified.token);
                    }
                    return Ok(verified);
                }
                Some(refused) => {
                    first.get_or_insert(refused);
                }
            }
        }
        Err(first.unwrap_or(Refused::OtherOrg))
    }

    /// The access that its tokens are asked to clear.
    pub(crate) fn access<'a>(&self, target: &AccessTarget<'a>, action: Action, now: Timestamp) -> Access<'a> {
        AccessTarget { peer: self.peer, ..*target }.access(action, now)
    }

    /// Its tokens.
    pub(crate) fn verified(&self) -> &[Verified] {
        &self.tokens
    }

    /// Whether one of the tokens is of this org, or of the platform's people.
    pub(crate) fn is_of(&self, org: OrgId) -> bool {
        self.tokens.iter().any(|verified| verified.org == Some(org)) || self.is_platform()
    }

    /// Whether one of the tokens is of the platform's people. A host's token is signed with its key too, and hosts
    /// learn nothing of apps and orgs but what their grants open.
    pub(crate) fn is_platform(&self) -> bool {
        self.tokens.iter().any(|verified| verified.org.is_none() && !verified.only_boots())
    }

    /// Whether one of the tokens is for this app, whatever else refuses: of any other it must not learn that it is
    /// there.
    fn may_know(&self, app: &FoundApp, action: Action, now: Timestamp) -> bool {
        let target = AccessTarget { app: Some(app), ..AccessTarget::default() };
        let access = self.access(&target, action, now);
        self.tokens.iter().any(|verified| {
            let denials = verified.token.denials(&access);
            verified.speaks_for(access.org)
                && !denials.into_iter().any(|denial| Refused::Denied(denial).tells_of_another())
        })
    }

    /// Whether one of the tokens came with a boot grant for this app.
    pub(crate) fn boots(&self, app: &FoundApp) -> bool {
        let grants = self.tokens.iter().filter_map(|verified| verified.token.boot_grant().ok());
        grants.into_iter().any(|evidence| evidence.grant.app == *app.id.as_bytes())
    }

    /// Whether nothing keeps one of the tokens from listing the app but that it names things of this kind there.
    /// Whom anything else keeps from it must not learn by a version or a count that the app is there.
    pub(crate) fn lists_by_name(&self, app: &FoundApp, kind: Resource, now: Timestamp) -> bool {
        let target = AccessTarget { app: Some(app), ..AccessTarget::default() };
        let access = self.access(&target, Action::List, now);
        self.tokens.iter().any(|verified| {
            let denials = verified.token.denials(&access);
            verified.speaks_for(access.org)
                && denials.iter().all(|denial| denial.reason == Reason::Unspecified(kind))
        })
    }

    /// Whether one of the tokens has this id. A holder's name is no substitute: whoever mints tokens gives it.
    pub(crate) fn has_token(&self, id: TokenUuid) -> bool {
        self.tokens.iter().any(|verified| token_uuid(verified.token.id()) == id)
    }

    /// Whether one of the tokens came with the discharge of a break-glass request.
    pub(crate) fn broke_glass(&self) -> bool {
        self.tokens.iter().any(|verified| verified.token.break_glass_grant().is_ok())
    }

    /// Whether it asks by a token that a JWT was exchanged for: for values if one is there, for anything else if
    /// there is no other.
    pub(crate) fn is_exchanged(&self, values: bool) -> bool {
        let mut exchanged = self.tokens.iter().map(|verified| verified.token.exchanged().is_some());
        if values { exchanged.any(|one| one) } else { exchanged.all(|one| one) }
    }

    /// Who it is, for histories: the subject, else the token's id.
    pub(crate) fn author(&self) -> String {
        let selected = self.selected.get().copied().unwrap_or(0);
        self.tokens.get(selected).map_or_else(String::new, |verified| author_of(&verified.token))
    }
}

/// Why a verified token does not allow a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Its key speaks for another org, or the request is the platform's.
    OtherOrg,
    /// A caveat refused.
    Denied(Denial),
}

impl Refused {
    /// Whether the reason would tell if the thing is there.
    pub(crate) fn tells_of_another(&self) -> bool {
        matches!(
            self,
            Self::Denied(Denial {
                reason: Reason::Other(Resource::App | Resource::Organization)
                    | Reason::Unspecified(Resource::App | Resource::Organization),
                ..
            })
        )
    }
}

/// The refusal that a principal of the same org, or of the platform, reads.
pub(crate) fn denied(refused: &Refused) -> Failure {
    match refused {
        Refused::OtherOrg => Failure::new(
            ErrorCode::Forbidden,
            "the token's key does not speak for this; use a token of that org, or an operator's",
        ),
        Refused::Denied(denial) => denied_by(denial),
    }
}

/// The refusal of a token by its own caveats. A request of an app token for values is told the way to them.
pub(crate) fn denied_by(denial: &Denial) -> Failure {
    let code = match denial.reason {
        Reason::Expired | Reason::NotYetValid => ErrorCode::TokenExpired,
        Reason::GrantMissing => ErrorCode::DischargeMissing,
        Reason::GrantOther(_) => {
            // One text: whether the other app is of the same org is nobody's business.
            return Failure::new(
                ErrorCode::DischargeInvalid,
                "the discharge is for another boot; ask for one for this app, Machine and host",
            );
        }
        Reason::GrantExpired | Reason::GrantRepeated => ErrorCode::DischargeInvalid,
        Reason::ReadNeedsOneApp => ErrorCode::ReadNeedsWorkload,
        _ => ErrorCode::Forbidden,
    };
    Failure::new(code, denial.to_string())
}

/// The refusal of a boot. Hosts do not learn which apps there are.
pub(crate) fn boot_denied(denial: &Denial) -> Failure {
    if Refused::Denied(*denial).tells_of_another() {
        return Failure::new(
            ErrorCode::Forbidden,
            "there is no such app, or the host token does not allow its boots; check the app and the token with `petsem token inspect`",
        );
    }
    denied_by(denial)
}

/// The refusal that everybody else reads, whether the thing is there or not.
pub(crate) fn stranger(action: Action, refused: &Refused) -> Failure {
    // Time is of the token, not of the thing: it is told to its holder in any case.
    match refused {
        Refused::Denied(denial) if matches!(denial.reason, Reason::Expired | Reason::NotYetValid) => {
            denied_by(denial)
        }
        _ => Failure::new(
            ErrorCode::Forbidden,
            format!(
                "there is no such app, or this token does not allow {action} there; check the app's name and the token with `petsem token inspect`"
            ),
        ),
    }
}

/// An app that is not there, told to those who may know.
pub fn no_such_app() -> Failure {
    Failure::new(ErrorCode::NotFound, "there is no such app; `petsem app list` shows what there is")
}
