//! Tokens in one header are not combined; an attenuated token cannot revoke its original.

use petsem_integration::dev::{Dev, appended, flyv1};
use petsem_integration::http::Answer;
use petsem_policy::{Action, ActionSet, Actions, Apps, SecretNames, UnverifiedToken};
use serde_json::{Value, json};

fn id_of(token: &str) -> String {
    UnverifiedToken::parse(token).unwrap().id().to_string()
}

fn mint(dev: &Dev, parent: &str, wanted: &Value) -> String {
    let minted = dev.call("POST", "/v1/tokens", &flyv1(parent), Some(wanted));
    assert_eq!(minted.status, 201, "{}", minted.text());
    minted.field("token")
}

/// The token and the subject in the audit line of the answered request.
fn named(dev: &Dev, answer: &Answer) -> (String, String) {
    let id = answer.header("petsem-request-id").unwrap();
    let line = dev.audit_lines().into_iter().find(|line| line["request_id"] == id).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&line["token"]), text(&line["subject"]["sub"]))
}

fn forbidden() -> (u16, String) {
    (403, "forbidden".to_owned())
}

#[test]
fn two_tokens_in_one_header_allow_no_more_than_one_of_them_alone() {
    let dev = Dev::start();
    dev.app("first", &json!({}));
    dev.app("second", &json!({}));
    dev.set("first", &json!({"A": "1", "B": "2"}));
    dev.set("second", &json!({"A": "1"}));
    let of =
        |app: &str, action: &str| json!({"kind": "org", "org": "demo", "apps": [app], "actions": [action]});
    // The first is the owner's, the others are the operator's.
    let writer = mint(&dev, &dev.owner(), &of("first", "write"));
    let lister = dev.mint(&of("second", "list"));
    let deleter = dev.mint(&of("first", "delete"));
    for (number, header) in
        [format!("{writer},{lister},{deleter}"), format!("{deleter},{lister},{writer}")].iter().enumerate()
    {
        let call = |method: &str, target: &str, body: Option<Value>| {
            dev.call(method, target, &flyv1(header), body.as_ref())
        };
        let value = || Some(json!({"value": "x"}));
        for (what, answer) in [
            ("write where it may list", call("POST", "/v1/apps/second/secrets/A", value())),
            ("list where it may write", call("GET", "/v1/apps/first/secrets", None)),
            (
                "write by one and delete by the other",
                call("POST", "/v1/apps/first/secrets", Some(json!({"values": {"A": "x", "B": null}}))),
            ),
            ("mint", call("POST", "/v1/tokens", Some(json!({"kind": "org", "org": "demo"})))),
        ] {
            assert_eq!(answer.outcome(), forbidden(), "{what}: {}", answer.text());
        }
        assert_eq!((dev.version("first"), dev.version("second")), (1 + 2 * number as u64, 1));

        let set = call("POST", "/v1/apps/first/secrets/A", value());
        assert_eq!((set.status, set.field("author").as_str()), (201, "owner (petsem-dev)"), "{}", set.text());
        assert_eq!(named(&dev, &set), (id_of(&writer), "owner".to_owned()));
        let deleted = call("POST", "/v1/apps/first/secrets", Some(json!({"values": {"A": null}})));
        assert_eq!(deleted.status, 200, "{}", deleted.text());
        assert_eq!(named(&dev, &deleted), (id_of(&deleter), "developer".to_owned()));
        let listed = call("GET", "/v1/apps/second/secrets", None);
        assert_eq!(listed.status, 200, "{}", listed.text());
        assert_eq!(named(&dev, &listed), (id_of(&lister), "developer".to_owned()));
    }
    let history = dev.operate("GET", "/v1/apps/first/secrets/A/history", None).json();
    let authors: Vec<_> =
        history["history"].as_array().unwrap().iter().map(|entry| entry["author"].clone()).collect();
    assert_eq!(
        authors,
        [
            "developer (petsem-dev)",
            "owner (petsem-dev)",
            "developer (petsem-dev)",
            "owner (petsem-dev)",
            "developer (petsem-dev)"
        ]
    );
}

#[test]
fn tokens_of_two_orgs_in_one_header_each_authorize_only_their_own_org() {
    let dev = Dev::start();
    assert_eq!(dev.operate("POST", "/v1/orgs", Some(&json!({"name": "rivals"}))).status, 201);
    let app = dev.operate("POST", "/v1/apps", Some(&json!({"org": "rivals", "name": "theirs"})));
    assert_eq!(app.status, 201, "{}", app.text());
    let ours = dev.mint(&json!({"kind": "org", "org": "demo"}));
    let theirs = dev.mint(&json!({"kind": "org", "org": "rivals"}));
    for header in [format!("{ours},{theirs}"), format!("{theirs},{ours}")] {
        let call = |method: &str, target: &str, body: Option<Value>| {
            dev.call(method, target, &flyv1(&header), body.as_ref())
        };
        for (app, token) in [("shop", &ours), ("theirs", &theirs)] {
            let set = call("POST", &format!("/v1/apps/{app}/secrets/A"), Some(json!({"value": "x"})));
            assert_eq!((set.status, named(&dev, &set).0), (201, id_of(token)), "{app}: {}", set.text());
        }
        for (org, token, other) in [("demo", &ours, &theirs), ("rivals", &theirs, &ours)] {
            let child = call("POST", "/v1/tokens", Some(json!({"kind": "org", "org": org})));
            assert_eq!(child.status, 201, "{}", child.text());
            let tokens = dev.operate("GET", &format!("/v1/tokens?org={org}"), None).json();
            let child =
                tokens["tokens"].as_array().unwrap().iter().find(|entry| entry["id"] == child.field("id"));
            let ancestors = &child.unwrap()["ancestors"];
            assert!(ancestors.to_string().contains(&id_of(token)), "{ancestors}");
            assert!(!ancestors.to_string().contains(&id_of(other)), "{ancestors}");
        }
        // A token of one org, narrowed to an app of the other.
        let wanted = json!({"kind": "org", "org": "rivals", "apps": ["shop"]});
        let crossed = call("POST", "/v1/tokens", Some(wanted));
        assert_eq!(crossed.outcome(), (404, "not_found".to_owned()));
        for target in ["/v1/tokens", "/v1/issuers"] {
            assert_eq!(call("GET", target, None).outcome(), forbidden(), "{target}");
        }
        // One of the two tokens authorizes the whole request: only its org is visible.
        let orgs = call("GET", "/v1/orgs", None).json();
        let names: Vec<_> = orgs["orgs"].as_array().unwrap().iter().map(|org| org["name"].clone()).collect();
        assert_eq!(names, ["demo"]);
    }
}

