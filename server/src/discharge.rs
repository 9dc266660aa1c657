//! The discharger: whoever asks proves that this Machine of this app may boot on the ticket's host.

use petsem_api::{AppRef, DischargeAnswer, DischargeRequest, ErrorCode, HostId, MachineId, TokenUuid};
use petsem_policy::evaluate::{BootRequest, Claims};
use petsem_policy::{
    Action, BootGrant, BootTarget, Caveat, DischargeRequest as TicketRequest, PetsemCaveat, Ticket,
};

use crate::asker::{AskedBy, Asker};
use crate::authority::{Caller, Touched, author_of, denied, denied_by, no_such_app, token_uuid, untrusted};
use crate::clock::Moment;
use crate::control::DischargerEntry;
use crate::core::{Core, OpenApp};
use crate::entropy;
use crate::failure::Failure;
use crate::jwt::{BOOT_LIFE, jwt_of};
use crate::polls::ticket_bytes;
use crate::request::Trail;

/// A discharge is good from this long before it was made, in seconds: clocks differ.
const BEFORE: i64 = 30;
/// And this long after, in seconds.
const AFTER: i64 = 60;

/// The boot that a grant is for.
pub(crate) struct Grant<'a> {
    pub(crate) app: &'a OpenApp,
    pub(crate) machine: &'a str,
    pub(crate) host: &'a str,
    pub(crate) asker: &'a Asker,
    /// Unix seconds.
    pub(crate) expires: i64,
}

impl Core {
    /// Checks the credential that shall prove a boot, before the body is read.
    pub(crate) async fn boot_proof(
        &self,
        trail: &mut Trail,
        authorization: Option<&str>,
        now: Moment,
    ) -> Result<Proof, Failure> {
        if let Some(trouble) = self.trouble() {
            return Err(untrusted(&trouble));
        }
        match jwt_of(authorization) {
            Some(jwt) => {
                let claims = self.verify_jwt(jwt, BOOT_LIFE, now).await?;
                self.count_jwt(trail, &claims, now);
                Ok(Proof::Jwt(claims))
            }
            None => self.authenticate(authorization, trail).map(Proof::Token),
        }
    }

    /// Ticket and proof in; out comes the discharge, or where to ask for it later. Tickets that need a second
    /// person are for their askers, all others for boots.
    pub(crate) async fn discharge(
        &self,
        trail: &mut Trail,
        proof: &Proof,
        request: &DischargeRequest,
        now: Moment,
    ) -> Result<DischargeAnswer, Failure> {
        let (discharger, sealed, ticket) = self.open_ticket(&request.ticket)?;
        if let Some(condition) = ticket.second_person() {
            let Proof::Token(caller) = proof else {
                return Err(Failure::new(
                    ErrorCode::Forbidden,
                    "this ticket is for the token that asked for it, not for a JWT; send that token",
                ));
            };
            if request.app.is_some() || request.machine.is_some() {
                return Err(Failure::new(
                    ErrorCode::BadRequest,
                    "this ticket boots nothing; leave app and machine out",
                ));
            }
            return self.discharge_later(trail, caller, &sealed, &ticket, &condition, now).await;
        }
        let host = host_of(&ticket)?;
        let (Some(app), Some(machine)) = (&request.app, &request.machine) else {
            return Err(Failure::new(
                ErrorCode::BadRequest,
                "this ticket is of a host token; say what boots: app and machine",
            ));
        };
        let request = &BootAsked { app, machine };
        trail.set_machine(request.machine);
        let (app, proof) = match proof {
            Proof::Jwt(claims) => self.proof_by_jwt(trail, claims, request, &host).await?,
            Proof::Token(caller) => self.proof_by_token(trail, caller, request, &host, now).await?,
        };
        let control = self.control();
        if control.revoked().has_machine(app.id, request.machine) || control.revoked().has_host(&host) {
            return Err(Failure::new(
                ErrorCode::Revoked,
                "the Machine or the host was revoked; it boots nowhere any more",
            ));
        }
        let expires = now.seconds().saturating_add(AFTER);
        let touched = Touched {
            app: Some(&app),
            machine: Some(request.machine),
            host: Some(&host),
            ..Touched::default()
        };
        let conditions = TicketRequest {
            access: touched.access(Action::Boot, now),
            expires_unix_seconds: expires,
            approved: None,
        };
        ticket.clear(&conditions).map_err(|denial| Failure::new(ErrorCode::Forbidden, denial.to_string()))?;
        let asker = Asker { proof, first: None };
        let grant = Grant {
            app: &app,
            machine: request.machine.as_str(),
            host: host.as_str(),
            asker: &asker,
            expires,
        };
        let written = write_grant(&ticket, &discharger.location, &grant, now)?;
        trail.set_detail(format_args!("discharge {} for host {host}, {}", written.id, asker.describe()));
        Ok(DischargeAnswer { discharge: Some(written.text), ..DischargeAnswer::default() })
    }

