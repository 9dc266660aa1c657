//! One request over one connection, and its answer within the limits.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::Builder;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::error::OutboundError;
use crate::url::OutboundUrl;

/// Largest header of an answer, in bytes.
const HEADER_MAXIMUM: usize = 64 * 1024;
/// Largest body of an answer, in bytes, whatever limit a request states: room for the limit is allocated.
const BODY_MAXIMUM: usize = 8 * 1024 * 1024;
/// Longest `Retry-After` that is passed on.
const RETRY_AFTER_MAXIMUM: Duration = Duration::from_secs(3600);

/// A request to a third party.
pub struct OutboundRequest<'a> {
    /// The method.
    pub method: Method,
    /// The URL.
    pub url: &'a OutboundUrl,
    /// Headers. `Host`, `User-Agent` and `Connection` are set by the client. The caller marks credentials as
    /// sensitive ([`HeaderValue::set_sensitive`]).
    pub headers: HeaderMap,
    /// The body. [`Bytes::from_owner`] of a `Zeroizing` keeps it in one buffer that is wiped on drop.
    pub body: Bytes,
    /// Largest body of the answer, in bytes. Room for all of it is allocated; at most 8 MiB.
    pub limit: usize,
}

/// What a third party answered. The body may be a secret: it is wiped on drop.
pub struct OutboundAnswer {
    /// The HTTP status; never a redirect.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
}

impl OutboundAnswer {
    /// `Retry-After` in seconds (RFC 9110 §10.2.3), at most one hour. A date is ignored.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
        Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAXIMUM))
    }
}

impl fmt::Debug for OutboundAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutboundAnswer(HTTP {}, {} bytes)", self.status, self.body.len())
    }
}

/// The origin and the method: path, headers and body may be secret.
impl fmt::Debug for OutboundRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutboundRequest({} {:?}, {} bytes)", self.method, self.url, self.body.len())
    }
}

pub(crate) async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: OutboundRequest<'_>,
) -> Result<OutboundAnswer, OutboundError> {
    let (url, limit) = (request.url, request.limit.min(BODY_MAXIMUM));
    let broken = |source| OutboundError::Broken { origin: url.origin(), source };
    let request = written(request)?;
    let mut builder = Builder::new();
    builder.max_buf_size(HEADER_MAXIMUM);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // The set owns the task: a call that is dropped closes its connection.
    let mut driver = JoinSet::new();
    driver.spawn(async move { drop(connection.await) });
    let (head, mut incoming) = sender.send_request(request).await.map_err(broken)?.into_parts();
    let status = head.status.as_u16();
    if head.status.is_redirection() {
        return Err(OutboundError::Redirect { origin: url.origin(), status });
    }
    // All of the room at once: a buffer that grows leaves unwiped copies behind.
    let mut body = Zeroizing::new(Vec::with_capacity(limit));
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(broken)?;
        let Some(data) = frame.data_ref() else { continue };
        if body.len().saturating_add(data.len()) > limit {
            return Err(OutboundError::TooLarge { origin: url.origin(), limit });
        }
        body.extend_from_slice(data);
    }
    Ok(OutboundAnswer { status, headers: head.headers, body })
}

fn written(request: OutboundRequest<'_>) -> Result<Request<Full<Bytes>>, OutboundError> {
    let OutboundRequest { method, url, headers, body, limit: _ } = request;
    let unsendable = || OutboundError::Unsendable { origin: url.origin() };
    let host = HeaderValue::from_str(&url.authority()).map_err(|_| unsendable())?;
    let request = Request::builder().method(method).uri(url.target());
    let mut request = request.body(Full::new(body)).map_err(|_| unsendable())?;
    *request.headers_mut() = headers;
    request.headers_mut().insert(HOST, host);
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("petsem"));
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}
