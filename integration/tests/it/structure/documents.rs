//! docs/vulnerability-classes.md, docs/security-evidence.md and docs/field-cases.md name only tests and constants that
//! exist.

use std::collections::BTreeSet;
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const CLASSES: &str = include_str!("../../../../docs/vulnerability-classes.md");
const FIELD_CASES: &str = include_str!("../../../../docs/field-cases.md");
const EVIDENCE: &str = include_str!("../../../../docs/security-evidence.md");

/// The commands in a part of the page: backquoted texts that name a package of the workspace and a target.
fn commands(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|quoted| quoted.starts_with("petsem") && quoted.contains(" --")).collect()
}

/// Whether the test named by a command is a function under `#[test]` in the file or module of its path.
pub(super) fn is_there(command: &str) -> bool {
    let (package, arguments) = command.split_once(' ').unwrap();
    let path = arguments.rsplit(' ').next().unwrap();
    let directory = package.strip_prefix("petsem-").unwrap_or("cli");
    let part = if arguments.contains("--test ") { "tests" } else { "src" };
    let mut modules: Vec<&str> = path.split("::").collect();
    let function = format!("fn {}(", modules.pop().unwrap());
    modules.retain(|module| *module != "tests");
    let mut sources = Vec::new();
    collect(&Path::new(ROOT).join(directory).join(part), &mut sources);
    sources.iter().filter(|(path, _)| modules.iter().all(|module| path.contains(module))).any(
        |(_, source)| {
            let before = source.split_once(&function).map(|(before, _)| before.lines().rev().take(3));
            before.is_some_and(|mut lines| lines.any(is_test))
        },
    )
}

/// `#[test]`, or the same with a runtime.
fn is_test(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("#[test]") || line.starts_with("#[tokio::test")
}

fn collect(directory: &Path, sources: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn every_vulnerability_class_names_tests_and_each_of_them_exists() {
    let classes: Vec<(&str, Vec<&str>)> = CLASSES
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" | "))
        .filter(|(number, _)| number.parse::<u8>().is_ok())
        .map(|(number, row)| (number, commands(row)))
        .collect();
    let numbers: Vec<_> = classes.iter().map(|(number, _)| (*number).to_owned()).collect();
    assert_eq!(numbers, (1..=21).map(|number| number.to_string()).collect::<Vec<_>>());
    for (number, commands) in &classes {
        assert!(commands.len() >= 2, "class {number} names {commands:?}");
    }
    assert_eq!(missing(CLASSES), BTreeSet::new());
}

#[test]
fn every_kind_of_field_case_names_tests_and_each_of_them_exists() {
    let kinds: Vec<(&str, Vec<&str>)> = FIELD_CASES
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(". "))
        .map(|(number, row)| (number, commands(row)))
        .collect();
    let numbers: Vec<&str> = kinds.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5", "6", "7"]);
    for (number, commands) in &kinds {
        assert!(commands.len() >= 3, "kind {number} names {commands:?}");
    }
    assert_eq!(missing(FIELD_CASES), BTreeSet::new());
}

/// The commands of a page whose tests do not exist.
fn missing(page: &str) -> BTreeSet<&str> {
    commands(page).into_iter().filter(|command| !is_there(command)).collect()
}

/// Texts in files that stand for a claim: "`TEXT` in `FILE`".
fn texts_in_files(page: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = page.split('`').collect();
    let triples = parts.windows(3).filter(|parts| parts[1] == " in " && parts[2].contains('/'));
    triples.map(|parts| (parts[0], parts[2])).collect()
}

#[test]
fn every_claim_of_security_md_names_tests_or_what_stands_for_them_and_each_exists() {
    let mut seen = BTreeSet::new();
    for row in EVIDENCE.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let id = cells[0];
        let Some(number) = id.strip_prefix(['W', 'A', 'L']) else { continue };
        assert!(number.parse::<u16>().is_ok() && seen.insert(id), "{id} is no number, or not the only one");
        let evidence = *cells.last().unwrap();
        let is_there = !commands(evidence).is_empty() || evidence.starts_with("no test: ");
        assert!(is_there, "{id} names no test, and nothing that stands for it: {evidence}");
    }
    assert!(seen.len() > 200, "{}", seen.len());
    assert_eq!(missing(EVIDENCE), BTreeSet::new());
    let texts = texts_in_files(EVIDENCE);
    assert!(!texts.is_empty());
    for (text, file) in texts {
        let source = std::fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_default();
        assert!(source.contains(text), "{file} has no {text}");
    }
}

#[test]
fn a_name_of_a_test_that_does_not_exist_is_found() {
    for (command, there) in [
        (
            "petsem-integration --test it structure::documents::a_name_of_a_test_that_does_not_exist_is_found",
            true,
        ),
        ("petsem-integration --test it structure::documents::a_test_that_was_removed", false),
        // A test, but in another file; and a function that is not a test.
        ("petsem-integration --test it attacks::names::a_name_of_a_test_that_does_not_exist_is_found", false),
        ("petsem-integration --test it structure::documents::is_there", false),
    ] {
        assert_eq!(is_there(command), there, "{command}");
    }
}
