//! `/v1/apps/{app}/secretkeys`, in the Machines-API shapes. No route answers material.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{
    AppRef, DecryptRequest, DecryptResponse, Deleted, EncryptRequest, EncryptResponse, ErrorCode,
    GenerateSecretKey, SecretKey, SecretKeyList, SecretKeyName, SetSecretKey, SetSecretKeyResponse,
    SignRequest, SignResponse, Value, VerifyRequest,
};
use petsem_policy::{Action, Resource};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use petsem_engine::{Principal, AccessTarget};
use petsem_engine::{OpenApp};
use petsem_engine as entropy;
use petsem_engine::{Failure};
use crate::http::request::{Call, finish, finish_empty};
use petsem_engine::{AuditRecord};
use petsem_engine::{SecretKeysRow};
use petsem_engine::{KeyChange, KeyWrite, brought, generated, no_such_key, shown, unusable};
use petsem_engine::{check_reached};

/// `version` is the lowest app version that will do; `min_version` is its newer name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VersionQuery {
    version: Option<u64>,
    min_version: Option<u64>,
}

/// The same, and `types=a,b`: only keys of these types.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    version: Option<u64>,
    min_version: Option<u64>,
    types: Option<String>,
}

/// `GET /v1/apps/{app}/secretkeys`
pub(super) async fn list(call: Call) -> Response {
    let mut audit = call.audit("secret_key.list");
    let result = list_keys(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn list_keys(call: &Call, audit: &mut AuditRecord) -> Result<SecretKeyList, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let app: AppRef = call.param("app")?;
    let query: ListQuery = call.query()?;
    // Whoever is narrowed to some keys sees those: each is asked about alone.
    let found = call.engine.app_for_key(&principal, audit, &app, Action::List, None).await;
    let (app, all) = match found {
        Ok(app) => (app, true),
        Err(failure) => match call.engine.find_app(&app).await? {
            Some(app) if principal.lists_by_name(&app, Resource::SecretKey, call.now) => (app, false),
            _ => return Err(failure),
        },
    };
    let (app, row) = call.engine.secret_keys_of(app).await?;
    check_reached(&app, query.version.max(query.min_version))?;
    audit.set_version(app.head.app_version);
    let may = |audit: &mut AuditRecord, name| {
        let target = AccessTarget { app: Some(&app), secret_key: Some(name), ..AccessTarget::default() };
        all || principal.allows(audit, &target, Action::List, call.now).is_ok()
    };
    let allowed: Vec<_> = row.keys.iter().filter(|(name, _)| may(audit, name)).collect();
    if !all && allowed.is_empty() {
        // Not one key is his: the refusal says which caveat.
        call.engine.app_for_key(&principal, audit, &AppRef::Id(app.id), Action::List, None).await?;
    }
    let wanted = |kind: &str| {
        query.types.as_ref().is_none_or(|types| {
            types.replace("%2C", ",").replace("%2c", ",").split(',').any(|wanted| wanted == kind)
        })
    };
    let secret_keys = allowed
        .into_iter()
        .filter(|(_, row)| wanted(row.kind.as_str()))
        .map(|(name, row)| shown(name, row))
        .collect();
    Ok(SecretKeyList { secret_keys, version: app.head.app_version })
}

/// `GET /v1/apps/{app}/secretkeys/{name}`
pub(super) async fn show(call: Call) -> Response {
    let mut audit = call.audit("secret_key.show");
    let result = show_key(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn show_key(call: &Call, audit: &mut AuditRecord) -> Result<SecretKey, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let name = named(call, audit)?;
    let (_, row) = keys_for(call, audit, &principal, Action::List, &name).await?;
    row.keys.get(&name).map(|row| shown(&name, row)).ok_or_else(|| no_such_key(&name))
}

/// `POST /v1/apps/{app}/secretkeys/{name}`
pub(super) async fn set(call: Call) -> Response {
    let mut audit = call.audit("secret_key.set");
    let result = set_key(&call, &mut audit).await;
    finish(&call, audit, StatusCode::CREATED, result).await
}

async fn set_key(call: &Call, audit: &mut AuditRecord) -> Result<SetSecretKeyResponse, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let name = named(call, audit)?;
    let wanted: SetSecretKey = call.json_of(&principal).await?;
    audit.set_detail(format_args!("type {}", wanted.kind));
    let app = app_for(call, audit, &principal, Action::Write, &name).await?;
    let key = brought(wanted.kind, &wanted.value)?;
    put(call, audit, &principal, &app, &name, key).await
}

/// `POST /v1/apps/{app}/secretkeys/{name}/generate`
pub(super) async fn generate(call: Call) -> Response {
    let mut audit = call.audit("secret_key.generate");
    let result = generate_key(&call, &mut audit).await;
    finish(&call, audit, StatusCode::CREATED, result).await
}

async fn generate_key(call: &Call, audit: &mut AuditRecord) -> Result<SetSecretKeyResponse, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let name = named(call, audit)?;
    let wanted: GenerateSecretKey = call.json_of(&principal).await?;
    if wanted.value.is_some() {
        return Err(Failure::new(
            ErrorCode::BadRequest,
            "a key that is generated takes no value; nothing was changed; \
             to bring a key, POST it to the path without /generate",
        ));
    }
    audit.set_detail(format_args!("type {}", wanted.kind));
    let app = app_for(call, audit, &principal, Action::Write, &name).await?;
    put(call, audit, &principal, &app, &name, generated(wanted.kind)).await
}

