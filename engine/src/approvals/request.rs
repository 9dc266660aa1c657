//! The second person (design §7): one person requests a change that can lead to reading, another approves it.
//!
//! The people behind a token are its holder and the holders of all tokens that it was minted from, because a minter can
//! keep a token that it minted in another name. Two tokens count as two persons if no person is behind both. A token
//! without a holder, or with an ancestor that is not recorded, can neither request nor approve.

use petsem_api::{
    AppRef, Approval, ApprovalId, ApprovalKind, ApprovalList, ApprovalState, Approve, TokenUuid,
};
use petsem_policy::evaluate::{Algorithm, Jwks};
use petsem_policy::{Action, Token, TokenId};
use petsem_store::{AppPart, Change, Expect, RecordKind};
use serde::Serialize;

use crate::approvals::discharger_limits::check_room;
use crate::approvals::key_digest::digest_of_keys;
use crate::authn::token_id::token_uuid;
use crate::authn::tokens::{Verified, author_of};
use crate::authz::decide::Principal;
use crate::authz::target::AccessTarget;
use crate::clock::{Timestamp, rfc3339_seconds, time_text};
use crate::control::state::Control;
use crate::engine::Engine;
use crate::entropy;
use crate::error::Failure;
use crate::messages;
use crate::records::{
    ApprovalRow, Decision, FeedRow, IntegrityFault, ProtectedChange, RecordCodec, Row, TokenRow, expect,
    id_of_hex,
};
use crate::request::{AuditRecord, local_record};
use crate::tenancy::found::FoundApp;

/// Greatest age of the control feed, in seconds, for decisions of a second person (design §7): a revocation may be
/// missing.
const OLDEST_FEED: u64 = 60;
/// How long a registration waits for its second person, in seconds.
const REGISTRATION_WAITS: i64 = 24 * 60 * 60;
/// How long a closed request remains listed after its end, in seconds.
const KEPT: i64 = 24 * 60 * 60;
/// Most requests of all orgs that wait or are in force at once. The platform's requests do not count here.
const MOST: usize = 1000;
/// Most requests of one org, or of the platform, that wait or are in force at once: a minter can name any number of
/// requesters. As many closed requests are kept besides.
const MOST_OF_ORG: usize = 100;
/// Most requests that the store holds, and that one listing reads.
const MOST_KEPT: usize = 2 * MOST;
/// Most requests of one requester that wait at once.
const MOST_OPEN: usize = 20;

/// A change that took effect immediately, or that waits for a second person.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Requested<T> {
    /// The change took effect.
    Done(T),
    /// The change waits.
    Pending(Box<Approval>),
}

/// A new request.
pub(crate) struct ApprovalRequest<'a> {
    pub(crate) change: ProtectedChange,
    pub(crate) summary: String,
    pub(crate) org: Option<petsem_api::OrgId>,
    pub(crate) app: Option<petsem_api::AppId>,
    pub(crate) reason: &'a str,
    /// Unix seconds.
    pub(crate) ends_at: i64,
}

impl Engine {
    /// Approves a request with the seal instead of a second person: on the node, with the seal opened for it.
    ///
    /// # Errors
    /// The request is not open; nothing was changed.
    pub async fn approve_with_seal(
        &self,
        source: &str,
        id: ApprovalId,
        wanted: &Approve,
    ) -> Result<Approval, Failure> {
        let now = self.now();
        let mut audit = AuditRecord::on_node(now, source, "approval.approve");
        let row = self.approval(id).await?.ok_or_else(messages::no_such_request)?;
        self.check_open(&row.content, now).await?;
        check_key_digest(&row.content, wanted)?;
        let decision =
            Decision { approved: true, by: messages::SEAL.to_owned(), tokens: Vec::new(), at: now.millis() };
        let approval = self.carry_out(&mut audit, id, row, decision, now).await?;
        self.record(&audit).await?;
        Ok(approval)
    }

