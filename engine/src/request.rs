//! One request as the engine sees it: its origin, and the record that becomes its audit line.

use std::net::IpAddr;

use petsem_api::{ErrorCode, HostId, RequestId};
use petsem_audit::{AuditEvent, ControlChange, EncodedEvent, Outcome, SecretNames, Subject};
use petsem_policy::evaluate::Claims;
use petsem_policy::{Exchanged, Token};
use serde_json::value::to_raw_value;

use crate::clock::Timestamp;
use crate::entropy;
use crate::error::Failure;
use crate::messages;
use crate::records::FeedRow;
use crate::tenancy::found::FoundApp;

/// The event of a change that cannot be described. Never empty: an empty line means that a change needs none.
const UNKNOWN: &[u8] = br#""action":"unknown","outcome":"recovered""#;

/// The origin of a request. Only the listener sets it, never from a body or a header.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The source, for the audit log.
    pub source: String,
    /// The client's address; `None` on a Unix socket.
    pub address: Option<IpAddr>,
    /// The host that the listener is configured for.
    pub host: Option<HostId>,
}

/// The record that becomes the audit line of a request. Contains names and ids, never a value or a token.
#[derive(Clone, Debug)]
pub struct AuditRecord {
    id: RequestId,
    /// What is known so far; the outcome and its reason come last.
    event: AuditEvent,
    peer: Option<IpAddr>,
    revision: Option<u64>,
    /// Whether the change is in the control feed.
    is_in_feed: bool,
    verified: bool,
}

impl AuditRecord {
    /// The record of a new request.
    pub fn new(now: Timestamp, peer: &Peer, action: &'static str) -> Self {
        Self::with_id(new_request_id(now), now, peer, action)
    }

    /// The record of an operation on the node itself.
    pub fn on_node(now: Timestamp, source: &str, action: &'static str) -> Self {
        let peer = Peer { source: source.to_owned(), address: None, host: None };
        let mut audit = Self::new(now, &peer, action);
        audit.local();
        audit
    }

    /// The record of one item of a batch request.
    pub(crate) fn with_id(id: RequestId, now: Timestamp, peer: &Peer, action: &'static str) -> Self {
        let event = AuditEvent {
            source: Some(peer.source.clone()),
            host: peer.host.as_ref().map(ToString::to_string),
            ..AuditEvent::new(now.millis(), id.to_string(), action, Outcome::Recovered)
        };
        Self { id, event, peer: peer.address, revision: None, is_in_feed: false, verified: false }
    }

    /// The request's id.
    pub fn request_id(&self) -> RequestId {
        self.id
    }

    /// The address of the client.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// The source of the request.
    pub(crate) fn source(&self) -> &str {
        self.event.source.as_deref().unwrap_or("unknown")
    }

    /// Sets the verified token of the request, which then gets its own line, even if it is refused.
    pub(crate) fn verified_token(&mut self, token: &Token) {
        self.event.token = Some(token.id().to_string());
        self.event.ancestors = token.ancestors().iter().map(ToString::to_string).collect();
        let subject = |subject: &petsem_policy::Subject| Subject {
            issuer: subject.issuer.clone(),
            sub: subject.sub.clone(),
        };
        self.event.subject = token.subject().map(subject);
        self.verified = true;
    }

    /// Sets the JWT of the request, which then gets its own line, even if it is refused.
    pub(crate) fn accepted_jwt(&mut self, claims: &Claims) {
        let sub = claims.subject().unwrap_or_default().to_owned();
        self.event.subject = Some(Subject { issuer: claims.issuer().to_owned(), sub });
        self.event.jti = claims.jti().map(str::to_owned);
        self.verified = true;
    }

    /// Sets the JWT from which the request's token was exchanged.
    pub(crate) fn exchanged_jwt(&mut self, exchanged: &Exchanged) {
        self.event.subject = Some(Subject { issuer: exchanged.issuer.clone(), sub: exchanged.sub.clone() });
        self.event.jti = Some(exchanged.jti.clone()).filter(|jti| !jti.is_empty());
    }

    /// Marks a poll, whose secret proves the request of this person.
    pub(crate) fn requested_by(&mut self, person: &str) {
        self.event.detail = Some(messages::requested_by(person));
        self.verified = true;
    }

    /// Marks an operation of the installation itself or on the node, which needs no credential.
    pub fn local(&mut self) {
        self.verified = true;
    }

    /// Whether the request gets its own line.
    pub(crate) fn is_verified(&self) -> bool {
        self.verified
    }

    /// Sets the app that the request concerns.
    pub(crate) fn set_app(&mut self, app: &FoundApp) {
        self.event.org = Some(app.head.org.to_string());
        self.event.app = Some(app.id.to_string());
        self.event.app_name = Some(app.head.name.to_string());
    }

    /// Sets the org that the request concerns.
    pub(crate) fn set_org(&mut self, org: impl ToString) {
        self.event.org = Some(org.to_string());
    }

