//! docs/copies.md does what it says: a copy of a stopped server starts elsewhere. What cannot start says what to do.

use std::path::{Path, PathBuf};
use std::process::Command;

use petsem_integration::dev::flyv1;
use petsem_integration::http::{Answer, Request};
use petsem_integration::installation::{CONFIGURATION, Installation};
use petsem_integration::seals::{operator, refused};
use petsem_integration::server::{Server, binary, petsem, run};
use serde_json::{Value, json};

const DOCUMENT: &str = include_str!("../../../../docs/copies.md");

const SECRETS: &str = "/v1/apps/shop/secrets";

/// The command blocks of the document.
fn blocks() -> [&'static str; 4] {
    let blocks: Vec<_> =
        DOCUMENT.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    blocks.try_into().unwrap()
}

/// A machine: the directories of the document are below its own.
struct Machine {
    root: PathBuf,
}

impl Machine {
    fn etc(&self) -> PathBuf {
        self.root.join("etc/petsem")
    }

    fn data(&self) -> PathBuf {
        self.root.join("var/lib/petsem")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = petsem(arguments);
        command.arg("--config").arg(self.etc().join("petsem.toml"));
        command
    }

    fn start(&self) -> Server {
        Server::start(self.command(&["server"])).unwrap_or_else(|ended| panic!("{}", ended.printed))
    }

    /// Runs lines of the document in the directory of the person who types them.
    fn types(&self, home: &Path, lines: &str) {
        let root = self.root.to_str().unwrap();
        let script =
            lines.replace("/etc/", &format!("{root}/etc/")).replace("/var/", &format!("{root}/var/"));
        let mut command = Command::new("bash");
        let path = format!("{}:/usr/bin:/bin", binary().parent().unwrap().display());
        command.args(["-euc", &script]).env_clear().env("PATH", path).current_dir(home);
        let ended = run(command);
        assert!(ended.status.success(), "{script}: {}", ended.printed);
    }
}

fn call(server: &Server, token: &str, method: &str, target: &str, body: &Value) -> Answer {
    let request = Request::new(method, target).authorization(&flyv1(token));
    let request = if body.is_null() { request } else { request.json(body) };
    request.send(server.address())
}

/// A machine with an installation, whose server is stopped, and the home of its operator, who has a token.
fn machine_in(directory: &Path) -> (Machine, PathBuf, String) {
    let machine = Machine { root: directory.join("machine") };
    let home = directory.join("home");
    for made in [machine.etc(), machine.root.join("var/lib"), home.join("safe")] {
        std::fs::create_dir_all(made).unwrap();
    }
    let data = format!("data_directory = {:?}", machine.data().to_str().unwrap());
    let text = CONFIGURATION.replace("data_directory = \"data\"", &data);
    std::fs::write(machine.etc().join("petsem.toml"), text).unwrap();
    let token = home.join("operator.token");
    let mut init = machine.command(&["operator", "init", "--operator", "kim@example.com"]);
    init.arg("--out").arg(&token);
    let made = run(init);
    assert!(made.status.success(), "{}", made.printed);
    let token = std::fs::read_to_string(&token).unwrap().trim().to_owned();
    (machine, home, token)
}

/// Creates the org `acme` and its app `shop`, with two secrets.
fn make_shop(server: &Server, token: &str) {
    assert_eq!(call(server, token, "POST", "/v1/orgs", &json!({"name": "acme"})).status, 201);
    assert_eq!(call(server, token, "POST", "/v1/apps", &json!({"org": "acme", "name": "shop"})).status, 201);
    set(server, token, json!({"A": "one", "B": "two"}));
}

