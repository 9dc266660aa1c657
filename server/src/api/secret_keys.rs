//! `/v1/apps/{app}/secretkeys`, in the Machines-API shapes. No route returns key material.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{
    AppRef, DecryptRequest, DecryptResponse, Deleted, EncryptRequest, EncryptResponse, GenerateSecretKey,
    SecretKey, SecretKeyList, SecretKeyName, SetSecretKey, SetSecretKeyResponse, SignRequest, SignResponse,
    VerifyRequest,
};
use petsem_engine::{AuditRecord, Failure, KeyQuery, KeyRequest, Principal};
use serde::Deserialize;

use crate::http::request::{Call, finish, finish_empty};

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

/// The key that the path names.
struct Named {
    app: AppRef,
    name: SecretKeyName,
    min_version: Option<u64>,
}

impl Named {
    fn of(call: &Call, audit: &mut AuditRecord) -> Result<Self, Failure> {
        let name = call.param("name")?;
        audit.set_secret_key(&name);
        Ok(Self { app: call.param("app")?, name, min_version: None })
    }

    fn with_version(self, call: &Call) -> Result<Self, Failure> {
        let query: VersionQuery = call.query()?;
        Ok(Self { min_version: query.version.max(query.min_version), ..self })
    }

    fn request<'a>(&'a self, call: &Call, principal: &'a Principal) -> KeyRequest<'a> {
        let Self { app, name, min_version } = self;
        KeyRequest { principal, app, name, min_version: *min_version, now: call.now }
    }
}

/// `GET /v1/apps/{app}/secretkeys`
pub(super) async fn list(call: Call) -> Response {
    let mut audit = call.audit("secret_key.list");
    let result = list_keys(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn list_keys(call: &Call, audit: &mut AuditRecord) -> Result<SecretKeyList, Failure> {
    let principal = call.authenticate(audit)?;
    let app: AppRef = call.param("app")?;
    let query: ListQuery = call.query()?;
    let types = query
        .types
        .map(|types| types.replace("%2C", ",").replace("%2c", ",").split(',').map(str::to_owned).collect());
    let query = KeyQuery { min_version: query.version.max(query.min_version), types };
    call.engine.list_secret_keys(audit, &principal, &app, &query, call.now).await
}

/// `GET /v1/apps/{app}/secretkeys/{name}`
pub(super) async fn show(call: Call) -> Response {
    let mut audit = call.audit("secret_key.show");
    let result = show_key(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn show_key(call: &Call, audit: &mut AuditRecord) -> Result<SecretKey, Failure> {
    let principal = call.authenticate(audit)?;
    let named = Named::of(call, audit)?.with_version(call)?;
    call.engine.show_secret_key(audit, &named.request(call, &principal)).await
}

/// `POST /v1/apps/{app}/secretkeys/{name}`
pub(super) async fn set(call: Call) -> Response {
    let mut audit = call.audit("secret_key.set");
    let result = set_key(&call, &mut audit).await;
    finish(&call, audit, StatusCode::CREATED, result).await
}

async fn set_key(call: &Call, audit: &mut AuditRecord) -> Result<SetSecretKeyResponse, Failure> {
    let principal = call.authenticate(audit)?;
    let named = Named::of(call, audit)?;
    let wanted: SetSecretKey = call.json_of(&principal).await?;
    call.engine.import_secret_key(audit, &named.request(call, &principal), &wanted).await
}

/// `POST /v1/apps/{app}/secretkeys/{name}/generate`
pub(super) async fn generate(call: Call) -> Response {
    let mut audit = call.audit("secret_key.generate");
    let result = generate_key(&call, &mut audit).await;
    finish(&call, audit, StatusCode::CREATED, result).await
}

async fn generate_key(call: &Call, audit: &mut AuditRecord) -> Result<SetSecretKeyResponse, Failure> {
    let principal = call.authenticate(audit)?;
    let named = Named::of(call, audit)?;
    let wanted: GenerateSecretKey = call.json_of(&principal).await?;
    call.engine.generate_secret_key(audit, &named.request(call, &principal), &wanted).await
}

/// `DELETE /v1/apps/{app}/secretkeys/{name}`
pub(super) async fn delete(call: Call) -> Response {
    let mut audit = call.audit("secret_key.delete");
    let result = delete_key(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn delete_key(call: &Call, audit: &mut AuditRecord) -> Result<Deleted, Failure> {
    let principal = call.authenticate(audit)?;
    let named = Named::of(call, audit)?;
    call.engine.delete_secret_key(audit, &named.request(call, &principal)).await
}

/// `POST /v1/apps/{app}/secretkeys/{name}/encrypt`
pub(super) async fn encrypt(call: Call) -> Response {
    let mut audit = call.audit("secret_key.encrypt");
    let result = encrypt_with(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn encrypt_with(call: &Call, audit: &mut AuditRecord) -> Result<EncryptResponse, Failure> {
    let principal = call.authenticate(audit)?;
    let named = Named::of(call, audit)?;
    let wanted: EncryptRequest = call.json_of(&principal).await?;
    let named = named.with_version(call)?;
    call.engine.encrypt(audit, &named.request(call, &principal), &wanted).await
}

/// `POST /v1/apps/{app}/secretkeys/{name}/decrypt`
pub(super) async fn decrypt(call: Call) -> Response {
    let mut audit = call.audit("secret_key.decrypt");
    let result = decrypt_with(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn decrypt_with(call: &Call, audit: &mut AuditRecord) -> Result<DecryptResponse, Failure> {
    let principal = call.authenticate(audit)?;
    let named = Named::of(call, audit)?;
    let wanted: DecryptRequest = call.json_of(&principal).await?;
    let named = named.with_version(call)?;
    call.engine.decrypt(audit, &named.request(call, &principal), &wanted).await
}

/// `POST /v1/apps/{app}/secretkeys/{name}/sign`
pub(super) async fn sign(call: Call) -> Response {
    let mut audit = call.audit("secret_key.sign");
    let result = sign_with(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn sign_with(call: &Call, audit: &mut AuditRecord) -> Result<SignResponse, Failure> {
    let principal = call.authenticate(audit)?;
    let named = Named::of(call, audit)?;
    let wanted: SignRequest = call.json_of(&principal).await?;
    let named = named.with_version(call)?;
    call.engine.sign(audit, &named.request(call, &principal), &wanted).await
}

/// `POST /v1/apps/{app}/secretkeys/{name}/verify`
pub(super) async fn verify(call: Call) -> Response {
    let mut audit = call.audit("secret_key.verify");
    let result = verify_with(&call, &mut audit).await;
    finish_empty(&call, audit, result).await
}

async fn verify_with(call: &Call, audit: &mut AuditRecord) -> Result<(), Failure> {
    let principal = call.authenticate(audit)?;
    let named = Named::of(call, audit)?;
    let wanted: VerifyRequest = call.json_of(&principal).await?;
    let named = named.with_version(call)?;
    call.engine.verify_signature(audit, &named.request(call, &principal), &wanted).await
}
