//! A node whose audit log or id is lost does not serve as if nothing had happened, and says how to go on.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use petsem_integration::dev::{audit_log, flyv1};
use petsem_integration::http::Request;
use petsem_integration::installation::Installation;
use petsem_integration::pause;
use petsem_integration::seals::{assert_open, done, get, operator, orgs, refused, status};
use petsem_integration::server::Server;
use serde_json::{Value, json};

const ACCEPT_LOSS: [&str; 3] = ["audit", "accept-loss", "--yes"];

/// Asserts that without a confirmation the command only says what is lost.
fn assert_asks(installation: &Installation, lost: &str) {
    let asked = operator(installation, &["audit", "accept-loss"], &[]);
    assert_eq!(asked.status.code(), Some(2), "{}", asked.printed);
    for text in [lost, "nothing was changed", "give --yes to confirm"] {
        assert!(asked.printed.contains(text), "{}", asked.printed);
    }
}

/// Asserts that a server waits for its log, and that each place says so.
fn assert_lost(installation: &Installation, server: &Server, what: &[&str]) {
    let answer = orgs(installation, server);
    assert_eq!(answer.outcome(), (503, "audit_lost".to_owned()), "{}", answer.text());
    let ready = get(server, "/readyz");
    assert_eq!((ready.status, &ready.json()["status"]), (503, &json!("audit_lost")));
    assert_eq!(get(server, "/healthz").status, 200);
    let metrics = get(server, "/metrics").text();
    assert!(metrics.contains("petsem_ready 0") && metrics.contains("petsem_sealed 0"), "{metrics}");
    let seen = status(installation);
    assert_eq!(seen["state"], "audit_lost", "{seen}");
    let problem = seen["problems"][0].as_str().unwrap();
    for text in what.iter().chain(&["petsem operator audit accept-loss"]) {
        assert!(problem.contains(text), "{problem}");
    }
}

/// The lines of the log that operators and the node wrote about it: action and detail.
fn chain_lines(log: &Path) -> Vec<(String, String)> {
    let text = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
    audit_log(log)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| {
            ["audit.chain", "operator.audit.accept_loss"].iter().any(|action| line["action"] == *action)
        })
        .map(|line| (text(&line, "action"), text(&line, "detail")))
        .collect()
}

/// An installation whose server ran, and its log.
fn made() -> (Installation, std::path::PathBuf) {
    let installation = Installation::made();
    assert!(installation.start().unwrap().stop().status.success());
    let log = installation.path("data/audit");
    (installation, log)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn a_node_whose_log_is_missing_waits_until_it_is_back() {
    let (installation, log) = made();
    let away = installation.path("away");
    fs::rename(&log, &away).unwrap();
    let server = installation.start().unwrap();
    assert_lost(&installation, &server, &["the audit log of this node is missing", "data/audit"]);
    refused(&operator(&installation, &["unseal", "--configured"], &[]), &["is missing"]);
    // It is not sealed: unsealing it would not help.
    let (token, org) = (installation.path("new.token"), ["--org", "acme", "--owner", "kim"]);
    for arguments in [vec!["recover", "--operator", "kim"], [&["owner"], &org[..]].concat()] {
        let ended = operator(&installation, &arguments, &[("--out", &token)]);
        refused(&ended, &["the audit log of this node is lost", "petsem operator audit accept-loss"]);
        assert!(!ended.printed.contains("sealed"), "{}", ended.printed);
    }
    // Mounted again: nothing is lost, and there is nothing to accept.
    fs::remove_dir_all(&log).unwrap();
    fs::rename(&away, &log).unwrap();
    done(&operator(&installation, &["unseal", "--configured"], &[]));
    assert_open(&installation, &server);
    let nothing = operator(&installation, &ACCEPT_LOSS, &[]);
    refused(&nothing, &["there is no loss to accept"]);
    assert!(server.stop().status.success());
    refused(&operator(&installation, &ACCEPT_LOSS, &[]), &["there is no loss to accept"]);
    assert_eq!(chain_lines(&log), []);
    done(&operator(&installation, &["audit", "verify"], &[]));
}

#[test]
fn a_node_serves_again_after_its_operator_accepted_the_loss_of_its_log() {
    let (installation, log) = made();
    let away = installation.path("away");
    fs::rename(&log, &away).unwrap();
    let server = installation.start().unwrap();
    assert_asks(&installation, "the audit log of this node is missing: ");
    assert_lost(&installation, &server, &["the audit log of this node is missing"]);
    let accepted = operator(&installation, &ACCEPT_LOSS, &[]);
    for text in ["the loss of chain 1 is accepted", "chain 2 begins", "could not be compared"] {
        assert!(done(&accepted).contains(text), "{}", accepted.printed);
    }
    assert_open(&installation, &server);
    assert!(server.stop().status.success());
    let lines = chain_lines(&log);
    let actions: Vec<&str> = lines.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ["audit.chain", "operator.audit.accept_loss"]);
    let last =
        audit_log(&away).lines().last().map(|line| serde_json::from_str::<Value>(line).unwrap()).unwrap();
    // The log ends with a checkpoint, which names the line before it.
    let known = last["n"].as_u64().unwrap() - 1;
    assert!(lines[0].1.contains(&format!("the store knew its line {known}, with the chain ")), "{lines:?}");
    done(&operator(&installation, &["audit", "verify"], &[]));
    done(&operator(&installation, &["verify"], &[]));
    // Numbers of files go on, so shipped copies of the old chain are not overwritten.
    let names = |directory: &Path| -> Vec<_> {
        let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name());
        files.filter(|name| name.to_str().unwrap().ends_with(".log")).collect()
    };
    assert!(names(&log).iter().all(|name| *name > names(&away)[0]), "{:?} {:?}", names(&log), names(&away));

    // The old log in place of the new one is not the log of this node any more.
    let new = installation.path("new");
    fs::rename(&log, &new).unwrap();
    copy(&away, &log);
    let server = installation.start().unwrap();
    assert_lost(&installation, &server, &["data/audit"]);
    assert!(server.stop().status.success());
    // Without a server: the files that are there are kept.
    assert_asks(&installation, "audit line ");
    assert!(!log.join("chain-2").exists());
    let accepted = operator(&installation, &ACCEPT_LOSS, &[]);
    assert!(done(&accepted).contains("the loss of chain 2 is accepted"), "{}", accepted.printed);
    assert_eq!(names(&log.join("chain-2")).len(), names(&away).len());
    assert_eq!(audit_log(&log.join("chain-2")), audit_log(&away));
    done(&operator(&installation, &["audit", "verify"], &[]));
    let server = installation.start().unwrap();
    assert_open(&installation, &server);
}

