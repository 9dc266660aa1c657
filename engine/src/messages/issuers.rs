//! Registrations of issuers and of outside dischargers.

use std::fmt::Display;

use petsem_api::{ErrorCode, OrgId};
use petsem_policy::evaluate::{Algorithm, JwtTypes};

use crate::error::Failure;

/// Most keys that a summary lists one by one.
const KEYS_LISTED: usize = 4;

/// Only operators read this; they may know all issuers.
pub(crate) fn no_such_issuer() -> Failure {
    Failure::new(
        ErrorCode::NotFound,
        "there is no such issuer; nothing was changed; list the issuers with `petsem issuer list`",
    )
}

pub(crate) fn issuer_registered() -> Failure {
    Failure::new(
        ErrorCode::NameTaken,
        "the issuer is already registered; nothing was changed; request a change of its registration with \
         `petsem issuer add --replace`",
    )
}

pub(crate) fn iss_cannot_change() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "the `iss` of an issuer cannot be changed; nothing was changed; register the new one, and delete the old one",
    )
}

pub(crate) fn issuer_changed_meanwhile() -> Failure {
    Failure::new(
        ErrorCode::StaleVersion,
        "the issuer was changed after this request was made; nothing was changed; check the issuer and request again",
    )
}

pub(crate) fn invalid_iss() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "issuer must be the exact `iss` of its JWTs, 1 to 512 bytes on one line",
    )
}

pub(crate) fn iss_is_own_name() -> Failure {
    Failure::new(ErrorCode::BadRequest, "issuer is this installation's own name; register the JWTs' `iss`")
}

pub(crate) fn unsupported_algorithm(name: &str) -> Failure {
    let known: Vec<&str> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
    Failure::new(
        ErrorCode::BadRequest,
        format!("unsupported JWT algorithm {name:?}; choose from {}", known.join(", ")),
    )
}

pub(crate) fn no_algorithm() -> Failure {
    Failure::new(ErrorCode::BadRequest, "no algorithm given; name at least one, such as ES256")
}

pub(crate) fn repeated_algorithm() -> Failure {
    Failure::new(ErrorCode::BadRequest, "an algorithm is given twice; name each once")
}

pub(crate) fn invalid_boot_claims() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "boot_claims needs two different claims of 1 to 128 bytes, none of them iss, aud, exp, iat or nbf",
    )
}

/// A registration in words, for the person who approves it. It names the source of the keys.
pub(crate) fn issuer_with_keys_url(issuer: &dyn Display, url: &dyn Display) -> String {
    format!("the issuer {issuer}, keys from {url}")
}

pub(crate) fn issuer_with_discovery(issuer: &dyn Display) -> String {
    format!("the issuer {issuer}, keys by its discovery document")
}

pub(crate) fn issuer_with_keys(issuer: &dyn Display, thumbprints: &[&str], digest: &str) -> String {
    let keys = thumbprints.join(", ");
    let listed = match thumbprints.len() {
        1 => return format!("the issuer {issuer}, registered keys by SHA-256 thumbprint (RFC 7638): {keys}"),
        2..=KEYS_LISTED => format!("registered keys by SHA-256 thumbprint (RFC 7638): {keys}"),
        // An audit line has room for a few.
        more => format!("{more} registered keys"),
    };
    format!(
        "the issuer {issuer}, {listed}; the sorted thumbprints (RFC 7638), one a line, have the SHA-256 digest {digest}"
    )
}

pub(crate) fn issuer_with_boot_claims(
    registration: &str,
    app: &dyn Display,
    machine: &dyn Display,
) -> String {
    format!("{registration}; its claims {app} and {machine} name the app and the Machine of a boot")
}

