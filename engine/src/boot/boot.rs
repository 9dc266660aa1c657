//! The boot of a Machine (design §4): parse, verify, decide, open, record, answer, in this order.

use std::sync::Arc;

use petsem_api::{
    AppId, AppRef, BatchBootItem, BootAnswer, BootReport, ErrorCode, HostId, MachineId, RenewResponse,
};
use petsem_policy::{Action, Caveat, DischargeBudget, GrantEvidence, Header, Ticket, UnverifiedToken};
use petsem_store::AppPart;

use crate::authn::token_id::token_uuid;
use crate::authn::tokens::{Verified, check_revocations, verify};
use crate::authz::decide::{boot_denied, denied_by};
use crate::authz::readable::ReadableApp;
use crate::authz::target::AccessTarget;
use crate::boot::grant::{Grant, write_grant};
use crate::boot::proof::{GrantProvenance, GrantedBoot};
use crate::clock::{Timestamp, rfc3339_seconds};
use crate::control::state::{Control, DischargerEntry};
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::request::{AuditRecord, Peer};
use crate::tenancy::found::{FoundApp, check_reached};

/// Most MACs computed for the discharge of one Machine of a batch; a grant has a dozen caveats.
const MACS_OF_ONE: usize = 2048;

/// One Machine that boots.
pub struct Boot<'a> {
    /// The host token, verified with the discharges of this boot alone.
    pub verified: &'a Verified,
    /// The app.
    pub app: &'a AppRef,
    /// The Machine.
    pub machine: &'a MachineId,
    /// The lowest acceptable app version.
    pub min_version: Option<u64>,
    /// The origin of the connection.
    pub peer: &'a Peer,
    /// The time of the request.
    pub now: Timestamp,
}

/// An allowed boot.
struct Granted<'b> {
    evidence: GrantEvidence<'b>,
    discharger: Arc<DischargerEntry>,
    provenance: GrantProvenance,
    app: FoundApp,
    host: HostId,
}

impl Granted<'_> {
    /// Whether the boot used a renewal that has more than half of its life left: then the host needs no new one.
    fn has_fresh_renewal(&self, now: Timestamp) -> bool {
        let left = self.evidence.grant.expires.saturating_sub(now.seconds());
        let is_renewal = self.provenance.first.is_some();
        is_renewal
            && left.saturating_mul(2) > i64::try_from(self.app.head.settings.renewal_life).unwrap_or(i64::MAX)
    }
}

