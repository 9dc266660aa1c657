use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::response::{IntoResponse, Response};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use hyper::body::Frame;
use petsem_api::{AppRef, Delivery, ErrorCode, MachineId};
use petsem_client::{
    BootFlow, BootFlowError, BootItem, CallError, Client, Credentials, Endpoint, FailureKind, Identity,
    MalformedAnswer, Method, Timing,
};
use petsem_policy::{CaveatSet, Macaroon, MacaroonKey, SharedKey};
use serde_json::Value;

use crate::sample::CANARY;
use crate::server::{Server, json, refusal, unreachable_endpoint};

fn timing() -> Timing {
    let mut timing = Timing::default();
    timing.call = Duration::from_secs(5);
    timing.attempt = Duration::from_secs(2);
    timing.first_pause = Duration::from_millis(1);
    timing.longest_pause = Duration::from_millis(5);
    timing
}

fn client(endpoints: Vec<Endpoint>) -> Client {
    Client::builder(endpoints).timing(timing()).build()
}

fn token(text: &str) -> Credentials {
    Credentials::new(&format!("fm2_{text}")).unwrap()
}

fn app() -> AppRef {
    "shop".parse().unwrap()
}

fn machine(id: &str) -> MachineId {
    id.parse().unwrap()
}

fn booted(machine: &str, version: u64) -> String {
    let digest = "00".repeat(16);
    format!(
        r#"{{"app":"07070707-0707-7707-8707-070707070707","app_name":"shop","machine":"{machine}",
        "version":{version},"secrets":[{{"name":"A","value":"{CANARY}","digest":"{digest}"}}],
        "renewal":"fm2_renewal{version}","renewal_expires_at":"2027-01-01T00:00:00Z"}}"#
    )
}

async fn boot(client: &Client, id: &str) -> Result<u64, CallError> {
    let answer = client.boot(&app(), &machine(id), &token("host"), &token("discharge"), None).await;
    answer.map(|response| response.version)
}

async fn health(client: &Client) -> Result<Value, CallError> {
    client.call(Method::GET, "/healthz", None, None::<&()>).await
}

#[tokio::test]
async fn a_boot_carries_host_token_and_discharge_in_one_header() {
    let server = Server::new(|_, _| json(200, booted("m-1", 7)));
    assert_eq!(boot(&client(vec![server.start().await]), "m-1").await.unwrap(), 7);
    let seen = server.seen();
    assert_eq!(seen[0].line, "POST /v1/apps/shop/boot");
    assert_eq!(seen[0].authorization, "FlyV1 fm2_host,fm2_discharge");
    assert_eq!(seen[0].body, r#"{"machine":"m-1"}"#);
}

#[tokio::test]
async fn a_unix_socket_is_an_endpoint_like_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::new(|_, _| json(200, "{}"));
    let client = client(vec![server.start_unix(&directory.path().join("petsem.sock"))]);
    assert_eq!(health(&client).await.unwrap(), serde_json::json!({}));
}

#[tokio::test]
async fn the_nearest_endpoint_is_called_first_and_the_next_one_if_it_is_unreachable() {
    let (near, far) = (Server::new(|_, _| json(200, "1")), Server::new(|_, _| json(200, "2")));
    let both = client(vec![near.start().await, far.start().await]);
    assert_eq!(health(&both).await.unwrap(), serde_json::json!(1));
    let without_near = client(vec![unreachable_endpoint().await, far.start().await]);
    assert_eq!(health(&without_near).await.unwrap(), serde_json::json!(2));
    assert_eq!((near.count(), far.count()), (1, 1));
}

#[tokio::test]
async fn a_gateway_error_is_retried_until_there_is_an_answer() {
    for status in [502, 503, 504] {
        let server = Server::new(move |at, _| if at < 3 { json(status, "") } else { json(200, "5") });
        assert_eq!(health(&client(vec![server.start().await])).await.unwrap(), serde_json::json!(5));
        assert_eq!(server.count(), 4, "{status}");
    }
}

