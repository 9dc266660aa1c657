//! Other spellings of a name denote nothing.

use petsem_integration::dev::{Dev, appended, flyv1};
use petsem_policy::{Hosts, SecretNames};
use serde_json::json;

/// Other spellings of `shop`; a path is unescaped once and not changed otherwise.
const NOT_SHOP: [&str; 23] = [
    "SHOP",
    "Shop",
    "sHOP",
    "%53hop",  // S
    "shop%20", // trailing space
    "%20shop", // leading space
    "+shop",
    "shop+",
    "shop%09",       // tab
    "shop%0A",       // line feed
    "shop%00",       // NUL
    "shop%C2%A0",    // no-break space
    "sho%E2%80%8Bp", // zero-width space
    "%C5%BFhop",     // long s, which folds to s
    "%EF%BD%93hop",  // full-width s
    "sho%CC%81p",    // combining accent
    "%D1%95hop",     // Cyrillic dze
    "%2573hop",      // escaped twice
    "sh%C0%AFop",    // not UTF-8
    "shop.",
    "shop%2F",
    "shop%3B",
    "%2E%2Fshop",
];

#[test]
fn another_spelling_of_an_app_or_org_reaches_nothing() {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "1"}));
    assert_eq!(dev.operate("POST", "/v1/orgs", Some(&json!({"name": "shop"}))).status, 201);
    let app = dev.operate("GET", "/v1/apps/shop", None);
    let org = dev.operate("GET", "/v1/orgs/shop", None);
    for (kind, reached) in [("apps", &app), ("orgs", &org)] {
        for name in NOT_SHOP {
            for method in ["GET", "DELETE"] {
                let answer = dev.operate(method, &format!("/v1/{kind}/{name}"), None);
                assert_eq!(
                    answer.outcome(),
                    (400, "bad_name".to_owned()),
                    "{method} {kind}/{name}: {}",
                    answer.text()
                );
            }
        }
        // Escapes in a path do not change the name.
        for same in ["shop", "%73hop", "%73%68%6f%70", "%73%68%6F%70"] {
            let answer = dev.operate("GET", &format!("/v1/{kind}/{same}"), None);
            assert_eq!((answer.status, answer.json()), (200, reached.json()), "{same}");
        }
        let id = reached.field("id");
        assert_eq!(dev.operate("GET", &format!("/v1/{kind}/{id}"), None).json(), reached.json());
        for other in [id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}"), format!("urn:uuid:{id}")] {
            let answer = dev.operate("GET", &format!("/v1/{kind}/{other}"), None);
            assert_eq!(answer.outcome(), (400, "bad_name".to_owned()), "{other}: {}", answer.text());
        }
    }
    assert_eq!(dev.version("shop"), 1);
}

#[test]
fn another_spelling_of_a_path_is_not_a_route() {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "1"}));
    for target in [
        "/v1/apps/shop/secrets/",
        "/v1//apps/shop/secrets",
        "//v1/apps/shop/secrets",
        "/v1/apps/shop//secrets",
        "/v1/apps/other/../shop/secrets",
        "/v1/apps/./shop/secrets",
        "/v1/apps/other/%2e%2e/shop/secrets",
        "/v1/apps/shop/secrets/..",
        "/V1/apps/shop/secrets",
        "/v1/Apps/shop/secrets",
        "/v1/apps/shop/Secrets",
        "/v1/apps/shop/secrets;x=1",
        "/v1/apps/shop/secrets%3Fshow_secrets=true",
        "/v1/apps/shop/secrets%20",
        "/v1%2Fapps/shop/secrets",
        "/%76%31/apps/shop/secrets",
    ] {
        // `..` is in the place of a secret's name, and invalid.
        let expected = match target {
            "/v1/apps/shop/secrets/.." => (400, "bad_name".to_owned()),
            _ => (404, "no_route".to_owned()),
        };
        for method in ["GET", "POST", "DELETE"] {
            let body = json!({"values": {"A": "2"}});
            let answer = dev.operate(method, target, (method == "POST").then_some(&body));
            assert_eq!(answer.outcome(), expected, "{method} {target}: {}", answer.text());
        }
    }
    assert_eq!(dev.version("shop"), 1);
}

