//! `petsem dev`: a complete installation in one directory. Its issuer's key is in a file, so anyone who can read the
//! directory can read every value; `petsem server` therefore refuses such a store.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey as _, KeypairBytes};
use getrandom::SysRng;
use petsem_api::{BootClaims, HostId, PutIssuer};
use petsem_engine::{DevelopmentPlan, Failure, Timestamp, scrubbed_deep};
use petsem_seals::SealSettings;
use rand_core::UnwrapErr;

use crate::error::{ServeError, StartError};
use crate::listener::pool::raise_file_limit;
use crate::listener::serve::{Bound, bind, serve_on};
use crate::messages;
use crate::node::lifecycle::NodeState;
use crate::node::start::{Started, start};
use crate::operator::install::{make, open_new};
use crate::settings::{
    AuditSettings, DISK_WARNING, Limits, ListenAddress, Listener, REFETCH_INTERVAL, REWRAPS_PER_SECOND,
    Settings,
};

/// Size of a file of the audit log, and what is preallocated for a full disk.
const SEGMENT_MIB: u64 = 4;
const RESERVE_MIB: u64 = 8;
/// Few, so that no limit on open files keeps a trial from starting.
const CONNECTIONS: usize = 512;

/// The layout of a development directory. Every file in it has mode 0600.
#[derive(Clone, Debug)]
pub struct Development {
    directory: PathBuf,
}

impl Development {
    /// The first org.
    pub const ORG: &'static str = "demo";
    /// The first app.
    pub const APP: &'static str = "shop";
    /// The host of its listener.
    pub const HOST: &'static str = "dev";
    /// The installation's name: the `aud` of its JWTs.
    pub const AUDIENCE: &'static str = "petsem-dev";
    /// The location that its tokens carry.
    const LOCATION: &'static str = "https://petsem-dev.invalid";
    /// The `iss` of its JWTs.
    pub const ISSUER: &'static str = "https://issuer.petsem-dev.invalid";

    /// The layout of this directory.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The operator's token.
    pub fn operator_token(&self) -> PathBuf {
        self.directory.join("operator.token")
    }

    /// The token of the host `dev`.
    pub fn host_token(&self) -> PathBuf {
        self.directory.join("host.token")
    }

    /// The token of the owner of the org `demo`, which may also prove boots.
    pub fn owner_token(&self) -> PathBuf {
        self.directory.join("owner.token")
    }

    /// The issuer's private key, PKCS #8 PEM of version 1.
    pub fn issuer_key(&self) -> PathBuf {
        self.directory.join("issuer.pem")
    }

    /// The audit log's directory.
    pub fn audit(&self) -> PathBuf {
        self.directory.join("audit")
    }

    /// The configuration of its node, for commands that take `--config`.
    pub fn configuration(&self) -> PathBuf {
        self.directory.join("petsem.toml")
    }

    /// The text of [`Self::configuration`], for a server that listens on this address. Its paths are relative, so the
    /// directory can be moved.
    pub fn configuration_text(listen: &str) -> String {
        let (name, location, host) = (Self::AUDIENCE, Self::LOCATION, Self::HOST);
        format!(
            "name = \"{name}\"\nlocation = \"{location}\"\ndata_directory = \"data\"\n\n[[listener]]\naddress = \"{listen}\"\n\
             host = \"{host}\"\n\n[[seal]]\nkind = \"key-file\"\npath = \"seal.key\"\n\n[audit]\ndirectory = \"audit\"\n\
             segment_mib = {SEGMENT_MIB}\nreserve_mib = {RESERVE_MIB}\n\n[limits]\nconnections = {CONNECTIONS}\n"
        )
    }

    /// The settings of its server.
    ///
    /// # Errors
    /// [`StartError::Refused`] if `listen` is not a loopback address with a port.
    pub fn settings(&self, listen: &str) -> Result<Settings, StartError> {
        let address = listen
            .parse()
            .ok()
            .filter(|address: &SocketAddr| address.ip().is_loopback())
            .ok_or_else(|| messages::not_loopback(listen))?;
        let host: Option<HostId> = Self::HOST.parse().ok();
        Ok(Settings {
            name: Self::AUDIENCE.to_owned(),
            location: Self::LOCATION.to_owned(),
            discharger_location: Settings::default_discharger_location(Self::LOCATION),
            data_directory: self.directory.join("data"),
            listeners: vec![Listener { address: ListenAddress::Tcp(address), host }],
            seals: vec![SealSettings::KeyFile { path: self.directory.join("seal.key") }],
            node_name: Settings::default_node_name(),
            audit: AuditSettings {
                directory: self.audit(),
                segment_bytes: SEGMENT_MIB * 1024 * 1024,
                reserve_bytes: RESERVE_MIB * 1024 * 1024,
            },
            disk_warning_bytes: DISK_WARNING,
            limits: Limits { connections: CONNECTIONS, ..Limits::default() },
            rewraps_per_second: REWRAPS_PER_SECOND,
            approval_page: None,
            outgoing: Settings::default_outgoing(),
            refetch_interval: REFETCH_INTERVAL,
            development: true,
            input: crate::operator::unseal_input::UnsealInput::default(),
        })
    }
}

