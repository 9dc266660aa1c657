//! Why was I denied? The command line shows the caveat or rule that refuses.

use petsem_integration::dev::{Dev, appended, now, policy};
use petsem_integration::server::{petsem, run};
use petsem_policy::{Action, ActionSet, Actions};
use petsem_server::Development;
use serde_json::{Value, json};

#[test]
fn the_command_line_explains_with_a_server_and_offline() {
    let dev = Dev::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("look.token");
    let look = appended(&dev.operator, [Actions(ActionSet::from_iter([Action::List])).into()]);
    std::fs::write(&file, &look).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let context = dev.layout().operator_token().with_file_name("context.toml");

    let mut asked = petsem(["token", "explain", "--action", "write", "--app", "shop", "--secret", "A"]);
    asked.arg("--context").arg(&context).arg("--token-file").arg(&file);
    let asked = run(asked);
    assert_eq!(asked.status.code(), Some(1), "{}", asked.printed);
    assert!(asked.printed.contains("it does not allow write"), "{}", asked.printed);
    assert!(asked.printed.contains("no token allows the request"), "{}", asked.printed);

    // The app is found in the same way as by other commands.
    let mut by_context = petsem(["token", "explain", "--action", "write", "--secret", "A"]);
    by_context.arg("--context").arg(&context).arg("--token-file").arg(&file);
    let by_context = run(by_context);
    // Standard output and standard error come in either order.
    let lines = |printed: &str| printed.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    assert_eq!((by_context.status.code(), lines(&by_context.printed)), (Some(1), lines(&asked.printed)));

    let offline = |action: &str| {
        let id = dev.operate("GET", "/v1/apps/shop", None).field("id");
        let mut command = petsem(["token", "explain", "--action", action, "--app", &id, "--offline"]);
        command.arg(&file);
        run(command)
    };
    let refused = offline("write");
    assert_eq!(refused.status.code(), Some(1), "{}", refused.printed);
    assert!(refused.printed.contains("it does not allow write"), "{}", refused.printed);
    let allowed = offline("list");
    assert_eq!(allowed.status.code(), Some(0), "{}", allowed.printed);
    assert!(!allowed.printed.contains("fm2_"), "{}", allowed.printed);
}

#[test]
fn a_policy_that_takes_away_says_what_and_from_whom() {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "1"}));
    let set = |rules: &Value| -> Vec<String> {
        let file = dev.directory.path().join("policy.json");
        std::fs::write(&file, json!({"format": 1, "rules": rules}).to_string()).unwrap();
        let mut command = petsem(["policy", "set", "policy.json", "--app", "shop", "--yes"]);
        command.arg("--endpoint").arg(format!("http://{}", dev.server.address()));
        command.arg("--token-file").arg(dev.layout().owner_token());
        command.current_dir(dev.directory.path());
        let ended = run(command);
        assert!(ended.status.success(), "{}", ended.printed);
        let notes = ended.printed.lines().filter_map(|line| line.strip_prefix("note: "));
        notes.map(str::to_owned).collect()
    };
    let rules = policy()["rules"].clone();
    let [boot, developer] = [&rules[0], &rules[1]];
    assert_eq!(set(&rules), [""; 0]);
    let mut more = rules.clone();
    more.as_array_mut().unwrap().push(json!({
        "name": "web", "issuer": Development::ISSUER, "claims": {"sub": "web"},
        "actions": ["read_value"], "secrets": {"names": ["A"]}
    }));
    assert_eq!(set(&more), [""; 0]);
    let gone = |rule: &str, may: &str| {
        let who = format!("JWTs of {} that the rule {rule} accepted", Development::ISSUER);
        format!("{who} can no longer {may}, unless another rule lets them; it was {{")
    };
    let notes = set(&json!([developer]));
    assert_eq!(notes.len(), 3, "{notes:?}");
    for (note, start) in notes.iter().zip([gone("boot", "boot"), gone("web", "read all that they could")]) {
        assert!(note.starts_with(&start), "{note}");
    }
    // It can be set again as it is shown.
    let (_, shown) = notes[0].split_once("it was ").unwrap();
    assert_eq!(serde_json::from_str::<Value>(shown).unwrap(), *boot);
    assert_eq!(
        notes[2],
        "this policy has no rule that boots: no Machine of shop boots any more, also not by a renewal that a host has"
    );
    let notes = set(&json!([]));
    assert_eq!(
        notes[1..],
        ["this policy has no rule that reads: no workload reads a secret of shop any more"]
    );
}

#[test]
fn a_policy_is_tested_with_claims_without_a_jwt() {
    let dev = Dev::start();
    let directory = tempfile::tempdir().unwrap();
    let context = dev.layout().operator_token().with_file_name("context.toml");
    let put = dev.own("PUT", "/v1/apps/shop/policy", Some(&json!({ "policy": policy() })));
    assert_eq!(put.status, 200, "{}", put.text());
    let test = |claims: &Value, question: &[&str]| {
        let file = directory.path().join("claims.json");
        std::fs::write(&file, claims.to_string()).unwrap();
        let mut command = petsem(["policy", "test"]);
        command.arg(&file).args(question).arg("--context").arg(&context);
        run(command)
    };
    let issuer = Development::ISSUER;
    let claims = |sub: &str, machine: &str| {
        json!({
            "iss": issuer, "sub": sub, "iat": now(), "exp": now() + 60, "petsem_app": "shop",
            "petsem_machine": machine, "petsem_host": "dev",
        })
    };
    let question = ["--machine", "m-1", "--host", "dev"];
    let allowed = test(&claims("orchestrator", "m-1"), &question);
    assert_eq!(allowed.status.code(), Some(0), "{}", allowed.printed);
    let refused = test(&claims("orchestrator", "m-2"), &question);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.printed);
    assert!(
        refused.printed.contains("petsem_machine") && refused.printed.contains("(the nearest)"),
        "{}",
        refused.printed
    );
}
