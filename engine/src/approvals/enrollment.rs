//! Enrollment of hosts (design §7): a party that has a host's token and can prove boots reads secrets, so a second
//! person approves a list of hosts. For a day from the request, the requesting token then mints the tokens of these
//! hosts.

use petsem_api::{Approval, ApprovalId, ApprovalState, EnrollmentRequest, HostId};
use petsem_policy::{Action, Token};

use crate::approvals::request::{ApprovalRequest, registration_ends, state_of};
use crate::authn::token_id::token_uuid;
use crate::authz::decide::Principal;
use crate::authz::target::AccessTarget;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::records::ProtectedChange;
use crate::request::AuditRecord;

/// Most hosts of one request.
const MOST_HOSTS: usize = 256;

impl Engine {
    /// Requests to mint the tokens of these hosts.
    ///
    /// # Errors
    /// The request is refused; nothing was changed.
    pub async fn request_enrollment(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        requested: &EnrollmentRequest,
        now: Timestamp,
    ) -> Result<Approval, Failure> {
        if requested.hosts.is_empty() || requested.hosts.len() > MOST_HOSTS {
            return Err(messages::wrong_number_of_hosts(MOST_HOSTS));
        }
        let mut hosts = requested.hosts.clone();
        hosts.sort();
        hosts.dedup();
        principal.check_work(hosts.len())?;
        let targets: Vec<_> = hosts
            .iter()
            .map(|host| (Action::Enroll, AccessTarget { host: Some(host), ..AccessTarget::default() }))
            .collect();
        let requester = principal
            .select_token(audit, &targets, now)
            .map_err(|refused| principal.denied(&refused, &targets, now))?;
        self.check_hosts(&hosts).await?;
        let request = ApprovalRequest {
            summary: messages::enrollment_of(&hosts),
            change: ProtectedChange::Enrollment { hosts },
            org: None,
            app: None,
            reason: &requested.reason,
            ends_at: registration_ends(now),
        };
        self.request_registration(audit, &requester.token, request, now, None).await
    }

    /// Refuses hosts that were revoked: their tokens would boot nothing.
    pub(crate) async fn check_hosts(&self, hosts: &[HostId]) -> Result<(), Failure> {
        let control = self.control();
        for host in hosts {
            if control.is_host_revoked(host).await? {
                return Err(messages::host_revoked(host));
            }
        }
        Ok(())
    }

    /// The request, made with this token, that allows it to mint the token of a host now. The holder's name is no
    /// substitute: a minter chooses it.
    pub(crate) async fn approved_enrollment(
        &self,
        token: &Token,
        host: &HostId,
        now: Timestamp,
    ) -> Result<ApprovalId, Failure> {
        self.check_feed()?;
        let requester = token_uuid(token.id());
        for (id, row) in self.all_approvals().await? {
            let row = row.content;
            let ProtectedChange::Enrollment { hosts } = &row.change else { continue };
            if row.tokens.first() == Some(&requester)
                && hosts.contains(host)
                && state_of(&row, now) == ApprovalState::Approved
                && !self.is_void(&row).await?
            {
                return Ok(id);
            }
        }
        Err(messages::enrollment_not_approved(host))
    }
}