    /// Refuses decisions of a second person while this node may lack revocations.
    pub(crate) fn check_feed(&self) -> Result<(), Failure> {
        let age = self.feed_age();
        if age <= OLDEST_FEED {
            return Ok(());
        }
        Err(messages::revocations_too_old(age))
    }

    /// All people behind a token, as the module header defines them.
    pub(crate) async fn people_behind(&self, token: &Token) -> Result<Vec<String>, Failure> {
        if token.subject().is_none() {
            return Err(messages::no_holder());
        }
        let mut people = vec![author_of(token)];
        let mut keys = vec![token_uuid(TokenId::of_key(token.kid()))];
        let mut unknown = Vec::new();
        for ancestor in token.ancestors().iter().copied().map(token_uuid) {
            let Some(Row { content: row, .. }) = self.row::<TokenRow>(ancestor.as_bytes()).await? else {
                unknown.push(ancestor);
                continue;
            };
            keys.push(token_uuid(TokenId::of_key(row.key.as_bytes())));
            if !people.contains(&row.subject) {
                people.push(row.subject);
            }
        }
        // A lineage also names the keys of its tokens. Any other unknown id has an unknown holder.
        if let Some(id) = unknown.into_iter().find(|id| !keys.contains(id)) {
            return Err(messages::holder_unknown(id));
        }
        Ok(people)
    }

    /// Stores a new request. `fill` adds the rows that belong to the same change.
    pub(crate) async fn request_approval(
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
        let requester = author_of(token);
        let people = self.people_behind(token).await?;
        let others = self.all_approvals().await?;
        let (active, closed): (Vec<_>, Vec<_>) =
            others.iter().partition(|(_, row)| is_active(&row.content, now));
        let waiting = active.iter().filter(|(_, row)| {
            row.content.requester == requester && state_of(&row.content, now) == ApprovalState::Open
        });
        let of_same = active.iter().filter(|(_, row)| row.content.org == request.org).count();
        let of_orgs = active.iter().filter(|(_, row)| row.content.org.is_some()).count();
        let is_full = of_same >= MOST_OF_ORG || (request.org.is_some() && of_orgs >= MOST);
        if is_full || waiting.count() >= MOST_OPEN {
            return Err(messages::too_many_requests());
        }
        // No limit counts closed requests; they are deleted to make room, oldest first (ids sort by time).
        let of_same = closed.iter().filter(|(_, row)| row.content.org == request.org).count();
        let mut from_same = (of_same + 1).saturating_sub(MOST_OF_ORG);
        let mut from_all = (others.len() + MOST_OF_ORG).saturating_sub(MOST_KEPT);
        let is_deleted = |row: &ApprovalRow| {
            let is_same = row.org == request.org && from_same > 0;
            let is_deleted = is_same || from_all > 0 || row.ends_at.saturating_add(KEPT) < now.seconds();
            from_same -= usize::from(is_same);
            from_all = from_all.saturating_sub(usize::from(is_deleted));
            is_deleted
        };
        let deleted: Vec<_> = closed.iter().map(|(_, row)| &row.content).map(is_deleted).collect();
        let row = ApprovalRow {
            change: request.change,
            summary: request.summary,
            org: request.org,
            app: request.app,
            requester,
            people,
            tokens: lineage_of(token),
            reason: request.reason.to_owned(),
            requested_at: now.millis(),
            ends_at: request.ends_at,
            decision: None,
        };
        audit.set_detail(messages::request_made(id, &row.summary, &row.reason));
        let mut change = self.change(audit);
        for ((id, _), _) in closed.iter().zip(deleted).filter(|(_, is_deleted)| *is_deleted) {
            change.deletes.push((RecordKind::Approval, id.as_bytes().to_vec()));
        }
        change.expects.push(expect::<ApprovalRow>(id.as_bytes(), 0));
        change.puts.push(self.codec.write(id.as_bytes(), 1, &row));
        fill(&mut change);
        self.commit(audit, change).await?;
        Ok(to_wire(id, &row, now))
    }

