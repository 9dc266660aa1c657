//! The operator's commands on errors: each says what happened and what to do, exits with a nonzero status,
//! and changes nothing.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use petsem_integration::dev::{audit_log, flyv1};
use petsem_integration::http::Request;
use petsem_integration::installation::Installation;
use petsem_integration::seals::{
    KEY_FILE, assert_sealed, configuration, configured, done, id_of, init, operator, private, refused,
    seal_the_server, seals, status,
};
use petsem_integration::server::{Ended, Server, petsem, run};
use serde_json::{Value, json};

/// Commands that open the store beside a running server.
const BESIDE_A_SERVER: &[&[&str]] = &[
    &["seal", "list"],
    &["seal", "verify"],
    &["seal", "add", "key-file"],
    &["seal", "remove", "abcd"],
    &["deny", "--host", "host-9", "--unknown"],
    &["recover", "--operator", "kim@example.com"],
    &["owner", "--org", "acme", "--owner", "grace@example.com"],
    &["approve", "00000000-0000-7000-8000-000000000000"],
    &["audit", "verify"],
];

/// Commands that open the store only while no server holds it.
const WITHOUT_A_SERVER: &[&[&str]] =
    &[&["rotate-root"], &["seal", "remove", "--compromised", "--yes", "abcd"], &["verify"], &["node", "add"]];

/// Commands that use the server.
const OVER_THE_API: &[&[&str]] = &[&["seal", "--yes"], &["rotate-keyring"], &["rotate-app", "shop"]];

/// A command on the node; a token goes to a file that does not exist yet.
fn on_the_node(installation: &Installation, arguments: &[&str]) -> Ended {
    let token = installation.path("made.token");
    let makes_one = matches!(arguments.first(), Some(&("recover" | "owner")));
    let files: &[(&str, &Path)] = if makes_one { &[("--out", &token)] } else { &[] };
    operator(installation, arguments, files)
}

fn over_the_api(installation: &Installation, endpoint: &str, arguments: &[&str]) -> Ended {
    let mut command = petsem(["operator"].iter().chain(arguments));
    command.arg("--endpoint").arg(endpoint).arg("--token-file").arg(installation.path("operator.token"));
    run(command)
}

fn endpoint(server: &Server) -> String {
    format!("http://{}", server.address())
}

/// Names of all files except those that SQLite creates and removes.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false if path.to_str().unwrap().ends_with("-wal") || path.to_str().unwrap().ends_with("-shm") => {
            }
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// State that a refused command must not change: files, and the store's keys and seals as `status` shows
/// them.
fn state(installation: &Installation) -> (Vec<PathBuf>, BTreeMap<String, String>) {
    let store = status(installation)["store"].as_object().unwrap().clone();
    // Whether MACs could be checked depends on the available seals.
    let store = store.into_iter().filter(|(name, _)| name != "checked");
    let store = store.map(|(name, value)| (name, value.to_string())).collect();
    (files(installation.directory.path()), store)
}

#[test]
fn every_command_without_a_store_says_how_to_create_one_and_creates_nothing() {
    let installation = Installation::configured();
    for arguments in BESIDE_A_SERVER.iter().chain(WITHOUT_A_SERVER).chain([&["status"].as_slice()]) {
        let ended = on_the_node(&installation, arguments);
        refused(
            &ended,
            &["there is no installation to serve", "hint: create one with `petsem operator init --config "],
        );
    }
    let unseal = operator(&installation, &["unseal"], &[]);
    refused(&unseal, &["no server runs on this node", "hint: start one with `petsem server --config "]);
    assert_eq!(files(installation.directory.path()), [installation.configuration()]);
}

#[test]
fn every_command_names_the_invalid_configuration_key_and_changes_nothing() {
    let installation = Installation::made();
    let before = state(&installation);
    let good = configuration(KEY_FILE);
    let init: &[&str] = &["init", "--operator", "kim", "--out", "made.token"];
    let all = || {
        let others = [["status"].as_slice(), &["unseal"], init];
        BESIDE_A_SERVER.iter().chain(WITHOUT_A_SERVER).copied().chain(others)
    };
    // 2 is what `status` says of a node that is sealed or stopped.
    let code = |arguments: &[&str]| if arguments == ["status"] { 1 } else { 2 };
    for (bad, texts) in [
        (good.replace("path = ", "pth = "), ["unknown field `pth`", "hint: `petsem config reference`"]),
        (
            good.replace("kind = \"key-file\"", "kind = \"paper\""),
            ["paper", "hint: `petsem config reference`"],
        ),
    ] {
        installation.configure(&bad);
        for arguments in all() {
            let ended = on_the_node(&installation, arguments);
            assert_eq!(ended.status.code(), Some(code(arguments)), "{arguments:?}: {}", ended.printed);
            for text in texts {
                assert!(ended.printed.contains(text), "{arguments:?}: {}", ended.printed);
            }
        }
    }
    std::fs::remove_file(installation.configuration()).unwrap();
    for arguments in all() {
        let ended = on_the_node(&installation, arguments);
        assert_eq!(ended.status.code(), Some(code(arguments)), "{arguments:?}: {}", ended.printed);
        assert!(ended.printed.contains("hint: check the path and its permissions"), "{}", ended.printed);
    }
    installation.configure(&good);
    assert_eq!(state(&installation), before);
}

