//! Who a command is, who can read a secret, and what errors name: files of tokens, and requests in the audit log.

use std::process::{Command, Stdio};

use petsem_integration::dev::Dev;
use petsem_integration::server::{Ended, petsem, run};
use serde_json::{Value, json};

fn in_context(dev: &Dev, arguments: &[&str]) -> Command {
    let mut command = petsem(arguments);
    command.env("PETSEM_CONTEXT", dev.directory.path().join("context.toml"));
    command.current_dir(dev.directory.path());
    command
}

fn shown(dev: &Dev, arguments: &[&str]) -> Ended {
    run(in_context(dev, arguments))
}

/// The JSON on standard output, and the exit status.
fn answer(dev: &Dev, arguments: &[&str]) -> (Value, Option<i32>) {
    let output = in_context(dev, arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (json, output.status.code())
}

fn token(dev: &Dev, name: &str) -> String {
    std::fs::read_to_string(dev.directory.path().join(name)).unwrap().trim().to_owned()
}

#[test]
fn whoami_says_whose_token_this_is_where_it_is_from_and_what_it_may_do() {
    let dev = Dev::start();
    let owner = shown(&dev, &["whoami", "--token-file", "owner.token"]);
    assert_eq!(owner.status.code(), Some(0), "{}", owner.printed);
    let context = dev.directory.path().join("context.toml");
    let lines: Vec<&str> = owner.printed.lines().collect();
    let from =
        format!("server      http://{}, from the context file {}", dev.server.address(), context.display());
    assert_eq!(lines.first(), Some(&from.as_str()));
    assert_eq!(lines.get(1), Some(&"token file  owner.token, from --token-file"));
    assert_eq!(lines.get(2), Some(&"accepted    yes, the server accepts it"));
    for line in ["kind        org: for an org, or some of its apps", "holder      owner (petsem-dev)"] {
        assert!(lines.contains(&line), "{line}: {}", owner.printed);
    }

    let (operator, status) = answer(&dev, &["whoami", "--json"]);
    assert_eq!((status, &operator["accepted"]), (Some(0), &json!(true)), "{operator}");
    assert_eq!(operator["tokens"][0]["kind"], "operator", "{operator}");
    assert!(!operator["tokens"][0]["may"].as_array().unwrap().contains(&json!("use_key")), "{operator}");

    // A host's token is not tested: it needs a discharge.
    let (host, status) = answer(&dev, &["whoami", "--json", "--token-file", "host.token"]);
    assert_eq!((status, &host["accepted"]), (Some(0), &json!(null)), "{host}");
    assert_eq!(host["tokens"][0]["kind"], "host", "{host}");
    assert_eq!(host["tokens"][0]["undischarged"].as_array().unwrap().len(), 1, "{host}");

    // A narrowed token shows what is left of it.
    let narrow =
        ["token", "attenuate", "operator.token", "--app", "shop", "--action", "list", "--out", "look.token"];
    assert!(shown(&dev, &narrow).status.success());
    let look = &["whoami", "--json", "--token-file", "look.token"];
    let (narrowed, _) = answer(&dev, look);
    assert_eq!(narrowed["tokens"][0]["may"], json!(["list"]), "{narrowed}");
    assert_eq!(narrowed["tokens"][0]["apps"].as_array().unwrap().len(), 1, "{narrowed}");

    let printed = [owner.printed, operator.to_string(), host.to_string(), narrowed.to_string()].concat();
    for file in ["operator.token", "owner.token", "host.token", "look.token"] {
        let secret = token(&dev, file);
        assert!(!printed.contains(secret.get(secret.len() - 24..).unwrap()), "{file}");
    }
}

#[test]
fn whoami_with_a_token_that_is_not_accepted_says_so_and_exits_with_1() {
    let dev = Dev::start();
    let made = ["token", "create", "--action", "list", "--out", "made.token"];
    assert!(shown(&dev, &made).status.success());
    let (before, status) = answer(&dev, &["whoami", "--json", "--token-file", "made.token"]);
    assert_eq!((status, &before["accepted"]), (Some(0), &json!(true)), "{before}");
    let id = before["tokens"][0]["id"].as_str().unwrap();
    assert!(shown(&dev, &["token", "revoke", id]).status.success());

    let after = shown(&dev, &["whoami", "--token-file", "made.token"]);
    assert_eq!(after.status.code(), Some(1), "{}", after.printed);
    for text in ["accepted    NO, the server refuses it", "(revoked), request "] {
        assert!(after.printed.contains(text), "{text}: {}", after.printed);
    }
    // Other commands name the file, too.
    let list = shown(&dev, &["secrets", "list", "--token-file", "made.token"]);
    assert!(list.printed.contains("hint: this is the token of made.token"), "{}", list.printed);
    let none = shown(&dev, &["whoami", "--token-file", "issuer.pem"]);
    assert_eq!(none.status.code(), Some(2), "{}", none.printed);
    assert!(none.printed.contains("issuer.pem has no petsem token"), "{}", none.printed);
}

#[test]
fn secrets_get_says_who_can_read_a_value_and_never_has_it() {
    let dev = Dev::start();
    dev.set("shop", &json!({"SMTP_USER": "canary-of-get"}));
    let before = dev.audit_lines().len();
    let (got, status) =
        answer(&dev, &["secrets", "get", "SMTP_USER", "--json", "--token-file", "owner.token"]);
    assert_eq!((status, &got["secret"]["name"]), (Some(1), &json!("SMTP_USER")), "{got}");
    assert!(got["rules"].as_array().unwrap().iter().any(|rule| rule["boots"] == false), "{got}");
    let text = shown(&dev, &["secrets", "get", "SMTP_USER", "--token-file", "owner.token"]);
    assert_eq!(text.status.code(), Some(1), "{}", text.printed);
    for part in
        ["read by", "by rule", "petsem run --app shop --only SMTP_USER", "petsem break-glass --app shop"]
    {
        assert!(text.printed.contains(part), "{part}: {}", text.printed);
    }
    assert!(!text.printed.contains("canary-of-get") && !got.to_string().contains("canary-of-get"));

    let missing = shown(&dev, &["secrets", "get", "smtp_user"]);
    assert_eq!(missing.status.code(), Some(1), "{}", missing.printed);
    for part in ["the app shop has no secret smtp_user", "hint: it has SMTP_USER"] {
        assert!(missing.printed.contains(part), "{part}: {}", missing.printed);
    }
    // A token that may not see the policy does not try to: that would be a denial in the audit log.
    let narrow = ["token", "attenuate", "owner.token", "--action", "list", "--out", "look.token"];
    assert!(shown(&dev, &narrow).status.success());
    let look = shown(&dev, &["secrets", "get", "SMTP_USER", "--token-file", "look.token"]);
    assert!(
        look.printed.contains("which this token may not see: it lacks manage_policy"),
        "{}",
        look.printed
    );
    dev.server.wait_for_audit_lines();
    let lines = dev.audit_lines();
    let denied: Vec<&Value> = lines.iter().skip(before).filter(|line| line["outcome"] == "denied").collect();
    assert_eq!(denied, Vec::<&Value>::new());
}

#[test]
fn a_denied_request_is_found_in_the_audit_log_by_the_id_that_its_error_names() {
    let dev = Dev::start();
    let narrow = ["token", "attenuate", "operator.token", "--action", "list", "--out", "look.token"];
    assert!(shown(&dev, &narrow).status.success());
    let denied = shown(&dev, &["secrets", "unset", "A", "--token-file", "look.token"]);
    assert_eq!(denied.status.code(), Some(1), "{}", denied.printed);
    for part in ["(forbidden), request ", "hint: this is the token of look.token; `petsem whoami`"] {
        assert!(denied.printed.contains(part), "{part}: {}", denied.printed);
    }
    let (_, rest) = denied.printed.split_once("), request ").unwrap();
    let id = rest.lines().next().unwrap();
    dev.server.wait_for_audit_lines();
    let audit = dev.layout().audit();
    let show = |arguments: &[&str]| {
        let mut command = vec!["operator", "audit", "show", audit.to_str().unwrap()];
        command.extend(arguments);
        run(petsem(command))
    };
    let found = show(&["--request", id]);
    assert_eq!(found.status.code(), Some(0), "{}", found.printed);
    let lines: Vec<Vec<&str>> = found.printed.lines().map(|line| line.split('\t').collect()).collect();
    let [line] = lines.as_slice() else { panic!("{}", found.printed) };
    assert_eq!(line.get(1), Some(&id), "{}", found.printed);
    assert!(line.get(3).is_some_and(|outcome| outcome.starts_with("denied")), "{}", found.printed);

    let none = show(&["--request", "00000000-0000-7000-8000-000000000000"]);
    assert_eq!(none.status.code(), Some(1), "{}", none.printed);
    // Checkpoints are not counted: so many lines were asked for, and so many are shown.
    for _ in 0..40 {
        assert_eq!(dev.operate("GET", "/v1/apps/shop/secrets", None).status, 200);
    }
    dev.server.wait_for_audit_lines();
    for count in ["1", "7", "30"] {
        let last = show(&["--last", count]);
        assert_eq!(last.printed.lines().count().to_string(), count, "{}", last.printed);
        let json = show(&["--last", count, "--json"]);
        assert_eq!(json.printed.lines().count().to_string(), count, "{}", json.printed);
    }
}

#[test]
fn a_break_glass_that_is_killed_leaves_no_file_that_blocks_the_next() {
    let dev = Dev::start();
    let ask = ["break-glass", "--reason", "which one?", "--out", "glass.token"];
    // Not SIGINT, which a job in the background ignores.
    for signal in ["-TERM", "-KILL"] {
        let mut command = in_context(&dev, &ask);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It waits for the approval once it has said so.
        let mut said = String::new();
        let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
        while !said.contains("petsem approve") {
            assert_ne!(std::io::BufRead::read_line(&mut stderr, &mut said).unwrap(), 0, "{said}");
        }
        let kill = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        assert!(!child.wait().unwrap().success());
        assert!(!dev.directory.path().join("glass.token").exists(), "{signal}: {said}");
    }
}
