//! What `petsem config check` and `petsem operator init` find before anything is created.

use petsem_integration::installation::{CONFIGURATION, Installation};
use petsem_integration::server::{Ended, petsem, run};

fn check(installation: &Installation) -> Ended {
    let mut command = petsem(["config", "check"]);
    command.arg(installation.configuration()).current_dir(installation.directory.path());
    run(command)
}

fn files(installation: &Installation) -> Vec<String> {
    let entries = std::fs::read_dir(installation.directory.path()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_configuration_that_cannot_work_is_refused_before_anything_is_created() {
    let listener = |address: &str| format!("\n[[listener]]\naddress = \"{address}\"\nhost = \"other\"\n");
    let twice = |address: &str| format!("{}{}", listener(address), listener(address));
    for (added, replaced, said) in [
        (twice("127.0.0.1:8300"), None, "two listeners have this address"),
        (twice("unix:twice.sock"), None, "two listeners have this address"),
        (listener("unix:~/petsem.sock"), None, "`~` is not replaced here"),
        (
            String::new(),
            Some(("data_directory = \"data\"", "data_directory = \"~/data\"")),
            "`~` is not replaced here",
        ),
        (String::new(), Some(("\"seal.key\"", "\"~/seal.key\"")), "`~` is not replaced here"),
    ] {
        let installation = Installation::configured();
        let mut text = CONFIGURATION.to_owned();
        if let Some((from, to)) = replaced {
            assert!(text.contains(from), "{text}");
            text = text.replace(from, to);
        }
        installation.configure(&format!("{text}{added}"));
        for ended in [check(&installation), installation.init()] {
            assert_eq!(ended.status.code(), Some(2), "{said}: {}", ended.printed);
            assert!(ended.printed.contains(said), "{said}: {}", ended.printed);
        }
        assert_eq!(files(&installation), ["petsem.toml"], "{said}");
    }
}

#[test]
fn a_key_file_in_a_missing_directory_is_noted_and_nothing_is_created() {
    let installation = Installation::configured();
    installation.configure(&CONFIGURATION.replace("\"seal.key\"", "\"no/such/seal.key\""));
    let checked = check(&installation);
    assert!(checked.status.success(), "{}", checked.printed);
    assert!(checked.printed.contains("create it before `petsem operator init`"), "{}", checked.printed);
    let ended = installation.init();
    assert_eq!(ended.status.code(), Some(2), "{}", ended.printed);
    assert!(ended.printed.contains("there is no directory"), "{}", ended.printed);
    assert_eq!(files(&installation), ["petsem.toml"]);
}

#[test]
fn listeners_on_free_ports_and_a_missing_directory_of_a_socket_are_no_errors() {
    let installation = Installation::configured();
    let free = "\n[[listener]]\naddress = \"127.0.0.1:0\"\nhost = \"other\"\n";
    let socket = "\n[[listener]]\naddress = \"unix:run/petsem.sock\"\nhost = \"third\"\n";
    installation.configure(&format!("{CONFIGURATION}{free}{free}{socket}"));
    let checked = check(&installation);
    assert!(checked.status.success(), "{}", checked.printed);
    assert!(checked.printed.contains("create it before the server starts"), "{}", checked.printed);
}
