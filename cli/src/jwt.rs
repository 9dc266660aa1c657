//! The JWT that identifies the caller: from a file, or signed here by the issuer of `petsem dev`.
//!
//! That issuer's private key is in the directory of the development server, and no other server accepts it.

use std::collections::BTreeMap;
use std::path::Path;

use petsem_api::{AppRef, HostId, MachineId};
use petsem_client::Credentials;
use petsem_server::sign_development_jwt;
use zeroize::Zeroizing;

use crate::context::Resolved;
use crate::failure::Failure;
use crate::{messages, private_file, remote, value_source};

/// A JWT from a file. Platforms mount such files with modes of their own choice, and a JWT lives for minutes, so
/// access for other users is reported and not refused.
pub(crate) fn from_file(path: &Path) -> Result<Credentials, Failure> {
    let bytes = value_source::file_or_stdin(path, private_file::MAX_TOKEN_FILE)?;
    let text = private_file::trimmed_text(path, &bytes)?;
    remote::credentials(path, &text)
}

/// A JWT that can read, from the file or from the development issuer.
pub(crate) fn for_workload(file: Option<&Path>, resolved: &Resolved) -> Result<Credentials, Failure> {
    match (file, resolved.development_issuer_key()) {
        (Some(path), _) => {
            resolved.check_named(path)?;
            from_file(path)
        }
        (None, Some(key)) => sign(key, &BTreeMap::from([("sub", "developer")])),
        (None, None) => Err(messages::no_jwt()),
    }
}

/// A JWT of the development issuer for exactly this boot.
pub(crate) fn for_boot(
    issuer_key: &Path,
    app: &AppRef,
    machine: &MachineId,
    host: &HostId,
) -> Result<Credentials, Failure> {
    let app = app.to_string();
    let claims = [
        // Not the subject that can read: this JWT boots one Machine and does nothing else.
        ("sub", "orchestrator"),
        ("petsem_app", app.as_str()),
        ("petsem_machine", machine.as_str()),
        ("petsem_host", host.as_str()),
    ];
    sign(issuer_key, &BTreeMap::from(claims))
}

fn sign(key: &Path, claims: &BTreeMap<&str, &str>) -> Result<Credentials, Failure> {
    let jwt = Zeroizing::new(sign_development_jwt(key, claims)?);
    Ok(Credentials::new(&jwt)?)
}
