//! `petsem dev`.

use std::fmt::Display;
use std::path::Path;

use crate::error::StartError;

pub(crate) fn not_loopback(listen: &str) -> StartError {
    StartError::Refused(format!(
        "{listen} is not a loopback address with a port: `petsem dev` has no TLS; use one like 127.0.0.1:8200"
    ))
}

pub(crate) fn incomplete_directory(directory: &Path) -> StartError {
    StartError::Refused(format!(
        "{} is incomplete: an earlier start was interrupted; remove it and start again",
        directory.display()
    ))
}

pub(crate) fn invalid_issuer_key(path: &Path) -> StartError {
    StartError::Refused(format!(
        "{} is not an Ed25519 key in PEM; remove the directory of `petsem dev` and start it again",
        path.display()
    ))
}

pub(crate) fn jwt_not_signed(error: &dyn Display) -> StartError {
    StartError::Refused(format!("the JWT cannot be signed: {error}"))
}