impl Engine {
    /// Verifies the host token of a single boot with the discharges in its header, before the body is read.
    ///
    /// # Errors
    /// There is not exactly one host token, it does not verify, or it can boot nothing: it has no grant, or this is not
    /// the listener of a host.
    pub async fn host_token(
        &self,
        authorization: Option<&str>,
        audit: &mut AuditRecord,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<Verified, Failure> {
        let header = self.boot_header(authorization)?;
        let token = self.only_token(&header)?;
        let mut budget = DischargeBudget::default();
        let verified = verify(&self.control(), token, &header.discharges(), &mut budget, now).await?;
        // From here on the request has its own audit line, even if its body is refused.
        audit.verified_token(&verified.token);
        if verified.org.is_some() {
            return Err(messages::host_token_of_an_org());
        }
        verified.token.boot_grant().map_err(|denial| denied_by(&denial))?;
        check_host(peer)?;
        Ok(verified)
    }

    /// The only permission token that a boot's header may carry.
    fn only_token<'h>(&self, header: &'h Header<'_>) -> Result<&'h UnverifiedToken, Failure> {
        let mut permissions = header.permissions();
        match (permissions.next(), permissions.next()) {
            (Some(token), None) => Ok(token),
            (None, _) => Err(self.no_own_token(header, messages::no_petsem_token)),
            (Some(_), Some(_)) => Err(messages::more_than_one_host_token()),
        }
    }

    /// Checks the host token of a batch before the body is read. By itself it opens nothing. A token that verifies
    /// without a discharge is not a host token; it is refused here once, instead of once per Machine.
    ///
    /// # Errors
    /// The header does not carry exactly the host token, the token was not signed by this installation, or this is not
    /// the listener of a host.
    pub async fn batch_token(
        &self,
        authorization: Option<&str>,
        audit: &mut AuditRecord,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<UnverifiedToken, Failure> {
        let header = self.boot_header(authorization)?;
        let host = self.only_token(&header)?.clone();
        match verify(&self.control(), &host, &[], &mut DischargeBudget::default(), now).await {
            Err(failure) if failure.code() == ErrorCode::DischargeMissing => {}
            Err(failure) => return Err(failure),
            Ok(verified) => {
                audit.verified_token(&verified.token);
                return Err(messages::host_token_without_discharge());
            }
        }
        if !header.discharges().is_empty() {
            return Err(messages::discharge_in_batch_header());
        }
        check_host(peer)?;
        Ok(host)
    }

    /// Boots one Machine of a batch. It is verified, decided and recorded independently of the others.
    ///
    /// # Errors
    /// The boot is refused, or its record could not be made durable.
    pub async fn boot_in_batch(
        &self,
        audit: &mut AuditRecord,
        host: &UnverifiedToken,
        item: &BatchBootItem,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<BootAnswer, Failure> {
        let result = async {
            let discharge =
                UnverifiedToken::parse(item.discharge.trim()).map_err(|_| messages::malformed_discharge())?;
            let mut budget = DischargeBudget::of_macs(MACS_OF_ONE);
            let verified = verify(&self.control(), host, &[&discharge], &mut budget, now).await?;
            audit.verified_token(&verified.token);
            let boot = Boot {
                verified: &verified,
                app: &item.app,
                machine: &item.machine,
                min_version: item.min_version,
                peer,
                now,
            };
            self.boot(audit, &boot).await
        }
        .await;
        self.conclude(audit, result).await
    }

    fn boot_header<'h>(&self, authorization: Option<&'h str>) -> Result<Header<'h>, Failure> {
        let text = authorization.ok_or_else(messages::no_host_token)?;
        Header::parse(text, &self.settings.location)
            .map_err(|error| messages::refused(ErrorCode::TokenMalformed, &error))
    }

    /// Returns the secrets of a booting Machine. The caller makes the record durable before the response leaves.
    ///
    /// # Errors
    /// The request is refused.
    pub async fn boot(&self, audit: &mut AuditRecord, boot: &Boot<'_>) -> Result<BootAnswer, Failure> {
        let granted = self.decide(audit, boot).await?;
        check_reached(&granted.app, boot.min_version)?;
        let version = granted.app.head.app_version;
        audit.set_version(version);
        let renewal =
            if granted.has_fresh_renewal(boot.now) { None } else { self.renewal(audit, boot, &granted)? };
        let readable = ReadableApp::by_boot(granted.app, &granted.evidence);
        let secrets = self.read_whole(&readable)?;
        Ok(BootAnswer {
            app: readable.app().id,
            app_name: readable.app().head.name.clone(),
            machine: boot.machine.clone(),
            version,
            secrets,
            allowed_reserved_names: readable.app().head.settings.allowed_reserved_names.clone(),
            renewal,
        })
    }

    /// Renews the discharge for the same app, Machine and host, without values.
    ///
    /// # Errors
    /// The request is refused.
    pub async fn renew_boot(
        &self,
        audit: &mut AuditRecord,
        boot: &Boot<'_>,
    ) -> Result<RenewResponse, Failure> {
        let granted = self.decide(audit, boot).await?;
        self.renewal(audit, boot, &granted)?.ok_or_else(messages::no_renewals)
    }

    /// Records the result of a boot, as reported by a host that is allowed to boot it.
    ///
    /// # Errors
    /// The request is refused.
    pub async fn report_boot(
        &self,
        audit: &mut AuditRecord,
        boot: &Boot<'_>,
        report: &BootReport,
    ) -> Result<(), Failure> {
        self.decide(audit, boot).await?;
        audit.set_version(report.version);
        let left_out = &report.left_out;
        if left_out.is_empty() {
            audit.set_detail(messages::delivered(report.delivery));
        } else {
            audit.set_names(left_out);
            audit.set_detail(messages::delivered_without(report.delivery, left_out.len()));
        }
        Ok(())
    }

    async fn decide<'b>(&self, audit: &mut AuditRecord, boot: &Boot<'b>) -> Result<Granted<'b>, Failure> {
        self.check_integrity()?;
        audit.set_machine(boot.machine);
        let control = self.control();
        let Verified { token, org, .. } = boot.verified;
        if org.is_some() {
            return Err(messages::host_token_of_an_org());
        }
        check_revocations(&control, token).await?;
        let host = check_host(boot.peer)?.clone();
        // Without a grant the answer must reveal nothing about any app.
        let granted = token.boot_grant().map_err(|denial| denied_by(&denial))?.grant.app;
        // Of an app that the grant does not name, only the head is read, for the record of the refusal.
        let only = Some(AppId::from_bytes(granted));
        let found = match self.find_app_if(boot.app, AppPart::Secrets, only).await? {
            Some(app) => Some(app),
            None => self.find_app_with(boot.app, AppPart::Head).await?,
        };
        let target = AccessTarget {
            app: found.as_ref(),
            machine: Some(boot.machine),
            host: Some(&host),
            peer: boot.peer.address,
            ..AccessTarget::default()
        };
        let access = target.access(Action::Boot, boot.now);
        let evidence = token.clear_boot(&access).map_err(|denial| boot_denied(&denial, token, &access));
        let (evidence, app) = match (evidence, found) {
            (Ok(evidence), Some(app)) => (evidence, app),
            (Err(failure), found) => {
                if let Some(app) = &found {
                    audit.set_app(app);
                }
                return Err(failure);
            }
            (Ok(_), None) => {
                return Err(Failure::internal("a grant was accepted for an app that does not exist"));
            }
        };
        audit.set_app(&app);
        let discharger = check_grant(&control, &app, &evidence, boot, &host).await?;
        let policy = self.policy_of(&app)?;
        let provenance = GrantProvenance::of(&evidence.grant.provenance)?;
        let described = provenance.describe(&discharger.location);
        audit.set_detail(messages::booted_by(token_uuid(evidence.discharge), &described));
        let granted = GrantedBoot {
            app: &app,
            machine: boot.machine.as_str(),
            host: host.as_str(),
            discharger: &discharger,
            is_own: self.is_own(&discharger),
            now: boot.now,
        };
        provenance.reauthorize(&control, &policy, &granted).await?;
        Ok(Granted { evidence, discharger, provenance, app, host })
    }

    fn renewal(
        &self,
        audit: &mut AuditRecord,
        boot: &Boot<'_>,
        granted: &Granted<'_>,
    ) -> Result<Option<RenewResponse>, Failure> {
        let life = granted.app.head.settings.renewal_life;
        if life == 0 {
            return Ok(None);
        }
        let sealed = boot
            .verified
            .token
            .own_caveats()
            .iter()
            .find_map(|caveat| match caveat {
                Caveat::ThirdParty(third_party) => Some(&third_party.ticket),
                _ => None,
            })
            .ok_or_else(|| Failure::internal("a host token without a third-party caveat was accepted"))?;
        let ticket = Ticket::open(sealed, &granted.discharger.key).map_err(Failure::internal)?;
        let first = granted.provenance.first.unwrap_or(token_uuid(granted.evidence.discharge));
        let provenance = GrantProvenance { first: Some(first), ..granted.provenance.clone() };
        let grant = Grant {
            app: &granted.app,
            machine: boot.machine.as_str(),
            host: granted.host.as_str(),
            provenance: &provenance,
            expires: boot.now.seconds_after(life),
        };
        let written = write_grant(&ticket, &granted.discharger.location, &grant, boot.now)?;
        let discharge = token_uuid(granted.evidence.discharge);
        let described = granted.provenance.describe(&granted.discharger.location);
        audit.set_detail(messages::renewed_by(discharge, &written.id, &described));
        Ok(Some(RenewResponse { renewal: written.text, expires_at: rfc3339_seconds(grant.expires) }))
    }
}

/// The discharger behind a boot, if it may vouch for the app's org and neither the Machine nor the host is revoked.
async fn check_grant(
    control: &Control,
    app: &FoundApp,
    evidence: &GrantEvidence<'_>,
    boot: &Boot<'_>,
    host: &HostId,
) -> Result<Arc<DischargerEntry>, Failure> {
    let discharger = control
        .dischargers()
        .iter()
        .find(|entry| entry.id == evidence.discharger)
        .filter(|entry| entry.org.is_none_or(|org| org == app.head.org))
        .ok_or_else(messages::discharger_of_another_org)?;
    if control.is_boot_revoked(host, app.id, boot.machine).await? {
        return Err(messages::machine_revoked());
    }
    Ok(Arc::clone(discharger))
}

/// The host of the connection.
fn check_host(peer: &Peer) -> Result<&HostId, Failure> {
    peer.host.as_ref().ok_or_else(messages::no_host_of_connection)
}
