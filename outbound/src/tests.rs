//! Calls to a real HTTPS server on this machine, with a CA that the test makes.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::*;

/// A third party that gives every request the same answer and keeps the requests.
struct ThirdParty {
    port: u16,
    ca: tempfile::NamedTempFile,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl ThirdParty {
    async fn start(certified: &str, answer: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![certified.to_owned()]).unwrap();
        let certificate = params.signed_by(&own, &issuer).unwrap();
        let mut ca = tempfile::NamedTempFile::new().unwrap();
        ca.write_all(root.pem().as_bytes()).unwrap();

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(own.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (received, counted, answer) =
            (Arc::clone(&requests), Arc::clone(&connections), answer.to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && !request.ends_with(b"}") {
                    let mut part = [0; 1024];
                    match stream.read(&mut part).await {
                        Ok(0) | Err(_) => break,
                        Ok(length) => request.extend_from_slice(&part[..length]),
                    }
                }
                received.lock().unwrap().push(String::from_utf8(request).unwrap());
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
                drop(stream.write_all(answer.as_bytes()).await);
                drop(stream.shutdown().await);
            }
        });
        Self { port, ca, requests, connections }
    }

    fn url(&self, path: &str) -> OutboundUrl {
        format!("https://localhost:{}{path}", self.port).parse().unwrap()
    }

    fn client(&self, private_hosts: &[&str], within: Duration) -> OutboundClient {
        OutboundClient::new(&OutboundSettings {
            ca_file: Some(self.ca.path().to_owned()),
            private_hosts: private_hosts.iter().map(|host| (*host).to_owned()).collect(),
            origins: Vec::new(),
            within,
        })
        .unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

const WITHIN: Duration = Duration::from_secs(5);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

#[tokio::test]
async fn a_listed_host_is_called_and_its_answer_is_returned() {
    let party = ThirdParty::start("localhost", OK).await;
    let client = party.client(&["LOCALHOST"], WITHIN);
    let answer = client.get(&party.url("/keys?a=b"), 2).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice(), answer.retry_after()), (200, &b"{}"[..], None));
    client
        .send(OutboundRequest {
            method: Method::POST,
            url: &party.url("/3p"),
            headers: HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer canary"))]),
            body: Bytes::from_owner(Zeroizing::new(br#"{"ticket":"x"}"#.to_vec())),
            limit: 2,
        })
        .await
        .unwrap();
    let requests = party.requests.lock().unwrap();
    assert!(requests[0].starts_with("GET /keys?a=b HTTP/1.1\r\n"), "{}", requests[0]);
    assert!(requests[0].contains(&format!("host: localhost:{}\r\n", party.port)), "{}", requests[0]);
    assert!(requests[1].starts_with("POST /3p HTTP/1.1\r\n"), "{}", requests[1]);
    assert!(requests[1].contains("authorization: Bearer canary\r\n"), "{}", requests[1]);
    assert!(requests[1].ends_with("\r\n\r\n{\"ticket\":\"x\"}"), "{}", requests[1]);
}

#[tokio::test]
async fn an_answer_with_an_error_status_is_returned() {
    let text = "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
    let party = ThirdParty::start("localhost", text).await;
    let answer = party.client(&["localhost"], WITHIN).get(&party.url("/"), 10).await.unwrap();
    assert_eq!((answer.status, answer.retry_after()), (503, Some(Duration::from_secs(7))));
    assert_eq!(format!("{answer:?}"), "OutboundAnswer(HTTP 503, 0 bytes)");
}

#[tokio::test]
async fn a_private_address_that_is_not_listed_is_not_connected_to() {
    let party = ThirdParty::start("localhost", OK).await;
    let client = party.client(&["other.example"], WITHIN);
    for host in ["localhost", "127.0.0.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "[::1]"] {
        let url: OutboundUrl = format!("https://{host}:{}/", party.port).parse().unwrap();
        match client.get(&url, 2).await {
            Err(OutboundError::PrivateAddress { .. } | OutboundError::NoServerName { .. }) => {}
            other => panic!("{host}: {other:?}"),
        }
    }
    assert_eq!(party.connections(), 0);
}

#[tokio::test]
async fn plain_http_is_spoken_to_a_loopback_address_that_the_caller_permits() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 1024];
        let length = stream.read(&mut request).await.unwrap();
        stream.write_all(OK.as_bytes()).await.unwrap();
        String::from_utf8(request[..length].to_vec()).unwrap()
    });
    let settings =
        OutboundSettings { ca_file: None, private_hosts: Vec::new(), origins: Vec::new(), within: WITHIN };
    let client = OutboundClient::new(&settings).unwrap();
    let url = OutboundUrl::parse_with(&format!("http://127.0.0.1:{port}/x"), PlainHttp::LOOPBACK).unwrap();
    let answer = client.get(&url, 2).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"{}"[..]));
    let request = server.await.unwrap();
    assert_eq!(
        request,
        format!(
            "GET /x HTTP/1.1\r\naccept: application/jwk-set+json, application/json, */*;q=0.1\r\nhost: 127.0.0.1:{port}\r\nuser-agent: petsem\r\n\
             connection: close\r\n\r\n"
        )
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let text = "HTTP/1.1 302 Found\r\nLocation: https://canary.example/\r\nContent-Length: 0\r\n\r\n";
    let party = ThirdParty::start("localhost", text).await;
    let error = party.client(&["localhost"], WITHIN).get(&party.url("/"), 10).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("https://localhost:{} answered HTTP 302, a redirect, which is not followed", party.port)
    );
    assert_eq!(party.connections(), 1);
}

