//! Reads an app's secrets: lists without values, and workload reads and break-glass with values.

use std::collections::BTreeSet;

use petsem_api::{AppRef, AppSecret, SecretList, SecretName};
use petsem_policy::evaluate::{Allowed, AppPolicy, Claims, PolicyQuestion};
use petsem_policy::{Action, Denial, Exchanged, Reason, Resource};
use petsem_store::AppPart;

use crate::authn::jwt::{JwtUse, jwt_of};
use crate::authn::tokens::Verified;
use crate::authz::decide::{Principal, denied_by};
use crate::authz::readable::ReadableApp;
use crate::authz::target::AccessTarget;
use crate::authz::workload::{Exchange, Workload, claims_of};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::request::AuditRecord;
use crate::secrets::bundle::ReadSecrets;
use crate::tenancy::found::{FoundApp, check_reached};

/// The parameters of a read.
#[derive(Clone, Debug, Default)]
pub struct ReadQuery {
    /// Only these secrets; empty for all.
    pub names: BTreeSet<SecretName>,
    /// The lowest acceptable app version.
    pub min_version: Option<u64>,
    /// Whether to return values.
    pub show_values: bool,
}

/// The credential of a read.
pub enum Reader {
    /// A JWT: its text.
    Jwt(String),
    /// Tokens that verified.
    Tokens(Principal),
}

