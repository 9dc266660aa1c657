//! The keyring and its rotation, rotations of the KEKs of apps, and changes of the seals by a note.

use petsem_api::ErrorCode;

use crate::error::Failure;

pub(crate) fn keyring_rotating_now() -> Failure {
    Failure::new(ErrorCode::Busy, "the keyring is being rotated; nothing was changed; try again")
        .retry_after(1)
}

pub(crate) fn keyring_rotation_running() -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        "the keyring is being rotated already; nothing was changed; `petsem operator rotations` shows the progress",
    )
}

pub(crate) fn keyring_rotation_blocked() -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        "a rotation of the keyring is in progress, and a row cannot be re-wrapped; nothing was changed; \
         `petsem operator verify` names the row: restore it, then try again",
    )
}

pub(crate) fn no_replacement() -> Failure {
    Failure::new(ErrorCode::Conflict, "no replacement of keys has begun; nothing was changed")
}

/// The detail of an audit line.
pub(crate) fn keys_replaced(seal: &str, description: &str) -> String {
    format!("seal {seal} ({description}) was compromised; every key that it could open is replaced")
}

/// The detail of an audit line.
pub(crate) fn signing_keys_replaced(revoked: usize, created: usize) -> String {
    format!("{revoked} signing keys revoked, {created} created")
}

/// The detail of an audit line.
pub(crate) fn dischargers_replaced(own: usize, outside: &[&str]) -> String {
    let own = format!("new keys of petsem's own discharger: {own}");
    match outside.is_empty() {
        true => own,
        false => format!("{own}; the keys of outside dischargers are deleted: {}", outside.join(", ")),
    }
}

pub(crate) fn root_key_replaced_now() -> Failure {
    Failure::new(
        ErrorCode::Busy,
        "the root key or the keyring is being replaced; nothing was changed; try again",
    )
    .retry_after(1)
}

pub(crate) fn seals_replaced_now() -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        "the list of seals is not the one that this change was planned on: it changed meanwhile, or an older one was \
         put back; nothing was changed; run the command again",
    )
}

pub(crate) fn app_rotation_running() -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        "the app's KEK is being rotated already; nothing was changed; `petsem operator rotations` shows the progress",
    )
}

pub(crate) fn unknown_seal_change() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "unknown change of the seals; use a `petsem` of the same version as the server",
    )
}

pub(crate) fn command_of_another_store() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "the command belongs to another store; use this store's configuration, and a `petsem` of the same version as \
         the server",
    )
}

pub(crate) fn command_too_old() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "the command took more than a minute to reach the server; run it again",
    )
}
