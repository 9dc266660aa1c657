//! Misbehaving connections: bodies without a token, unread answers, shutdown with open connections.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;

use petsem_integration::dev::{Dev, flyv1, now};
use petsem_integration::http::{Answer, Request, connect};
use petsem_integration::installation::{CONFIGURATION, Installation};
use petsem_integration::server::{Server, binary, run};
use serde_json::json;

const SHOP: &str = "/v1/apps/shop/secrets";

/// The answer to a head that announces a body, none of which is sent.
fn answered_without_body(dev: &Dev, request: &Request) -> Answer {
    let mut stream = connect(dev.server.address()).unwrap();
    stream.write_all(&request.announcing(200_000)).unwrap();
    let mut received = Vec::new();
    // Only the answer arrives, no `100 Continue`.
    stream.read_to_end(&mut received).unwrap();
    Answer::parse(&received).unwrap()
}

#[test]
fn a_body_is_not_read_before_the_token_is_verified() {
    let dev = Dev::start();
    let revoked = dev.mint(&json!({"kind": "org", "org": "demo"}));
    let id = petsem_policy::UnverifiedToken::parse(&revoked).unwrap().id().to_string();
    assert_eq!(dev.operate("POST", "/v1/revocations", Some(&json!({"token": {"id": id}}))).status, 201);
    let mut changed = data_encoding::BASE64.decode(dev.host.trim_start_matches("fm2_").as_bytes()).unwrap();
    *changed.last_mut().unwrap() ^= 1;
    let changed = flyv1(&format!("fm2_{}", data_encoding::BASE64.encode(&changed)));
    let jwt = dev.jwt(&json!({"sub": "o", "aud": "elsewhere"}));
    let tokens = [
        (None, "token_missing"),
        (Some("FlyV1 nonsense".to_owned()), "token_malformed"),
        (Some(changed), "token_invalid"),
        (Some(flyv1(&revoked)), "revoked"),
    ];
    // Every body in the document except that of the exchange, which contains the JWT.
    let document = dev.call("GET", "/openapi.json", "", None).json();
    let mut bodies = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let with_body =
            item.as_object().unwrap().iter().filter(|(_, operation)| operation["requestBody"].is_object());
        bodies.extend(with_body.map(|(method, _)| (method.to_uppercase(), path.as_str())));
    }
    bodies.retain(|(_, path)| *path != "/v1/token");
    assert_eq!(bodies.len(), 31, "{bodies:?}");
    for (method, path) in bodies {
        let takes_org_tokens = !path.contains("/boot");
        let target = &path.replace("{app}", "shop").replace("{org}", "demo").replace("{name}", "A");
        let method = method.as_str();
        let request = Request::new(method, target)
            .header("content-type", "application/json")
            .header("expect", "100-continue");
        for (token, code) in &tokens {
            if *code == "revoked" && !takes_org_tokens {
                continue;
            }
            let request = match token {
                Some(token) => request.clone().authorization(token),
                None => request.clone(),
            };
            let answer = answered_without_body(&dev, &request);
            assert_eq!(answer.outcome(), (401, (*code).to_owned()), "{method} {target}: {}", answer.head);
        }
    }
    let proof = Request::new("POST", "/.well-known/macfly/3p").authorization(&jwt);
    assert_eq!(answered_without_body(&dev, &proof).outcome(), (401, "token_invalid".to_owned()));
}

/// Sends this head so often, waits until its body is awaited, and sends none.
fn stalled(address: SocketAddr, request: &Request, count: usize) -> Vec<TcpStream> {
    let request = request.clone().header("expect", "100-continue");
    let stall = || {
        let mut stream = connect(address).unwrap();
        stream.write_all(&request.announcing(1000)).unwrap();
        let mut begun = [0; 25];
        stream.read_exact(&mut begun).unwrap();
        assert_eq!(String::from_utf8_lossy(&begun), "HTTP/1.1 100 Continue\r\n\r\n");
        stream
    };
    (0..count).map(|_| stall()).collect()
}

/// Checks that these many of the first lost their places to the later ones.
fn assert_evicted(open: &mut Vec<TcpStream>, count: usize) {
    for stream in open.drain(..count) {
        let mut begun = [0; 12];
        (&stream).read_exact(&mut begun).unwrap();
        assert_eq!(String::from_utf8_lossy(&begun), "HTTP/1.1 503");
    }
}

