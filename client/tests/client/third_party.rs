//! Discharges from a discharger that the test scripts: each row of macaroon-format part 9, and hostile answers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use petsem_api::ErrorCode;
use petsem_client::{CallError, Client, Credentials, MalformedAnswer, Patience, Timing};
use petsem_outbound::{OutboundClient, OutboundError, OutboundUrl, PlainHttp};

use crate::server::{Seen, Server, json, refusal};

const LOCATION: &str = "https://auth.example/base/";
const ASK: &str = "POST /base/.well-known/macfly/3p";
const POLL: &str = "https://auth.example/base/.well-known/macfly/3p/poll/0123";
const POLLED: &str = "GET /base/.well-known/macfly/3p/poll/0123";

fn timing() -> Timing {
    let mut timing = Timing::default();
    timing.first_pause = Duration::from_millis(1);
    timing.longest_pause = Duration::from_millis(2);
    timing.first_poll = Duration::from_millis(1);
    timing.longest_poll = Duration::from_millis(4);
    timing
}

fn patience() -> Patience<'static> {
    Patience { wait: Duration::from_secs(20), open_url: None }
}

async fn client(server: &Server) -> Client {
    Client::builder(vec![]).timing(timing()).discharger(LOCATION, vec![server.start().await]).build()
}

/// Asks for a discharge, with the discharger playing `script`.
async fn discharge_with(
    script: impl Fn(usize, &Seen) -> Response + Send + Sync + 'static,
    patience: &Patience<'_>,
) -> (Result<String, CallError>, Vec<Seen>) {
    let server = Server::new(script);
    let client = client(&server).await;
    let own = Credentials::new("fm2_own").unwrap();
    let answer = client.discharge_ticket(LOCATION, b"ticket", Some(&own), patience).await;
    (answer.map(|discharge| discharge.expose_text().to_owned()), server.seen())
}

fn lines(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|seen| seen.line.as_str()).collect()
}