fn set(server: &Server, token: &str, values: Value) {
    let answer = call(server, token, "POST", SECRETS, &json!({ "values": values }));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn list(server: &Server, token: &str) -> Value {
    let answer = call(server, token, "GET", SECRETS, &Value::Null);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn an_older_database_is_accepted_as_the_document_says() {
    let directory = tempfile::tempdir().unwrap();
    let (machine, home, token) = machine_in(directory.path());
    let server = machine.start();
    make_shop(&server, &token);
    let before = list(&server, &token);
    assert!(server.stop().status.success());
    let (database, nightly) = (machine.data().join("petsem.db"), home.join("nightly.db"));
    std::fs::copy(&database, &nightly).unwrap();
    let server = machine.start();
    set(&server, &token, json!({"LATER": "three"}));
    assert!(server.stop().status.success());
    std::fs::copy(&nightly, &database).unwrap();

    let [_, _, _, accept] = blocks();
    let lines: Vec<&str> = accept.lines().collect();
    let [accept, tokens @ .., start] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(*start, "systemctl start petsem");
    let desk = home.join("desk");
    std::fs::create_dir(&desk).unwrap();
    machine.types(&desk, &format!("{accept} --yes"));
    machine.types(&desk, &tokens.join("\n"));
    let server = machine.start();
    let owner = std::fs::read_to_string(desk.join("new-owner.token")).unwrap();
    let after = list(&server, owner.trim());
    assert_eq!(after["secrets"], before["secrets"]);
    assert_eq!((&before["version"], &after["version"]), (&json!(1), &json!(3)));
    assert_eq!(call(&server, &token, "GET", SECRETS, &Value::Null).status, 401);
    assert!(server.stop().status.success());
}

#[test]
fn a_copy_that_was_made_as_the_document_says_starts_on_another_machine() {
    let directory = tempfile::tempdir().unwrap();
    let (machine, home, token) = machine_in(directory.path());
    let server = machine.start();
    make_shop(&server, &token);
    let before = list(&server, &token);

    let [copy, key, start, _] = blocks();
    let lines: Vec<&str> = copy.lines().collect();
    let [stop, copy, start_again] = lines[..] else { panic!("{lines:?}") };
    assert_eq!((stop, start_again), ("systemctl stop petsem", "systemctl start petsem"));
    assert!(server.stop().status.success());
    machine.types(&home, copy);
    machine.types(&home, key);
    let server = machine.start();
    set(&server, &token, json!({"LATER": "three"}));
    assert!(server.stop().status.success());

    // The machine is lost; another one has the same paths.
    std::fs::rename(&machine.root, directory.path().join("lost")).unwrap();
    std::fs::create_dir_all(machine.root.join("var/lib")).unwrap();
    let (start, started) = start.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(started, "systemctl start petsem");
    machine.types(&home, start);
    let server = machine.start();
    assert_eq!(list(&server, &token), before);
    set(&server, &token, json!({"NEW": "four"}));
    assert!(server.stop().status.success());
    let verified = run(machine.command(&["operator", "verify"]));
    assert!(verified.status.success(), "{}", verified.printed);
}

/// An installation whose server ran and changed something, and a copy of its database from before.
fn with_older_database() -> Installation {
    let installation = Installation::made();
    std::fs::copy(installation.path("data/petsem.db"), installation.path("older.db")).unwrap();
    let server = installation.start().unwrap();
    let made = call(&server, &installation.operator(), "POST", "/v1/orgs", &json!({"name": "acme"}));
    assert_eq!(made.status, 201, "{}", made.text());
    assert!(server.stop().status.success());
    installation
}

#[test]
fn an_older_database_that_was_put_back_by_hand_says_what_to_do() {
    let installation = with_older_database();
    let database = installation.path("data/petsem.db");
    std::fs::copy(installation.path("older.db"), &database).unwrap();
    let ended = installation.start().unwrap_err();
    let told = [
        "the store lacks",
        "put the newer database back",
        "(docs/copies.md)",
        "petsem operator accept-rollback",
    ];
    refused(&ended, &told);
    refused(&operator(&installation, &["recover", "--operator", "kim"], &[]), &told);
    let status = operator(&installation, &["status"], &[]);
    assert_eq!(status.status.code(), Some(2), "{}", status.printed);
    for text in ["the store lacks", "petsem operator accept-rollback"] {
        assert!(status.printed.contains(text), "{text}: {}", status.printed);
    }
}

#[test]
fn a_lost_database_says_what_to_do_and_no_command_buries_it() {
    let lost = ["the database of the node", "is lost", "nothing was changed", "(docs/copies.md)"];
    for audit_elsewhere in [false, true] {
        let installation = Installation::configured();
        let elsewhere = if audit_elsewhere { "directory = \"log\"\n" } else { "" };
        installation.configure(&format!("{CONFIGURATION}{elsewhere}"));
        let made = installation.init();
        assert!(made.status.success(), "{}", made.printed);
        match audit_elsewhere {
            // The data directory was on the disk that was lost.
            true => std::fs::remove_dir_all(installation.path("data")).unwrap(),
            false => std::fs::remove_file(installation.path("data/petsem.db")).unwrap(),
        }
        refused(&installation.start().unwrap_err(), &lost);
        std::fs::remove_file(installation.path("operator.token")).unwrap();
        refused(&installation.init(), &lost);
        for arguments in [&["verify"][..], &["audit", "verify"], &["recover", "--operator", "kim"]] {
            refused(&operator(&installation, arguments, &[]), &lost);
        }
        // An empty file in its place is no database either.
        std::fs::create_dir_all(installation.path("data")).unwrap();
        std::fs::write(installation.path("data/petsem.db"), "").unwrap();
        refused(&installation.start().unwrap_err(), &lost);
    }
}