#[tokio::test]
async fn a_body_over_its_limit_is_refused_with_and_without_a_content_length() {
    let long = "canary".repeat(100);
    for header in [format!("Content-Length: {}\r\n", long.len()), String::new()] {
        let party = ThirdParty::start("localhost", &format!("HTTP/1.1 200 OK\r\n{header}\r\n{long}")).await;
        let error = party.client(&["localhost"], WITHIN).get(&party.url("/"), 599).await.unwrap_err();
        assert!(matches!(error, OutboundError::TooLarge { limit: 599, .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("canary"));
        assert_eq!(
            party.client(&["localhost"], WITHIN).get(&party.url("/"), 600).await.unwrap().body.len(),
            600
        );
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_or_of_another_ca_is_not_trusted() {
    let party = ThirdParty::start("other.example", OK).await;
    let error = party.client(&["localhost"], WITHIN).get(&party.url("/"), 2).await.unwrap_err();
    assert!(matches!(error, OutboundError::Tls { .. }), "{error:?}");
    let stranger = ThirdParty::start("localhost", OK).await;
    let error = party.client(&["localhost"], WITHIN).get(&stranger.url("/"), 2).await.unwrap_err();
    assert!(matches!(error, OutboundError::Tls { .. }), "{error:?}");
    assert_eq!(stranger.requests.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_third_party_that_never_answers_ends_the_call_at_its_time_limit() {
    let party = ThirdParty::start("localhost", "").await;
    let client = party.client(&["localhost"], Duration::from_millis(300));
    let error = client.get(&party.url("/"), 2).await.unwrap_err();
    let OutboundError::TimedOut { within, .. } = error else { panic!("{error:?}") };
    assert_eq!(within, Duration::from_millis(300));
}

#[test]
fn a_ca_file_without_a_certificate_is_refused_when_the_client_is_made() {
    let settings = |path: &std::path::Path| OutboundSettings {
        ca_file: Some(path.to_owned()),
        private_hosts: Vec::new(),
        origins: Vec::new(),
        within: Duration::from_secs(1),
    };
    let missing = OutboundClient::new(&settings("/nowhere/ca.pem".as_ref())).unwrap_err();
    assert!(matches!(missing, OutboundSetupError::CaFile { .. }), "{missing:?}");
    let empty = tempfile::NamedTempFile::new().unwrap();
    let error = OutboundClient::new(&settings(empty.path())).unwrap_err();
    assert!(matches!(error, OutboundSetupError::NoCertificate { .. }), "{error:?}");
}

#[tokio::test]
async fn a_ca_file_may_begin_with_a_byte_order_mark() {
    let party = ThirdParty::start("localhost", OK).await;
    let pem = std::fs::read_to_string(party.ca.path()).unwrap();
    std::fs::write(party.ca.path(), format!("\u{feff}{}", pem.replace('\n', "\r\n"))).unwrap();
    let answer = party.client(&["localhost"], WITHIN).get(&party.url("/"), 2).await.unwrap();
    assert_eq!(answer.status, 200);
}

/// A proxy that takes the one answer that it is to give, or builds tunnels to 127.0.0.1; and its requests.
async fn proxy(answer: Option<&'static str>) -> (ProxyAddress, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let request = String::from_utf8(request).unwrap();
            let to = request.split(' ').nth(1).unwrap().to_owned();
            kept.lock().unwrap().push(request);
            tokio::spawn(async move {
                if let Some(answer) = answer {
                    return drop(stream.write_all(answer.as_bytes()).await);
                }
                match tokio::net::TcpStream::connect(to.as_str()).await {
                    Ok(mut there) => {
                        stream
                            .write_all(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")
                            .await
                            .unwrap();
                        drop(tokio::io::copy_bidirectional(&mut stream, &mut there).await);
                    }
                    Err(_) => drop(stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await),
                }
            });
        }
    });
    (address, requests)
}

impl ThirdParty {
    /// A client with settings for this third party.
    fn client_with(
        &self,
        private_hosts: &[&str],
        proxy: Option<ProxyAddress>,
        bearer_token_file: Option<&std::path::Path>,
    ) -> OutboundClient {
        let bearer_token_file = bearer_token_file.map(Into::into);
        let token_paths = OriginSettings::TOKEN_PATHS.map(str::to_owned).to_vec();
        OutboundClient::new(&OutboundSettings {
            ca_file: Some(self.ca.path().to_owned()),
            private_hosts: private_hosts.iter().map(|host| (*host).to_owned()).collect(),
            origins: vec![OriginSettings { url: self.url("/"), proxy, bearer_token_file, token_paths }],
            within: WITHIN,
        })
        .unwrap()
    }
}

#[tokio::test]
async fn a_proxy_gets_checked_addresses_and_sees_no_request() {
    let party = ThirdParty::start("localhost", OK).await;
    let (address, requests) = proxy(None).await;
    let client = party.client_with(&["localhost"], Some(address), None);
    // The third party listens on 127.0.0.1 only; the proxy says so where it is asked for [::1] first.
    let answer = client.get(&party.url("/canary"), 2).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"{}"[..]));
    let requests = requests.lock().unwrap();
    let tunnel = format!("CONNECT 127.0.0.1:{} HTTP/1.1\r\n", party.port);
    assert!(requests.last().unwrap().starts_with(&tunnel), "{requests:?}");
    assert!(
        requests.iter().all(|request| !request.contains("canary") && !request.contains("localhost")),
        "{requests:?}"
    );
}

#[tokio::test]
async fn the_address_check_holds_behind_a_proxy() {
    let party = ThirdParty::start("localhost", OK).await;
    let (address, requests) = proxy(None).await;
    let client = party.client_with(&["other.example"], Some(address), None);
    let error = client.get(&party.url("/"), 2).await.unwrap_err();
    assert!(matches!(error, OutboundError::PrivateAddress { .. }), "{error:?}");
    assert_eq!((requests.lock().unwrap().len(), party.connections()), (0, 0));
}

#[tokio::test]
async fn a_proxy_that_refuses_or_speaks_no_http_is_named() {
    let party = ThirdParty::start("localhost", OK).await;
    for (answer, text) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "it answered HTTP 407"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "its answer is no HTTP"),
        ("HTTP/1.1 200 OK\r\n", "end of file"),
    ] {
        let (address, _) = proxy(Some(answer)).await;
        let named = address.to_string();
        let error = party.client_with(&["localhost"], Some(address), None).get(&party.url("/"), 2).await;
        let error = error.unwrap_err();
        assert!(matches!(error, OutboundError::Proxy { .. }), "{error:?}");
        let error = error.to_string();
        assert!(error.contains(&named) && error.contains(text), "{error}");
    }
    assert_eq!(party.connections(), 0);
}

