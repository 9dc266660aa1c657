//! A running petsem with its data, and the credentials of its clients.

use std::net::SocketAddr;
use std::sync::OnceLock;

use petsem_api::AppId;
use petsem_integration::dev::{flyv1, ticket};
use petsem_integration::http::{Connection, Request};
use petsem_integration::server::Server;
use serde_json::{Value, json};

use crate::data::{self, HOST, ORG, Store, call};
use crate::failure::Failure;
use crate::load::Target;

/// The longest life of a JWT that proves a boot, and of one that reads, in seconds.
const BOOT_LIFE: i64 = 300;
const READ_LIFE: i64 = 900;

/// The Machine of an app that boots only one.
pub(crate) const MACHINE: &str = "m-1";

/// A store, its server, and the tokens of a host and of a user.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) store: Store,
    server: Option<Server>,
    /// The token of the host, without scheme.
    pub(crate) host: String,
    /// The first operator's, without scheme.
    operator: String,
    /// The header of a user of the org, who may do everything except read values.
    pub(crate) user: String,
    renewals: OnceLock<Vec<String>>,
}

impl Scene {
    pub(crate) fn new(store: Store) -> Result<Self, Failure> {
        let operator = store.operator()?;
        let server = store.start("")?;
        store.installation.enroll_as(server.address(), &operator, HOST);
        let host = mint(server.address(), &flyv1(&operator), &json!({"kind": "host", "host": HOST}))?;
        // An operator's token, and what it mints, uses no secret key.
        let user = flyv1(&store.installation.owner(ORG));
        Ok(Self { store, server: Some(server), host, operator, user, renewals: OnceLock::new() })
    }

    /// Ends the server and starts another: its memory is then that of one case.
    pub(crate) fn restart(&mut self, settings: &str) -> Result<(), Failure> {
        self.end()?;
        self.server = Some(self.store.start(settings)?);
        Ok(())
    }

    /// The same, with these settings, which have the listeners.
    pub(crate) fn restart_on(&mut self, settings: &str) -> Result<(), Failure> {
        self.end()?;
        self.server = Some(self.store.start_on(settings)?);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.server.take().map_or(Ok(()), data::stop)
    }

    /// A token that the user mints, without scheme.
    pub(crate) fn mint(&self, wanted: &Value) -> Result<String, Failure> {
        mint(self.target().address, &self.user, wanted)
    }

    /// A token that the operator mints, without scheme.
    pub(crate) fn mint_as_operator(&self, wanted: &Value) -> Result<String, Failure> {
        let address = self.target().address;
        if let Some(host) = wanted.get("host").and_then(Value::as_str) {
            self.store.installation.enroll_as(address, &self.operator, host);
        }
        mint(address, &flyv1(&self.operator), wanted)
    }

    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        self.end()
    }

    pub(crate) fn target(&self) -> Target {
        let (address, process) = match &self.server {
            Some(server) => (server.address(), Some(server.id())),
            None => (SocketAddr::from(([127, 0, 0, 1], 0)), None),
        };
        Target { name: "petsem", address, process }
    }

    /// See [`data::each`].
    pub(crate) fn each<T: Send>(
        &self,
        count: usize,
        work: impl Fn(&mut Connection, usize) -> Result<T, Failure> + Sync,
    ) -> Result<Vec<T>, Failure> {
        data::each(self.target().address, count, work)
    }

    /// At most so many apps, spread over all.
    pub(crate) fn apps(&self, most: usize) -> Vec<AppId> {
        let step = self.store.apps.len().div_ceil(most).max(1);
        self.store.apps.iter().copied().step_by(step).collect()
    }

    /// The boot of a Machine, with a discharge or a renewal.
    pub(crate) fn boot(&self, app: AppId, machine: &str, discharge: &str) -> Request {
        Request::new("POST", &format!("/v1/apps/{app}/boot"))
            .authorization(&flyv1(&format!("{},{discharge}", self.host)))
            .json(&json!({ "machine": machine }))
    }

    /// Discharges of these boots, valid for a minute. A JWT of the orchestrator proves each.
    pub(crate) fn discharges(&self, boots: &[(AppId, String)]) -> Result<Vec<String>, Failure> {
        let (store, ticket) = (&self.store, ticket(&self.host));
        self.each(boots.len(), |connection, number| {
            let Some((app, machine)) = boots.get(number) else { return Ok(String::new()) };
            let claims =
                json!({"sub": "orchestrator", "app_id": app, "machine_id": machine, "host_id": HOST});
            let body = json!({"ticket": ticket, "app": app, "machine": machine});
            let request = Request::new("POST", "/.well-known/macfly/3p")
                .authorization(&format!("Bearer {}", store.jwt(BOOT_LIFE, &claims)))
                .json(&body);
            call(connection, &request).map(|answer| answer.field("discharge"))
        })
    }

    /// The renewals of these boots, valid for a day.
    pub(crate) fn renewals_of(&self, boots: &[(AppId, String)]) -> Result<Vec<String>, Failure> {
        let mut renewals = Vec::with_capacity(boots.len());
        // In parts, because a discharge lives for a minute.
        for part in boots.chunks(10_000) {
            let discharges = self.discharges(part)?;
            renewals.extend(self.each(part.len(), |connection, number| {
                let (Some((app, machine)), Some(discharge)) = (part.get(number), discharges.get(number))
                else {
                    return Ok(String::new());
                };
                let answer = call(connection, &self.boot(*app, machine, discharge))?;
                Ok(answer.field("renewal"))
            })?);
        }
        Ok(renewals)
    }

    /// One renewal for each app, made once for all cases.
    pub(crate) fn renewals(&self) -> Result<&[String], Failure> {
        if self.renewals.get().is_none() {
            let boots: Vec<_> = self.store.apps.iter().map(|app| (*app, MACHINE.to_owned())).collect();
            // It is empty, so it takes them.
            let _ = self.renewals.set(self.renewals_of(&boots)?);
        }
        Ok(self.renewals.get().map_or(&[], Vec::as_slice))
    }

    /// A JWT that may read all values of any app.
    pub(crate) fn reader_jwt(&self, number: usize) -> String {
        self.store.jwt(READ_LIFE, &json!({"sub": "reader", "jti": format!("job-{number}")}))
    }
}

fn mint(address: SocketAddr, authorization: &str, wanted: &Value) -> Result<String, Failure> {
    let mut connection =
        Connection::open(address).map_err(|error| Failure::system("a connection to the server", &error))?;
    let request = Request::new("POST", "/v1/tokens").authorization(authorization).json(wanted);
    call(&mut connection, &request).map(|answer| answer.field("token"))
}
