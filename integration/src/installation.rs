//! An installation as operators create one: a configuration file, `petsem operator init`, `petsem server`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::dev::flyv1;
use crate::http::Request;
use crate::server::{Ended, Server, petsem, run};
use crate::store_keys::StoreKeys;

/// A directory with a configuration.
#[derive(Debug)]
pub struct Installation {
    /// The directory: configuration, key file, data, tokens.
    pub directory: TempDir,
    /// The environment of its commands and its server.
    pub environment: Vec<(&'static str, OsString)>,
}

impl Installation {
    /// A directory with only a configuration.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn configured() -> Self {
        let directory = tempfile::tempdir().expect("there is room for a directory");
        let installation = Self { directory, environment: Vec::new() };
        installation.configure(CONFIGURATION);
        installation
    }

    /// An installation created by `petsem operator init`.
    ///
    /// # Panics
    /// If it cannot be created.
    pub fn made() -> Self {
        let installation = Self::configured();
        let made = installation.init();
        assert!(made.status.success(), "{}", made.printed);
        installation
    }

    /// Replaces the configuration.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn configure(&self, text: &str) {
        std::fs::write(self.configuration(), text).expect("the configuration can be written");
    }

    /// The configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.path("petsem.toml")
    }

    /// A file in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs `petsem operator init`; the first token goes to `operator.token`.
    pub fn init(&self) -> Ended {
        let mut command = self.with_configuration(&["operator", "init", "--operator", "kim@example.com"]);
        command.arg("--out").arg(self.path("operator.token"));
        run(command)
    }

    /// `petsem server` with this configuration.
    pub fn server(&self) -> Command {
        self.with_configuration(&["server"])
    }

    /// Starts the server.
    ///
    /// # Errors
    /// [`Ended`], with its output, if it refuses to start.
    pub fn start(&self) -> Result<Server, Ended> {
        Server::start(self.server())
    }

    /// A command of `petsem` that takes `--config`.
    pub fn with_configuration(&self, arguments: &[&str]) -> Command {
        let mut command = petsem(arguments);
        command.arg("--config").arg(self.configuration());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs `petsem` against the server, as the first operator.
    pub fn operate(&self, server: SocketAddr, arguments: &[&str]) -> Ended {
        let mut command = petsem(arguments);
        command.args(["--endpoint", &format!("http://{server}")]);
        command.arg("--token-file").arg(self.path("operator.token"));
        run(command)
    }

    /// Registers an issuer on the node, with these options.
    ///
    /// # Panics
    /// If the registration cannot be written to a file.
    pub fn register(&self, issuer: &Value, options: &[&str]) -> Ended {
        let file = self.path("issuer.json");
        std::fs::write(&file, issuer.to_string()).expect("the registration can be written");
        let mut command = self.with_configuration(&["operator", "issuer", "add"]);
        command.arg(file).args(options);
        run(command)
    }

    /// Creates org `acme` with app `shop`, its policy, and its secret `A`.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn make_shop(&self, server: SocketAddr, policy: &Value, value: &str) {
        let send = |token: &str, method: &str, target: &str, body: Value| {
            let answer = Request::new(method, target).authorization(&flyv1(token)).json(&body).send(server);
            assert!(answer.status < 300, "{method} {target}: {}", answer.text());
        };
        let operator = self.operator();
        send(&operator, "POST", "/v1/orgs", json!({"name": "acme"}));
        send(&operator, "POST", "/v1/apps", json!({"org": "acme", "name": "shop"}));
        send(&self.owner("acme"), "PUT", "/v1/apps/shop/policy", json!({ "policy": policy }));
        send(&operator, "POST", "/v1/apps/shop/secrets", json!({"values": {"A": value}}));
    }

    /// Mints the token of an org's owner on the node, with or without a running server; without scheme.
    ///
    /// # Panics
    /// If it cannot be minted.
    pub fn owner(&self, org: &str) -> String {
        let out = self.path(&format!("owner-{org}.token"));
        let _earlier = std::fs::remove_file(&out);
        let mut command =
            self.with_configuration(&["operator", "owner", "--org", org, "--owner", "owner@example.com"]);
        command.arg("--out").arg(&out);
        let minted = run(command);
        assert!(minted.status.success(), "{}", minted.printed);
        read(&out)
    }

    /// Requests the enrollment of a host as the first operator, and approves it with the seal.
    ///
    /// # Panics
    /// If it is refused.
    pub fn enroll(&self, server: SocketAddr, host: &str) {
        self.enroll_as(server, &self.operator(), host);
    }

    /// The same as the operator with this token.
    ///
    /// # Panics
    /// If it is refused.
    pub fn enroll_as(&self, server: SocketAddr, operator: &str, host: &str) {
        let asked = Request::new("POST", "/v1/enrollments")
            .authorization(&flyv1(operator))
            .json(&json!({"hosts": [host], "reason": "a new host"}))
            .send(server);
        assert_eq!(asked.status, 202, "{}", asked.text());
        let approved = run(self.with_configuration(&["operator", "approve", &asked.field("id")]));
        assert!(approved.status.success(), "{}", approved.printed);
    }

    /// All keys of the store, opened with its only seal, `seal.key`.
    ///
    /// # Panics
    /// If one does not open.
    pub fn keys(&self) -> StoreKeys {
        StoreKeys::open(&self.path("data/petsem.db"), &self.path("seal.key"), &self.path("data/audit"))
    }

    /// The first operator's token, without scheme.
    ///
    /// # Panics
    /// If there is none.
    pub fn operator(&self) -> String {
        read(&self.path("operator.token"))
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("the file can be read").trim().to_owned()
}

/// Small files, so that hundreds of installations fit on a small disk.
pub const CONFIGURATION: &str = r#"
name = "petsem-test"
location = "https://petsem.test"
data_directory = "data"
[[listener]]
address = "127.0.0.1:0"
host = "host-1"
[[listener]]
address = "unix:petsem.sock"
host = "host-2"
[[seal]]
kind = "key-file"
path = "seal.key"
[audit]
segment_mib = 1
reserve_mib = 2
"#;
