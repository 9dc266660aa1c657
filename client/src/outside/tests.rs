//! Against a real HTTPS server on this machine, whose CA is made here.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A third party that gives each request the same answer, and keeps what it was asked.
struct ThirdParty {
    port: u16,
    ca: tempfile::NamedTempFile,
    asked: Arc<Mutex<Vec<String>>>,
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
        let asked = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (heard, counted, answer) = (Arc::clone(&asked), Arc::clone(&connections), answer.to_owned());
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
                heard.lock().unwrap().push(String::from_utf8(request).unwrap());
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
                drop(stream.write_all(answer.as_bytes()).await);
                drop(stream.shutdown().await);
            }
        });
        Self { port, ca, asked, connections }
    }

    fn url(&self, path: &str) -> OutsideUrl {
        format!("https://localhost:{}{path}", self.port).parse().unwrap()
    }

    fn outside(&self, private_hosts: &[&str]) -> Outside {
        Outside::new(&OutsideSettings {
            ca_file: Some(self.ca.path().to_owned()),
            private_hosts: private_hosts.iter().map(|host| (*host).to_owned()).collect(),
            within: Duration::from_secs(5),
        })
        .unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

#[tokio::test]
async fn a_listed_host_is_asked_and_its_answer_comes_back() {
    let party = ThirdParty::start("localhost", OK).await;
    let outside = party.outside(&["LOCALHOST"]);
    let answer = outside.get(&party.url("/keys?a=b"), None, 2).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice(), answer.retry_after), (200, &b"{}"[..], None));
    let body = Zeroizing::new(br#"{"ticket":"x"}"#.to_vec());
    outside.post(&party.url("/3p"), Some("Bearer canary"), body, 2).await.unwrap();
    let asked = party.asked.lock().unwrap();
    assert!(asked[0].starts_with("GET /keys?a=b HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(asked[0].contains(&format!("host: localhost:{}\r\n", party.port)), "{}", asked[0]);
    assert!(asked[1].starts_with("POST /3p HTTP/1.1\r\n"), "{}", asked[1]);
    assert!(asked[1].contains("authorization: Bearer canary\r\n"), "{}", asked[1]);
    assert!(asked[1].ends_with("\r\n\r\n{\"ticket\":\"x\"}"), "{}", asked[1]);
}

#[tokio::test]
async fn an_answer_of_any_status_is_passed_on() {
    let text = "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
    let party = ThirdParty::start("localhost", text).await;
    let answer = party.outside(&["localhost"]).get(&party.url("/"), None, 10).await.unwrap();
    assert_eq!((answer.status, answer.retry_after), (503, Some(Duration::from_secs(7))));
    assert_eq!(format!("{answer:?}"), "OutsideAnswer(HTTP 503, 0 bytes)");
}

#[tokio::test]
async fn a_private_address_that_is_not_listed_is_not_connected_to() {
    let party = ThirdParty::start("localhost", OK).await;
    let outside = party.outside(&["other.example"]);
    for host in ["localhost", "127.0.0.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "[::1]"] {
        let url: OutsideUrl = format!("https://{host}:{}/", party.port).parse().unwrap();
        match outside.get(&url, None, 2).await {
            Err(OutsideError::PrivateAddress { .. } | OutsideError::NoServerName { .. }) => {}
            other => panic!("{host}: {other:?}"),
        }
    }
    assert_eq!(party.connections(), 0);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let text = "HTTP/1.1 302 Found\r\nLocation: https://canary.example/\r\nContent-Length: 0\r\n\r\n";
    let party = ThirdParty::start("localhost", text).await;
    let error = party.outside(&["localhost"]).get(&party.url("/"), None, 10).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "https://localhost:{} answers HTTP 302 and sends elsewhere, which is not followed; register the final URL",
            party.port
        )
    );
    assert_eq!(party.connections(), 1);
}

#[tokio::test]
async fn a_body_over_its_limit_is_refused_whatever_its_header_says() {
    let long = "canary".repeat(100);
    for header in [format!("Content-Length: {}\r\n", long.len()), String::new()] {
        let party = ThirdParty::start("localhost", &format!("HTTP/1.1 200 OK\r\n{header}\r\n{long}")).await;
        let error = party.outside(&["localhost"]).get(&party.url("/"), None, 599).await.unwrap_err();
        assert!(matches!(error, OutsideError::TooLarge { limit: 599, .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("canary"));
        assert_eq!(
            party.outside(&["localhost"]).get(&party.url("/"), None, 600).await.unwrap().body.len(),
            600
        );
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_or_of_another_ca_is_not_trusted() {
    let party = ThirdParty::start("other.example", OK).await;
    let error = party.outside(&["localhost"]).get(&party.url("/"), None, 2).await.unwrap_err();
    assert!(matches!(error, OutsideError::Tls { .. }), "{error:?}");
    let stranger = ThirdParty::start("localhost", OK).await;
    let error = party.outside(&["localhost"]).get(&stranger.url("/"), None, 2).await.unwrap_err();
    assert!(matches!(error, OutsideError::Tls { .. }), "{error:?}");
    assert_eq!(stranger.asked.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn who_never_answers_is_given_up() {
    let party = ThirdParty::start("localhost", "").await;
    let mut outside = party.outside(&["localhost"]);
    outside.within = Duration::from_millis(300);
    let error = outside.get(&party.url("/"), None, 2).await.unwrap_err();
    assert!(matches!(error, OutsideError::TimedOut { .. }), "{error:?}");
}

#[test]
fn a_ca_file_that_is_none_is_refused_at_start() {
    let settings = |path: &std::path::Path| OutsideSettings {
        ca_file: Some(path.to_owned()),
        private_hosts: Vec::new(),
        within: Duration::from_secs(1),
    };
    let missing = Outside::new(&settings("/nowhere/ca.pem".as_ref())).unwrap_err();
    assert!(matches!(missing, OutsideSetupError::CaFile { .. }), "{missing:?}");
    let empty = tempfile::NamedTempFile::new().unwrap();
    let error = Outside::new(&settings(empty.path())).unwrap_err();
    assert!(matches!(error, OutsideSetupError::NoCertificate { .. }), "{error:?}");
}
