//! `petsem operator seal verify`: a seal that was not tried is not taken for one that failed.

use std::path::Path;

use petsem_integration::installation::Installation;
use petsem_integration::seals::{
    KEY_FILE, SECOND_KEY_FILE, configuration, configured, done, init, operator, private, refused,
};
use petsem_integration::server::{Ended, petsem};
use serde_json::Value;

use crate::lifecycle::seals::{BY_SHARES, passphrase_turn};
use crate::lifecycle::starts::{at_a_terminal, typed};

const PASSPHRASE: &str = "six random words make a passphrase";

/// Whether each seal was tried, and whether it opened the store, by the end of its description.
fn results(ended: &Ended) -> Vec<(String, bool, bool)> {
    // The failure is printed to standard error: before, after or between these lines.
    let is_json = |line: &&str| !line.starts_with("error: ") && !line.starts_with("hint: ");
    let json = ended.printed.lines().filter(is_json).collect::<Vec<_>>().join("\n");
    let seals: Vec<Value> = serde_json::from_str(&json).unwrap();
    let result = |seal: &Value| {
        let description = seal["seal"]["description"].as_str().unwrap();
        let name = description.rsplit(['/', ' ']).next().unwrap().to_owned();
        (name, seal["tried"].as_bool().unwrap(), seal["fault"].is_null())
    };
    let mut results: Vec<_> = seals.iter().map(result).collect();
    results.sort();
    results
}

#[test]
fn a_seal_that_was_not_tried_is_not_one_that_failed() {
    let installation = configured(&format!("{KEY_FILE}{SECOND_KEY_FILE}{BY_SHARES}"));
    let directory = installation.path("shares");
    std::fs::create_dir(&directory).unwrap();
    done(&init(&installation, &[("--shares-directory", &directory)]));
    let (one, two) = (directory.join("share-1"), directory.join("share-2"));
    let shares: [(&str, &Path); 2] = [("--share-file", &one), ("--share-file", &two)];

    // Shares, which nobody gave.
    let verified = operator(&installation, &["seal", "verify"], &[]);
    refused(&verified, &["it was not tried: type shares", "1 of the seals was not tried: it may be good"]);
    assert!(!verified.printed.contains("seal remove"), "{}", verified.printed);
    done(&operator(&installation, &["seal", "verify"], &shares));

    // A fault of the configured key file is not one of the other, which the configuration lacks now.
    installation.configure(&configuration(KEY_FILE));
    std::fs::rename(installation.path("seal.key"), installation.path("away.key")).unwrap();
    let verified = operator(&installation, &["seal", "verify", "--json"], &shares);
    let set = results(&verified).into_iter().find(|(name, ..)| !name.ends_with(".key")).unwrap();
    assert_eq!((set.1, set.2), (true, true));
    let files: Vec<_> = results(&verified).into_iter().filter(|(name, ..)| name.ends_with(".key")).collect();
    assert_eq!(files, [("seal.key".to_owned(), true, false), ("second.key".to_owned(), false, false)]);
    let shown = operator(&installation, &["seal", "verify"], &shares);
    refused(
        &shown,
        &[
            "FAILED: there is no key file ",
            "1 of the seals did not open the store; 1 of the seals was not tried",
        ],
    );
}

#[test]
fn at_a_terminal_the_passphrase_is_asked_for() {
    let _turn = passphrase_turn();
    let installation = Installation::made();
    let passphrase = private(&installation, "passphrase", PASSPHRASE);
    done(&operator(&installation, &["seal", "add", "passphrase"], &[("--new-passphrase-file", &passphrase)]));
    let program = petsem([""; 0]).get_program().to_owned();
    let command = format!(
        "{} operator seal verify --config {}",
        program.to_str().unwrap(),
        installation.configuration().display()
    );
    let verify = |text: &str| typed(at_a_terminal(&command), "leaves this seal out): ", &format!("{text}\n"));
    let (status, shown) = verify("");
    assert_eq!(status, Some(1), "{shown}");
    assert!(shown.contains("it may be good") && !shown.contains("seal remove"), "{shown}");
    let (status, shown) = verify("another six random words it is");
    assert_eq!(status, Some(1), "{shown}");
    assert!(shown.contains("FAILED: this passphrase does not open"), "{shown}");
    let (status, shown) = verify(PASSPHRASE);
    assert_eq!(status, Some(0), "{shown}");
    assert_eq!(shown.matches("opens the store").count(), 2, "{shown}");
}
