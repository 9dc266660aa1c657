//! The tables of `docs/formats.md` say what the code does.

use petsem_policy::{
    Action, Actions, Ancestors, Apps, BootGrant, Hosts, Machines, Organization, PETSEM_BLOCK, SecretNames,
    Subject,
};

const DOCUMENT: &str = include_str!("../../docs/formats.md");

#[test]
fn the_caveat_table_has_every_type() {
    let known = [
        (Organization::KIND, "Organization"),
        (Apps::KIND, "Apps"),
        (SecretNames::KIND, "SecretNames"),
        (Actions::KIND, "Actions"),
        (Machines::KIND, "Machines"),
        (Hosts::KIND, "Hosts"),
        (BootGrant::KIND, "BootGrant"),
        (Subject::KIND, "Subject"),
        (Ancestors::KIND, "Ancestors"),
    ];
    let rows = rows("type").map(|(number, name)| (number.parse().unwrap(), name));
    assert_eq!(rows.collect::<Vec<(u64, &str)>>(), known);
    assert!(known.iter().all(|(kind, _)| PETSEM_BLOCK.contains(kind)));
}

#[test]
fn the_action_table_has_every_bit() {
    let rows = rows("bit").map(|(bit, name)| (bit.parse().unwrap(), name.trim_matches('`')));
    let known: Vec<_> = Action::ALL.iter().map(|action| (action.bit(), action.name())).collect();
    assert_eq!(rows.collect::<Vec<(u16, &str)>>(), known);
}

/// First and second cell of the rows of the table whose first column is called so.
fn rows(first_column: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let heading = format!("| {first_column} |");
    let lines = DOCUMENT.lines().skip_while(move |line| !line.starts_with(&heading)).skip(2);
    lines.map_while(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        Some((cells.next()?, cells.next()?.trim_end_matches(" |")))
    })
}
