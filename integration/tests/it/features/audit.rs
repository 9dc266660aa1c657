//! The audit log names client and action, also for requests whose client disconnected, reads, discharges and
//! renewals.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use petsem_integration::dev::{Dev, appended, flyv1};
use petsem_integration::http::{Answer, Request, connect};
use petsem_integration::pause;
use petsem_integration::server::{Server, petsem, run};
use petsem_policy::{Ancestors, TokenId, UnverifiedToken};
use serde_json::{Value, json};

const SHOP: &str = "/v1/apps/shop/secrets";

/// The audit line of the answered request.
fn line_of(dev: &Dev, answer: &Answer) -> Value {
    let id = answer.header("petsem-request-id").unwrap();
    let lines: Vec<_> = dev.audit_lines().into_iter().filter(|line| line["request_id"] == id).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.into_iter().next().unwrap()
}

fn detail(line: &Value) -> &str {
    line["detail"].as_str().unwrap_or_default()
}

fn id_of(token: &str) -> String {
    UnverifiedToken::parse(token).unwrap().id().to_string()
}

#[test]
fn a_change_whose_client_disconnected_has_its_own_line() {
    let dev = Dev::start();
    for number in 0..60 {
        let request = Request::new("POST", &format!("{SHOP}/A{number}"))
            .authorization(&flyv1(&dev.operator))
            .json(&json!({"value": "set by someone who does not wait"}));
        // Closed right after writing.
        connect(dev.server.address()).unwrap().write_all(&request.to_bytes()).unwrap();
    }
    // The server may not have accepted one yet.
    while dev.version("shop") == 0 {
        pause(std::time::Duration::from_millis(10));
    }
    // Shutdown waits for pending requests; the next start would recover a missing line.
    let dev = dev.restart(Server::stop).unwrap();
    let version = dev.version("shop");
    assert!(version > 0, "nothing was set");
    let lines = dev.audit_lines();
    let of = |outcome: &str| -> Vec<u64> {
        let of = lines.iter().filter(|line| line["action"] == "secret.set" && line["outcome"] == outcome);
        of.map(|line| line["version"].as_u64().unwrap()).collect()
    };
    let mut allowed = of("allowed");
    allowed.sort_unstable();
    assert_eq!(allowed, (1..=version).collect::<Vec<_>>());
    assert_eq!(of("recovered"), Vec::<u64>::new());
}

/// The line names a client that appends any caveats to its token, and the next start recovers no line.
#[test]
fn a_token_with_the_most_ancestors_that_fit_a_header_has_its_line() {
    let dev = Dev::start();
    let ids = (0..1700_u128).map(|number| TokenId::from_bytes(number.to_be_bytes())).collect();
    let token = appended(&dev.operator, [Ancestors(ids).into()]);
    let answer = dev.call("POST", &format!("{SHOP}/A"), &flyv1(&token), Some(&json!({"value": "1"})));
    assert_eq!(answer.status, 201, "{}", answer.text());
    let line = line_of(&dev, &answer);
    assert_eq!((&line["action"], &line["outcome"]), (&json!("secret.set"), &json!("allowed")));
    assert_eq!(line["token"], id_of(&token));
    assert_eq!(line["ancestors"].as_array().unwrap().len(), 32);
    assert!(detail(&line).contains("the line was too long and is cut; 1700 ancestors"), "{line}");
    let refused = dev.call("GET", &format!("{SHOP}?show_secrets=true"), &flyv1(&token), None);
    assert_eq!(line_of(&dev, &refused)["reason"], "read_needs_workload");
    // Nor can such a token mint a host token, whose record would have all ancestors.
    dev.enroll("h");
    let host = dev.call("POST", "/v1/tokens", &flyv1(&token), Some(&json!({"kind": "host", "host": "h"})));
    assert_eq!(host.outcome(), (400, "bad_request".to_owned()));
    assert!(host.text().contains("at most 32 ancestors"), "{}", host.text());
    let dev = dev.restart(Server::kill).unwrap();
    assert!(dev.audit_lines().iter().all(|line| line["outcome"] != "recovered"));
}

