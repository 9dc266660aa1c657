//! An HTTP server on a loopback port or a Unix socket with scripted answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use petsem_client::Endpoint;
use tokio::net::{TcpListener, UnixListener};

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) authorization: String,
    pub(crate) body: String,
}

type Script = Arc<dyn Fn(usize, &Seen) -> Response + Send + Sync>;

/// A server and the requests that it received.
#[derive(Clone)]
pub(crate) struct Server {
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Script,
}

impl Server {
    /// Answers request number n (from 0) with the result of `script`.
    pub(crate) fn new(script: impl Fn(usize, &Seen) -> Response + Send + Sync + 'static) -> Self {
        Self { seen: Arc::default(), script: Arc::new(script) }
    }

    pub(crate) async fn start(&self) -> Endpoint {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = self.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Endpoint::loopback(address).unwrap()
    }

    pub(crate) fn start_unix(&self, path: &Path) -> Endpoint {
        let listener = UnixListener::bind(path).unwrap();
        let router = self.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Endpoint::unix(path).unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen().len()
    }

    fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }
}

async fn answer(
    State(server): State<Server>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let seen = Seen {
        line: format!("{method} {uri}"),
        authorization: authorization.unwrap_or_default(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let at = {
        let mut all = server.seen.lock().unwrap();
        all.push(seen.clone());
        all.len() - 1
    };
    (server.script)(at, &seen)
}

pub(crate) fn json(status: u16, body: impl Into<String>) -> Response {
    let status = axum::http::StatusCode::from_u16(status).unwrap();
    (status, [("content-type", "application/json")], body.into()).into_response()
}

pub(crate) fn refusal(status: u16, code: &str) -> Response {
    json(status, format!(r#"{{"error":"said by the server","status":"{code}","request_id":null}}"#))
}

/// An endpoint on which no server listens.
pub(crate) async fn unreachable_endpoint() -> Endpoint {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    Endpoint::loopback(listener.local_addr().unwrap()).unwrap()
}