    /// Requests a registration, which then waits for a second person. One that holds a wrapped key has a `fence`, which
    /// refuses it if a rotation has begun since the wrap.
    pub(crate) async fn request_registration(
        &self,
        audit: &mut AuditRecord,
        token: &Token,
        request: ApprovalRequest<'_>,
        now: Timestamp,
        fence: Option<Expect>,
    ) -> Result<Approval, Failure> {
        let id = ApprovalId::new_v7(now.millis(), &entropy::bytes());
        self.request_approval(audit, token, id, request, now, |change| change.expects.extend(fence)).await
    }

    /// The requests that the principal may decide. Deciding needs the same permission as requesting, so requesters see
    /// their own; of hosts it needs `operate`, and the requesting token sees its own.
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
                let outdated = self.is_outdated(&row, now).await?;
                approvals.push(Approval { outdated, ..to_wire(id, &row, now) });
            }
        }
        Ok(ApprovalList { approvals })
    }

    /// One request, for a principal that may decide it.
    pub async fn show_approval(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        id: ApprovalId,
        now: Timestamp,
    ) -> Result<Approval, Failure> {
        let row = self.approval(id).await?.ok_or_else(messages::request_not_decidable)?.content;
        self.may_decide(audit, principal, &row, now).await?.ok_or_else(messages::request_not_decidable)?;
        let outdated = self.is_outdated(&row, now).await?;
        Ok(Approval { wanted: content_of(&row.change)?, outdated, ..to_wire(id, &row, now) })
    }

    /// Approves a request as the second person: the requested change takes effect.
    pub async fn approve(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        id: ApprovalId,
        wanted: &Approve,
        now: Timestamp,
    ) -> Result<Approval, Failure> {
        self.check_feed()?;
        let row = self.approval(id).await?.ok_or_else(messages::request_not_decidable)?;
        self.set_audit_detail(audit, id, &row.content);
        let verified = self
            .may_decide(audit, principal, &row.content, now)
            .await?
            .ok_or_else(messages::request_not_decidable)?;
        let people = self.people_behind(&verified.token).await?;
        if let Some(both) = people.iter().find(|person| row.content.people.contains(person)) {
            return Err(messages::same_person(both));
        }
        self.check_open(&row.content, now).await?;
        check_key_digest(&row.content, wanted)?;
        let decision = Decision {
            approved: true,
            by: author_of(&verified.token),
            tokens: lineage_of(&verified.token),
            at: now.millis(),
        };
        self.carry_out(audit, id, row, decision, now).await
    }

    /// Denies a request. Break-glass or an enrollment that was already approved ends with it. The requester may deny,
    /// too.
    pub async fn deny_request(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        id: ApprovalId,
        now: Timestamp,
    ) -> Result<Approval, Failure> {
        let row = self.approval(id).await?.ok_or_else(messages::request_not_decidable)?;
        self.set_audit_detail(audit, id, &row.content);
        let verified = self
            .may_decide(audit, principal, &row.content, now)
            .await?
            .ok_or_else(messages::request_not_decidable)?;
        let can_be_ended = row.content.change.stays_in_force();
        match state_of(&row.content, now) {
            ApprovalState::Open => {}
            ApprovalState::Approved if can_be_ended => {}
            ApprovalState::Approved => return Err(messages::request_in_effect()),
            ApprovalState::Denied | ApprovalState::Expired => return Err(messages::request_closed()),
        }
        let decision = Decision {
            approved: false,
            by: author_of(&verified.token),
            tokens: lineage_of(&verified.token),
            at: now.millis(),
        };
        let decided = DecidedRequest::new(id, row, decision);
        self.commit_decision(audit, &decided, &[]).await?;
        Ok(to_wire(id, &decided.row, now))
    }

    /// Denies every request that waits or is in force. Returns how many.
    pub(crate) async fn deny_all_requests(&self, by: &'static str) -> Result<usize, Failure> {
        let now = self.now();
        let mut denied = 0;
        for (id, row) in self.all_approvals().await? {
            if !is_active(&row.content, now) {
                continue;
            }
            let mut audit = local_record(now, by);
            self.set_audit_detail(&mut audit, id, &row.content);
            let decision =
                Decision { approved: false, by: by.to_owned(), tokens: Vec::new(), at: now.millis() };
            self.commit_decision(&mut audit, &DecidedRequest::new(id, row, decision), &[]).await?;
            self.record(&audit).await?;
            denied += 1;
        }
        Ok(denied)
    }

    /// The row of a request, which is not from before its decision.
    pub(crate) async fn approval(&self, id: ApprovalId) -> Result<Option<Row<ApprovalRow>>, Failure> {
        let mut before = None;
        loop {
            let Some(row) = self.row::<ApprovalRow>(id.as_bytes()).await? else { return Ok(None) };
            if !self.is_put_back(id, &row.content).await? {
                return Ok(Some(row));
            }
            // It may have been decided after it was read.
            if before == Some(row.version) {
                let what = "it was put back to before its decision";
                return Err(IntegrityFault::new(RecordKind::Approval, id.as_bytes(), what).into());
            }
            before = Some(row.version);
        }
    }

    /// Whether a request's row is from before the decision that the control feed names.
    async fn is_put_back(&self, id: ApprovalId, row: &ApprovalRow) -> Result<bool, Failure> {
        Ok(self.control().request(id).await?.is_after(row.approved()))
    }

    /// The state of a request. Fails if a token of its requester or its approver was revoked.
    pub(crate) async fn request_state(
        &self,
        row: &ApprovalRow,
        now: Timestamp,
    ) -> Result<ApprovalState, Failure> {
        if self.is_void(row).await? { Err(messages::revoked()) } else { Ok(state_of(row, now)) }
    }

    /// Whether a token of a request's requester or its approver was revoked.
    pub(crate) async fn is_void(&self, row: &ApprovalRow) -> Result<bool, Failure> {
        let control = self.control();
        let decided = row.decision.as_ref().map_or(&[][..], |decision| &decision.tokens);
        Ok(control.is_any_revoked(&row.tokens).await? || control.is_any_revoked(decided).await?)
    }

    async fn check_open(&self, row: &ApprovalRow, now: Timestamp) -> Result<(), Failure> {
        match self.request_state(row, now).await? {
            ApprovalState::Open => Ok(()),
            ApprovalState::Approved => Err(messages::request_approved()),
            ApprovalState::Denied | ApprovalState::Expired => Err(messages::request_closed()),
        }
    }

    /// Whether an open request cannot take effect any more: it was made for an earlier version.
    async fn is_outdated(&self, row: &ApprovalRow, now: Timestamp) -> Result<bool, Failure> {
        if state_of(row, now) != ApprovalState::Open {
            return Ok(false);
        }
        match (&row.change, row.app) {
            (ProtectedChange::Policy { expected_version, .. }, Some(app)) => {
                let app = self.find_app_with(&AppRef::Id(app), AppPart::Head).await?;
                Ok(app.is_none_or(|app| app.head.policy_version != *expected_version))
            }
            (ProtectedChange::IssuerChange { id, expected_version, wanted }, _) => {
                Ok(self.check_issuer_change(*id, *expected_version, wanted).is_err())
            }
            (ProtectedChange::Issuer(wanted), _) => Ok(self.check_issuer(wanted, false).is_err()),
            _ => Ok(false),
        }
    }

    /// Makes the requested change and records the decision, in one commit.
    async fn carry_out(
        &self,
        audit: &mut AuditRecord,
        id: ApprovalId,
        row: Row<ApprovalRow>,
        decision: Decision,
        now: Timestamp,
    ) -> Result<Approval, Failure> {
        self.set_audit_detail(audit, id, &row.content);
        let by = decision.by.clone();
        let decided = DecidedRequest::new(id, row, decision);
        let request = &decided.row;
        audit.set_detail(messages::approved_request(id, &request.summary, &people_of(request), &by));
        let at = now.millis();
        match &request.change {
            ProtectedChange::BreakGlass { .. } | ProtectedChange::Enrollment { .. } => {
                self.commit_decision(audit, &decided, &[]).await?;
            }
            ProtectedChange::Discharger { id: discharger, row, .. } => {
                let key = id_of_hex(discharger)
                    .ok_or_else(|| Failure::internal("a request for a discharger has no valid id"))?;
                let set = FeedRow::DischargerSet { discharger: discharger.clone(), version: 1, at };
                let check = |control: &Control| check_room(control, &row.location, row.org);
                self.commit_control_if(audit, &[set, decided.feed()], check, |change| {
                    decided.add_to(&self.codec, change);
                    change.expects.push(expect::<crate::records::DischargerRow>(&key, 0));
                    change.puts.push(self.codec.write(&key, 1, row));
                })
                .await?;
            }
            ProtectedChange::GuardOff {} => {
                let org =
                    request.org.ok_or_else(|| Failure::internal("a request for a guard names no org"))?;
                self.commit_decision(audit, &decided, &[FeedRow::OrgGuardSet { org, on: false, at }]).await?;
            }
            ProtectedChange::Issuer(registration) => {
                let row = self.check_issuer(registration, false)?;
                self.register_issuer(audit, row, Some(&decided)).await?;
            }
            ProtectedChange::IssuerChange { id: issuer, expected_version, wanted: registration } => {
                let row = self.check_issuer_change(*issuer, *expected_version, registration)?;
                self.change_issuer(audit, *issuer, *expected_version, row, Some(&decided)).await?;
            }
            ProtectedChange::Policy { policy, expected_version } => {
                let app =
                    request.app.ok_or_else(|| Failure::internal("a request for a policy names no app"))?;
                let app = self.find_app(&AppRef::Id(app)).await?.ok_or_else(messages::no_such_request)?;
                let (policy, author) = (policy.clone(), &request.requester);
                self.set_policy(audit, &app, policy, Some(*expected_version), author, Some(&decided)).await?;
            }
            ProtectedChange::Settings(wanted) => {
                let app =
                    request.app.ok_or_else(|| Failure::internal("a request for settings names no app"))?;
                let app = self.find_app(&AppRef::Id(app)).await?.ok_or_else(messages::no_such_request)?;
                self.set_settings(audit, &app, wanted, true, Some(&decided)).await?;
            }
        }
        Ok(to_wire(id, request, now))
    }

    /// Commits a decision, and control changes that follow from it.
    async fn commit_decision(
        &self,
        audit: &mut AuditRecord,
        decided: &DecidedRequest,
        changes: &[FeedRow],
    ) -> Result<(), Failure> {
        let feed: Vec<FeedRow> = changes.iter().cloned().chain([decided.feed()]).collect();
        self.commit_control(audit, &feed, |change| decided.add_to(&self.codec, change)).await?;
        Ok(())
    }

    /// The principal's token that may decide this request, if there is one.
    async fn may_decide<'c>(
        &self,
        audit: &mut AuditRecord,
        principal: &'c Principal,
        row: &ApprovalRow,
        now: Timestamp,
    ) -> Result<Option<&'c Verified>, Failure> {
        let app: Option<FoundApp> = match row.app {
            None => None,
            Some(app) => match self.find_app_with(&AppRef::Id(app), AppPart::Head).await? {
                None => return Ok(None),
                found => found,
            },
        };
        let action = match &row.change {
            ProtectedChange::BreakGlass { .. } => Action::Mint,
            ProtectedChange::Policy { .. } | ProtectedChange::Settings(_) | ProtectedChange::GuardOff {} => {
                Action::ManagePolicy
            }
            ProtectedChange::Discharger { .. } if row.org.is_some() => Action::ManagePolicy,
            ProtectedChange::Discharger { .. }
            | ProtectedChange::Issuer(_)
            | ProtectedChange::IssuerChange { .. } => Action::Operate,
            ProtectedChange::Enrollment { hosts } => {
                // A token that may only enroll sees and withdraws its own; it cannot approve: the person is the same.
                let target = AccessTarget { host: hosts.first(), ..AccessTarget::default() };
                let access = principal.access(&target, Action::Enroll, now);
                let own = row.tokens.first().and_then(|id| principal.token_with(*id));
                if let Some(own) = own.filter(|own| own.allows(&access).is_ok()) {
                    return Ok(Some(own));
                }
                Action::Operate
            }
        };
        let target = AccessTarget { org: row.org, app: app.as_ref(), ..AccessTarget::default() };
        Ok(principal.allows(audit, &target, action, now).ok())
    }

    pub(crate) async fn all_approvals(&self) -> Result<Vec<(ApprovalId, Row<ApprovalRow>)>, Failure> {
        let limit = u32::try_from(MOST_KEPT).unwrap_or(u32::MAX);
        let mut current = Vec::new();
        for (id, row) in self.rows::<ApprovalRow>(limit).await? {
            let row =
                if self.is_put_back(id, &row.content).await? { self.approval(id).await? } else { Some(row) };
            current.extend(row.map(|row| (id, row)));
        }
        Ok(current)
    }

    fn set_audit_detail(&self, audit: &mut AuditRecord, id: ApprovalId, row: &ApprovalRow) {
        if let Some(org) = row.org {
            audit.set_org(org);
        }
        audit.set_detail(messages::request_of(id, &row.summary, &people_of(row)));
    }
}

