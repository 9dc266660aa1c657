//! `/v1/apps/{app}/secrets`, in the Machines-API shapes.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{
    AppRef, AppSecret, BulkUpdate, BulkUpdateResponse, Deleted, ErrorCode, History, RollbackRequest,
    SecretList, SecretName, SetSecret, SetSecretResponse, Value,
};
use petsem_policy::{Action, Resource};
use serde::Deserialize;

use petsem_engine::{Principal, AccessTarget};
use petsem_engine::{Failure};
use crate::http::request::{Call, finish};
use petsem_engine::{jwt_of};
use petsem_engine::{AuditRecord};
use petsem_engine::{Bundle, Entry};
use petsem_engine::{Update, Updated, check_reached, shown};
use petsem_engine::{Workload};

/// `version` is the lowest version that will do; `min_version` is its newer name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadQuery {
    version: Option<u64>,
    min_version: Option<u64>,
    #[serde(default)]
    show_secrets: bool,
}

/// `GET /v1/apps/{app}/secrets`
pub(super) async fn list(call: Call) -> Response {
    let mut audit = call.audit(reading(&call, "secret.list"));
    let result = list_secrets(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn list_secrets(call: &Call, audit: &mut AuditRecord) -> Result<SecretList, Failure> {
    if jwt_of(call.authorization()).is_some() {
        let (app, query) = (call.param("app")?, call.query()?);
        let read = call.engine.workload(audit, call.authorization(), &app, call.now).await?;
        return read_all(call, audit, read, &query);
    }
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let app: AppRef = call.param("app")?;
    let query: ReadQuery = call.query()?;
    if query.show_secrets && principal.broke_glass() {
        let app = call.engine.broken_glass(audit, &principal, &app, None, call.now).await?;
        check_reached(&app, query.lowest())?;
        let bundle = call.engine.open_bundle(&app)?;
        audit.set_names(bundle.entries.keys());
        audit.set_version(app.head.app_version);
        let secrets = bundle.entries.into_iter().map(|(name, entry)| with_value(name, entry, true)).collect();
        return Ok(SecretList { secrets, version: app.head.app_version });
    }
    if principal.is_exchanged(query.show_secrets) {
        let read = call.engine.exchanged_workload(audit, &principal, &app, None, call.now).await?;
        return read_all(call, audit, read, &query);
    }
    refuse_values(&query)?;
    // Whoever is narrowed to some names sees those: each is asked about alone.
    let found = call.engine.app_for(&principal, audit, &app, &[(Action::List, None)]).await;
    let (app, all) = match found {
        Ok(app) => (app, true),
        Err(failure) => match call.engine.find_app(&app).await? {
            Some(app) if principal.lists_by_name(&app, Resource::Secret, call.now) => (app, false),
            _ => return Err(failure),
        },
    };
    check_reached(&app, query.lowest())?;
    let bundle = call.engine.open_bundle(&app)?;
    audit.set_version(app.head.app_version);
    let names: Vec<_> = bundle
        .entries
        .iter()
        .filter(|(name, _)| {
            let target = AccessTarget { app: Some(&app), secret: Some(name), ..AccessTarget::default() };
            all || principal.allows(audit, &target, Action::List, call.now).is_ok()
        })
        .collect();
    if !all && names.is_empty() {
        // Not one name is his: the refusal says which caveat.
        call.engine.app_for(&principal, audit, &AppRef::Id(app.id), &[(Action::List, None)]).await?;
    }
    let secrets = names.into_iter().map(|(name, entry)| shown(name, entry)).collect();
    Ok(SecretList { secrets, version: app.head.app_version })
}

/// `GET /v1/apps/{app}/secrets/{name}`
pub(super) async fn show(call: Call) -> Response {
    let mut audit = call.audit(reading(&call, "secret.show"));
    let result = show_secret(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn show_secret(call: &Call, audit: &mut AuditRecord) -> Result<AppSecret, Failure> {
    if jwt_of(call.authorization()).is_some() {
        let name: SecretName = call.param("name")?;
        let query: ReadQuery = call.query()?;
        audit.set_names([&name]);
        let app = call.param("app")?;
        let read = call.engine.workload(audit, call.authorization(), &app, call.now).await?;
        return read_one(call, audit, &read, &name, &query);
    }
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let app: AppRef = call.param("app")?;
    let name: SecretName = call.param("name")?;
    let query: ReadQuery = call.query()?;
    audit.set_names([&name]);
    if query.show_secrets && principal.broke_glass() {
        let app = call.engine.broken_glass(audit, &principal, &app, Some(&name), call.now).await?;
        check_reached(&app, query.lowest())?;
        let mut bundle = call.engine.open_bundle(&app)?;
        audit.set_version(app.head.app_version);
        let entry = bundle.entries.remove(&name).ok_or_else(|| no_such_secret(&name))?;
        return Ok(with_value(name, entry, true));
    }
    if principal.is_exchanged(query.show_secrets) {
        let read = call.engine.exchanged_workload(audit, &principal, &app, Some(&name), call.now).await?;
        return read_one(call, audit, &read, &name, &query);
    }
    refuse_values(&query)?;
    let app = call.engine.app_for(&principal, audit, &app, &[(Action::List, Some(&name))]).await?;
    check_reached(&app, query.lowest())?;
    let bundle = call.engine.open_bundle(&app)?;
    audit.set_version(app.head.app_version);
    bundle.entries.get(&name).map(|entry| shown(&name, entry)).ok_or_else(|| no_such_secret(&name))
}

/// `POST /v1/apps/{app}/secrets/{name}`
pub(super) async fn set(call: Call) -> Response {
    let mut audit = call.audit("secret.set");
    let result = set_secret(&call, &mut audit).await;
    finish(&call, audit, StatusCode::CREATED, result).await
}

async fn set_secret(call: &Call, audit: &mut AuditRecord) -> Result<SetSecretResponse, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let name: SecretName = call.param("name")?;
    let wanted: SetSecret = call.json_of(&principal).await?;
    let values = BTreeMap::from([(name, Some(wanted.value))]);
    let updated = change(call, audit, &principal, &values, wanted.expected_version).await?;
    let version = updated.version;
    let secret = updated
        .secrets
        .into_iter()
        .next()
        .ok_or_else(|| Failure::internal("a set secret is not answered"))?;
    Ok(SetSecretResponse { secret, version, deprecated_version: version })
}

/// `POST /v1/apps/{app}/secrets`
pub(super) async fn update(call: Call) -> Response {
    let mut audit = call.audit("secret.update");
    let result = update_secrets(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn update_secrets(call: &Call, audit: &mut AuditRecord) -> Result<BulkUpdateResponse, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let wanted: BulkUpdate = call.json_of(&principal).await?;
    let updated = change(call, audit, &principal, &wanted.values, wanted.expected_version).await?;
    Ok(BulkUpdateResponse {
        secrets: updated.secrets,
        version: updated.version,
        deprecated_version: updated.version,
    })
}

/// `DELETE /v1/apps/{app}/secrets/{name}`
pub(super) async fn unset(call: Call) -> Response {
    let mut audit = call.audit("secret.unset");
    let result = unset_secret(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn unset_secret(call: &Call, audit: &mut AuditRecord) -> Result<Deleted, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let values = BTreeMap::from([(call.param::<SecretName>("name")?, None)]);
    let version = change(call, audit, &principal, &values, None).await?.version;
    Ok(Deleted { version, deprecated_version: version })
}

/// `GET /v1/apps/{app}/secrets/{name}/history`
pub(super) async fn history(call: Call) -> Response {
    let mut audit = call.audit("secret.history");
    let result = show_history(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn show_history(call: &Call, audit: &mut AuditRecord) -> Result<History, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let name: SecretName = call.param("name")?;
    audit.set_names([&name]);
    let app = call
        .core
        .app_for(&principal, audit, &call.param::<AppRef>("app")?, &[(Action::List, Some(&name))])
        .await?;
    let history = call.engine.history_of(&app, &name).await?;
    if history.history.is_empty() { Err(no_such_secret(&name)) } else { Ok(history) }
}

/// `POST /v1/apps/{app}/secrets/{name}/rollback`
pub(super) async fn rollback(call: Call) -> Response {
    let mut audit = call.audit("secret.rollback");
    let result = roll_back(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn roll_back(call: &Call, audit: &mut AuditRecord) -> Result<SetSecretResponse, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let name: SecretName = call.param("name")?;
    let wanted: RollbackRequest = call.json_of(&principal).await?;
    audit.set_names([&name]);
    audit.set_detail(format_args!("to the value of version {}", wanted.to_version));
    let app = call
        .core
        .app_for(&principal, audit, &call.param::<AppRef>("app")?, &[(Action::Write, Some(&name))])
        .await?;
    let value = call.engine.value_at(&app, &name, wanted.to_version).await?;
    let values = BTreeMap::from([(name, Some(value))]);
    // To the app that it was read from, whatever has its name by now.
    let updated =
        change_in(call, audit, &principal, &AppRef::Id(app.id), &values, wanted.expected_version).await?;
    let version = updated.version;
    let secret = updated
        .secrets
        .into_iter()
        .next()
        .ok_or_else(|| Failure::internal("a set secret is not answered"))?;
    Ok(SetSecretResponse { secret, version, deprecated_version: version })
}

/// Asks about every name that changes, then changes them all, or nothing.
async fn change(
    call: &Call,
    audit: &mut AuditRecord,
    principal: &Principal,
    values: &BTreeMap<SecretName, Option<Value>>,
    expected_version: Option<u64>,
) -> Result<Updated, Failure> {
    change_in(call, audit, principal, &call.param("app")?, values, expected_version).await
}

async fn change_in(
    call: &Call,
    audit: &mut AuditRecord,
    principal: &Principal,
    app: &AppRef,
    values: &BTreeMap<SecretName, Option<Value>>,
    expected_version: Option<u64>,
) -> Result<Updated, Failure> {
    audit.set_names(values.keys());
    let asked: Vec<_> = values
        .iter()
        .map(|(name, value)| (if value.is_some() { Action::Write } else { Action::Delete }, Some(name)))
        .collect();
    // With nothing to change, whoever may write learns the version.
    let asked = if asked.is_empty() { vec![(Action::Write, None)] } else { asked };
    let app = call.engine.app_for(principal, audit, app, &asked).await?;
    let author = principal.author();
    let update = Update { app: app.id, values, expected_version, author: &author, now: call.now };
    let updated = call.engine.update(audit, &update).await?;
    audit.set_version(updated.version);
    Ok(updated)
}

/// A workload read of everything that the JWT's rule names.
fn read_all(
    call: &Call,
    audit: &mut AuditRecord,
    read: Workload<'_>,
    query: &ReadQuery,
) -> Result<SecretList, Failure> {
    check_reached(&read.app, query.lowest())?;
    let bundle: Bundle = call.engine.open_bundle(&read.app)?;
    let total = bundle.entries.len();
    let allowed: Vec<(SecretName, Entry)> =
        bundle.entries.into_iter().filter(|(name, _)| read.may(name)).collect();
    if allowed.is_empty() && total > 0 {
        return Err(read.refused());
    }
    audit.set_names(allowed.iter().map(|(name, _)| name));
    audit.set_version(read.app.head.app_version);
    let secrets =
        allowed.into_iter().map(|(name, entry)| with_value(name, entry, query.show_secrets)).collect();
    Ok(SecretList { secrets, version: read.app.head.app_version })
}

fn read_one(
    call: &Call,
    audit: &mut AuditRecord,
    read: &Workload<'_>,
    name: &SecretName,
    query: &ReadQuery,
) -> Result<AppSecret, Failure> {
    if !read.may(name) {
        return Err(read.refused());
    }
    check_reached(&read.app, query.lowest())?;
    let mut bundle: Bundle = call.engine.open_bundle(&read.app)?;
    audit.set_version(read.app.head.app_version);
    let entry = bundle.entries.remove(name).ok_or_else(|| no_such_secret(name))?;
    Ok(with_value(name.clone(), entry, query.show_secrets))
}

fn with_value(name: SecretName, entry: Entry, show: bool) -> AppSecret {
    let secret = shown(&name, &entry);
    AppSecret { value: show.then_some(entry.value), ..secret }
}

/// What the audit line calls it: whether values were asked for must be seen at a glance.
fn reading(call: &Call, otherwise: &'static str) -> &'static str {
    match call.query::<ReadQuery>() {
        Ok(query) if query.show_secrets => "secret.read",
        _ => otherwise,
    }
}

impl ReadQuery {
    fn lowest(&self) -> Option<u64> {
        self.version.max(self.min_version)
    }
}

/// Tokens list; values are read another way.
fn refuse_values(query: &ReadQuery) -> Result<(), Failure> {
    if query.show_secrets {
        return Err(Failure::new(
            ErrorCode::ReadNeedsWorkload,
            "a token does not read values: read them with a JWT that the app's policy accepts (`petsem run`), boot a Machine, or ask a second person (`petsem break-glass`)",
        ));
    }
    Ok(())
}

fn no_such_secret(name: &SecretName) -> Failure {
    Failure::new(
        ErrorCode::NotFound,
        format!("the app has no secret {name}; `petsem secrets list` shows what there is"),
    )
}