#[tokio::test]
async fn an_outage_is_reported_only_after_every_endpoint_was_tried() {
    let server = Server::new(|_, _| refusal(503, "audit_full"));
    let (gone, full) = (unreachable_endpoint().await, server.start().await);
    let error = health(&client(vec![gone.clone(), full.clone()])).await.unwrap_err();
    assert_eq!((error.is_outage(), error.code()), (true, Some(ErrorCode::AuditFull)));
    assert_eq!(server.count(), 4);
    let CallError::Unavailable { failures, perhaps_done: false, .. } = &error else { panic!("{error}") };
    let places: Vec<_> = failures.iter().map(|failure| failure.endpoint.clone()).collect();
    assert_eq!(places, [gone.clone(), full]);
    assert!(matches!(failures[0].kind, FailureKind::Unreachable(_)));
    assert!(matches!(failures[1].kind, FailureKind::Status { status: 503, .. }));
    let text = error.to_string();
    assert!(text.contains(&format!("{gone} cannot be reached (Connection refused")), "{text}");
    assert!(text.contains("answered audit_full: said by the server"), "{text}");

    assert!(text.starts_with("petsem does not answer: ") && text.contains("endpoint is right"), "{text}");

    // A server that gives its reason is up, and its text has the hint.
    let later = Server::new(|_, _| refusal(503, "version_not_reached")).start().await;
    let text = health(&client(vec![later])).await.unwrap_err().to_string();
    assert!(text.starts_with("petsem cannot do it now: http://127.0.0.1:"), "{text}");
    assert!(text.ends_with("answered version_not_reached: said by the server"), "{text}");

    let refused = Server::new(|_, _| refusal(401, "token_invalid")).start().await;
    let error = health(&client(vec![unreachable_endpoint().await, refused])).await.unwrap_err();
    assert_eq!((error.is_outage(), error.code()), (false, Some(ErrorCode::TokenInvalid)));
}

#[tokio::test]
async fn a_retry_after_beyond_the_deadline_ends_the_call_at_once() {
    let server = Server::new(|_, _| ([("retry-after", "600")], json(503, "")).into_response());
    let error = health(&client(vec![server.start().await])).await.unwrap_err();
    assert_eq!((server.count(), error.is_outage()), (1, true));
}

#[tokio::test]
async fn a_retry_after_is_respected() {
    // 401 with `Retry-After` is not a refusal.
    for status in [503, 401] {
        let server = Server::new(move |at, _| match at {
            0 => ([("retry-after", "1")], json(status, "")).into_response(),
            _ => json(200, "1"),
        });
        let begin = tokio::time::Instant::now();
        assert_eq!(health(&client(vec![server.start().await])).await.unwrap(), serde_json::json!(1));
        assert!(begin.elapsed() >= Duration::from_secs(1), "{status}");
    }
}

#[tokio::test]
async fn an_endpoint_that_never_answers_costs_one_attempt() {
    // It listens, so connections succeed, but are never accepted.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::loopback(silent.local_addr().unwrap()).unwrap();
    let far = Server::new(|_, _| json(200, "2"));
    let mut quick = timing();
    quick.attempt = Duration::from_millis(50);
    let endpoints = vec![endpoint, far.start().await];
    let client = Client::builder(endpoints).timing(quick).build();
    assert_eq!(health(&client).await.unwrap(), serde_json::json!(2));
}

#[tokio::test]
async fn a_change_is_sent_once_and_the_error_says_that_it_may_be_done() {
    let server = Server::new(|_, _| json(502, ""));
    let client = client(vec![server.start().await, server.start().await]);
    let body = serde_json::json!({"value": CANARY});
    let path = "/v1/apps/shop/secrets/A";
    let error = client.call::<_, Value>(Method::POST, path, None, Some(&body)).await.unwrap_err();
    assert_eq!(server.count(), 1);
    assert!(
        matches!(&error, CallError::Unavailable { perhaps_done: true, all_tried: false, .. }),
        "{error:?}"
    );
    assert!(error.to_string().ends_with("look before you repeat it"), "{error}");
    assert!(!format!("{error} {error:?}").contains(CANARY));
}

