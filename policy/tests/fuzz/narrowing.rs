//! Attenuated tokens, and tokens minted by inheritance, never allow more.

use petsem_policy::{
    Access, Caveat, CaveatSet, Macaroon, MacaroonKey, PetsemCaveat, SharedKey, Ticket, Token,
    TrustedDischarger, UnverifiedToken,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::caveats::{HERE, THIRD_PARTY, any_caveat, petsem, request};
use crate::corpus::Corpus;
use crate::counting::Counting;
use crate::engine::{self, Observation};

/// The holder has the key for this location, and can append third-party caveats for it.
const HOLDER_LOCATION: &str = "https://holder.example";

struct World {
    root: MacaroonKey,
    shared: SharedKey,
    holders: SharedKey,
}

impl World {
    fn new() -> Self {
        let (shared, holders) = (SharedKey::new([8; 32]), SharedKey::new([9; 32]));
        Self { root: MacaroonKey::new(&[7; 32]), shared, holders }
    }

    fn mint(&self, caveats: Vec<Caveat>, number: u8) -> Result<Macaroon, TestCaseError> {
        let mut token = Macaroon::mint(&self.root, b"kid", HERE, false, &mut Counting(number));
        token.add(caveats.into_iter().filter(can_be_added)).map_err(fails)?;
        Ok(token)
    }

    fn verify(&self, token: &Macaroon, discharges: &[&UnverifiedToken]) -> Result<Token, TestCaseError> {
        let trusted = [TrustedDischarger { location: THIRD_PARTY, key: &self.shared, discharger: [9; 16] }];
        unverified(token).verify(&self.root, discharges, &trusted).map_err(fails)
    }
}

/// A case: the caveats of the token, of its discharge, and those that its holder appends.
type Case = (Vec<Caveat>, Option<Vec<Caveat>>, Vec<Caveat>, bool, Vec<Access<'static>>);

fn case() -> impl Strategy<Value = Case> {
    let discharge = proptest::option::of(vec(prop_oneof![3 => petsem(), 1 => any_caveat()], 0..3));
    (vec(any_caveat(), 0..4), discharge, vec(any_caveat(), 0..4), any::<bool>(), vec(request(), 8))
}

#[test]
fn an_attenuated_token_allows_nothing_that_the_original_does_not() {
    let world = World::new();
    let corpus = Corpus::new([b"a case has no bytes"]);
    let counts = engine::run(
        "attenuation",
        &corpus,
        case(),
        |(caveats, discharged, appended, by_holder, requests)| {
            let mut original = world.mint(caveats, 0)?;
            if discharged.is_none() && starts_with_holder_caveats(original.caveats()) {
                return Ok(Observation::new("starts with holder caveats", 0, b""));
            }
            let mut discharges = Vec::new();
            if let Some(caveats) = discharged {
                let no_conditions = CaveatSet::default();
                original
                    .add_third_party(THIRD_PARTY, &world.shared, &no_conditions, &mut Counting(1))
                    .map_err(fails)?;
                discharges.push(discharge(&original, THIRD_PARTY, &world.shared, caveats)?);
            }
            let mut narrowed = Macaroon::from_token(&unverified(&original)).map_err(fails)?;
            narrowed.add(appended.iter().filter(|caveat| can_be_added(caveat)).cloned()).map_err(fails)?;
            if by_holder {
                // The holder makes its own discharge, with any caveats, evidence included.
                let no_conditions = CaveatSet::default();
                narrowed
                    .add_third_party(HOLDER_LOCATION, &world.holders, &no_conditions, &mut Counting(2))
                    .map_err(fails)?;
                discharges.push(discharge(&narrowed, HOLDER_LOCATION, &world.holders, appended)?);
            }
            let discharges: Vec<&UnverifiedToken> = discharges.iter().collect();
            let (original, narrowed) =
                (world.verify(&original, &discharges)?, world.verify(&narrowed, &discharges)?);
            prop_assert_eq!(original.id(), narrowed.id());
            prop_assert!(
                original
                    .expires_at()
                    .is_none_or(|end| narrowed.expires_at().is_some_and(|other| other <= end))
            );
            for request in &requests {
                is_within(&narrowed, &original, request)?;
            }
            // The subject stays the same.
            prop_assert!(original.subject().is_none() || narrowed.subject() == original.subject());
            prop_assert_eq!(narrowed.exchanged(), original.exchanged());
            Ok(Observation::new(answer(&narrowed, &original, &requests), 0, b""))
        },
    );
    counts.reached(&["both allow something", "the original alone allows", "both refuse all"]);
}

#[test]
fn a_minted_token_allows_nothing_that_its_parent_does_not() {
    let world = World::new();
    let corpus = Corpus::new([b"a case has no bytes"]);
    let inputs = (vec(any_caveat(), 0..5), vec(vec(any_caveat(), 0..3), 1..4), vec(request(), 8));
    let counts = engine::run("minting", &corpus, inputs, |(caveats, generations, requests)| {
        let parent = world.verify(&world.mint(caveats, 0)?, &[])?;
        let mut youngest = world.verify(&world.mint(parent.own_caveats().to_vec(), 0)?, &[])?;
        for (age, own) in generations.into_iter().enumerate() {
            let inherited = youngest.inherit().map_err(fails)?;
            let own = own.into_iter().filter(can_be_added);
            let child = world.mint(inherited.into_vec().into_iter().chain(own).collect(), age as u8 + 1)?;
            let child = world.verify(&child, &[])?;
            // Revoking a token revokes its descendants.
            prop_assert_eq!(child.ancestors().first().copied(), Some(youngest.id()));
            prop_assert!(youngest.ancestors().iter().all(|ancestor| child.ancestors().contains(ancestor)));
            for request in &requests {
                is_within(&child, &youngest, request)?;
                is_within(&child, &parent, request)?;
            }
            prop_assert!(youngest.subject().is_none() || child.subject() == youngest.subject());
            prop_assert!(
                youngest.expires_at().is_none_or(|end| child.expires_at().is_some_and(|other| other <= end))
            );
            youngest = child;
        }
        Ok(Observation::new(answer(&youngest, &parent, &requests), 0, b""))
    });
    counts.reached(&["both allow something", "the original alone allows", "both refuse all"]);
}

/// allowed(narrow) ⊆ allowed(wide), with and without a grant.
fn is_within(narrow: &Token, wide: &Token, request: &Access<'_>) -> Result<(), TestCaseError> {
    if narrow.clear(request).is_ok() {
        prop_assert_eq!(wide.clear(request), Ok(()));
    }
    if let Ok(evidence) = narrow.clear_boot(request) {
        prop_assert_eq!(wide.clear_boot(request), Ok(evidence));
    }
    if let Ok(evidence) = narrow.break_glass_grant() {
        prop_assert_eq!(wide.break_glass_grant(), Ok(evidence));
    }
    // All denials of the wide token remain.
    prop_assert!(narrow.denials(request).len() >= wide.denials(request).len());
    Ok(())
}

fn answer(narrow: &Token, wide: &Token, requests: &[Access<'_>]) -> &'static str {
    let allows = |token: &Token| requests.iter().any(|request| token.clear(request).is_ok());
    match (allows(narrow), allows(wide)) {
        (true, _) => "both allow something",
        (false, true) => "the original alone allows",
        (false, false) => "both refuse all",
    }
}

/// Third-party caveats need keys; bindings belong to discharges, attestations to proofs.
fn can_be_added(caveat: &Caveat) -> bool {
    !matches!(caveat, Caveat::ThirdParty(_) | Caveat::BindToParent(_)) && !caveat.is_attestation()
}

/// Whether the holder writes the caveats that count; no issuer may issue such a token: see [`Token::clear`].
fn starts_with_holder_caveats(caveats: &[Caveat]) -> bool {
    match caveats {
        [] => true,
        [first] => matches!(PetsemCaveat::of(first), Some(Ok(Some(PetsemCaveat::Exchanged(_))))),
        _ => false,
    }
}

fn discharge(
    token: &Macaroon,
    location: &str,
    key: &SharedKey,
    caveats: Vec<Caveat>,
) -> Result<UnverifiedToken, TestCaseError> {
    let Some(Caveat::ThirdParty(third_party)) = token.caveats().last() else {
        return Err(TestCaseError::fail("a third-party caveat is the last"));
    };
    let ticket = Ticket::open(&third_party.ticket, key).map_err(fails)?;
    let mut discharge = ticket.discharge(location, &mut Counting(7));
    let can_discharge = |caveat: &Caveat| !matches!(caveat, Caveat::ThirdParty(_) | Caveat::BindToParent(_));
    discharge.add(caveats.into_iter().filter(can_discharge)).map_err(fails)?;
    Ok(unverified(&discharge))
}

fn unverified(token: &Macaroon) -> UnverifiedToken {
    UnverifiedToken::decode(&token.encode()).unwrap()
}

fn fails(error: impl std::fmt::Display) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}