/// The JWT of an exchange is in its body, so that body is read before the client is authenticated.
#[test]
fn stalled_forms_do_not_occupy_the_places_of_other_requests() {
    const REQUESTS: usize = 16;
    let installation = Installation::made();
    installation.configure(&format!("{CONFIGURATION}\n[limits]\nrequests = {REQUESTS}\n"));
    let server = installation.start().unwrap();
    let exchange =
        Request::new("POST", "/v1/token").header("content-type", "application/x-www-form-urlencoded");
    let mut open = stalled(server.address(), &exchange, 2 * REQUESTS);
    // The newest are still open and wait; the older ones lost their places.
    assert_evicted(&mut open, 2 * REQUESTS - REQUESTS / 4);
    // A form that arrives is read while others stall.
    let form = Request::new("POST", "/v1/token").body("application/x-www-form-urlencoded", "grant_type=none");
    assert_eq!(form.send(server.address()).outcome(), (400, "bad_request".to_owned()));
    let ask = Request::new("GET", "/v1/orgs").authorization(&flyv1(&installation.operator()));
    assert_eq!(ask.send(server.address()).status, 200);
    let boot = Request::new("POST", "/v1/apps/shop/boot").authorization("FlyV1 nonsense");
    assert_eq!(boot.send(server.address()).outcome(), (401, "token_malformed".to_owned()));
    drop(open);
}

/// Of a batch and of a JWT that is to prove a boot, only the body shows whether they are allowed anything.
#[test]
fn callers_that_may_be_allowed_nothing_do_not_occupy_the_places_of_other_requests() {
    const REQUESTS: usize = 1024;
    let dev = Dev::start();
    let address = dev.server.address();
    let post = |path: &str, authorization: &str| {
        Request::new("POST", path).header("content-type", "application/json").authorization(authorization)
    };
    let batch = post("/v1/boot", &flyv1(&dev.host));
    let mut batches = stalled(address, &batch, REQUESTS / 8 + 8);
    assert_evicted(&mut batches, 8);
    let proof = post("/.well-known/macfly/3p", &dev.jwt(&json!({"sub": "stranger"})));
    let mut proofs = stalled(address, &proof, REQUESTS / 4 + 8);
    assert_evicted(&mut proofs, 8);
    // All that stall are strangers, so they took no share of this address.
    dev.set("shop", &json!({"A": "1"}));
    assert_eq!(dev.boot("shop", "m-1", &dev.discharge("shop", "m-1")).status, 200);
    drop((batches, proofs));
}

#[test]
fn where_no_machine_boots_the_body_of_a_boot_is_not_read() {
    let installation = Installation::made();
    let no_host = CONFIGURATION.replace("host = \"host-1\"\n", "");
    installation.configure(&no_host);
    let server = installation.start().unwrap();
    let operator = flyv1(&installation.operator());
    installation.enroll(server.address(), "host-1");
    let mint = Request::new("POST", "/v1/tokens").authorization(&operator);
    let minted = mint.json(&json!({"kind": "host", "host": "host-1"})).send(server.address());
    assert_eq!(minted.status, 201, "{}", minted.text());
    let batch = Request::new("POST", "/v1/boot")
        .header("content-type", "application/json")
        .header("expect", "100-continue")
        .authorization(&flyv1(&minted.field("token")));
    let mut stream = connect(server.address()).unwrap();
    stream.write_all(&batch.announcing(1000)).unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert_eq!(Answer::parse(&received).unwrap().outcome(), (403, "forbidden".to_owned()));
}

#[test]
fn one_address_does_not_take_the_places_of_another() {
    const REQUESTS: usize = 16;
    let installation = Installation::made();
    installation.configure(&format!("{CONFIGURATION}\n[limits]\nrequests = {REQUESTS}\n"));
    let server = installation.start().unwrap();
    let operator = flyv1(&installation.operator());
    let create =
        Request::new("POST", "/v1/orgs").header("content-type", "application/json").authorization(&operator);
    // The share of a host's listener.
    let open = stalled(server.address(), &create, REQUESTS / 4);
    let ask = Request::new("GET", "/v1/orgs").authorization(&operator);
    let refused = ask.send(server.address());
    assert_eq!(refused.outcome(), (503, "busy".to_owned()));
    assert!(refused.error().contains("its share of the requests"), "{}", refused.error());
    assert!(refused.head.to_lowercase().contains("retry-after: 1"), "{}", refused.head);
    let mut socket = UnixStream::connect(installation.path("petsem.sock")).unwrap();
    socket.write_all(&ask.to_bytes()).unwrap();
    let mut received = Vec::new();
    socket.read_to_end(&mut received).unwrap();
    assert_eq!(Answer::parse(&received).unwrap().status, 200);
    drop(open);
}

