//! The calls of hosts, workloads and people.

use std::collections::HashMap;
use std::sync::Arc;

use hyper::Method;
use hyper::header::HeaderValue;
use petsem_api::{
    AppRef, BatchBootItem, BatchBootRequest, BatchBootResponse, BatchBootResult, BootReport, BootRequest,
    BootResponse, MAX_ANSWER, MAX_BATCH, MAX_BATCH_ANSWER, MachineId, RenewRequest, RenewResponse,
    SecretList, SecretName, WipedBuffer,
};
use petsem_outbound::{OutboundClient, OutboundUrl};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::{Zeroize, Zeroizing};

use super::credentials::Credentials;
use super::endpoint::Endpoint;
use super::in_flight::InFlight;
use super::refusals::Refusals;
use super::transport::{Outgoing, Timing, Transport, protocol};
use crate::error::{CallError, MalformedAnswer, printable};

/// A client of one petsem installation. Share it by reference; it keeps connections and remembered refusals.
pub struct Client {
    pub(super) petsem: Transport,
    pub(super) dischargers: HashMap<String, Transport>,
    pub(super) timing: Timing,
    boots: InFlight<Grant, Result<Arc<BootResponse>, CallError>>,
    pub(super) refusals: Refusals<Grant>,
}

/// Configures a [`Client`].
#[derive(Debug)]
pub struct ClientBuilder {
    endpoints: Vec<Endpoint>,
    dischargers: HashMap<String, Discharger>,
    timing: Timing,
}

/// How a discharger is called.
#[derive(Debug)]
enum Discharger {
    Endpoints(Vec<Endpoint>),
    Outside(OutboundUrl, Arc<OutboundClient>),
}

/// What makes two requests equal: app, Machine, tokens (as digests) and version.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Grant {
    pub(super) kind: Kind,
    pub(super) app: AppRef,
    pub(super) machine: MachineId,
    pub(super) holder: [u8; 32],
    pub(super) grant: [u8; 32],
    pub(super) min_version: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Boot,
    Discharge,
}

/// One Machine of [`Client::boot_many`].
#[derive(Debug)]
pub struct BootItem<'a> {
    /// The app.
    pub app: &'a AppRef,
    /// The Machine.
    pub machine: &'a MachineId,
    /// Its discharge or renewal.
    pub discharge: &'a Credentials,
    /// The lowest acceptable app version.
    pub min_version: Option<u64>,
}

impl ClientBuilder {
    /// The endpoints of a token's third-party location, nearest first. A location that is not configured is never
    /// called: it would receive the proof.
    #[must_use]
    pub fn discharger(mut self, location: &str, endpoints: Vec<Endpoint>) -> Self {
        self.dischargers.insert(location.to_owned(), Discharger::Endpoints(endpoints));
        self
    }

    /// An outside discharger: the client calls the location itself, within the limits of `outbound`. It receives
    /// the proofs of every boot whose host token names exactly this location.
    #[must_use]
    pub fn outside_discharger(mut self, location: OutboundUrl, outbound: Arc<OutboundClient>) -> Self {
        let discharger = Discharger::Outside(location.clone(), outbound);
        self.dischargers.insert(location.as_str().to_owned(), discharger);
        self
    }

    /// Deadlines and retries.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// The client.
    pub fn build(self) -> Client {
        let timing = self.timing;
        let dischargers = self.dischargers.into_iter().map(|(location, discharger)| match discharger {
            Discharger::Endpoints(endpoints) => (location, Transport::new(endpoints, timing)),
            Discharger::Outside(url, outbound) => (location, Transport::outside(url, outbound, timing)),
        });
        Client {
            petsem: Transport::new(self.endpoints, timing),
            dischargers: dischargers.collect(),
            timing,
            boots: InFlight::new(),
            refusals: Refusals::new(timing.refusals),
        }
    }
}

impl Client {
    /// A client of the installation behind `endpoints`, nearest first.
    pub fn builder(endpoints: Vec<Endpoint>) -> ClientBuilder {
        ClientBuilder { endpoints, dischargers: HashMap::new(), timing: Timing::default() }
    }

    /// The secrets of one booting Machine (`POST /v1/apps/{app}/boot`). `discharge` is this boot's discharge
    /// or a renewal. Equal concurrent requests are sent once; a definite refusal is remembered for a moment.
    ///
    /// # Errors
    /// [`CallError`]: no secrets.
    pub async fn boot(
        &self,
        app: &AppRef,
        machine: &MachineId,
        host: &Credentials,
        discharge: &Credentials,
        min_version: Option<u64>,
    ) -> Result<Arc<BootResponse>, CallError> {
        let grant = Grant::boot(app, machine, host, discharge, min_version);
        if let Some(refusal) = self.refusals.recall(&grant) {
            return Err(refusal);
        }
        let ask = || async {
            let credentials = host.with_discharge(discharge.expose_text());
            let credentials = credentials.map_err(|_| CallError::BadCredentials)?;
            let request = BootRequest { machine: machine.clone(), min_version };
            let outgoing = post(format!("/v1/apps/{app}/boot"), Some(&credentials), &request, true)?;
            let (endpoint, response) = exchange::<BootResponse>(&self.petsem, outgoing).await?;
            fits(&response, app, machine, min_version).map_err(|malformed| protocol(&endpoint, malformed))?;
            Ok(Arc::new(response))
        };
        let answer = self.boots.share(grant.clone(), ask).await;
        answer.inspect_err(|error| self.refusals.remember(grant, error))
    }