async fn put(
    call: &Call,
    audit: &mut AuditRecord,
    principal: &Principal,
    app: &OpenApp,
    name: &SecretKeyName,
    key: petsem_keys::SecretKey,
) -> Result<SetSecretKeyResponse, Failure> {
    let write = KeyWrite::Put(key);
    let author = principal.author();
    let change = KeyChange { app: app.id, name, write: &write, author: &author, now: call.now };
    let (version, key) = call.engine.change_secret_key(audit, &change).await?;
    let key = key.ok_or_else(|| Failure::internal("a key that was put is not answered"))?;
    Ok(SetSecretKeyResponse { key, version, deprecated_version: version })
}

/// `DELETE /v1/apps/{app}/secretkeys/{name}`
pub(super) async fn delete(call: Call) -> Response {
    let mut audit = call.audit("secret_key.delete");
    let result = delete_key(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn delete_key(call: &Call, audit: &mut AuditRecord) -> Result<Deleted, Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let name = named(call, audit)?;
    let app = app_for(call, audit, &principal, Action::Delete, &name).await?;
    let author = principal.author();
    let change =
        KeyChange { app: app.id, name: &name, write: &KeyWrite::Delete, author: &author, now: call.now };
    let (version, _) = call.engine.change_secret_key(audit, &change).await?;
    Ok(Deleted { version, deprecated_version: version })
}

/// `POST /v1/apps/{app}/secretkeys/{name}/encrypt`
pub(super) async fn encrypt(call: Call) -> Response {
    let mut audit = call.audit("secret_key.encrypt");
    let result = encrypt_with(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn encrypt_with(call: &Call, audit: &mut AuditRecord) -> Result<EncryptResponse, Failure> {
    let (key, wanted): (_, EncryptRequest) = key_for_use(call, audit).await?;
    let ciphertext = key
        .encrypt(&mut entropy::rng(), wanted.plaintext.expose_bytes(), wanted.associated_data.expose_bytes())
        .map_err(unusable)?;
    Ok(EncryptResponse { ciphertext: Value::new(ciphertext) })
}

/// `POST /v1/apps/{app}/secretkeys/{name}/decrypt`
pub(super) async fn decrypt(call: Call) -> Response {
    let mut audit = call.audit("secret_key.decrypt");
    let result = decrypt_with(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn decrypt_with(call: &Call, audit: &mut AuditRecord) -> Result<DecryptResponse, Failure> {
    let (key, wanted): (_, DecryptRequest) = key_for_use(call, audit).await?;
    let mut plaintext = key
        .decrypt(wanted.ciphertext.expose_bytes(), wanted.associated_data.expose_bytes())
        .map_err(unusable)?;
    Ok(DecryptResponse { plaintext: Value::new(std::mem::take(&mut *plaintext)) })
}

/// `POST /v1/apps/{app}/secretkeys/{name}/sign`
pub(super) async fn sign(call: Call) -> Response {
    let mut audit = call.audit("secret_key.sign");
    let result = sign_with(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn sign_with(call: &Call, audit: &mut AuditRecord) -> Result<SignResponse, Failure> {
    let (key, wanted): (_, SignRequest) = key_for_use(call, audit).await?;
    let signature = key.sign(wanted.plaintext.expose_bytes()).map_err(unusable)?;
    Ok(SignResponse { signature: Value::new(signature) })
}

/// `POST /v1/apps/{app}/secretkeys/{name}/verify`
pub(super) async fn verify(call: Call) -> Response {
    let mut audit = call.audit("secret_key.verify");
    let result = verify_with(&call, &mut audit).await;
    finish_empty(&call, audit, result).await
}

async fn verify_with(call: &Call, audit: &mut AuditRecord) -> Result<(), Failure> {
    let (key, wanted): (_, VerifyRequest) = key_for_use(call, audit).await?;
    key.verify(wanted.plaintext.expose_bytes(), wanted.signature.expose_bytes()).map_err(unusable)
}

/// The key that the path names, for a principal who may use it, and the body. The key is opened last: it lies open
/// for no longer than it is used.
async fn key_for_use<Wanted: DeserializeOwned>(
    call: &Call,
    audit: &mut AuditRecord,
) -> Result<(petsem_keys::SecretKey, Wanted), Failure> {
    let principal = call.engine.authenticate(call.authorization(), audit)?;
    let name = named(call, audit)?;
    let wanted = call.json_of(&principal).await?;
    let (app, row) = keys_for(call, audit, &principal, Action::UseKey, &name).await?;
    let row = row.keys.get(&name).ok_or_else(|| no_such_key(&name))?;
    Ok((call.engine.open_secret_key(&app, &name, row)?, wanted))
}

/// The app's keys, for a principal who may do this with the one that is named.
async fn keys_for(
    call: &Call,
    audit: &mut AuditRecord,
    principal: &Principal,
    action: Action,
    name: &SecretKeyName,
) -> Result<(OpenApp, SecretKeysRow), Failure> {
    let query: VersionQuery = call.query()?;
    let app = app_for(call, audit, principal, action, name).await?;
    let (app, row) = call.engine.secret_keys_of(app).await?;
    check_reached(&app, query.version.max(query.min_version))?;
    audit.set_version(app.head.app_version);
    Ok((app, row))
}

async fn app_for(
    call: &Call,
    audit: &mut AuditRecord,
    principal: &Principal,
    action: Action,
    name: &SecretKeyName,
) -> Result<OpenApp, Failure> {
    call.engine.app_for_key(principal, audit, &call.param::<AppRef>("app")?, action, Some(name)).await
}

fn named(call: &Call, audit: &mut AuditRecord) -> Result<SecretKeyName, Failure> {
    let name = call.param("name")?;
    audit.set_secret_key(&name);
    Ok(name)
}
