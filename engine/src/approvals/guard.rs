//! The guard of an org's policies: whether rules that allow boots or reads need a second person.

use petsem_api::{OrgGuard, OrgRef};
use petsem_policy::Action;

use crate::approvals::request::{ApprovalRequest, Requested, registration_ends};
use crate::authz::decide::Principal;
use crate::authz::target::AccessTarget;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::records::{FeedRow, ProtectedChange};
use crate::request::AuditRecord;

impl Engine {
    /// Shows whether an org guards its policies.
    ///
    /// # Errors
    /// The request is refused.
    pub async fn show_guard(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        org: &OrgRef,
        now: Timestamp,
    ) -> Result<OrgGuard, Failure> {
        let org = self.org_for(audit, principal, org, Action::List, now).await?;
        Ok(OrgGuard { guard_policies: self.control().org(org.id).await?.is_guarded })
    }

    /// Turns the guard on immediately. Turning it off needs a second person.
    ///
    /// # Errors
    /// The request is refused; nothing was changed.
    pub async fn put_guard(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        org: &OrgRef,
        requested: OrgGuard,
        now: Timestamp,
    ) -> Result<Requested<OrgGuard>, Failure> {
        let org = self.org_for(audit, principal, org, Action::ManagePolicy, now).await?;
        audit.set_org(org.id);
        let is_guarded = self.control().org(org.id).await?.is_guarded;
        if !is_guarded && requested.guard_policies {
            audit.set_detail(messages::POLICIES_GUARDED);
            let feed = [FeedRow::OrgGuardSet { org: org.id, on: true, at: now.millis() }];
            self.commit_control(audit, &feed, |_| {}).await?;
        }
        if is_guarded == requested.guard_policies || requested.guard_policies {
            return Ok(Requested::Done(requested));
        }
        let target = AccessTarget { org: Some(org.id), ..AccessTarget::default() };
        let requester = principal.require(audit, &target, Action::ManagePolicy, now)?;
        let request = ApprovalRequest {
            change: ProtectedChange::GuardOff {},
            summary: messages::guard_end(&org.row.content.name),
            org: Some(org.id),
            app: None,
            reason: "setting",
            ends_at: registration_ends(now),
        };
        let approval = self.request_registration(audit, &requester.token, request, now, None).await?;
        Ok(Requested::Pending(Box::new(approval)))
    }
}
