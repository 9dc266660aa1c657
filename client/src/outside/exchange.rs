//! One request over one connection, and its answer within limits.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::Builder;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use super::{OutsideError, OutsideUrl};
use crate::wiped::WipedBuffer;

/// Largest header of an answer, in bytes.
const HEADER: usize = 64 * 1024;
/// Longest `Retry-After` that is passed on, in seconds.
const LONGEST_PAUSE: u64 = 3600;

/// What is sent, and how much may come back.
pub(super) struct Wanted<'a> {
    pub(super) authorization: Option<&'a str>,
    pub(super) json: Option<Zeroizing<Vec<u8>>>,
    pub(super) limit: usize,
}

/// What a third party answered. The body may be a secret: it is wiped on drop.
pub struct OutsideAnswer {
    /// The HTTP status; never a redirect.
    pub status: u16,
    /// `Retry-After` in seconds, at most an hour.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for OutsideAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutsideAnswer(HTTP {}, {} bytes)", self.status, self.body.len())
    }
}

pub(super) async fn exchange(
    stream: TlsStream<TcpStream>,
    url: &OutsideUrl,
    wanted: Wanted<'_>,
) -> Result<OutsideAnswer, OutsideError> {
    let broken = |source| OutsideError::Broken { origin: url.origin(), source };
    let limit = wanted.limit;
    let request = request(url, wanted)?;
    let mut builder = Builder::new();
    builder.max_buf_size(HEADER);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Owned by the set: a call that is given up closes its connection.
    let mut driver = tokio::task::JoinSet::new();
    driver.spawn(async move { drop(connection.await) });
    let (head, mut incoming) = sender.send_request(request).await.map_err(broken)?.into_parts();
    if head.status.is_redirection() {
        return Err(OutsideError::Redirect { origin: url.origin(), status: head.status.as_u16() });
    }
    let mut body = WipedBuffer::default();
    let mut length = 0_usize;
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(broken)?;
        let Some(data) = frame.data_ref() else { continue };
        length = length.saturating_add(data.len());
        if length > limit {
            return Err(OutsideError::TooLarge { origin: url.origin(), limit });
        }
        body.extend(data);
    }
    let pause = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    Ok(OutsideAnswer {
        status: head.status.as_u16(),
        retry_after: pause.map(|seconds| Duration::from_secs(seconds.min(LONGEST_PAUSE))),
        body: body.into_inner(),
    })
}

fn request(url: &OutsideUrl, wanted: Wanted<'_>) -> Result<Request<Full<Bytes>>, OutsideError> {
    let unsendable = || OutsideError::Unsendable { origin: url.origin() };
    let method = if wanted.json.is_some() { Method::POST } else { Method::GET };
    let mut builder = Request::builder()
        .method(method)
        .uri(url.target())
        .header(HOST, url.authority())
        .header(USER_AGENT, "petsem")
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close");
    if let Some(text) = wanted.authorization {
        let mut value = HeaderValue::from_str(text).map_err(|_| unsendable())?;
        value.set_sensitive(true);
        builder = builder.header(AUTHORIZATION, value);
    }
    if wanted.json.is_some() {
        builder = builder.header(CONTENT_TYPE, "application/json");
    }
    // The bytes stay in the one wiped buffer.
    let body = wanted.json.map(Bytes::from_owner).unwrap_or_default();
    builder.body(Full::new(body)).map_err(|_| unsendable())
}