/// A limit that SECURITY.md names: what the lost log knew of the database is lost with it.
#[test]
fn an_older_database_is_not_noticed_after_the_loss_of_the_log_was_accepted() {
    let (installation, log) = made();
    let (database, old) = (installation.path("data/petsem.db"), installation.path("old.db"));
    fs::copy(&database, &old).unwrap();
    let server = installation.start().unwrap();
    let org = Request::new("POST", "/v1/orgs")
        .authorization(&flyv1(&installation.operator()))
        .json(&json!({"name": "acme"}))
        .send(server.address());
    assert_eq!(org.status, 201, "{}", org.text());
    assert!(server.stop().status.success());
    fs::copy(&old, &database).unwrap();
    refused(&installation.start().unwrap_err(), &["integrity", "audit log recorded"]);
    fs::rename(&log, installation.path("away")).unwrap();
    let server = installation.start().unwrap();
    assert_lost(&installation, &server, &["the audit log of this node is missing"]);
    done(&operator(&installation, &ACCEPT_LOSS, &[]));
    // It has no orgs.
    assert_open(&installation, &server);
}

#[test]
fn a_log_that_is_shorter_than_the_store_knows_is_lost_too() {
    let (installation, log) = made();
    let before = installation.path("before");
    copy(&log, &before);
    assert!(installation.start().unwrap().stop().status.success());
    fs::rename(&log, installation.path("away")).unwrap();
    fs::rename(&before, &log).unwrap();
    let server = installation.start().unwrap();
    assert_lost(&installation, &server, &["audit line"]);
    done(&operator(&installation, &ACCEPT_LOSS, &[]));
    assert_open(&installation, &server);
    assert!(server.stop().status.success());
    assert!(log.join("chain-1").is_dir());
    done(&operator(&installation, &["audit", "verify"], &[]));
}

