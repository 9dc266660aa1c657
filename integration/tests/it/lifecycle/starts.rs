//! A server starts or says what is wrong, and stops without losing requests.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use petsem_integration::dev::{Dev, audit_log, flyv1};
use petsem_integration::http::{Answer, Request, connect};
use petsem_integration::installation::{CONFIGURATION, Installation};
use petsem_integration::server::{Ended, Server, binary, petsem, run};
use petsem_policy::UnverifiedToken;
use rusqlite::Connection;
use serde_json::json;

/// Asserts that a program failed with this error, in at most two lines.
fn refused(what: &str, ended: &Ended, texts: &[&str]) {
    assert!(matches!(ended.status.code(), Some(code) if code != 0), "{what}: {}", ended.printed);
    for text in texts {
        assert!(ended.printed.contains(text), "{what}: {:?} does not say {text:?}", ended.printed);
    }
    assert!(!ended.printed.contains("panicked"), "{what}: {}", ended.printed);
}

fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

#[test]
fn an_installation_is_created_once_and_serves() {
    let installation = Installation::configured();
    let made = installation.init();
    assert!(made.status.success(), "{}", made.printed);
    for name in ["operator.token", "seal.key", "data/petsem.db"] {
        let mode = std::fs::metadata(installation.path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    let token = installation.operator();
    assert!(!made.printed.contains(&token));

    let again = installation.init();
    refused("a second init", &again, &["operator.token"]);
    assert_eq!(installation.operator(), token);
    std::fs::rename(installation.path("operator.token"), installation.path("kept.token")).unwrap();
    let again = installation.init();
    refused("a second init", &again, &["already holds an installation", "nothing was changed"]);
    assert!(!installation.path("operator.token").exists());

    let server = installation.start().unwrap();
    let orgs = Request::new("GET", "/v1/orgs").authorization(&flyv1(&token)).send(server.address());
    assert_eq!((orgs.status, orgs.json()), (200, json!({"orgs": []})));
    let socket = std::fs::metadata(installation.path("petsem.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let second = installation.start().unwrap_err();
    refused("a second server", &second, &["petsem.sock", "already in use"]);
    let stopped = server.stop();
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.printed);
}

#[test]
fn a_server_without_a_store_says_how_to_create_one() {
    let installation = Installation::configured();
    let ended = installation.start().unwrap_err();
    refused("an empty store", &ended, &["is empty", "petsem operator init"]);
    let verify = run(installation.with_configuration(&["operator", "audit", "verify"]));
    refused("an empty store", &verify, &["is empty", "petsem operator init"]);
    // Reading created nothing.
    assert_eq!(files(installation.directory.path()), ["petsem.toml"]);
    // `init` still works.
    assert!(installation.init().status.success());
}

/// A repairable installation must not be replaced by a new one.
#[test]
fn a_store_without_its_installation_row_is_reported_as_damaged_and_not_as_empty() {
    let installation = Installation::made();
    let database = Connection::open(installation.path("data/petsem.db")).unwrap();
    // Kind 1, which has no id.
    assert_eq!(database.execute("DELETE FROM records WHERE kind = ?1 AND id = x''", [1]).unwrap(), 1);
    drop(database);
    std::fs::remove_file(installation.path("operator.token")).unwrap();
    refused("an init there", &installation.init(), &["already holds an installation", "nothing was changed"]);
    for ended in [
        installation.start().unwrap_err(),
        run(installation.with_configuration(&["operator", "audit", "verify"])),
        run(installation.with_configuration(&["operator", "status"])),
    ] {
        refused("a store without its row", &ended, &["integrity", "own row", "restore the store"]);
        assert!(!ended.printed.contains("operator init"), "{}", ended.printed);
    }
}

#[test]
fn a_server_does_not_serve_a_store_of_petsem_dev() {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "1"}));
    let directory = dev.directory.path().display().to_string();
    let configuration = CONFIGURATION
        .replace("data_directory = \"data\"", &format!("data_directory = \"{directory}/data\""))
        .replace("path = \"seal.key\"", &format!("path = \"{directory}/seal.key\""))
        .replace("[audit]", &format!("[audit]\ndirectory = \"{directory}/audit\""));
    let installation = Installation::configured();
    installation.configure(&configuration);
    let in_use = installation.start().unwrap_err();
    refused("a store in use", &in_use, &["petsem.lock"]);
    let Dev { server, directory: kept, .. } = dev;
    assert!(server.stop().status.success());
    let ended = installation.start().unwrap_err();
    refused("a development store", &ended, &["petsem dev", "petsem operator init"]);
    drop(kept);
}