    /// The secrets of many Machines of one host in one call (`POST /v1/boot`), each answered independently, in the
    /// order of `items`. At most [`MAX_BATCH`].
    ///
    /// # Errors
    /// [`CallError`]: the whole batch has no answer. Each item has its own result otherwise.
    pub async fn boot_many(
        &self,
        host: &Credentials,
        items: &[BootItem<'_>],
    ) -> Result<Vec<Result<BootResponse, CallError>>, CallError> {
        if items.len() > MAX_BATCH {
            return Err(CallError::BatchTooLarge { boots: items.len() });
        }
        let remembered: Vec<_> =
            items.iter().map(|item| self.refusals.recall(&Grant::of_item(host, item))).collect();
        let asked: Vec<_> = items
            .iter()
            .zip(&remembered)
            .filter(|(_, known)| known.is_none())
            .map(|(item, _)| item)
            .collect();
        let mut answers = self.ask_batch(host, &asked).await?.into_iter();
        let mut results = Vec::with_capacity(items.len());
        for known in remembered {
            results.push(match known {
                Some(refusal) => Err(refusal),
                // `ask_batch` returned one for each item.
                None => answers.next().unwrap_or(Err(CallError::Unsendable)),
            });
        }
        Ok(results)
    }

    async fn ask_batch(
        &self,
        host: &Credentials,
        items: &[&BootItem<'_>],
    ) -> Result<Vec<Result<BootResponse, CallError>>, CallError> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let boots = items.iter().map(|item| BatchBootItem {
            app: item.app.clone(),
            machine: item.machine.clone(),
            discharge: item.discharge.expose_text().to_owned(),
            min_version: item.min_version,
        });
        let mut request = BatchBootRequest { boots: boots.collect() };
        let outgoing = post("/v1/boot".to_owned(), Some(host), &request, true);
        request.boots.iter_mut().for_each(|item| item.discharge.zeroize());
        let (endpoint, response) =
            exchange_within::<BatchBootResponse>(&self.petsem, outgoing?, MAX_BATCH_ANSWER).await?;
        if response.boots.len() != items.len() {
            return Err(protocol(&endpoint, MalformedAnswer::BatchLength));
        }
        let results = items.iter().zip(response.boots).map(|(item, result)| match result {
            BatchBootResult::Booted(response) => fits(&response, item.app, item.machine, item.min_version)
                .map(|()| *response)
                .map_err(|malformed| protocol(&endpoint, malformed)),
            BatchBootResult::Refused(body) => {
                let refusal = CallError::Refused {
                    status: body.status.http_status(),
                    code: body.status,
                    message: printable(body.text()),
                    request_id: body.request_id,
                };
                self.refusals.remember(Grant::of_item(host, item), &refusal);
                Err(refusal)
            }
        });
        Ok(results.collect())
    }

    /// A later end for a renewal of the same app, Machine and host (`POST /v1/apps/{app}/boot/renew`).
    ///
    /// # Errors
    /// [`CallError`]: no later renewal.
    pub async fn renew(
        &self,
        app: &AppRef,
        machine: &MachineId,
        host: &Credentials,
        renewal: &Credentials,
    ) -> Result<RenewResponse, CallError> {
        let credentials =
            host.with_discharge(renewal.expose_text()).map_err(|_| CallError::BadCredentials)?;
        let request = RenewRequest { machine: machine.clone() };
        let outgoing = post(format!("/v1/apps/{app}/boot/renew"), Some(&credentials), &request, true)?;
        exchange(&self.petsem, outgoing).await.map(|(_, response)| response)
    }

    /// Reports the outcome of a boot to the audit log (`POST /v1/apps/{app}/boot/report`). A repeated report is a
    /// second, equal line, so it is retried like every call of a boot.
    ///
    /// # Errors
    /// [`CallError`]: the report was not accepted.
    pub async fn report(
        &self,
        app: &AppRef,
        host: &Credentials,
        discharge: &Credentials,
        report: &BootReport,
    ) -> Result<(), CallError> {
        let credentials = host.with_discharge(discharge.expose_text());
        let credentials = credentials.map_err(|_| CallError::BadCredentials)?;
        let outgoing = post(format!("/v1/apps/{app}/boot/report"), Some(&credentials), report, true)?;
        self.petsem.send(outgoing, MAX_ANSWER).await.map(|_| ())
    }

    /// A workload's read of its app's secrets with a JWT that the app's policy allows to read
    /// (`GET /v1/apps/{app}/secrets?show_secrets=true`). With `names`, exactly these: no other value is asked for.
    ///
    /// # Errors
    /// [`CallError`]: no secrets. A requested name without a value is [`CallError::SecretMissing`].
    pub async fn workload_read(
        &self,
        app: &AppRef,
        jwt: &Credentials,
        names: Option<&[SecretName]>,
    ) -> Result<SecretList, CallError> {
        let mut path = format!("/v1/apps/{app}/secrets?show_secrets=true");
        if let Some(names) = names {
            let names: Vec<&str> = names.iter().map(SecretName::as_str).collect();
            path.push_str("&names=");
            path.push_str(&names.join(","));
        }
        let mut list: SecretList = self.call(Method::GET, &path, Some(jwt), None::<&()>).await?;
        let Some(names) = names else { return Ok(list) };
        list.secrets.retain(|secret| names.contains(&secret.name));
        let absent = |name: &&SecretName| {
            !list.secrets.iter().any(|secret| secret.name == **name && secret.value.is_some())
        };
        match names.iter().find(absent) {
            Some(name) => Err(CallError::SecretMissing { name: name.clone() }),
            None => Ok(list),
        }
    }

    /// Any other call with JSON in both directions. `path` starts with `/` and has names and ids without escapes; an
    /// empty success is read as JSON `null`.
    ///
    /// Only `GET` is retried. Any other call is sent once; another endpoint is tried only if nothing was sent, or
    /// if petsem answered that it did nothing.
    ///
    /// # Errors
    /// [`CallError`]: no answer of this type.
    pub async fn call<Req: Serialize + ?Sized, Resp: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        credentials: Option<&Credentials>,
        body: Option<&Req>,
    ) -> Result<Resp, CallError> {
        let repeatable = method == Method::GET;
        let body = body.map(json).transpose()?;
        let outgoing = outgoing(method, path.to_owned(), credentials, body, repeatable)?;
        exchange(&self.petsem, outgoing).await.map(|(_, response)| response)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client(..)")
    }
}

