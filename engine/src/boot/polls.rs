//! The discharger's flows that need a person: poll and user-interactive (macaroon format, part 9).
//!
//! A poll secret is 16 random bytes in hex; the store has only its BLAKE2b-256. An entry holds the ticket, sealed under
//! a key of its own. The discharge is made when it is fetched, and is never stored. An entry can be fetched once; it
//! expires with its request, at the latest an hour after its creation.

use std::collections::BTreeMap;

use blake2::{Blake2b256, Digest as _};
use data_encoding::HEXLOWER;
use petsem_api::{ApprovalId, ApprovalState, DischargeAnswer, ErrorCode, OrgId, UserInteractive};
use petsem_keys::{Keyring, PollKey, WrapContext};
use petsem_policy::{SecondPerson, Ticket};
use petsem_store::{CommitError, RecordKind};

use crate::approvals::break_glass::clear_break_glass;
use crate::authz::decide::Principal;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::entropy;
use crate::error::Failure;
use crate::messages;
use crate::records::{ApprovalRow, PollRow, ProtectedChange, REREADS, Row, expect};
use crate::request::AuditRecord;

/// Longest lifetime of an entry, in seconds.
const LIFE: i64 = 60 * 60;
/// Most waiting entries of all orgs; entries of the platform have a limit of their own.
const MOST: usize = 1000;
/// Most waiting entries of one org, or of the platform.
const MOST_OF_ORG: usize = 100;
/// Most waiting entries of one request.
const MOST_OF_REQUEST: usize = 8;

/// The result of a poll.
pub enum Polled {
    /// The request is not decided yet.
    NotReady,
    /// There is no such entry, or it no longer exists.
    NotFound,
    /// The request is refused, with the reason. The entry is deleted.
    Refused(&'static str),
    /// The discharge. The entry is deleted.
    Ready(DischargeAnswer),
}

impl Engine {
    /// Answers a ticket that needs a second person: with the discharge, or with the URL to poll for it.
    pub(crate) async fn discharge_later(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        sealed: &[u8],
        ticket: &Ticket,
        condition: &SecondPerson,
        now: Timestamp,
    ) -> Result<DischargeAnswer, Failure> {
        self.check_feed()?;
        let id = ApprovalId::from_bytes(condition.request);
        let row = self.approval(id).await?.ok_or_else(messages::not_the_requesting_token)?.content;
        let is_requester = row.tokens.first().is_some_and(|token| principal.token_with(*token).is_some());
        if row.requester != condition.requester || !is_requester {
            return Err(messages::not_the_requesting_token());
        }
        // Check the other conditions now, so that a ticket with an unknown condition is refused immediately.
        clear_break_glass(ticket, &row, Some(condition.request), now)?;
        match self.request_state(&row, now).await? {
            ApprovalState::Approved => {
                let discharge = self.break_glass_discharge(audit, ticket, id, &row, now)?;
                Ok(DischargeAnswer { discharge: Some(discharge), ..DischargeAnswer::default() })
            }
            ApprovalState::Open if matches!(row.change, ProtectedChange::BreakGlass { .. }) => {
                let ends_at = row.ends_at.min(now.seconds().saturating_add(LIFE));
                let poll_url = self.new_entry(audit, (id, row.org), sealed, ends_at, now).await?;
                Ok(self.waiting(id, poll_url))
            }
            _ => Err(messages::break_glass_closed()),
        }
    }

    /// The poll URL, with the URL of the approval page if one is configured.
    fn waiting(&self, id: ApprovalId, poll_url: String) -> DischargeAnswer {
        match &self.settings.approval_page {
            None => DischargeAnswer { poll_url: Some(poll_url), ..DischargeAnswer::default() },
            Some(page) => {
                let user_url = page.replace("{id}", &id.to_string());
                let user_interactive = Some(UserInteractive { poll_url, user_url });
                DischargeAnswer { user_interactive, ..DischargeAnswer::default() }
            }
        }
    }

    async fn new_entry(
        &self,
        audit: &mut AuditRecord,
        (request, org): (ApprovalId, Option<OrgId>),
        ticket: &[u8],
        ends_at: i64,
        now: Timestamp,
    ) -> Result<String, Failure> {
        let limit = u32::try_from(MOST * 2).unwrap_or(u32::MAX);
        let entries = self.rows::<PollRow>(limit).await?;
        let is_tight = entries.len() >= MOST;
        let (mut expired, mut decided) = (Vec::new(), Vec::new());
        let mut requests = BTreeMap::new();
        let (mut of_orgs, mut of_same, mut of_request) = (0, 0, 0);
        for (entry, Row { content: row, .. }) in entries {
            if row.ends_at < now.seconds() {
                expired.push(entry);
                continue;
            }
            let (waits, of) = match requests.get(&row.request) {
                Some(known) => *known,
                None => {
                    let known = self.waits_for(row.request, now).await?;
                    requests.insert(row.request, known);
                    known
                }
            };
            if waits {
                of_orgs += usize::from(of.is_some());
                of_same += usize::from(of == org);
                of_request += usize::from(row.request == request);
            } else {
                decided.push(entry);
            }
        }
        if is_tight {
            // Entries of closed requests must not take the room of others. A later poll for one gets "not found".
            expired.append(&mut decided);
        }
        let is_full = of_same >= MOST_OF_ORG || (org.is_some() && of_orgs >= MOST);
        if is_full || of_request >= MOST_OF_REQUEST {
            return Err(messages::too_many_pending_discharges());
        }
        let secret: [u8; 16] = entropy::bytes();
        let id = entry_of(&secret);
        let store = self.store_id.as_bytes();
        let short = short_id(&id);
        let (keyring, fence) = self.wrapping().await?;
        let rng = &mut entropy::rng();
        let key = PollKey::generate(rng);
        let row = PollRow {
            request,
            wrapped_key: keyring
                .wrap(rng, &key, &WrapContext::new(*store, short))
                .map_err(Failure::internal)?,
            sealed_ticket: key.seal(rng, ticket, store, &short).map_err(Failure::internal)?,
            ends_at,
        };
        audit.set_detail(messages::request_waits(request));
        let mut change = self.change(audit);
        change.deletes.extend(expired.into_iter().map(|id| (RecordKind::PollEntry, id.to_vec())));
        change.expects.push(expect::<PollRow>(&id, 0));
        change.expects.push(fence);
        change.puts.push(self.codec.write(&id, 1, &row));
        self.commit(audit, change).await?;
        let base = &self.settings.discharger_location;
        Ok(format!("{base}/.well-known/macfly/3p/poll/{}", HEXLOWER.encode(&secret)))
    }