#[tokio::test]
async fn a_change_that_was_never_sent_or_was_declined_is_tried_elsewhere() {
    let busy = Server::new(|_, _| refusal(503, "busy"));
    let server = Server::new(|_, _| json(200, r#"{"version":3}"#));
    let client = client(vec![unreachable_endpoint().await, busy.start().await, server.start().await]);
    let answer: Value =
        client.call(Method::POST, "/v1/orgs", None, Some(&serde_json::json!({}))).await.unwrap();
    assert_eq!((answer["version"].as_u64(), busy.count(), server.count()), (Some(3), 1, 1));
}

#[tokio::test]
async fn an_answer_has_at_most_eight_mebibytes() {
    const BOUND: usize = petsem_api::MAX_ANSWER;
    let server = Server::new(|_, seen| {
        let extra = usize::from(seen.line.ends_with("/more"));
        let text = format!("\"{}\"", "x".repeat(BOUND - 2 + extra));
        Response::new(Body::new(Pieces(text.into())))
    });
    let endpoint = server.start().await;
    let client = client(vec![endpoint.clone()]);
    let whole: String = client.call(Method::GET, "/whole", None, None::<&()>).await.unwrap();
    assert_eq!(whole.len(), BOUND - 2);
    let error = client.call::<(), String>(Method::GET, "/more", None, None).await.unwrap_err();
    let CallError::Protocol { endpoint: at, malformed } = error else { panic!("{error}") };
    assert_eq!((at, malformed), (endpoint, MalformedAnswer::TooLarge));
}

/// A body in pieces of 64 KiB, without a length header: the client must count.
struct Pieces(Bytes);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.0.len().min(64 * 1024);
        let piece = self.0.split_to(length);
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }
}