#[test]
fn a_stopped_node_says_what_its_log_lacks_and_that_the_database_is_not_to_be_restored() {
    let (installation, log) = made();
    let (before, whole) = (installation.path("before"), installation.path("whole"));
    copy(&log, &before);
    assert!(installation.start().unwrap().stop().status.success());
    copy(&log, &whole);
    let is_missing = "the audit log of this node is missing";
    let is_cut = "the log ends before it, but a checkpoint in the store names line ";
    for (what, known) in
        [("removed", is_missing), ("emptied", is_missing), ("truncated", is_missing), ("shorter", is_cut)]
    {
        fs::remove_dir_all(&log).unwrap();
        match what {
            "removed" => {}
            "shorter" => copy(&before, &log),
            _ => fs::create_dir(&log).unwrap(),
        }
        if what == "truncated" {
            fs::write(log.join("audit-00000001.log"), "").unwrap();
        }
        let _mode = fs::set_permissions(&log, fs::Permissions::from_mode(0o700));
        let seen = status(&installation);
        assert_eq!(seen["state"], "stopped", "{what}");
        let problems = seen["problems"].as_array().unwrap();
        let problems: Vec<&str> = problems.iter().map(|problem| problem.as_str().unwrap()).collect();
        let of_log = problems.iter().find(|problem| problem.contains("accept-loss"));
        assert!(of_log.is_some_and(|problem| problem.contains(known)), "{what}: {problems:?}");

        let verified = operator(&installation, &["audit", "verify"], &[]);
        let said = if known == is_cut {
            is_cut
        } else {
            "data/audit has no line, but a checkpoint in the store names"
        };
        refused(&verified, &[said, "hint: put the missing lines back", "petsem operator audit accept-loss"]);
        assert!(!verified.printed.contains("the lines before it are unchanged"), "{}", verified.printed);

        let verified = operator(&installation, &["verify"], &[]);
        let texts = [
            "no fault was found in the store",
            said,
            "audit accept-loss",
            "hint: leave the database as it is",
        ];
        refused(&verified, &texts);
        assert!(!verified.printed.contains("restore a backup"), "{}", verified.printed);
        // To look changes nothing.
        assert_asks(&installation, if known == is_cut { "audit line" } else { is_missing });
        assert_eq!(log.exists(), what != "removed");
        if !log.exists() {
            fs::create_dir(&log).unwrap();
        }
    }
    fs::remove_dir_all(&log).unwrap();
    copy(&whole, &log);
    done(&operator(&installation, &["audit", "verify"], &[]));
    let seen = status(&installation);
    assert!(!seen["problems"].to_string().contains("accept-loss"), "{seen}");
}

#[test]
fn a_data_directory_without_an_id_is_no_node_until_one_is_added() {
    let (installation, log) = made();
    let id = installation.path("data/node.id");
    assert_eq!(id.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let first = fs::read_to_string(&id).unwrap();
    let add = || operator(&installation, &["node", "add"], &[]);
    refused(&add(), &["is the data directory of the node", first.trim_end()]);
    fs::remove_file(&id).unwrap();
    // With the log, it is known which node it was.
    let lost_id = ["node.id is missing", "was written by the node", first.trim_end()];
    refused(&installation.start().unwrap_err(), &lost_id);
    refused(&add(), &lost_id);
    assert!(!id.exists());
    // Without both, no start takes it for a new node.
    fs::rename(&log, installation.path("away")).unwrap();
    refused(&installation.start().unwrap_err(), &["belongs to no node", "petsem operator node add"]);
    assert!(!id.exists());
    done(&add());
    let second = fs::read_to_string(&id).unwrap();
    assert_ne!(second, first);
    let added = audit_log(&log)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|line| line["action"] == "operator.node.add")
        .unwrap();
    assert_eq!(added["detail"].as_str().unwrap().split_whitespace().nth(1), Some(second.trim_end()));
    let server = installation.start().unwrap();
    assert_open(&installation, &server);
    assert!(server.stop().status.success());
    done(&operator(&installation, &["audit", "verify"], &[]));
    done(&operator(&installation, &["verify"], &[]));
}

#[test]
fn a_server_whose_audit_files_are_removed_says_so_although_it_goes_on() {
    let installation = Installation::made();
    let server = installation.start().unwrap();
    let warnings = || get(&server, "/readyz").json()["warnings"].to_string();
    // Left out if there are none.
    assert_eq!(warnings(), "null");
    let until = |wanted: &dyn Fn(&str) -> bool| {
        let is_noticed = (0..100).any(|_| {
            let noticed = wanted(&warnings());
            if !noticed {
                pause(Duration::from_millis(100));
            }
            noticed
        });
        assert!(is_noticed, "{}", warnings());
    };
    let (log, moved) = (installation.path("data/audit"), installation.path("moved"));
    fs::rename(&log, &moved).unwrap();
    until(&|warnings| warnings.contains("the directory of the audit log was moved or removed"));
    fs::rename(&moved, &log).unwrap();
    until(&|warnings| warnings == "null");
    for file in fs::read_dir(&log).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    until(&|warnings| {
        warnings.contains("of the audit log was removed or replaced while the server wrote it")
    });
    assert!(status(&installation)["warnings"][0].as_str().unwrap().contains("petsem operator audit verify"));
    assert_open(&installation, &server);
}
