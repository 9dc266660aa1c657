//! One request as the core sees it: who asks, from where, when; and the audit that becomes its audit line.

use std::net::IpAddr;

use petsem_api::{ErrorCode, HostId, RequestId};
use petsem_policy::evaluate::Claims;
use petsem_policy::{Exchanged, Token};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::entropy;
use crate::error::Failure;
use crate::tenancy::found::FoundApp;
use petsem_audit::{AuditEvent, Outcome, SecretNames, Subject};

/// What only the listener fills: never a body or a header.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it comes from, for the audit log.
    pub source: String,
    /// The address that it comes from; none of a Unix socket.
    pub address: Option<IpAddr>,
    /// The host that the listener is for.
    pub host: Option<HostId>,
}

/// What becomes the audit line of a request. Holds names and ids, never a value or a token.
#[derive(Clone, Debug)]
pub struct AuditRecord {
    id: RequestId,
    line: Line,
    peer: Option<IpAddr>,
    revision: Option<u64>,
    verified: bool,
}

/// The fields of the line, as they are kept in the store until the line is durable.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Line {
    time_ms: u64,
    request_id: String,
    action: String,
    source: Option<String>,
    token: Option<String>,
    ancestors: Vec<String>,
    subject: Option<(String, String)>,
    jti: Option<String>,
    org: Option<String>,
    app: Option<String>,
    app_name: Option<String>,
    names: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret_key: Option<String>,
    version: Option<u64>,
    machine: Option<String>,
    host: Option<String>,
    detail: Option<String>,
}

impl AuditRecord {
    /// The audit of a new request.
    pub fn new(now: Timestamp, peer: &Peer, action: &'static str) -> Self {
        let id = RequestId::new_v7(now.millis(), &entropy::bytes());
        Self::with_id(id, now, peer, action)
    }

    /// The audit of one item of a request that has many.
    pub(crate) fn with_id(id: RequestId, now: Timestamp, peer: &Peer, action: &'static str) -> Self {
        let line = Line {
            time_ms: now.millis(),
            request_id: id.to_string(),
            action: action.to_owned(),
            source: Some(peer.source.clone()),
            host: peer.host.as_ref().map(ToString::to_string),
            ..Line::default()
        };
        Self { id, line, peer: peer.address, revision: None, verified: false }
    }

    /// The request's id.
    pub fn request_id(&self) -> RequestId {
        self.id
    }

    /// The address that the request comes from.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// Where the request comes from.
    pub(crate) fn source(&self) -> &str {
        self.line.source.as_deref().unwrap_or("unknown")
    }

    /// The token that verified, and that the request is made with.
    pub(crate) fn verified_token(&mut self, token: &Token) {
        self.verified(
            token.id().to_string(),
            token.ancestors().iter().map(ToString::to_string).collect(),
            token.subject().map(|subject| (subject.issuer, subject.sub)),
        );
    }

    /// The credential that verified: from now on the request has its own line, refused or not.
    fn verified(&mut self, token: String, ancestors: Vec<String>, subject: Option<(String, String)>) {
        self.line.token = Some(token);
        self.line.ancestors = ancestors;
        self.line.subject = subject;
        self.verified = true;
    }

    /// The JWT that the request is made with: it has its own line, refused or not.
    pub(crate) fn accepted_jwt(&mut self, claims: &Claims) {
        self.line.subject =
            Some((claims.issuer().to_owned(), claims.subject().unwrap_or_default().to_owned()));
        self.line.jti = claims.jti().map(str::to_owned);
        self.verified = true;
    }

    /// The JWT that the request's token was exchanged for.
    pub(crate) fn exchanged_jwt(&mut self, exchanged: &Exchanged) {
        self.line.subject = Some((exchanged.issuer.clone(), exchanged.sub.clone()));
        self.line.jti = Some(exchanged.jti.clone()).filter(|jti| !jti.is_empty());
    }

    /// Somebody comes back with a secret of a request that this person made.
    pub(crate) fn asked_by(&mut self, person: &str) {
        self.line.detail = Some(format!("asked by {person}"));
        self.verified = true;
    }

    /// It is done by the installation itself or at the node: no credential is asked.
    pub fn local(&mut self) {
        self.verified = true;
    }

