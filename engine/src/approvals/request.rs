//! The second person (design §7): what can lead to reading is asked by one and approved by another.
//!
//! Two tokens are of different persons when no person stands behind both. Behind a token stand its holder and
//! the holders of every token that it was minted from: whoever mints a token in another name may have kept it.
//! What has no holder, or descends from a token that is not in the books, neither asks nor approves.

use petsem_api::{
    AppRef, Approval, ApprovalId, ApprovalKind, ApprovalList, ApprovalState, ErrorCode, TokenUuid,
};
use petsem_policy::{Action, Token, TokenId};
use petsem_store::{Change, Expect, RecordKind};
use serde::Serialize;

use crate::approvals::discharger_limits::check_room;
use crate::authn::token_id::token_uuid;
use crate::authn::tokens::{Verified, author_of, revoked};
use crate::authz::decide::Principal;
use crate::authz::target::AccessTarget;
use crate::clock::time_text;
use crate::clock::{Timestamp, rfc3339_seconds};
use crate::control::state::Control;
use crate::engine::Engine;
use crate::entropy;
use crate::error::Failure;
use crate::records::expect;
use crate::records::{ApprovalRow, Decision, FeedRow, IntegrityFault, ProtectedChange, Row, TokenRow};
use crate::request::AuditRecord;
use crate::request::local_record;
use crate::tenancy::found::FoundApp;

/// Oldest control feed, in seconds, by which a second person is heard (design §7): a revocation may be missing.
const OLDEST_FEED: u64 = 60;
/// How long a registration waits for its second person, in seconds.
const REGISTRATION_WAITS: i64 = 24 * 60 * 60;
/// How long a request that is over is still listed, in seconds.
const KEPT: i64 = 24 * 60 * 60;
/// Requests of all orgs that wait or are in force at once. The platform's own are not counted among them.
const MOST: usize = 1000;
/// Requests of one org, or of the platform, that wait or are in force at once: a minter names as many askers as he
/// likes. So many that are over are listed beside them.
const MOST_OF_ORG: usize = 100;
/// Requests that are looked at: all.
const MOST_KEPT: usize = 2 * MOST;
/// Requests of one asker that wait at once.
const MOST_OPEN: usize = 20;
/// Who decides at the node. No subject is written so: those name their issuer in brackets.
const SEAL: &str = "the seal, at the node";

/// A change that was made at once, or that waits for a second person.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Requested<T> {
    /// It was made.
    Done(T),
    /// It waits.
    Pending(Box<Approval>),
}

/// A request as it is made.
pub(crate) struct ApprovalRequest<'a> {
    pub(crate) asked: ProtectedChange,
    pub(crate) summary: String,
    pub(crate) org: Option<petsem_api::OrgId>,
    pub(crate) app: Option<petsem_api::AppId>,
    pub(crate) reason: &'a str,
    /// Unix seconds.
    pub(crate) ends_at: i64,
}

impl Engine {
    /// Approves a request with the seal in the second person's place: on the node, with the seal opened for it.
    ///
    /// # Errors
    /// The request does not wait; nothing was changed then.
    pub async fn approve_with_seal(&self, id: ApprovalId) -> Result<Approval, Failure> {
        let now = self.now();
        let mut audit = local_record(now, "approval.approve");
        let row = self.approval(id).await?.ok_or_else(no_such_request)?;
        self.check_open(&row.content, now)?;
        let decision = Decision { approved: true, by: SEAL.to_owned(), tokens: Vec::new(), at: now.millis() };
        let approval = self.carry_out(&mut audit, id, row, decision, now).await?;
        self.record(&audit).await?;
        Ok(approval)
    }

    /// Refuses whatever a second person decides while revocations may be missing here.
    pub(crate) fn check_feed(&self) -> Result<(), Failure> {
        let age = self.feed_age();
        if age <= OLDEST_FEED {
            return Ok(());
        }
        Err(Failure::new(
            ErrorCode::StoreUnavailable,
            format!(
                "this node last heard of revocations {age} seconds ago, and until it has, nothing is done that \
                 needs a second person; try again, or ask another node"
            ),
        )
        .retry_after(5))
    }