/// What the registration states about its JWTs, where it is not the default.
pub(crate) fn issuer_with_jwts(
    mut registration: String,
    algorithms: &[String],
    (life, boot_life): (Option<u32>, Option<u32>),
    audience_claim: Option<&str>,
    audiences: &[String],
    types: &[String],
) -> String {
    let mut add = |fact: String| {
        registration.push_str("; ");
        registration.push_str(&fact);
    };
    add(format!("its JWTs are signed by {}", algorithms.join(", ")));
    if let Some(life) = life {
        add(format!("its JWTs live at most {life} s"));
    }
    if let Some(life) = boot_life {
        add(format!("its JWTs that prove boots live at most {life} s"));
    }
    if let Some(claim) = audience_claim {
        add(format!("its claim {} is the audience", claim.escape_debug()));
    }
    if !types.is_empty() {
        add(format!("its JWTs are of type {}", types.join(", ")));
    }
    // The longest part is the last: an audit line may be cut.
    if !audiences.is_empty() {
        add(format!("it also issues JWTs for {audiences:?}"));
    }
    registration
}

pub(crate) fn invalid_longest_life() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "longest_life_seconds is 1 to 86400, and longest_boot_life_seconds 1 to 3600; give what the issuer issues",
    )
}

pub(crate) fn invalid_audiences() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "audiences are at most 16 of 1 to 512 bytes, without this installation's own name, which always counts",
    )
}

pub(crate) fn invalid_audience_claim() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "audience_claim is a claim of 1 to 128 bytes such as client_id, other than iss, sub, exp, iat, nbf, jti and those of boot_claims",
    )
}

pub(crate) fn invalid_types() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        format!("types are some of {}; name those that the issuer's JWTs have", JwtTypes::NAMES.join(", ")),
    )
}

/// The summary of a request for a second person.
pub(crate) fn issuer_registration(registration: &str) -> String {
    format!("register {registration}")
}

/// The summary of a request for a second person.
pub(crate) fn issuer_change(registration: &str) -> String {
    format!("change {registration}")
}

/// Whether the discharger exists or not.
pub(crate) fn discharger_not_deletable() -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        "there is no such discharger, or this token may not delete it; list the dischargers with `petsem discharger list`",
    )
}

pub(crate) fn own_discharger_stays() -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        "petsem's own discharger cannot be deleted, because host tokens depend on it; nothing was changed",
    )
}

pub(crate) fn discharger_deleted_meanwhile() -> Failure {
    Failure::new(ErrorCode::NotFound, "the discharger no longer exists")
}

pub(crate) fn invalid_discharger_location() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "location must be the URL that the discharger's tickets carry, like https://auth.example, at most 200 bytes",
    )
}

pub(crate) fn own_location() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "the location belongs to this petsem server; give that of the outside discharger",
    )
}

pub(crate) fn invalid_shared_key() -> Failure {
    Failure::new(ErrorCode::BadRequest, "key must be the shared key: 32 bytes in standard base64")
}

pub(crate) fn too_many_keys_of_location(most: usize) -> Failure {
    too_many_discharger_keys(&format!("this location already has {most} keys"))
}

/// Of one org, or of the platform.
pub(crate) fn too_many_keys_of_owner(org: Option<OrgId>, most: usize) -> Failure {
    let owner = if org.is_some() { "this org" } else { "the platform" };
    too_many_discharger_keys(&format!("{owner} already has {most} discharger keys"))
}

pub(crate) fn too_many_keys_of_dischargers(most: usize) -> Failure {
    too_many_discharger_keys(&format!("this installation already has {most} discharger keys"))
}

fn too_many_discharger_keys(fact: &str) -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        format!("{fact}; nothing was changed; delete keys that are no longer used"),
    )
}

/// The summary of a request for a second person.
pub(crate) fn discharger_registration(location: &str, org: Option<OrgId>, digest: &str) -> String {
    let scope = org.map_or_else(|| "the whole platform".to_owned(), |org| format!("org {org}"));
    format!("register the discharger at {location} for {scope}, key with the SHA-256 digest {digest}")
}
