//! Orgs, apps and app policies.

use std::fmt::Display;

use petsem_api::{AppId, AppName, ChangeAppSettings, ErrorCode, OrgName, ParseError, SecretName};
use petsem_policy::Action;

use crate::error::Failure;

/// Names that a text lists.
const NAMED: usize = 8;

/// What the answer to a deletion says.
pub(crate) const APP_DELETED: &str = "The app's keys are destroyed: from now on no node, query or new backup yields its values. \
    Older backups, WAL archives and copies of dead rows can still be opened with a seal that was valid at that time. To \
    prevent that, destroy those copies; or replace the seals (`petsem operator seal add`, `petsem operator seal \
    remove`), then create a new root key and a new keyring (`petsem operator rotate-root`, `petsem operator \
    rotate-keyring`), and destroy the keys of the old seals.";

/// The error for an org that does not exist, for principals that may know.
pub(crate) fn no_such_org() -> Failure {
    Failure::new(ErrorCode::NotFound, "there is no such org; `petsem org list` shows all orgs")
}

/// Whether the org exists or not.
pub(crate) fn org_not_shown() -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        "there is no such org, or this token does not allow that for it; use a token of the org, or an operator's",
    )
}

/// Whether the org exists or not.
pub(crate) fn org_not_allowed(action: Action) -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        format!("there is no such org, or this token does not allow {action} for it"),
    )
}

pub(crate) fn org_has_apps() -> Failure {
    Failure::new(ErrorCode::Conflict, "the org still has apps; nothing was changed; delete them first")
}

pub(crate) fn org_deleted_meanwhile() -> Failure {
    Failure::new(ErrorCode::NotFound, "the org was deleted in the meantime; nothing was created")
}

pub(crate) fn not_one_org() -> Failure {
    Failure::new(ErrorCode::BadRequest, "an app has one org; give either org or org_slug")
}

pub(crate) fn no_networks_and_roles() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "petsem has no networks and no roles of apps; leave network and app_role_id empty",
    )
}

/// A name that is in use, wanted for an org.
pub(crate) fn org_name_taken(name: &OrgName) -> Failure {
    Failure::new(
        ErrorCode::NameTaken,
        format!("the name {name} is already in use; choose another name for the org"),
    )
}

/// A name that is in use, perhaps by an app of another org.
pub(crate) fn app_name_taken(name: &AppName, org: &OrgName) -> Failure {
    let suggested = match name.as_str().strip_prefix(org.as_str()) {
        Some(rest) if rest.is_empty() || rest.starts_with('-') => format!("{name}-2"),
        _ => format!("{org}-{name}"),
    };
    let suggested = suggested.parse::<AppName>().map(|name| format!(", such as {name}")).unwrap_or_default();
    Failure::new(
        ErrorCode::NameTaken,
        format!(
            "the name {name} is already in use; names of apps are unique across all orgs; choose another name{suggested}"
        ),
    )
}

/// The app was deleted between two reads.
pub(crate) fn app_deleted_meanwhile() -> Failure {
    Failure::new(ErrorCode::NotFound, "the app was deleted in the meantime; nothing was changed")
}

/// Every attempt conflicted with another write.
pub(crate) fn app_always_changing() -> Failure {
    Failure::new(ErrorCode::Busy, "other requests keep changing the app; nothing was changed; try again")
        .retry_after(1)
}

pub(crate) fn renewal_life_too_long() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "renewal_life must be at most 2592000 seconds (30 days); 0 means none",
    )
}

pub(crate) fn invalid_history() -> Failure {
    Failure::new(ErrorCode::BadRequest, "history must be 1 to 100 values of each secret")
}

pub(crate) fn too_many_allowed_names() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "allowed_reserved_names has at most 64 names; nothing was changed; withdraw some first",
    )
}

/// Consent to a name that needs none.
pub(crate) fn name_is_not_reserved(name: &SecretName) -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        format!("{name} is not reserved, so it needs no consent; nothing was changed; check its spelling"),
    )
}

/// A withdrawn name that was never allowed, and cannot be.
pub(crate) fn no_such_allowed_name(name: &SecretName) -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        format!(
            "{name} is not reserved, and not among the names that the app allows; nothing was changed; check its spelling \
             (`petsem app show`)"
        ),
    )
}

