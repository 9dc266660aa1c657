//! Issuers of JWTs.

use std::path::Path;

use petsem_api::{Issuer, KeysFrom};

use super::name_of;
use crate::failure::{Exit, Failure};

pub(crate) fn no_issuer(path: &Path, error: &serde_json::Error) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} is no issuer: {error}", name_of(path)),
        "give {\"issuer\": \"https://…\", \"algorithms\": [\"ES256\"]} with one of \"keys\": {\"keys\": [ … ]}, \
         \"jwks_url\": \"https://…\" and \"discovery\": true",
    )
}

pub(crate) fn issuer_added(issuer: &Issuer) -> String {
    let registered = format!("issuer {} is registered as {}", issuer.issuer, issuer.id);
    match issuer.fetched {
        None => registered,
        Some(_) => format!(
            "{registered}\nits keys are fetched while the server runs; /readyz warns when they cannot be"
        ),
    }
}

pub(crate) fn issuer_deleted(issuer: &Issuer) -> String {
    format!(
        "issuer {} is deleted; the JWTs that it issued so far, and what came of them, count no more\n\
         rules of app policies that name it stay, and allow nothing",
        issuer.issuer
    )
}

pub(crate) fn not_registered(issuer: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("no issuer is registered as {issuer:?}"),
        "`petsem issuer list` shows all; without --replace this one is registered",
    )
}

/// Where an issuer's keys come from, and how this went.
pub(crate) fn issuer_keys(issuer: &Issuer) -> String {
    let from = match (issuer.keys_from, &issuer.jwks_url) {
        (KeysFrom::Registration, _) => "registered".to_owned(),
        (KeysFrom::JwksUrl, Some(url)) => url.clone(),
        (KeysFrom::Discovery, _) => "by discovery".to_owned(),
        _ => "unknown to this version".to_owned(),
    };
    let Some(fetched) = &issuer.fetched else { return from };
    let age = fetched
        .age_seconds
        .map_or("never fetched".to_owned(), |age| format!("{} keys fetched {age} s ago", fetched.keys));
    match &fetched.problem {
        None => format!("{from}, {age}"),
        Some(problem) => format!("{from}, {age}; last: {problem}"),
    }
}
