//! An installation in use: a server with an org, its owner, and a host that boots Machines.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use petsem_api::AppId;
use petsem_client::{Credentials, narrow_for_boot};
use serde_json::{Value, json};

use crate::dev::{audit_log, flyv1, now, ticket};
use crate::http::{Answer, Request};
use crate::installation::{CONFIGURATION, Installation};
use crate::pause;
use crate::server::{Ended, Server, run};

/// An installation, its server if one runs, and the tokens of its users, without scheme.
#[derive(Debug)]
pub struct Platform {
    /// The installation.
    pub installation: Installation,
    server: Option<Server>,
    /// The operator's token.
    pub operator: String,
    /// The token of the owner of the org [`Platform::ORG`], which may prove boots.
    pub owner: String,
    /// The token of the host [`Platform::HOST`].
    pub host: String,
}

impl Platform {
    /// The org.
    pub const ORG: &'static str = "demo";
    /// The host.
    pub const HOST: &'static str = "host-1";
    /// The Machine.
    pub const MACHINE: &'static str = "m-1";

    /// Creates one; `configuration` is appended to [`CONFIGURATION`].
    ///
    /// # Panics
    /// If it cannot be created.
    pub fn with(configuration: &str) -> Self {
        let installation = Installation::configured();
        installation.configure(&format!("{CONFIGURATION}{configuration}"));
        let made = installation.init();
        assert!(made.status.success(), "{}", made.printed);
        let operator = installation.operator();
        let mut platform =
            Self { installation, server: None, operator, owner: String::new(), host: String::new() };
        platform.start();
        let org = platform.operate("POST", "/v1/orgs", Some(&json!({"name": Self::ORG})));
        assert_eq!(org.status, 201, "{}", org.text());
        platform.installation.enroll(platform.address(), Self::HOST);
        let host = platform.operate("POST", "/v1/tokens", Some(&json!({"kind": "host", "host": Self::HOST})));
        assert_eq!(host.status, 201, "{}", host.text());
        platform.host = host.field("token");
        assert!(platform.stop().status.success());
        let file = platform.installation.path("owner.token");
        let command = ["operator", "owner", "--org", Self::ORG, "--owner", "owner@example.com"];
        let mut command = platform.installation.with_configuration(&command);
        command.arg("--out").arg(&file);
        let owner = run(command);
        assert!(owner.status.success(), "{}", owner.printed);
        let token = std::fs::read_to_string(file).expect("the owner's token can be read");
        token.trim().clone_into(&mut platform.owner);
        platform.start();
        platform
    }

    /// Starts the server.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(&mut self) {
        self.server = Some(self.installation.start().expect("petsem server starts"));
    }

    /// Stops the server.
    ///
    /// # Panics
    /// If none runs.
    pub fn stop(&mut self) -> Ended {
        self.server.take().expect("a server runs").stop()
    }

    /// Kills the server.
    ///
    /// # Panics
    /// If none runs.
    pub fn kill(&mut self) -> Ended {
        self.server.take().expect("a server runs").kill()
    }

    /// The server's address.
    ///
    /// # Panics
    /// If none runs.
    pub fn address(&self) -> SocketAddr {
        self.server.as_ref().expect("a server runs").address()
    }

    /// The store's database file.
    pub fn database(&self) -> PathBuf {
        self.installation.path("data/petsem.db")
    }

    /// Sends a request with the value of an `Authorization` header.
    pub fn call(&self, method: &str, target: &str, authorization: &str, body: Option<&Value>) -> Answer {
        let request = Request::new(method, target).authorization(authorization);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        request.send(self.address())
    }

    /// [`Self::call`] as the operator.
    pub fn operate(&self, method: &str, target: &str, body: Option<&Value>) -> Answer {
        self.call(method, target, &flyv1(&self.operator), body)
    }

    /// Creates an app that keeps 100 values of each secret.
    ///
    /// # Panics
    /// If it cannot be created.
    pub fn app(&self, name: &str) -> AppId {
        let body = json!({"org": Self::ORG, "name": name, "settings": {"history": 100}});
        let answer = self.operate("POST", "/v1/apps", Some(&body));
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.field("id").parse().expect("a valid app id")
    }

    /// Sets secrets of an app together, and returns the app version.
    ///
    /// # Panics
    /// If they cannot be set.
    pub fn set(&self, app: &str, values: &Value) -> u64 {
        let answer =
            self.operate("POST", &format!("/v1/apps/{app}/secrets"), Some(&json!({ "values": values })));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.number("version")
    }

    /// The discharge of a boot of the app, proven by the owner's token.
    ///
    /// # Panics
    /// If it is refused.
    pub fn discharge(&self, app: AppId) -> String {
        let user = Credentials::new(&self.owner).expect("the owner's token is a token");
        let machine = Self::MACHINE.parse().expect("a machine id");
        let host = Self::HOST.parse().expect("a host id");
        let proof = narrow_for_boot(&user, &app, &machine, &host, now()).expect("it can be narrowed");
        let body = json!({"ticket": ticket(&self.host), "app": app, "machine": Self::MACHINE});
        let answer = self.call("POST", "/.well-known/macfly/3p", &flyv1(proof.expose_text()), Some(&body));
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.field("discharge")
    }

    /// The header of a boot with this discharge or renewal.
    pub fn boot_header(&self, discharge: &str) -> String {
        flyv1(&format!("{},{discharge}", self.host))
    }

    /// Boots with this discharge or renewal.
    pub fn boot(&self, app: AppId, discharge: &str) -> Answer {
        let body = json!({"machine": Self::MACHINE});
        self.call("POST", &format!("/v1/apps/{app}/boot"), &self.boot_header(discharge), Some(&body))
    }

    /// The running rotations (`GET /v1/rotations`).
    ///
    /// # Panics
    /// If it is refused.
    pub fn rotations(&self) -> Value {
        let answer = self.operate("GET", "/v1/rotations", None);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Starts a rotation of the keyring, and returns the running rotations.
    ///
    /// # Panics
    /// If it is refused.
    pub fn rotate_keyring(&self) -> Value {
        let answer = self.operate("POST", "/v1/keyring/rotate", Some(&json!({})));
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()
    }

    /// A value of `/metrics`.
    ///
    /// # Panics
    /// If it is missing.
    pub fn metric(&self, name: &str) -> u64 {
        let page = Request::new("GET", "/metrics").send(self.address()).text();
        let number = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        number.expect("the metric is there")
    }

    /// The first audit line of an action, which the server may still be about to write.
    ///
    /// # Panics
    /// If it does not come.
    pub fn audit_line(&self, action: &str) -> Value {
        let line = (0..500).find_map(|_| {
            let line = self.audit_lines(action).into_iter().next();
            if line.is_none() {
                pause(Duration::from_millis(20));
            }
            line
        });
        line.expect("the action has an audit line")
    }

    /// The audit lines of an action, with those of all changes that were answered.
    pub fn audit_lines(&self, action: &str) -> Vec<Value> {
        if let Some(server) = &self.server {
            server.wait_for_audit_lines();
        }
        let log = audit_log(&self.installation.path("data/audit"));
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["action"] == action).collect()
    }
}
