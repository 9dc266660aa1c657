//! An issuer of JWTs that publishes its keys: a real HTTPS server on 127.0.0.1 with its own CA, with answers
//! set by the test, and counts of requests.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::BASE64URL_NOPAD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// The server. Its thread ends with the process.
#[derive(Debug)]
pub struct Publisher {
    address: SocketAddr,
    ca: String,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    answers: Mutex<BTreeMap<String, Answer>>,
    asked: Mutex<Vec<String>>,
    connections: Mutex<usize>,
}

/// The answer of a path.
#[derive(Clone, Debug)]
pub enum Answer {
    /// This status and body.
    Body(u16, Vec<u8>),
    /// A redirect to this path of the same server.
    Redirect(String),
    /// No answer, until the client gives up.
    Silence,
}

impl Publisher {
    /// A publisher that answers 404 everywhere.
    ///
    /// # Panics
    /// If it cannot listen.
    pub fn start() -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::new(Vec::new()).expect("a CA needs no name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a CA signs itself");
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().expect("a key can be made");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address is a name");
        let certificate = params.signed_by(&own, &issuer).expect("a CA signs");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has usual versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(own.serialize_der()).expect("a key in PKCS #8"),
            )
            .expect("certificate and key fit");
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                *locked(&of_thread.connections) += 1;
                let (config, shared) = (Arc::clone(&config), Arc::clone(&of_thread));
                std::thread::spawn(move || serve(stream, config, &shared));
            }
        });
        Self { address, ca: root.pem(), shared }
    }

    /// The PEM of its CA.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// The URL of a path; for an empty path the origin, which is a valid `iss`.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// Sets the answer of a path.
    pub fn answer(&self, path: &str, answer: Answer) {
        locked(&self.shared.answers).insert(path.to_owned(), answer);
    }

    /// Publishes exactly these keys at a path.
    pub fn publish(&self, path: &str, keys: &[Value]) {
        self.answer(path, Answer::Body(200, json!({ "keys": keys }).to_string().into_bytes()));
    }

    /// Answers 503 everywhere from now on.
    pub fn fail(&self) {
        for answer in locked(&self.shared.answers).values_mut() {
            *answer = Answer::Body(503, Vec::new());
        }
    }

    /// How many requests a path received.
    pub fn asked(&self, path: &str) -> usize {
        locked(&self.shared.asked).iter().filter(|asked| *asked == path).count()
    }

    /// How many connections were opened, with or without a request.
    pub fn connections(&self) -> usize {
        *locked(&self.shared.connections)
    }
}

/// An ES256 key of an issuer.
pub struct IssuerKey {
    id: String,
    pair: KeyPair,
}

impl std::fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IssuerKey({})", self.id)
    }
}

impl IssuerKey {
    /// A new key with this `kid`.
    ///
    /// # Panics
    /// If there is no randomness.
    pub fn new(id: &str) -> Self {
        Self { id: id.to_owned(), pair: KeyPair::generate().expect("a key can be made") }
    }

    /// The key with this `kid` and this PEM, as [`Self::pem`] returned it.
    ///
    /// # Panics
    /// If it is not such a PEM.
    pub fn from_pem(id: &str, pem: &str) -> Self {
        Self { id: id.to_owned(), pair: KeyPair::from_pem(pem).expect("a PEM of a key") }
    }

    /// Its private half, in PEM.
    pub fn pem(&self) -> String {
        self.pair.serialize_pem()
    }

    /// Its public half, as a JWK.
    ///
    /// # Panics
    /// If it is not a point of P-256.
    pub fn jwk(&self) -> Value {
        // 04 ‖ x ‖ y
        let point = self.pair.public_key_raw().get(1..).expect("an uncompressed point");
        let (x, y) = point.split_at_checked(32).expect("two coordinates");
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "kid": self.id,
            "x": BASE64URL_NOPAD.encode(x), "y": BASE64URL_NOPAD.encode(y)
        })
    }

    /// A JWT with these claims and its `kid`.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({"alg": "ES256", "typ": "JWT", "kid": self.id}), claims)
    }

    /// A JWS with any header, signed with ES256.
    ///
    /// # Panics
    /// If it cannot be signed.
    pub fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(header), part(claims));
        let key = jsonwebtoken::EncodingKey::from_ec_pem(self.pair.serialize_pem().as_bytes())
            .expect("a key in PKCS #8");
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, jsonwebtoken::Algorithm::ES256)
            .expect("a JWS can be signed");
        format!("{signed}.{signature}")
    }
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, shared: &Shared) {
    let Ok(connection) = ServerConnection::new(config) else { return };
    let mut tls = StreamOwned::new(connection, stream);
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match tls.read(&mut byte) {
            Ok(1) => head.extend_from_slice(&byte),
            // The client does not trust the certificate and disconnects.
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    locked(&shared.asked).push(path.clone());
    let answer = locked(&shared.answers).get(&path).cloned().unwrap_or(Answer::Body(404, Vec::new()));
    let (status, location, body) = match answer {
        Answer::Body(status, body) => (status, String::new(), body),
        Answer::Redirect(path) => (302, format!("location: {path}\r\n"), Vec::new()),
        Answer::Silence => {
            // Until the client closes.
            let _ = tls.read(&mut byte);
            return;
        }
    };
    let head = format!("HTTP/1.1 {status} X\r\n{location}content-length: {}\r\n\r\n", body.len());
    // The client may have disconnected.
    let _ = tls.write_all(head.as_bytes()).and_then(|()| tls.write_all(&body)).and_then(|()| tls.flush());
    tls.conn.send_close_notify();
    let _ = tls.flush();
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