    /// Sets the names of the secrets that the request concerns.
    pub(crate) fn set_names(&mut self, names: impl IntoIterator<Item = impl ToString>) {
        let names = names.into_iter().map(|name| name.to_string());
        self.event.secrets = Some(SecretNames::new(names.collect::<Vec<_>>()));
    }

    /// Sets the secret key that the request uses or changes.
    pub fn set_secret_key(&mut self, name: impl ToString) {
        self.event.secret_key = Some(name.to_string());
    }

    /// Sets the app version that the request reads or creates.
    pub(crate) fn set_version(&mut self, version: u64) {
        self.event.version = Some(version);
    }

    /// Sets the Machine.
    pub(crate) fn set_machine(&mut self, machine: impl ToString) {
        self.event.machine = Some(machine.to_string());
    }

    /// Sets a short description; never a value or a token.
    pub fn set_detail(&mut self, detail: impl ToString) {
        self.event.detail = Some(detail.to_string());
    }

    /// Sets the revision of a committed change, whose audit line is pending.
    pub(crate) fn committed(&mut self, revision: u64) {
        self.revision = Some(revision);
    }

    /// How many control changes the record has.
    pub(crate) fn control_changes(&self) -> usize {
        self.event.feed.len()
    }

    /// Sets the control changes after the first `kept`: these, numbered from `first`.
    pub(crate) fn set_control_changes(&mut self, kept: usize, first: u64, rows: &[FeedRow]) {
        self.event.feed.truncate(kept);
        let changes = (first..).zip(rows).filter_map(|(number, row)| {
            // Each has a JSON form: it is what the feed stores.
            Some(ControlChange { number, change: to_raw_value(row).ok()? })
        });
        self.event.feed.extend(changes);
    }

    /// Notes that the committed change is in the control feed.
    pub(crate) fn committed_to_feed(&mut self) {
        self.is_in_feed = true;
    }

    /// Whether the committed change is in the control feed.
    pub(crate) fn is_in_feed(&self) -> bool {
        self.is_in_feed
    }

    /// The revision whose audit line is pending.
    pub(crate) fn revision(&self) -> Option<u64> {
        self.revision
    }

    /// The line that a change keeps in its own transaction. It reaches the log only after a kill.
    pub(crate) fn recovery_line(&self) -> EncodedEvent {
        let shortest = || {
            let event = &self.event;
            AuditEvent {
                feed: event.feed.clone(),
                ..AuditEvent::new(event.time_ms, &*event.request_id, event.action.clone(), event.outcome)
            }
        };
        let encoded = self.event.encode();
        encoded
            .or_else(|_| shortest().encode())
            .unwrap_or_else(|_| EncodedEvent::from_bytes(UNKNOWN.to_vec()))
    }

    /// Sets how the request ended.
    pub(crate) fn conclude(&mut self, outcome: Outcome, failure: Option<&Failure>, feed_age_s: u64) {
        set_outcome(&mut self.event, outcome, failure);
        self.event.feed_age_s = Some(feed_age_s);
    }

    /// What is known of the request.
    pub(crate) fn as_event(&self) -> &AuditEvent {
        &self.event
    }

    /// The audit line for this outcome.
    pub(crate) fn event(&self, outcome: Outcome, failure: Option<&Failure>) -> AuditEvent {
        let mut event = self.event.clone();
        set_outcome(&mut event, outcome, failure);
        event
    }
}

fn set_outcome(event: &mut AuditEvent, outcome: Outcome, failure: Option<&Failure>) {
    event.outcome = outcome;
    if let Some(failure) = failure {
        event.reason = Some(failure.code().as_str().into());
        event.detail = Some(failure.external().to_owned());
    }
}

/// A new id for a request.
pub fn new_request_id(now: Timestamp) -> RequestId {
    RequestId::new_v7(now.millis(), &entropy::bytes())
}

/// [`AuditRecord::on_node`], if no command caused it.
pub(crate) fn local_record(now: Timestamp, action: &'static str) -> AuditRecord {
    AuditRecord::on_node(now, "node", action)
}

/// The outcome that the log shows for a refusal: denied by a rule, or failed.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest names that a revocation takes, of bytes that JSON escapes.
    #[test]
    fn the_line_of_the_longest_revocation_has_the_change_itself() {
        let long = "\u{1}".repeat(4096);
        let row = FeedRow::JwtSubjectRevoked { issuer: long.clone(), sub: long.clone(), before: 1, at: 2 };
        let mut audit = local_record(Timestamp::now(), "revoke");
        let longest = || Some(long.clone());
        audit.event = AuditEvent {
            source: longest(),
            subject: Some(Subject { issuer: long.clone(), sub: long.clone() }),
            jti: longest(),
            detail: longest(),
            ..audit.event
        };
        audit.set_control_changes(0, 7, &[row]);
        let line = audit.recovery_line();
        let line = [b"{", line.as_bytes(), b"}"].concat();
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line["action"], "revoke");
        assert_eq!(line["feed"][0]["number"], 7);
        assert!(line["feed"][0]["change"]["sub"] == long.as_str());
    }
}
