//! The tables in `docs/` agree with the code.

use std::fmt::Write;

use petsem_policy::{
    Access, Action, ActionSet, Actions, Ancestors, Apps, BreakGlass, Caveat, CaveatSet, Container,
    DischargeRequest, Exchanged, Hosts, IfPresent, Machines, Networks, Operator, Organization, PetsemCaveat,
    Reason, SecondPerson, SecretKeys, SecretNames, Subject, Ticket, WhenUnspecified,
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

/// `PETSEM_BLESS=1` regenerates it.
#[test]
fn the_caveat_table_is_generated_from_the_types() {
    let mut page = "\
# petsem's caveats

Types 65536 to 65791 of the macaroon format belong to petsem. `PETSEM_BLESS=1 cargo test -p petsem-policy --test api`
generates this page from `PetsemCaveat::TYPES`, and `policy/tests/api/documents.rs` checks it against the code.
A type that is not listed refuses every request, as does a body that is not in the form given here.

| type | name | body | what it allows | allowed in | since |
|---|---|---|---|---|---|
"
    .to_owned();
    for known in PetsemCaveat::TYPES {
        let containers: Vec<&str> =
            known.containers.iter().map(|container| container_text(*container)).collect();
        let (number, name, body, meaning, since) =
            (known.number, known.name, known.body, known.meaning, known.since);
        writeln!(page, "| {number} | {name} | {body} | {meaning} | {} | {since} |", containers.join(", "))
            .unwrap();
    }
    page.push_str(
        "\n## Requests that do not name the resource that a caveat restricts\n\n| name | answer | inside `IfPresent` |\n|---|---|---|\n",
    );
    for known in PetsemCaveat::TYPES {
        let (answer, nested) = unspecified_text(known.when_unspecified);
        writeln!(page, "| {} | {answer} | {nested} |", known.name).unwrap();
    }
    if std::env::var_os("PETSEM_BLESS").is_some_and(|bless| bless == "1") {
        std::fs::write(CAVEATS, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(CAVEATS).unwrap(), page);
}

fn container_text(container: Container) -> &'static str {
    match container {
        Container::Token => "token",
        Container::Discharge => "discharge",
        Container::Ticket => "ticket",
        _ => panic!("a container without a name: {container:?}"),
    }
}

fn unspecified_text(answer: WhenUnspecified) -> (&'static str, &'static str) {
    match answer {
        WhenUnspecified::Refuses => ("refuses: resource unspecified", "skipped"),
        WhenUnspecified::AlwaysSpecified => ("every request names it", "applies"),
        WhenUnspecified::Label => ("label: allows", "refuses"),
        WhenUnspecified::Evidence => ("evidence: refuses, except where it counts", "refuses"),
        WhenUnspecified::Condition => ("condition: refuses, except in a ticket", "refuses"),
        _ => panic!("an answer without a text: {answer:?}"),
    }
}

/// One caveat of each type that allows [`request`].
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
            issued: NOW,
            expires: NOW,
        }
        .into(),
        BreakGlass {
            org: ORG,
            app: APP,
            expires: NOW + 60,
            request: [4; 16],
            requester: "a".to_owned(),
            approver: "b".to_owned(),
        }
        .into(),
        SecondPerson { request: [4; 16], requester: "a".to_owned(), reason: "r".to_owned() }.into(),
    ]
}

/// A request that names every resource; for Operator, one that names no resource of an app.
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
fn each_type_is_accepted_only_in_the_containers_of_the_table() {
    let world = World::new();
    assert_eq!(PetsemCaveat::TYPES.len(), examples().len());
    for (known, caveat) in PetsemCaveat::TYPES.iter().zip(examples()) {
        assert_eq!(known.number, caveat.kind());
        let request = request(&caveat);
        // Reading requires more than caveats, so only denials by a caveat count.
        let refused = |token: petsem_policy::Token| {
            token.denials(&request).into_iter().any(|denial| denial.caveat.is_some())
        };
        let in_token = !refused(world.verify(&world.mint([caveat.clone()]), &[]));

        let mut host = world.mint([]);
        world.add_third_party(&mut host);
        let discharge = world.discharge(&host, [caveat.clone()]);
        let in_discharge = !refused(world.verify(&host, &[&discharge]));

        let mut with_ticket = world.mint([]);
        let conditions = CaveatSet::new(vec![caveat]);
        with_ticket.add_third_party(THIRD_PARTY, &world.shared, &conditions, &mut rng()).unwrap();
        let Some(Caveat::ThirdParty(third_party)) = with_ticket.caveats().last() else { panic!("a ticket") };
        let ticket = Ticket::open(&third_party.ticket, &world.shared).unwrap();
        let discharge_request =
            DischargeRequest { access: request, expires_unix_seconds: NOW + 60, approved: Some([4; 16]) };
        let in_ticket = ticket.clear(&discharge_request).is_ok();

        let answers = [
            (Container::Token, in_token),
            (Container::Discharge, in_discharge),
            (Container::Ticket, in_ticket),
        ];
        let accepted = answers.into_iter().filter(|(_, accepted)| *accepted).map(|(container, _)| container);
        assert_eq!(accepted.collect::<Vec<_>>(), known.containers, "{}", known.name);
    }
}

#[test]
fn each_type_answers_as_the_table_says_when_no_resource_is_named() {
    let world = World::new();
    let nothing = Access::new(Action::List, NOW, 0);
    for (known, caveat) in PetsemCaveat::TYPES.iter().zip(examples()) {
        let answer = |caveat: Caveat| {
            let token = world.verify(&world.mint([caveat]), &[]);
            token.clear(&nothing).map_err(|denial| denial.reason)
        };
        let nested = IfPresent { ifs: CaveatSet::new(vec![caveat.clone()]), otherwise: Action::Write.bit() };
        let (alone, nested) = (answer(caveat), answer(Caveat::IfPresent(nested)));
        let skipped = nested == Err(Reason::Action(Action::List));
        let misplaced = Err(Reason::Misplaced);
        let found = match (alone, skipped) {
            (Err(Reason::Unspecified(_)), true) => WhenUnspecified::Refuses,
            (Ok(()), false) if nested == Ok(()) => WhenUnspecified::AlwaysSpecified,
            (Ok(()), false) if nested == misplaced => WhenUnspecified::Label,
            (Err(Reason::Misplaced), false)
                if known.containers == [Container::Ticket] && nested == misplaced =>
            {
                WhenUnspecified::Condition
            }
            (Err(Reason::Misplaced), false) if nested == misplaced => WhenUnspecified::Evidence,
            other => panic!("{}: {other:?}, nested {nested:?}", known.name),
        };
        assert_eq!(found, known.when_unspecified, "{}", known.name);
    }
}
