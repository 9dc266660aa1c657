//! Boots: the main walk (design §4). Parse, verify, decide, open, record, answer — in this order.

use petsem_api::{AppRef, BootResponse, BootedSecret, ErrorCode, HostId, MachineId, RenewResponse};
use petsem_policy::{Action, Caveat, DischargeBudget, GrantEvidence, Header, Ticket, UnverifiedToken};

use crate::asker::Asker;
use crate::authority::{
    Touched, Verified, boot_denied, check_revocations, denied_by, token_uuid, untrusted, verify,
};
use crate::clock::{Moment, rfc3339_seconds};
use crate::control::Control;
use crate::core::{Core, OpenApp};
use crate::discharge::{Grant, write_grant};
use crate::failure::Failure;
use crate::request::{Peer, Trail};
use crate::secrets::check_reached;

/// One Machine that wants to boot.
pub(crate) struct Boot<'a> {
    /// The host token, verified with the discharges that came for this very boot alone.
    pub(crate) verified: &'a Verified,
    pub(crate) app: &'a AppRef,
    pub(crate) machine: &'a MachineId,
    pub(crate) min_version: Option<u64>,
    pub(crate) peer: &'a Peer,
    pub(crate) now: Moment,
}

/// A boot that was decided: it may have the app's secrets.
struct Granted {
    evidence: GrantEvidence,
    asker: Asker,
    app: OpenApp,
    host: HostId,
}

impl Core {
    /// Gives a booting Machine its secrets. The caller makes the record durable before the answer leaves.
    pub(crate) async fn boot(&self, trail: &mut Trail, boot: &Boot<'_>) -> Result<BootResponse, Failure> {
        let granted = self.decide(trail, boot).await?;
        let app = &granted.app;
        check_reached(app, boot.min_version)?;
        trail.set_version(app.head.app_version);
        let bundle = self.open_bundle(app)?;
        let secrets = bundle
            .entries
            .into_iter()
            .map(|(name, entry)| BootedSecret { name, value: Some(entry.value), digest: entry.digest })
            .collect();
        let renewal = self.renewal(trail, boot, &granted)?;
        let (renewal, renewal_expires_at) =
            renewal.map_or((None, None), |renewal| (Some(renewal.renewal), Some(renewal.expires_at)));
        Ok(BootResponse {
            app: app.id,
            app_name: app.head.name.clone(),
            machine: boot.machine.clone(),
            version: app.head.app_version,
            secrets,
            renewal,
            renewal_expires_at,
        })
    }

    /// A later end for the same app, Machine and host; no values.
    pub(crate) async fn renew(&self, trail: &mut Trail, boot: &Boot<'_>) -> Result<RenewResponse, Failure> {
        let granted = self.decide(trail, boot).await?;
        self.renewal(trail, boot, &granted)?.ok_or_else(|| {
            Failure::new(
                ErrorCode::Forbidden,
                "the app allows no renewals (renewal_life is 0); ask for a new discharge at each boot",
            )
        })
    }

    /// What became of a boot: whoever could boot may say so.
    pub(crate) async fn check_boot(&self, trail: &mut Trail, boot: &Boot<'_>) -> Result<(), Failure> {
        self.decide(trail, boot).await.map(|_| ())
    }

    /// Verifies the host token of a boot with its discharges, before the body is read.
    pub(crate) fn verify_host_token(
        &self,
        host_token: &UnverifiedToken,
        discharges: &[&UnverifiedToken],
        mut budget: DischargeBudget,
    ) -> Result<Verified, Failure> {
        verify(&self.control(), host_token, discharges, &mut budget)
    }

    /// Whether a batch's host token was signed here, before its body is read. It opens nothing by that. What verifies
    /// without a discharge is no host token, and is not refused once for each Machine.
    pub(crate) fn check_host_token(
        &self,
        trail: &mut Trail,
        host_token: &UnverifiedToken,
    ) -> Result<(), Failure> {
        match verify(&self.control(), host_token, &[], &mut DischargeBudget::default()) {
            Err(failure) if failure.code() == ErrorCode::DischargeMissing => Ok(()),
            Err(failure) => Err(failure),
            Ok(verified) => {
                trail.verified_token(&verified.token);
                Err(Failure::new(
                    ErrorCode::Forbidden,
                    "this is no host token: it needs no discharge; send that of the host",
                ))
            }
        }
    }

