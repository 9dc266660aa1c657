//! Who asks: from the text of an `Authorization` header to tokens whose signatures, discharges and
//! revocations were checked. What they allow is asked for each object that the handler touches.

use std::net::IpAddr;
use std::sync::OnceLock;

use petsem_api::{AppRef, ErrorCode, HostId, MachineId, OrgId, SecretKeyName, SecretName, TokenUuid};
use petsem_policy::{
    Access, Action, Denial, DischargeBudget, DischargeRejection, Header, HeaderError, Reason, Resource,
    Subject, Token, TokenId, TrustedDischarger, UnverifiedToken, VerifyError,
};

use crate::clock::Moment;
use crate::control::{Control, NoKey};
use crate::core::{Core, OpenApp};
use crate::failure::Failure;
use crate::request::Trail;

/// A token that verified, and the org that its key speaks for.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) token: Token,
    /// None = the platform's key.
    pub(crate) org: Option<OrgId>,
}

/// Whoever stands behind a request. Tokens never add up: the first question that one of them answers settles
/// which one it is, for all further questions, for the audit line and for histories.
#[derive(Debug)]
pub(crate) struct Caller {
    tokens: Vec<Verified>,
    settled: OnceLock<usize>,
    peer: Option<IpAddr>,
}

/// What a request touches, as policy is asked about it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Touched<'a> {
    pub(crate) org: Option<OrgId>,
    pub(crate) app: Option<&'a OpenApp>,
    pub(crate) secret: Option<&'a SecretName>,
    pub(crate) secret_key: Option<&'a SecretKeyName>,
    pub(crate) machine: Option<&'a MachineId>,
    pub(crate) host: Option<&'a HostId>,
    /// The address that asks. Questions to a [`Caller`] have his.
    pub(crate) peer: Option<IpAddr>,
}

impl<'a> Touched<'a> {
    /// The access that a token is asked to clear.
    pub(crate) fn access(&self, action: Action, now: Moment) -> Access<'a> {
        let org = self.app.map(|app| app.head.org).or(self.org);
        Access {
            org: org.map(|org| *org.as_bytes()),
            app: self.app.map(|app| *app.id.as_bytes()),
            secret: self.secret.map(SecretName::as_str),
            secret_key: self.secret_key.map(SecretKeyName::as_str),
            machine: self.machine.map(MachineId::as_str),
            host: self.host.map(HostId::as_str),
            peer: self.peer,
            ..Access::new(action, now.seconds(), now.nanos())
        }
    }
}

impl Core {
    /// Verifies the macaroons of a header. At least one must verify.
    pub(crate) fn authenticate(&self, header: Option<&str>, trail: &mut Trail) -> Result<Caller, Failure> {
        if let Some(trouble) = self.trouble() {
            return Err(untrusted(&trouble));
        }
        let header =
            Header::parse(header.ok_or_else(missing)?, &self.settings.location).map_err(malformed)?;
        let control = self.control();
        let discharges = header.discharges();
        let mut tokens = Vec::new();
        let mut first_failure = None;
        let mut budget = DischargeBudget::default();
        for unverified in header.permissions() {
            match verify(&control, unverified, &discharges, &mut budget) {
                Ok(verified) => tokens.push(verified),
                Err(failure) => {
                    first_failure.get_or_insert(failure);
                }
            }
        }
        let Some(first) = tokens.first() else { return Err(first_failure.unwrap_or_else(unreadable)) };
        trail.verified_token(&first.token);
        tokens.retain(|verified| check_revocations(&control, &verified.token).is_ok());
        let Some(first) = tokens.first() else { return Err(revoked()) };
        trail.verified_token(&first.token);
        Ok(Caller { tokens, settled: OnceLock::new(), peer: trail.peer() })
    }

    /// Refuses a caller of whom anything was revoked since he was verified: a body may come seconds later, and a
    /// revocation holds from its answer on.
    pub(crate) fn still_stands(&self, caller: &Caller) -> Result<(), Failure> {
        if let Some(trouble) = self.trouble() {
            return Err(untrusted(&trouble));
        }
        let control = self.control();
        caller.tokens.iter().try_for_each(|verified| check_revocations(&control, &verified.token))
    }

    /// The app that a request names, if one of the caller's tokens allows all that is asked there. Whoever is not
    /// of the app's org gets one answer, whether the app is there or not.
    pub(crate) async fn app_for(
        &self,
        caller: &Caller,
        trail: &mut Trail,
        app: &AppRef,
        asked: &[(Action, Option<&SecretName>)],
    ) -> Result<OpenApp, Failure> {
        let found = self.find_app(app).await?;
        let now = self.now();
        let touched = |secret| Touched { app: found.as_ref(), secret, ..Touched::default() };
        let questions: Vec<_> = asked.iter().map(|(action, secret)| (*action, touched(*secret))).collect();
        let decision = caller.settle(trail, &questions, now).map(|_| ());
        let action = asked.first().map_or(Action::List, |(action, _)| *action);
        answer(caller, trail, found, action, now, decision)
    }

    /// As [`Core::app_for`], for one of the app's secret keys, or for all of them.
    pub(crate) async fn app_for_key(
        &self,
        caller: &Caller,
        trail: &mut Trail,
        app: &AppRef,
        action: Action,
        secret_key: Option<&SecretKeyName>,
    ) -> Result<OpenApp, Failure> {
        let found = self.find_app(app).await?;
        let touched = Touched { app: found.as_ref(), secret_key, ..Touched::default() };
        let now = self.now();
        let decision = caller.settle(trail, &[(action, touched)], now).map(|_| ());
        answer(caller, trail, found, action, now, decision)
    }
}