    /// Everybody who stands behind a token: see the head of this file.
    pub(crate) async fn people_behind(&self, token: &Token) -> Result<Vec<String>, Failure> {
        if token.subject().is_none() {
            return Err(Failure::new(
                ErrorCode::Forbidden,
                "this token names no holder, so it can neither ask nor approve; use one of a person",
            ));
        }
        let mut people = vec![author_of(token)];
        let mut keys = vec![token_uuid(TokenId::of_key(token.kid()))];
        let mut unknown = Vec::new();
        for ancestor in token.ancestors().into_iter().map(token_uuid) {
            let Some(record) = self.store.record(RecordKind::Token, ancestor.as_bytes()).await? else {
                unknown.push(ancestor);
                continue;
            };
            let row = self.codec.read::<TokenRow>(ancestor.as_bytes(), &record)?.content;
            keys.push(token_uuid(TokenId::of_key(row.key.as_bytes())));
            if !people.contains(&row.subject) {
                people.push(row.subject);
            }
        }
        // A line names the keys of its tokens too; behind what is neither, nobody knows who stands.
        if let Some(id) = unknown.into_iter().find(|id| !keys.contains(id)) {
            return Err(Failure::new(
                ErrorCode::Forbidden,
                format!(
                    "token {id}, from which yours was minted, is not in the books, so it is not known who \
                     stands behind it; use another token"
                ),
            ));
        }
        Ok(people)
    }

    /// A new request and the change that makes it; `fill` adds what goes with it.
    pub(crate) async fn ask(
        &self,
        audit: &mut AuditRecord,
        token: &Token,
        id: ApprovalId,
        request: ApprovalRequest<'_>,
        now: Timestamp,
        fill: impl FnOnce(&mut Change) + Send,
    ) -> Result<Approval, Failure> {
        self.check_feed()?;
        check_reason(request.reason)?;
        let asker = author_of(token);
        let people = self.people_behind(token).await?;
        let others = self.all_approvals().await?;
        let (counting, over): (Vec<_>, Vec<_>) =
            others.iter().partition(|(_, row)| counts(&row.content, now));
        let waiting = counting.iter().filter(|(_, row)| {
            row.content.asker == asker && state_of(&row.content, now) == ApprovalState::Open
        });
        let of_same = counting.iter().filter(|(_, row)| row.content.org == request.org).count();
        let of_orgs = counting.iter().filter(|(_, row)| row.content.org.is_some()).count();
        let is_full = of_same >= MOST_OF_ORG || (request.org.is_some() && of_orgs >= MOST);
        if is_full || waiting.count() >= MOST_OPEN {
            return Err(Failure::new(
                ErrorCode::Conflict,
                "too many requests wait for a second person, or are in force; nothing was changed; let some be decided \
                 first, or deny what is not needed any more (`petsem approve --list`)",
            ));
        }
        // What is over makes room, the oldest first (ids are in order of time): no limit counts it.
        let of_same = over.iter().filter(|(_, row)| row.content.org == request.org).count();
        let mut from_same = (of_same + 1).saturating_sub(MOST_OF_ORG);
        let mut from_all = (others.len() + MOST_OF_ORG).saturating_sub(MOST_KEPT);
        let goes = |row: &ApprovalRow| {
            let is_same = row.org == request.org && from_same > 0;
            let goes = is_same || from_all > 0 || row.ends_at.saturating_add(KEPT) < now.seconds();
            from_same -= usize::from(is_same);
            from_all = from_all.saturating_sub(usize::from(goes));
            goes
        };
        let gone: Vec<_> = over.iter().map(|(_, row)| &row.content).map(goes).collect();
        let row = ApprovalRow {
            asked: request.asked,
            summary: request.summary,
            org: request.org,
            app: request.app,
            asker,
            people,
            tokens: line_of(token),
            reason: request.reason.to_owned(),
            asked_at: now.millis(),
            ends_at: request.ends_at,
            decision: None,
        };
        audit.set_detail(format_args!("request {id}: {}; reason: {}", row.summary, row.reason));
        let mut change = self.change(audit);
        for ((id, _), _) in over.iter().zip(gone).filter(|(_, goes)| *goes) {
            change.deletes.push((RecordKind::Approval, id.as_bytes().to_vec()));
        }
        change.expects.push(expect::<ApprovalRow>(id.as_bytes(), 0));
        change.puts.push(self.codec.write(id.as_bytes(), 1, &row));
        fill(&mut change);
        self.commit(audit, change).await?;
        Ok(to_wire(id, &row, now))
    }

