//! The table of `docs/formats.md` says what the code does.

use petsem_policy::Action;

const DOCUMENT: &str = include_str!("../../../docs/formats.md");

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
