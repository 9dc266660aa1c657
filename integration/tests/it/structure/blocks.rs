//! Every fenced block of every Markdown file of the repository is run or compared by a test, or is not a command.
//!
//! A new block that no row of [`COVERED`] names fails here. What cannot run inside a test, because it builds for minutes
//! or needs root, is **checked and not run**: every package, target, filter, option, case, step, script and path that
//! its commands name exists (`commands.rs`). `.ci/run` and `integration/soak` run most of these commands themselves.

use std::path::{Path, PathBuf};

use petsem_integration::page::{Block, blocks};

use super::documents::is_there;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../");

enum Covered {
    /// These tests find all blocks of the language by themselves, and run or compare them.
    By(&'static [&'static str]),
    /// The blocks with these first lines, and no others, are no commands: why.
    NoCommands(&'static [&'static str], &'static str),
}

use Covered::{By, NoCommands};

/// Each file that has blocks, their language, and what covers them.
const COVERED: &[(&str, &str, Covered)] = &[
    (
        "README.md",
        "sh",
        By(&[
            "petsem-integration --test it structure::readme::every_command_block_of_the_readme_works_as_written_in_order",
            "petsem-integration --test it structure::readme::the_block_of_a_workload_that_passes_its_access_on_works_as_written",
            // The first block: `demo/run` and `./test`.
            NAMED,
        ]),
    ),
    ("README.md", "console", By(&[NAMED])),
    (
        "docs/copies.md",
        "sh",
        By(&[
            "petsem-integration --test it lifecycle::copies::a_copy_that_was_made_as_the_document_says_starts_on_another_machine",
            "petsem-integration --test it lifecycle::copies::an_older_database_is_accepted_as_the_document_says",
        ]),
    ),
    (
        "docs/issuers.md",
        "json",
        By(&[
            "petsem-policy --test issuers the_jwts_of_each_issuer_read_by_the_registration_and_the_rule_of_the_page",
            "petsem --bin petsem commands::issuer::tests::the_registrations_of_the_page_about_issuers_parse",
        ]),
    ),
    ("docs/discharger.md", "sh", By(&[DISCHARGER])),
    ("docs/discharger.md", "json", By(&[DISCHARGER])),
    (
        "docs/discharger.md",
        "text",
        By(&["petsem-policy --test api discharger::the_document_shows_the_bytes_of_the_vectors"]),
    ),
    (
        "docs/formats.md",
        "text",
        NoCommands(
            &[
                "key-file    wrap",
                "content = 02 ‖ epoch u64 ‖ change u64 ‖ JSON",
                "bundle = 02 ‖ list u32 ‖ count u32 ‖ secret…",
                r#"{"n":12,"node":"…",…,"chain":"…","mac":"…"}"#,
            ],
            "layouts of bytes; the vectors of `keys`, `seals` and `audit` hold them",
        ),
    ),
    (
        "ARCHITECTURE.md",
        "text",
        NoCommands(
            &["   cli ──► server ──► engine ──► keys, policy, store, audit, api"],
            "a diagram; `structure::layers` holds the arrows",
        ),
    ),
    ("CONTRIBUTING.md", "sh", By(&[NAMED])),
    ("docs/performance.md", "sh", By(&[NAMED])),
    ("packaging/README.md", "console", By(&[NAMED])),
];
const DISCHARGER: &str = "petsem-integration --test it features::discharger_page::every_block_of_the_page_works_as_written_in_order_up_to_a_boot_and_its_revocation";
const NAMED: &str =
    "petsem-integration --test it structure::commands::what_commands_that_no_test_can_run_name_exists";

/// The Markdown files of the repository, by their paths.
fn pages() -> Vec<String> {
    fn collect(directory: &Path, pages: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            // What git ignores or keeps for itself; a link may lead out of the repository.
            if path.is_symlink() || ["target", "petsem-dev", ".git"].contains(&name) {
                continue;
            }
            if path.is_dir() {
                collect(&path, pages);
            } else if name.ends_with(".md") {
                pages.push(path);
            }
        }
    }
    let mut pages = Vec::new();
    collect(Path::new(ROOT), &mut pages);
    pages.iter().map(|page| page.strip_prefix(ROOT).unwrap().to_str().unwrap().to_owned()).collect()
}

/// The first lines of the blocks of a file that no row covers, and those of rows that are no longer there.
fn uncovered(file: &str, blocks: &[Block<'_>]) -> Vec<String> {
    let mut wrong = Vec::new();
    for block in blocks {
        let row = COVERED.iter().find(|(page, language, _)| (*page, *language) == (file, block.language));
        let is_covered = match row {
            None => false,
            Some((_, _, By(_))) => true,
            Some((_, _, NoCommands(first_lines, _))) => first_lines.contains(&block.first_line()),
        };
        if !is_covered {
            wrong.push(format!("{file} ({}): {}", block.language, block.first_line()));
        }
    }
    for (_, language, covered) in COVERED.iter().filter(|(page, ..)| *page == file) {
        let of_the_language = || blocks.iter().filter(|block| block.language == *language);
        let is_complete = match covered {
            By(_) => of_the_language().next().is_some(),
            NoCommands(first_lines, _) => {
                first_lines.iter().all(|line| of_the_language().any(|block| block.first_line() == *line))
            }
        };
        if !is_complete {
            wrong.push(format!("{file} has no longer what a row of {language} covers"));
        }
    }
    wrong
}

#[test]
fn every_block_of_every_page_is_run_or_compared_by_a_test_or_is_no_command() {
    let pages = pages();
    assert!(pages.iter().any(|page| page == "packaging/README.md"), "{pages:?}");
    let read = |page: &String| std::fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
    let wrong: Vec<String> = pages.iter().flat_map(|page| uncovered(page, &blocks(&read(page)))).collect();
    assert_eq!(wrong, Vec::<String>::new(), "name the test that runs or compares it, in COVERED");
    for (page, _, covered) in COVERED {
        assert!(pages.iter().any(|there| there == page), "{page}");
        match covered {
            By(tests) => tests.iter().for_each(|test| assert!(is_there(test), "{page}: there is no {test}")),
            NoCommands(_, why) => assert_ne!(*why, "", "{page}"),
        }
    }
}

#[test]
fn a_block_that_no_row_covers_is_found() {
    let page = "# P\n\n```sh\nls\n```\n\n- in a list:\n  ~~~\n  a\n  ~~~\n";
    assert_eq!(
        uncovered("docs/caveats.md", &blocks(page)),
        ["docs/caveats.md (sh): ls", "docs/caveats.md ():   a"]
    );
    // A file whose diagram is known, and another block beside it; and one whose diagram is gone.
    let page =
        "```text\n   cli ──► server ──► engine ──► keys, policy, store, audit, api\n```\n```text\nrm\n```\n";
    assert_eq!(uncovered("ARCHITECTURE.md", &blocks(page)), ["ARCHITECTURE.md (text): rm"]);
    assert_eq!(
        uncovered("ARCHITECTURE.md", &[]),
        ["ARCHITECTURE.md has no longer what a row of text covers"]
    );
}