#[test]
fn a_port_in_use_is_named_and_the_store_is_unchanged() {
    let installation = Installation::made();
    let before = files(&installation.path("data"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    installation.configure(&CONFIGURATION.replace("127.0.0.1:0", &address));
    let ended = installation.start().unwrap_err();
    refused("a port in use", &ended, &[&address, "already in use", "listener.address"]);
    assert_eq!(files(&installation.path("data")), before);

    let dev = run(petsem(["dev", "--listen", &address, "--dir", "unused"]));
    refused("a port in use, for dev", &dev, &[&address, "--listen"]);
    assert!(!Path::new("unused").exists());
}

#[test]
fn listeners_that_others_could_reach_are_refused() {
    let installation = Installation::made();
    for address in ["0.0.0.0:0", "192.0.2.1:8200", "[::]:8200"] {
        installation.configure(&CONFIGURATION.replace("127.0.0.1:0", address));
        let ended = installation.start().unwrap_err();
        refused(address, &ended, &["listener.address", address, "loopback", "unix:"]);
        let dev = run(petsem(["dev", "--listen", address, "--dir", "unused"]));
        refused(address, &dev, &[address, "loopback"]);
    }
}

#[test]
fn an_invalid_configuration_is_refused_with_its_key_and_value() {
    let installation = Installation::made();
    for (what, from, to, texts) in [
        ("an unknown key", "name =", "nmae = \"x\"\nname =", &["nmae", "petsem config reference"][..]),
        (
            "an unknown key of a table",
            "segment_mib",
            "segment_mb",
            &["segment_mb", "petsem config reference"],
        ),
        ("an unknown table", "[audit]", "[tls]\nport = 1\n[audit]", &["tls"]),
        ("a missing key", "location =", "#", &["location"]),
        ("a seal that there is not", "key-file", "hsm", &["hsm"]),
        ("an invalid host", "host-1", "host 1", &["listener.host", "host 1"]),
        ("a number out of range", "segment_mib = 1", "segment_mib = 0", &["audit.segment_mib", "1 to 4096"]),
        ("no TOML", "name =", "name", &["line"]),
    ] {
        installation.configure(&CONFIGURATION.replacen(from, to, 1));
        let started = installation.start().unwrap_err();
        refused(what, &started, texts);
        let mut check = petsem(["config", "check"]);
        check.arg(installation.configuration());
        refused(what, &run(check), texts);
    }
    std::fs::remove_file(installation.configuration()).unwrap();
    refused("no file", &installation.start().unwrap_err(), &["petsem.toml", "cannot be read"]);
}

#[test]
fn the_configuration_of_the_tests_and_the_reference_are_valid() {
    let installation = Installation::configured();
    let check = |path: &Path| {
        let mut command = petsem(["config", "check"]);
        command.arg(path);
        run(command)
    };
    let checked = check(&installation.configuration());
    assert!(checked.status.success(), "{}", checked.printed);
    let reference = run(petsem(["config", "reference"]));
    assert!(reference.status.success());
    installation.configure(&reference.printed);
    let checked = check(&installation.configuration());
    assert!(checked.status.success(), "{}", checked.printed);
    assert_eq!(files(installation.directory.path()), ["petsem.toml"]);
}

#[test]
fn tokens_are_at_the_location_that_flys_clients_keep_and_the_discharger_at_its_own() {
    let installation = Installation::configured();
    let at = |discharger: &str| {
        let own = CONFIGURATION.replace("https://petsem.test", "https://api.fly.io/v1");
        installation.configure(&format!("{own}\n[discharger]\nlocation = \"{discharger}\"\n"));
    };
    at("https://petsem.test/own");
    assert!(installation.init().status.success());
    let server = installation.start().unwrap();
    let operator = installation.operator();
    let call = |target: &str, token: &str, body: serde_json::Value| {
        Request::new("POST", target).authorization(&flyv1(token)).json(&body).send(server.address())
    };
    installation.enroll(server.address(), "host-1");
    let minted = call("/v1/tokens", &operator, json!({"kind": "host", "host": "host-1"}));
    let host = UnverifiedToken::parse(&minted.field("token")).unwrap();
    let tickets: Vec<_> = host.undischarged(&[]).iter().map(|(location, _)| (*location).to_owned()).collect();
    assert_eq!(
        (host.location(), tickets.as_slice()),
        ("https://api.fly.io/v1", &["https://petsem.test/own".to_owned()][..])
    );

    // Polls and discharges are at the discharger's location, and both fit the tokens.
    for (method, body) in
        [("/v1/orgs", json!({"name": "acme"})), ("/v1/apps", json!({"org": "acme", "name": "shop"}))]
    {
        assert_eq!(call(method, &operator, body).status, 201);
    }
    let asked = call("/v1/apps/shop/break-glass", &operator, json!({"reason": "a test"}));
    let glass = asked.field("token");
    let ticket = json!({"ticket": petsem_integration::dev::ticket(&glass)});
    let waits = call("/.well-known/macfly/3p", &operator, ticket);
    let poll = waits.field("poll_url");
    assert!(poll.starts_with("https://petsem.test/own/.well-known/macfly/3p/poll/"), "{}", waits.text());
    for outside in ["https://api.fly.io/v1", "https://petsem.test/own", "https://petsem.test/own/x"] {
        let wanted = json!({"location": outside, "key": data_encoding::BASE64.encode(&[7; 32])});
        let refused = call("/v1/dischargers", &operator, wanted);
        assert_eq!(refused.outcome(), (400, "bad_request".to_owned()), "{outside}");
    }
    assert!(server.stop().status.success());

    at("https://petsem.test/other");
    let started = installation.start().unwrap_err();
    let texts =
        ["no key of petsem's own discharger at https://petsem.test/other", "`discharger.location`", "/own"];
    refused("another location", &started, &texts);
    at("https://petsem.test/own");
    assert!(installation.start().unwrap().stop().status.success());
}

/// A server that starts sealed, says why, and serves nothing.
fn starts_sealed(what: &str, installation: &Installation, texts: &[&str]) {
    let server = installation.start().unwrap();
    let orgs = Request::new("GET", "/v1/orgs").authorization(&flyv1(&installation.operator()));
    assert_eq!(orgs.send(server.address()).outcome(), (503, "sealed".to_owned()), "{what}");
    let line = server.printed_line("the server is sealed");
    for text in texts {
        assert!(line.contains(text), "{what}: {line:?} does not say {text:?}");
    }
    assert_eq!(server.stop().status.code(), Some(0), "{what}");
}

#[test]
fn a_key_file_accessible_to_other_users_opens_nothing() {
    let installation = Installation::made();
    let key = installation.path("seal.key");
    for mode in [0o640, 0o604, 0o666] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        starts_sealed("an open key file", &installation, &["seal.key", &format!("{mode:o}"), "600"]);
    }
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let other = Installation::made();
    std::fs::copy(other.path("seal.key"), &key).unwrap();
    starts_sealed("another key", &installation, &["does not open the root key of this store"]);
    std::fs::remove_file(&key).unwrap();
    starts_sealed("no key", &installation, &["seal.key"]);
    // No key is created for an existing store.
    assert!(!key.exists());
}

#[test]
fn a_data_directory_that_cannot_be_written_is_refused() {
    // Root can write anywhere except in places like these.
    for directory in ["/proc/petsem", "/dev/null/petsem"] {
        let installation = Installation::configured();
        installation.configure(&CONFIGURATION.replace("\"data\"", &format!("{directory:?}")));
        refused(directory, &installation.init(), &[directory]);
        refused(directory, &installation.start().unwrap_err(), &[directory]);
        assert!(!installation.path("operator.token").exists());
    }
    let installation = Installation::configured();
    std::fs::write(installation.path("data"), "a file").unwrap();
    refused("a file", &installation.init(), &["data"]);
    assert_eq!(std::fs::read_to_string(installation.path("data")).unwrap(), "a file");
}

#[test]
fn a_terminated_server_answers_its_running_requests_and_starts_again() {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "1"}));
    // The server has read the head and half of the body.
    let request = Request::new("POST", "/v1/apps/shop/secrets/B")
        .authorization(&flyv1(&dev.operator))
        .json(&json!({"value": "set while the server ends"}))
        .to_bytes();
    let (begun, rest) = request.split_at(request.len() - 10);
    let mut stream = connect(dev.server.address()).unwrap();
    stream.write_all(begun).unwrap();
    // It has certainly read them once it answers another request on another connection.
    assert_eq!(dev.version("shop"), 1);
    let (address, operator) = (dev.server.address(), dev.operator.clone());
    let dev = dev
        .restart(|server| {
            server.terminate();
            // New connections are refused now; this one continues.
            while std::net::TcpStream::connect(address).is_ok() {}
            stream.write_all(rest).unwrap();
            let mut received = Vec::new();
            stream.read_to_end(&mut received).unwrap();
            let answer = Answer::parse(&received).unwrap();
            assert_eq!((answer.status, answer.number("version")), (201, 2), "{}", answer.text());
            let ended = server.ended();
            assert_eq!(ended.status.code(), Some(0), "{}", ended.printed);
            ended
        })
        .unwrap();
    assert_eq!((dev.version("shop"), &dev.operator), (2, &operator));
    let lines = dev.audit_lines();
    assert!(!lines.iter().any(|line| line["outcome"] == "recovered"));
}

