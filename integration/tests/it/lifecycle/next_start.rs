//! A node that is open says in time that its next start will need people.

use petsem_integration::installation::Installation;
use petsem_integration::seals::{KEY_FILE, configuration, done, id_of, operator, status};
use serde_json::{Value, json};

use crate::lifecycle::seals::BY_SHARES;

/// The warnings of a node that is ready.
fn warnings(installation: &Installation) -> Vec<String> {
    let seen = status(installation);
    assert_eq!((&seen["state"], &seen["ready"]), (&json!("open"), &json!(true)), "{seen}");
    let text = |warning: &Value| warning.as_str().unwrap().to_owned();
    seen["warnings"].as_array().unwrap().iter().map(text).collect()
}

#[test]
fn an_open_node_warns_when_no_seal_would_open_its_next_start_by_itself() {
    let installation = Installation::made();
    let server = installation.start().unwrap();
    assert_eq!(warnings(&installation), [""; 0]);
    let (key, away) = (installation.path("seal.key"), installation.path("away.key"));
    std::fs::rename(&key, &away).unwrap();
    let shown = operator(&installation, &["status"], &[]);
    for text in
        ["READY: open since ", "\nwarning     no seal of the configuration opens", "there is no key file "]
    {
        assert!(done(&shown).contains(text), "{text}: {}", shown.printed);
    }
    assert_eq!(warnings(&installation).len(), 1);
    std::fs::rename(&away, &key).unwrap();
    assert_eq!(warnings(&installation), [""; 0]);

    // Its removal is confirmed with `--yes`, and said all the same.
    let directory = installation.path("shares");
    std::fs::create_dir(&directory).unwrap();
    let add = ["seal", "add", "shamir", "--threshold", "2", "--shares", "3"];
    done(&operator(&installation, &add, &[("--shares-directory", &directory)]));
    let (one, two) = (directory.join("share-1"), directory.join("share-2"));
    let shares = [("--share-file", one.as_path()), ("--share-file", two.as_path())];
    done(&operator(&installation, &["seal", "verify"], &shares));
    let removed =
        operator(&installation, &["seal", "remove", "--yes", &id_of(&installation, "seal.key")], &[]);
    let note = format!("note: key file {} is the only seal that opens the store by itself", key.display());
    assert!(done(&removed).contains(&note), "{}", removed.printed);
    let [warning] = &warnings(&installation)[..] else { panic!("{:?}", warnings(&installation)) };
    assert!(warning.contains("the store has no seal of kind key-file"), "{warning}");
    // Without an entry for a seal that opens by itself, people are meant to come.
    installation.configure(&configuration(BY_SHARES));
    assert_eq!(warnings(&installation), [""; 0]);
    assert!(server.stop().status.success());
}

#[test]
fn the_removal_of_a_compromised_seal_says_that_no_other_opens_by_itself() {
    let installation = Installation::configured();
    installation.configure(&configuration(&format!("{KEY_FILE}{BY_SHARES}")));
    let directory = installation.path("shares");
    std::fs::create_dir(&directory).unwrap();
    done(&petsem_integration::seals::init(&installation, &[("--shares-directory", &directory)]));
    let (one, two) = (directory.join("share-1"), directory.join("share-2"));
    let shares = [("--share-file", one.as_path()), ("--share-file", two.as_path())];
    let key = id_of(&installation, "seal.key");
    let removed = operator(&installation, &["seal", "remove", "--compromised", "--yes", &key], &shares);
    let note =
        "note: no seal of the configuration opens the store by itself now, so the next start will wait";
    assert!(done(&removed).contains(note), "{}", removed.printed);
}