#[tokio::test]
async fn a_body_that_is_not_the_json_of_the_call_is_not_repeated_in_the_error() {
    for body in [format!("\"{CANARY}"), format!(r#"{{"version":"{CANARY}"}}"#), CANARY.to_owned()] {
        let server = Server::new(move |_, _| json(200, body.clone()));
        let error = boot(&client(vec![server.start().await]), "m-1").await.unwrap_err();
        assert!(matches!(error, CallError::Protocol { malformed: MalformedAnswer::NotTheJson, .. }));
        assert!(!format!("{error} {error:?}").contains(CANARY));
    }
    let redirect = Server::new(|_, _| json(307, ""));
    let error = boot(&client(vec![redirect.start().await]), "m-1").await.unwrap_err();
    assert!(matches!(error, CallError::Protocol { malformed: MalformedAnswer::Status(307), .. }));
}

#[tokio::test]
async fn an_answer_for_another_machine_or_an_older_version_is_refused() {
    let server = Server::new(|_, _| json(200, booted("m-2", 7)));
    let client = client(vec![server.start().await]);
    let error = boot(&client, "m-1").await.unwrap_err();
    assert!(matches!(error, CallError::Protocol { malformed: MalformedAnswer::AnotherMachine, .. }));
    let older = client.boot(&app(), &machine("m-2"), &token("host"), &token("discharge"), Some(8)).await;
    let older = older.map(|_| ()).unwrap_err();
    assert!(matches!(older, CallError::Protocol { malformed: MalformedAnswer::OlderVersion, .. }));
}

#[tokio::test]
async fn equal_concurrent_boots_are_sent_once() {
    let server = Server::new(|_, seen| {
        let machine = if seen.body.contains("m-1") { "m-1" } else { "m-2" };
        json(200, booted(machine, 7))
    });
    let client = client(vec![server.start().await]);
    let (app, first, second) = (app(), machine("m-1"), machine("m-2"));
    let (host, discharge, other) = (token("host"), token("discharge"), token("other"));
    let boot = |machine, discharge, version| client.boot(&app, machine, &host, discharge, version);
    let (a, b, c, d, e) = tokio::join!(
        boot(&first, &discharge, None),
        boot(&first, &discharge, None),
        boot(&second, &discharge, None),
        boot(&first, &other, None),
        boot(&first, &discharge, Some(7)),
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    assert!(Arc::ptr_eq(&a, &b));
    assert_eq!(c.unwrap().machine, second);
    assert_eq!((d.unwrap().version, e.unwrap().version), (7, 7));
    assert_eq!(server.count(), 4);
    assert_eq!(boot(&first, &discharge, None).await.unwrap().version, 7);
    assert_eq!(server.count(), 5);
}

#[tokio::test]
async fn a_refusal_is_remembered_for_a_moment_and_for_equal_requests_only() {
    for (status, code) in [(401, "revoked"), (403, "forbidden"), (404, "not_found"), (500, "integrity")] {
        let server = Server::new(move |_, _| refusal(status, code));
        let client = client(vec![server.start().await]);
        for _ in 0..3 {
            let error = boot(&client, "m-1").await.unwrap_err();
            assert_eq!(error.code().map(ErrorCode::as_str), Some(code));
        }
        assert_eq!(server.count(), 1, "{code}");
        boot(&client, "m-2").await.unwrap_err();
        assert_eq!(server.count(), 2, "{code}");
    }
    let server = Server::new(|_, _| refusal(500, "internal"));
    let client = client(vec![server.start().await]);
    for _ in 0..2 {
        boot(&client, "m-1").await.unwrap_err();
    }
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_refusal_is_forgotten_after_its_time() {
    let server = Server::new(|at, _| match at {
        0 => refusal(403, "forbidden"),
        _ => json(200, booted("m-1", 7)),
    });
    let mut brief = timing();
    brief.refusals = Duration::ZERO;
    let client = Client::builder(vec![server.start().await]).timing(brief).build();
    boot(&client, "m-1").await.unwrap_err();
    assert_eq!(boot(&client, "m-1").await.unwrap(), 7);
}

#[tokio::test]
async fn a_batch_answers_each_machine_independently_and_remembers_refusals() {
    let refused = r#"{"refused":{"error":"no","status":"forbidden","request_id":null}}"#;
    let server = Server::new(move |at, _| match at {
        0 => json(200, format!(r#"{{"boots":[{{"booted":{}}},{refused}]}}"#, booted("m-1", 7))),
        _ => json(200, format!(r#"{{"boots":[{{"booted":{}}}]}}"#, booted("m-1", 8))),
    });
    let client = client(vec![server.start().await]);
    let (app, first, second) = (app(), machine("m-1"), machine("m-2"));
    let (host, discharge) = (token("host"), token("discharge"));
    let item = |machine| BootItem { app: &app, machine, discharge: &discharge, min_version: None };
    let items = [item(&first), item(&second)];
    for version in [7, 8] {
        let answers = client.boot_many(&host, &items).await.unwrap();
        assert_eq!(answers.len(), 2);
        assert_eq!(answers[0].as_ref().unwrap().version, version);
        assert_eq!(answers[1].as_ref().unwrap_err().code(), Some(ErrorCode::Forbidden));
    }
    let seen = server.seen();
    assert_eq!((seen[0].line.as_str(), seen[0].authorization.as_str()), ("POST /v1/boot", "FlyV1 fm2_host"));
    assert_eq!(seen[1].body, r#"{"boots":[{"app":"shop","machine":"m-1","discharge":"fm2_discharge"}]}"#);
    let many: Vec<_> = (0..257).map(|_| item(&first)).collect();
    let error = client.boot_many(&host, &many).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, CallError::BatchTooLarge { boots: 257 }));
}

#[tokio::test]
async fn a_workload_gets_the_requested_names_or_the_name_that_is_missing() {
    let digest = "00".repeat(16);
    let secret = |name: &str| {
        format!(
            r#"{{"name":"{name}","value":"v","digest":"{digest}","created_at":"","updated_at":"",
            "set_in_version":1,"author":""}}"#
        )
    };
    let body = format!(r#"{{"secrets":[{},{}],"version":2}}"#, secret("A"), secret("B"));
    let server = Server::new(move |_, _| json(200, body.clone()));
    let client = client(vec![server.start().await]);
    let jwt = Credentials::new("head.body.signature").unwrap();
    let (b, c) = ("B".parse().unwrap(), "C".parse().unwrap());
    let list = client.workload_read(&app(), &jwt, Some(std::slice::from_ref(&b))).await.unwrap();
    let names: Vec<_> = list.secrets.iter().map(|secret| secret.name.clone()).collect();
    assert_eq!((names, list.version), (vec![b], 2));
    let missing = client.workload_read(&app(), &jwt, Some(std::slice::from_ref(&c))).await.unwrap_err();
    assert!(matches!(missing, CallError::SecretMissing { name } if name == c));
    assert_eq!(server.seen()[0].line, "GET /v1/apps/shop/secrets?show_secrets=true&names=B");
    assert_eq!(server.seen()[0].authorization, "Bearer head.body.signature");
}

/// A host token with a ticket for the discharger at `https://petsem/3p`.
fn host_token() -> Credentials {
    let mut rng = UnwrapErr(SysRng);
    let (key, shared) = (MacaroonKey::generate(&mut rng), SharedKey::generate(&mut rng));
    let mut host = Macaroon::mint(&key, b"kid", "https://petsem", false, &mut rng);
    host.add_third_party("https://petsem/3p", &shared, &CaveatSet::new(Vec::new()), &mut rng).unwrap();
    Credentials::new(&host.to_text()).unwrap()
}

#[tokio::test]
async fn a_flow_discharges_boots_renews_and_reports() {
    let server = Server::new(|at, _| match at {
        0 => json(201, r#"{"discharge":"fm2_first"}"#),
        1 | 2 => json(200, booted("m-1", at as u64)),
        3 => json(200, r#"{"renewal":"fm2_later","expires_at":"2027-02-01T00:00:00Z"}"#),
        4 => json(204, ""),
        5 => refusal(401, "discharge_invalid"),
        6 => json(201, r#"{"discharge":"fm2_second"}"#),
        _ => json(200, booted("m-1", 9)),
    });
    let endpoint = server.start().await;
    let client = Client::builder(vec![endpoint.clone()]).timing(timing());
    let client = Arc::new(client.discharger("https://petsem/3p", vec![endpoint]).build());
    let host = host_token();
    let host_text = host.expose_text().to_owned();
    let flow = BootFlow::new(client, host).unwrap();
    let (app, machine, proof) = (app(), machine("m-1"), Credentials::new("head.body.signature").unwrap());

    assert!(matches!(flow.boot(&app, &machine, None, None).await, Err(BootFlowError::NoProof)));
    let first = flow.boot(&app, &machine, None, Some(&proof)).await.unwrap();
    assert_eq!((first.bundle().version(), first.bundle().len()), (1, 1));
    assert!(matches!(first.bundle().identity(), Identity::Machine { .. }));
    assert_eq!(flow.boot(&app, &machine, None, None).await.unwrap().bundle().version(), 2);
    assert_eq!(flow.renew(&app, &machine).await.unwrap(), "2027-02-01T00:00:00Z");
    flow.report(&first, Delivery::Proved).await.unwrap();
    let again = flow.boot(&app, &machine, None, Some(&proof)).await.unwrap();
    assert_eq!(again.bundle().version(), 9);

    let seen = server.seen();
    let lines: Vec<_> = seen.iter().map(|seen| seen.line.as_str()).collect();
    let (third_party, boot) = ("POST /3p/.well-known/macfly/3p", "POST /v1/apps/shop/boot");
    let (renew, report) = ("POST /v1/apps/shop/boot/renew", "POST /v1/apps/shop/boot/report");
    assert_eq!(lines, [third_party, boot, boot, renew, report, boot, third_party, boot]);
    assert_eq!(seen[0].authorization, "Bearer head.body.signature");
    let beside = ["", "first", "renewal1", "renewal2", "renewal1", "later", "", "second"];
    for (seen, beside) in seen.iter().zip(beside).filter(|(_, beside)| !beside.is_empty()) {
        assert_eq!(seen.authorization, format!("FlyV1 {host_text},fm2_{beside}"));
    }
    assert_eq!(seen[4].body, r#"{"machine":"m-1","version":1,"delivery":"proved"}"#);
}

#[tokio::test]
async fn a_proof_is_never_sent_to_a_discharger_that_is_not_configured() {
    let server = Server::new(|_, _| json(201, r#"{"discharge":"fm2_first"}"#));
    let client = Arc::new(client(vec![server.start().await]));
    let flow = BootFlow::new(client, host_token()).unwrap();
    let proof = Credentials::new("head.body.signature").unwrap();
    let error = flow.boot(&app(), &machine("m-1"), None, Some(&proof)).await.map(|_| ()).unwrap_err();
    let BootFlowError::Discharge(CallError::UnknownDischarger { location }) = error else {
        panic!("{error}")
    };
    assert_eq!((location.as_str(), server.count()), ("https://petsem/3p", 0));
}

#[tokio::test]
async fn a_token_without_a_ticket_is_not_a_host_token() {
    let mut rng = UnwrapErr(SysRng);
    let plain = Macaroon::mint(&MacaroonKey::generate(&mut rng), b"kid", "https://petsem", false, &mut rng);
    let client = Arc::new(client(vec![]));
    let flow = |text: &str| BootFlow::new(client.clone(), Credentials::new(text).unwrap()).map(|_| ());
    assert!(matches!(flow(&plain.to_text()), Err(BootFlowError::NoTicket)));
    assert!(matches!(flow("fm2_canary"), Err(BootFlowError::HostToken)));
}

#[tokio::test]
async fn no_public_type_prints_a_token_or_a_value() {
    let server = Server::new(|at, _| match at {
        0 => json(201, r#"{"discharge":"fm2_canary-7f3a"}"#),
        _ => json(200, booted("m-1", 1)),
    });
    let endpoint = server.start().await;
    let client = Client::builder(vec![endpoint.clone()]).timing(timing());
    let builder = format!("{client:?}");
    let client = Arc::new(client.discharger("https://petsem/3p", vec![endpoint]).build());
    let flow = BootFlow::new(client.clone(), host_token()).unwrap();
    let proof = Credentials::new(CANARY).unwrap();
    let booted = flow.boot(&app(), &machine("m-1"), None, Some(&proof)).await.unwrap();
    let bundle = booted.bundle();
    let environment = petsem_client::EnvMap::merge([]);
    let environment = petsem_client::Injector::deliver(environment, booted.bundle()).await.unwrap();
    let canonical = bundle.expose_canonical().unwrap();
    let read = petsem_client::CanonicalBundle::read(&canonical).unwrap();
    let app = app();
    let first = machine("m-1");
    let item = BootItem { app: &app, machine: &first, discharge: &proof, min_version: None };
    let shown = format!(
        "{builder}{client:?}{flow:?}{proof:?}{booted:?}{:?}{bundle:?}{environment:?}{read:?}{item:?}",
        booted.response()
    );
    assert!(!shown.contains(CANARY), "{shown}");
    assert!(canonical.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));
}

#[tokio::test]
async fn a_broken_answer_and_an_empty_configuration_are_not_an_outage() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::loopback(listener.local_addr().unwrap()).unwrap();
    // Accepts every connection and closes it.
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let error = health(&client(vec![endpoint])).await.unwrap_err();
    let CallError::Unavailable { failures, all_tried: true, .. } = &error else { panic!("{error}") };
    assert!(matches!(failures[0].kind, FailureKind::Broken(_)), "{error}");
    assert!(!error.is_outage());
    assert!(!health(&client(vec![])).await.unwrap_err().is_outage());
}