#[tokio::test]
async fn a_token_goes_to_its_origin_alone_and_is_read_anew_for_each_call() {
    let party = ThirdParty::start("localhost", OK).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let client = party.client_with(&["localhost", "127.0.0.1"], None, Some(file.path()));
    let empty = client.get(&party.url("/openid/v1/jwks"), 2).await.unwrap_err().to_string();
    assert!(empty.contains(file.path().to_str().unwrap()) && empty.contains("it has no token"), "{empty}");
    for token in ["canary-1", "\u{feff}canary-2\r\n"] {
        std::fs::write(file.path(), token).unwrap();
        client.get(&party.url("/openid/v1/jwks"), 2).await.unwrap();
    }
    // An issuer's document can name any path of the origin: no token goes there.
    client.get(&party.url("/openid/v1/jwks?all=1"), 2).await.unwrap();
    client.get(&party.url("/api/v1/secrets"), 2).await.unwrap();
    // What a caller sends itself, such as a ticket to a discharger, is its own matter.
    let request = OutboundRequest {
        method: Method::POST,
        url: &party.url("/3p"),
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
        limit: 2,
    };
    client.send(request).await.unwrap();
    let requests = party.requests.lock().unwrap().clone();
    let tokens: Vec<_> = requests
        .iter()
        .map(|request| request.lines().find_map(|line| line.strip_prefix("authorization: ")))
        .collect();
    assert_eq!(tokens, [Some("Bearer canary-1"), Some("Bearer canary-2"), None, None, None]);
    let other = OutboundClient::new(&OutboundSettings {
        ca_file: Some(party.ca.path().to_owned()),
        private_hosts: vec!["localhost".to_owned()],
        origins: vec![OriginSettings {
            url: "https://localhost".parse().unwrap(),
            proxy: None,
            bearer_token_file: Some(file.path().to_owned()),
            token_paths: vec!["/".to_owned()],
        }],
        within: WITHIN,
    });
    other.unwrap().get(&party.url("/"), 2).await.unwrap();
    assert!(!party.requests.lock().unwrap().last().unwrap().contains("canary"));
}

