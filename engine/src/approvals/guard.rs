//! The guard of an org's policies: whether rules that boot or read need a second person.

use petsem_api::{OrgGuard, OrgRef};
use petsem_policy::Action;

use crate::approvals::request::{ApprovalRequest, Requested, registration_ends};
use crate::authz::decide::{Principal, denied};
use crate::authz::target::AccessTarget;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::Failure;
use crate::records::{FeedRow, ProtectedChange};
use crate::request::AuditRecord;

impl Engine {
    /// Whether an org guards its policies.
    ///
    /// # Errors
    /// Refused.
    pub async fn show_guard(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        org: &OrgRef,
        now: Timestamp,
    ) -> Result<OrgGuard, Failure> {
        let org = self.org_for(audit, principal, org, Action::List, now).await?;
        Ok(OrgGuard { guard_policies: self.control().is_org_guarded(org.id) })
    }

    /// Turns the guard on at once; turning it off needs a second person.
    ///
    /// # Errors
    /// Refused; nothing was changed then.
    pub async fn put_guard(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        org: &OrgRef,
        wanted: OrgGuard,
        now: Timestamp,
    ) -> Result<Requested<OrgGuard>, Failure> {
        let org = self.org_for(audit, principal, org, Action::ManagePolicy, now).await?;
        audit.set_org(org.id);
        let is_guarded = self.control().is_org_guarded(org.id);
        if !is_guarded && wanted.guard_policies {
            audit.set_detail("policies are guarded from now on");
            let feed = [FeedRow::OrgGuardSet { org: org.id, on: true, at: now.millis() }];
            self.commit_control(audit, &feed, |_| {}).await?;
        }
        if is_guarded == wanted.guard_policies || wanted.guard_policies {
            return Ok(Requested::Done(wanted));
        }
        let target = AccessTarget { org: Some(org.id), ..AccessTarget::default() };
        let asker = principal
            .allows(audit, &target, Action::ManagePolicy, now)
            .map_err(|refused| denied(&refused))?;
        let request = ApprovalRequest {
            asked: ProtectedChange::GuardOff {},
            summary: format!("end the guard of the policies of org {}", org.row.content.name),
            org: Some(org.id),
            app: None,
            reason: "setting",
            ends_at: registration_ends(now),
        };
        let approval = self.ask_registration(audit, &asker.token, request, now).await?;
        Ok(Requested::Pending(Box::new(approval)))
    }
}
