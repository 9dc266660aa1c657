//! `/v1/apps/{app}/secretkeys`, in the shapes of the Machines API. No route answers key material.

use axum::http::StatusCode;
use petsem_api::{
    AppRef, DecryptRequest, DecryptResponse, Deleted, EncryptRequest, EncryptResponse, ErrorCode,
    GenerateSecretKey, SecretKey, SecretKeyList, SecretKeyName, SetSecretKey, SetSecretKeyResponse,
    SignRequest, SignResponse, VerifyRequest,
};
use petsem_engine::{AuditRecord, Failure, KeyQuery, KeyRequest, Principal};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::{BodyLimit, Call, Incoming, NoBody, NoContent, Route, tag};

/// What a change of secret keys may be refused with.
const OF_CHANGES: &[ErrorCode] = &[
    ErrorCode::BadValue,
    ErrorCode::BadKey,
    ErrorCode::NotFound,
    ErrorCode::Conflict,
    ErrorCode::BundleTooLarge,
    ErrorCode::StoreFull,
];

/// What all changes that set a key refuse.
const ONE_TYPE: &str = "Versions of a key (labels that differ only in `v` and a number at their end) have one type: 409 \
                        `conflict` for another one.";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/apps/{app}/secretkeys")
            .named("listSecretKeys", tag::SECRET_KEYS, "List secret keys, never their material")
            .audited("secret_key.list")
            .answers(StatusCode::OK, "The keys, by name. A token that is narrowed to some keys sees those.")
            .refuses(&[ErrorCode::NotFound, ErrorCode::VersionNotReached])
            .by(list),
        Route::get("/v1/apps/{app}/secretkeys/{name}")
            .param::<SecretKeyName>("name", "The secret key.")
            .named("showSecretKey", tag::SECRET_KEYS, "Show a secret key")
            .audited("secret_key.show")
            .answers(StatusCode::OK, "The key, without its material.")
            .refuses(&[ErrorCode::NotFound, ErrorCode::VersionNotReached])
            .by(show),
        Route::post("/v1/apps/{app}/secretkeys/{name}")
            .param::<SecretKeyName>("name", "The secret key.")
            .named("setSecretKey", tag::SECRET_KEYS, "Import a key; it replaces one with that name")
            .described(ONE_TYPE)
            .audited("secret_key.set")
            .limited(BodyLimit::Secrets)
            .answers(StatusCode::CREATED, "The key, and the app version that has it.")
            .refuses(OF_CHANGES)
            .by(set),
        Route::delete("/v1/apps/{app}/secretkeys/{name}")
            .param::<SecretKeyName>("name", "The secret key.")
            .named("deleteSecretKey", tag::SECRET_KEYS, "Delete a key; its ciphertexts can no longer be decrypted")
            .audited("secret_key.delete")
            .answers(StatusCode::OK, "The app version without the key.")
            .refuses(&[ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(delete),
        Route::post("/v1/apps/{app}/secretkeys/{name}/generate")
            .param::<SecretKeyName>("name", "The secret key.")
            .named("generateSecretKey", tag::SECRET_KEYS, "Generate a key that never leaves the server; it replaces one with that name")
            .described(ONE_TYPE)
            .audited("secret_key.generate")
            .limited(BodyLimit::Secrets)
            .answers(StatusCode::CREATED, "The key, and the app version that has it.")
            .refuses(OF_CHANGES)
            .by(generate),
        Route::post("/v1/apps/{app}/secretkeys/{name}/encrypt")
            .param::<SecretKeyName>("name", "The secret key.")
            .named("encryptWithSecretKey", tag::SECRET_KEYS, "Encrypt a message")
            .described("Needs the action `use_key`.")
            .audited("secret_key.encrypt")
            .limited(BodyLimit::Secrets)
            .answers(StatusCode::OK, "The ciphertext, in the layout of the key type.")
            .refuses(&[ErrorCode::BadValue, ErrorCode::WrongKeyType, ErrorCode::NotFound, ErrorCode::ValueTooLarge, ErrorCode::VersionNotReached])
            .by(encrypt),
        Route::post("/v1/apps/{app}/secretkeys/{name}/decrypt")
            .param::<SecretKeyName>("name", "The secret key.")
            .named("decryptWithSecretKey", tag::SECRET_KEYS, "Decrypt a ciphertext")
            .described("Needs the action `use_key`.")
            .audited("secret_key.decrypt")
            .limited(BodyLimit::Secrets)
            .answers(StatusCode::OK, "The message.")
            .refuses(&[ErrorCode::BadValue, ErrorCode::WrongKeyType, ErrorCode::NotFound, ErrorCode::ValueTooLarge, ErrorCode::VersionNotReached, ErrorCode::DecryptionFailed])
            .by(decrypt),
        Route::post("/v1/apps/{app}/secretkeys/{name}/sign")
            .param::<SecretKeyName>("name", "The secret key.")
            .named("signWithSecretKey", tag::SECRET_KEYS, "Sign a message")
            .described("Needs the action `use_key`.")
            .audited("secret_key.sign")
            .limited(BodyLimit::Secrets)
            .answers(StatusCode::OK, "The signature, in the layout of the key type.")
            .refuses(&[ErrorCode::BadValue, ErrorCode::WrongKeyType, ErrorCode::NotFound, ErrorCode::ValueTooLarge, ErrorCode::VersionNotReached])
            .by(sign),
        Route::post("/v1/apps/{app}/secretkeys/{name}/verify")
            .param::<SecretKeyName>("name", "The secret key.")
            .named("verifyWithSecretKey", tag::SECRET_KEYS, "Verify a signature")
            .described("Needs the action `use_key`.")
            .audited("secret_key.verify")
            .limited(BodyLimit::Secrets)
            .answers(StatusCode::NO_CONTENT, "The signature was made with this key over this message; no body. Otherwise 400 `signature_mismatch`.")
            .refuses(&[ErrorCode::BadValue, ErrorCode::WrongKeyType, ErrorCode::NotFound, ErrorCode::ValueTooLarge, ErrorCode::VersionNotReached, ErrorCode::SignatureMismatch])
            .by(verify),
    ]
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct VersionQuery {
    /// The lowest acceptable app version; otherwise 503 `version_not_reached`.
    version: Option<u64>,
    /// The same under its newer name. The higher one counts.
    min_version: Option<u64>,
}

impl VersionQuery {
    fn lowest(&self) -> Option<u64> {
        self.version.max(self.min_version)
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// The lowest acceptable app version; otherwise 503 `version_not_reached`.
    version: Option<u64>,
    /// The same under its newer name. The higher one counts.
    min_version: Option<u64>,
    /// Only keys of these types, separated by commas.
    types: Option<String>,
}

/// The key that the path names.
struct Named {
    app: AppRef,
    name: SecretKeyName,
}

impl Named {
    fn of(call: &Incoming, audit: &mut AuditRecord) -> Result<Self, Failure> {
        let name = call.param("name")?;
        audit.set_secret_key(&name);
        Ok(Self { app: call.param("app")?, name })
    }

    fn request<'a>(
        &'a self,
        call: &Incoming,
        principal: &'a Principal,
        min_version: Option<u64>,
    ) -> KeyRequest<'a> {
        KeyRequest { principal, app: &self.app, name: &self.name, min_version, now: call.now }
    }
}

