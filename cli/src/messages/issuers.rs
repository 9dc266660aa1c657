//! Issuers of JWTs, and outside dischargers.

use std::path::Path;

use petsem_api::{BootClaims, Discharger, Issuer, IssuerId, KeysFrom, LeftOutKey, ParseError};
use petsem_policy::evaluate::{BOOT_LIFE_SECONDS, READ_LIFE_SECONDS};

use super::phrasing::{counted, file_name};
use crate::failure::{Exit, Failure};

pub(crate) fn invalid_issuer(path: &Path, error: &ParseError) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} is not an issuer: {error}", file_name(path)),
        "give {\"issuer\": \"https://…\", \"algorithms\": [\"ES256\"]} with one of \"keys\": {\"keys\": [ … ]}, \
         \"jwks_url\": \"https://…\" and \"discovery\": true",
    )
}

pub(crate) fn issuer_added(issuer: &Issuer) -> String {
    let mut lines = vec![format!("issuer {} is registered as {}", issuer.issuer, issuer.id)];
    lines.extend(left_out(issuer));
    let registered = lines.join("\n");
    match issuer.fetched {
        None => registered,
        Some(_) => format!(
            "{registered}\nits keys are fetched while the server runs; /readyz warns when they cannot be fetched"
        ),
    }
}

pub(crate) fn issuer_deletion(id: IssuerId) -> String {
    format!(
        "this revokes all JWTs of issuer {id}, and everything derived from them: tokens, and renewals of boots; its JWTs \
         are refused until it is registered again, which needs a second person"
    )
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

pub(crate) fn no_such_issuer(issuer: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("no issuer is registered as {issuer:?}"),
        "give the exact `iss`, or the id; `petsem issuer list` lists the issuers",
    )
}

/// One issuer, a line for each fact.
pub(crate) fn issuer_shown(issuer: &Issuer) -> String {
    let mut lines = vec![
        format!("issuer       {}", issuer.issuer),
        format!("id           {}", issuer.id),
        format!("algorithms   {}", issuer.algorithms.join(" ")),
        format!("boot claims  {}", boot_claims(issuer.boot_claims.as_ref())),
        format!(
            "life         {} s, to boot {} s",
            issuer.longest_life_seconds.unwrap_or(READ_LIFE_SECONDS),
            issuer.longest_boot_life_seconds.unwrap_or(BOOT_LIFE_SECONDS)
        ),
        format!("audiences    {}", audiences(issuer)),
        format!("types        {}", types(issuer)),
        format!("keys         {}", issuer_keys(issuer)),
    ];
    lines.extend(left_out(issuer));
    lines.join("\n")
}

fn audiences(issuer: &Issuer) -> String {
    let claim = issuer.audience_claim.as_deref().unwrap_or("aud");
    let others: String = issuer.audiences.iter().map(|audience| format!(", {audience:?}")).collect();
    format!("{claim}: this installation{others}")
}

fn types(issuer: &Issuer) -> String {
    if issuer.types.is_empty() { "JWT at+jwt none".to_owned() } else { issuer.types.join(" ") }
}

/// The keys that are not used, each with its reason.
fn left_out(issuer: &Issuer) -> Vec<String> {
    let described = |key: &LeftOutKey| {
        let id = key.kid.as_ref().map_or_else(String::new, |kid| format!(" ({kid:?})"));
        format!("not used     key {}{id} {}", key.position, key.problem)
    };
    let mut lines: Vec<String> = issuer.left_out.iter().map(described).collect();
    let more = issuer.left_out_count.saturating_sub(lines.len() as u64);
    if more > 0 {
        lines.push(format!("not used     {more} more keys"));
    }
    lines
}

/// The claims that name app and Machine of a boot, if they were registered.
pub(crate) fn boot_claims(claims: Option<&BootClaims>) -> String {
    claims.map_or_else(|| "-".to_owned(), |claims| format!("{}, {}", claims.app, claims.machine))
}

fn not_used(issuer: &Issuer) -> String {
    match issuer.left_out_count {
        0 => String::new(),
        count => format!(" ({count} not used)"),
    }
}

/// Where an issuer's keys come from, and the result of the last fetch.
pub(crate) fn issuer_keys(issuer: &Issuer) -> String {
    let from = match (issuer.keys_from, &issuer.jwks_url) {
        (KeysFrom::Registration, _) => format!("{} registered{}", issuer.usable_keys, not_used(issuer)),
        (KeysFrom::JwksUrl, Some(url)) => url.clone(),
        (KeysFrom::Discovery, _) => "by discovery".to_owned(),
        _ => "unknown to this version".to_owned(),
    };
    let Some(fetched) = &issuer.fetched else { return from };
    let keys = counted(fetched.keys, "key", "keys");
    let age = fetched
        .age_seconds
        .map_or("never fetched".to_owned(), |age| format!("{keys} fetched {age} s ago{}", not_used(issuer)));
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

pub(crate) fn discharger_deletion(id: &str) -> String {
    format!(
        "discharges and renewals under the key of discharger {id} are then refused: what boots with them stops"
    )
}

pub(crate) fn discharger_deleted(discharger: &Discharger) -> String {
    format!("the discharger {} at {} is deleted", discharger.id, discharger.location)
}