    async fn decide(&self, trail: &mut Trail, boot: &Boot<'_>) -> Result<Granted, Failure> {
        if let Some(trouble) = self.trouble() {
            return Err(untrusted(&trouble));
        }
        trail.set_machine(boot.machine);
        let control = self.control();
        let Verified { token, org } = boot.verified;
        trail.verified_token(token);
        if org.is_some() {
            return Err(Failure::new(
                ErrorCode::Forbidden,
                "this is no host token: it was signed with an org's key",
            ));
        }
        check_revocations(&control, token)?;
        let host = boot.peer.host.clone().ok_or_else(|| {
            Failure::new(
                ErrorCode::Forbidden,
                "no host is known for this connection; boot through the listener that is configured for the host",
            )
        })?;
        // Without a grant there is nothing to say about any app.
        token.boot_grant().map_err(|denial| denied_by(&denial))?;
        let found = self.find_app(boot.app).await?;
        let touched = Touched {
            app: found.as_ref(),
            machine: Some(boot.machine),
            host: Some(&host),
            peer: boot.peer.address,
            ..Touched::default()
        };
        let evidence =
            token.clear_boot(&touched.access(Action::Boot, boot.now)).map_err(|denial| boot_denied(&denial));
        let (evidence, app) = match (evidence, found) {
            (Ok(evidence), Some(app)) => (evidence, app),
            (Err(failure), found) => {
                if let Some(app) = &found {
                    trail.set_app(app);
                }
                return Err(failure);
            }
            (Ok(_), None) => return Err(Failure::internal("a grant for no app was accepted")),
        };
        trail.set_app(&app);
        self.check_grant(&control, &app, &evidence, boot, &host)?;
        let (_, policy, _) = self.policy_of(&app).await?;
        let asker = Asker::of(&evidence.grant.provenance)?;
        trail.set_detail(format_args!("discharge {}, {}", token_uuid(evidence.discharge), asker.describe()));
        asker.ask_again(&control, &policy, &app, boot.machine.as_str(), host.as_str())?;
        Ok(Granted { evidence, asker, app, host })
    }

    fn check_grant(
        &self,
        control: &Control,
        app: &OpenApp,
        evidence: &GrantEvidence,
        boot: &Boot<'_>,
        host: &HostId,
    ) -> Result<(), Failure> {
        let speaks = control
            .dischargers()
            .iter()
            .find(|entry| entry.id == evidence.discharger)
            .is_some_and(|entry| entry.org.is_none_or(|org| org == app.head.org));
        if !speaks {
            return Err(Failure::new(
                ErrorCode::DischargeInvalid,
                "this discharger does not speak for the app's org",
            ));
        }
        if control.revoked().has_host(host) || control.revoked().has_machine(app.id, boot.machine) {
            return Err(Failure::new(
                ErrorCode::Revoked,
                "the Machine or the host was revoked; it boots nowhere any more",
            ));
        }
        Ok(())
    }

    fn renewal(
        &self,
        trail: &mut Trail,
        boot: &Boot<'_>,
        granted: &Granted,
    ) -> Result<Option<RenewResponse>, Failure> {
        let life = granted.app.head.settings.renewal_life;
        if life == 0 {
            return Ok(None);
        }
        let control = self.control();
        let discharger =
            control
                .dischargers()
                .iter()
                .find(|entry| entry.id == granted.evidence.discharger)
                .ok_or_else(|| Failure::internal("the discharger of an accepted grant is not registered"))?;
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
        let ticket = Ticket::open(sealed, &discharger.key).map_err(Failure::internal)?;
        let first = granted.asker.first.unwrap_or(token_uuid(granted.evidence.discharge));
        let asker = Asker { first: Some(first), ..granted.asker.clone() };
        let grant = Grant {
            app: &granted.app,
            machine: boot.machine.as_str(),
            host: granted.host.as_str(),
            asker: &asker,
            expires: boot.now.seconds().saturating_add(i64::try_from(life).unwrap_or(i64::MAX)),
        };
        let written = write_grant(&ticket, &discharger.location, &grant, boot.now)?;
        trail.set_detail(format_args!(
            "discharge {}, renewal {}, {}",
            token_uuid(granted.evidence.discharge),
            written.id,
            granted.asker.describe()
        ));
        Ok(Some(RenewResponse { renewal: written.text, expires_at: rfc3339_seconds(grant.expires) }))
    }
}

/// The one token at our location that a boot's header may carry.
pub(crate) fn host_token<'h>(header: &'h Header<'_>) -> Result<&'h UnverifiedToken, Failure> {
    let mut permissions = header.permissions();
    match (permissions.next(), permissions.next()) {
        (Some(token), None) => Ok(token),
        (None, _) => Err(Failure::new(
            ErrorCode::TokenMalformed,
            "no token of this petsem stands in the Authorization header; send the host token",
        )),
        (Some(_), Some(_)) => Err(Failure::new(
            ErrorCode::TokenMalformed,
            "a boot's Authorization header carries exactly one host token; leave the others out",
        )),
    }
}