/// What was found, if it is allowed; else the refusal that this caller may read.
fn answer(
    caller: &Caller,
    trail: &mut Trail,
    found: Option<OpenApp>,
    action: Action,
    now: Moment,
    decision: Result<(), Refused>,
) -> Result<OpenApp, Failure> {
    if let Some(app) = &found {
        trail.set_app(app);
    }
    match (found, decision) {
        (Some(app), Ok(())) => Ok(app),
        (None, Ok(())) => Err(no_such_app()),
        (found, Err(refused)) => {
            let insider = found.as_ref().map_or(caller.is_platform(), |app| {
                caller.is_of(app.head.org) && caller.may_know(app, action, now)
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

    /// Whether it lets do nothing but what hosts do.
    fn only_boots(&self) -> bool {
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

impl Caller {
    /// Whether one of the tokens allows this.
    pub(crate) fn allows(
        &self,
        trail: &mut Trail,
        touched: &Touched<'_>,
        action: Action,
        now: Moment,
    ) -> Result<&Verified, Refused> {
        self.settle(trail, &[(action, *touched)], now)
    }

    /// The token that allows all of this alone; from now on no other speaks for the caller.
    pub(crate) fn settle(
        &self,
        trail: &mut Trail,
        questions: &[(Action, Touched<'_>)],
        now: Moment,
    ) -> Result<&Verified, Refused> {
        let settled = self.settled.get().copied();
        let mut first = None;
        let candidates = self
            .tokens
            .iter()
            .enumerate()
            .filter(|(index, _)| settled.is_none_or(|settled| settled == *index));
        for (index, verified) in candidates {
            let refused = questions
                .iter()
                .find_map(|(action, touched)| verified.allows(&self.access(touched, *action, now)).err());
            match refused {
                None => {
                    if self.settled.set(index).is_ok() {
                        trail.verified_token(&verified.token);
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
    pub(crate) fn access<'a>(&self, touched: &Touched<'a>, action: Action, now: Moment) -> Access<'a> {
        Touched { peer: self.peer, ..*touched }.access(action, now)
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
    fn may_know(&self, app: &OpenApp, action: Action, now: Moment) -> bool {
        let touched = Touched { app: Some(app), ..Touched::default() };
        let access = self.access(&touched, action, now);
        self.tokens.iter().any(|verified| {
            let denials = verified.token.denials(&access);
            verified.speaks_for(access.org)
                && !denials.into_iter().any(|denial| Refused::Denied(denial).tells_of_another())
        })
    }

    /// Whether one of the tokens came with a boot grant for this app.
    pub(crate) fn boots(&self, app: &OpenApp) -> bool {
        let grants = self.tokens.iter().filter_map(|verified| verified.token.boot_grant().ok());
        grants.into_iter().any(|evidence| evidence.grant.app == *app.id.as_bytes())
    }

    /// Whether nothing keeps one of the tokens from listing the app but that it names things of this kind there.
    /// Whom anything else keeps from it must not learn by a version or a count that the app is there.
    pub(crate) fn lists_by_name(&self, app: &OpenApp, kind: Resource, now: Moment) -> bool {
        let touched = Touched { app: Some(app), ..Touched::default() };
        let access = self.access(&touched, Action::List, now);
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
        let settled = self.settled.get().copied().unwrap_or(0);
        self.tokens.get(settled).map_or_else(String::new, |verified| author_of(&verified.token))
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

/// Who holds a token, in words.
pub(crate) fn author_of(token: &Token) -> String {
    match token.subject() {
        Some(Subject { issuer, sub }) => format!("{sub} ({issuer})"),
        None => format!("token {}", token.id()),
    }
}

/// The api's id of a token.
pub(crate) fn token_uuid(id: TokenId) -> TokenUuid {
    TokenUuid::from_bytes(*id.as_bytes())
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

/// The refusal that a caller of the same org, or of the platform, reads.
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
pub(crate) fn no_such_app() -> Failure {
    Failure::new(ErrorCode::NotFound, "there is no such app; `petsem app list` shows what there is")
}

/// Something that was revoked.
pub(crate) fn revoked() -> Failure {
    Failure::new(
        ErrorCode::Revoked,
        "the token, its key, or what it descends from was revoked; ask whoever gave it to you for a new one",
    )
}

fn missing() -> Failure {
    Failure::new(
        ErrorCode::TokenMissing,
        "no token came with the request, or more than one Authorization header did; send one: `Authorization: FlyV1 fm2_…` or `Bearer …`",
    )
}

fn malformed(error: HeaderError) -> Failure {
    Failure::new(ErrorCode::TokenMalformed, error.to_string())
}

fn unreadable() -> Failure {
    Failure::new(
        ErrorCode::TokenMalformed,
        "no token of this petsem stands in the Authorization header, or it cannot be read; look at it with `petsem token inspect`",
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

/// Decisions fail closed while what is stored is not what was written.
pub(crate) fn untrusted(trouble: &str) -> Failure {
    Failure::new(
        ErrorCode::Integrity,
        "what is stored is not what was written, so nothing is decided; tell the operator of this petsem the request id",
    )
    .because(trouble)
}