#[test]
fn a_narrowed_token_revokes_neither_its_root_nor_a_sibling_nor_itself() {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "1"}));
    let shop: petsem_api::AppId = dev.operate("GET", "/v1/apps/shop", None).field("id").parse().unwrap();
    let owner = dev.owner();
    let root = mint(&dev, &owner, &json!({"kind": "org", "org": "demo"}));
    let sibling = mint(&dev, &root, &json!({"kind": "org", "org": "demo"}));
    let child = |narrowing: Value| {
        let mut wanted = json!({"kind": "org", "org": "demo"});
        wanted.as_object_mut().unwrap().extend(narrowing.as_object().unwrap().clone());
        mint(&dev, &root, &wanted)
    };
    let only_list = Actions(ActionSet::from_iter([Action::List]));
    let narrowed = [
        ("to listing", child(json!({"actions": ["list"]}))),
        ("to an app", child(json!({"apps": ["shop"]}))),
        ("to a secret", child(json!({"secrets": ["A"]}))),
        ("to a Machine", child(json!({"machines": ["m-1"]}))),
        ("to listing, by its holder", appended(&root, [only_list.into()])),
        ("to an app, by its holder", appended(&root, [Apps::new([*shop.as_bytes()]).into()])),
        ("to a secret, by its holder", appended(&root, [SecretNames::new(["A".to_owned()], []).into()])),
    ];
    let revoke = |token: &str, id: &str| {
        dev.call("POST", "/v1/revocations", &flyv1(token), Some(&json!({"token": {"id": id}}))).outcome()
    };
    for (what, token) in &narrowed {
        for other in [&root, &owner, &sibling, token, &dev.operator, &dev.host] {
            assert_eq!(revoke(token, &id_of(other)), forbidden(), "{what}");
        }
        let machine = json!({"machine": {"app": "shop", "machine": "m-1"}});
        let host = json!({"host": {"host": "dev"}});
        let answer = dev.call("POST", "/v1/revocations", &flyv1(token), Some(&host));
        assert_eq!(answer.outcome(), forbidden(), "{what}: the host");
        if !what.contains("app") {
            let answer = dev.call("POST", "/v1/revocations", &flyv1(token), Some(&machine));
            assert_eq!(answer.outcome(), forbidden(), "{what}: a Machine");
        }
    }
    for token in [&root, &sibling, &dev.operator] {
        let list = dev.call("GET", "/v1/apps/shop/secrets", &flyv1(token), None);
        assert_eq!(list.status, 200, "{}", list.text());
    }
    // An operator may revoke it.
    assert_eq!(revoke(&dev.operator, &id_of(&root)).0, 201);
    assert_eq!(dev.call("GET", "/v1/apps/shop/secrets", &flyv1(&sibling), None).outcome().1, "revoked");
}

#[test]
fn an_orgs_tokens_are_all_listed_regardless_of_the_number_of_another_org() {
    const THEIRS: usize = 12_000;
    const OURS: usize = 40;
    let dev = Dev::start_in_memory();
    assert_eq!(dev.operate("POST", "/v1/orgs", Some(&json!({"name": "rivals"}))).status, 201);
    let mut ours: Vec<_> =
        (0..OURS).map(|_| id_of(&dev.mint(&json!({"kind": "org", "org": "demo"})))).collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..THEIRS / 8 {
                    dev.mint(&json!({"kind": "org", "org": "rivals"}));
                }
            });
        }
    });
    let listed = dev.operate("GET", "/v1/tokens?org=demo", None).json();
    let listed = listed["tokens"].as_array().unwrap().iter();
    let mut listed: Vec<_> = listed.map(|token| token["id"].as_str().unwrap().to_owned()).collect();
    ours.push(id_of(&dev.owner()));
    ours.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, ours);
}

#[test]
fn a_token_too_long_for_a_header_is_not_minted_and_lists_of_long_ones_are_truncated() {
    let dev = Dev::start();
    let with = |prefixes: &[String]| {
        dev.operate(
            "POST",
            "/v1/tokens",
            Some(&json!({"kind": "org", "org": "demo", "secret_prefixes": prefixes})),
        )
    };
    let endless = with(&["A".repeat(240_000)]);
    assert_eq!(endless.outcome(), (400, "bad_request".to_owned()), "{}", endless.text());
    assert!(endless.error().contains("16384 are the most"), "{}", endless.text());
    for number in 0..400 {
        assert_eq!(with(&[format!("{number}{}", "A".repeat(11_000))]).status, 201);
    }
    let listed = dev.operate("GET", "/v1/tokens?org=demo", None);
    assert!(listed.body.len() < 5 * 1024 * 1024, "{}", listed.body.len());
    assert_eq!(listed.json()["truncated"], true);
    assert!(listed.json()["tokens"].as_array().unwrap().len() > 300);
}
