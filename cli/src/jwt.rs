//! The JWT that says who asks: from a file, or signed here by the issuer of `petsem dev`.
//!
//! Its private key lies beside the development server, which alone accepts it: `petsem server` refuses a store
//! that has such an issuer.

use std::path::Path;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use petsem_api::{AppRef, HostId, MachineId};
use petsem_client::Credentials;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::context::{DevelopmentIssuer, Resolved};
use crate::failure::Failure;
use crate::{clock, messages, private_file, value_source};

/// How long a JWT signed here lives, in seconds: what a boot takes at most.
const LIFE: u64 = 300;
/// The name of the development issuer's only key.
const KEY_ID: &str = "petsem-dev";

/// What a JWT signed here says.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: String,
    iat: u64,
    exp: u64,
    jti: String,
    app: &'a AppRef,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<&'a MachineId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a HostId>,
}

/// A JWT out of a file. Platforms mount them with modes of their own choice, so others' rights are told and not
/// refused; it lives for minutes.
pub(crate) fn from_file(path: &Path) -> Result<Credentials, Failure> {
    let bytes = value_source::file_or_stdin(path, private_file::MAX_TOKEN_FILE)?;
    let text = private_file::trimmed_text(&bytes).ok_or_else(messages::no_jwt)?;
    Ok(Credentials::new(&text)?)
}

/// A JWT for a workload of the app, from the file or from the development issuer.
pub(crate) fn for_workload(
    file: Option<&Path>,
    resolved: &Resolved,
    app: &AppRef,
) -> Result<Credentials, Failure> {
    match (file, resolved.development_issuer()) {
        (Some(path), _) => from_file(path),
        (None, Some(issuer)) => sign(issuer, app, None),
        (None, None) => Err(messages::no_jwt()),
    }
}

/// A JWT of the development issuer: for one boot where Machine and host are given, else for a workload.
pub(crate) fn sign(
    issuer: &DevelopmentIssuer,
    app: &AppRef,
    boot: Option<(&MachineId, &HostId)>,
) -> Result<Credentials, Failure> {
    let pem = private_file::read_token(&issuer.key_file)?;
    let key =
        EncodingKey::from_ec_pem(pem.as_bytes()).map_err(|_| messages::bad_issuer_key(&issuer.key_file))?;
    let now = clock::unix_now();
    let claims = Claims {
        iss: &issuer.issuer,
        aud: &issuer.audience,
        sub: boot.map_or_else(|| format!("workload:{app}"), |(machine, _)| format!("machine:{machine}")),
        iat: now,
        exp: now + LIFE,
        jti: unique()?,
        app,
        machine: boot.map(|(machine, _)| machine),
        host: boot.map(|(_, host)| host),
    };
    let header = Header { kid: Some(KEY_ID.to_owned()), ..Header::new(Algorithm::ES256) };
    let jwt = jsonwebtoken::encode(&header, &claims, &key)
        .map(Zeroizing::new)
        .map_err(|_| messages::bad_issuer_key(&issuer.key_file))?;
    Ok(Credentials::new(&jwt)?)
}

/// 16 random bytes, so that no two JWTs are one in the audit log.
fn unique() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(messages::no_randomness)?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}
