//! Break-glass (design §7): one person reads the values of one app for at most an hour, after another person approved.
//!
//! Like `enroll`, it is an exception to "minting never gives more than the parent had", limited here: the new token
//! reads values, and it opens nothing without the discharge that follows the approval.

use std::collections::{BTreeMap, BTreeSet};

use petsem_api::{
    AppRef, ApprovalId, ApprovalState, BreakGlassRequest, BreakGlassToken, ErrorCode, SecretName, TokenKind,
    TokenUuid,
};
use petsem_policy::{
    Action, ActionSet, Actions, Apps, BreakGlass, Caveat, CaveatSet, DischargeRequest as TicketRequest,
    Macaroon, Organization, PetsemCaveat, SecondPerson, Ticket,
};
use petsem_store::AppPart;

use crate::approvals::request::{ApprovalRequest, state_of};
use crate::authn::token_id::token_uuid;
use crate::authn::tokens::author_of;
use crate::authz::decide::{Principal, denied_by};
use crate::authz::readable::ReadableApp;
use crate::authz::target::AccessTarget;
use crate::clock::{Timestamp, rfc3339_seconds};
use crate::engine::Engine;
use crate::entropy;
use crate::error::Failure;
use crate::messages;
use crate::records::{ApprovalRow, ProtectedChange, TokenRow};
use crate::request::AuditRecord;
use crate::tenancy::found::FoundApp;
use crate::tokens::mint::{NewToken, window};

/// Default duration, in seconds.
const DEFAULT_DURATION: u64 = 30 * 60;
/// Longest duration, in seconds.
const LONGEST: u64 = petsem_policy::MAX_BREAK_GLASS_SECONDS.unsigned_abs();

impl Engine {
    /// Mints a token for one app and makes the request that a second person approves. The principal needs the action
    /// `mint` on the app.
    pub async fn request_break_glass(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        app: &AppRef,
        request: &BreakGlassRequest,
        now: Timestamp,
    ) -> Result<BreakGlassToken, Failure> {
        let app = self.app_for(principal, audit, app, AppPart::Head, &[(Action::Mint, None)]).await?;
        let target = AccessTarget { app: Some(&app), ..AccessTarget::default() };
        let parent = principal.require(audit, &target, Action::Mint, now)?;
        let life = request.expires_in.unwrap_or(DEFAULT_DURATION);
        if !(1..=LONGEST).contains(&life) {
            return Err(messages::break_glass_too_long(LONGEST));
        }
        let latest = now.seconds_after(life);
        let ends_at = parent.token.expires_at().map_or(latest, |end| end.min(latest));
        let id = ApprovalId::new_v7(now.millis(), &entropy::bytes());
        let (macaroon, row) = self.break_glass_token(&app, parent, id, &request.reason, ends_at, now).await?;
        let token = token_uuid(macaroon.id());
        let approval = ApprovalRequest {
            change: ProtectedChange::BreakGlass { token },
            summary: messages::break_glass_summary(&app.head.name, app.id, &rfc3339_seconds(ends_at)),
            org: Some(app.head.org),
            app: Some(app.id),
            reason: &request.reason,
            ends_at,
        };
        let record = self.codec.write(token.as_bytes(), 1, &row);
        self.request_approval(audit, &parent.token, id, approval, now, |change| change.puts.push(record))
            .await?;
        Ok(BreakGlassToken {
            request: id,
            id: token,
            token: macaroon.to_text().to_string(),
            expires_at: rfc3339_seconds(ends_at),
        })
    }

    /// The token: its parent's limits on networks and times, one app, one action, and the ticket.
    async fn break_glass_token(
        &self,
        app: &FoundApp,
        parent: &crate::authn::tokens::Verified,
        id: ApprovalId,
        reason: &str,
        ends_at: i64,
        now: Timestamp,
    ) -> Result<(Macaroon, TokenRow), Failure> {
        let control = self.control();
        let key = control.key_for_new_tokens(Some(app.head.org)).await?;
        let discharger = control.own_discharger(&self.settings.discharger_location)?;
        let inherited =
            parent.token.inherit().map_err(|error| messages::refused(ErrorCode::Forbidden, &error))?;
        let carried = inherited.as_slice().iter().filter(|caveat| {
            matches!(caveat, Caveat::ValidityWindow { .. })
                || matches!(
                    PetsemCaveat::of(caveat),
                    Some(Ok(Some(
                        PetsemCaveat::Subject(_) | PetsemCaveat::Ancestors(_) | PetsemCaveat::Networks(_)
                    )))
                )
        });
        let one_app: [Caveat; 3] = [
            Organization { org: *app.head.org.as_bytes() }.into(),
            Apps::new([*app.id.as_bytes()]).into(),
            Actions(ActionSet::from_iter([Action::ReadValue])).into(),
        ];
        let requester = author_of(&parent.token);
        let condition =
            SecondPerson { request: *id.as_bytes(), requester: requester.clone(), reason: reason.to_owned() };
        let mut conditions = one_app.to_vec();
        conditions.push(Caveat::ValidityWindow { not_before: 0, not_after: ends_at });
        conditions.push(condition.into());
        let mut caveats: Vec<Caveat> = carried.cloned().collect();
        caveats.extend(one_app);
        caveats.push(window(now, ends_at));
        let new = NewToken {
            kind: TokenKind::BreakGlass,
            key: &key,
            subject: requester,
            ancestors: parent.token.lineage().0.into_iter().map(token_uuid).collect(),
            caveats,
            expires: ends_at,
        };
        let (mut macaroon, mut row) = self.mint(new, now).map_err(Failure::internal)?;
        let (location, conditions) = (&discharger.location, CaveatSet::new(conditions));
        macaroon
            .add_third_party(location, &discharger.key, &conditions, &mut entropy::rng())
            .map_err(Failure::internal)?;
        // The list shows that it needs a second person.
        row.caveats = macaroon.caveats().iter().map(Caveat::describe).collect();
        Ok((macaroon, row))
    }

