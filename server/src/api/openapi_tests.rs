//! The OpenAPI document is generated from the routes, and the copy in the repository is up to date.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::http::header::ALLOW;
use axum::http::{Method, Request, StatusCode};
use petsem_api::ErrorCode;
use petsem_policy::Action;
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::dev::development::Development;
use crate::node::start::stop;
use crate::operator::install::{make, open_new};

/// Keys of a path item that are not methods.
const NO_METHODS: [&str; 3] = ["parameters", "summary", "description"];

#[tokio::test]
async fn the_document_has_the_routers_paths_and_methods() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Development::at(directory.path()).settings("127.0.0.1:0").unwrap();
    let started = make(&settings, open_new(&settings).await.unwrap(), true, &mut |_| Ok(())).await.unwrap();

    let mut routed = BTreeMap::new();
    let paths: BTreeSet<_> = routes().into_iter().map(|route| route.path).collect();
    for path in paths {
        // No route has TRACE: the refusal lists the methods that it has.
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
fn the_copy_in_the_repository_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    if std::env::var_os("PETSEM_BLESS").is_some() {
        std::fs::write(path, super::document()).unwrap();
    }
    let copy = std::fs::read_to_string(path).unwrap();
    assert!(copy == super::document(), "{path} is out of date: PETSEM_BLESS=1 writes it");
}

#[test]
fn every_error_code_has_its_status_and_meaning() {
    let document = document();
    let codes = &document["components"]["schemas"]["ErrorCode"];
    let listed: Vec<&str> =
        codes["enum"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    let all: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(listed, all);
    for code in ErrorCode::ALL {
        assert_eq!(codes["x-http-status"][code.as_str()], code.http_status(), "{code}");
        assert_eq!(codes["x-meaning"][code.as_str()], code.meaning(), "{code}");
    }
}

#[test]
fn a_refusal_has_the_codes_of_its_status() {
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        // OAuth has statuses of its own (RFC 6749 §5.2).
        for (method, operation) in item.as_object().unwrap().iter().filter(|_| path != "/v1/token") {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let Some(reference) = response["$ref"].as_str() else { continue };
                let response = document.pointer(reference.strip_prefix('#').unwrap()).unwrap();
                let schema = &response["content"]["application/json"]["schema"];
                let Some(codes) = schema.pointer("/allOf/1/properties/status/enum") else { continue };
                for code in codes.as_array().unwrap() {
                    let code: ErrorCode = serde_json::from_value(code.clone()).unwrap();
                    assert_eq!(code.http_status().to_string(), *status, "{method} {path}");
                }
            }
        }
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
fn each_operation_states_its_parameters_and_refusals() {
    let mut names = BTreeSet::new();
    for (path, item) in document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if NO_METHODS.contains(&method.as_str()) {
                continue;
            }
            let name = operation["operationId"].as_str().unwrap();
            let parameters =
                operation.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
            let named: BTreeSet<&str> = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            assert_eq!(named, placeholders(path), "{name}");
            assert!(names.insert(name.to_owned()), "{name} occurs twice");
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

fn document() -> Value {
    serde_json::from_str(&super::document()).unwrap()
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
