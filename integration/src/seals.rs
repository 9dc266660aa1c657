//! Seals as operators use them: configurations with them, commands on the node, and their output.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::dev::flyv1;
use crate::http::{Answer, Request};
use crate::installation::{CONFIGURATION, Installation};
use crate::server::{Ended, Server, petsem, run};

/// The seal of the test configuration.
pub const KEY_FILE: &str = "[[seal]]\nkind = \"key-file\"\npath = \"seal.key\"\n";
/// A second one.
pub const SECOND_KEY_FILE: &str = "[[seal]]\nkind = \"key-file\"\npath = \"second.key\"\n";

/// The test configuration with these seals.
///
/// # Panics
/// Never: the test configuration has a seal, and an audit log after it.
pub fn configuration(seals: &str) -> String {
    let (before, rest) = CONFIGURATION.split_once("[[seal]]").expect("it has a seal");
    let (_, audit) = rest.split_once("[audit]").expect("it has an audit log");
    format!("{before}{seals}\n[audit]{audit}")
}

/// A configured installation with these seals, before `init`.
pub fn configured(seals: &str) -> Installation {
    let installation = Installation::configured();
    installation.configure(&configuration(seals));
    installation
}

/// A file that no other user can read.
///
/// # Panics
/// If it cannot be written.
pub fn private(installation: &Installation, name: &str, content: &str) -> PathBuf {
    let path = installation.path(name);
    std::fs::write(&path, content).expect("a file can be written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode can be set");
    path
}

/// `petsem operator …` with the configuration, and these flags with files.
pub fn operator(installation: &Installation, arguments: &[&str], files: &[(&str, &Path)]) -> Ended {
    let arguments: Vec<&str> = ["operator"].into_iter().chain(arguments.iter().copied()).collect();
    let mut command = installation.with_configuration(&arguments);
    for (flag, file) in files {
        command.arg(flag).arg(file);
    }
    run(command)
}

/// The output of a command that succeeded.
///
/// # Panics
/// If it failed.
pub fn done(ended: &Ended) -> &str {
    assert!(ended.status.success(), "{}", ended.printed);
    &ended.printed
}

/// Asserts that a command failed with exit status 1 and these texts.
///
/// # Panics
/// If it did not.
pub fn refused(ended: &Ended, texts: &[&str]) {
    assert_eq!(ended.status.code(), Some(1), "{}", ended.printed);
    for text in texts {
        assert!(ended.printed.contains(text), "{:?} does not say {text:?}", ended.printed);
    }
    assert!(!ended.printed.contains("panicked"), "{}", ended.printed);
}

/// `petsem operator init` with these flags.
pub fn init(installation: &Installation, files: &[(&str, &Path)]) -> Ended {
    let out = installation.path("operator.token");
    let files: Vec<(&str, &Path)> = files.iter().copied().chain([("--out", out.as_path())]).collect();
    operator(installation, &["init", "--operator", "kim@example.com"], &files)
}

/// `petsem operator status`.
///
/// # Panics
/// If it does not show the state of the node.
pub fn status(installation: &Installation) -> Value {
    let ended = operator(installation, &["status", "--json"], &[]);
    // Libraries of devices print to standard error, and so does the command if the node is not ready: between these lines.
    let lines =
        ended.printed.lines().filter(|line| !line.starts_with("error: ") && !line.starts_with("hint: "));
    let printed = lines.collect::<Vec<_>>().join("\n");
    let (_, json) = printed.split_at(printed.find("{\n").unwrap_or_default());
    let status: Value =
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {}", ended.printed));
    let (state, ready) = (status.get("state").and_then(Value::as_str), status.get("ready"));
    let code = match (state, ready.and_then(Value::as_bool)) {
        (Some("open"), Some(true)) => 0,
        (Some("open"), _) => 1,
        _ => 2,
    };
    assert_eq!(ended.status.code(), Some(code), "{}", ended.printed);
    status
}

/// The seals of the store, as shown by `petsem operator status`.
///
/// # Panics
/// If it has none.
pub fn seals(installation: &Installation) -> Vec<Value> {
    let status = status(installation);
    let seals = status.pointer("/store/seals").and_then(Value::as_array);
    seals.expect("a store has seals").clone()
}

/// The id of the seal whose description ends with this.
///
/// # Panics
/// If there is none.
pub fn id_of(installation: &Installation, name: &str) -> String {
    let text = |seal: &Value, field: &str| seal.get(field).and_then(Value::as_str).map(str::to_owned);
    let is_meant = |seal: &Value| text(seal, "description").is_some_and(|text| text.ends_with(name));
    let found = seals(installation).into_iter().find(is_meant);
    found.and_then(|seal| text(&seal, "id")).expect("the store has this seal")
}

/// Replaces the first operator's token by a new one: `petsem operator recover`.
///
/// # Panics
/// If it cannot be minted.
pub fn recover(installation: &Installation) {
    let out = installation.path("operator.token");
    std::fs::remove_file(&out).expect("there is a first token");
    done(&operator(installation, &["recover", "--operator", "kim@example.com"], &[("--out", &out)]));
}

/// The orgs, requested with the first operator's token.
pub fn orgs(installation: &Installation, server: &Server) -> Answer {
    let token = installation.operator();
    Request::new("GET", "/v1/orgs").authorization(&flyv1(&token)).send(server.address())
}

/// A request without a token.
pub fn get(server: &Server, path: &str) -> Answer {
    Request::new("GET", path).send(server.address())
}

/// Asserts that a server is sealed, says so and is healthy.
///
/// # Panics
/// If it is not.
pub fn assert_sealed(installation: &Installation, server: &Server) {
    let answer = orgs(installation, server);
    assert_eq!(answer.outcome(), (503, "sealed".to_owned()), "{}", answer.text());
    assert_eq!(get(server, "/healthz").status, 200);
}

/// Asserts that a server without orgs is open.
///
/// # Panics
/// If it is not.
pub fn assert_open(installation: &Installation, server: &Server) {
    let answer = orgs(installation, server);
    assert_eq!((answer.status, answer.json()), (200, json!({"orgs": []})));
}

/// `petsem operator seal`, with the first operator's token.
pub fn seal_the_server(installation: &Installation, server: &Server) -> Ended {
    let mut command = petsem(["operator", "seal", "--yes", "--endpoint"]);
    command.arg(format!("http://{}", server.address()));
    command.arg("--token-file").arg(installation.path("operator.token"));
    run(command)
}
