//! petsem's own discharger: the requester proves that a Machine of an app may boot on the ticket's host.

use data_encoding::BASE64;
use petsem_api::{DischargeAnswer, DischargeRequest, ErrorCode, HostId};
use petsem_policy::evaluate::{BootRequest, Claims};
use petsem_policy::{Action, BootTarget, DischargeRequest as TicketRequest, PetsemCaveat, Ticket};
use petsem_store::AppPart;

use crate::authn::jwt::{JwtUse, jwt_of};
use crate::authn::token_id::token_uuid;
use crate::authn::tokens::author_of;
use crate::authz::decide::{Principal, denied_by};
use crate::authz::target::AccessTarget;
use crate::boot::grant::{Grant, write_grant};
use crate::boot::named::NamedBoot;
use crate::boot::proof::{BootProof, GrantProvenance, Proof};
use crate::clock::Timestamp;
use crate::control::state::DischargerEntry;
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::request::AuditRecord;
use crate::tenancy::found::FoundApp;

/// How long a discharge is valid after its creation, in seconds.
const DISCHARGE_LIFE: i64 = 60;

impl Engine {
    /// Verifies the credential that is to prove a boot, before the body is read.
    pub async fn boot_proof(
        &self,
        audit: &mut AuditRecord,
        authorization: Option<&str>,
        now: Timestamp,
    ) -> Result<Proof, Failure> {
        self.check_integrity()?;
        match jwt_of(authorization) {
            Some(jwt) => {
                // The body names the app. Until a rule of its policy accepts the JWT, the client is a stranger.
                Ok(Proof::Jwt(self.verify_jwt(jwt, JwtUse::Boot, now).await?))
            }
            None => self.authenticate(authorization, audit).await.map(Proof::Token),
        }
    }

    /// Answers a ticket and a proof with the discharge, or with the URL to poll for it. Tickets that need a second
    /// person are for their requesters, all others are for boots.
    pub async fn discharge(
        &self,
        audit: &mut AuditRecord,
        proof: &Proof,
        request: &DischargeRequest,
        now: Timestamp,
    ) -> Result<DischargeAnswer, Failure> {
        let (discharger, sealed, ticket) = self.open_ticket(&request.ticket)?;
        if let Some(condition) = ticket.second_person() {
            let Proof::Token(principal) = proof else {
                return Err(messages::ticket_needs_token());
            };
            if request.app.is_some() || request.machine.is_some() {
                return Err(messages::ticket_not_for_a_boot());
            }
            return self.discharge_later(audit, principal, &sealed, &ticket, &condition, now).await;
        }
        let host = host_of(&ticket)?;
        let request = &NamedBoot::of(&self.control(), request, proof)?;
        audit.set_machine(&request.machine);
        let (app, proof) = match proof {
            Proof::Jwt(claims) => self.proof_by_jwt(audit, claims, request, &host).await?,
            Proof::Token(principal) => self.proof_by_token(audit, principal, request, &host, now).await?,
        };
        let control = self.control();
        if control.is_boot_revoked(&host, app.id, &request.machine).await? {
            return Err(messages::machine_revoked());
        }
        let expires = now.seconds().saturating_add(DISCHARGE_LIFE);
        let target = AccessTarget {
            app: Some(&app),
            machine: Some(&request.machine),
            host: Some(&host),
            ..AccessTarget::default()
        };
        let conditions = TicketRequest {
            access: target.access(Action::Boot, now),
            expires_unix_seconds: expires,
            approved: None,
        };
        ticket.clear(&conditions).map_err(|denial| messages::refused(ErrorCode::Forbidden, &denial))?;
        let provenance = GrantProvenance { proof, first: None };
        let grant = Grant {
            app: &app,
            machine: request.machine.as_str(),
            host: host.as_str(),
            provenance: &provenance,
            expires,
        };
        let written = write_grant(&ticket, &discharger.location, &grant, now)?;
        audit.set_detail(messages::discharged_for(
            &written.id,
            &host,
            &provenance.describe(&discharger.location),
        ));
        Ok(DischargeAnswer { discharge: Some(written.text), ..DischargeAnswer::default() })
    }