    /// A registration that waits for a second person.
    pub(crate) async fn ask_registration(
        &self,
        audit: &mut AuditRecord,
        token: &Token,
        request: ApprovalRequest<'_>,
        now: Timestamp,
    ) -> Result<Approval, Failure> {
        self.ask_registration_with(audit, token, request, now, None).await
    }

    /// The same for what holds a wrapped key: no rotation may have begun since it was wrapped.
    pub(crate) async fn ask_registration_with(
        &self,
        audit: &mut AuditRecord,
        token: &Token,
        request: ApprovalRequest<'_>,
        now: Timestamp,
        fence: Option<Expect>,
    ) -> Result<Approval, Failure> {
        let id = ApprovalId::new_v7(now.millis(), &entropy::bytes());
        self.ask(audit, token, id, request, now, |change| change.expects.extend(fence)).await
    }

    /// The requests that the principal may decide. That is who may ask, too: whoever asked sees his own.
    pub async fn list_approvals(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<ApprovalList, Failure> {
        let mut approvals = Vec::new();
        for (id, row) in self.all_approvals().await? {
            let row = row.content;
            if self.may_decide(audit, principal, &row, now).await?.is_some() {
                approvals.push(to_wire(id, &row, now));
            }
        }
        Ok(ApprovalList { approvals })
    }

    /// One request, for those who may decide it.
    pub async fn show_approval(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        id: ApprovalId,
        now: Timestamp,
    ) -> Result<Approval, Failure> {
        let row = self.approval(id).await?.ok_or_else(not_yours)?.content;
        self.may_decide(audit, principal, &row, now).await?.ok_or_else(not_yours)?;
        Ok(Approval { wanted: wanted(&row.asked)?, ..to_wire(id, &row, now) })
    }

    /// The second person's yes: what was asked for takes effect.
    pub async fn approve(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        id: ApprovalId,
        now: Timestamp,
    ) -> Result<Approval, Failure> {
        self.check_feed()?;
        let row = self.approval(id).await?.ok_or_else(not_yours)?;
        self.set_trail(audit, id, &row.content);
        let verified = self.may_decide(audit, principal, &row.content, now).await?.ok_or_else(not_yours)?;
        let people = self.people_behind(&verified.token).await?;
        if let Some(both) = people.iter().find(|person| row.content.people.contains(person)) {
            return Err(Failure::new(
                ErrorCode::Forbidden,
                format!(
                    "{both} stands behind both the request and this approval: asker, approver and whoever \
                     minted their tokens are different persons; let somebody else approve"
                ),
            ));
        }
        self.check_open(&row.content, now)?;
        let decision = Decision {
            approved: true,
            by: author_of(&verified.token),
            tokens: line_of(&verified.token),
            at: now.millis(),
        };
        self.carry_out(audit, id, row, decision, now).await
    }

    /// No, also after a yes where that still ends something. Whoever asked may say it as well.
    pub async fn turn_down(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        id: ApprovalId,
        now: Timestamp,
    ) -> Result<Approval, Failure> {
        let row = self.approval(id).await?.ok_or_else(not_yours)?;
        self.set_trail(audit, id, &row.content);
        let verified = self.may_decide(audit, principal, &row.content, now).await?.ok_or_else(not_yours)?;
        let ends_something = matches!(row.content.asked, ProtectedChange::BreakGlass { .. });
        match state_of(&row.content, now) {
            ApprovalState::Open => {}
            ApprovalState::Approved if ends_something => {}
            ApprovalState::Approved => {
                return Err(Failure::new(
                    ErrorCode::Conflict,
                    "the request was approved, and has taken effect; nothing was changed; undo what it did",
                ));
            }
            ApprovalState::Denied | ApprovalState::Expired => return Err(already_closed()),
        }
        let decision = Decision {
            approved: false,
            by: author_of(&verified.token),
            tokens: line_of(&verified.token),
            at: now.millis(),
        };
        let decided = ApprovalRow { decision: Some(decision), ..row.content };
        self.put_approval(audit, id, row.version, &decided).await?;
        Ok(to_wire(id, &decided, now))
    }

    /// The row of a request.
    pub(crate) async fn approval(&self, id: ApprovalId) -> Result<Option<Row<ApprovalRow>>, Failure> {
        match self.store.record(RecordKind::Approval, id.as_bytes()).await? {
            None => Ok(None),
            Some(record) => Ok(Some(self.codec.read(id.as_bytes(), &record)?)),
        }
    }

    /// How a request stands, with regard to what was revoked since.
    pub(crate) fn standing(&self, row: &ApprovalRow, now: Timestamp) -> Result<ApprovalState, Failure> {
        let control = self.control();
        let decided = row.decision.iter().flat_map(|decision| &decision.tokens);
        if row.tokens.iter().chain(decided).any(|token| control.revoked().has_token(token)) {
            return Err(revoked());
        }
        Ok(state_of(row, now))
    }

    fn check_open(&self, row: &ApprovalRow, now: Timestamp) -> Result<(), Failure> {
        match self.standing(row, now)? {
            ApprovalState::Open => Ok(()),
            ApprovalState::Approved => Err(Failure::new(
                ErrorCode::Conflict,
                "the request was approved already; nothing was changed",
            )),
            ApprovalState::Denied | ApprovalState::Expired => Err(already_closed()),
        }
    }

    /// What was asked for takes effect, and the request says so.
    async fn carry_out(
        &self,
        audit: &mut AuditRecord,
        id: ApprovalId,
        row: Row<ApprovalRow>,
        decision: Decision,
        now: Timestamp,
    ) -> Result<Approval, Failure> {
        self.set_trail(audit, id, &row.content);
        let by = decision.by.clone();
        let version = row.version;
        let decided = ApprovalRow { decision: Some(decision), ..row.content };
        let detail =
            format!("request {id}: {}; asked by {}; approved by {by}", decided.summary, decided.asker);
        audit.set_detail(&detail);
        let at = now.millis();
        match &decided.asked {
            ProtectedChange::BreakGlass { .. } => self.put_approval(audit, id, version, &decided).await?,
            ProtectedChange::Discharger { id: discharger, row } => {
                let key = discharger_id(discharger)?;
                let feed = [FeedRow::DischargerSet { discharger: discharger.clone(), version: 1, at }];
                let check = |control: &Control| check_room(control, &row.location, row.org);
                self.commit_control_if(audit, &feed, check, |change| {
                    self.decided(change, id, version, &decided);
                    change.expects.push(expect::<crate::records::DischargerRow>(&key, 0));
                    change.puts.push(self.codec.write(&key, 1, row));
                })
                .await?;
            }
            ProtectedChange::GuardOff {} => {
                let org = decided.org.ok_or_else(|| Failure::internal("a guard of no org"))?;
                let feed = [FeedRow::OrgGuardSet { org, on: false, at }];
                self.commit_control(audit, &feed, |change| self.decided(change, id, version, &decided))
                    .await?;
            }
            ProtectedChange::Issuer(wanted) => {
                let row = self.check_issuer(wanted, false)?;
                self.register_issuer(audit, row, |change| self.decided(change, id, version, &decided))
                    .await?;
            }
            ProtectedChange::IssuerChange { id: issuer, expected_version, wanted } => {
                let row = self.check_issuer_change(*issuer, *expected_version, wanted)?;
                let fill = |change: &mut Change| self.decided(change, id, version, &decided);
                self.change_issuer(audit, *issuer, *expected_version, row, fill).await?;
            }
            ProtectedChange::Policy { policy, expected_version } => {
                let app = decided.app.ok_or_else(|| Failure::internal("a policy of no app"))?;
                let app = self.find_app(&AppRef::Id(app)).await?.ok_or_else(no_such_request)?;
                let (policy, author) = (policy.clone(), &decided.asker);
                // Both or neither: somebody may deny it at this moment.
                let also = |change: &mut Change| self.decided(change, id, version, &decided);
                self.set_policy(audit, &app, policy, Some(*expected_version), author, also).await?;
                audit.set_detail(&detail);
            }
        }
        Ok(to_wire(id, &decided, now))
    }

    async fn put_approval(
        &self,
        audit: &mut AuditRecord,
        id: ApprovalId,
        version: u64,
        row: &ApprovalRow,
    ) -> Result<(), Failure> {
        let mut change = self.change(audit);
        self.decided(&mut change, id, version, row);
        self.commit(audit, change).await?;
        Ok(())
    }

    fn decided(&self, change: &mut Change, id: ApprovalId, version: u64, row: &ApprovalRow) {
        change.expects.push(expect::<ApprovalRow>(id.as_bytes(), version));
        change.puts.push(self.codec.write(id.as_bytes(), version + 1, row));
    }

    /// The principal's token that may decide this, if one may.
    async fn may_decide<'c>(
        &self,
        audit: &mut AuditRecord,
        principal: &'c Principal,
        row: &ApprovalRow,
        now: Timestamp,
    ) -> Result<Option<&'c Verified>, Failure> {
        let app: Option<FoundApp> = match row.app {
            None => None,
            Some(app) => match self.find_app(&AppRef::Id(app)).await? {
                None => return Ok(None),
                found => found,
            },
        };
        let action = match row.asked {
            ProtectedChange::BreakGlass { .. } => Action::Mint,
            ProtectedChange::Policy { .. } | ProtectedChange::GuardOff {} => Action::ManagePolicy,
            ProtectedChange::Discharger { .. } if row.org.is_some() => Action::ManagePolicy,
            ProtectedChange::Discharger { .. }
            | ProtectedChange::Issuer(_)
            | ProtectedChange::IssuerChange { .. } => Action::Operate,
        };
        let target = AccessTarget { org: row.org, app: app.as_ref(), ..AccessTarget::default() };
        Ok(principal.allows(audit, &target, action, now).ok())
    }

    async fn all_approvals(&self) -> Result<Vec<(ApprovalId, Row<ApprovalRow>)>, Failure> {
        let limit = u32::try_from(MOST_KEPT).unwrap_or(u32::MAX);
        let records = self.store.records(RecordKind::Approval, &[], None, limit).await?;
        let mut rows = Vec::with_capacity(records.len());
        for record in &records {
            let id = <[u8; 16]>::try_from(record.id.as_slice())
                .map_err(|_| IntegrityFault::new("approval", &record.id, "its id has the wrong length"))?;
            rows.push((ApprovalId::from_bytes(id), self.codec.read(&id, record)?));
        }
        Ok(rows)
    }

    fn set_trail(&self, audit: &mut AuditRecord, id: ApprovalId, row: &ApprovalRow) {
        if let Some(org) = row.org {
            audit.set_org(org);
        }
        audit.set_detail(format_args!("request {id}: {}; asked by {}", row.summary, row.asker));
    }
}