#[test]
fn reading_values_writes_a_line_with_reader_names_and_rule() {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "1", "B": "2"}));
    let read = |target: &str| dev.call("GET", &format!("{SHOP}{target}"), &dev.reader_jwt(), None);
    for (target, action, names) in [
        ("?show_secrets=true", "secret.read", json!({"count": 2, "names": ["A", "B"]})),
        ("/A?show_secrets=true", "secret.read", json!({"count": 1, "names": ["A"]})),
        ("", "secret.list", json!({"count": 2, "names": ["A", "B"]})),
        ("/A", "secret.show", json!({"count": 1, "names": ["A"]})),
    ] {
        let answer = read(target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        let line = line_of(&dev, &answer);
        assert_eq!((&line["action"], &line["outcome"]), (&json!(action), &json!("allowed")), "{target}");
        assert_eq!((&line["app_name"], &line["version"]), (&json!("shop"), &json!(1)), "{target}");
        assert_eq!(line["secrets"], names, "{target}");
        assert_eq!(line["subject"]["sub"], "developer", "{target}");
        assert_eq!(detail(&line), "rule developer", "{target}");
    }
    // A token that requests values is refused, and its line says that values were requested.
    let refused = dev.operate("GET", &format!("{SHOP}/A?show_secrets=true"), None);
    let line = line_of(&dev, &refused);
    assert_eq!(
        (&line["action"], &line["outcome"], &line["reason"]),
        (&json!("secret.read"), &json!("denied"), &json!("read_needs_workload"))
    );
}

#[test]
fn every_discharge_and_renewal_is_named_and_revoking_the_first_revokes_all_derived_from_it() {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "1"}));
    let asked = dev.ask_discharge(&dev.host, &dev.boot_jwt("shop", "m-1"), "shop", "m-1");
    let discharge = asked.field("discharge");
    let first = id_of(&discharge);
    let line = line_of(&dev, &asked);
    assert_eq!((&line["action"], &line["machine"]), (&json!("discharge"), &json!("m-1")));
    assert!(detail(&line).starts_with(&format!("discharge {first} for host dev")), "{line}");

    let booted = dev.boot("shop", "m-1", &discharge);
    let renewal = booted.field("renewal");
    let named = format!("discharge {first}, renewal {}, requested by orchestrator", id_of(&renewal));
    let line = line_of(&dev, &booted);
    assert!(detail(&line).starts_with(&named), "{line}");

    let renew = |renewal: &str| {
        let both = flyv1(&format!("{},{renewal}", dev.host));
        dev.call("POST", "/v1/apps/shop/boot/renew", &both, Some(&json!({"machine": "m-1"})))
    };
    let renewed = renew(&renewal);
    let second = renewed.field("renewal");
    let named = format!("discharge {}, renewal {}", id_of(&renewal), id_of(&second));
    let line = line_of(&dev, &renewed);
    assert!(detail(&line).starts_with(&named), "{line}");
    let third = renew(&second).field("renewal");

    let other = dev.boot("shop", "m-2", &dev.discharge("shop", "m-2")).field("renewal");
    let revoked =
        dev.operate("POST", "/v1/revocations", Some(&json!({"token": {"id": first, "unknown": true}})));
    assert_eq!(revoked.status, 201, "{}", revoked.text());
    assert_eq!(detail(&line_of(&dev, &revoked)), format!("revokes token {first}"));
    for (what, gone) in
        [("discharge", &discharge), ("first", &renewal), ("second", &second), ("third", &third)]
    {
        let outcome = (401, "revoked".to_owned());
        assert_eq!(
            (dev.boot("shop", "m-1", gone).outcome(), renew(gone).outcome()),
            (outcome.clone(), outcome),
            "{what}"
        );
    }
    assert_eq!(dev.boot("shop", "m-2", &other).status, 200);
    assert_eq!(dev.boot("shop", "m-1", &dev.discharge("shop", "m-1")).status, 200);
}

#[test]
fn a_boot_with_an_invalid_body_has_its_own_line() {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "1"}));
    let both = flyv1(&format!("{},{}", dev.host, dev.discharge("shop", "m-1")));
    for (what, action) in [("", "boot"), ("/renew", "boot.renew"), ("/report", "boot.report")] {
        let target = format!("/v1/apps/shop/boot{what}");
        let answer = dev.call("POST", &target, &both, Some(&json!({"machine": 1})));
        assert_eq!(answer.outcome(), (400, "bad_request".to_owned()));
        let line = line_of(&dev, &answer);
        assert_eq!(
            (&line["action"], &line["outcome"], &line["token"]),
            (&json!(action), &json!("denied"), &json!(id_of(&dev.host))),
            "{line}"
        );
    }
}

