//! `openapi.json` and the router say the same.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::http::header::ALLOW;
use axum::http::{Method, StatusCode};
use petsem_policy::Action;
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::dev::development::Development;
use crate::node::start::stop;
use crate::operator::install::make;

/// Keys of a path item that are no methods.
const NO_METHODS: [&str; 3] = ["parameters", "summary", "description"];

#[tokio::test]
async fn the_document_has_the_routers_paths_and_methods() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Development::at(directory.path()).settings("127.0.0.1:0").unwrap();
    let started = make(&settings, true, &mut |_| Ok(())).await.unwrap();

    let mut routed = BTreeMap::new();
    for (path, _) in api().into_iter().chain(process()) {
        // No route knows TRACE: the refusal lists the methods that it does know.
        let request = Request::builder().method(Method::TRACE).uri(example_of(path));
        let answer =
            router(Arc::clone(&started.state)).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let allowed = answer.headers()[ALLOW].to_str().unwrap().split(',');
        let methods: BTreeSet<String> =
            allowed.filter(|method| *method != "HEAD").map(str::to_lowercase).collect();
        assert_eq!(routed.insert(path.to_owned(), methods), None, "{path} is routed twice");
    }
    stop(started).await.unwrap();

    assert_eq!(documented(), routed);
}

#[test]
fn every_error_code_stands_with_its_status() {
    let document = document();
    let codes = &document["components"]["schemas"]["ErrorCode"];
    let listed: Vec<&str> =
        codes["enum"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    let all: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(listed, all);
    for code in ErrorCode::ALL {
        assert_eq!(codes["x-http-status"][code.as_str()], code.http_status(), "{code}");
        let response = &document["components"]["responses"][format!("Error{}", code.http_status())];
        assert!(response["description"].as_str().unwrap().contains(&format!("`{code}`")), "{code}");
    }
}

#[test]
fn every_reference_resolves() {
    let document = document();
    let mut seen = BTreeSet::new();
    references(&document, &mut seen);
    for reference in &seen {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(
            seen.contains(&format!("#/components/schemas/{name}")),
            "nothing refers to the schema {name}"
        );
    }
}

#[test]
fn each_operation_says_how_it_is_called_and_refused() {
    let mut names = BTreeSet::new();
    for (path, item) in document()["paths"].as_object().unwrap() {
        let shared = item.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
        let named: BTreeSet<&str> =
            shared.iter().map(|parameter| parameter["name"].as_str().unwrap()).collect();
        assert_eq!(named, placeholders(path), "{path}");
        for (method, operation) in item.as_object().unwrap() {
            if NO_METHODS.contains(&method.as_str()) {
                continue;
            }
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} stands twice");
            assert!(operation["security"].is_array(), "{name}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{name}");
            if path.starts_with("/v1") {
                // OAuth knows 400 alone for what is wrong with a credential (RFC 6749 §5.2).
                let oauth = path == "/v1/token";
                let refusals: &[&str] = if oauth { &["400"] } else { &["400", "401", "403"] };
                for status in refusals.iter().chain(&["500", "503"]) {
                    assert!(responses.contains_key(*status), "{name}: {status}");
                }
            }
        }
    }
}

#[test]
fn the_actions_are_those_of_policy() {
    let names: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
    assert_eq!(document()["components"]["schemas"]["Action"]["enum"], serde_json::json!(names));
}

#[test]
fn the_version_is_this_builds() {
    assert_eq!(document()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

fn document() -> Value {
    serde_json::from_str(include_str!("../../openapi.json")).unwrap()
}

/// Path → methods, as the document has them.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let methods = |item: &Value| {
        let keys = item.as_object().unwrap().keys();
        keys.filter(|key| !NO_METHODS.contains(&key.as_str())).cloned().collect()
    };
    paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect()
}

fn placeholders(path: &str) -> BTreeSet<&str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect()
}

fn example_of(path: &str) -> String {
    placeholders(path).iter().fold(path.to_owned(), |path, name| path.replace(&format!("{{{name}}}"), "x"))
}

fn references(value: &Value, seen: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                seen.insert(reference.clone());
            }
            map.values().for_each(|value| references(value, seen));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, seen)),
        _ => {}
    }
}
