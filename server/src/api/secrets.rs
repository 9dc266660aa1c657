//! `/v1/apps/{app}/secrets`, in the shapes of the Machines API.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use petsem_api::{
    AppSecret, BulkUpdate, BulkUpdateResponse, Deleted, ErrorCode, History, RollbackRequest, SecretList,
    SecretName, SetSecret, SetSecretResponse,
};
use petsem_engine::{AuditRecord, Failure, Principal, ReadQuery, Reader};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use utoipa::IntoParams;

use crate::http::{BodyLimit, Call, NoBody, Route, tag};

/// What a change of secrets may be refused with.
const OF_CHANGES: &[ErrorCode] = &[
    ErrorCode::BadName,
    ErrorCode::BadValue,
    ErrorCode::NotFound,
    ErrorCode::Conflict,
    ErrorCode::StaleVersion,
    ErrorCode::ReservedName,
    ErrorCode::ValueTooLarge,
    ErrorCode::BundleTooLarge,
    ErrorCode::StoreFull,
];

pub(super) fn routes() -> Vec<Route> {
    const READS: &[ErrorCode] =
        &[ErrorCode::NotFound, ErrorCode::ReadNeedsWorkload, ErrorCode::VersionNotReached];
    vec![
        Route::get("/v1/apps/{app}/secrets")
            .named("listSecrets", tag::SECRETS, "List secrets, or read them with `show_secrets=true`")
            .described("Reading needs a JWT that a rule of the app's policy accepts, or a token that one was exchanged for, or break-glass.")
            .audited_by(|incoming| {
                reading(incoming.query::<ListQuery>().is_ok_and(|query| query.show_secrets), "secret.list")
            })
            .answers(StatusCode::OK, "The secrets, by name.")
            .refuses(READS)
            .by(list),
        Route::post("/v1/apps/{app}/secrets")
            .named("updateSecrets", tag::SECRETS, "Set and delete many secrets, all or none")
            .described(
                "Needs `write` for each name that is set and `delete` for each that is deleted. A name that programs obey \
                 by themselves is set only if the app's setting `allowed_reserved_names` lists it.",
            )
            .audited("secret.update")
            .limited(BodyLimit::Secrets)
            .answers(StatusCode::OK, "The secrets that were set, without values.")
            .refuses(OF_CHANGES)
            .by(update),
        Route::get("/v1/apps/{app}/secrets/{name}")
            .param::<SecretName>("name", "The secret.")
            .named("showSecret", tag::SECRETS, "Show a secret, or read it with `show_secrets=true`")
            .described("Reading needs a JWT that a rule of the app's policy accepts, or a token that one was exchanged for, or break-glass.")
            .audited_by(|incoming| {
                reading(incoming.query::<SecretsQuery>().is_ok_and(|query| query.show_secrets), "secret.show")
            })
            .answers(StatusCode::OK, "The secret. `value` or `value_b64` is present only if the client requested and may read it.")
            .refuses(READS)
            .by(show),
        Route::post("/v1/apps/{app}/secrets/{name}")
            .param::<SecretName>("name", "The secret.")
            .named("setSecret", tag::SECRETS, "Set a secret")
            .described(
                "A name that programs obey by themselves is set only if the app's setting `allowed_reserved_names` lists it.",
            )
            .audited("secret.set")
            .limited(BodyLimit::Secrets)
            .answers(StatusCode::CREATED, "The secret without its value, and the app version that has it.")
            .refuses(OF_CHANGES)
            .by(set),
        Route::delete("/v1/apps/{app}/secrets/{name}")
            .param::<SecretName>("name", "The secret.")
            .named("deleteSecret", tag::SECRETS, "Delete a secret; a name that does not exist may be deleted")
            .audited("secret.unset")
            .answers(StatusCode::OK, "The app version without the secret, and whether there was none.")
            .refuses(&[ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(unset),
        Route::get("/v1/apps/{app}/secrets/{name}/history")
            .param::<SecretName>("name", "The secret.")
            .named("secretHistory", tag::SECRETS, "List the changes of a secret, newest first")
            .audited("secret.history")
            .answers(StatusCode::OK, "The changes, newest first.")
            .refuses(&[ErrorCode::NotFound])
            .by(history),
        Route::post("/v1/apps/{app}/secrets/{name}/rollback")
            .param::<SecretName>("name", "The secret.")
            .named("rollBackSecret", tag::SECRETS, "Set an earlier value again, as a new version")
            .audited("secret.rollback")
            .limited(BodyLimit::Secrets)
            .answers(StatusCode::OK, "The secret without its value, and the app version that has it.")
            .refuses(OF_CHANGES)
            .by(rollback),
    ]
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct SecretsQuery {
    /// The lowest acceptable app version; otherwise 503 `version_not_reached`.
    version: Option<u64>,
    /// The same under its newer name. The higher one counts.
    min_version: Option<u64>,
    /// Values too. Other tokens than those that may read get 403 `read_needs_workload`.
    #[serde(default)]
    #[param(required = false, default = false)]
    show_secrets: bool,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only these secrets: names, with commas between. Each must be allowed; those that do not exist are left out.
    #[serde(default, deserialize_with = "separated_by_commas")]
    #[param(
        required = false,
        value_type = String,
        max_length = 16384,
        pattern = "^[A-Za-z_][A-Za-z0-9_]{0,254}(,[A-Za-z_][A-Za-z0-9_]{0,254})*$",
        example = "DATABASE_URL,SMTP_PASSWORD"
    )]
    names: BTreeSet<SecretName>,
    /// The lowest acceptable app version; otherwise 503 `version_not_reached`.
    version: Option<u64>,
    /// The same under its newer name. The higher one counts.
    min_version: Option<u64>,
    /// Values too. Other tokens than those that may read get 403 `read_needs_workload`.
    #[serde(default)]
    #[param(required = false, default = false)]
    show_secrets: bool,
}

fn separated_by_commas<'de, D: Deserializer<'de>>(text: D) -> Result<BTreeSet<SecretName>, D::Error> {
    let text = String::deserialize(text)?;
    text.split(',').map(|name| name.parse().map_err(D::Error::custom)).collect()
}

impl From<&SecretsQuery> for ReadQuery {
    fn from(query: &SecretsQuery) -> Self {
        let SecretsQuery { version, min_version, show_secrets } = *query;
        Self { names: BTreeSet::new(), min_version: version.max(min_version), show_values: show_secrets }
    }
}

impl From<&ListQuery> for ReadQuery {
    fn from(query: &ListQuery) -> Self {
        let ListQuery { ref names, version, min_version, show_secrets } = *query;
        Self { names: names.clone(), min_version: version.max(min_version), show_values: show_secrets }
    }
}

async fn list(
    call: &Call<Reader, NoBody, ListQuery>,
    audit: &mut AuditRecord,
) -> Result<SecretList, Failure> {
    call.engine
        .list_secrets(audit, &call.credential, &call.param("app")?, &(&call.query).into(), call.now)
        .await
}

async fn show(
    call: &Call<Reader, NoBody, SecretsQuery>,
    audit: &mut AuditRecord,
) -> Result<AppSecret, Failure> {
    let (app, name) = (call.param("app")?, call.param("name")?);
    call.engine.show_secret(audit, &call.credential, &app, &name, &(&call.query).into(), call.now).await
}

async fn set(
    call: &Call<Principal, SetSecret>,
    audit: &mut AuditRecord,
) -> Result<SetSecretResponse, Failure> {
    let name = call.param("name")?;
    let wanted = call.body().await?;
    call.engine.set_secret(audit, &call.credential, &call.param("app")?, name, &wanted, call.now).await
}

async fn update(
    call: &Call<Principal, BulkUpdate>,
    audit: &mut AuditRecord,
) -> Result<BulkUpdateResponse, Failure> {
    let wanted = call.body().await?;
    call.engine.update_secrets(audit, &call.credential, &call.param("app")?, &wanted, call.now).await
}

async fn unset(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<Deleted, Failure> {
    let name = call.param("name")?;
    call.engine.unset_secret(audit, &call.credential, &call.param("app")?, name, call.now).await
}

async fn history(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<History, Failure> {
    let name = call.param("name")?;
    call.engine.secret_history(audit, &call.credential, &call.param("app")?, &name).await
}

async fn rollback(
    call: &Call<Principal, RollbackRequest>,
    audit: &mut AuditRecord,
) -> Result<SetSecretResponse, Failure> {
    let name = call.param("name")?;
    let wanted = call.body().await?;
    call.engine.roll_back_secret(audit, &call.credential, &call.param("app")?, name, &wanted, call.now).await
}

/// The action of a read: whether values were requested must be visible at a glance.
fn reading(values: bool, otherwise: &'static str) -> &'static str {
    if values { "secret.read" } else { otherwise }
}