    /// Opens a ticket of the installation's own discharger. Tickets for outside dischargers are theirs to answer,
    /// although this installation knows their keys, too.
    fn open_ticket(&self, text: &str) -> Result<(std::sync::Arc<DischargerEntry>, Vec<u8>, Ticket), Failure> {
        let sealed = BASE64.decode(text.as_bytes()).map_err(|_| messages::ticket_of_another_discharger())?;
        self.control()
            .dischargers()
            .iter()
            .filter(|entry| self.is_own(entry))
            .find_map(|entry| {
                Ticket::open(&sealed, &entry.key).ok().map(|ticket| (std::sync::Arc::clone(entry), ticket))
            })
            .map(|(entry, ticket)| (entry, sealed, ticket))
            .ok_or_else(messages::ticket_of_another_discharger)
    }

    async fn proof_by_jwt(
        &self,
        audit: &mut AuditRecord,
        claims: &Claims,
        request: &NamedBoot,
        host: &HostId,
    ) -> Result<(FoundApp, BootProof), Failure> {
        let found = self.find_app_with(&request.app, AppPart::Policy).await?;
        let app = found.ok_or_else(messages::jwt_does_not_boot)?;
        audit.set_app(&app);
        let policy = self.policy_of(&app)?;
        let boot = BootRequest {
            app_id: *app.id.as_bytes(),
            app_name: app.head.name.as_str(),
            machine: request.machine.as_str(),
            host: host.as_str(),
        };
        let allowed = policy
            .decide_boot(claims, &boot)
            .map_err(|denial| messages::jwt_does_not_boot().because(denial))?;
        audit.accepted_jwt(claims);
        let proof = BootProof::Jwt {
            rule: allowed.rule,
            claims: allowed.claims,
            sub: claims.subject().map(str::to_owned),
            jti: claims.jti().map(str::to_owned),
            issued_at: claims.issued_at().unwrap_or_default(),
            expires_at: claims.expires_at(),
        };
        Ok((app, proof))
    }

    async fn proof_by_token(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        request: &NamedBoot,
        host: &HostId,
        now: Timestamp,
    ) -> Result<(FoundApp, BootProof), Failure> {
        let found = self.find_app_with(&request.app, AppPart::Head).await?;
        let target = AccessTarget {
            app: found.as_ref(),
            machine: Some(&request.machine),
            host: Some(host),
            ..AccessTarget::default()
        };
        let decision = principal.allows(audit, &target, Action::Boot, now);
        let Some(app) = found else {
            // Same answer as for an app of another org: the principal must not learn which apps exist.
            return Err(if principal.is_platform() {
                messages::no_such_app()
            } else {
                messages::app_not_allowed(Action::Boot)
            });
        };
        audit.set_app(&app);
        let verified = match decision {
            Ok(verified) => verified,
            Err(refused) if principal.is_of(app.head.org) => {
                let target = AccessTarget {
                    app: Some(&app),
                    machine: Some(&request.machine),
                    host: Some(host),
                    ..AccessTarget::default()
                };
                return Err(principal.denied(&refused, &[(Action::Boot, target)], now));
            }
            Err(_) => return Err(messages::app_not_allowed(Action::Boot)),
        };
        if verified.org.is_none() {
            // A principal that may enroll hosts must not prove boots, too.
            return Err(messages::operators_prove_no_boot());
        }
        let target =
            BootTarget { app: *app.id.as_bytes(), machine: request.machine.as_str(), host: host.as_str() };
        verified.token.is_limited_to(&target, now.seconds()).map_err(|denial| denied_by(&denial))?;
        let proof = BootProof::Token {
            id: token_uuid(verified.token.id()),
            ancestors: verified.token.lineage().0.into_iter().skip(1).map(token_uuid).collect(),
            subject: author_of(&verified.token),
        };
        Ok((app, proof))
    }
}

/// The one host that a ticket names.
fn host_of(ticket: &Ticket) -> Result<HostId, Failure> {
    let mut hosts = ticket.caveats().iter().filter_map(|caveat| match PetsemCaveat::of(caveat) {
        Some(Ok(Some(PetsemCaveat::Hosts(hosts)))) => Some(hosts),
        _ => None,
    });
    let named = match (hosts.next(), hosts.next()) {
        (Some(hosts), None) => match hosts.ids() {
            [host] => host.parse().ok(),
            _ => None,
        },
        _ => None,
    };
    named.ok_or_else(messages::ticket_without_host)
}