/// A decided request. It is committed together with the change that it led to, so a denial at the same moment fails.
pub(crate) struct DecidedRequest {
    id: ApprovalId,
    /// The version of its row before the decision.
    version: u64,
    row: ApprovalRow,
    at: u64,
}

impl DecidedRequest {
    fn new(id: ApprovalId, before: Row<ApprovalRow>, decision: Decision) -> Self {
        let at = decision.at;
        let row = ApprovalRow { decision: Some(decision), ..before.content };
        Self { id, version: before.version, row, at }
    }

    /// The decision, for the control feed.
    pub(crate) fn feed(&self) -> FeedRow {
        let approved = self.row.decision.as_ref().is_some_and(|decision| decision.approved);
        FeedRow::RequestDecided { request: self.id, approved, ends: self.row.ends_at, at: self.at }
    }

    /// Adds its row to a change.
    pub(crate) fn add_to(&self, codec: &RecordCodec, change: &mut Change) {
        change.expects.push(expect::<ApprovalRow>(self.id.as_bytes(), self.version));
        change.puts.push(codec.write(self.id.as_bytes(), self.version + 1, &self.row));
    }
}

/// When a waiting registration expires, in unix seconds.
pub(crate) fn registration_ends(now: Timestamp) -> i64 {
    now.seconds().saturating_add(REGISTRATION_WAITS)
}

