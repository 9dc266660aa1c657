//! A user's token, narrowed to the proof for exactly one boot.

use petsem_api::{AppId, HostId, MachineId};
use petsem_policy::{Action, ActionSet, Actions, Apps, Caveat, Hosts, Macaroon, Machines, UnverifiedToken};

use super::credentials::Credentials;
use crate::error::{CredentialsError, NarrowError};

/// Longest life of the narrowed token, in seconds (design §4.2).
const LIFE: i64 = 300;
/// How much of it lies before `now`, in seconds: petsem compares exactly, with its own clock.
const CLOCKS_DIFFER: i64 = 30;

/// Narrows a user's token to the boot of this Machine of this app on this host, from 30 s before `now` to
/// 270 s after it (unix seconds), before it leaves the orchestrator. Discharges beside the token are
/// not changed.
///
/// # Errors
/// [`NarrowError`] if the text does not consist of tokens, or if nothing can be added to the token.
pub fn narrow_for_boot(
    user: &Credentials,
    app: &AppId,
    machine: &MachineId,
    host: &HostId,
    now: i64,
) -> Result<Credentials, NarrowError> {
    let tokens = user.expose_text().split(',').map(UnverifiedToken::parse);
    let tokens = tokens.collect::<Result<Vec<_>, _>>().map_err(NarrowError::Unreadable)?;
    let all: Vec<_> = tokens.iter().collect();
    let mut narrowed: Option<Credentials> = None;
    for token in &tokens {
        let text = if is_discharge(token, &all) {
            token.expose_text()
        } else {
            let mut macaroon = Macaroon::from_token(token).map_err(NarrowError::Closed)?;
            macaroon.add(caveats(app, machine, host, now)).map_err(NarrowError::Closed)?;
            macaroon.to_text()
        };
        narrowed = Some(
            match narrowed {
                None => Credentials::new(&text),
                Some(before) => before.with_discharge(&text),
            }
            .map_err(NarrowError::Credentials)?,
        );
    }
    narrowed.ok_or(NarrowError::Credentials(CredentialsError::Empty))
}

fn caveats(app: &AppId, machine: &MachineId, host: &HostId, now: i64) -> [Caveat; 5] {
    [
        Apps::new([*app.as_bytes()]).into(),
        Machines::new([machine.to_string()]).into(),
        Hosts::new([host.to_string()]).into(),
        Actions(ActionSet::from_iter([Action::Boot])).into(),
        Caveat::ValidityWindow {
            not_before: now.saturating_sub(CLOCKS_DIFFER),
            not_after: now.saturating_add(LIFE - CLOCKS_DIFFER),
        },
    ]
}

/// A discharge is a token for the ticket of one of the others.
fn is_discharge(token: &UnverifiedToken, all: &[&UnverifiedToken]) -> bool {
    all.iter().any(|other| other.undischarged(&[]).iter().any(|(_, ticket)| *ticket == token.kid()))
}

#[cfg(test)]
mod tests {
    use getrandom::rand_core::UnwrapErr;
    use petsem_policy::{CaveatSet, MacaroonKey, PetsemCaveat, SharedKey};

    use super::*;

    fn narrowed(user: &Credentials) -> Credentials {
        let (machine, host) = ("m-1".parse().unwrap(), "h-1".parse().unwrap());
        narrow_for_boot(user, &AppId::from_bytes([7; 16]), &machine, &host, 1_800_000_000).unwrap()
    }

    #[test]
    fn a_narrowed_token_names_exactly_one_boot() {
        let mut rng = UnwrapErr(getrandom::SysRng);
        let key = MacaroonKey::generate(&mut rng);
        let user = Macaroon::mint(&key, b"kid", "https://petsem", false, &mut rng);
        let proof = narrowed(&Credentials::new(&user.to_text()).unwrap());
        let token = UnverifiedToken::parse(proof.expose_text()).unwrap();
        assert_eq!(token.id(), user.id());
        let said: Vec<_> =
            token.caveats().iter().filter_map(PetsemCaveat::of).map(|c| c.unwrap().cloned()).collect();
        assert_eq!(
            said,
            [
                Some(PetsemCaveat::Apps(Apps::new([[7; 16]]))),
                Some(PetsemCaveat::Machines(Machines::new(["m-1".to_owned()]))),
                Some(PetsemCaveat::Hosts(Hosts::new(["h-1".to_owned()]))),
                Some(PetsemCaveat::Actions(Actions(ActionSet::from_iter([Action::Boot])))),
            ]
        );
        let window = Caveat::ValidityWindow { not_before: 1_799_999_970, not_after: 1_800_000_270 };
        assert_eq!(token.caveats().last(), Some(&window));
    }

    #[test]
    fn discharges_beside_the_token_are_not_changed() {
        let mut rng = UnwrapErr(getrandom::SysRng);
        let (key, shared) = (MacaroonKey::generate(&mut rng), SharedKey::generate(&mut rng));
        let mut user = Macaroon::mint(&key, b"kid", "https://petsem", false, &mut rng);
        user.add_third_party("https://login", &shared, &CaveatSet::new(Vec::new()), &mut rng).unwrap();
        let parent = UnverifiedToken::parse(&user.to_text()).unwrap();
        let tickets = parent.undischarged(&[]);
        let ticket = petsem_policy::Ticket::open(tickets[0].1, &shared).unwrap();
        let discharge = ticket.discharge("https://login", &mut rng).to_text();
        let both = Credentials::new(&user.to_text()).unwrap().with_discharge(&discharge).unwrap();
        let proof = narrowed(&both);
        let (narrow, beside) = proof.expose_text().split_once(',').unwrap();
        assert_eq!(beside, discharge.as_str());
        assert_eq!(UnverifiedToken::parse(narrow).unwrap().caveats().len(), 6);
    }

    #[test]
    fn a_jwt_is_refused_and_not_repeated() {
        let user = Credentials::new("canary.canary.canary").unwrap();
        let (machine, host) = ("m-1".parse().unwrap(), "h-1".parse().unwrap());
        let error = narrow_for_boot(&user, &AppId::from_bytes([7; 16]), &machine, &host, 0).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
        assert!(matches!(error, NarrowError::Unreadable(_)));
    }
}