    /// Opens a ticket of this installation's own. Those of outside dischargers, whose keys are known here too,
    /// are theirs to answer.
    fn open_ticket(&self, text: &str) -> Result<(std::sync::Arc<DischargerEntry>, Vec<u8>, Ticket), Failure> {
        let wrong = || {
            Failure::new(
                ErrorCode::BadRequest,
                "the ticket is not one of this discharger; send the ticket of the token's third-party caveat, in standard base64",
            )
        };
        let sealed = ticket_bytes(text).ok_or_else(wrong)?;
        self.control()
            .dischargers()
            .iter()
            .filter(|entry| self.is_own(entry))
            .find_map(|entry| {
                Ticket::open(&sealed, &entry.key).ok().map(|ticket| (std::sync::Arc::clone(entry), ticket))
            })
            .map(|(entry, ticket)| (entry, sealed, ticket))
            .ok_or_else(wrong)
    }

    async fn proof_by_jwt(
        &self,
        trail: &mut Trail,
        claims: &Claims,
        request: &BootAsked<'_>,
        host: &HostId,
    ) -> Result<(OpenApp, AskedBy), Failure> {
        let refused = || {
            Failure::new(
                ErrorCode::PolicyDenied,
                "there is no such app, or no rule of its policy lets this JWT boot this Machine on this host; \
                 the app's owner sees the policy with `petsem policy show`",
            )
        };
        let app = self.find_app(request.app).await?.ok_or_else(refused)?;
        trail.set_app(&app);
        let (_, policy, _) = self.policy_of(&app).await?;
        let boot = BootRequest {
            app_id: *app.id.as_bytes(),
            app_name: app.head.name.as_str(),
            machine: request.machine.as_str(),
            host: host.as_str(),
        };
        let allowed = policy.decide_boot(claims, &boot).map_err(|denial| refused().because(denial))?;
        trail.accepted_jwt(claims);
        let asker = AskedBy::Jwt {
            rule: allowed.rule,
            claims: allowed.claims,
            sub: claims.subject().map(str::to_owned),
            jti: claims.jti().map(str::to_owned),
            issued_at: claims.issued_at().unwrap_or_default(),
        };
        Ok((app, asker))
    }

    async fn proof_by_token(
        &self,
        trail: &mut Trail,
        caller: &Caller,
        request: &BootAsked<'_>,
        host: &HostId,
        now: Moment,
    ) -> Result<(OpenApp, AskedBy), Failure> {
        let found = self.find_app(request.app).await?;
        let touched = Touched {
            app: found.as_ref(),
            machine: Some(request.machine),
            host: Some(host),
            ..Touched::default()
        };
        let decision = caller.allows(trail, &touched, Action::Boot, now);
        let Some(app) = found.as_ref() else {
            // Whoever is of no org of ours reads the same as for an app that is not his.
            return Err(if caller.is_platform() { no_such_app() } else { not_yours() });
        };
        trail.set_app(app);
        let verified = match decision {
            Ok(verified) => verified,
            Err(refused) if caller.is_of(app.head.org) => return Err(denied(&refused)),
            Err(_) => return Err(not_yours()),
        };
        if verified.org.is_none() {
            // Who may enroll hosts must not be able to prove boots as well.
            return Err(Failure::new(
                ErrorCode::Forbidden,
                "an operator's token proves no boot; use a token of the app's org, or a JWT that the app's policy accepts",
            ));
        }
        let target =
            BootTarget { app: *app.id.as_bytes(), machine: request.machine.as_str(), host: host.as_str() };
        verified.token.is_limited_to(&target, now.seconds()).map_err(|denial| denied_by(&denial))?;
        let asker = AskedBy::Token {
            id: token_uuid(verified.token.id()),
            ancestors: verified.token.lineage().0.into_iter().skip(1).map(token_uuid).collect(),
            subject: author_of(&verified.token),
        };
        match found {
            Some(app) => Ok((app, asker)),
            None => Err(no_such_app()),
        }
    }
}

/// What shall boot.
struct BootAsked<'a> {
    app: &'a AppRef,
    machine: &'a MachineId,
}

/// A credential that shall prove a boot.
pub(crate) enum Proof {
    /// A JWT that verified.
    Jwt(Claims),
    /// A user's token.
    Token(Caller),
}

/// A discharge that was made.
pub(crate) struct Written {
    pub(crate) id: TokenUuid,
    pub(crate) text: String,
}

/// A discharge with one boot grant.
pub(crate) fn write_grant(
    ticket: &Ticket,
    location: &str,
    grant: &Grant<'_>,
    now: Moment,
) -> Result<Written, Failure> {
    let mut discharge = ticket.discharge(location, &mut entropy::rng());
    let caveats: [Caveat; 2] = [
        Caveat::ValidityWindow { not_before: now.seconds().saturating_sub(BEFORE), not_after: grant.expires },
        BootGrant {
            org: *grant.app.head.org.as_bytes(),
            app: *grant.app.id.as_bytes(),
            machine: grant.machine.to_owned(),
            host: grant.host.to_owned(),
            expires: grant.expires,
            provenance: grant.asker.to_text()?,
        }
        .into(),
    ];
    discharge.add(caveats).map_err(Failure::internal)?;
    Ok(Written { id: token_uuid(discharge.id()), text: discharge.to_text().to_string() })
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
    named.ok_or_else(|| {
        Failure::new(
            ErrorCode::BadRequest,
            "the ticket does not name exactly one host; it is not of a host token",
        )
    })
}

fn not_yours() -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        "there is no such app, or this token does not allow boot there; check the app's name and the token with `petsem token inspect`",
    )
}