/// The ids of a token, of its key and of all tokens that it was minted from.
fn lineage_of(token: &Token) -> Vec<TokenUuid> {
    token.lineage().0.into_iter().map(token_uuid).collect()
}

/// Whether a request waits for a second person, or is in force.
fn is_active(row: &ApprovalRow, now: Timestamp) -> bool {
    match state_of(row, now) {
        ApprovalState::Open => true,
        ApprovalState::Approved => row.change.stays_in_force(),
        ApprovalState::Denied | ApprovalState::Expired => false,
    }
}

pub(crate) fn state_of(row: &ApprovalRow, now: Timestamp) -> ApprovalState {
    match &row.decision {
        Some(decision) if !decision.approved => ApprovalState::Denied,
        Some(_) if !row.change.stays_in_force() => ApprovalState::Approved,
        _ if now.seconds() > row.ends_at => ApprovalState::Expired,
        Some(_) => ApprovalState::Approved,
        None => ApprovalState::Open,
    }
}

/// The requester, and who minted its token: a minter chooses the holder's name.
fn people_of(row: &ApprovalRow) -> String {
    match row.people.get(1..) {
        None | Some([]) => row.requester.clone(),
        Some(minters) => messages::minted_by(&row.requester, minters),
    }
}

fn to_wire(id: ApprovalId, row: &ApprovalRow, now: Timestamp) -> Approval {
    Approval {
        id,
        kind: match row.change {
            ProtectedChange::BreakGlass { .. } => ApprovalKind::BreakGlass,
            ProtectedChange::Discharger { .. } => ApprovalKind::Discharger,
            ProtectedChange::Issuer(_) | ProtectedChange::IssuerChange { .. } => ApprovalKind::Issuer,
            ProtectedChange::Policy { .. } => ApprovalKind::Policy,
            ProtectedChange::Settings(_) => ApprovalKind::Settings,
            ProtectedChange::GuardOff {} => ApprovalKind::GuardOff,
            ProtectedChange::Enrollment { .. } => ApprovalKind::Enrollment,
        },
        summary: row.summary.clone(),
        org: row.org,
        app: row.app,
        requester: people_of(row),
        reason: row.reason.clone(),
        state: state_of(row, now),
        outdated: false,
        decided_by: row.decision.as_ref().map(|decision| decision.by.clone()),
        requested_at: time_text(row.requested_at),
        ends_at: rfc3339_seconds(row.ends_at),
        key_digest: key_digest(&row.change),
        wanted: None,
    }
}

