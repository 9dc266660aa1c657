//! The tables in `docs/` say what the code does.

use std::fmt::Write;

use petsem_policy::{
    Access, Action, ActionSet, Actions, Ancestors, Apps, BreakGlass, Caveat, CaveatSet, DischargeRequest,
    Exchanged, Hosts, IfPresent, Machines, Networks, Operator, Organization, PetsemCaveat, Place, Reason,
    SecondPerson, SecretKeys, SecretNames, Subject, Ticket, Unnamed,
};

use crate::world::{APP, NOW, ORG, THIRD_PARTY, World, grant, rng};

const DOCUMENT: &str = include_str!("../../../docs/formats.md");
const CAVEATS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/caveats.md");

#[test]
fn the_action_table_has_every_bit() {
    let rows = DOCUMENT.lines().skip_while(|line| !line.starts_with("| bit |")).skip(2);
    let documented = rows.map_while(|line| {
        let (bit, name) = line.strip_prefix("| ")?.strip_suffix("` |")?.split_once(" | `")?;
        Some((bit.parse().unwrap(), name))
    });
    let known: Vec<_> = Action::ALL.iter().map(|action| (action.bit(), action.name())).collect();
    assert_eq!(documented.collect::<Vec<(u16, &str)>>(), known);
}

/// `PETSEM_BLESS=1` writes it anew.
#[test]
fn the_caveat_table_is_made_of_the_types() {
    let mut page = "\
# Caveats of petsem

Types 65536 to 65791 of the macaroon format are petsem's. This page is made from `PetsemCaveat::TYPES` by
`PETSEM_BLESS=1 cargo test -p petsem-policy --test api`; `policy/tests/api/documents.rs` asks the code whether it is true.
A type that is not listed, and a body in any other form than the one here, refuses every request.

| type | name | body | what it lets through | may stand in | since |
|---|---|---|---|---|---|
"
    .to_owned();
    for known in PetsemCaveat::TYPES {
        let places: Vec<&str> = known.places.iter().map(|place| place_text(*place)).collect();
        let (number, name, body, meaning, since) =
            (known.number, known.name, known.body, known.meaning, known.since);
        writeln!(page, "| {number} | {name} | {body} | {meaning} | {} | {since} |", places.join(", "))
            .unwrap();
    }
    page.push_str(
        "\n## Requests that do not name what a caveat is about\n\n| name | answer | inside `IfPresent` |\n|---|---|---|\n",
    );
    for known in PetsemCaveat::TYPES {
        let (answer, nested) = unnamed_text(known.unnamed);
        writeln!(page, "| {} | {answer} | {nested} |", known.name).unwrap();
    }
    if std::env::var_os("PETSEM_BLESS").is_some_and(|bless| bless == "1") {
        std::fs::write(CAVEATS, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(CAVEATS).unwrap(), page);
}

fn place_text(place: Place) -> &'static str {
    match place {
        Place::Token => "token",
        Place::Discharge => "discharge",
        Place::Ticket => "ticket",
        _ => panic!("a place without a name: {place:?}"),
    }
}

fn unnamed_text(unnamed: Unnamed) -> (&'static str, &'static str) {
    match unnamed {
        Unnamed::Unspecified => ("resource unspecified: refuses", "set aside"),
        Unnamed::AlwaysNamed => ("every request names it", "counts"),
        Unnamed::Label => ("a label: lets pass", "refuses"),
        Unnamed::Evidence => ("evidence: refuses but where it counts", "refuses"),
        Unnamed::Condition => ("a condition: refuses but in a ticket", "refuses"),
        _ => panic!("an answer without a text: {unnamed:?}"),
    }
}

/// One caveat of each type, which lets [`request`] through.
fn examples() -> Vec<Caveat> {
    let text = |text: &str| [text.to_owned()];
    vec![
        Organization { org: ORG }.into(),
        Apps::new([APP]).into(),
        SecretNames::new(text("A"), []).into(),
        Actions(ActionSet::from_iter([Action::ReadValue, Action::List])).into(),
        Machines::new(text("m1")).into(),
        Hosts::new(text("h1")).into(),
        grant().into(),
        Subject { issuer: "i".to_owned(), sub: "s".to_owned() }.into(),
        Ancestors(Vec::new()).into(),
        SecretKeys::new(text("k"), []).into(),
        Networks::new(["10.0.0.0/8".parse().unwrap()]).unwrap().into(),
        Operator.into(),
        Exchanged {
            issuer: "i".to_owned(),
            sub: "s".to_owned(),
            jti: String::new(),
            rule: "r".to_owned(),
            claims: "{}".to_owned(),
            expires: NOW,
        }
        .into(),
        BreakGlass {
            org: ORG,
            app: APP,
            expires: NOW + 60,
            request: [4; 16],
            asker: "a".to_owned(),
            approver: "b".to_owned(),
        }
        .into(),
        SecondPerson { request: [4; 16], asker: "a".to_owned(), reason: "r".to_owned() }.into(),
    ]
}

