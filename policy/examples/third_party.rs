//! A host's token that boots a Machine only with a discharge: mint, attenuate, discharge, verify, clear.
//!
//! `cargo run -p petsem-policy --example third_party`

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "an example prints and reads the clock")]

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use petsem_policy::{
    Access, Action, ActionSet, Actions, BootGrant, Caveat, CaveatSet, DischargeRequest, Header, Hosts,
    Macaroon, MacaroonKey, Machines, Reason, Resource, SharedKey, Ticket, TrustedDischarger, UnverifiedToken,
    VerifyError,
};
use rand_core::UnwrapErr;

const PETSEM: &str = "https://petsem.example";
const DISCHARGER: &str = "https://auth.example";
const ORG: [u8; 16] = [1; 16];
const APP: [u8; 16] = [2; 16];

fn main() -> Result<(), Box<dyn Error>> {
    let mut rng = UnwrapErr(getrandom::SysRng);
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;

    // The server holds the root key. The server and the discharger share a key for tickets.
    let root_key = MacaroonKey::generate(&mut rng);
    let shared_key = SharedKey::generate(&mut rng);

    // The server mints a token for one host. It needs a discharge, whose conditions are in the ticket.
    let hosts = Caveat::from(Hosts::new(["host-1".to_owned()]));
    let boots = Caveat::from(Actions(ActionSet::from_iter([Action::Boot])));
    let mut token = Macaroon::mint(&root_key, b"root key 1", PETSEM, false, &mut rng);
    token.add([
        hosts.clone(),
        boots.clone(),
        Caveat::ValidityWindow { not_before: now, not_after: now + 3600 },
    ])?;
    token.add_third_party(DISCHARGER, &shared_key, &CaveatSet::new(vec![hosts, boots]), &mut rng)?;
    let token = UnverifiedToken::parse(&token.to_text())?;

    // The host attenuates its token to one Machine. This needs no key, and nothing can undo it.
    let mut attenuated = Macaroon::from_token(&token)?;
    attenuated.add([Machines::new(["machine-1".to_owned()]).into()])?;
    let attenuated = UnverifiedToken::parse(&attenuated.to_text())?;
    for caveat in attenuated.caveats() {
        println!("caveat: {}", caveat.describe());
    }
    let missing = VerifyError::NoDischarge { third_party: 0 };
    assert_eq!(attenuated.verify(&root_key, &[], &[]).err(), Some(missing));

    // The discharger opens the ticket, checks its conditions, and answers with a grant for this boot.
    let boot = Access {
        org: Some(ORG),
        app: Some(APP),
        machine: Some("machine-1"),
        host: Some("host-1"),
        ..Access::new(Action::Boot, now, 0)
    };
    let &[(DISCHARGER, ticket)] = attenuated.undischarged(&[]).as_slice() else {
        return Err("the token has one third-party caveat".into());
    };
    let ticket = Ticket::open(ticket, &shared_key)?;
    ticket.clear(&DischargeRequest { access: boot, expires_unix_seconds: now + 60, approved: None })?;
    let mut discharge = ticket.discharge(DISCHARGER, &mut rng);
    let grant = BootGrant {
        org: ORG,
        app: APP,
        machine: "machine-1".to_owned(),
        host: "host-1".to_owned(),
        expires: now + 60,
        provenance: "{}".to_owned(),
    };
    discharge.add([grant.clone().into()])?;

    // The host sends both in one header. The server verifies them, and clears the token for the boot.
    let header = format!("Bearer {},{}", attenuated.expose_text().as_str(), discharge.to_text().as_str());
    let header = Header::parse(&header, PETSEM)?;
    let received = header.permissions().next().ok_or("the header has a token")?;
    let discharger = TrustedDischarger { location: DISCHARGER, key: &shared_key, discharger: [9; 16] };
    let verified = received.verify(&root_key, &header.discharges(), &[discharger])?;
    let evidence = verified.clear_boot(&boot)?;
    assert_eq!(*evidence.grant, grant);
    println!("allowed: {}", Caveat::from(evidence.grant.clone()).describe());

    // Another Machine is denied, and the denial names the caveat.
    let denial = verified.clear_boot(&Access { machine: Some("machine-2"), ..boot }).err();
    let denial = denial.ok_or("the token is for one Machine")?;
    assert_eq!(denial.reason, Reason::Other(Resource::Machine));
    println!("denied: {denial}");
    Ok(())
}

#[test]
fn the_example_runs() {
    main().unwrap();
}