    /// Whether the request gets a line of its own.
    pub(crate) fn is_verified(&self) -> bool {
        self.verified
    }

    /// The app that it touches.
    pub(crate) fn set_app(&mut self, app: &FoundApp) {
        self.line.org = Some(app.head.org.to_string());
        self.line.app = Some(app.id.to_string());
        self.line.app_name = Some(app.head.name.to_string());
    }

    /// The org that it touches.
    pub(crate) fn set_org(&mut self, org: impl ToString) {
        self.line.org = Some(org.to_string());
    }

    /// The secrets that it touches.
    pub(crate) fn set_names(&mut self, names: impl IntoIterator<Item = impl ToString>) {
        self.line.names = Some(names.into_iter().map(|name| name.to_string()).collect());
    }

    /// The secret key that it uses or changes.
    pub fn set_secret_key(&mut self, name: impl ToString) {
        self.line.secret_key = Some(name.to_string());
    }

    /// The app version that it reads or makes.
    pub(crate) fn set_version(&mut self, version: u64) {
        self.line.version = Some(version);
    }

    /// The Machine.
    pub(crate) fn set_machine(&mut self, machine: impl ToString) {
        self.line.machine = Some(machine.to_string());
    }

    /// A few words; never a value or a token.
    pub fn set_detail(&mut self, detail: impl ToString) {
        self.line.detail = Some(detail.to_string());
    }

    /// A change was committed: its line is pending_audit.
    pub(crate) fn committed(&mut self, revision: u64) {
        self.revision = Some(revision);
    }

    /// The revision whose line is pending_audit.
    pub(crate) fn revision(&self) -> Option<u64> {
        self.revision
    }

    /// What the store keeps of the line until it is durable.
    pub(crate) fn to_line(&self) -> Vec<u8> {
        serde_json::to_vec(&self.line).unwrap_or_default()
    }

    /// The line of a request that ended so.
    pub(crate) fn event(&self, outcome: Outcome, failure: Option<&Failure>) -> AuditEvent {
        let mut event = event(&self.line, outcome);
        if let Some(failure) = failure {
            event.reason = Some(failure.code().as_str().into());
            event.detail = Some(failure.external().to_owned());
        }
        event
    }
}

/// A new id for a request.
pub fn new_request_id(now: Timestamp) -> RequestId {
    RequestId::new_v7(now.millis(), &entropy::bytes())
}

/// The record of what is done on the node itself.
pub(crate) fn local_record(now: Timestamp, action: &'static str) -> AuditRecord {
    let mut audit =
        AuditRecord::new(now, &Peer { source: "node".to_owned(), address: None, host: None }, action);
    audit.local();
    audit
}

/// The line of a committed change that a kill left without one.
pub(crate) fn recovered_event(line: &[u8]) -> Option<AuditEvent> {
    serde_json::from_slice::<Line>(line).ok().map(|line| event(&line, Outcome::Recovered))
}

/// How a refusal is named in the log: refused by a rule, or failed inside.
pub(crate) fn outcome_of(failure: &Failure) -> Outcome {
    match failure.code() {
        ErrorCode::Integrity
        | ErrorCode::Internal
        | ErrorCode::Busy
        | ErrorCode::AuditFull
        | ErrorCode::StoreFull
        | ErrorCode::StoreUnavailable
        | ErrorCode::IssuerUnavailable
        | ErrorCode::VersionNotReached
        | ErrorCode::Stopping
        | ErrorCode::Sealed => Outcome::Failed,
        _ => Outcome::Denied,
    }
}

fn event(line: &Line, outcome: Outcome) -> AuditEvent {
    let line = line.clone();
    let mut event = AuditEvent::new(line.time_ms, line.request_id, line.action, outcome);
    event.source = line.source;
    event.token = line.token;
    event.ancestors = line.ancestors;
    event.subject = line.subject.map(|(issuer, sub)| Subject { issuer, sub });
    event.jti = line.jti;
    event.org = line.org;
    event.app = line.app;
    event.app_name = line.app_name;
    event.secrets = line.names.map(SecretNames::new);
    event.secret_key = line.secret_key;
    event.version = line.version;
    event.machine = line.machine;
    event.host = line.host;
    event.detail = line.detail;
    event
}