/// Until when a registration waits.
pub(crate) fn registration_ends(now: Timestamp) -> i64 {
    now.seconds().saturating_add(REGISTRATION_WAITS)
}

/// A token's id, and those of its key and of all that it was minted from.
fn line_of(token: &Token) -> Vec<TokenUuid> {
    token.lineage().0.into_iter().map(token_uuid).collect()
}

/// Whether a request waits for somebody, or is in force.
fn counts(row: &ApprovalRow, now: Timestamp) -> bool {
    match state_of(row, now) {
        ApprovalState::Open => true,
        ApprovalState::Approved => matches!(row.asked, ProtectedChange::BreakGlass { .. }),
        ApprovalState::Denied | ApprovalState::Expired => false,
    }
}

fn state_of(row: &ApprovalRow, now: Timestamp) -> ApprovalState {
    match &row.decision {
        Some(decision) if !decision.approved => ApprovalState::Denied,
        // Of a registration the approval is the end; break-glass goes on until its time is over.
        Some(_) if !matches!(row.asked, ProtectedChange::BreakGlass { .. }) => ApprovalState::Approved,
        _ if now.seconds() > row.ends_at => ApprovalState::Expired,
        Some(_) => ApprovalState::Approved,
        None => ApprovalState::Open,
    }
}