#[tokio::test]
async fn a_dead_address_keeps_no_call_from_the_others() {
    let there = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let live = there.local_addr().unwrap();
    // A listener that takes no connection: its queue is full, so the system drops what comes after.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let dead = full.local_addr().unwrap();
    let mut fillers = Vec::new();
    for _ in 0..8 {
        fillers.push(tokio::spawn(tokio::net::TcpStream::connect(dead)));
    }
    tokio::task::yield_now().await;
    // Refused at once: nothing listens there.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for addresses in [vec![dead, live], vec![closed, dead, live], vec![dead, closed, live], vec![live, dead]]
    {
        let stream = tokio::time::timeout(WITHIN, crate::connect::connect_to_one(addresses.clone())).await;
        let connected = stream.unwrap_or_else(|_| panic!("{addresses:?}")).unwrap().peer_addr().unwrap();
        assert!(connected == live || connected == dead, "{addresses:?}");
    }
    let refused = crate::connect::connect_to_one(vec![closed]).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_proxy_is_a_host_and_a_port_without_credentials() {
    let read = |text: &str| text.parse::<ProxyAddress>().map(|proxy| proxy.to_string());
    assert_eq!(read("http://proxy.internal:3128"), Ok("http://proxy.internal:3128".to_owned()));
    assert_eq!(read("http://10.0.0.7:443/"), Ok("http://10.0.0.7:443".to_owned()));
    assert_eq!(read("http://[fd00::1]:3128"), Ok("http://[fd00::1]:3128".to_owned()));
    assert_eq!(read("http://proxy.internal"), Ok("http://proxy.internal:80".to_owned()));
    for invalid in [
        "",
        "proxy.internal:3128",
        "https://proxy.internal:3128",
        "http://a:b@proxy.internal:3128",
        "http://x/y",
    ] {
        assert!(read(invalid).is_err(), "{invalid}");
    }
}