/// Serves a development directory until SIGTERM, SIGINT, SIGQUIT or SIGHUP; creates the installation first if there is
/// none.
///
/// # Errors
/// [`ServeError`].
pub async fn serve_development(
    development: &Development,
    listen: &str,
    on_ready: impl FnOnce(&Bound),
) -> Result<(), ServeError> {
    let settings = development.settings(listen).map_err(ServeError::Start)?;
    raise_file_limit(settings.limits.connections)?;
    let bound = settings.listeners.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
    let started = scrubbed_deep(open(development, settings)).await.map_err(ServeError::Start)?;
    serve_on(NodeState::Open(Box::new(started)), bound, on_ready).await
}

async fn open(development: &Development, settings: Settings) -> Result<Started, StartError> {
    let file = |path: &Path, source| StartError::Node { path: path.to_owned(), source };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&development.directory)
        .map_err(|source| file(&development.directory, source))?;
    // The operator's token is written last: without it, an earlier start was interrupted.
    if development.operator_token().exists() {
        return start(settings).await;
    }
    if settings.data_directory.exists() {
        return Err(messages::incomplete_directory(&development.directory));
    }
    let started = make(&settings, open_new(&settings).await?, true, &mut |_| Ok(())).await?;
    let plan = DevelopmentPlan {
        org: Development::ORG.parse().map_err(Failure::internal)?,
        app: Development::APP.parse().map_err(Failure::internal)?,
        host: Development::HOST.parse().map_err(Failure::internal)?,
        issuer: issuer_key(&development.issuer_key())?,
    };
    let tokens = started.state.engine.populate_development(plan).await?;
    write_secret(&development.host_token(), &tokens.host)?;
    write_secret(&development.owner_token(), &tokens.owner)?;
    write_secret(&development.operator_token(), &tokens.operator)?;
    Ok(started)
}

fn issuer_key(path: &Path) -> Result<PutIssuer, StartError> {
    let key = SigningKey::generate(&mut UnwrapErr(SysRng));
    // Version 1, without the public key: OpenSSL 3.0, and what is built on it, reads no other (RFC 5958, section 2).
    let private = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
    let pem = private.to_pkcs8_pem(LineEnding::LF).map_err(Failure::internal)?;
    write_secret(path, &pem)?;
    let public = BASE64URL_NOPAD.encode(key.verifying_key().as_bytes());
    let jwk = serde_json::json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "x": public});
    Ok(PutIssuer {
        issuer: Development::ISSUER.to_owned(),
        algorithms: vec!["EdDSA".to_owned()],
        keys: Some(serde_json::json!({"keys": [jwk]})),
        boot_claims: Some(BootClaims { app: "petsem_app".to_owned(), machine: "petsem_machine".to_owned() }),
        ..PutIssuer::default()
    })
}

/// A JWT of the development issuer, valid for five minutes. `claims` are added to `iss`, `aud`, `iat`, `exp`.
///
/// # Errors
/// [`StartError`] if the key cannot be read.
pub fn sign_development_jwt(key: &Path, claims: &BTreeMap<&str, &str>) -> Result<String, StartError> {
    let pem = std::fs::read(key).map_err(|source| StartError::Node { path: key.to_owned(), source })?;
    let key = jsonwebtoken::EncodingKey::from_ed_pem(&zeroize::Zeroizing::new(pem))
        .map_err(|_| messages::invalid_issuer_key(key))?;
    let now = Timestamp::now().seconds();
    let (iss, aud) = (Development::ISSUER, Development::AUDIENCE);
    let mut body = serde_json::json!({"iss": iss, "aud": aud, "iat": now, "exp": now + 300});
    for (name, value) in claims {
        if let Some(object) = body.as_object_mut() {
            object.insert((*name).to_owned(), serde_json::Value::from(*value));
        }
    }
    jsonwebtoken::encode(&jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA), &body, &key)
        .map_err(|error| messages::jwt_not_signed(&error))
}

fn write_secret(path: &Path, text: &str) -> Result<(), StartError> {
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    };
    write().map_err(|source| StartError::Node { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_for_commands_is_that_of_the_server() {
        let development = Development::at("/tmp/try");
        let text = Development::configuration_text("127.0.0.1:8200");
        let read = Settings::from_toml(&text, Path::new("/tmp/try")).unwrap();
        let served = development.settings("127.0.0.1:8200").unwrap();
        assert_eq!(read, Settings { development: false, ..served });
    }
}