impl Grant {
    fn boot(
        app: &AppRef,
        machine: &MachineId,
        host: &Credentials,
        discharge: &Credentials,
        min_version: Option<u64>,
    ) -> Self {
        Self {
            kind: Kind::Boot,
            app: app.clone(),
            machine: machine.clone(),
            holder: host.fingerprint(),
            grant: discharge.fingerprint(),
            min_version,
        }
    }

    fn of_item(host: &Credentials, item: &BootItem<'_>) -> Self {
        Self::boot(item.app, item.machine, host, item.discharge, item.min_version)
    }
}

pub(super) fn post<Req: Serialize>(
    path: String,
    credentials: Option<&Credentials>,
    request: &Req,
    repeatable: bool,
) -> Result<Outgoing, CallError> {
    outgoing(Method::POST, path, credentials, Some(json(request)?), repeatable)
}

pub(super) fn outgoing(
    method: Method,
    path: String,
    credentials: Option<&Credentials>,
    body: Option<Zeroizing<Vec<u8>>>,
    repeatable: bool,
) -> Result<Outgoing, CallError> {
    let authorization = credentials.map(Credentials::expose_header).transpose();
    let authorization = authorization.map_err(|_| CallError::BadCredentials)?;
    let content = HeaderValue::from_static("application/json");
    Ok(Outgoing { method, path, authorization, body, content, repeatable })
}

fn json<Req: Serialize + ?Sized>(request: &Req) -> Result<Zeroizing<Vec<u8>>, CallError> {
    let mut body = WipedBuffer::with_capacity(1024);
    serde_json::to_writer(&mut body, request).map_err(|_| CallError::Unsendable)?;
    Ok(body.into_inner().into())
}

pub(super) async fn exchange<Resp: DeserializeOwned>(
    transport: &Transport,
    outgoing: Outgoing,
) -> Result<(Endpoint, Resp), CallError> {
    exchange_within(transport, outgoing, MAX_ANSWER).await
}

async fn exchange_within<Resp: DeserializeOwned>(
    transport: &Transport,
    outgoing: Outgoing,
    largest: usize,
) -> Result<(Endpoint, Resp), CallError> {
    let (endpoint, body) = transport.send(outgoing, largest).await?;
    let text = if body.is_empty() { b"null" } else { body.as_slice() };
    match serde_json::from_slice(text) {
        Ok(response) => Ok((endpoint, response)),
        // serde's message may contain a part of the body.
        Err(_) => Err(protocol(&endpoint, MalformedAnswer::NotTheJson)),
    }
}

/// Whether the answer is for this request.
fn fits(
    response: &BootResponse,
    app: &AppRef,
    machine: &MachineId,
    min_version: Option<u64>,
) -> Result<(), MalformedAnswer> {
    let same_app = match app {
        AppRef::Id(id) => response.app == *id,
        AppRef::Name(name) => response.app_name == *name,
    };
    if !same_app || response.machine != *machine {
        return Err(MalformedAnswer::AnotherMachine);
    }
    if min_version.is_some_and(|lowest| response.version < lowest) {
        return Err(MalformedAnswer::OlderVersion);
    }
    Ok(())
}
