//! Apps, as Fly.io's clients create, list and look for them.

use petsem_integration::dev::{Dev, flyv1};
use petsem_integration::http::{Answer, Connection};
use serde_json::json;

/// A request of fly-go, byte for byte except for its user agent and the identifiers of its traces.
fn fly_go(dev: &Dev, method: &str, target: &str, tokens: &str, body: Option<&str>) -> Answer {
    let address = dev.server.address();
    let length = body.map_or_else(String::new, |body| format!("Content-Length: {}\r\n", body.len()));
    let kind = body.map_or("", |_| "Content-Type: application/json\r\n");
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: fly-go\r\n{length}Authorization: {}\r\n{kind}\
         Accept-Encoding: gzip\r\n\r\n{}",
        flyv1(tokens),
        body.unwrap_or_default()
    );
    Connection::open(address).unwrap().call_bytes(request.as_bytes()).unwrap()
}

const CREATE: &str = r#"{"name":"web","org_slug":"demo","network":"","app_role_id":""}"#;

#[test]
fn an_app_is_created_listed_and_shown_as_fly_go_asks() {
    let dev = Dev::start();
    let token = dev.mint(&json!({"kind": "org", "org": "demo"}));
    let created = fly_go(&dev, "POST", "/v1/apps?wait=true", &token, Some(CREATE));
    assert_eq!(created.status, 201, "{}", created.text());
    let shown = fly_go(&dev, "GET", "/v1/apps/web", &token, None);
    assert_eq!((shown.status, shown.json()), (200, created.json()));
    let app = created.json();
    assert_eq!(
        (&app["name"], &app["organization"], &app["status"]),
        (&json!("web"), &json!({"name": "demo", "slug": "demo"}), &json!("pending"))
    );
    let listed = fly_go(&dev, "GET", "/v1/apps?org_slug=demo", &token, None);
    let names: Vec<_> =
        listed.json()["apps"].as_array().unwrap().iter().map(|app| app["name"].clone()).collect();
    assert_eq!((listed.status, names), (200, vec![json!("shop"), json!("web")]));
    let again = fly_go(&dev, "POST", "/v1/apps?wait=true", &token, Some(CREATE));
    assert_eq!(again.outcome(), (409, "name_taken".to_owned()));
    let advice = "names of apps are unique across all orgs; choose another name, such as demo-web";
    assert!(again.text().contains(advice), "{}", again.text());

    for (target, body, error) in [
        ("/v1/apps", r#"{"name":"x"}"#, "give either org or org_slug"),
        ("/v1/apps", r#"{"name":"x","org":"demo","org_slug":"demo"}"#, "give either org or org_slug"),
        (
            "/v1/apps",
            r#"{"name":"x","org_slug":"demo","network":"n"}"#,
            "leave network and app_role_id empty",
        ),
        ("/v1/apps?wait=soon", CREATE, "query"),
    ] {
        let refused = fly_go(&dev, "POST", target, &token, Some(body));
        assert_eq!(refused.outcome(), (400, "bad_request".to_owned()), "{target} {body}");
        assert!(refused.error().contains(error), "{}", refused.error());
    }
    for query in ["", "?org=demo&org_slug=demo"] {
        let refused = fly_go(&dev, "GET", &format!("/v1/apps{query}"), &token, None);
        assert_eq!(refused.outcome(), (400, "bad_request".to_owned()), "{query}");
    }
}

#[test]
fn a_free_name_is_not_found_by_who_may_take_it_and_refused_to_others() {
    let dev = Dev::start();
    assert_eq!(dev.operate("POST", "/v1/orgs", Some(&json!({"name": "rivals"}))).status, 201);
    let token = |wanted: serde_json::Value| dev.mint(&wanted);
    let creator = token(json!({"kind": "org", "org": "rivals"}));
    let lister = token(json!({"kind": "org", "org": "rivals", "actions": ["list"]}));
    let mine = json!({"org": "rivals", "name": "mine"});
    assert_eq!(dev.operate("POST", "/v1/apps", Some(&mine)).status, 201);
    let writer = token(json!({"kind": "org", "org": "rivals", "apps": ["mine"]}));
    let (not_found, forbidden) = ((404, "not_found".to_owned()), (403, "forbidden".to_owned()));
    for (who, tokens, free) in [
        ("an operator", &dev.operator, &not_found),
        ("a token that creates apps", &creator, &not_found),
        ("a token that only lists", &lister, &forbidden),
        ("a token for one app", &writer, &forbidden),
        ("a host", &dev.host, &forbidden),
    ] {
        let ask = |app: &str| fly_go(&dev, "GET", &format!("/v1/apps/{app}"), tokens, None);
        let (missing, taken) = (ask("void"), ask("shop"));
        if tokens != &dev.host {
            assert_eq!(&missing.outcome(), free, "{who}: {}", missing.text());
        }
        if tokens != &dev.operator {
            assert_eq!(taken.outcome().0 / 100, 4, "{who}: {}", taken.text());
            assert_ne!(taken.status, 404, "{who}");
        }
        if free == &forbidden {
            assert_eq!(missing.seen(), taken.seen(), "{who}");
        }
        // An id cannot be chosen, so an app with it cannot be created.
        let id = ask("0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00");
        assert_eq!(id.seen(), if tokens == &dev.operator { missing.seen() } else { taken.seen() }, "{who}");
    }
}
