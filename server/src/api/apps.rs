//! `/v1/apps`, an app, its settings and its policy.

use axum::http::StatusCode;
use petsem_api::{
    App, AppId, AppList, ChangeAppSettings, CreateApp, DeletedApp, ErrorCode, OrgRef, PolicyDocument,
    PutPolicy,
};
use petsem_engine::{AuditRecord, Failure, Principal};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::{Answered, Call, NoBody, Route, tag};
use crate::messages;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/apps")
            .named("listApps", tag::APPS, "List the apps of an org")
            .audited("app.list")
            .answers(StatusCode::OK, "A page of the apps of an org, by id.")
            .refuses(&[ErrorCode::NotFound])
            .by(list),
        Route::post("/v1/apps")
            .named("createApp", tag::APPS, "Create an app")
            .described(
                "Needs the action `write` in the org; to allow reserved names, or for a `renewal_life` above the default, \
                 also `manage_policy`. The answer does not come before the app exists, with `wait` or without.",
            )
            .audited("app.create")
            .answers(StatusCode::CREATED, "The app.")
            .refuses(&[
                ErrorCode::BadName,
                ErrorCode::NotFound,
                ErrorCode::NameTaken,
                ErrorCode::Conflict,
                ErrorCode::StoreFull,
            ])
            .by(create),
        Route::get("/v1/apps/{app}")
            .named("showApp", tag::APPS, "Show an app")
            .audited("app.show")
            .described(
                "A token that may create the app gets 404 if its name is free. Others that do not cover the app get 403, \
                 whether it exists or not.",
            )
            .answers(StatusCode::OK, "The app.")
            .refuses(&[ErrorCode::NotFound])
            .by(show),
        Route::delete("/v1/apps/{app}")
            .named("deleteApp", tag::APPS, "Delete an app and destroy its keys")
            .audited("app.delete")
            .answers(StatusCode::OK, "What was deleted, and what older copies still hold.")
            .refuses(&[ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(delete),
        Route::patch("/v1/apps/{app}/settings")
            .named("changeAppSettings", tag::APPS, "Change settings of an app")
            .described(
                "Needs the action `manage_policy`. Consent to reserved names and longer renewals wait for a second person \
                 (202) in an org that guards its policies, and if the token is the platform's or was minted from one.",
            )
            .audited("app.settings")
            .answers(StatusCode::OK, "The app.")
            .refuses(&[ErrorCode::BadName, ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::StoreFull])
            .by(change_settings),
        Route::get("/v1/apps/{app}/policy")
            .named("showPolicy", tag::APPS, "Show the policy of an app")
            .described("Needs the action `manage_policy`.")
            .audited("policy.show")
            .answers(StatusCode::OK, "The policy.")
            .refuses(&[ErrorCode::NotFound])
            .by(policy),
        Route::put("/v1/apps/{app}/policy")
            .named("setPolicy", tag::APPS, "Replace the policy of an app")
            .described(
                "Needs the action `manage_policy`. A policy with a new rule waits for a second person (202) in an org that \
                 guards its policies, and if the token is an operator's or was minted from one.",
            )
            .audited("policy.set")
            .answers(StatusCode::OK, "The policy.")
            .refuses(&[
                ErrorCode::BadPolicy,
                ErrorCode::NotFound,
                ErrorCode::Conflict,
                ErrorCode::StaleVersion,
                ErrorCode::StoreFull,
            ])
            .by(set_policy),
    ]
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// The org.
    org: Option<OrgRef>,
    /// The same, in the words of Fly.io's clients. One of both is given.
    org_slug: Option<OrgRef>,
    /// `next` of the page before.
    after: Option<AppId>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct CreateQuery {
    /// Fly.io's clients send it; it changes nothing.
    #[expect(dead_code, reason = "accepted and checked, and nothing more")]
    wait: Option<bool>,
}

async fn create(
    call: &Call<Principal, CreateApp, CreateQuery>,
    audit: &mut AuditRecord,
) -> Result<App, Failure> {
    let wanted = call.body().await?;
    call.engine.create_app(audit, &call.credential, wanted, call.now).await
}

async fn list(
    call: &Call<Principal, NoBody, ListQuery>,
    audit: &mut AuditRecord,
) -> Result<AppList, Failure> {
    let org = match (&call.query.org, &call.query.org_slug) {
        (Some(org), None) | (None, Some(org)) => org,
        _ => return Err(messages::not_one_org_in_query()),
    };
    call.engine.list_apps(audit, &call.credential, org, call.query.after, call.now).await
}

async fn show(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<App, Failure> {
    call.engine.show_app(audit, &call.credential, &call.param("app")?).await
}

async fn delete(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<DeletedApp, Failure> {
    call.engine.delete_app(audit, &call.credential, &call.param("app")?).await
}

async fn change_settings(
    call: &Call<Principal, ChangeAppSettings>,
    audit: &mut AuditRecord,
) -> Result<Answered<App>, Failure> {
    let wanted = call.body().await?;
    let app = call.param("app")?;
    call.engine.change_app_settings(audit, &call.credential, &app, wanted, call.now).await.map(Answered)
}

async fn policy(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<PolicyDocument, Failure> {
    call.engine.show_policy(audit, &call.credential, &call.param("app")?).await
}

async fn set_policy(
    call: &Call<Principal, PutPolicy>,
    audit: &mut AuditRecord,
) -> Result<Answered<PolicyDocument>, Failure> {
    let wanted = call.body().await?;
    call.engine.put_policy(audit, &call.credential, &call.param("app")?, wanted, call.now).await.map(Answered)
}