#[test]
fn the_line_of_a_revocation_names_what_it_revokes() {
    let dev = Dev::start();
    for (what, words) in [
        (json!({"machine": {"app": "shop", "machine": "m-1"}}), "revokes Machine m-1 of app shop"),
        (json!({"host": {"host": "host-9", "unknown": true}}), "revokes host host-9"),
    ] {
        let answer = dev.operate("POST", "/v1/revocations", Some(&what));
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(detail(&line_of(&dev, &answer)), words);
    }
}

fn denied(dev: &Dev) -> Vec<Value> {
    dev.audit_lines().into_iter().filter(|line| line["outcome"] == "denied").collect()
}

fn private(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Denials are to be alerted on, so commands that work must not leave any.
#[test]
fn ordinary_use_of_the_command_writes_no_denied_line() {
    let dev = Dev::start();
    let at = |name: &str| dev.directory.path().join(name);
    std::fs::write(at("letter"), "meet me at noon").unwrap();
    std::fs::write(at("policy.json"), petsem_integration::dev::policy().to_string()).unwrap();
    let owner = dev.layout().owner_token();
    let wanted = json!({"kind": "org", "org": "demo", "actions": ["use_key"]});
    private(&at("user.token"), &dev.own("POST", "/v1/tokens", Some(&wanted)).field("token"));
    for line in [
        "secrets set A --file letter",
        "secrets list",
        "secrets history A",
        "secrets rollback A --to-version 1",
        "keys generate mail --type xaes256gcm",
        "keys generate mail --type xaes256gcm",
        "keys generate plain --no-version --type hs256",
        "keys list",
        "keys encrypt mail letter --out sealed",
        "keys decrypt mail sealed --out opened",
        "keys sign plain letter --out signed",
        "keys verify plain letter --signature signed",
        "keys encrypt mailv0 letter --token-file user.token --out sealed.user",
        "keys sign plain letter --token-file user.token --out signed.user",
        "keys delete mailv0 --yes",
        "policy show",
        "policy set policy.json",
        "app show shop",
        "app list --org demo",
        "token create --org demo --action list --out list.token",
        "run -- true",
        "boot --machine m-1 -- true",
        "boot --machine m-1 --show",
        "secrets unset A",
    ] {
        let mut arguments: Vec<&str> = line.split(' ').collect();
        let is_owners =
            !line.contains("--token-file") && !line.starts_with("run") && !line.starts_with("boot");
        let flags = ["--token-file", owner.to_str().unwrap()];
        arguments.extend(is_owners.then_some(flags).into_iter().flatten());
        let mut command = petsem(&arguments);
        command.current_dir(dev.directory.path()).env("PETSEM_CONTEXT", at("context.toml"));
        let ended = run(command);
        assert!(ended.status.success(), "{line}: {}", ended.printed);
    }
    assert_eq!(std::fs::read_to_string(at("opened")).unwrap(), "meet me at noon");
    assert_eq!(denied(&dev), Vec::<Value>::new());
}

/// Resolving the app's name is part of the decision: it needs no right to list, and no denied look-up.
#[test]
fn a_token_that_is_narrowed_to_one_boot_boots_an_app_by_name() {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "value"}));
    let app = dev.operate("GET", "/v1/apps/shop", None).field("id");
    let own = petsem_client::Credentials::new(&dev.owner()).unwrap();
    let narrow = |app: &str| {
        let (app, now) = (app.parse().unwrap(), petsem_integration::dev::now());
        let narrowed =
            petsem_client::narrow_for_boot(&own, &app, &"m-1".parse().unwrap(), &"dev".parse().unwrap(), now);
        narrowed.unwrap().expose_text().to_owned()
    };
    let at = |name: &str| dev.directory.path().join(name);
    private(&at("narrow.token"), &narrow(&app));
    for name in ["shop", &app] {
        let endpoint = format!("http://{}", dev.server.address());
        let mut command =
            petsem(["boot", "--app", name, "--machine", "m-1", "--host", "dev", "--endpoint", &endpoint]);
        command.args(["--token-file", "narrow.token", "--host-token-file", "host.token"]);
        command.args(["--", "sh", "-c", "echo A=$A"]).current_dir(dev.directory.path().join("data"));
        command.current_dir(dev.directory.path());
        let ended = run(command);
        assert!(ended.status.success() && ended.printed.contains("A=value"), "{name}: {}", ended.printed);
    }
    assert_eq!(denied(&dev), Vec::<Value>::new());
}
