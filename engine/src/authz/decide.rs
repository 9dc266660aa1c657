//! Decides which principal may do what to which rows. A denial is data; its text depends on what the principal may
//! know.

use std::net::IpAddr;
use std::sync::OnceLock;

use petsem_api::{AppRef, ErrorCode, OrgId, SecretKeyName, SecretName, TokenUuid};
use petsem_policy::{Access, Action, Caveat, Denial, Origin, Reason, Resource, Token, TokenId};
use petsem_store::AppPart;

use crate::authn::token_id::token_uuid;
use crate::authn::tokens::{Verified, author_of};
use crate::authz::target::AccessTarget;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::request::AuditRecord;
use crate::tenancy::found::FoundApp;

/// Names of a request times the weight of its tokens: some ten milliseconds at most.
const MOST_WORK: usize = 65_536;

/// The verified identity behind a request. Its tokens are never combined: the first token that allows an access is used
/// for all further decisions, for the audit line and for histories.
#[derive(Debug)]
pub struct Principal {
    tokens: Vec<Verified>,
    selected: OnceLock<usize>,
    peer: Option<IpAddr>,
}

impl Engine {
    /// The app that a request names, with this part of its rows, if one token of the principal allows all requested
    /// accesses there. A principal outside the app's org gets the same answer whether the app exists or not, unless it
    /// may create the app. The decision needs only the app's head; the time that a refusal takes must not say how large
    /// the app is.
    pub(crate) async fn app_for(
        &self,
        principal: &Principal,
        audit: &mut AuditRecord,
        app: &AppRef,
        part: AppPart,
        requested: &[(Action, Option<&SecretName>)],
    ) -> Result<FoundApp, Failure> {
        principal.check_work(requested.len())?;
        let found = self.find_app_with(app, AppPart::Head).await?;
        let now = self.now();
        let target = |secret| AccessTarget { app: found.as_ref(), secret, ..AccessTarget::default() };
        let accesses: Vec<_> = requested.iter().map(|(action, secret)| (*action, target(*secret))).collect();
        answer(principal, audit, app, found.as_ref(), &accesses, now)?;
        self.with_part(found.ok_or_else(messages::no_such_app)?, part).await
    }

    /// The app for a list, and whether the principal may list all of it. A principal that is restricted to some names
    /// sees only those: each name is decided separately.
    pub(crate) async fn app_for_list(
        &self,
        principal: &Principal,
        audit: &mut AuditRecord,
        app: &AppRef,
        named: Resource,
        now: Timestamp,
    ) -> Result<(FoundApp, bool), Failure> {
        match self.app_for(principal, audit, app, AppPart::Bundle, &[(Action::List, None)]).await {
            Ok(app) => Ok((app, true)),
            Err(failure) => match self.find_app_with(app, AppPart::Head).await? {
                Some(app) if principal.lists_by_name(&app, named, now) => {
                    Ok((self.with_part(app, AppPart::Bundle).await?, false))
                }
                _ => Err(failure),
            },
        }
    }

    /// Like [`Engine::app_for`], for one secret key of the app.
    pub(crate) async fn app_for_key(
        &self,
        principal: &Principal,
        audit: &mut AuditRecord,
        app: &AppRef,
        action: Action,
        secret_key: &SecretKeyName,
        part: AppPart,
    ) -> Result<FoundApp, Failure> {
        let found = self.find_app_with(app, AppPart::Head).await?;
        let target =
            AccessTarget { app: found.as_ref(), secret_key: Some(secret_key), ..AccessTarget::default() };
        let now = self.now();
        answer(principal, audit, app, found.as_ref(), &[(action, target)], now)?;
        self.with_part(found.ok_or_else(messages::no_such_app)?, part).await
    }
}

/// Refuses to decide on so many names separately if that is too much work: each decision evaluates caveats of this
/// weight.
pub(crate) fn check_work(names: usize, weight: usize) -> Result<(), Failure> {
    if names > 1 && names.saturating_mul(weight) > MOST_WORK {
        Err(messages::too_many_names())
    } else {
        Ok(())
    }
}

