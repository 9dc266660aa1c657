//! Nanoseconds of the walk of one boot: parse, verify 8 caveats with one discharge, clear.
//!
//! `cargo bench -p petsem-policy`. Medians of rounds, beside one HMAC-SHA256 of 36 bytes in the same run: the
//! goal is 4 µs for the verification where that takes 0.13 µs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock, prints, and may fail loudly"
)]

use std::hint::black_box;
use std::time::Instant;

use hmac::{Hmac, KeyInit, Mac};
use petsem_policy::{
    Access, Action, ActionSet, Actions, Apps, BootGrant, Caveat, CaveatSet, Header, Hosts, Macaroon,
    MacaroonKey, Machines, Organization, SharedKey, Subject, Ticket, Trusted, UnverifiedToken,
};
use rand_core::UnwrapErr;
use sha2::Sha256;

const ROUNDS: usize = 41;
const RUNS: u32 = 2_000;
const HERE: &str = "https://petsem.example";
const THIRD_PARTY: &str = "https://auth.example";

fn main() {
    let rng = &mut UnwrapErr(getrandom::SysRng);
    let (root, shared) = (MacaroonKey::new(&[7; 32]), SharedKey::new([8; 32]));
    let (token, discharge) = host_token(&root, &shared, rng);
    let text = format!("FlyV1 {},{}", token.to_text().as_str(), discharge.to_text().as_str());
    let token = UnverifiedToken::decode(&token.encode()).unwrap();
    let discharge = UnverifiedToken::decode(&discharge.encode()).unwrap();
    let trusted = [Trusted { location: THIRD_PARTY, key: &shared, discharger: [9; 16] }];
    let verified = token.verify(&root, &[&discharge], &trusted).unwrap();
    let access = Access {
        org: Some([1; 16]),
        app: Some([2; 16]),
        machine: Some("m1"),
        host: Some("h1"),
        ..Access::new(Action::Boot, 1_800_000_000, 0)
    };

    measure("HMAC-SHA256 of 36 bytes", || {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(black_box(&[7; 32])).unwrap();
        mac.update(black_box(&[1; 36]));
        mac.finalize()
    });
    let sealed = shared.seal(&[1; 32], rng);
    measure("open a sealed key (ChaCha20-Poly1305)", || shared.open(black_box(&sealed)).unwrap());
    measure("parse the header of both", || Header::parse(black_box(&text), HERE).unwrap());
    measure("verify 8 caveats and 1 discharge", || {
        black_box(&token).verify(&root, &[&discharge], &trusted).unwrap()
    });
    measure("verify without the discharger's key", || {
        black_box(&token).verify(&root, &[&discharge], &[]).unwrap()
    });
    measure("clear 8 caveats and the grant", || black_box(&verified).clear_boot(&access).unwrap());
}

/// Seven conditions and a third-party caveat, discharged with a window and a boot grant.
fn host_token(
    root: &MacaroonKey,
    shared: &SharedKey,
    rng: &mut UnwrapErr<getrandom::SysRng>,
) -> (Macaroon, Macaroon) {
    let window = Caveat::ValidityWindow { not_before: 0, not_after: 1_900_000_000 };
    let hosts: Caveat = Hosts::new(["h1".to_owned()]).into();
    let mut token = Macaroon::mint(root, &[3; 16], HERE, false, rng);
    token
        .add([
            Organization { org: [1; 16] }.into(),
            Apps::new([[2; 16]]).into(),
            Actions(ActionSet::from_iter([Action::Boot])).into(),
            hosts.clone(),
            Machines::new(["m1".to_owned()]).into(),
            Subject { issuer: "platform".to_owned(), sub: "h1".to_owned() }.into(),
            window.clone(),
        ])
        .unwrap();
    token.add_third_party(THIRD_PARTY, shared, &CaveatSet::new(vec![hosts]), rng).unwrap();
    let Some(Caveat::ThirdParty(third_party)) = token.caveats().last() else {
        panic!("a third-party caveat")
    };
    let mut discharge = Ticket::open(&third_party.ticket, shared).unwrap().discharge(THIRD_PARTY, rng);
    let grant = BootGrant {
        org: [1; 16],
        app: [2; 16],
        machine: "m1".to_owned(),
        host: "h1".to_owned(),
        expires: 1_900_000_000,
        asker: "{}".to_owned(),
    };
    discharge.add([window, grant.into()]).unwrap();
    (token, discharge)
}

fn measure<T>(name: &str, mut run: impl FnMut() -> T) {
    let mut nanos: Vec<u128> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..RUNS {
                black_box(run());
            }
            start.elapsed().as_nanos() / u128::from(RUNS)
        })
        .collect();
    nanos.sort_unstable();
    println!("{name:38} {:6} ns", nanos.get(ROUNDS / 2).unwrap());
}
