//! Who a command is, who can read a secret, and what errors name: files of tokens, and requests in the audit log.

use std::process::{Command, Stdio};

use petsem_integration::dev::{Dev, flyv1};
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
    for part in [
        "(forbidden), request ",
        "hint: this is the token of look.token; `petsem whoami --token-file look.token",
    ] {
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

/// The last token of an operator could revoke itself without a word.
#[test]
fn a_command_that_revokes_its_own_token_asks_and_says_what_ends_with_it() {
    let dev = Dev::start();
    let made = |from: &str, out: &str| {
        let arguments = ["token", "create", "--kind", "operator", "--token-file", from, "--out", out];
        let made = shown(&dev, &arguments);
        assert!(made.status.success(), "{}", made.printed);
        answer(&dev, &["whoami", "--json", "--token-file", out]).0["tokens"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let parent = made("operator.token", "parent.token");
    let child = made("parent.token", "child.token");
    // The child was minted from the token that it revokes.
    for id in [&parent, &child] {
        let revoke = ["token", "revoke", id, "--token-file", "child.token"];
        let asked = shown(&dev, &revoke);
        assert_eq!(asked.status.code(), Some(2), "{}", asked.printed);
        let texts = [
            "the token of child.token, which this command uses, is this token or was minted from it",
            "petsem operator recover",
            "nothing was changed",
            "give --yes to confirm",
        ];
        for text in texts {
            assert!(asked.printed.contains(text), "{text}: {}", asked.printed);
        }
    }
    let done = shown(&dev, &["token", "revoke", &parent, "--token-file", "child.token", "--yes"]);
    assert_eq!(done.status.code(), Some(0), "{}", done.printed);
    for text in [
        "with it ended 1 unexpired token minted from it, none of them of a host",
        "the token of this command is revoked, too",
    ] {
        assert!(done.printed.contains(text), "{text}: {}", done.printed);
    }
    let after = shown(&dev, &["org", "list", "--token-file", "child.token"]);
    assert_eq!(after.status.code(), Some(1), "{}", after.printed);
    assert!(after.printed.contains("`petsem operator recover` on the node"), "{}", after.printed);
}

#[test]
fn revoking_the_token_that_enrolled_a_host_says_so_and_the_list_of_hosts_shows_it() {
    let dev = Dev::start();
    let wanted = json!({"kind": "operator", "subject": "enroller"});
    let (minted, id) = {
        let answer = dev.operate("POST", "/v1/tokens", Some(&wanted));
        assert_eq!(answer.status, 201, "{}", answer.text());
        (answer.field("token"), answer.field("id"))
    };
    let body = json!({"hosts": ["h-9"], "reason": "a new host"});
    let request = dev.call("POST", "/v1/enrollments", &flyv1(&minted), Some(&body));
    dev.approve_with_seal(&request.field("id"), None);
    let host = json!({"kind": "host", "host": "h-9"});
    let host = dev.call("POST", "/v1/tokens", &flyv1(&minted), Some(&host));
    assert_eq!(host.status, 201, "{}", host.text());
    let hosts = || -> Vec<Vec<String>> {
        let listed = shown(&dev, &["host", "list"]);
        assert!(listed.status.success(), "{}", listed.printed);
        listed.printed.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    };
    let state = |name: &str| {
        let hosts = hosts();
        let host = hosts.iter().find(|host| host[0] == name).unwrap_or_else(|| panic!("{hosts:?}"));
        (host[3].clone(), host[4].clone())
    };
    assert_eq!(state("dev").0, "valid");
    let by = format!("enroller (petsem-dev), request {}", request.field("id"));
    assert_eq!(state("h-9"), ("valid".to_owned(), by));
    let done = shown(&dev, &["token", "revoke", &id]);
    assert_eq!(done.status.code(), Some(0), "{}", done.printed);
    let said = "with it ended 1 unexpired token minted from it, 1 of them of hosts, on which nothing boots until they are \
                enrolled again";
    assert!(done.printed.contains(said), "{}", done.printed);
    assert_eq!((state("dev").0, state("h-9").0), ("valid".to_owned(), "revoked".to_owned()));
}

/// Scripts took a policy that only waits for one that is set.
#[test]
fn a_policy_that_waits_or_allows_nothing_or_names_no_secret_is_not_set_without_a_word() {
    let dev = Dev::start();
    dev.set("shop", &json!({"SMTP_USER": "u"}));
    let policy = |secrets: &[&str]| {
        let mut policy = petsem_integration::dev::policy();
        policy["rules"][1]["secrets"] = json!({"names": secrets, "prefixes": ["SMTP_", "STMP_"]});
        std::fs::write(dev.directory.path().join("policy.json"), policy.to_string()).unwrap();
    };
    let set = |more: &[&str]| {
        let arguments: Vec<&str> = ["policy", "set", "policy.json"].iter().chain(more).copied().collect();
        shown(&dev, &arguments)
    };
    let owner = ["--token-file", "owner.token"];
    policy(&["SMTP_USER", "SMTP_USRE"]);
    let waits = set(&[]);
    assert_eq!(waits.status.code(), Some(4), "{}", waits.printed);
    assert!(waits.printed.contains("error: nothing is changed yet: request "), "{}", waits.printed);
    let done = set(&owner);
    assert_eq!(done.status.code(), Some(0), "{}", done.printed);
    for text in [
        "the rule developer names the secret SMTP_USRE, and shop has none of that name now",
        "the rule developer names the prefix STMP_, and no secret of shop begins with it now",
    ] {
        assert!(done.printed.contains(text), "{text}: {}", done.printed);
    }
    assert!(
        !done.printed.contains("SMTP_USER,") && !done.printed.contains("prefix SMTP_,"),
        "{}",
        done.printed
    );

    std::fs::write(dev.directory.path().join("policy.json"), r#"{"format": 1, "rules": []}"#).unwrap();
    let asked = set(&owner);
    assert_eq!(asked.status.code(), Some(2), "{}", asked.printed);
    assert!(asked.printed.contains("no Machine of shop boots any more"), "{}", asked.printed);
    assert_eq!(
        dev.own("GET", "/v1/apps/shop/policy", None).json()["policy"]["rules"].as_array().unwrap().len(),
        2
    );
    let done = set(&[&owner[..], &["--yes"]].concat());
    assert_eq!(done.status.code(), Some(0), "{}", done.printed);
}