#[test]
fn a_client_that_never_reads_its_answers_is_disconnected() {
    let installation = Installation::made();
    let one_listener =
        CONFIGURATION.replace("[[listener]]\naddress = \"unix:petsem.sock\"\nhost = \"host-2\"\n", "");
    assert_ne!(one_listener, CONFIGURATION);
    installation.configure(&format!("{one_listener}\n[limits]\nconnections = 1\nseconds = 1\n"));
    let server = installation.start().unwrap();
    let ask = Request::new("GET", "/openapi.json").send(server.address());
    assert_eq!(ask.status, 200);
    // More than any socket buffer holds.
    let count = 64 * 1024 * 1024 / ask.body.len();
    let request = "GET /openapi.json HTTP/1.1\r\nhost: petsem\r\n\r\n";
    let mut slow = connect(server.address()).unwrap();
    slow.write_all(request.repeat(count).as_bytes()).unwrap();
    // There is one place for a connection: the next client is served after the slow one is closed.
    let next = Request::new("GET", "/healthz").send(server.address());
    assert_eq!(next.status, 200);
    let mut received = Vec::new();
    // The connection may end with a reset.
    let _ended = slow.read_to_end(&mut received);
    assert!(received.len() < count * ask.body.len(), "{} bytes were sent to it", received.len());
    let stopped = server.stop();
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.printed);
}

#[test]
fn a_connection_that_sends_nothing_is_closed() {
    let installation = Installation::made();
    installation.configure(&format!("{CONFIGURATION}\n[limits]\nseconds = 1\n"));
    let server = installation.start().unwrap();
    let whole = Request::new("GET", "/healthz").to_keep_alive_bytes();
    let half = &whole[..whole.len() / 2];
    // Nothing, half a head, and nothing after a whole request.
    let open: Vec<_> = [b"".as_slice(), half, &whole]
        .into_iter()
        .map(|begun| {
            let mut stream = connect(server.address()).unwrap();
            stream.write_all(begun).unwrap();
            stream
        })
        .collect();
    let answers = open.into_iter().map(|mut stream| {
        let mut received = Vec::new();
        // Until its end.
        stream.read_to_end(&mut received).unwrap();
        Answer::parse(&received).map(|answer| answer.status)
    });
    assert_eq!(answers.collect::<Vec<_>>(), [None, None, Some(200)]);
}

#[test]
fn a_server_stops_in_time_with_busy_and_idle_connections() {
    let dev = Dev::start();
    dev.set("shop", &json!({"A": "1"}));
    let set = Request::new("POST", &format!("{SHOP}/B"))
        .authorization(&flyv1(&dev.operator))
        .json(&json!({"value": "never whole"}));
    let whole = set.to_bytes();
    let mut open: Vec<TcpStream> = Vec::new();
    for _ in 0..20 {
        // Nothing sent, half a head, half a body with a good token, answers not read, idle after an answer.
        open.push(connect(dev.server.address()).unwrap());
        for begun in [&whole[..40], &whole[..whole.len() - 5]] {
            let mut stream = connect(dev.server.address()).unwrap();
            stream.write_all(begun).unwrap();
            open.push(stream);
        }
        let mut slow = connect(dev.server.address()).unwrap();
        slow.write_all("GET /openapi.json HTTP/1.1\r\nhost: petsem\r\n\r\n".repeat(100).as_bytes()).unwrap();
        open.push(slow);
        let mut idle = connect(dev.server.address()).unwrap();
        idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: petsem\r\n\r\n").unwrap();
        assert_eq!(idle.read(&mut [0; 1]).unwrap(), 1);
        open.push(idle);
    }
    assert_eq!(dev.version("shop"), 1);
    let asked = now();
    let dev = dev
        .restart(|server| {
            let ended = server.stop();
            assert_eq!(ended.status.code(), Some(0), "{}", ended.printed);
            ended
        })
        .unwrap();
    let took = now() - asked;
    drop(open);
    // Incomplete requests changed nothing. The time includes the next start.
    assert_eq!(dev.version("shop"), 1);
    assert!(took <= 12, "{took} seconds");
}

fn answered(mut stream: impl Read + Write) -> Answer {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: petsem\r\nconnection: close\r\n\r\n").unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    Answer::parse(&received).unwrap()
}

#[test]
fn idle_connections_neither_occupy_other_listeners_nor_keep_new_ones_out() {
    const CONNECTIONS: usize = 16;
    let installation = Installation::made();
    // So long that no time limit closes one.
    installation
        .configure(&format!("{CONFIGURATION}\n[limits]\nconnections = {CONNECTIONS}\nseconds = 600\n"));
    let server = installation.start().unwrap();
    let mut idle: Vec<TcpStream> = (0..2 * CONNECTIONS).map(|_| connect(server.address()).unwrap()).collect();
    // One of them sends its head slowly.
    idle[2].write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    let socket = UnixStream::connect(installation.path("petsem.sock")).unwrap();
    assert_eq!(answered(socket).status, 200);
    // Connections are accepted in order, so all others were accepted before this one.
    assert_eq!(answered(connect(server.address()).unwrap()).status, 200);
    // Half of the places are this listener's: the oldest gave way, the newest are still open.
    let left = idle.split_off(2 * CONNECTIONS - CONNECTIONS / 2 + 1);
    for mut stream in idle {
        let mut received = Vec::new();
        // The one that sent something ends with a reset.
        let _ended = stream.read_to_end(&mut received);
        assert_eq!(received, b"");
    }
    for stream in left {
        assert_eq!(answered(stream).status, 200);
    }
}