    /// Whether a request can still lead to a discharge, and its org.
    async fn waits_for(&self, request: ApprovalId, now: Timestamp) -> Result<(bool, Option<OrgId>), Failure> {
        let Some(row) = self.approval(request).await? else { return Ok((false, None)) };
        let state = self.state_for_poll(&row.content, now).await?;
        Ok((matches!(state, ApprovalState::Open | ApprovalState::Approved), row.content.org))
    }

    /// The state of a request. A revocation in the meantime counts as a denial.
    async fn state_for_poll(&self, row: &ApprovalRow, now: Timestamp) -> Result<ApprovalState, Failure> {
        match self.request_state(row, now).await {
            Err(failure) if failure.code() == ErrorCode::Revoked => Ok(ApprovalState::Denied),
            state => state,
        }
    }

    /// Fetches the result for a poll secret. The secret is the only credential.
    pub async fn poll(
        &self,
        audit: &mut AuditRecord,
        secret: &str,
        now: Timestamp,
    ) -> Result<Polled, Failure> {
        let Some(secret) = HEXLOWER.decode(secret.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok())
        else {
            return Ok(Polled::NotFound);
        };
        let id = entry_of(&secret);
        for _ in 0..REREADS {
            if let Some(polled) = self.poll_once(audit, id, now).await? {
                return Ok(polled);
            }
        }
        Ok(Polled::NotReady)
    }

    /// `None` if the entry was changed at the same moment: fetched, or re-wrapped.
    async fn poll_once(
        &self,
        audit: &mut AuditRecord,
        id: [u8; 32],
        now: Timestamp,
    ) -> Result<Option<Polled>, Failure> {
        // Taken before the row is read, which may be re-wrapped meanwhile.
        let keyring = self.keyring();
        let Some(entry) = self.row::<PollRow>(&id).await? else { return Ok(Some(Polled::NotFound)) };
        if entry.content.ends_at < now.seconds() {
            return Ok(Some(Polled::NotFound));
        }
        let request = entry.content.request;
        let Some(row) = self.approval(request).await? else { return Ok(Some(Polled::NotFound)) };
        let row = row.content;
        let state = self.state_for_poll(&row, now).await?;
        if state == ApprovalState::Open || self.check_feed().is_err() {
            return Ok(Some(Polled::NotReady));
        }
        audit.requested_by(&row.requester);
        let polled = if state == ApprovalState::Approved {
            let ticket = self.open_entry(&keyring, &id, &entry.content)?;
            let discharge = self.break_glass_discharge(audit, &ticket, request, &row, now)?;
            Polled::Ready(DischargeAnswer { discharge: Some(discharge), ..DischargeAnswer::default() })
        } else {
            audit.set_detail(messages::request_ended(request));
            Polled::Refused(messages::BREAK_GLASS_CLOSED)
        };
        let mut change = self.change(audit);
        change.expects.push(expect::<PollRow>(&id, entry.version));
        change.deletes.push((RecordKind::PollEntry, id.to_vec()));
        match self.commit(audit, change).await {
            Ok(_) => Ok(Some(polled)),
            Err(CommitError::Conflict { kind: RecordKind::PollEntry, .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn open_entry(&self, keyring: &Keyring, id: &[u8; 32], row: &PollRow) -> Result<Ticket, Failure> {
        let fault = |error: &dyn std::fmt::Display| {
            let fault = crate::records::IntegrityFault::new(RecordKind::PollEntry, id, "it does not open");
            Failure::from(fault).because(error)
        };
        let store = self.store_id.as_bytes();
        let short = short_id(id);
        let key: PollKey = self
            .keys
            .unwrap(keyring, &row.wrapped_key, &WrapContext::new(*store, short))
            .map_err(|error| fault(&error))?;
        let sealed = key.open(&row.sealed_ticket, store, &short).map_err(|error| fault(&error))?;
        let control = self.control();
        let own = control.own_discharger(&self.settings.discharger_location)?;
        Ticket::open(&sealed, &own.key).map_err(|error| fault(&error))
    }
}

/// The id of an entry: BLAKE2b-256 (RFC 7693) of its secret.
fn entry_of(secret: &[u8; 16]) -> [u8; 32] {
    Blake2b256::digest(secret).into()
}

/// The first half of an entry's id, to which its key and ticket are bound.
pub(crate) fn short_id(id: &[u8; 32]) -> [u8; 16] {
    let mut short = [0; 16];
    short.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
    short
}
