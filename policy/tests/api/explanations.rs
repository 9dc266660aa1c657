//! All denials, not only the first; with and without keys.

use petsem_policy::{Access, Action, ActionSet, Actions, Apps, Caveat, Hosts, Machines, Reason, Resource};

use crate::world::{APP, NOW, OTHER, World, access, grant, unverified};

#[test]
fn denials_are_complete_and_clear_stops_at_the_first() {
    let world = World::new();
    let window = Caveat::ValidityWindow { not_before: 0, not_after: NOW - 1 };
    let token = world.mint([
        Apps::new([OTHER]).into(),
        window,
        Actions(ActionSet::from_iter([Action::List])).into(),
        Hosts::new(["h1".to_owned()]).into(),
    ]);
    let verified = world.verify(&token, &[]);
    let request = access(Action::Write);
    let denials = verified.denials(&request);
    let places: Vec<_> =
        denials.iter().map(|denial| (denial.caveat.map(|caveat| caveat.index), denial.reason)).collect();
    assert_eq!(
        places,
        [
            (Some(0), Reason::Other(Resource::App)),
            (Some(1), Reason::Expired),
            (Some(2), Reason::Action(Action::Write)),
            (Some(3), Reason::Unspecified(Resource::Host)),
        ]
    );
    assert_eq!(verified.clear(&request), Err(denials[0]));
    assert_eq!(unverified(&token).danger_denials(&[], &request), denials);
    let fits =
        Access { app: Some(OTHER), now_unix_seconds: NOW - 1, host: Some("h1"), ..access(Action::List) };
    assert_eq!(verified.denials(&fits), []);
    assert_eq!(verified.clear(&fits), Ok(()));
}

#[test]
fn a_discharge_is_explained_as_if_it_were_a_trusted_one() {
    let world = World::new();
    let mut token = world.mint([Apps::new([APP]).into()]);
    world.add_third_party(&mut token);
    let discharge = world.discharge(&token, [grant().into(), Machines::new(["m2".to_owned()]).into()]);
    let boot = Access { machine: Some("m1"), host: Some("h1"), ..access(Action::Boot) };
    let reasons = |denials: Vec<petsem_policy::Denial>| -> Vec<Reason> {
        denials.into_iter().map(|denial| denial.reason).collect()
    };
    let expected = [Reason::Other(Resource::Machine)];
    assert_eq!(reasons(world.verify(&token, &[&discharge]).denials(&boot)), expected);
    assert_eq!(reasons(unverified(&token).danger_denials(&[&discharge], &boot)), expected);
    assert_eq!(unverified(&token).danger_denials(&[], &boot), []);
    assert_eq!(unverified(&token).undischarged(&[]).len(), 1);
}