/// Succeeds if the app that the request names was found and one token allows all accesses to it. The refusal is one that
/// this principal may read.
fn answer(
    principal: &Principal,
    audit: &mut AuditRecord,
    named: &AppRef,
    found: Option<&FoundApp>,
    accesses: &[(Action, AccessTarget<'_>)],
    now: Timestamp,
) -> Result<(), Failure> {
    let decision = principal.select_token(audit, accesses, now).map(|_| ());
    let action = accesses.first().map_or(Action::List, |(action, _)| *action);
    if let Some(app) = found {
        audit.set_app(app);
    }
    // Whether a name is taken is public: a principal that may create the app would learn it that way.
    let may_create = matches!(named, AppRef::Name(_)) && principal.may_create_apps(now);
    match (found, decision) {
        (Some(_), Ok(())) => Ok(()),
        (None, Ok(())) => Err(messages::no_such_app()),
        (None, Err(_)) if may_create => Err(messages::no_such_app()),
        (found, Err(refused)) => {
            let insider = found.map_or(principal.is_platform(), |app| {
                principal.is_of(app.head.org) && principal.may_know(app, action, now)
            });
            Err(if insider && !refused.reveals_existence() {
                principal.denied(&refused, accesses, now)
            } else {
                stranger(action, &refused)
            })
        }
    }
}

impl Verified {
    /// Whether this token allows an access. An org's key covers only its org, and the platform uses no secret key,
    /// whatever the caveats say.
    pub(crate) fn allows(&self, access: &Access<'_>) -> Result<(), Refused> {
        if !self.speaks_for(access.org) {
            return Err(Refused::OtherOrg);
        }
        if self.is_platforms && access.action == Action::UseKey {
            return Err(Refused::Platform);
        }
        self.token.clear(access).map_err(Refused::Denied)
    }
}

impl Principal {
    /// A principal with these tokens, at this address. There must be at least one token.
    pub(crate) fn new(tokens: Vec<Verified>, peer: Option<IpAddr>) -> Self {
        Self { tokens, selected: OnceLock::new(), peer }
    }

    /// The token that allows operating the installation.
    ///
    /// # Errors
    /// The request is refused.
    pub fn may_operate(&self, audit: &mut AuditRecord, now: Timestamp) -> Result<&Verified, Failure> {
        self.require(audit, &AccessTarget::default(), Action::Operate, now)
    }

    /// The token that allows this access.
    pub(crate) fn allows(
        &self,
        audit: &mut AuditRecord,
        target: &AccessTarget<'_>,
        action: Action,
        now: Timestamp,
    ) -> Result<&Verified, Refused> {
        self.select_token(audit, &[(action, *target)], now)
    }

    /// The token that allows this access, or the refusal for a principal that may know of the target.
    pub(crate) fn require(
        &self,
        audit: &mut AuditRecord,
        target: &AccessTarget<'_>,
        action: Action,
        now: Timestamp,
    ) -> Result<&Verified, Failure> {
        self.allows(audit, target, action, now)
            .map_err(|refused| self.denied(&refused, &[(action, *target)], now))
    }

    /// The refusal for a principal that may know of the targets: it says what the caveat is, and what of the request it
    /// does not allow.
    pub(crate) fn denied(
        &self,
        refused: &Refused,
        accesses: &[(Action, AccessTarget<'_>)],
        now: Timestamp,
    ) -> Failure {
        let denial = match refused {
            Refused::OtherOrg => return messages::of_other_org(),
            Refused::Platform => return messages::platform_uses_no_keys(),
            Refused::Denied(denial) => denial,
        };
        for verified in self.tokens.iter().filter(|verified| verified.token.id() == denial.token) {
            let mut accesses = accesses.iter().map(|(action, target)| self.access(target, *action, now));
            if let Some(access) = accesses.find(|access| verified.token.clear(access) == Err(*denial)) {
                return denied_for(denial, &verified.token, &access);
            }
        }
        denied_by(denial)
    }

    /// Refuses so many names if deciding on each, with all tokens, is too much work.
    pub(crate) fn check_work(&self, names: usize) -> Result<(), Failure> {
        check_work(names, self.tokens.iter().map(|verified| verified.token.weight()).sum())
    }

    /// The one token that allows all these accesses. From then on only this token is used.
    pub(crate) fn select_token(
        &self,
        audit: &mut AuditRecord,
        accesses: &[(Action, AccessTarget<'_>)],
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
            let refused = accesses
                .iter()
                .find_map(|(action, target)| verified.allows(&self.access(target, *action, now)).err());
            match refused {
                None => {
                    // The record has named the first one since authentication.
                    if self.selected.set(index).is_ok() && index > 0 {
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

    /// The access that the tokens are checked against.
    pub(crate) fn access<'a>(&self, target: &AccessTarget<'a>, action: Action, now: Timestamp) -> Access<'a> {
        AccessTarget { peer: self.peer, ..*target }.access(action, now)
    }

    /// The id of the first token.
    pub fn first_token(&self) -> Option<TokenId> {
        self.tokens.first().map(Verified::id)
    }

    /// The org whose key signed the first token.
    pub fn first_org(&self) -> Option<OrgId> {
        self.tokens.first().and_then(|verified| verified.org)
    }

    /// The issuer of the JWT that the first token was exchanged for.
    pub fn issuer_of_exchange(&self) -> Option<&str> {
        let exchanged = self.tokens.first().and_then(|verified| verified.token.exchanged());
        exchanged.map(|exchanged| &*exchanged.issuer)
    }

    /// The verified tokens.
    pub(crate) fn verified(&self) -> &[Verified] {
        &self.tokens
    }

    /// Whether one of the tokens belongs to this org or to a platform operator.
    pub(crate) fn is_of(&self, org: OrgId) -> bool {
        self.tokens.iter().any(|verified| verified.org == Some(org)) || self.is_platform()
    }

    /// Whether one of the tokens belongs to a platform operator. Host tokens have the platform's key, too, but hosts
    /// may learn nothing about apps and orgs except what their grants open.
    pub(crate) fn is_platform(&self) -> bool {
        self.tokens.iter().any(|verified| verified.org.is_none() && !verified.only_boots())
    }

    /// Whether one of the tokens may create apps in the org of its key, or as an operator's in any.
    fn may_create_apps(&self, now: Timestamp) -> bool {
        self.tokens.iter().any(|verified| {
            let target = AccessTarget { org: verified.org, ..AccessTarget::default() };
            verified.allows(&self.access(&target, Action::Write, now)).is_ok()
        })
    }

    /// Whether one of the tokens covers this app, even if something else refuses the access. A principal must not learn
    /// that any other app exists.
    fn may_know(&self, app: &FoundApp, action: Action, now: Timestamp) -> bool {
        let target = AccessTarget { app: Some(app), ..AccessTarget::default() };
        let access = self.access(&target, action, now);
        self.tokens.iter().any(|verified| {
            let denials = verified.token.denials(&access);
            verified.speaks_for(access.org)
                && !denials.into_iter().any(|denial| Refused::Denied(denial).reveals_existence())
        })
    }

    /// Whether one of the tokens has a boot grant for this app.
    pub(crate) fn boots(&self, app: &FoundApp) -> bool {
        let grants = self.tokens.iter().filter_map(|verified| verified.token.boot_grant().ok());
        grants.into_iter().any(|evidence| evidence.grant.app == *app.id.as_bytes())
    }

    /// Whether one of the tokens may list the app, except that it is restricted to named resources of this kind. Any
    /// other denial must not reveal, by a version or a count, that the app exists.
    pub(crate) fn lists_by_name(&self, app: &FoundApp, kind: Resource, now: Timestamp) -> bool {
        let target = AccessTarget { app: Some(app), ..AccessTarget::default() };
        let access = self.access(&target, Action::List, now);
        self.tokens.iter().any(|verified| {
            let denials = verified.token.denials(&access);
            verified.speaks_for(access.org)
                && denials.iter().all(|denial| denial.reason == Reason::Unspecified(kind))
        })
    }

    /// The token with this id. The holder's name is no substitute: the minter chooses it.
    pub(crate) fn token_with(&self, id: TokenUuid) -> Option<&Verified> {
        self.tokens.iter().find(|verified| token_uuid(verified.token.id()) == id)
    }

    /// Whether one of the tokens has the discharge of a break-glass request.
    pub(crate) fn has_break_glass_discharge(&self) -> bool {
        self.tokens.iter().any(|verified| verified.token.break_glass_grant().is_ok())
    }

    /// Whether the request counts as one by an exchanged token: for values if any of the tokens is one, otherwise if
    /// all are.
    pub(crate) fn is_exchanged(&self, values: bool) -> bool {
        let mut exchanged = self.tokens.iter().map(|verified| verified.token.exchanged().is_some());
        if values { exchanged.any(|one| one) } else { exchanged.all(|one| one) }
    }

    /// The name for histories: the subject, else the token's id.
    pub(crate) fn author(&self) -> String {
        let selected = self.selected.get().copied().unwrap_or(0);
        self.tokens.get(selected).map_or_else(String::new, |verified| author_of(&verified.token))
    }
}

/// Why a verified token does not allow a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Its key belongs to an org, and the request concerns another org or the platform.
    OtherOrg,
    /// It comes of the platform, which never uses secret keys.
    Platform,
    /// A caveat denies the access.
    Denied(Denial),
}

impl Refused {
    /// Whether the reason would reveal that an app or org exists.
    pub(crate) fn reveals_existence(&self) -> bool {
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

/// [`denied_by`], with what the caveat of this token is, and what the request has that it does not allow.
pub(crate) fn denied_for(denial: &Denial, token: &Token, access: &Access<'_>) -> Failure {
    let plain = denied_by(denial);
    let caveat = denial.caveat.filter(|at| at.origin == Origin::Token);
    let caveat = match denial.reason {
        // What petsem does not know is not described.
        Reason::UnknownCaveat | Reason::NotForPetsem | Reason::NotCanonical | Reason::Misplaced => None,
        _ => caveat.and_then(|at| token.own_caveats().get(at.index)).map(Caveat::describe),
    };
    let peer = access.peer.map(|peer| peer.to_string());
    let had = match denial.reason {
        Reason::Other(Resource::Secret) => access.secret,
        Reason::Other(Resource::SecretKey) => access.secret_key,
        Reason::Other(Resource::Machine) => access.machine,
        Reason::Other(Resource::Host) => access.host,
        Reason::Other(Resource::Peer) => peer.as_deref(),
        _ => None,
    };
    match caveat {
        // A refusal with another text than the denial's keeps it.
        Some(caveat) if plain.external() == denial.to_string() => {
            messages::denied(plain.code(), denial, &caveat, had)
        }
        _ => plain,
    }
}

/// The refusal by a token's own caveats. If an app token requests values, the text names the ways to read them.
pub(crate) fn denied_by(denial: &Denial) -> Failure {
    let code = match denial.reason {
        Reason::Expired | Reason::NotYetValid => ErrorCode::TokenExpired,
        Reason::GrantMissing => ErrorCode::DischargeMissing,
        Reason::GrantOther(_) => return messages::discharge_for_another_boot(),
        Reason::GrantExpired | Reason::GrantRepeated => ErrorCode::DischargeInvalid,
        Reason::ReadNeedsOneApp => ErrorCode::ReadNeedsWorkload,
        _ => ErrorCode::Forbidden,
    };
    messages::refused(code, denial)
}

/// The refusal of a boot. Hosts must not learn which apps exist.
pub(crate) fn boot_denied(denial: &Denial, token: &Token, access: &Access<'_>) -> Failure {
    if Refused::Denied(*denial).reveals_existence() {
        return messages::boot_not_allowed();
    }
    denied_for(denial, token, access)
}

/// The refusal for all other principals, whether the app or org exists or not.
pub(crate) fn stranger(action: Action, refused: &Refused) -> Failure {
    // The time limits concern the token alone, so its holder may read them.
    match refused {
        Refused::Denied(denial) if matches!(denial.reason, Reason::Expired | Reason::NotYetValid) => {
            denied_by(denial)
        }
        _ => messages::app_not_allowed(action),
    }
}