fn to_wire(id: ApprovalId, row: &ApprovalRow, now: Timestamp) -> Approval {
    Approval {
        id,
        kind: match row.asked {
            ProtectedChange::BreakGlass { .. } => ApprovalKind::BreakGlass,
            ProtectedChange::Discharger { .. } => ApprovalKind::Discharger,
            ProtectedChange::Issuer(_) | ProtectedChange::IssuerChange { .. } => ApprovalKind::Issuer,
            ProtectedChange::Policy { .. } => ApprovalKind::Policy,
            ProtectedChange::GuardOff {} => ApprovalKind::GuardOff,
        },
        summary: row.summary.clone(),
        org: row.org,
        app: row.app,
        asker: row.asker.clone(),
        reason: row.reason.clone(),
        state: state_of(row, now),
        decided_by: row.decision.as_ref().map(|decision| decision.by.clone()),
        asked_at: time_text(row.asked_at),
        ends_at: rfc3339_seconds(row.ends_at),
        wanted: None,
    }
}

/// What takes effect, as far as the summary cannot say it: nobody shall have to approve what he does not see.
fn wanted(asked: &ProtectedChange) -> Result<Option<serde_json::Value>, Failure> {
    match asked {
        ProtectedChange::Policy { policy, .. } => Ok(Some(policy.clone())),
        ProtectedChange::Issuer(wanted) | ProtectedChange::IssuerChange { wanted, .. } => {
            serde_json::to_value(wanted).map(Some).map_err(Failure::internal)
        }
        ProtectedChange::BreakGlass { .. }
        | ProtectedChange::Discharger { .. }
        | ProtectedChange::GuardOff {} => Ok(None),
    }
}

fn check_reason(reason: &str) -> Result<(), Failure> {
    let fits = (1..=petsem_policy::MAX_REASON_BYTES).contains(&reason.trim().len())
        && reason.len() <= petsem_policy::MAX_REASON_BYTES
        && !reason.contains(char::is_control);
    if fits {
        return Ok(());
    }
    Err(Failure::new(ErrorCode::BadRequest, "reason is 1 to 512 bytes of text on one line; say why"))
}

fn discharger_id(hex: &str) -> Result<[u8; 16], Failure> {
    data_encoding::HEXLOWER
        .decode(hex.as_bytes())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| Failure::internal("a request for a discharger without an id"))
}

/// The one answer to those who may not decide, whether the request is there or not.
fn not_yours() -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        "there is no such request, or this token may not decide it; `petsem approve --list` shows those that it may",
    )
}

/// Told at the node, where everything may be known.
fn no_such_request() -> Failure {
    Failure::new(ErrorCode::NotFound, "there is no such request, or what it was about is gone")
}

fn already_closed() -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        "the request was denied, or its time is over; nothing was changed; ask anew",
    )
}
