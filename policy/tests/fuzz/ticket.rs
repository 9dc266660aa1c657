//! Tickets: mutated after sealing, and mutated before sealing.

use petsem_policy::{
    Access, Action, Caveat, CaveatSet, DischargeRequest, MacaroonKey, PetsemCaveat, SharedKey, Ticket,
    TicketError, UnverifiedToken,
};
use proptest::prelude::*;

use crate::allocations::allocations_of;
use crate::caveat_body::{BYTES_BESIDE, BYTES_PER_BYTE, is_consistent, name};
use crate::caveats::{NOW, THIRD_PARTY, any_caveat, request};
use crate::corpus::{Corpus, bytes_of_vectors};
use crate::counting::Counting;
use crate::engine::{self, Observation};

#[test]
fn a_sealed_ticket_opens_only_as_it_was_sealed() {
    let (shared, other) = (SharedKey::new([8; 32]), SharedKey::new([9; 32]));
    let seeds: Vec<Vec<u8>> = plaintexts().iter().map(|plain| shared.seal(plain, &mut Counting(0))).collect();
    let sealed = seeds.clone();
    let corpus = Corpus::new(seeds);
    let counts = engine::run("ticket, sealed", &corpus, corpus.mutated(&[]), |bytes| {
        prop_assert!(matches!(Ticket::open(&bytes, &other), Err(TicketError::Open(_))));
        let answer = match Ticket::open(&bytes, &shared) {
            Err(TicketError::Open(_)) => {
                prop_assert!(!sealed.contains(&bytes));
                "does not open"
            }
            _ => {
                prop_assert!(sealed.contains(&bytes));
                "opens"
            }
        };
        Ok(Observation::new(answer, 0, &bytes))
    });
    counts.reached(&["does not open", "opens"]);
}

/// A party that shares the discharger's key can write any ticket.
#[test]
fn a_ticket_is_refused_or_decodes_as_written_and_unknown_conditions_refuse() {
    let shared = SharedKey::new([8; 32]);
    let corpus = Corpus::new(plaintexts());
    let made =
        proptest::collection::vec(any_caveat(), 0..4).prop_map(|caveats| plaintext(&CaveatSet::new(caveats)));
    let mutated = prop_oneof![3 => corpus.mutated(&[]), 1 => made];
    let approved = proptest::option::of(prop_oneof![Just([1; 16]), Just([2; 16])]);
    let life = prop_oneof![Just(0_i64), Just(60), Just(i64::MAX - NOW)];
    let inputs = (mutated, request(), approved, life);
    let counts = engine::run("ticket", &corpus, inputs, |(plain, access, approved, life)| {
        let sealed = shared.seal(&plain, &mut Counting(0));
        let (ticket, memory) = allocations_of(|| Ticket::open(&sealed, &shared));
        prop_assert!(memory.peak <= BYTES_PER_BYTE * plain.len() + BYTES_BESIDE, "{:?}", memory);
        let path = memory.allocations.min(100);
        let ticket = match ticket {
            Ok(ticket) => ticket,
            Err(TicketError::Content(error)) => return Ok(Observation::new(name(error), path, &plain)),
            Err(error) => {
                prop_assert_eq!(error, TicketError::KeyLength);
                return Ok(Observation::new("key length", path, &plain));
            }
        };
        let set = CaveatSet::new(ticket.caveats().to_vec());
        let written = [&[0x92, 0xc4, 32], ticket.expose_discharge_key().as_slice(), &set.encode()].concat();
        prop_assert_eq!(&written, &plain);
        ticket.caveats().iter().try_for_each(is_consistent)?;

        let expires_unix_seconds = NOW.saturating_add(life);
        let request = DischargeRequest { access, expires_unix_seconds, approved };
        let cleared = ticket.clear(&request);
        let kinds: Vec<u64> = ticket.caveats().iter().map(Caveat::kind).take(8).collect();
        let answer = match cleared {
            Ok(()) => {
                prop_assert!(ticket.caveats().iter().all(|caveat| understood(caveat, &request)));
                "clears"
            }
            Err(denial) => {
                // For a condition inside `IfPresent`, the denial has the inner type.
                let refused = &ticket.caveats()[denial.index];
                prop_assert!(refused.kind() == denial.kind || matches!(refused, Caveat::IfPresent(_)));
                "refuses"
            }
        };
        // Its discharge verifies under its key, and has the ticket as key id.
        let discharge =
            UnverifiedToken::decode(&ticket.discharge(THIRD_PARTY, &mut Counting(0)).encode()).unwrap();
        prop_assert_eq!(discharge.kid(), sealed.as_slice());
        let key = MacaroonKey::new(ticket.expose_discharge_key());
        prop_assert_eq!(discharge.verify(&key, &[], &[]).map(|token| token.id()), Ok(discharge.id()));
        Ok(Observation::new(answer, (kinds, path), &plain))
    });
    counts.reached(&["clears", "refuses", "truncated", "not canonical"]);
}

/// Whether the condition alone allows the request; a ticket that clears has only such conditions.
fn understood(caveat: &Caveat, request: &DischargeRequest<'_>) -> bool {
    let Access { action, org, app, machine, host, .. } = request.access;
    match caveat {
        Caveat::ValidityWindow { not_before, not_after } => {
            (*not_before..=*not_after).contains(&request.access.now_unix_seconds)
        }
        Caveat::IfPresent(_) => true,
        Caveat::MaxValidity(seconds) => {
            let life = i128::from(request.expires_unix_seconds) - i128::from(request.access.now_unix_seconds);
            life <= i128::from(*seconds)
        }
        caveat => match PetsemCaveat::of(caveat) {
            Some(Ok(Some(PetsemCaveat::Organization(only)))) => org == Some(only.org),
            Some(Ok(Some(PetsemCaveat::Apps(apps)))) => app.is_some_and(|app| apps.ids().contains(&app)),
            Some(Ok(Some(PetsemCaveat::Actions(actions)))) => actions.0.contains(action),
            Some(Ok(Some(PetsemCaveat::Machines(machines)))) => {
                machine.is_some_and(|machine| machines.ids().iter().any(|id| id == machine))
            }
            Some(Ok(Some(PetsemCaveat::Hosts(hosts)))) => {
                host.is_some_and(|host| hosts.ids().iter().any(|id| id == host))
            }
            Some(Ok(Some(PetsemCaveat::SecondPerson(condition)))) => {
                request.approved == Some(condition.request)
            }
            _ => false,
        },
    }
}

fn plaintexts() -> Vec<Vec<u8>> {
    let read = bytes_of_vectors(&["ticket"], &["plaintext"]);
    let sets = bytes_of_vectors(&["caveat_codec"], &["wire"]);
    let sets = sets.iter().filter_map(|wire| CaveatSet::decode(wire).ok());
    let mut all: Vec<Vec<u8>> = sets.map(|set| plaintext(&set)).chain(read).collect();
    all.push(plaintext(&CaveatSet::new(vec![Caveat::MaxValidity(Action::Boot.bit().into())])));
    all
}

fn plaintext(conditions: &CaveatSet) -> Vec<u8> {
    [&[0x92, 0xc4, 32], [5; 32].as_slice(), &conditions.encode()].concat()
}