/// What a credential makes of a read.
enum Reading<'r> {
    /// It may open values of the app; `refusal` if not those that the request names.
    Open { app: Box<ReadableApp<'r>>, refusal: Failure },
    /// It may only list.
    List(&'r Principal),
}

impl Engine {
    /// The reader behind an `Authorization` header. A JWT is verified later, with the app whose policy decides.
    ///
    /// # Errors
    /// No token verified.
    pub async fn reader(&self, header: Option<&str>, audit: &mut AuditRecord) -> Result<Reader, Failure> {
        match jwt_of(header) {
            Some(jwt) => Ok(Reader::Jwt(jwt.to_owned())),
            None => self.authenticate(header, audit).await.map(Reader::Tokens),
        }
    }

    /// An app's secrets. Only a workload read and break-glass return values, and only on request.
    ///
    /// # Errors
    /// Refused.
    pub async fn list_secrets(
        &self,
        audit: &mut AuditRecord,
        reader: &Reader,
        app: &AppRef,
        query: &ReadQuery,
        now: Timestamp,
    ) -> Result<SecretList, Failure> {
        if !query.names.is_empty() {
            audit.set_names(&query.names);
        }
        let principal = match self.reading(audit, reader, app, query, now).await? {
            Reading::Open { app, refusal } => return self.read_many(audit, &app, query, refusal),
            Reading::List(principal) => principal,
        };
        let (app, all) = self.app_for_list(principal, audit, app, Resource::Secret, now).await?;
        check_reached(&app, query.min_version)?;
        let mut described = self.describe(&app)?;
        described.retain(|secret| query.names.is_empty() || query.names.contains(&secret.name));
        audit.set_version(app.head.app_version);
        if !all {
            principal.check_work(described.len())?;
        }
        described.retain(|secret| {
            let target =
                AccessTarget { app: Some(&app), secret: Some(&secret.name), ..AccessTarget::default() };
            all || principal.allows(audit, &target, Action::List, now).is_ok()
        });
        if !all && described.is_empty() {
            // No name is allowed: the refusal names the caveat.
            self.app_for(principal, audit, &AppRef::Id(app.id), AppPart::Head, &[(Action::List, None)])
                .await?;
        }
        Ok(SecretList {
            secrets: described,
            version: app.head.app_version,
            allowed_reserved_names: BTreeSet::new(),
        })
    }

    /// One secret, with its value as in [`Engine::list_secrets`].
    ///
    /// # Errors
    /// Refused, or the app has no such secret.
    pub async fn show_secret(
        &self,
        audit: &mut AuditRecord,
        reader: &Reader,
        app: &AppRef,
        name: &SecretName,
        query: &ReadQuery,
        now: Timestamp,
    ) -> Result<AppSecret, Failure> {
        audit.set_names([name]);
        let query = &ReadQuery { names: BTreeSet::from([name.clone()]), ..query.clone() };
        let principal = match self.reading(audit, reader, app, query, now).await? {
            Reading::Open { app, refusal } => {
                let mut secrets = self.read_named(audit, &app, query, refusal)?;
                return secrets.pop().ok_or_else(|| messages::no_such_secret(name));
            }
            Reading::List(principal) => principal,
        };
        let app = self.app_for(principal, audit, app, AppPart::Bundle, &[(Action::List, Some(name))]).await?;
        check_reached(&app, query.min_version)?;
        let secret = self.describe(&app)?.into_iter().find(|secret| secret.name == *name);
        audit.set_version(app.head.app_version);
        secret.ok_or_else(|| messages::no_such_secret(name))
    }

    /// What the credential makes of a read.
    async fn reading<'r>(
        &self,
        audit: &mut AuditRecord,
        reader: &'r Reader,
        app: &AppRef,
        query: &ReadQuery,
        now: Timestamp,
    ) -> Result<Reading<'r>, Failure> {
        let principal = match reader {
            Reader::Jwt(jwt) => {
                let app = Box::new(self.workload(audit, jwt, app, now).await?);
                return Ok(Reading::Open { app, refusal: messages::jwt_does_not_read() });
            }
            Reader::Tokens(principal) => principal,
        };
        if query.show_values && principal.has_break_glass_discharge() {
            let app = Box::new(self.break_glass_app(audit, principal, app, &query.names, now).await?);
            return Ok(Reading::Open { app, refusal: messages::jwt_does_not_read() });
        }
        if principal.is_exchanged(query.show_values) {
            // Each of several is decided alone.
            let secret = query.names.first().filter(|_| query.names.len() == 1);
            let app = Box::new(self.exchanged_workload(audit, principal, app, secret, now).await?);
            return Ok(Reading::Open { app, refusal: messages::exchanged_token_does_not_read() });
        }
        if query.show_values {
            return Err(messages::tokens_do_not_read());
        }
        Ok(Reading::List(principal))
    }

    /// [`Self::read_named`], as a list.
    fn read_many(
        &self,
        audit: &mut AuditRecord,
        readable: &ReadableApp<'_>,
        query: &ReadQuery,
        refusal: Failure,
    ) -> Result<SecretList, Failure> {
        let secrets = self.read_named(audit, readable, query, refusal)?;
        let version = readable.app().head.app_version;
        audit.set_names(secrets.iter().map(|secret| &secret.name));
        // Only names that the read covers: it reveals no others.
        let allowed = &readable.app().head.settings.allowed_reserved_names;
        let allowed = secrets.iter().map(|secret| &secret.name).filter(|name| allowed.contains(*name));
        let allowed_reserved_names = allowed.cloned().collect();
        Ok(SecretList { secrets, version, allowed_reserved_names })
    }

    /// Those of the requested secrets that the app has; all, if none is named. `refusal` is returned if the read does
    /// not cover one of them, whether or not the app has it, or none at all.
    fn read_named(
        &self,
        audit: &mut AuditRecord,
        readable: &ReadableApp<'_>,
        query: &ReadQuery,
        refusal: Failure,
    ) -> Result<Vec<AppSecret>, Failure> {
        readable.check_work(query.names.len())?;
        if !query.names.iter().all(|name| readable.may_read(name)) {
            return Err(refusal);
        }
        check_reached(readable.app(), query.min_version)?;
        let ReadSecrets { secrets, withheld } = self.read(readable, &query.names)?;
        if secrets.is_empty() && withheld > 0 {
            return Err(refusal);
        }
        audit.set_version(readable.app().head.app_version);
        Ok(secrets.into_iter().map(|secret| shown(secret, query)).collect())
    }

    /// Verifies the JWT, and finds the app if its policy lets the JWT read something.
    async fn workload(
        &self,
        audit: &mut AuditRecord,
        jwt: &str,
        app: &AppRef,
        now: Timestamp,
    ) -> Result<ReadableApp<'static>, Failure> {
        self.check_integrity()?;
        let claims = self.verify_jwt(jwt, JwtUse::Read, now).await?;
        let (decided, _, allowed) = self.workload_app(audit, &claims, app).await?;
        audit.set_detail(messages::allowed_by_rule(&allowed.rule));
        let (app, policy) = self.with_secrets(decided).await?;
        let secrets = policy.readable_secrets(&claims);
        Ok(ReadableApp::by_workload(app, Workload { secrets, exchange: None }))
    }

    /// The app with its policy, if a rule lets the JWT read any secret of it. Checked before anything else of the app
    /// is read: the time that a refusal takes must not say how large the app is.
    pub(crate) async fn workload_app(
        &self,
        audit: &mut AuditRecord,
        claims: &Claims,
        app: &AppRef,
    ) -> Result<(FoundApp, AppPolicy, Allowed), Failure> {
        let app = self.find_app_with(app, AppPart::Policy).await?.ok_or_else(messages::jwt_does_not_read)?;
        audit.set_app(&app);
        let policy = self.policy_of(&app)?;
        let allowed =
            policy.decide_any_read(claims).map_err(|denial| messages::jwt_does_not_read().because(denial))?;
        audit.accepted_jwt(claims);
        Ok((app, policy, allowed))
    }

    /// An app that the workload may read, with its secrets, and its policy at that moment.
    async fn with_secrets(&self, app: FoundApp) -> Result<(FoundApp, AppPolicy), Failure> {
        let app = self.with_part(app, AppPart::Secrets).await?;
        let policy = self.policy_of(&app)?;
        Ok((app, policy))
    }

    /// The principal's exchanged token for this app; its rule is re-evaluated against the current policy. `secret` is
    /// the requested one, if the request names one.
    async fn exchanged_workload<'p>(
        &self,
        audit: &mut AuditRecord,
        principal: &'p Principal,
        app: &AppRef,
        secret: Option<&SecretName>,
        now: Timestamp,
    ) -> Result<ReadableApp<'p>, Failure> {
        let found = self.find_app_with(app, AppPart::Policy).await?;
        let target = AccessTarget { app: found.as_ref(), secret, ..AccessTarget::default() };
        let (verified, exchanged) = chosen(principal, &target, now)?;
        audit.verified_token(&verified.token);
        audit.exchanged_jwt(exchanged);
        let app = found.ok_or_else(messages::exchanged_token_does_not_read)?;
        audit.set_app(&app);
        if self.control().issuer(&exchanged.issuer).is_none() {
            return Err(messages::exchanged_token_does_not_read()
                .because("the issuer of the JWT behind the token is no longer registered"));
        }
        let policy = self.policy_of(&app)?;
        let claims = claims_of(exchanged)?;
        policy
            .decide_by_rule(&exchanged.rule, &claims, &PolicyQuestion::ReadAnything)
            .map_err(|denial| messages::exchanged_token_does_not_read().because(denial))?;
        audit.set_detail(messages::exchanged_by_rule(&exchanged.rule));
        let (app, policy) = self.with_secrets(app).await?;
        let secrets = policy.readable_secrets_by_rule(&exchanged.rule, &claims);
        let exchange = Some(Exchange { verified, now, peer: audit.peer() });
        Ok(ReadableApp::by_workload(app, Workload { secrets, exchange }))
    }
}

