//! The two tokens that allow more than the minter's own token: without a discharge they allow nothing.

use petsem_policy::{
    Access, Action, ActionSet, Actions, Ancestors, Apps, BreakGlass, Caveat, CaveatSet, DischargeRejection,
    Hosts, Macaroon, MacaroonKey, Organization, Reason, Resource, SecondPerson, SharedKey, Subject, Ticket,
    TokenId, UnverifiedToken, VerifyError,
};

use crate::world::{APP, NOW, ORG, OTHER, THIRD_PARTY, World, grant, rng, unverified};

/// A token as the server's enroll mints it.
fn host_token(world: &World) -> Macaroon {
    let hosts: Caveat = Hosts::new(["h1".to_owned()]).into();
    let boots: Caveat = Actions(ActionSet::from_iter([Action::Boot])).into();
    let mut token = begin(world, [boots.clone(), hosts.clone()]);
    let conditions = CaveatSet::new(vec![hosts, boots]);
    token.add_third_party(THIRD_PARTY, &world.shared, &conditions, &mut rng()).unwrap();
    token
}

/// A token as the server's break-glass mints it.
fn break_glass_token(world: &World) -> Macaroon {
    let one_app: [Caveat; 3] = [
        Organization { org: ORG }.into(),
        Apps::new([APP]).into(),
        Actions(ActionSet::from_iter([Action::ReadValue])).into(),
    ];
    let mut token = begin(world, one_app.clone());
    let mut conditions = one_app.to_vec();
    conditions
        .push(SecondPerson { request: [4; 16], requester: "ann".into(), reason: "outage".into() }.into());
    token.add_third_party(THIRD_PARTY, &world.shared, &CaveatSet::new(conditions), &mut rng()).unwrap();
    token
}

fn begin<const N: usize>(world: &World, caveats: [Caveat; N]) -> Macaroon {
    let subject = Subject { issuer: "petsem".into(), sub: "ann".into() };
    let mut token = world.mint([subject.into(), Ancestors(vec![TokenId::from_bytes([6; 16])]).into()]);
    token.add(caveats).unwrap();
    token.add([Caveat::ValidityWindow { not_before: NOW - 1, not_after: NOW + 60 }]).unwrap();
    token
}

fn break_glass_grant() -> BreakGlass {
    let (requester, approver) = ("ann".to_owned(), "bob".to_owned());
    BreakGlass { org: ORG, app: APP, expires: NOW + 60, request: [4; 16], requester, approver }
}

/// One request for every action, on all resources of the tokens.
fn requests() -> impl Iterator<Item = Access<'static>> {
    Action::ALL.into_iter().map(|action| Access {
        org: Some(ORG),
        app: Some(APP),
        secret: Some("A"),
        machine: Some("m1"),
        host: Some("h1"),
        ..Access::new(action, NOW, 0)
    })
}

#[test]
fn tokens_of_enroll_and_break_glass_do_not_verify_without_a_discharge() {
    let world = World::new();
    let missing = Some(VerifyError::NoDischarge { third_party: 0 });
    for token in [host_token(&world), break_glass_token(&world)] {
        assert_eq!(unverified(&token).verify(&world.root, &[], &[]).err(), missing);
        // Nor with the discharge of another token, or of a third-party caveat that the holder appended.
        let other = host_token(&world);
        let others = world.discharge(&other, [grant().into(), break_glass_grant().into()]);
        assert_eq!(unverified(&token).verify(&world.root, &[&others], &[]).err(), missing);
        let holders = SharedKey::new([4; 32]);
        let mut narrowed = Macaroon::from_token(&unverified(&token)).unwrap();
        narrowed
            .add_third_party("https://mine.example", &holders, &CaveatSet::default(), &mut rng())
            .unwrap();
        let Some(Caveat::ThirdParty(mine)) = narrowed.caveats().last() else {
            panic!("a third-party caveat")
        };
        let mut own = Ticket::open(&mine.ticket, &holders).unwrap().discharge(THIRD_PARTY, &mut rng());
        own.add([grant().into(), break_glass_grant().into()]).unwrap();
        let own = unverified(&own);
        assert_eq!(unverified(&narrowed).verify(&world.root, &[&own], &[]).err(), missing);
        // Nor with one for the right ticket that the holder signed.
        let Some(Caveat::ThirdParty(third_party)) =
            token.caveats().iter().find(|caveat| matches!(caveat, Caveat::ThirdParty(_)))
        else {
            panic!("a third-party caveat")
        };
        let mut forged =
            Macaroon::mint(&MacaroonKey::new(&[5; 32]), &third_party.ticket, THIRD_PARTY, true, &mut rng());
        forged.add([grant().into(), break_glass_grant().into()]).unwrap();
        let forged = unverified(&forged);
        let reason = DischargeRejection::Signature;
        assert_eq!(
            unverified(&token).verify(&world.root, &[&forged], &[]).err(),
            Some(VerifyError::DischargeRejected { third_party: 0, reason })
        );
    }
}

#[test]
fn evidence_of_an_untrusted_discharger_refuses_every_request() {
    let world = World::new();
    let cases: [(Macaroon, Caveat); 2] =
        [(host_token(&world), grant().into()), (break_glass_token(&world), break_glass_grant().into())];
    for (token, evidence) in cases {
        let discharge = world.discharge(&token, [evidence]);
        let verified = unverified(&token).verify(&world.root, &[&discharge], &[]).unwrap();
        for request in requests() {
            let denials = verified.denials(&request);
            assert!(denials.iter().any(|denial| denial.reason == Reason::Misplaced), "{}", request.action);
        }
        assert_eq!(verified.boot_grant().unwrap_err().reason, Reason::GrantMissing);
        assert_eq!(verified.break_glass_grant().unwrap_err().reason, Reason::BreakGlassMissing);
    }
}

#[test]
fn with_a_discharge_each_token_allows_only_its_purpose() {
    let world = World::new();
    let allowed = |token: &Macaroon, discharge: &UnverifiedToken| -> Vec<Action> {
        let verified = world.verify(token, &[discharge]);
        requests().filter(|request| verified.clear(request).is_ok()).map(|request| request.action).collect()
    };
    let host = host_token(&world);
    assert_eq!(allowed(&host, &world.discharge(&host, [grant().into()])), [Action::Boot]);
    let token = break_glass_token(&world);
    let discharge = world.discharge(&token, [break_glass_grant().into()]);
    assert_eq!(allowed(&token, &discharge), [Action::ReadValue]);
    let verified = world.verify(&token, &[&discharge]);
    let reads = |app, seconds| Access {
        org: Some(ORG),
        app: Some(app),
        secret: Some("A"),
        ..Access::new(Action::ReadValue, seconds, 0)
    };
    let reason = |request| verified.clear(&request).map_err(|denial| denial.reason);
    assert_eq!(reason(reads(APP, NOW + 60)), Ok(()));
    assert_eq!(reason(reads(APP, NOW + 61)), Err(Reason::Expired));
    assert_eq!(reason(reads(OTHER, NOW)), Err(Reason::Other(Resource::App)));
}
