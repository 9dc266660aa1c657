//! The keys of a test server and its discharger, and tokens as the server mints them.

use petsem_policy::{
    Access, Action, BootGrant, Caveat, CaveatSet, Macaroon, MacaroonKey, SharedKey, Ticket, Token,
    TrustedDischarger, UnverifiedToken,
};
use rand_core::UnwrapErr;

pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const ORG: [u8; 16] = [1; 16];
pub(crate) const APP: [u8; 16] = [2; 16];
pub(crate) const OTHER: [u8; 16] = [3; 16];
pub(crate) const HERE: &str = "https://petsem.example";
pub(crate) const THIRD_PARTY: &str = "https://auth.example";

pub(crate) struct World {
    pub(crate) root: MacaroonKey,
    pub(crate) shared: SharedKey,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { root: MacaroonKey::new(&[7; 32]), shared: SharedKey::new([8; 32]) }
    }

    pub(crate) fn mint(&self, caveats: impl IntoIterator<Item = Caveat>) -> Macaroon {
        let mut token = Macaroon::mint(&self.root, b"kid", HERE, false, &mut rng());
        token.add(caveats).unwrap();
        token
    }

    pub(crate) fn add_third_party(&self, token: &mut Macaroon) {
        token.add_third_party(THIRD_PARTY, &self.shared, &CaveatSet::default(), &mut rng()).unwrap();
    }

    /// A discharge of the token's last third-party caveat.
    pub(crate) fn discharge(
        &self,
        token: &Macaroon,
        caveats: impl IntoIterator<Item = Caveat>,
    ) -> UnverifiedToken {
        let third_party = token.caveats().iter().rev().find_map(|caveat| match caveat {
            Caveat::ThirdParty(third_party) => Some(third_party),
            _ => None,
        });
        let ticket = Ticket::open(&third_party.unwrap().ticket, &self.shared).unwrap();
        let mut discharge = ticket.discharge(THIRD_PARTY, &mut rng());
        discharge.add(caveats).unwrap();
        unverified(&discharge)
    }

    pub(crate) fn verify(&self, token: &Macaroon, discharges: &[&UnverifiedToken]) -> Token {
        let trusted = TrustedDischarger { location: THIRD_PARTY, key: &self.shared, discharger: [9; 16] };
        unverified(token).verify(&self.root, discharges, &[trusted]).unwrap()
    }
}

pub(crate) fn unverified(token: &Macaroon) -> UnverifiedToken {
    UnverifiedToken::decode(&token.encode()).unwrap()
}

pub(crate) fn rng() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}

pub(crate) fn access(action: Action) -> Access<'static> {
    Access { org: Some(ORG), app: Some(APP), ..Access::new(action, NOW, 0) }
}

pub(crate) fn grant() -> BootGrant {
    BootGrant {
        org: ORG,
        app: APP,
        machine: "m1".to_owned(),
        host: "h1".to_owned(),
        expires: NOW + 60,
        provenance: "{}".to_owned(),
    }
}