async fn list(
    call: &Call<Principal, NoBody, ListQuery>,
    audit: &mut AuditRecord,
) -> Result<SecretKeyList, Failure> {
    let query = KeyQuery {
        min_version: call.query.version.max(call.query.min_version),
        types: call.query.types.as_ref().map(|types| types.split(',').map(str::to_owned).collect()),
    };
    call.engine.list_secret_keys(audit, &call.credential, &call.param("app")?, &query, call.now).await
}

async fn show(
    call: &Call<Principal, NoBody, VersionQuery>,
    audit: &mut AuditRecord,
) -> Result<SecretKey, Failure> {
    let named = Named::of(call, audit)?;
    call.engine.show_secret_key(audit, &named.request(call, &call.credential, call.query.lowest())).await
}

async fn set(
    call: &Call<Principal, SetSecretKey>,
    audit: &mut AuditRecord,
) -> Result<SetSecretKeyResponse, Failure> {
    let named = Named::of(call, audit)?;
    let wanted = call.body().await?;
    call.engine.import_secret_key(audit, &named.request(call, &call.credential, None), &wanted).await
}

async fn generate(
    call: &Call<Principal, GenerateSecretKey>,
    audit: &mut AuditRecord,
) -> Result<SetSecretKeyResponse, Failure> {
    let named = Named::of(call, audit)?;
    let wanted = call.body().await?;
    call.engine.generate_secret_key(audit, &named.request(call, &call.credential, None), &wanted).await
}

async fn delete(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<Deleted, Failure> {
    let named = Named::of(call, audit)?;
    call.engine.delete_secret_key(audit, &named.request(call, &call.credential, None)).await
}

async fn encrypt(
    call: &Call<Principal, EncryptRequest, VersionQuery>,
    audit: &mut AuditRecord,
) -> Result<EncryptResponse, Failure> {
    let named = Named::of(call, audit)?;
    let wanted = call.body().await?;
    call.engine.encrypt(audit, &named.request(call, &call.credential, call.query.lowest()), &wanted).await
}

async fn decrypt(
    call: &Call<Principal, DecryptRequest, VersionQuery>,
    audit: &mut AuditRecord,
) -> Result<DecryptResponse, Failure> {
    let named = Named::of(call, audit)?;
    let wanted = call.body().await?;
    call.engine.decrypt(audit, &named.request(call, &call.credential, call.query.lowest()), &wanted).await
}

async fn sign(
    call: &Call<Principal, SignRequest, VersionQuery>,
    audit: &mut AuditRecord,
) -> Result<SignResponse, Failure> {
    let named = Named::of(call, audit)?;
    let wanted = call.body().await?;
    call.engine.sign(audit, &named.request(call, &call.credential, call.query.lowest()), &wanted).await
}

async fn verify(
    call: &Call<Principal, VerifyRequest, VersionQuery>,
    audit: &mut AuditRecord,
) -> Result<NoContent, Failure> {
    let named = Named::of(call, audit)?;
    let wanted = call.body().await?;
    let request = named.request(call, &call.credential, call.query.lowest());
    call.engine.verify_signature(audit, &request, &wanted).await?;
    Ok(NoContent)
}