#[test]
fn a_stalled_request_does_not_prevent_the_server_from_stopping() {
    let dev = Dev::start();
    let mut stream = connect(dev.server.address()).unwrap();
    let head = "POST /v1/orgs HTTP/1.1\r\nhost: petsem\r\ncontent-length: 1000\r\n\r\n{";
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(dev.version("shop"), 0);
    let Dev { server, directory, .. } = dev;
    let asked = petsem_integration::dev::now();
    let ended = server.stop();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.printed);
    let took = petsem_integration::dev::now() - asked;
    assert!(took <= 10, "{took} seconds");
    drop(directory);
}

#[test]
fn the_audit_log_of_an_installation_verifies_and_a_changed_line_does_not() {
    let installation = Installation::made();
    let server = installation.start().unwrap();
    let operator = flyv1(&installation.operator());
    for name in ["one", "two", "three"] {
        let body = json!({ "name": name });
        let made =
            Request::new("POST", "/v1/orgs").authorization(&operator).json(&body).send(server.address());
        assert_eq!(made.status, 201, "{}", made.text());
    }
    let verify = || run(installation.with_configuration(&["operator", "audit", "verify", "--json"]));
    // A server may run meanwhile.
    assert!(verify().status.success());
    assert!(server.stop().status.success());
    let verified = verify();
    assert!(verified.status.success(), "{}", verified.printed);
    let report: serde_json::Value = serde_json::from_str(&verified.printed).unwrap();
    assert_eq!((&report["first_line"], &report["macs_verified"]), (&json!(1), &json!(true)));
    let log = audit_log(&installation.path("data/audit"));
    assert_eq!(report["last_line"], json!(log.lines().count()));

    let segment = installation.path("data/audit/audit-00000001.log");
    let good = std::fs::read(&segment).unwrap();
    let at = good.windows(11).position(|window| window == b"\"org.create").unwrap();
    let mut changed = good.clone();
    changed[at + 1] = b'O';
    std::fs::write(&segment, &changed).unwrap();
    refused("a changed line", &verify(), &["line", "hint: the lines before it are unchanged"]);
    // Two swapped lines.
    let text = String::from_utf8(good.clone()).unwrap();
    let mut lines: Vec<_> = text.split_inclusive('\n').collect();
    lines.swap(1, 2);
    std::fs::write(&segment, lines.concat()).unwrap();
    refused("exchanged lines", &verify(), &["line"]);
    std::fs::write(&segment, &good).unwrap();
    assert!(verify().status.success());
}

