//! The boot that a request for a discharge names. Clients of other services send only the ticket (macaroon format, part
//! 9); their proof then names the app and the Machine. It only names them: whether it proves the boot is decided later,
//! and no policy is searched for an app that fits.

use std::collections::BTreeSet;

use petsem_api::{AppId, AppRef, DischargeRequest, MachineId};
use petsem_policy::evaluate::Claims;

use crate::authz::decide::Principal;
use crate::boot::proof::Proof;
use crate::control::state::Control;
use crate::error::Failure;
use crate::messages;

/// The app and the Machine that are to boot.
pub(crate) struct NamedBoot {
    pub(crate) app: AppRef,
    pub(crate) machine: MachineId,
}

impl NamedBoot {
    /// What the body names, and for the rest what the proof names.
    pub(crate) fn of(control: &Control, request: &DischargeRequest, proof: &Proof) -> Result<Self, Failure> {
        let (apps, machines) = match (proof, &request.app, &request.machine) {
            (_, Some(app), Some(machine)) => {
                return Ok(Self { app: app.clone(), machine: machine.clone() });
            }
            (Proof::Jwt(claims), ..) => named_by_jwt(control, claims),
            (Proof::Token(principal), ..) => named_by_tokens(principal),
        };
        let app = request.app.clone().map_or_else(|| only("app", apps), Ok)?;
        let machine = request.machine.clone().map_or_else(|| only("machine", machines), Ok)?;
        Ok(Self { app, machine })
    }
}

/// What the claims say that the issuer's registration names for this purpose.
fn named_by_jwt(control: &Control, claims: &Claims) -> (Vec<AppRef>, Vec<MachineId>) {
    let Some(names) = control.issuer(claims.issuer()).and_then(|entry| entry.row.boot_claims.as_ref()) else {
        return (Vec::new(), Vec::new());
    };
    let app = claims.text(&names.app).and_then(|text| text.parse().ok());
    let machine = claims.text(&names.machine).and_then(|text| text.parse().ok());
    (app.into_iter().collect(), machine.into_iter().collect())
}

/// What the caveats of the tokens allow. A token without such a caveat names nothing.
fn named_by_tokens(principal: &Principal) -> (Vec<AppRef>, Vec<MachineId>) {
    let tokens = || principal.verified().iter().map(|verified| &verified.token);
    let apps: BTreeSet<_> = tokens().filter_map(|token| token.named_apps()).flatten().collect();
    let machines: BTreeSet<_> = tokens().filter_map(|token| token.named_machines()).flatten().collect();
    let apps = apps.into_iter().map(|id| AppRef::Id(AppId::from_bytes(id))).collect();
    (apps, machines.into_iter().filter_map(|id| id.parse().ok()).collect())
}

fn only<T>(field: &'static str, named: Vec<T>) -> Result<T, Failure> {
    let count = named.len();
    let mut named = named.into_iter();
    match (named.next(), named.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(messages::boot_not_named(field, count)),
    }
}
