//! Decisions on petsem requests, with tokens as the server mints them.

use proptest::prelude::*;
use rand_core::UnwrapErr;

use super::*;
use crate::caveats::{Actions, Apps, Hosts, Machines, Organization, SecretNames};
use crate::text::Resource;
use crate::{
    ActionSet, BootTarget, CaveatSet, DecodeError, DischargeRequest, IfPresent, InheritError,
    MAX_REASON_BYTES, Macaroon, MacaroonKey, SecondPerson, SharedKey, Ticket, TicketDenial,
    TrustedDischarger, UnverifiedToken,
};

const NOW: i64 = 1_800_000_000;
const ORG: [u8; 16] = [1; 16];
const APP: [u8; 16] = [2; 16];
const OTHER_APP: [u8; 16] = [3; 16];
const DISCHARGER: [u8; 16] = [9; 16];
const HERE: &str = "https://petsem.example";
const THIRD_PARTY: &str = "https://auth.example";

/// The keys of a test server and its discharger.
struct World {
    root: MacaroonKey,
    shared: SharedKey,
}

impl World {
    fn new() -> Self {
        Self { root: MacaroonKey::new(&[7; 32]), shared: SharedKey::new([8; 32]) }
    }

    fn mint(&self, caveats: impl IntoIterator<Item = Caveat>) -> Macaroon {
        let mut token = Macaroon::mint(&self.root, b"kid", HERE, false, &mut rng());
        token.add(caveats).unwrap();
        token
    }

    /// A token for one host; the ticket of its third-party caveat names the host.
    fn host_token(&self) -> Macaroon {
        let hosts = Hosts::new(["h1".to_owned()]);
        let mut token =
            self.mint([hosts.clone().into(), Actions(ActionSet::from_iter([Action::Boot])).into()]);
        let conditions = CaveatSet::new(vec![hosts.into()]);
        token.add_third_party(THIRD_PARTY, &self.shared, &conditions, &mut rng()).unwrap();
        token
    }

    /// The discharge of the token's last third-party caveat.
    fn discharge(&self, token: &Macaroon, caveats: impl IntoIterator<Item = Caveat>) -> UnverifiedToken {
        let third_party = token.caveats().iter().rev().find_map(|caveat| match caveat {
            Caveat::ThirdParty(third_party) => Some(third_party),
            _ => None,
        });
        let ticket = Ticket::open(&third_party.unwrap().ticket, &self.shared).unwrap();
        let mut discharge = ticket.discharge(THIRD_PARTY, &mut rng());
        discharge.add(caveats).unwrap();
        UnverifiedToken::decode(&discharge.encode()).unwrap()
    }

    fn verify(&self, token: &Macaroon, discharges: &[&UnverifiedToken]) -> Token {
        let trusted = TrustedDischarger { location: THIRD_PARTY, key: &self.shared, discharger: DISCHARGER };
        let token = UnverifiedToken::decode(&token.encode()).unwrap();
        token.verify(&self.root, discharges, &[trusted]).unwrap()
    }
}

fn rng() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}

fn access(action: Action) -> Access<'static> {
    Access { org: Some(ORG), app: Some(APP), ..Access::new(action, NOW, 0) }
}

fn boot() -> Access<'static> {
    Access { machine: Some("m1"), host: Some("h1"), ..access(Action::Boot) }
}

fn grant() -> BootGrant {
    BootGrant {
        org: ORG,
        app: APP,
        machine: "m1".to_owned(),
        host: "h1".to_owned(),
        expires: NOW + 60,
        provenance: "{}".to_owned(),
    }
}

fn reason<T: fmt::Debug>(answer: Result<T, Denial>) -> Reason {
    answer.unwrap_err().reason
}