#[test]
fn another_spelling_of_a_secret_or_key_is_another_name_or_invalid() {
    let dev = Dev::start();
    dev.set("shop", &json!({"SHOP": "1"}));
    let key = dev.operate("POST", "/v1/apps/shop/secretkeys/SHOP/generate", Some(&json!({"type": "hs256"})));
    assert_eq!(key.status, 201, "{}", key.text());
    let token = dev.mint(&json!({"kind": "org", "org": "demo"}));
    let one = flyv1(&appended(&token, [SecretNames::new(["SHOP".to_owned()], []).into()]));
    for kind in ["secrets", "secretkeys"] {
        let get = |name: &str| dev.operate("GET", &format!("/v1/apps/shop/{kind}/{name}"), None).outcome();
        assert_eq!(get("SHOP"), (200, String::new()), "{kind}");
        assert_eq!(get("%53HOP"), (200, String::new()), "{kind}");
        for name in NOT_SHOP {
            let expected = match name {
                "SHOP" => continue,
                // Valid names of secrets that do not exist.
                "Shop" | "sHOP" | "%53hop" => (404, "not_found".to_owned()),
                _ => (400, "bad_name".to_owned()),
            };
            assert_eq!(get(name), expected, "{kind}/{name}");
        }
    }
    // A token for one name may not set the other; both names can exist.
    let set = |header: &str, name: &str, value: &str| {
        dev.call("POST", &format!("/v1/apps/shop/secrets/{name}"), header, Some(&json!({ "value": value })))
    };
    for name in ["Shop", "shop", "SHOP_", "SHO"] {
        assert_eq!(set(&one, name, "2").outcome(), (403, "forbidden".to_owned()), "{name}");
    }
    assert_eq!(set(&flyv1(&dev.operator), "shop", "2").status, 201);
    let read = dev.call("GET", "/v1/apps/shop/secrets?show_secrets=true", &dev.reader_jwt(), None).json();
    let values: Vec<_> =
        read["secrets"].as_array().unwrap().iter().map(|one| (&one["name"], &one["value"])).collect();
    assert_eq!(values, [(&json!("SHOP"), &json!("1")), (&json!("shop"), &json!("2"))]);
    // JSON escapes in a body are decoded, and nothing else is changed.
    let bulk =
        |name: &str| dev.operate("POST", "/v1/apps/shop/secrets", Some(&json!({"values": {name: "3"}})));
    for name in ["SHOP ", " SHOP", "SHOP\0", "ＳHOP", "SHOP\u{301}", "SHOP\u{200b}", "ЅHOP", ""] {
        assert_eq!(bulk(name).outcome(), (400, "bad_name".to_owned()), "{name:?}");
    }
    assert_eq!(dev.version("shop"), 3);
}

#[test]
fn another_spelling_of_a_machine_or_host_boots_nothing_and_does_not_revoke_this_one() {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "1"}));
    let discharge = dev.discharge("shop", "m-1");
    for machine in ["M-1", "m-1.", "m-1_", "m-"] {
        assert_eq!(
            dev.boot("shop", machine, &discharge).outcome(),
            (401, "discharge_invalid".to_owned()),
            "{machine}"
        );
        let proof = dev.boot_jwt("shop", "m-1");
        let asked = dev.ask_discharge(&dev.host, &proof, "shop", machine);
        assert_eq!(asked.outcome(), (403, "policy_denied".to_owned()), "{machine}");
        let revoked = dev.operate(
            "POST",
            "/v1/revocations",
            Some(&json!({"machine": {"app": "shop", "machine": machine}})),
        );
        assert_eq!(revoked.status, 201, "{}", revoked.text());
    }
    for machine in ["m-1 ", " m-1", "m-1\0", "m\u{2010}1", "ｍ-1", "m-\u{661}", "m-1\n", ""] {
        assert_eq!(
            dev.boot("shop", machine, &discharge).outcome(),
            (400, "bad_name".to_owned()),
            "{machine:?}"
        );
    }
    // Claims of a JWT are compared byte by byte.
    for claimed in ["SHOP", "shop ", " shop", "shop\0", "ｓhop", "sh%6fp"] {
        let asked = dev.ask_discharge(&dev.host, &dev.boot_jwt(claimed, "m-1"), "shop", "m-1");
        assert_eq!(asked.outcome(), (403, "policy_denied".to_owned()), "{claimed:?}");
    }
    // The host must equal the listener's exactly.
    let other = dev.mint(&json!({"kind": "host", "host": "DEV"}));
    let jwt = dev.jwt(&json!({"petsem_app": "shop", "petsem_machine": "m-1", "petsem_host": "DEV"}));
    let theirs = dev.ask_discharge(&other, &jwt, "shop", "m-1");
    assert_eq!(theirs.status, 201, "{}", theirs.text());
    let both = flyv1(&format!("{other},{}", theirs.field("discharge")));
    let body = json!({"machine": "m-1"});
    let boot = dev.call("POST", "/v1/apps/shop/boot", &both, Some(&body));
    assert_eq!(boot.outcome(), (403, "forbidden".to_owned()), "{}", boot.text());
    let narrowed = appended(&dev.host, [Hosts::new(["DEV".to_owned()]).into()]);
    let both = flyv1(&format!("{narrowed},{discharge}"));
    let boot = dev.call("POST", "/v1/apps/shop/boot", &both, Some(&body));
    assert_eq!(boot.outcome(), (403, "forbidden".to_owned()), "{}", boot.text());
    let revoked = dev.operate("POST", "/v1/revocations", Some(&json!({"host": {"host": "DEV"}})));
    assert_eq!(revoked.status, 201);
    assert_eq!(dev.boot("shop", "m-1", &discharge).status, 200);
}