/// The first exchanged token that may read from this app, or why the first may not. Tokens are never combined.
fn chosen<'p>(
    principal: &'p Principal,
    target: &AccessTarget<'_>,
    now: Timestamp,
) -> Result<(&'p Verified, &'p Exchanged), Failure> {
    let access = principal.access(target, Action::ReadValue, now);
    let mut first = None;
    for verified in principal.verified() {
        let Some(exchanged) = verified.token.exchanged() else { continue };
        // Each name is decided separately later.
        let counts = |denial: &Denial| denial.reason != Reason::Unspecified(Resource::Secret);
        let denied = verified.token.denials(&access).into_iter().find(counts);
        match denied {
            None if verified.speaks_for(access.org) => return Ok((verified, exchanged)),
            None => {
                first.get_or_insert_with(messages::exchanged_token_does_not_read);
            }
            Some(denial) => {
                first.get_or_insert_with(|| refused_by(&denial));
            }
        }
    }
    Err(first.unwrap_or_else(messages::exchanged_token_does_not_read))
}

fn shown(secret: AppSecret, query: &ReadQuery) -> AppSecret {
    AppSecret { value: secret.value.filter(|_| query.show_values), ..secret }
}

/// Its holder learns that a token has expired, but no other reason.
fn refused_by(denial: &Denial) -> Failure {
    match denial.reason {
        Reason::Expired | Reason::NotYetValid => denied_by(denial),
        _ => messages::exchanged_token_does_not_read().because(denial),
    }
}
