//! Secret keys of an app: keys that are used and never read.

use std::fmt::Display;

use petsem_api::{ErrorCode, SecretKeyName, SecretKeyType};

use crate::error::Failure;

pub(crate) fn generated_key_has_value() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "a generated key takes no value; nothing was changed; to import a key, POST it to the path without /generate",
    )
}

/// The error for a missing key, for principals that may know that.
pub(crate) fn no_such_secret_key(name: &SecretKeyName) -> Failure {
    Failure::new(
        ErrorCode::NotFound,
        format!("the app has no secret key {name}; `petsem keys list` shows all keys"),
    )
}

/// A key of another type than the other versions of its label, which the principal may not be allowed to list.
pub(crate) fn other_key_type(name: &SecretKeyName, kind: SecretKeyType) -> Failure {
    let label = name.unversioned();
    Failure::new(
        ErrorCode::Conflict,
        format!(
            "{name} would be a key of type {kind}, but {label} has a version of another type, and who uses {label} gets the \
             newest; nothing was changed; choose another label"
        ),
    )
}

pub(crate) fn key_not_imported(error: &dyn Display) -> Failure {
    Failure::new(ErrorCode::BadKey, format!("{error}; nothing was changed"))
}

pub(crate) fn too_many_secret_keys(most: usize) -> Failure {
    Failure::new(
        ErrorCode::BundleTooLarge,
        format!("an app has at most {most} secret keys; nothing was changed; delete old versions first"),
    )
}
