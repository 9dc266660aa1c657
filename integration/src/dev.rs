//! `petsem dev` in its own directory, with tokens and JWTs for it.

use std::path::Path;

use data_encoding::BASE64;
use petsem_api::Approve;
use petsem_client::{Credentials, narrow_for_boot};
use petsem_policy::{Caveat, Macaroon, UnverifiedToken};
use petsem_server::{Development, approve_with_seal};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{Answer, Request};
use crate::server::{Ended, Server, petsem};
use crate::store_keys::StoreKeys;

/// A development installation and its server.
#[derive(Debug)]
pub struct Dev {
    /// The server.
    pub server: Server,
    /// The directory that holds everything.
    pub directory: TempDir,
    /// The operator's token, without scheme.
    pub operator: String,
    /// The token of the host `dev`, without scheme.
    pub host: String,
}

impl Dev {
    /// A new installation.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A new installation with these variables in the server's environment.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_with(environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("there is room for a directory");
        Self::start_in(directory, environment)
    }

    /// A new installation on a tmpfs, for tests whose ten thousand requests would be slow on a disk.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_in_memory() -> Self {
        let directory = tempfile::tempdir_in("/dev/shm").expect("there is a tmpfs at /dev/shm");
        Self::start_in(directory, &[])
    }

    fn start_in(directory: TempDir, environment: &[(&str, &str)]) -> Self {
        let server = serve_with(directory.path(), environment).expect("petsem dev starts");
        let read = |path: std::path::PathBuf| {
            std::fs::read_to_string(path).expect("petsem dev writes its tokens").trim().to_owned()
        };
        let layout = Development::at(directory.path());
        let (operator, host) = (read(layout.operator_token()), read(layout.host_token()));
        Self { server, directory, operator, host }
    }

    /// Another server on the same directory, after this one stopped.
    ///
    /// # Errors
    /// [`Ended`], with its output, if it refuses to start.
    pub fn restart(self, how: impl FnOnce(Server) -> Ended) -> Result<Self, Ended> {
        let Self { server, directory, operator, host } = self;
        how(server);
        let server = serve(directory.path())?;
        Ok(Self { server, directory, operator, host })
    }

    /// The layout of the directory.
    pub fn layout(&self) -> Development {
        Development::at(self.directory.path())
    }

    /// The store's database file.
    pub fn database(&self) -> std::path::PathBuf {
        self.directory.path().join("data/petsem.db")
    }

    /// All keys of the store.
    ///
    /// # Panics
    /// If one does not open.
    pub fn keys(&self) -> StoreKeys {
        self.server.wait_for_audit_lines();
        StoreKeys::open(&self.database(), &self.directory.path().join("seal.key"), &self.layout().audit())
    }

    /// All bytes of the audit log, without its preallocated zeros, with the lines of all changes that were answered.
    pub fn audit_log(&self) -> String {
        self.server.wait_for_audit_lines();
        audit_log(&self.layout().audit())
    }

    /// The audit lines as JSON, including checkpoints.
    pub fn audit_lines(&self) -> Vec<Value> {
        self.audit_log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Sends a request with the value of an `Authorization` header.
    pub fn call(&self, method: &str, target: &str, authorization: &str, body: Option<&Value>) -> Answer {
        let request = Request::new(method, target).authorization(authorization);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        request.send(self.server.address())
    }

    /// [`Self::call`] as the operator.
    pub fn operate(&self, method: &str, target: &str, body: Option<&Value>) -> Answer {
        self.call(method, target, &flyv1(&self.operator), body)
    }

    /// [`Self::call`] as the owner of the org `demo`.
    pub fn own(&self, method: &str, target: &str, body: Option<&Value>) -> Answer {
        self.call(method, target, &flyv1(&self.owner()), body)
    }

    /// Creates an app in an org, with the development policy, and returns its id.
    ///
    /// # Panics
    /// If it cannot be created.
    pub fn app(&self, name: &str, settings: &Value) -> String {
        let body = json!({"org": Development::ORG, "name": name, "settings": settings});
        let answer = self.operate("POST", "/v1/apps", Some(&body));
        assert_eq!(answer.status, 201, "{}", answer.text());
        let policy = self.own("PUT", &format!("/v1/apps/{name}/policy"), Some(&json!({"policy": policy()})));
        assert_eq!(policy.status, 200, "{}", policy.text());
        answer.field("id")
    }

    /// Sets secrets of an app together, and returns the app version.
    ///
    /// # Panics
    /// If they cannot be set.
    pub fn set(&self, app: &str, values: &Value) -> u64 {
        let body = json!({ "values": values });
        let answer = self.operate("POST", &format!("/v1/apps/{app}/secrets"), Some(&body));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.number("version")
    }

    /// The app's version.
    ///
    /// # Panics
    /// If the app does not exist.
    pub fn version(&self, app: &str) -> u64 {
        let answer = self.operate("GET", &format!("/v1/apps/{app}"), None);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.number("version")
    }

    /// Requests the enrollment of a host as the operator, and approves it with the seal.
    ///
    /// # Panics
    /// If it is refused.
    pub fn enroll(&self, host: &str) {
        let body = json!({"hosts": [host], "reason": "a new host"});
        let asked = self.operate("POST", "/v1/enrollments", Some(&body));
        assert_eq!(asked.status, 202, "{}", asked.text());
        self.approve_with_seal(&asked.field("id"), None);
    }

    /// Approves a request with the seal; `key_digest` is that of the keys that it registers.
    ///
    /// # Panics
    /// If it is refused.
    pub fn approve_with_seal(&self, request: &str, key_digest: Option<&str>) {
        let settings = self.layout().settings("127.0.0.1:0").expect("a loopback address");
        let request = request.parse().expect("the id of a request");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let wanted = Approve { key_digest: key_digest.map(ToOwned::to_owned) };
        let approved = runtime.block_on(approve_with_seal(&settings, request, wanted));
        approved.expect("the seal approves");
    }

    /// Mints a token (`POST /v1/tokens`) as the operator, and returns its text without scheme. A host is enrolled first.
    ///
    /// # Panics
    /// If it cannot be minted.
    pub fn mint(&self, wanted: &Value) -> String {
        if let Some(host) = wanted["host"].as_str() {
            self.enroll(host);
        }
        let answer = self.operate("POST", "/v1/tokens", Some(wanted));
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.field("token")
    }

    /// Mints a token of the org `demo` as its owner, and returns its text without scheme. Unlike one that the operator
    /// mints, it may use secret keys.
    ///
    /// # Panics
    /// If it cannot be minted.
    pub fn mint_as_owner(&self) -> String {
        let answer = self.own("POST", "/v1/tokens", Some(&json!({"kind": "org", "org": Development::ORG})));
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.field("token")
    }

    /// The header of a JWT of the development issuer. `claims` are added to `iss`, `aud`, `iat` and `exp`, or
    /// replace them.
    ///
    /// # Panics
    /// If it cannot be signed.
    pub fn jwt(&self, claims: &Value) -> String {
        let now = now();
        let mut body = json!({
            "iss": Development::ISSUER, "aud": Development::AUDIENCE, "iat": now, "exp": now + 300
        });
        if let (Some(body), Some(claims)) = (body.as_object_mut(), claims.as_object()) {
            body.extend(claims.clone());
        }
        let pem = std::fs::read(self.layout().issuer_key()).expect("petsem dev writes its issuer's key");
        let key = jsonwebtoken::EncodingKey::from_ed_pem(&pem).expect("the issuer's key reads");
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA);
        format!("Bearer {}", jsonwebtoken::encode(&header, &body, &key).expect("a JWT can be signed"))
    }

    /// The header of a JWT that proves this boot on the host `dev`.
    pub fn boot_jwt(&self, app: &str, machine: &str) -> String {
        self.jwt(&json!({
            "sub": "orchestrator",
            "petsem_app": app,
            "petsem_machine": machine,
            "petsem_host": Development::HOST,
        }))
    }

    /// The header of a JWT that reads as a developer.
    pub fn reader_jwt(&self) -> String {
        self.jwt(&json!({"sub": "developer"}))
    }

    /// The token of the owner of the org `demo`, without scheme: it may prove boots.
    ///
    /// # Panics
    /// If the file is missing.
    pub fn owner(&self) -> String {
        let text =
            std::fs::read_to_string(self.layout().owner_token()).expect("petsem dev writes its tokens");
        text.trim().to_owned()
    }

    /// The header of the owner's token, narrowed to this boot on the host `dev`.
    ///
    /// # Panics
    /// If a name is invalid.
    pub fn boot_token(&self, app_id: &str, machine: &str) -> String {
        let user = Credentials::new(&self.owner()).expect("the owner's token is a token");
        let app = app_id.parse().expect("an app id");
        let machine = machine.parse().expect("a machine id");
        let host = Development::HOST.parse().expect("a host id");
        let narrowed = narrow_for_boot(&user, &app, &machine, &host, now()).expect("it can be narrowed");
        flyv1(narrowed.expose_text())
    }

    /// Requests the discharge of a boot with the ticket of a host token.
    pub fn ask_discharge(&self, host_token: &str, proof: &str, app: &str, machine: &str) -> Answer {
        let body = json!({"ticket": ticket(host_token), "app": app, "machine": machine});
        self.call("POST", "/.well-known/macfly/3p", proof, Some(&body))
    }

    /// The discharge of a boot on the host `dev`, proven by a JWT.
    ///
    /// # Panics
    /// If it is refused.
    pub fn discharge(&self, app: &str, machine: &str) -> String {
        let answer = self.ask_discharge(&self.host, &self.boot_jwt(app, machine), app, machine);
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.field("discharge")
    }

    /// Boots with the token of the host `dev` and this discharge.
    pub fn boot(&self, app: &str, machine: &str, discharge: &str) -> Answer {
        let both = flyv1(&format!("{},{discharge}", self.host));
        self.call("POST", &format!("/v1/apps/{app}/boot"), &both, Some(&json!({ "machine": machine })))
    }
}