#[test]
fn every_command_names_the_unavailable_seal_and_what_to_do_and_changes_nothing() {
    let (installation, other) = (Installation::made(), Installation::made());
    let (key, away) = (installation.path("seal.key"), installation.path("away.key"));
    let right = std::fs::read(&key).unwrap();
    let another = std::fs::read(other.path("seal.key")).unwrap();
    let put = |bytes: &[u8], mode: u32| {
        std::fs::write(&key, bytes).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let wrong: [(&dyn Fn(), [&str; 2]); 4] = [
        (&|| std::fs::rename(&key, &away).unwrap(), ["there is no key file", "give the path of the one"]),
        (
            &|| put(&another, 0o600),
            ["does not open the root key", "give the seal that this store was made with"],
        ),
        (&|| put(b"half a key\n", 0o600), ["is not a whole petsem key file", "put it back from your backup"]),
        (&|| put(&right, 0o644), ["has mode 0644", "chmod 600"]),
    ];
    let mut server = None;
    for is_running in [false, true] {
        if is_running {
            let running = installation.start().unwrap();
            done(&seal_the_server(&installation, &running));
            server = Some(running);
        }
        for (spoil, texts) in wrong {
            spoil();
            let before = state(&installation);
            let unseal: &[&[&str]] = if is_running { &[&["unseal"]] } else { WITHOUT_A_SERVER };
            for arguments in BESIDE_A_SERVER.iter().chain(unseal) {
                let ended = on_the_node(&installation, arguments);
                refused(&ended, &["none of the tried seals opens the store", "seal.key", texts[0], texts[1]]);
                refused(
                    &ended,
                    &["hint: correct that and try again, or configure another seal of this store"],
                );
                assert_eq!(state(&installation), before, "{arguments:?}");
            }
            let shown = operator(&installation, &["status"], &[]);
            assert_eq!(shown.status.code(), Some(2), "{}", shown.printed);
            if !is_running {
                assert!(
                    shown.printed.contains(texts[0]) && shown.printed.contains(texts[1]),
                    "{}",
                    shown.printed
                );
            }
            let _gone = std::fs::remove_file(&away);
            put(&right, 0o600);
        }
    }
    let server = server.unwrap();
    done(&operator(&installation, &["unseal"], &[]));
    assert_eq!(server.stop().status.code(), Some(0));
    done(&operator(&installation, &["verify"], &[]));
}

#[test]
fn commands_that_need_a_stopped_server_say_so_while_one_is_open_or_sealed() {
    let installation = Installation::made();
    let server = installation.start().unwrap();
    for is_sealed in [false, true] {
        if is_sealed {
            done(&seal_the_server(&installation, &server));
        }
        let before = state(&installation);
        for arguments in WITHOUT_A_SERVER {
            let ended = on_the_node(&installation, arguments);
            refused(&ended, &["nothing was changed", "hint: stop it"]);
        }
        let again = operator(
            &installation,
            &["init", "--operator", "kim"],
            &[("--out", &installation.path("made.token"))],
        );
        let texts = ["there is an installation in", "nothing was changed", "petsem operator recover"];
        refused(&again, &texts);
        assert_eq!(state(&installation), before);
    }
}

#[test]
fn a_sealed_server_changes_no_seal_rotates_nothing_and_names_the_command_that_unseals() {
    let installation = Installation::made();
    let server = installation.start().unwrap();
    done(&seal_the_server(&installation, &server));
    installation
        .configure(&configuration(&format!("{KEY_FILE}[[seal]]\nkind = \"key-file\"\npath = \"new.key\"\n")));
    let first = id_of(&installation, "seal.key");
    let before = seals(&installation);
    for arguments in [["seal", "verify"].as_slice(), &["seal", "add", "key-file"]] {
        let ended = operator(&installation, arguments, &[]);
        refused(
            &ended,
            &["the server is sealed", "hint: unseal it first with `petsem operator unseal --config "],
        );
    }
    refused(
        &operator(&installation, &["seal", "remove", &first], &[]),
        &["last seal", "nothing was changed"],
    );
    assert_eq!(seals(&installation), before);
    // This opens the store itself, and changes nothing.
    done(&operator(&installation, &["seal", "list"], &[]));
    for arguments in OVER_THE_API {
        let ended = over_the_api(&installation, &endpoint(&server), arguments);
        assert_eq!(ended.status.code(), Some(3), "{arguments:?}: {}", ended.printed);
        for text in ["this server is sealed", "`petsem operator unseal` opens it", "`petsem operator status`"]
        {
            assert!(ended.printed.contains(text), "{arguments:?}: {}", ended.printed);
        }
    }
    assert_sealed(&installation, &server);
    done(&operator(&installation, &["unseal"], &[]));
    done(&operator(&installation, &["seal", "add", "key-file"], &[]));
    assert_eq!(seals(&installation).len(), 2);
}

#[test]
fn commands_to_a_server_report_a_missing_server_an_invalid_token_and_an_unknown_app() {
    let installation = Installation::made();
    refused(
        &operator(&installation, &["unseal"], &[]),
        &["no server runs on this node", "`petsem server --config "],
    );
    let server = installation.start().unwrap();
    let there = endpoint(&server);
    let nowhere = over_the_api(&installation, &there, &["rotate-app", "nowhere"]);
    refused(&nowhere, &["there is no such app; list the apps with `petsem app list`"]);
    let open = operator(&installation, &["unseal"], &[]);
    assert!(done(&open).starts_with("the server is already unsealed: key file "), "{}", open.printed);
    let kept = std::fs::read(installation.path("operator.token")).unwrap();
    private(&installation, "operator.token", "garbage");
    for arguments in OVER_THE_API {
        let ended = over_the_api(&installation, &there, arguments);
        refused(&ended, &["examine the token with `petsem token inspect`"]);
    }
    std::fs::remove_file(installation.path("operator.token")).unwrap();
    for arguments in OVER_THE_API {
        let ended = over_the_api(&installation, &there, arguments);
        assert_eq!(ended.status.code(), Some(2), "{}", ended.printed);
        assert!(ended.printed.contains("hint: check the path and its permissions"), "{}", ended.printed);
    }
    private(&installation, "operator.token", std::str::from_utf8(&kept).unwrap());
    assert_eq!(status(&installation)["state"], "open");
    assert_eq!(server.stop().status.code(), Some(0));
    for arguments in OVER_THE_API {
        let ended = over_the_api(&installation, &there, arguments);
        assert_eq!(ended.status.code(), Some(3), "{arguments:?}: {}", ended.printed);
        assert!(
            ended.printed.contains("Check that petsem runs and that the endpoint is right"),
            "{}",
            ended.printed
        );
    }
    assert_eq!(status(&installation)["store"]["keyring_version"], 1);
}

#[test]
fn an_operator_without_tokens_creates_one_on_the_node_and_the_audit_log_has_a_line() {
    let installation = Installation::made();
    let lost = installation.operator();
    let out = installation.path("new.token");
    let made = operator(&installation, &["recover", "--operator", "ada@example.com"], &[("--out", &out)]);
    assert!(done(&made).contains("the operator's token is in "), "{}", made.printed);
    let mode = std::fs::metadata(&out).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let token = std::fs::read_to_string(&out).unwrap().trim().to_owned();
    assert!(!made.printed.contains(&token) && token != lost);
    let again = operator(&installation, &["recover", "--operator", "ada@example.com"], &[("--out", &out)]);
    assert_eq!(again.status.code(), Some(2), "{}", again.printed);
    assert!(
        again.printed.contains("already exists; not overwritten")
            && again.printed.contains("hint: name a file")
    );
    assert_eq!(std::fs::read_to_string(&out).unwrap().trim(), token);
    let server = installation.start().unwrap();
    let orgs = Request::new("GET", "/v1/orgs").authorization(&flyv1(&token)).send(server.address());
    assert_eq!(orgs.status, 200, "{}", orgs.text());
    server.stop();
    let log = audit_log(&installation.path("data/audit"));
    let recovered: Vec<&str> = log.lines().filter(|line| line.contains("operator.recover")).collect();
    assert_eq!(recovered.len(), 1, "{log}");
    assert!(recovered[0].contains("ada@example.com") && !log.contains(&token), "{log}");
}

#[test]
fn tokens_and_approvals_of_the_node_are_made_by_the_server_that_runs() {
    let installation = Installation::made();
    let server = installation.start().unwrap();
    let call = |token: &str, method: &str, target: &str, body: Option<&Value>| {
        let request = Request::new(method, target).authorization(&flyv1(token));
        body.into_iter().fold(request, Request::json).send(server.address())
    };
    let first = installation.operator();
    assert_eq!(call(&first, "POST", "/v1/orgs", Some(&json!({"name": "acme"}))).status, 201);
    let owner = installation.owner("acme");
    assert_eq!(call(&owner, "GET", "/v1/apps?org=acme", None).json(), json!({"apps": []}));
    let out = installation.path("new.token");
    done(&operator(&installation, &["recover", "--operator", "ada@example.com"], &[("--out", &out)]));
    let recovered = std::fs::read_to_string(&out).unwrap().trim().to_owned();
    assert_eq!(call(&recovered, "GET", "/v1/orgs", None).status, 200);

    // A registration of keys: the seal replaces the person, who still repeats the digest.
    let wanted =
        json!({"location": "https://auth.example", "key": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="});
    let waits = call(&first, "POST", "/v1/dischargers", Some(&wanted));
    let (request, digest) = (waits.field("id"), waits.field("key_digest"));
    let known = || call(&first, "GET", "/v1/dischargers", None).text().matches("auth.example").count();
    let without = operator(&installation, &["approve", &request], &[]);
    refused(&without, &["key_digest"]);
    assert_eq!(known(), 0);
    done(&operator(&installation, &["approve", &request, "--key-digest", &digest], &[]));
    assert_eq!(known(), 1);

    done(&seal_the_server(&installation, &server));
    let again = installation.path("again.token");
    let sealed = operator(&installation, &["recover", "--operator", "ada@example.com"], &[("--out", &again)]);
    refused(&sealed, &["the server is sealed"]);
    assert!(!again.exists());
    server.stop();
    let lines = audit_log(&installation.path("data/audit"));
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let made: Vec<_> = lines
        .filter(|line| line["source"].as_str().is_some_and(|source| source.starts_with("operator.sock uid ")))
        .map(|line| {
            (line["action"].as_str().unwrap().to_owned(), line["outcome"].as_str().unwrap().to_owned())
        })
        .collect();
    let expected = ["operator.owner", "operator.recover", "approval.approve"];
    assert_eq!(made, expected.map(|action| (action.to_owned(), "allowed".to_owned())));
}

#[test]
fn a_token_created_on_the_node_names_its_holder_and_has_the_usual_longest_life() {
    let installation = Installation::made();
    let out = installation.path("eve.token");
    for (arguments, text) in [
        (&["recover", "--operator", ""][..], "must be 1 to 256 bytes"),
        (&["recover", "--operator", "  "], "must be 1 to 256 bytes"),
        (&["recover", "--operator", "eve", "--expires-in", "367d"], "366 days"),
    ] {
        let made = operator(&installation, arguments, &[("--out", &out)]);
        assert!(!made.status.success() && made.printed.contains(text), "{arguments:?}: {}", made.printed);
        assert!(!out.exists(), "{arguments:?}");
    }
}

#[test]
fn an_init_without_a_passphrase_or_a_directory_for_shares_names_the_flag_and_creates_nothing() {
    let installation = configured("[[seal]]\nkind = \"passphrase\"\n");
    let ended = init(&installation, &[]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.printed);
    assert!(
        ended.printed.contains("hint: give the new passphrase with --passphrase-file FILE"),
        "{}",
        ended.printed
    );
    assert_eq!(files(installation.directory.path()), [installation.configuration()]);
    installation.configure(&configuration("[[seal]]\nkind = \"shamir\"\nthreshold = 2\nshares = 3\n"));
    let ended = init(&installation, &[("--shares-directory", &installation.path("nowhere"))]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.printed);
    assert!(ended.printed.contains("hint: create it first") && ended.printed.contains("nothing was changed"));
    assert_eq!(files(installation.directory.path()), [installation.configuration()]);
    // A passphrase that is too short is detected when it is used: the store exists, but is empty.
    installation.configure(&configuration("[[seal]]\nkind = \"passphrase\"\n"));
    let short = private(&installation, "short", "short");
    let ended = init(&installation, &[("--passphrase-file", &short)]);
    refused(&ended, &["5 characters"]);
    assert!(!installation.path("operator.token").exists());
    refused(
        &installation.start().unwrap_err(),
        &["there is no installation to serve", "petsem operator init"],
    );
    installation.configure(&configuration(KEY_FILE));
    done(&init(&installation, &[]));
    // Beside a running server: the same error, and no seal is added.
    let made = Installation::made();
    let server = made.start().unwrap();
    let ended = operator(&made, &["seal", "add", "passphrase"], &[]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.printed);
    assert!(ended.printed.contains("--new-passphrase-file FILE"), "{}", ended.printed);
    assert_eq!(seals(&made).len(), 1);
    drop(server);
}
