//! Secrets of an app: reads, writes and their history.

use petsem_api::{AppName, ErrorCode, SecretName};

use crate::error::Failure;

/// How many names a refusal lists.
const NAMED: usize = 8;

/// The error for a secret that does not exist, for principals that may know that.
pub(crate) fn no_such_secret(name: &SecretName) -> Failure {
    Failure::new(
        ErrorCode::NotFound,
        format!("the app has no secret {name}; `petsem secrets list` shows all secrets"),
    )
}

pub(crate) fn no_such_version(name: &SecretName, version: u64) -> Failure {
    Failure::new(
        ErrorCode::NotFound,
        format!("no value of {name} was set in version {version}, or it is no longer kept; see its history"),
    )
}

pub(crate) fn tokens_do_not_read() -> Failure {
    Failure::new(
        ErrorCode::ReadNeedsWorkload,
        "a token does not read values: read them with a JWT that the app's policy accepts (`petsem run`), boot a Machine, or ask a second person (`petsem break-glass`)",
    )
}

/// The refusal of a JWT, the same as for an app that does not exist.
pub(crate) fn jwt_does_not_read() -> Failure {
    Failure::new(
        ErrorCode::PolicyDenied,
        "there is no such app, or no rule of its policy lets this JWT read that; \
         the app's owner sees the policy with `petsem policy show`",
    )
}

/// The refusal of an exchanged token, the same as for an app that does not exist.
pub(crate) fn exchanged_token_does_not_read() -> Failure {
    Failure::new(
        ErrorCode::PolicyDenied,
        "there is no such app, or this token does not read that, or the rule behind it no longer allows it; inspect \
         the token with `petsem token inspect`, or exchange a new JWT",
    )
}

pub(crate) fn too_many_secrets(most: usize) -> Failure {
    Failure::new(
        ErrorCode::BundleTooLarge,
        format!("an app has at most {most} secrets; nothing was changed; delete some first"),
    )
}

pub(crate) fn bundle_too_large() -> Failure {
    Failure::new(
        ErrorCode::BundleTooLarge,
        "the names and values of an app are at most 1 MiB together; nothing was changed; delete some first",
    )
}

/// Names that programs obey, and which programs, in an app that does not allow them.
pub(crate) fn reserved_names(app: &AppName, names: &[(&SecretName, &str)]) -> Failure {
    let shown = names.get(..NAMED).unwrap_or(names);
    let list: Vec<_> = shown.iter().map(|(name, obeyed_by)| format!("{name} (by {obeyed_by})")).collect();
    let more = if shown.len() < names.len() {
        format!(" and {} more", names.len() - shown.len())
    } else {
        String::new()
    };
    let flags: String = shown.iter().map(|(name, _)| format!(" --allow-reserved-name {name}")).collect();
    Failure::new(
        ErrorCode::ReservedName,
        format!(
            "reserved, because programs obey them in their environment: {}{more}; nothing was changed; choose other names, \
             or allow these in the app's setting allowed_reserved_names, which needs manage_policy: `petsem app set \
             {app}{flags}`",
            list.join(", ")
        ),
    )
}

pub(crate) fn value_too_large(name: &SecretName) -> Failure {
    Failure::new(
        ErrorCode::ValueTooLarge,
        format!(
            "the value of {name} is over 64 KiB; nothing was changed; split it, or keep it in object storage and its key here"
        ),
    )
}

pub(crate) fn kek_rotated_meanwhile() -> Failure {
    Failure::new(ErrorCode::Busy, "the app's KEK was just rotated; nothing was changed; try again")
        .retry_after(1)
}