#[test]
fn each_caveat_allows_its_resource_refuses_another_and_says_when_none_is_named() {
    let world = World::new();
    let request = Access { secret: Some("DB_URL"), ..boot() };
    let cases: [(Caveat, Access<'_>, Resource); 5] = [
        (Organization { org: ORG }.into(), Access { org: None, ..request }, Resource::Organization),
        (Apps::new([OTHER_APP, APP]).into(), Access { app: None, ..request }, Resource::App),
        (
            SecretNames::new(["X".to_owned()], ["DB_".to_owned()]).into(),
            Access { secret: None, ..request },
            Resource::Secret,
        ),
        (Machines::new(["m1".to_owned()]).into(), Access { machine: None, ..request }, Resource::Machine),
        (Hosts::new(["h1".to_owned()]).into(), Access { host: None, ..request }, Resource::Host),
    ];
    let other = Access {
        org: Some([5; 16]),
        app: Some([5; 16]),
        secret: Some("DBX"),
        machine: Some("m2"),
        host: Some("h2"),
        ..request
    };
    for (caveat, unnamed, resource) in cases {
        let token = world.verify(&world.mint([caveat]), &[]);
        assert_eq!(token.clear(&request), Ok(()), "{resource}");
        assert_eq!(reason(token.clear(&unnamed)), Reason::Unspecified(resource));
        assert_eq!(reason(token.clear(&other)), Reason::Other(resource));
    }
}

#[test]
fn a_denial_names_token_caveat_and_origin() {
    let world = World::new();
    let token = world.host_token();
    let discharge = world.discharge(&token, [grant().into(), Machines::new(["m2".to_owned()]).into()]);
    let verified = world.verify(&token, &[&discharge]);
    let origin = Origin::Discharge {
        third_party: 0,
        discharge: discharge.id(),
        proof: true,
        discharger: Some(DISCHARGER),
    };
    let denial = verified.clear(&boot()).unwrap_err();
    let caveat = Some(DeniedCaveat { index: 1, kind: Machines::KIND, origin });
    assert_eq!(denial, Denial { token: token.id(), caveat, reason: Reason::Other(Resource::Machine) });
    assert_eq!(
        denial.to_string(),
        format!(
            "token {}, caveat 1 (type 65540) of discharge {} for third-party caveat 0: \
             it does not allow this Machine; use a token that does",
            token.id(),
            discharge.id()
        )
    );
}

#[test]
fn actions_and_windows_are_enforced_to_the_nanosecond() {
    let world = World::new();
    let window = Caveat::ValidityWindow { not_before: NOW - 5, not_after: NOW };
    let writes = Actions(ActionSet::from_iter([Action::Write, Action::List]));
    let token = world.verify(&world.mint([window, writes.into()]), &[]);
    assert_eq!(token.clear(&access(Action::Write)), Ok(()));
    assert_eq!(reason(token.clear(&access(Action::Delete))), Reason::Action(Action::Delete));
    let late = Access { now_nanos: 1, ..access(Action::Write) };
    assert_eq!(reason(token.clear(&late)), Reason::Expired);
    let early = Access { now_unix_seconds: NOW - 6, now_nanos: 999_999_999, ..access(Action::Write) };
    assert_eq!(reason(token.clear(&early)), Reason::NotYetValid);
}

#[test]
fn unknown_malformed_and_foreign_caveats_refuse() {
    let world = World::new();
    let unknown = Caveat::from_wire(65_791, &[0x01]).unwrap();
    let outside = Caveat::from_wire(65_792, &[0x01]).unwrap();
    // Apps, out of order.
    let mut body = vec![0x91, 0x92, 0xc4, 16];
    body.extend(OTHER_APP);
    body.extend([0xc4, 16]);
    body.extend(APP);
    let unsorted = Caveat::from_wire(Apps::KIND, &body).unwrap();
    let cases = [
        (unknown, Reason::UnknownCaveat),
        (outside, Reason::NotForPetsem),
        (unsorted, Reason::NotCanonical),
        (Caveat::Action(0xffff), Reason::NotForPetsem),
        (Caveat::IsUser(1), Reason::NotForPetsem),
    ];
    for (caveat, expected) in cases {
        let nested = IfPresent { ifs: CaveatSet::new(vec![caveat.clone()]), otherwise: 0xffff };
        for caveat in [caveat, Caveat::IfPresent(nested)] {
            let token = world.verify(&world.mint([caveat]), &[]);
            assert_eq!(reason(token.clear(&access(Action::List))), expected);
        }
    }
}

#[test]
fn if_present_uses_its_mask_only_if_no_condition_applies() {
    let world = World::new();
    let inside = CaveatSet::new(vec![Machines::new(["m1".to_owned()]).into()]);
    let token = world.mint([Caveat::IfPresent(IfPresent { ifs: inside, otherwise: Action::List.bit() })]);
    let token = world.verify(&token, &[]);
    assert_eq!(token.clear(&access(Action::List)), Ok(()));
    assert_eq!(reason(token.clear(&access(Action::Write))), Reason::Action(Action::Write));
    assert_eq!(token.clear(&Access { machine: Some("m1"), ..access(Action::Write) }), Ok(()));
    let other = Access { machine: Some("m2"), ..access(Action::List) };
    assert_eq!(reason(token.clear(&other)), Reason::Other(Resource::Machine));
}

#[test]
fn a_host_token_boots_only_with_a_grant_for_that_boot() {
    let world = World::new();
    let token = world.host_token();
    let granted = world.discharge(&token, [grant().into()]);
    let verified = world.verify(&token, &[&granted]);
    let evidence = GrantEvidence { grant: &grant(), discharge: granted.id(), discharger: DISCHARGER };
    assert_eq!(verified.clear_boot(&boot()), Ok(evidence));
    assert_eq!(verified.discharge_ids(), [granted.id()]);

    let others = [
        (Access { machine: Some("m2"), ..boot() }, Reason::GrantOther(Resource::Machine)),
        (Access { app: Some(OTHER_APP), ..boot() }, Reason::GrantOther(Resource::App)),
        (Access { org: None, ..boot() }, Reason::GrantOther(Resource::Organization)),
        (Access { host: Some("h2"), ..boot() }, Reason::Other(Resource::Host)),
        (Access { now_unix_seconds: NOW + 61, ..boot() }, Reason::GrantExpired),
        (Access { now_unix_seconds: NOW + 60, now_nanos: 1, ..boot() }, Reason::GrantExpired),
    ];
    for (request, expected) in others {
        assert_eq!(reason(verified.clear_boot(&request)), expected);
    }

    let empty = world.discharge(&token, []);
    assert_eq!(reason(world.verify(&token, &[&empty]).clear_boot(&boot())), Reason::GrantMissing);
    let other_host = BootGrant { host: "h2".to_owned(), ..grant() };
    let twice = world.discharge(&token, [grant().into(), other_host.into()]);
    assert_eq!(reason(world.verify(&token, &[&twice]).clear_boot(&boot())), Reason::GrantRepeated);
    assert_eq!(reason(world.verify(&token, &[&twice]).boot_grant()), Reason::GrantRepeated);
}

#[test]
fn a_misplaced_boot_grant_refuses_every_request() {
    let world = World::new();
    let list = access(Action::List);

    // In the token itself, and inside `IfPresent`.
    let own = world.verify(&world.mint([grant().into()]), &[]);
    assert_eq!(reason(own.clear(&list)), Reason::Misplaced);
    let nested = IfPresent { ifs: CaveatSet::new(vec![grant().into()]), otherwise: 0xffff };
    let own = world.verify(&world.mint([Caveat::IfPresent(nested)]), &[]);
    assert_eq!(reason(own.clear(&list)), Reason::Misplaced);

    // In the discharge of a third-party caveat that the holder appended.
    let mut token = world.host_token();
    let first = world.discharge(&token, []);
    let holders_key = SharedKey::new([4; 32]);
    token.add_third_party("https://mine.example", &holders_key, &CaveatSet::default(), &mut rng()).unwrap();
    let holders = World { root: MacaroonKey::new(&[7; 32]), shared: holders_key };
    let second = holders.discharge(&token, [grant().into()]);
    let verified = world.verify(&token, &[&first, &second]);
    assert_eq!(reason(verified.clear(&boot())), Reason::Misplaced);
    assert_eq!(reason(verified.boot_grant()), Reason::GrantMissing);
}

#[test]
fn a_grant_from_an_untrusted_discharger_does_not_count() {
    let world = World::new();
    let token = world.host_token();
    let discharge = world.discharge(&token, [grant().into()]);
    let unverified = UnverifiedToken::decode(&token.encode()).unwrap();
    let verified = unverified.verify(&world.root, &[&discharge], &[]).unwrap();
    assert_eq!(reason(verified.clear_boot(&boot())), Reason::Misplaced);
    assert_eq!(reason(verified.boot_grant()), Reason::GrantMissing);
}

#[test]
fn reading_requires_a_token_minted_for_one_app_or_a_trusted_discharge() {
    let world = World::new();
    let read = Access { secret: Some("A"), ..access(Action::ReadValue) };
    let one: Caveat = Apps::new([APP]).into();
    let org: Caveat = Organization { org: ORG }.into();
    let minted_for_one = world.verify(&world.mint([one.clone(), org.clone()]), &[]);
    assert_eq!(minted_for_one.clear(&read), Ok(()));
    // A token that its holder narrowed to one app was not minted for one.
    for caveats in [vec![], vec![org, one], vec![Apps::new([APP, OTHER_APP]).into(), Apps::new([APP]).into()]]
    {
        let token = world.verify(&world.mint(caveats), &[]);
        assert_eq!(reason(token.clear(&read)), Reason::ReadNeedsOneApp);
    }

    let mut with_third_party = world.mint([Organization { org: ORG }.into()]);
    with_third_party.add_third_party(THIRD_PARTY, &world.shared, &CaveatSet::default(), &mut rng()).unwrap();
    let discharge = world.discharge(&with_third_party, []);
    assert_eq!(world.verify(&with_third_party, &[&discharge]).clear(&read), Ok(()));

    let mut by_holder = world.mint([Organization { org: ORG }.into()]);
    let holders = World { root: MacaroonKey::new(&[7; 32]), shared: SharedKey::new([4; 32]) };
    by_holder.add_third_party(THIRD_PARTY, &holders.shared, &CaveatSet::default(), &mut rng()).unwrap();
    let discharge = holders.discharge(&by_holder, []);
    assert_eq!(reason(world.verify(&by_holder, &[&discharge]).clear(&read)), Reason::ReadNeedsOneApp);
}

#[test]
fn the_first_subject_counts_and_a_different_one_refuses() {
    let world = World::new();
    let subject = |sub: &str| Subject { issuer: "iss".to_owned(), sub: sub.to_owned() };
    let token = world.verify(&world.mint([subject("ann").into()]), &[]);
    assert_eq!(token.subject(), Some(&subject("ann")));
    assert_eq!(token.clear(&access(Action::List)), Ok(()));
    let two = world.verify(&world.mint([subject("ann").into(), subject("bob").into()]), &[]);
    assert_eq!(two.subject(), Some(&subject("ann")));
    assert_eq!(reason(two.clear(&access(Action::List))), Reason::SecondSubject);
}

#[test]
fn a_child_carries_all_caveats_and_the_lineage_of_its_parent() {
    let world = World::new();
    let parent =
        world.mint([Apps::new([APP]).into(), Subject { issuer: "i".into(), sub: "s".into() }.into()]);
    let parent = world.verify(&parent, &[]);
    let child = world.verify(&world.mint(parent.inherit().unwrap().into_vec()), &[]);
    let key = TokenId::of_key(parent.kid());
    assert_eq!(child.ancestors(), [parent.id(), key]);
    assert_eq!(child.subject(), parent.subject());
    assert_eq!(
        reason(child.clear(&Access { app: Some(OTHER_APP), ..access(Action::List) })),
        Reason::Other(Resource::App)
    );

    // A lineage that a holder appended is not inherited.
    let forged = Ancestors(vec![TokenId::from_bytes([6; 16])]);
    let mut narrowed = world.mint(parent.inherit().unwrap().into_vec());
    narrowed.add([forged.into()]).unwrap();
    let narrowed = world.verify(&narrowed, &[]);
    let grandchild = world.verify(&world.mint(narrowed.inherit().unwrap().into_vec()), &[]);
    assert_eq!(grandchild.ancestors(), [narrowed.id(), key, parent.id()]);

    let host = world.host_token();
    let discharge = world.discharge(&host, []);
    assert_eq!(world.verify(&host, &[&discharge]).inherit(), Err(InheritError::ThirdParty));
}

/// Found by `tests/fuzz/narrowing.rs`: without the lineage in front, the child counted as minted for one app.
#[test]
fn no_caveat_moves_to_the_front_of_a_child() {
    let world = World::new();
    let lineage: Caveat = Ancestors(vec![TokenId::from_bytes([6; 16])]).into();
    let exchanged = || Exchanged {
        issuer: "i".to_owned(),
        sub: "s".to_owned(),
        jti: String::new(),
        rule: "r".to_owned(),
        claims: "{}".to_owned(),
        issued: NOW,
        expires: NOW + 60,
    };
    let one: Caveat = Apps::new([APP]).into();
    let read = Access { secret: Some("A"), ..access(Action::ReadValue) };
    for parent in [
        vec![lineage.clone(), one.clone()],
        vec![lineage.clone(), exchanged().into(), one.clone()],
        vec![exchanged().into(), lineage, one],
    ] {
        let parent = world.verify(&world.mint(parent), &[]);
        let child = world.verify(&world.mint(parent.inherit().unwrap().into_vec()), &[]);
        for token in [&parent, &child] {
            assert_eq!(reason(token.clear(&read)), Reason::ReadNeedsOneApp);
            assert_eq!(token.exchanged(), None);
        }
        let kinds = |token: &Token| token.own_caveats().iter().map(Caveat::kind).collect::<Vec<_>>();
        assert_eq!(kinds(&child), kinds(&parent));
    }
}

#[test]
fn a_token_is_limited_to_one_boot_for_at_most_five_minutes() {
    let world = World::new();
    let target = BootTarget { app: APP, machine: "m1", host: "h1" };
    let caveats: Vec<Caveat> = vec![
        Apps::new([APP]).into(),
        Machines::new(["m1".to_owned()]).into(),
        Hosts::new(["h1".to_owned()]).into(),
        Actions(ActionSet::from_iter([Action::Boot])).into(),
        Caveat::ValidityWindow { not_before: NOW - 1, not_after: NOW + 300 },
    ];
    let exact = world.verify(&world.mint(caveats.clone()), &[]);
    assert_eq!(exact.is_limited_to(&target, NOW), Ok(()));
    assert_eq!(reason(exact.is_limited_to(&target, NOW - 1)), Reason::EndsTooLate);
    let expected = [
        Reason::NotExactly(Resource::App),
        Reason::NotExactly(Resource::Machine),
        Reason::NotExactly(Resource::Host),
        Reason::NotExactlyAction(Action::Boot),
        Reason::EndsTooLate,
    ];
    for (left_out, expected) in expected.into_iter().enumerate() {
        let mut caveats = caveats.clone();
        caveats.remove(left_out);
        let token = world.verify(&world.mint(caveats), &[]);
        assert_eq!(reason(token.is_limited_to(&target, NOW)), expected);
    }
}

#[test]
fn a_discharger_refuses_unknown_conditions() {
    let world = World::new();
    let request = DischargeRequest { access: boot(), expires_unix_seconds: NOW + 60, approved: None };
    let hosts: Caveat = Hosts::new(["h1".to_owned()]).into();
    let cases: [(Caveat, Result<(), Reason>); 6] = [
        (hosts, Ok(())),
        (Caveat::MaxValidity(60), Ok(())),
        (Caveat::MaxValidity(59), Err(Reason::TooLong)),
        (Hosts::new(["h2".to_owned()]).into(), Err(Reason::Other(Resource::Host))),
        (grant().into(), Err(Reason::UnknownCaveat)),
        (Caveat::ConfineUser(1), Err(Reason::NotForPetsem)),
    ];
    for (condition, expected) in cases {
        let mut token = world.mint([]);
        let kind = condition.kind();
        let conditions = CaveatSet::new(vec![condition]);
        token.add_third_party(THIRD_PARTY, &world.shared, &conditions, &mut rng()).unwrap();
        let [Caveat::ThirdParty(third_party)] = token.caveats() else { panic!("one third-party caveat") };
        let ticket = Ticket::open(&third_party.ticket, &world.shared).unwrap();
        let expected = expected.map_err(|reason| TicketDenial { index: 0, kind, reason });
        assert_eq!(ticket.clear(&request), expected);
    }
}

#[test]
fn a_ticket_for_a_second_person_clears_only_for_the_approved_request() {
    let world = World::new();
    let condition = |request| SecondPerson {
        request: [request; 16],
        requester: "kim (i)".into(),
        reason: "outage".into(),
    };
    let ticket = |conditions: Vec<Caveat>| {
        let mut token = world.mint([]);
        token.add_third_party(THIRD_PARTY, &world.shared, &CaveatSet::new(conditions), &mut rng()).unwrap();
        let [Caveat::ThirdParty(third_party)] = token.caveats() else { panic!("one third-party caveat") };
        Ticket::open(&third_party.ticket, &world.shared).unwrap()
    };
    let cleared = |ticket: &Ticket, approved| {
        let request = DischargeRequest { access: boot(), expires_unix_seconds: NOW + 60, approved };
        ticket.clear(&request).map_err(|denial| (denial.kind, denial.reason))
    };
    let one = ticket(vec![condition(1).into()]);
    assert_eq!(one.second_person(), Some(condition(1)));
    assert_eq!(cleared(&one, Some([1; 16])), Ok(()));
    for other in [None, Some([2; 16])] {
        assert_eq!(cleared(&one, other), Err((SecondPerson::KIND, Reason::NotApproved)));
    }
    let two = ticket(vec![condition(1).into(), condition(2).into()]);
    assert_eq!(two.second_person(), None);
    assert_eq!(cleared(&two, Some([1; 16])), Err((SecondPerson::KIND, Reason::NotApproved)));

    // In a token it refuses every request.
    let token = world.verify(&world.mint([condition(1).into()]), &[]);
    for action in Action::ALL {
        assert_eq!(reason(token.clear(&access(action))), Reason::Misplaced);
    }
    // Requester and reason are required, and limited in length.
    for (requester, reason) in [("", "x"), ("x", ""), ("x", &*"r".repeat(MAX_REASON_BYTES + 1))] {
        let caveat: Caveat =
            SecondPerson { request: [1; 16], requester: requester.into(), reason: reason.into() }.into();
        assert_eq!(PetsemCaveat::of(&caveat), Some(Err(DecodeError::OutOfRange)));
    }
}

#[test]
fn debug_shows_no_secret_bytes() {
    let world = World::new();
    let token = world.host_token();
    let (id, text) = (token.id(), token.to_text());
    let unverified = UnverifiedToken::parse(&text).unwrap();
    assert_eq!(format!("{token:?} {unverified:?}"), format!("Macaroon({id}) UnverifiedToken({id})"));
    assert_eq!(format!("{:?} {:?}", world.root, world.shared), "MacaroonKey(..) SharedKey(..)");
}

fn any_caveat() -> impl Strategy<Value = Caveat> {
    let id = prop_oneof![Just(ORG), Just(APP), Just(OTHER_APP)];
    let name = prop_oneof![Just("m1"), Just("h1"), Just("A")].prop_map(str::to_owned);
    let leaf = prop_oneof![
        id.clone().prop_map(|org| Organization { org }.into()),
        proptest::collection::vec(id, 0..3).prop_map(|ids| Apps::new(ids).into()),
        any::<u16>().prop_map(|bits| Actions(ActionSet::from_bits(bits)).into()),
        name.clone().prop_map(|name| Machines::new([name]).into()),
        name.clone().prop_map(|name| Hosts::new([name]).into()),
        name.prop_map(|name| SecretNames::new([], [name]).into()),
        (-2_i64..3, -2_i64..3).prop_map(|(from, to)| {
            Caveat::ValidityWindow { not_before: NOW + from, not_after: NOW + to }
        }),
        Just(Caveat::from_wire(65_790, &[0x01]).unwrap()),
        Just(grant().into()),
        Just(Subject { issuer: "i".to_owned(), sub: "s".to_owned() }.into()),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        (proptest::collection::vec(inner, 0..3), any::<u16>())
            .prop_map(|(ifs, otherwise)| Caveat::IfPresent(IfPresent { ifs: CaveatSet::new(ifs), otherwise }))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn narrowing_never_allows_more(
        minted in proptest::collection::vec(any_caveat(), 1..4),
        appended in proptest::collection::vec(any_caveat(), 0..4),
    ) {
        let world = World::new();
        let original = world.mint(minted);
        let unverified = UnverifiedToken::decode(&original.encode()).unwrap();
        let mut narrowed = Macaroon::from_token(&unverified).unwrap();
        narrowed.add(appended).unwrap();
        let (original, narrowed) = (world.verify(&original, &[]), world.verify(&narrowed, &[]));
        prop_assert_eq!(original.id(), narrowed.id());
        for action in Action::ALL {
            for (machine, secret) in [(None, None), (Some("m1"), None), (None, Some("A"))] {
                let request = Access { machine, secret, host: Some("h1"), ..access(action) };
                if narrowed.clear(&request).is_ok() {
                    prop_assert_eq!(original.clear(&request), Ok(()));
                }
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_reencode_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..96)) {
        if let Ok(set) = CaveatSet::decode(&bytes) {
            prop_assert_eq!(set.encode(), bytes.clone());
        }
        if let Ok(token) = UnverifiedToken::decode(&bytes) {
            prop_assert_eq!(token.expose_wire(), bytes.as_slice());
        }
    }

    #[test]
    fn a_modified_byte_is_refused_or_in_the_location(position: proptest::sample::Index, flip in 1_u8..) {
        let world = World::new();
        let token = world.mint([Apps::new([APP]).into()]);
        let mut wire = token.encode().to_vec();
        let position = position.index(wire.len());
        wire[position] ^= flip;
        if let Ok(changed) = UnverifiedToken::decode(&wire)
            && let Ok(verified) = changed.verify(&world.root, &[], &[])
        {
            // No MAC covers the location.
            prop_assert_ne!(changed.location(), HERE);
            prop_assert_eq!(verified.id(), token.id());
        }
    }
}
