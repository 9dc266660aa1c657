//! A request on its way in. [`Incoming`] is taken apart within limits and never fails by itself, so that every refusal
//! has the one error body and its audit line.

use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Uri};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, LengthLimitError};
use hyper::body::Body as HttpBody;
use petsem_engine::{AuditRecord, Engine, Failure, Peer, Timestamp};
use serde::de::DeserializeOwned;

use super::body_bytes::{CountedBody, NoRoom};
use super::body_queue::UnprovenBodyQueue;
use super::limits::BodyLimit;
use super::permits::{is_org, source_of};
use super::query;
use crate::http::state::ServerState;
use crate::messages;

/// Media types of bodies.
pub(super) const JSON: &str = "application/json";
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// A request, taken apart.
pub(crate) struct Incoming {
    pub(crate) state: Arc<ServerState>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) peer: Arc<Peer>,
    pub(crate) now: Timestamp,
    headers: HeaderMap,
    path: Option<RawPathParams>,
    uri: Uri,
    // Read late, and once.
    body: Mutex<Option<Body>>,
}

impl FromRequest<Arc<ServerState>> for Incoming {
    type Rejection = std::convert::Infallible;

    async fn from_request(request: Request, state: &Arc<ServerState>) -> Result<Self, Self::Rejection> {
        let (mut parts, body) = request.into_parts();
        // An error: not UTF-8 after decoding, so not a name; the handler refuses it.
        let path = RawPathParams::from_request_parts(&mut parts, state).await.ok();
        let unknown = || Peer { source: messages::UNKNOWN_SOURCE.to_owned(), address: None, host: None };
        let peer = parts.extensions.remove::<Arc<Peer>>().unwrap_or_else(|| Arc::new(unknown()));
        Ok(Self {
            state: Arc::clone(state),
            engine: Arc::clone(&state.engine),
            peer,
            now: state.engine.now(),
            headers: parts.headers,
            path,
            uri: parts.uri,
            body: Mutex::new(Some(body)),
        })
    }
}

impl Incoming {
    /// The audit record of this request.
    pub(crate) fn audit(&self, action: &'static str) -> AuditRecord {
        AuditRecord::new(self.now, &self.peer, action)
    }

    /// The `Authorization` header. It is absent if it occurs twice or is not text.
    pub(crate) fn authorization(&self) -> Option<&str> {
        let mut values = self.headers.get_all(AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }

    /// A parameter of the path, as a name or id.
    pub(crate) fn param<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<T, Failure> {
        let path = self.path.as_ref().ok_or_else(messages::path_not_utf8)?;
        let text = path.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value);
        text.parse().map_err(|error| messages::invalid_path_parameter(name, &error))
    }

    /// The query. Unknown parameters are refused: a misspelled one would not narrow.
    pub(crate) fn query<Q: DeserializeOwned>(&self) -> Result<Q, Failure> {
        match Query::try_from_uri(&self.uri) {
            Ok(Query(query)) => Ok(query),
            Err(_) => Err(query::refusal::<Q>(self.uri.query().unwrap_or_default())),
        }
    }

    /// Refuses a query with a parameter: it would look as if it had changed what the request does.
    pub(super) fn no_query(&self) -> Result<(), Failure> {
        query::none(self.uri.query().unwrap_or_default())
    }

    /// The body as a form (RFC 6749, appendix B): names and values in order. It is read once, within its limit and
    /// time, and before the client is known: for a part of the clients at once.
    pub(crate) async fn form(&self, limit: BodyLimit) -> Result<Vec<(String, String)>, Failure> {
        let body =
            self.body(FORM, messages::not_a_form, limit, Vec::new(), Some(&self.state.jwt_bodies)).await?;
        Ok(form_urlencoded::parse(&body).into_owned().collect())
    }