/// Names everything; of operators' requests, nothing of an app.
fn request(caveat: &Caveat) -> Access<'static> {
    let everything = Access {
        org: Some(ORG),
        app: Some(APP),
        secret: Some("A"),
        secret_key: Some("k"),
        machine: Some("m1"),
        host: Some("h1"),
        peer: Some([10, 0, 0, 1].into()),
        ..Access::new(Action::ReadValue, NOW, 0)
    };
    if caveat.kind() == Operator::KIND { Access::new(Action::List, NOW, 0) } else { everything }
}

#[test]
fn each_type_may_stand_where_the_table_says_and_refuses_everywhere_else() {
    let world = World::new();
    assert_eq!(PetsemCaveat::TYPES.len(), examples().len());
    for (known, caveat) in PetsemCaveat::TYPES.iter().zip(examples()) {
        assert_eq!(known.number, caveat.kind());
        let request = request(&caveat);
        // Reading asks for more than caveats; what refuses is looked for in the caveats alone.
        let refused = |token: petsem_policy::Token| {
            token.denials(&request).into_iter().any(|denial| denial.caveat.is_some())
        };
        let in_token = !refused(world.verify(&world.mint([caveat.clone()]), &[]));

        let mut host = world.mint([]);
        world.add_third_party(&mut host);
        let discharge = world.discharge(&host, [caveat.clone()]);
        let in_discharge = !refused(world.verify(&host, &[&discharge]));

        let mut asked = world.mint([]);
        let conditions = CaveatSet::new(vec![caveat]);
        asked.add_third_party(THIRD_PARTY, &world.shared, &conditions, &mut rng()).unwrap();
        let Some(Caveat::ThirdParty(third_party)) = asked.caveats().last() else { panic!("a ticket") };
        let ticket = Ticket::open(&third_party.ticket, &world.shared).unwrap();
        let wanted =
            DischargeRequest { access: request, expires_unix_seconds: NOW + 60, approved: Some([4; 16]) };
        let in_ticket = ticket.clear(&wanted).is_ok();

        let places = [(Place::Token, in_token), (Place::Discharge, in_discharge), (Place::Ticket, in_ticket)];
        let met: Vec<Place> = places.into_iter().filter(|(_, met)| *met).map(|(place, _)| place).collect();
        assert_eq!(met, known.places, "{}", known.name);
    }
}

#[test]
fn each_type_answers_as_the_table_says_when_nothing_is_named() {
    let world = World::new();
    let nothing = Access::new(Action::List, NOW, 0);
    for (known, caveat) in PetsemCaveat::TYPES.iter().zip(examples()) {
        let answer = |caveat: Caveat| {
            let token = world.verify(&world.mint([caveat]), &[]);
            token.clear(&nothing).map_err(|denial| denial.reason)
        };
        let nested = IfPresent { ifs: CaveatSet::new(vec![caveat.clone()]), otherwise: Action::Write.bit() };
        let (alone, nested) = (answer(caveat), answer(Caveat::IfPresent(nested)));
        let set_aside = nested == Err(Reason::Action(Action::List));
        let misplaced = Err(Reason::Misplaced);
        let found = match (alone, set_aside) {
            (Err(Reason::Unspecified(_)), true) => Unnamed::Unspecified,
            (Ok(()), false) if nested == Ok(()) => Unnamed::AlwaysNamed,
            (Ok(()), false) if nested == misplaced => Unnamed::Label,
            (Err(Reason::Misplaced), false) if known.places == [Place::Ticket] && nested == misplaced => {
                Unnamed::Condition
            }
            (Err(Reason::Misplaced), false) if nested == misplaced => Unnamed::Evidence,
            other => panic!("{}: {other:?}, nested {nested:?}", known.name),
        };
        assert_eq!(found, known.unnamed, "{}", known.name);
    }
}
