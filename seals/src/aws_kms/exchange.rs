//! One request over one connection, and its answer within limits.

mod error;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::Builder;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

pub use error::AwsCallError;

use super::origin::Origin;

/// Largest header of an answer, in bytes.
const HEADER: usize = 64 * 1024;

/// Largest body that is read, in bytes: KMS and the metadata services answer a few KiB.
const BODY: usize = 64 * 1024;

/// Addresses of one host that are tried.
const MOST_ADDRESSES: usize = 4;

/// What is asked.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) origin: &'a Origin,
    /// Path and query.
    pub(super) target: &'a str,
    pub(super) headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
    /// The longest that it takes, with all that belongs to it.
    pub(super) within: Duration,
}

/// What was answered. The body may be a secret: it is wiped on drop.
pub(super) struct Answer {
    /// The HTTP status; never a redirect.
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// Runs `work` on a thread of its own, and waits for it: a runtime cannot be entered within another.
pub(super) fn block_on<T, E>(work: impl Future<Output = Result<T, E>> + Send) -> Result<T, E>
where
    T: Send,
    E: From<AwsCallError> + Send,
{
    let no_thread = |source| E::from(AwsCallError::Thread { source });
    thread::scope(|scope| {
        let running = thread::Builder::new().name("aws-kms".to_owned()).spawn_scoped(scope, || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
            let result = runtime.block_on(work);
            // A name that is still being resolved is not waited for.
            runtime.shutdown_background();
            result
        });
        match running.map_err(no_thread)?.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Sends the request; the answer is of any status but a redirect.
pub(super) async fn call(call: Call<'_>) -> Result<Answer, AwsCallError> {
    let (origin, within) = (call.origin, call.within);
    let whole = async {
        let stream = connect(origin).await?;
        if origin.plain.is_some() {
            return exchange(stream, call).await;
        }
        let name = ServerName::try_from(origin.host.clone()).map_err(|_| AwsCallError::Unresolved {
            origin: origin.text(),
            source: io::Error::other("no name"),
        })?;
        let stream = TlsConnector::from(Arc::new(configuration()?)).connect(name, stream).await;
        let stream = stream.map_err(|source| AwsCallError::Tls { origin: origin.text(), source })?;
        exchange(stream, call).await
    };
    match tokio::time::timeout(within, whole).await {
        Ok(result) => result,
        Err(_) => Err(AwsCallError::TimedOut { origin: origin.text(), within }),
    }
}

async fn connect(origin: &Origin) -> Result<TcpStream, AwsCallError> {
    let found = tokio::net::lookup_host((origin.host.as_str(), origin.port)).await;
    let found = found.map_err(|source| AwsCallError::Unresolved { origin: origin.text(), source })?;
    let mut last = io::Error::other("it has no address that may be spoken to");
    // Without TLS the address itself must be one that nobody else can have.
    let allowed = found.filter(|address| origin.plain.is_none_or(|plain| plain.allows(address.ip())));
    for address in allowed.take(MOST_ADDRESSES) {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(AwsCallError::Unreachable { origin: origin.text(), source: last })
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    call: Call<'_>,
) -> Result<Answer, AwsCallError> {
    let origin = call.origin;
    let broken = |source| AwsCallError::Broken { origin: origin.text(), source };
    let request = request(call)?;
    let mut builder = Builder::new();
    builder.max_buf_size(HEADER);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Owned by the set: a call that is given up closes its connection.
    let mut driver = tokio::task::JoinSet::new();
    driver.spawn(async move { drop(connection.await) });
    let (head, mut incoming) = sender.send_request(request).await.map_err(broken)?.into_parts();
    let status = head.status.as_u16();
    if head.status.is_redirection() {
        return Err(AwsCallError::Redirect { origin: origin.text(), status });
    }
    // All of the room at once: a buffer that grows leaves its earlier selves behind.
    let mut body = Zeroizing::new(Vec::with_capacity(BODY));
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(broken)?;
        let Some(data) = frame.data_ref() else { continue };
        if body.len().saturating_add(data.len()) > BODY {
            return Err(AwsCallError::TooLarge { origin: origin.text(), limit: BODY });
        }
        body.extend_from_slice(data);
    }
    Ok(Answer { status, headers: head.headers, body })
}

fn request(call: Call<'_>) -> Result<Request<Full<Bytes>>, AwsCallError> {
    let unsendable = || AwsCallError::Unsendable { origin: call.origin.text() };
    let host = HeaderValue::from_str(&call.origin.authority()).map_err(|_| unsendable())?;
    // The bytes stay in the one wiped buffer.
    let body = Full::new(if call.body.is_empty() { Bytes::new() } else { Bytes::from_owner(call.body) });
    let mut request = Request::builder()
        .method(call.method)
        .uri(call.target)
        .body(body)
        .map_err(|_| AwsCallError::Unsendable { origin: call.origin.text() })?;
    let headers = request.headers_mut();
    *headers = call.headers;
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static("petsem"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

fn configuration() -> Result<ClientConfig, AwsCallError> {
    let mut roots = RootCertStore::empty();
    // One that cannot be read is one less; none at all is an error.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(AwsCallError::NoSystemCas);
    }
    // Named here: nothing in the process chooses another by a default.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(AwsCallError::Setup)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
