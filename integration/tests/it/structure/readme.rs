//! Every command block of the README, in order, in a fresh directory, with the real binary.
//!
//! The blocks run as they are written, in one shell. What a person does besides typing is in [`line`]: leaving a server
//! running, answering a prompt, and copying an id that a command printed.

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use petsem_integration::dev::Dev;
use petsem_integration::page::blocks_in;
use petsem_integration::server::{binary, run};
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
use serde_json::json;

const README: &str = include_str!("../../../../README.md");

/// Blocks that are not of the walkthrough, each by a line of it: the demonstration and the tests themselves, which
/// `super::blocks` checks, and what needs a workload of one's own, which has a test of its own.
const LEFT_OUT: [&str; 2] = ["demo/run ", WORKLOAD];
const WORKLOAD: &str = "petsem token exchange --app shop --jwt-file job.jwt";

/// What the shell does around the lines.
const BEFORE: &str = r#"
set -euo pipefail
trap 'echo "FAILED: $BASH_COMMAND"' ERR
written() { for _ in $(seq 600); do [ -e "$1" ] && return; sleep 0.1; done; return 1; }
finish() { for job in $(jobs -p); do kill "$job" 2>/dev/null && wait "$job" || true; done; }
trap finish EXIT
"#;

/// A line as a person would run it.
fn line(line: &str, ports: [u16; 2]) -> String {
    let command = line.split(" #").next().unwrap().trim_end();
    let line = match command {
        // The binary of this build is in the PATH.
        "cargo install --path cli --locked" => String::new(),
        "petsem dev" => {
            "petsem dev --listen 127.0.0.1:8200 & dev=$!; written petsem-dev/context.toml".to_owned()
        }
        "petsem server --config petsem.toml" => {
            "kill $dev; wait $dev; petsem server --config petsem.toml & written data/operator.sock".to_owned()
        }
        "petsem secrets set GREETING" => "printf hello | petsem secrets set GREETING --stdin".to_owned(),
        _ if command.starts_with("petsem token explain") => {
            format!("status=0; {command} || status=$?; [ $status = 1 ]")
        }
        _ if command.starts_with("petsem token revoke TOKEN_ID") => {
            "petsem token revoke \"$(petsem token inspect mail.token | sed -n 's/^token *//p')\"".to_owned()
        }
        _ if command.starts_with("petsem break-glass") => {
            // It waits for the approval, whose id it printed.
            format!("{command} > asked 2>&1 & asking=$!\nuntil grep -q 'petsem approve' asked; do :; done")
        }
        _ if command.starts_with("petsem approve ID") => {
            format!("{}\nwait $asking", command.replace("ID", "$(sed -n 's/.*petsem approve //p' asked)"))
        }
        _ if command.starts_with("petsem issuer add") => format!("{command} > enrolled"),
        _ if command.starts_with("petsem host enroll") => format!("{command} > enrolled"),
        _ if command.contains("REQUEST_ID") => {
            command.replace("REQUEST_ID", "$(sed -n 's/.*petsem approve //p' enrolled)")
        }
        _ => line.to_owned(),
    };
    line.replace("8200", &ports[0].to_string()).replace("8201", &ports[1].to_string())
}

/// A free port. While the socket is open, no other test gets it, but a server can listen on it: neither minds that the
/// address is in use, and this one does not listen (socket(7), `SO_REUSEADDR`).
fn reserved_port() -> (OwnedFd, u16) {
    let reserved = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    set_socket_reuseaddr(&reserved, true).unwrap();
    bind(&reserved, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = SocketAddrV4::try_from(getsockname(&reserved).unwrap()).unwrap().port();
    (reserved, port)
}

#[test]
fn every_command_block_of_the_readme_works_as_written_in_order() {
    let blocks: Vec<&str> = blocks_in(README, "sh").iter().map(|block| block.text).collect();
    let is_left_out = |block: &str| LEFT_OUT.iter().any(|line| block.contains(line));
    assert_eq!(blocks.iter().filter(|block| is_left_out(block)).count(), LEFT_OUT.len());
    let [(_first, first), (_second, second)] = [reserved_port(), reserved_port()];
    let ports = [first, second];
    let mut script = BEFORE.to_owned();
    for block in blocks.iter().filter(|block| !is_left_out(block)) {
        for written in block.lines() {
            script.push_str(&line(written, ports));
            script.push('\n');
        }
    }
    script.push_str("echo ALL-DONE\n");

    let directory = tempfile::tempdir().unwrap();
    let demo = directory.path().join("demo");
    std::fs::create_dir(&demo).unwrap();
    let env = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/shop.env");
    std::fs::copy(env, demo.join("shop.env")).unwrap();
    let mut command = Command::new("bash");
    let path = format!("{}:/usr/bin:/bin", binary().parent().unwrap().display());
    command.args(["-c", &script]).env_clear().env("PATH", path).current_dir(directory.path());
    let ended = run(command);
    assert!(ended.status.success(), "{}\n{script}", ended.printed);
    for said in [
        "mail goes out as shop@shop.example",
        "Europe/Berlin",
        "SMTP_HOST=smtp.example",
        "the policy of shop is at version 1",
        "ALL-DONE",
    ] {
        assert!(ended.printed.contains(said), "no {said:?} in {}", ended.printed);
    }
    let copy = std::fs::read_to_string(directory.path().join("letter.copy")).unwrap();
    assert_eq!(copy, "meet me at noon\n");
}

/// The workload is `./send`, whose JWT may read all secrets of the app; the token that it gets has one.
#[test]
fn the_block_of_a_workload_that_passes_its_access_on_works_as_written() {
    let blocks = blocks_in(README, "sh");
    let block = blocks.iter().find(|block| block.text.contains(WORKLOAD)).unwrap();
    let dev = Dev::start();
    dev.set("shop", &json!({"SMTP_USER": "mailer", "SMTP_PASSWORD": "of the mailer"}));
    let directory = tempfile::tempdir().unwrap();
    let jwt = dev.reader_jwt();
    let send = "#!/bin/sh\nenv | sed -n 's/^SMTP_/sent with SMTP_/p'\n";
    for (name, content, mode) in
        [("job.jwt", jwt.strip_prefix("Bearer ").unwrap(), 0o600), ("send", send, 0o700)]
    {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let mut command = Command::new("bash");
    let path = format!("{}:/usr/bin:/bin", binary().parent().unwrap().display());
    command.args(["-euc", block.text]).env_clear().env("PATH", path).current_dir(directory.path());
    command.env("PETSEM_ENDPOINT", format!("http://{}", dev.server.address()));
    let ended = run(command);
    assert!(ended.status.success(), "{}", ended.printed);
    let sent: Vec<&str> = ended.printed.lines().filter(|line| line.starts_with("sent with ")).collect();
    assert_eq!(sent, ["sent with SMTP_PASSWORD=of the mailer"], "{}", ended.printed);
}
