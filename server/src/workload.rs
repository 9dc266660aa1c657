//! Workload reads: by a JWT that the app's policy lets read some of its secrets, or by the token that such a JWT was
//! exchanged for. One app, at most 15 minutes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use petsem_api::{AppRef, ErrorCode, SecretName};
use petsem_policy::evaluate::{Allowed, AppPolicy, Claims, PolicyQuestion};
use petsem_policy::{Action, Denial, Exchanged, Reason, Resource};

use crate::authority::{Caller, Touched, Verified, denied_by, untrusted};
use crate::clock::Moment;
use crate::core::{Core, OpenApp};
use crate::failure::Failure;
use crate::jwt::{READ_LIFE, jwt_of};
use crate::request::Trail;

/// A reader and the app whose policy is asked about each name.
pub(crate) struct Workload<'c> {
    pub(crate) app: OpenApp,
    policy: AppPolicy,
    claims: Claims,
    exchange: Option<Exchange<'c>>,
}

/// The token that the JWT was exchanged for, where it was.
struct Exchange<'c> {
    verified: &'c Verified,
    rule: String,
    now: Moment,
    peer: Option<IpAddr>,
}

impl Core {
    /// Refuses while what is stored is not what was written.
    pub(crate) fn check_trouble(&self) -> Result<(), Failure> {
        self.trouble().map_or(Ok(()), |trouble| Err(untrusted(&trouble)))
    }

    /// Verifies the JWT, and finds the app and its policy.
    pub(crate) async fn workload(
        &self,
        trail: &mut Trail,
        authorization: Option<&str>,
        app: &AppRef,
        now: Moment,
    ) -> Result<Workload<'static>, Failure> {
        self.check_trouble()?;
        let jwt = jwt_of(authorization).ok_or_else(|| Failure::internal("a workload read without a JWT"))?;
        let claims = self.verify_jwt(jwt, READ_LIFE, now).await?;
        self.count_jwt(trail, &claims, now);
        let (app, policy, allowed) = self.workload_app(trail, &claims, app).await?;
        trail.set_detail(format_args!("rule {}", allowed.rule));
        Ok(Workload { app, policy, claims, exchange: None })
    }

    /// The app that a rule lets a JWT read anything of, before anything of it is told or opened.
    pub(crate) async fn workload_app(
        &self,
        trail: &mut Trail,
        claims: &Claims,
        app: &AppRef,
    ) -> Result<(OpenApp, AppPolicy, Allowed), Failure> {
        let app = self.find_app(app).await?.ok_or_else(refused)?;
        trail.set_app(&app);
        let (_, policy, _) = self.policy_of(&app).await?;
        let allowed = policy.decide_any_read(claims).map_err(|denial| refused().because(denial))?;
        trail.accepted_jwt(claims);
        Ok((app, policy, allowed))
    }

    /// The caller's exchanged token for this app, and what it came of: its rule is asked as the policy stands now.
    /// `secret` is the one that is asked for, if it is one.
    pub(crate) async fn exchanged_workload<'c>(
        &self,
        trail: &mut Trail,
        caller: &'c Caller,
        app: &AppRef,
        secret: Option<&SecretName>,
        now: Moment,
    ) -> Result<Workload<'c>, Failure> {
        let found = self.find_app(app).await?;
        let touched = Touched { app: found.as_ref(), secret, ..Touched::default() };
        let (verified, exchanged) = chosen(caller, &touched, now)?;
        trail.verified_token(&verified.token);
        trail.exchanged_jwt(&exchanged);
        let app = found.ok_or_else(refused_token)?;
        trail.set_app(&app);
        if self.control().issuer(&exchanged.issuer).is_none() {
            return Err(
                refused_token().because("the issuer of the JWT behind the token is no longer registered")
            );
        }
        let (_, policy, _) = self.policy_of(&app).await?;
        let claims = claims_of(&exchanged)?;
        policy
            .decide_by_rule(&exchanged.rule, &claims, &PolicyQuestion::ReadAnything)
            .map_err(|denial| refused_token().because(denial))?;
        trail.set_detail(format_args!("exchanged token, rule {}", exchanged.rule));
        let exchange = Some(Exchange { verified, rule: exchanged.rule, now, peer: trail.peer() });
        Ok(Workload { app, policy, claims, exchange })
    }
}

/// The claims that the rule read at the exchange.
pub(crate) fn claims_of(exchanged: &Exchanged) -> Result<Claims, Failure> {
    let claims: BTreeMap<String, String> =
        serde_json::from_str(&exchanged.claims).map_err(Failure::internal)?;
    Ok(Claims::from_exchange(claims, exchanged.issued, exchanged.expires))
}

/// The first exchanged token that may read of this app, or why the first may not. Tokens never add up.
fn chosen<'c>(
    caller: &'c Caller,
    touched: &Touched<'_>,
    now: Moment,
) -> Result<(&'c Verified, Exchanged), Failure> {
    let access = caller.access(touched, Action::ReadValue, now);
    let mut first = None;
    for verified in caller.verified() {
        let Some(exchanged) = verified.token.exchanged() else { continue };
        // Which secrets is asked for each.
        let counts = |denial: &Denial| denial.reason != Reason::Unspecified(Resource::Secret);
        let denied = verified.token.denials(&access).into_iter().find(counts);
        match denied {
            None if verified.speaks_for(access.org) => return Ok((verified, exchanged)),
            None => {
                first.get_or_insert_with(refused_token);
            }
            Some(denial) => {
                first.get_or_insert_with(|| told(&denial));
            }
        }
    }
    Err(first.unwrap_or_else(refused_token))
}

impl Workload<'_> {
    /// Whether a rule lets the JWT read this secret: of an exchanged one its rule, and every caveat of the token.
    pub(crate) fn may(&self, name: &SecretName) -> bool {
        match &self.exchange {
            None => self.policy.decide_read(&self.claims, name.as_str()).is_ok(),
            Some(Exchange { verified, rule, now, peer }) => {
                let touched =
                    Touched { app: Some(&self.app), secret: Some(name), peer: *peer, ..Touched::default() };
                let question = PolicyQuestion::Read(name.as_str());
                verified.allows(&touched.access(Action::ReadValue, *now)).is_ok()
                    && self.policy.decide_by_rule(rule, &self.claims, &question).is_ok()
            }
        }
    }

    /// The refusal, the same as for an app that is not there.
    pub(crate) fn refused(&self) -> Failure {
        if self.exchange.is_some() { refused_token() } else { refused() }
    }
}

/// Time is of the token, and told to its holder; nothing else is.
fn told(denial: &Denial) -> Failure {
    match denial.reason {
        Reason::Expired | Reason::NotYetValid => denied_by(denial),
        _ => refused_token().because(denial),
    }
}

fn refused() -> Failure {
    Failure::new(
        ErrorCode::PolicyDenied,
        "there is no such app, or no rule of its policy lets this JWT read that; \
         the app's owner sees the policy with `petsem policy show`",
    )
}

fn refused_token() -> Failure {
    Failure::new(
        ErrorCode::PolicyDenied,
        "there is no such app, or this token does not read that, or the rule behind it no longer lets it; look at \
         the token with `petsem token inspect`, or exchange a new JWT",
    )
}