/// The settings allow less than when the change was decided.
pub(crate) fn settings_changed_meanwhile() -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        "the app's settings were changed at the same time; nothing was changed by this request; review them and try again",
    )
}

pub(crate) fn name_allowed_and_withdrawn(name: &SecretName) -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        format!("{name} is both allowed and withdrawn; nothing was changed; name it once"),
    )
}

/// Reserved names that a creator may not allow alone.
pub(crate) fn settings_need_second_person() -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        "allowed reserved names, or a `renewal_life` above the default, need a second person here; nothing was created; \
         create the app without them, then request them with `petsem app set APP --allow-reserved-name NAME` or \
         `--renewal-life DURATION`",
    )
}

/// The summary of a request to change settings.
pub(crate) fn settings_change(name: &dyn Display, app: AppId, change: &ChangeAppSettings) -> String {
    format!("change the settings of app {name} ({app}): {}", changed_settings(change))
}

/// What a change of settings changes: for its summary and for the audit log, which has all its names beside.
pub(crate) fn changed_settings(change: &ChangeAppSettings) -> String {
    let ChangeAppSettings { renewal_life, history, allow_reserved_names, withdraw_reserved_names } = change;
    let mut changes = Vec::new();
    changes.extend(renewal_life.map(|life| format!("renewal_life {life}")));
    changes.extend(history.map(|history| format!("history {history}")));
    for (what, names) in [("allow", allow_reserved_names), ("withdraw", withdraw_reserved_names)] {
        changes.extend(names.iter().take(NAMED).map(|name| format!("{what} {name}")));
        if let Some(more) = names.len().checked_sub(NAMED).filter(|more| *more > 0) {
            changes.push(format!("{what} {more} more"));
        }
    }
    changes.join(", ")
}

pub(crate) fn app_version_not_reached(version: u64, wanted: u64) -> Failure {
    Failure::new(
        ErrorCode::VersionNotReached,
        format!("the app is at version {version}, not yet at {wanted}; try again"),
    )
    .retry_after(1)
}

pub(crate) fn app_version_differs(version: u64, expected: u64) -> Failure {
    Failure::new(
        ErrorCode::StaleVersion,
        format!(
            "the app is at version {version}, not at {expected}; nothing was changed; review the changes and try again"
        ),
    )
}

pub(crate) fn policy_version_differs(version: u64, expected: u64) -> Failure {
    Failure::new(
        ErrorCode::StaleVersion,
        format!(
            "the policy is at version {version}, not at {expected}; nothing was changed; review it and try again"
        ),
    )
}

pub(crate) fn invalid_policy(error: &dyn Display) -> Failure {
    Failure::new(ErrorCode::BadPolicy, format!("{error}; the policy was not changed"))
}

pub(crate) fn policy_does_not_parse(fault: &ParseError) -> String {
    format!("the policy does not parse: {fault}")
}

/// A policy whose JSON has another shape, if its field is not known.
pub(crate) fn policy_shape(line: usize, column: usize) -> String {
    format!(
        "a field of the policy is unknown, missing or of the wrong type (line {line}, column {column} of its compact form)"
    )
}

pub(crate) fn policy_trusts_unregistered(rule: &str, issuer: &str) -> Failure {
    Failure::new(
        ErrorCode::BadPolicy,
        format!(
            "rule {rule:?} trusts an issuer that is not registered, {issuer}; the policy was not changed; an operator \
             registers issuers (`petsem issuer add`)"
        ),
    )
}

pub(crate) fn policy_trusts_unknown_discharger(rule: &str, location: &str) -> Failure {
    Failure::new(
        ErrorCode::BadPolicy,
        format!(
            "rule {rule:?} trusts {location:?}, where no outside discharger of the platform or of this org is registered; \
             the policy was not changed; register it with `petsem discharger add`"
        ),
    )
}

/// The summary of a request for a second person.
pub(crate) fn policy_change(name: &dyn Display, app: AppId) -> String {
    format!("set the policy of app {name} ({app})")
}