#[test]
fn heads_that_never_end_share_a_bound_of_memory() {
    let installation = Installation::made();
    installation.configure(&format!("{CONFIGURATION}\n[limits]\nseconds = 600\n"));
    let server = installation.start().unwrap();
    let half = format!("GET /healthz HTTP/1.1\r\nauthorization: {}", "x".repeat(60_000));
    let mut streams = Vec::new();
    for _ in 0..700 {
        let mut stream = connect(server.address()).unwrap();
        // One over the bound is closed, perhaps before all was sent.
        let _sent = stream.write_all(half.as_bytes());
        streams.push(stream);
    }
    let mut received = Vec::new();
    let _ended = streams.pop().unwrap().read_to_end(&mut received);
    assert_eq!(received, b"");
    assert_eq!(answered(connect(server.address()).unwrap()).status, 200);
    // The first ones are still open: what they hold is within the bound.
    let mut first = streams.swap_remove(0);
    first.write_all(b"\r\nconnection: close\r\n\r\n").unwrap();
    first.read_to_end(&mut received).unwrap();
    assert_eq!(Answer::parse(&received).unwrap().status, 200);
}

#[test]
fn a_server_that_may_open_too_few_files_says_so_and_does_not_start() {
    let installation = Installation::made();
    installation.configure(&format!("{CONFIGURATION}\n[limits]\nconnections = 100\n"));
    let with_limit = |limit: &str| {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={limit}")).arg(binary()).args(["server", "--config"]);
        command.arg(installation.path("petsem.toml"));
        command
    };
    let ended = run(with_limit("300:300"));
    assert_eq!(ended.status.code(), Some(1), "{}", ended.printed);
    let fact = "the system lets this process open 300 files, and limits.connections needs 356";
    assert!(ended.printed.contains(fact), "{}", ended.printed);
    // A limit that can be raised is raised.
    let server = Server::start(with_limit("300:356")).unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().nth(3), Some("356"), "{files}");
    assert_eq!(server.stop().status.code(), Some(0));
}

#[test]
fn one_token_does_not_fill_the_memory_with_bodies_that_never_end() {
    // Of one token: 32 MiB, besides the first 16 KiB of each body.
    const ROOM: usize = 32 << 20;
    const SMALL: usize = 16 << 10;
    const SENT: usize = 3_900_000;
    let installation = Installation::made();
    installation.configure(&format!("{CONFIGURATION}\n[limits]\nseconds = 600\n"));
    let server = installation.start().unwrap();
    let operator = flyv1(&installation.operator());
    let set = Request::new("POST", SHOP)
        .header("content-type", "application/json")
        .authorization(&operator)
        .announcing(4 << 20);
    let sent = |bytes: usize| {
        let mut stream = connect(server.address()).unwrap();
        stream.write_all(&set).unwrap();
        stream.write_all(&vec![b' '; bytes]).unwrap();
        stream
    };
    let count = ROOM / (SENT - SMALL);
    let mut open: Vec<_> = (0..count).map(|_| sent(SENT)).collect();
    // Together they are over by one byte, so the one whose byte arrives last is refused, and gives back what it held.
    open.push(sent(ROOM - count * (SENT - SMALL) + SMALL + 1));
    let ended = loop {
        let ended = |stream: &TcpStream| {
            stream.set_nonblocking(true).unwrap();
            let mut begun = [0; 12];
            match (&*stream).read(&mut begun) {
                Ok(read) => {
                    assert_eq!(String::from_utf8_lossy(&begun[..read]), "HTTP/1.1 503");
                    true
                }
                // What it sent and nobody read makes the end of the connection a reset.
                Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
            }
        };
        let ended: Vec<_> = (0..open.len()).filter(|index| ended(&open[*index])).collect();
        if !ended.is_empty() {
            break ended;
        }
        std::thread::yield_now();
    };
    assert_eq!(ended.len(), 1, "{ended:?}");
    let small = Request::new("POST", "/v1/orgs").authorization(&operator).json(&json!({"name": "small"}));
    assert_eq!(small.send(server.address()).status, 201);
    drop(open);
}