    /// The states of the requests for break-glass, by their tokens, and whether each is void.
    pub(crate) async fn break_glass_approvals(
        &self,
        now: Timestamp,
    ) -> Result<BTreeMap<TokenUuid, (ApprovalState, bool)>, Failure> {
        let mut states = BTreeMap::new();
        for (_, row) in self.all_approvals().await? {
            if let ProtectedChange::BreakGlass { token } = row.content.change {
                states.insert(token, (state_of(&row.content, now), self.is_void(&row.content).await?));
            }
        }
        Ok(states)
    }

    /// Makes the discharge for an approved request.
    pub(crate) fn break_glass_discharge(
        &self,
        audit: &mut AuditRecord,
        ticket: &Ticket,
        id: ApprovalId,
        row: &ApprovalRow,
        now: Timestamp,
    ) -> Result<String, Failure> {
        let (Some(org), Some(app), Some(decision)) = (row.org, row.app, &row.decision) else {
            return Err(Failure::internal("an approved request has no app or no decision"));
        };
        let approved = (decision.approved && matches!(row.change, ProtectedChange::BreakGlass { .. }))
            .then_some(*id.as_bytes());
        clear_break_glass(ticket, row, approved, now)?;
        let control = self.control();
        let location = &control.own_discharger(&self.settings.discharger_location)?.location;
        let mut discharge = ticket.discharge(location, &mut entropy::rng());
        let grant = BreakGlass {
            org: *org.as_bytes(),
            app: *app.as_bytes(),
            expires: row.ends_at,
            request: *id.as_bytes(),
            requester: row.requester.clone(),
            approver: decision.by.clone(),
        };
        discharge.add([window(now, row.ends_at), grant.into()]).map_err(Failure::internal)?;
        audit.set_org(org);
        let request = messages::approved_request(id, &row.summary, &row.requester, &decision.by);
        audit.set_detail(messages::discharge_of_request(discharge.id(), &request));
        Ok(discharge.to_text().to_string())
    }

    /// The app whose values this break-glass token may read now: all, or those that the request names.
    pub(crate) async fn break_glass_app(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        app: &AppRef,
        names: &BTreeSet<SecretName>,
        now: Timestamp,
    ) -> Result<ReadableApp<'static>, Failure> {
        self.check_feed()?;
        let requested: Vec<_> = match names.is_empty() {
            true => vec![(Action::ReadValue, None)],
            false => names.iter().map(|name| (Action::ReadValue, Some(name))).collect(),
        };
        let app = self.app_for(principal, audit, app, AppPart::Bundle, &requested).await?;
        // The one token that allows all of them is chosen.
        let target = AccessTarget { app: Some(&app), secret: names.first(), ..AccessTarget::default() };
        let verified = principal.require(audit, &target, Action::ReadValue, now)?;
        let evidence = verified.token.break_glass_grant().map_err(|denial| denied_by(&denial))?;
        let control = self.control();
        if control.own_discharger(&self.settings.discharger_location)?.id != evidence.discharger {
            return Err(messages::second_person_of_another_installation());
        }
        let id = ApprovalId::from_bytes(evidence.grant.request);
        let row = self.approval(id).await?.ok_or_else(messages::revoked)?.content;
        let is_for_this_token = matches!(row.change, ProtectedChange::BreakGlass { token } if token == token_uuid(verified.token.id()));
        if !is_for_this_token || self.request_state(&row, now).await? != ApprovalState::Approved {
            return Err(messages::revoked());
        }
        let BreakGlass { requester, approver, .. } = &evidence.grant;
        audit.set_detail(messages::break_glass_read(id, requester, approver, &row.reason));
        Ok(ReadableApp::by_break_glass(app, &evidence))
    }
}

/// Checks the conditions of a ticket. An unknown condition refuses.
pub(crate) fn clear_break_glass(
    ticket: &Ticket,
    row: &ApprovalRow,
    approved: Option<[u8; 16]>,
    now: Timestamp,
) -> Result<(), Failure> {
    let access = petsem_policy::Access {
        org: row.org.map(|org| *org.as_bytes()),
        app: row.app.map(|app| *app.as_bytes()),
        ..petsem_policy::Access::new(Action::ReadValue, now.seconds(), now.nanos())
    };
    let request = TicketRequest { access, expires_unix_seconds: row.ends_at, approved };
    ticket.clear(&request).map_err(|denial| messages::refused(ErrorCode::Forbidden, &denial))
}