    /// The body, if its header says that it has this media type; otherwise it is refused with `refusal`. Its memory
    /// counts for the source, and for the holders of the credential. A client that may be allowed nothing waits in a
    /// queue.
    pub(super) async fn body(
        &self,
        wanted: &str,
        refusal: fn(&str) -> Failure,
        limit: BodyLimit,
        holders: Vec<String>,
        queue: Option<&UnprovenBodyQueue>,
    ) -> Result<Bytes, Failure> {
        let body =
            self.body.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_else(Body::empty);
        let holders =
            holders.into_iter().filter(|holder| !is_org(holder)).chain([source_of(&self.peer)]).collect();
        let body = CountedBody::new(body, limit.bytes(), &self.state.body_bytes, holders);
        let body = read(body, limit.bytes(), self.state.limits.seconds);
        let body = match queue {
            None => body.await?,
            Some(queue) => {
                queue.wait_for(&self.peer.source, body).await.ok_or_else(messages::body_evicted)??
            }
        };
        let header = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = header.and_then(|value| value.split(';').next()).unwrap_or_default();
        if kind.trim().eq_ignore_ascii_case(wanted) {
            return Ok(body);
        }
        Err(refusal(wanted))
    }
}

/// The whole body, within its limit and time.
async fn read(body: CountedBody, limit: usize, seconds: u64) -> Result<Bytes, Failure> {
    match tokio::time::timeout(Duration::from_secs(seconds), whole(body)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(messages::body_too_large(limit)),
        Ok(Err(error)) if error.is::<NoRoom>() => Err(messages::no_room_for_body()),
        Ok(Err(_)) => Err(messages::body_incomplete()),
        Err(_) => Err(messages::body_timed_out(seconds)),
    }
}

/// The whole body in one buffer. A frame can be a single byte and keep the buffer that it was read into, so only a body
/// that arrives as one frame is not copied.
async fn whole<B>(body: B) -> Result<Bytes, B::Error>
where
    B: HttpBody<Data = Bytes>,
{
    let mut body = std::pin::pin!(body);
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if whole.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};

    use futures_util::FutureExt as _;
    use hyper::body::Frame;

    use super::*;

    /// What a connection reads into, while something refers to it.
    struct ReadBuffer(Arc<AtomicUsize>);

    impl AsRef<[u8]> for ReadBuffer {
        fn as_ref(&self) -> &[u8] {
            b"x"
        }
    }

    impl Drop for ReadBuffer {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A body of frames of one byte, each with a buffer of its own, that ends or stalls.
    struct Drip {
        left: usize,
        ends: bool,
        held: Arc<AtomicUsize>,
    }

    impl HttpBody for Drip {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.left == 0 {
                return if self.ends { Poll::Ready(None) } else { Poll::Pending };
            }
            self.left -= 1;
            self.held.fetch_add(1, Ordering::Relaxed);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(ReadBuffer(Arc::clone(&self.held)))))))
        }

        fn is_end_stream(&self) -> bool {
            self.ends && self.left == 0
        }
    }

    #[test]
    fn a_body_that_drips_keeps_none_of_the_buffers_that_it_was_read_into() {
        let drip = |left, ends| {
            let held = Arc::<AtomicUsize>::default();
            (Arc::clone(&held), Drip { left, ends, held })
        };
        let (held, stalled) = drip(1000, false);
        let mut waiting = Box::pin(whole(stalled));
        assert_eq!((&mut waiting).now_or_never(), None);
        assert_eq!(held.load(Ordering::Relaxed), 0);
        let (_, ended) = drip(1000, true);
        assert_eq!(whole(ended).now_or_never(), Some(Ok(Bytes::from("x".repeat(1000)))));
        // One frame is the body itself.
        let (held, single) = drip(1, true);
        let body = whole(single).now_or_never().unwrap().unwrap();
        assert_eq!((&*body, held.load(Ordering::Relaxed)), (&b"x"[..], 1));
        let (_, empty) = drip(0, true);
        assert_eq!(whole(empty).now_or_never(), Some(Ok(Bytes::new())));
    }
}
