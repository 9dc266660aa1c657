//! Issuers of JWTs, and outside dischargers.

use std::path::Path;

use petsem_api::{BootClaims, Discharger, Issuer, KeysFrom};

use super::phrasing::{counted, file_name};
use crate::failure::{Exit, Failure};

pub(crate) fn invalid_issuer(path: &Path, error: &serde_json::Error) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} is not an issuer: {error}", file_name(path)),
        "give {\"issuer\": \"https://…\", \"algorithms\": [\"ES256\"]} with one of \"keys\": {\"keys\": [ … ]}, \
         \"jwks_url\": \"https://…\" and \"discovery\": true",
    )
}

pub(crate) fn issuer_added(issuer: &Issuer) -> String {
    let registered = format!("issuer {} is registered as {}", issuer.issuer, issuer.id);
    match issuer.fetched {
        None => registered,
        Some(_) => format!(
            "{registered}\nits keys are fetched while the server runs; /readyz warns when they cannot be fetched"
        ),
    }
}

pub(crate) fn issuer_deleted(issuer: &Issuer) -> String {
    format!(
        "issuer {} is deleted; the JWTs that it has issued, and everything derived from them, are revoked\n\
         rules of app policies that name it remain, and allow nothing",
        issuer.issuer
    )
}

pub(crate) fn issuer_not_registered(issuer: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("no issuer is registered as {issuer:?}"),
        "`petsem issuer list` lists the issuers; without --replace this one is registered",
    )
}

/// The claims that name app and Machine of a boot, if they were registered.
pub(crate) fn boot_claims(claims: Option<&BootClaims>) -> String {
    claims.map_or_else(|| "-".to_owned(), |claims| format!("{}, {}", claims.app, claims.machine))
}

/// Where an issuer's keys come from, and the result of the last fetch.
pub(crate) fn issuer_keys(issuer: &Issuer) -> String {
    let from = match (issuer.keys_from, &issuer.jwks_url) {
        (KeysFrom::Registration, _) => "registered".to_owned(),
        (KeysFrom::JwksUrl, Some(url)) => url.clone(),
        (KeysFrom::Discovery, _) => "by discovery".to_owned(),
        _ => "unknown to this version".to_owned(),
    };
    let Some(fetched) = &issuer.fetched else { return from };
    let keys = counted(fetched.keys, "key", "keys");
    let age =
        fetched.age_seconds.map_or("never fetched".to_owned(), |age| format!("{keys} fetched {age} s ago"));
    match &fetched.problem {
        None => format!("{from}, {age}"),
        Some(problem) => format!("{from}, {age}; last fetch failed: {problem}"),
    }
}

pub(crate) fn invalid_shared_key() -> Failure {
    Failure::new(Exit::Usage, "invalid shared key", "give 32 bytes in base64, as the discharger shows them")
}

pub(crate) fn invalid_discharger_id() -> Failure {
    Failure::new(
        Exit::Usage,
        "invalid discharger id",
        "give 32 hex digits, as `petsem discharger list` shows",
    )
}

pub(crate) fn discharger_added(discharger: &Discharger) -> String {
    format!("the discharger at {} is registered as {}", discharger.location, discharger.id)
}

pub(crate) fn discharger_deleted(discharger: &Discharger) -> String {
    format!("the discharger {} at {} is deleted", discharger.id, discharger.location)
}