fn poll_at(url: &str) -> String {
    format!(r#"{{"poll_url":"{url}"}}"#)
}

fn page_at(poll: &str, page: &str) -> String {
    format!(r#"{{"user_interactive":{{"poll_url":"{poll}","user_url":"{page}"}}}}"#)
}

#[tokio::test]
async fn an_immediate_discharge_is_accepted_with_any_content_type() {
    let plain = |_: usize, _: &Seen| {
        let body = r#"{"discharge":"fm2_one,fm2_two","extra":1}"#;
        (StatusCode::CREATED, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
    };
    let (answer, seen) = discharge_with(plain, &patience()).await;
    assert_eq!(answer.unwrap(), "fm2_one,fm2_two");
    assert_eq!(lines(&seen), [ASK]);
    assert_eq!(seen[0].authorization, "FlyV1 fm2_own");
    assert_eq!(seen[0].body, r#"{"ticket":"dGlja2V0"}"#);
}

#[tokio::test]
async fn an_error_precedes_a_discharge_a_discharge_a_poll_and_a_poll_a_page() {
    let all = format!(
        r#""discharge":"fm2_d","poll_url":"{POLL}","user_interactive":{{"poll_url":"{POLL}","user_url":"https://p"}}"#
    );
    let error = format!(r#"{{"error":"first",{all}}}"#);
    let (answer, _) = discharge_with(move |_, _| json(201, error.clone()), &patience()).await;
    let CallError::Refused { status: 201, message, .. } = answer.unwrap_err() else { panic!("a refusal") };
    assert_eq!(message, "first");

    let without = format!(r#"{{"error":"",{all}}}"#);
    let (answer, seen) = discharge_with(move |_, _| json(201, without.clone()), &patience()).await;
    assert_eq!((answer.unwrap(), seen.len()), ("fm2_d".to_owned(), 1));

    let both = format!(
        r#"{{"poll_url":"{POLL}","user_interactive":{{"poll_url":"https://no","user_url":"https://p"}}}}"#
    );
    let script = move |at, _: &Seen| match at {
        0 => json(201, both.clone()),
        _ => json(200, r#"{"discharge":"fm2_polled"}"#),
    };
    let (answer, seen) = discharge_with(script, &patience()).await;
    assert_eq!(answer.unwrap(), "fm2_polled");
    assert_eq!(lines(&seen), [ASK, POLLED]);
}

#[tokio::test]
async fn a_poll_is_repeated_until_it_is_ready_and_carries_no_credentials() {
    let script = |at, _: &Seen| match at {
        0 => json(201, poll_at(POLL)),
        1 => json(202, r#"{"error":"not ready"}"#),
        // The body of a 202 is ignored.
        2 => json(202, r#"{"discharge":"fm2_too_early"}"#),
        3 => json(202, "no JSON at all"),
        _ => json(200, r#"{"discharge":"fm2_polled"}"#),
    };
    let (answer, seen) = discharge_with(script, &patience()).await;
    assert_eq!(answer.unwrap(), "fm2_polled");
    assert_eq!(lines(&seen), [ASK, POLLED, POLLED, POLLED, POLLED]);
    assert!(seen[1..].iter().all(|seen| seen.authorization.is_empty()), "{seen:?}");
}

#[tokio::test]
async fn a_poll_that_is_refused_not_found_or_empty_ends_the_flow() {
    let cases = [
        (200, r#"{"error":"the answer is no"}"#, Some((200, "the answer is no"))),
        (404, r#"{"error":"not found"}"#, Some((404, "not found"))),
        (500, r#"{"error":"internal server error"}"#, Some((500, "internal server error"))),
        (200, "{}", None),
    ];
    for (status, body, expected) in cases {
        let script = move |at, _: &Seen| match at {
            0 => json(201, poll_at(POLL)),
            _ => json(status, body),
        };
        let (answer, seen) = discharge_with(script, &patience()).await;
        assert_eq!(lines(&seen), [ASK, POLLED], "{body}");
        match (answer.unwrap_err(), expected) {
            (CallError::Refused { status, message, .. }, Some(expected)) => {
                assert_eq!((status, message.as_str()), expected);
            }
            (CallError::Protocol { malformed, .. }, None) => {
                assert_eq!(malformed, MalformedAnswer::NoDischarge);
            }
            (error, _) => panic!("{body}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_poll_that_is_never_ready_ends_with_its_deadline() {
    let script = |at, _: &Seen| match at {
        0 => json(201, poll_at(POLL)),
        _ => json(202, r#"{"error":"not ready"}"#),
    };
    let short = Patience { wait: Duration::from_millis(60), open_url: None };
    let (answer, seen) = discharge_with(script, &short).await;
    let CallError::NotReady { location, waited } = answer.unwrap_err() else { panic!("not ready") };
    assert_eq!((location.as_str(), waited), (LOCATION, Duration::from_millis(60)));
    // 1, 2, 4, 4 … ms between polls: the pauses grow.
    assert!((3..=20).contains(&seen.len()), "{}", seen.len());
}

#[tokio::test]
async fn a_poll_url_on_another_origin_is_never_called() {
    for url in [
        "http://auth.example/base/poll",
        "https://auth.example:8443/poll",
        "https://evil.example/poll",
        "https://auth.example@evil.example/poll",
        "https://auth.example.evil.example/poll",
        "/base/.well-known/macfly/3p/poll/0123",
        "//auth.example/poll",
        "not a url",
    ] {
        for body in [poll_at(url), page_at(url, "https://auth.example/page")] {
            let opened = Mutex::new(0);
            let open = |_: &str| *opened.lock().unwrap() += 1;
            let patience = Patience { open_url: Some(&open), ..patience() };
            let (answer, seen) = discharge_with(move |_, _| json(201, body.clone()), &patience).await;
            assert!(matches!(answer, Err(CallError::PollElsewhere { .. })), "{url}: {answer:?}");
            assert_eq!((lines(&seen), *opened.lock().unwrap()), (vec![ASK], 0), "{url}");
        }
    }
}

#[tokio::test]
async fn a_page_is_opened_once_and_then_polled() {
    let script = |at, _: &Seen| match at {
        0 => json(201, page_at(POLL, "https://auth.example/page?id=7")),
        1 => json(202, r#"{"error":"not ready"}"#),
        _ => json(200, r#"{"discharge":"fm2_polled"}"#),
    };
    let opened = Mutex::new(Vec::new());
    let open = |url: &str| opened.lock().unwrap().push(url.to_owned());
    let patience = Patience { open_url: Some(&open), ..patience() };
    let (answer, seen) = discharge_with(script, &patience).await;
    assert_eq!(answer.unwrap(), "fm2_polled");
    assert_eq!(lines(&seen), [ASK, POLLED, POLLED]);
    assert_eq!(*opened.lock().unwrap(), ["https://auth.example/page?id=7"]);
}

#[tokio::test]
async fn a_page_needs_a_person_to_open_it_and_must_be_an_http_url() {
    let (answer, seen) =
        discharge_with(|_, _| json(201, page_at(POLL, "https://auth.example/page")), &patience()).await;
    assert!(matches!(answer, Err(CallError::NeedsPerson { .. })), "{answer:?}");
    assert_eq!(lines(&seen), [ASK]);

    let open = |url: &str| panic!("{url} was opened");
    for (body, malformed) in [
        (page_at(POLL, "javascript:alert(1)"), MalformedAnswer::NoPage),
        (page_at(POLL, "file:///etc/passwd"), MalformedAnswer::NoPage),
        (page_at(POLL, "https://auth.example/a b"), MalformedAnswer::NoPage),
        (page_at(POLL, ""), MalformedAnswer::NoDischarge),
        (page_at("", "https://auth.example/page"), MalformedAnswer::NoDischarge),
        (r#"{"user_interactive":{}}"#.to_owned(), MalformedAnswer::NoDischarge),
        (r#"{"discharge":""}"#.to_owned(), MalformedAnswer::NoDischarge),
        ("{}".to_owned(), MalformedAnswer::NoDischarge),
        (r#"{"discharge":7}"#.to_owned(), MalformedAnswer::NotTheJson),
        ("no JSON".to_owned(), MalformedAnswer::NotTheJson),
        (String::new(), MalformedAnswer::NotTheJson),
    ] {
        let patience = Patience { open_url: Some(&open), ..patience() };
        let shown = body.clone();
        let (answer, seen) = discharge_with(move |_, _| json(201, body.clone()), &patience).await;
        let Err(CallError::Protocol { malformed: found, .. }) = answer else { panic!("{shown}: {answer:?}") };
        assert_eq!((found, lines(&seen)), (malformed, vec![ASK]), "{shown}");
    }
}

#[tokio::test]
async fn an_error_of_any_status_is_returned_and_petsems_own_errors_keep_their_code() {
    let (answer, _) =
        discharge_with(|_, _| json(500, r#"{"error":"internal server error"}"#), &patience()).await;
    let Err(CallError::Refused { status, code, message, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!((status, code, message.as_str()), (500, ErrorCode::Unknown, "internal server error"));

    let (answer, _) = discharge_with(|_, _| refusal(403, "policy_denied"), &patience()).await;
    let Err(CallError::Refused { status, code, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!((status, code), (403, ErrorCode::PolicyDenied));

    let (answer, _) = discharge_with(|_, _| json(400, "no JSON"), &patience()).await;
    let Err(CallError::Refused { status, message, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(status, 400);
    assert!(message.ends_with("answered HTTP 400 without a reason"), "{message}");
}

#[tokio::test]
async fn an_answer_over_its_limit_and_a_redirect_are_refused() {
    const BOUND: usize = 128 * 1024;
    let sized = |size: usize| {
        let frame = r#"{"discharge":"fm2_d","pad":""}"#.len();
        format!(r#"{{"discharge":"fm2_d","pad":"{}"}}"#, "x".repeat(size - frame))
    };
    let (fits, over) = (sized(BOUND), sized(BOUND + 1));
    let (answer, _) = discharge_with(move |_, _| json(201, fits.clone()), &patience()).await;
    assert_eq!(answer.unwrap(), "fm2_d");
    let script = move |at, _: &Seen| match at {
        0 => json(201, poll_at(POLL)),
        _ => json(200, over.clone()),
    };
    let (answer, _) = discharge_with(script, &patience()).await;
    let Err(CallError::Protocol { malformed, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(malformed, MalformedAnswer::TooLarge);

    let away = |_: usize, _: &Seen| {
        (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "https://evil.example/")]).into_response()
    };
    let (answer, seen) = discharge_with(away, &patience()).await;
    let Err(CallError::Protocol { malformed, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!((malformed, seen.len()), (MalformedAnswer::Status(307), 1));
}

#[tokio::test]
async fn a_location_that_is_not_configured_is_not_called() {
    let server = Server::new(|_, _| json(201, r#"{"discharge":"fm2_d"}"#));
    let client = client(&server).await;
    let own = Credentials::new("fm2_own").unwrap();
    for location in ["https://auth.example/base", "https://evil.example", "https://auth.example/base/x"] {
        let answer = client.discharge_ticket(location, b"ticket", Some(&own), &patience()).await;
        let Err(CallError::UnknownDischarger { location: named }) = answer else { panic!("{answer:?}") };
        assert_eq!(named, location);
    }
    assert_eq!(server.count(), 0);
}

/// A client whose one discharger is outside, at `http://127.0.0.1:PORT/base/` of the server.
async fn outside_client(server: &Server) -> (Client, OutboundUrl) {
    let location = format!("{}/base/", server.start().await);
    let location = OutboundUrl::parse_with(&location, PlainHttp::LOOPBACK).unwrap();
    let outbound = Arc::new(OutboundClient::with_system_cas([], Duration::from_secs(5)));
    let client = Client::builder(vec![]).timing(timing());
    (client.outside_discharger(location.clone(), outbound).build(), location)
}

#[tokio::test]
async fn an_outside_discharger_is_called_and_polled_at_its_own_location() {
    let origin = Arc::new(Mutex::new(String::new()));
    let own = Arc::clone(&origin);
    let server = Server::new(move |at, _| match at {
        0 => json(503, ""),
        1 => json(201, poll_at(&format!("{}/base/.well-known/macfly/3p/poll/0123", own.lock().unwrap()))),
        2 => json(202, ""),
        _ => json(200, r#"{"discharge":"fm2_polled"}"#),
    });
    let (client, location) = outside_client(&server).await;
    *origin.lock().unwrap() = location.origin();
    let proof = Credentials::new("fm2_own").unwrap();
    let answer = client.discharge_ticket(location.as_str(), b"ticket", Some(&proof), &patience()).await;
    assert_eq!(answer.unwrap().expose_text(), "fm2_polled");
    let seen = server.seen();
    assert_eq!(lines(&seen), [ASK, ASK, POLLED, POLLED]);
    let sent: Vec<_> = seen.iter().map(|seen| (seen.authorization.as_str(), seen.body.as_str())).collect();
    let asked = ("FlyV1 fm2_own", r#"{"ticket":"dGlja2V0"}"#);
    assert_eq!(sent, [asked, asked, ("", ""), ("", "")]);
}

#[tokio::test]
async fn an_outside_discharger_that_redirects_or_answers_too_much_is_refused() {
    let away = Server::new(|_, _| json(307, ""));
    let large = Server::new(|_, _| json(200, "x".repeat(128 * 1024 + 1)));
    for (server, expected) in [(away, MalformedAnswer::Status(307)), (large, MalformedAnswer::TooLarge)] {
        let (client, location) = outside_client(&server).await;
        let answer = client.discharge_ticket(location.as_str(), b"ticket", None, &patience()).await;
        let Err(CallError::Protocol { malformed, endpoint }) = answer else { panic!("{answer:?}") };
        assert_eq!((malformed, endpoint.to_string()), (expected, location.origin()));
        assert_eq!(server.count(), 1);
    }
}

#[tokio::test]
async fn an_outside_discharger_at_a_private_address_is_called_only_if_it_is_listed() {
    let server = Server::new(|_, _| json(201, r#"{"discharge":"fm2_d"}"#));
    let port = server.start().await.to_string().rsplit(':').next().unwrap().to_owned();
    let location: OutboundUrl = format!("https://127.0.0.1:{port}").parse().unwrap();
    let outbound = Arc::new(OutboundClient::with_system_cas([], Duration::from_secs(5)));
    let client =
        Client::builder(vec![]).timing(timing()).outside_discharger(location.clone(), outbound).build();
    let error = client.discharge_ticket(location.as_str(), b"ticket", None, &patience()).await.unwrap_err();
    let CallError::OutsideDischarger { source } = &error else { panic!("{error:?}") };
    assert!(matches!(**source, OutboundError::PrivateAddress { .. }), "{source:?}");
    assert_eq!(
        error.to_string(),
        format!(
            "https://127.0.0.1:{port} is at 127.0.0.1, which is not a public address; if this is intended, list the \
             host as private"
        )
    );
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn no_error_prints_a_poll_secret_or_a_discharge() {
    for script in [
        |at: usize, _: &Seen| match at {
            0 => json(201, poll_at("https://auth.example/poll/canary-7f3a")),
            _ => json(404, r#"{"error":"not found"}"#),
        },
        |_: usize, _: &Seen| json(201, poll_at("https://evil.example/poll/canary-7f3a")),
        |_: usize, _: &Seen| json(201, r#"{"discharge":"fm2_canary-7f3a canary-7f3a"}"#),
    ] {
        let (answer, _) = discharge_with(script, &patience()).await;
        let error = answer.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary-7f3a"), "{error:?}");
    }
}