/// A shell command at a terminal, which `script` gives it.
pub(super) fn at_a_terminal(command: &str) -> Child {
    Command::new("script")
        .args(["-qec", command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Types once the terminal shows this prompt, and returns the exit status and all that the terminal showed.
pub(super) fn typed(mut under_script: Child, prompt: &str, typed: &str) -> (Option<i32>, String) {
    let mut keyboard = under_script.stdin.take().unwrap();
    let mut screen = under_script.stdout.take().unwrap();
    let mut shown = Vec::new();
    while !String::from_utf8_lossy(&shown).contains(prompt) {
        let mut byte = [0];
        assert_eq!(screen.read(&mut byte).unwrap(), 1, "no prompt: {}", String::from_utf8_lossy(&shown));
        shown.push(byte[0]);
    }
    keyboard.write_all(typed.as_bytes()).unwrap();
    screen.read_to_end(&mut shown).unwrap();
    let status = under_script.wait().unwrap();
    (status.code(), String::from_utf8(shown).unwrap())
}

/// A command of `petsem` as a shell's, with the context of `petsem dev`.
fn in_a_shell(dev: &Dev, arguments: &str) -> String {
    let context = dev.layout().operator_token().with_file_name("context.toml");
    let program = petsem([""; 0]).get_program().to_owned();
    format!("{} {arguments} --context {}", program.to_str().unwrap(), context.to_str().unwrap())
}

#[test]
fn at_a_terminal_an_app_is_deleted_only_when_its_name_is_typed_again() {
    let dev = Dev::start();
    let delete =
        |name: &str| typed(at_a_terminal(&in_a_shell(&dev, "app delete shop")), "to continue: ", name);
    for slip in ["y\n", "shopp\n", "\n"] {
        let (status, printed) = delete(slip);
        assert_eq!(status, Some(2), "{slip:?}: {printed}");
        assert!(printed.contains("nothing was changed"), "{slip:?}: {printed}");
        assert_eq!(dev.operate("GET", "/v1/apps/shop", None).status, 200);
    }
    let (status, printed) = delete("shop\n");
    assert_eq!(status, Some(0), "{printed}");
    assert_eq!(dev.operate("GET", "/v1/apps/shop", None).status, 404);
}

#[test]
fn a_value_typed_at_a_prompt_is_not_shown() {
    const CANARY: &str = "canary-typed-5e02";
    let dev = Dev::start();
    // Control: a terminal shows what is typed.
    let (_, shown) = typed(at_a_terminal("head -n 1 > /dev/null"), "", &format!("{CANARY}\n"));
    assert!(shown.contains(CANARY), "{shown}");

    let set = at_a_terminal(&in_a_shell(&dev, "secrets set TYPED --app shop"));
    let (status, shown) = typed(set, "(not shown): ", &format!("{CANARY}\n"));
    assert_eq!(status, Some(0), "{shown}");
    assert!(shown.contains("TYPED") && !shown.contains(CANARY), "{shown}");
    let read = "/v1/apps/shop/secrets/TYPED?show_secrets=true";
    assert_eq!(dev.call("GET", read, &dev.reader_jwt(), None).field("value"), CANARY);
}

#[test]
fn at_a_terminal_a_token_is_printed_only_on_request() {
    let dev = Dev::start();
    let narrow = |more: &str| {
        let token = dev.layout().operator_token();
        let attenuate = format!("token attenuate {} --expires-in 1h{more}", token.to_str().unwrap());
        typed(at_a_terminal(&in_a_shell(&dev, &attenuate)), "", "")
    };
    let (status, shown) = narrow("");
    assert_eq!(status, Some(2), "{shown}");
    assert!(shown.contains("--print") && !shown.contains("fm2_"), "{shown}");
    let (status, shown) = narrow(" --print");
    assert!(status == Some(0) && shown.contains("fm2_"), "{shown}");
}

/// Needs root: the server runs as a user that does not own its memory while it is not dumpable (`proc(5)`).
#[test]
fn a_server_is_not_dumpable_and_writes_no_core_file() {
    const USER: &str = "12345";
    let as_user = |program: &Path| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]).arg(program);
        command.env_clear().env("PATH", "/usr/bin:/bin");
        command
    };
    let installation = Installation::made();
    // This user may not reach the directory of the build.
    let program = installation.path("petsem");
    std::fs::copy(binary(), &program).unwrap();
    let owner = format!("{USER}:{USER}");
    let given =
        Command::new("chown").args(["-R", &owner]).arg(installation.directory.path()).status().unwrap();
    assert!(given.success(), "this test needs root");
    let mut command = as_user(&program);
    command.args(["server", "--config"]).arg(installation.configuration());
    let server = Server::start(command).unwrap();
    let owner_of_memory = |process: u32| std::fs::metadata(format!("/proc/{process}/mem")).unwrap().uid();
    assert_eq!(owner_of_memory(server.id()), 0);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let core: Vec<_> = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"))
        .unwrap()
        .split_whitespace()
        .take(2)
        .collect();
    assert_eq!(core, ["0", "0"]);

    // Control: another program of this user owns its memory. When it answers, it is running.
    let mut other = as_user(Path::new("cat"));
    let mut other = other.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    other.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    other.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    assert_eq!(owner_of_memory(other.id()).to_string(), USER);
    drop(other.stdin.take());
    assert!(other.wait().unwrap().success());
    assert!(server.stop().status.success());
}

#[test]
fn errors_of_commands_are_on_standard_error_with_a_status() {
    let output = petsem(["server", "--config", "/nowhere/petsem.toml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("/nowhere/petsem.toml"), "{said}");
    assert!(!output.status.success());
}