/// The requested content that the summary cannot show: an approver must be able to see what takes effect.
fn content_of(change: &ProtectedChange) -> Result<Option<serde_json::Value>, Failure> {
    match change {
        ProtectedChange::Policy { policy, .. } => Ok(Some(policy.clone())),
        ProtectedChange::Settings(wanted) => {
            serde_json::to_value(wanted).map(Some).map_err(Failure::internal)
        }
        ProtectedChange::Issuer(registration)
        | ProtectedChange::IssuerChange { wanted: registration, .. } => {
            serde_json::to_value(registration).map(Some).map_err(Failure::internal)
        }
        ProtectedChange::Enrollment { hosts } => Ok(Some(serde_json::json!({ "hosts": hosts }))),
        ProtectedChange::BreakGlass { .. }
        | ProtectedChange::Discharger { .. }
        | ProtectedChange::GuardOff {} => Ok(None),
    }
}

/// The digest of the keys that a change registers.
fn key_digest(change: &ProtectedChange) -> Option<String> {
    match change {
        ProtectedChange::Discharger { key_digest, .. } => Some(key_digest.clone()),
        ProtectedChange::Issuer(registration)
        | ProtectedChange::IssuerChange { wanted: registration, .. } => {
            let keys = registration.keys.as_ref()?;
            // The registration was checked when it was requested.
            Jwks::parse(&keys.to_string(), &Algorithm::ALL).ok().map(|keys| digest_of_keys(&keys))
        }
        _ => None,
    }
}

/// Whoever approves a key must know it from its owner, not from the request.
fn check_key_digest(row: &ApprovalRow, wanted: &Approve) -> Result<(), Failure> {
    match (key_digest(&row.change), &wanted.key_digest) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(messages::no_key_to_approve()),
        (Some(_), None) => Err(messages::key_digest_missing()),
        (Some(digest), Some(repeated)) if digest == *repeated => Ok(()),
        (Some(_), Some(_)) => Err(messages::key_digest_differs()),
    }
}

fn check_reason(reason: &str) -> Result<(), Failure> {
    let fits = (1..=petsem_policy::MAX_REASON_BYTES).contains(&reason.trim().len())
        && reason.len() <= petsem_policy::MAX_REASON_BYTES
        && !reason.contains(char::is_control);
    if fits {
        return Ok(());
    }
    Err(messages::invalid_reason())
}