/// Starts a server on a directory on which none runs.
///
/// # Errors
/// [`Ended`], with its output, if it refuses to start.
pub fn serve(directory: &Path) -> Result<Server, Ended> {
    serve_with(directory, &[])
}

fn serve_with(directory: &Path, environment: &[(&str, &str)]) -> Result<Server, Ended> {
    let mut command = petsem(["dev", "--listen", "127.0.0.1:0", "--dir"]);
    command.arg(directory).envs(environment.iter().copied());
    Server::start(command)
}

/// The development issuer may boot the Machine that its JWT names, and read everything as `developer`.
pub fn policy() -> Value {
    json!({"format": 1, "rules": [
        {
            "name": "boot",
            "issuer": Development::ISSUER,
            "actions": ["boot"],
            "bind": {"app": "petsem_app", "machine": "petsem_machine", "host": "petsem_host"}
        },
        {
            "name": "developer",
            "issuer": Development::ISSUER,
            "claims": {"sub": "developer"},
            "actions": ["read_value"],
            "secrets": {"prefixes": [""]}
        }
    ]})
}

/// The header of tokens, `FlyV1 …`.
pub fn flyv1(tokens: &str) -> String {
    format!("FlyV1 {tokens}")
}

/// The ticket in a token's third-party caveat, standard base64.
///
/// # Panics
/// If there is none.
pub fn ticket(token: &str) -> String {
    let token = UnverifiedToken::parse(token).expect("a token");
    let tickets = token.undischarged(&[]);
    BASE64.encode(tickets.first().expect("a token with a ticket").1)
}

/// A token with caveats that its holder appended.
///
/// # Panics
/// If the token is finalized.
pub fn appended(token: &str, caveats: impl IntoIterator<Item = Caveat>) -> String {
    let token = UnverifiedToken::parse(token).expect("a token");
    let mut macaroon = Macaroon::from_token(&token).expect("a token that is not finalized");
    macaroon.add(caveats).expect("it can be narrowed");
    macaroon.to_text().to_string()
}

/// All bytes of an audit log, without its preallocated zeros.
///
/// # Panics
/// If it cannot be read.
pub fn audit_log(directory: &Path) -> String {
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .expect("an audit directory")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    files.sort();
    let bytes: Vec<u8> = files
        .iter()
        .flat_map(|path| std::fs::read(path).expect("an audit file can be read"))
        .filter(|byte| *byte != 0)
        .collect();
    String::from_utf8(bytes).expect("an audit log is text")
}

/// The wall clock in unix seconds, by which tokens and JWTs expire.
pub fn now() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the one clock of this crate")]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
