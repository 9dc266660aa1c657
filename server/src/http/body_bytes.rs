//! The memory of bodies that have not arrived in full: bounded for all together, and for each token, issuer and source.
//! Otherwise one client with a valid token could fill it with bodies that it never ends.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body_util::Limited;
use hyper::body::{Body as HttpBody, Frame};

/// The first bytes of a body, which are not counted: most bodies have no more.
const SMALL: usize = 16 * 1024;
/// Most counted bytes of all bodies together.
const MOST: usize = 128 * 1024 * 1024;
/// Most counted bytes for one token, issuer or source.
const MOST_OF_ONE: usize = 32 * 1024 * 1024;

/// What all bodies hold.
#[derive(Default)]
pub(crate) struct BodyBytes(Mutex<Held>);

#[derive(Default)]
struct Held {
    total: usize,
    by_holder: HashMap<String, usize>,
}

impl BodyBytes {
    /// Adds bytes for these holders, if they fit.
    fn add(&self, holders: &[String], bytes: usize) -> bool {
        let mut held = self.lock();
        let of = |held: &Held, holder| held.by_holder.get(holder).copied().unwrap_or(0);
        let fits = held.total + bytes <= MOST
            && holders.iter().all(|holder| of(&held, holder) + bytes <= MOST_OF_ONE);
        if fits {
            held.total += bytes;
            for holder in holders {
                *held.by_holder.entry(holder.clone()).or_default() += bytes;
            }
        }
        fits
    }

    fn remove(&self, holders: &[String], bytes: usize) {
        let mut held = self.lock();
        held.total -= bytes;
        for holder in holders {
            if let Some(of_one) = held.by_holder.get_mut(holder) {
                *of_one -= bytes;
                if *of_one == 0 {
                    held.by_holder.remove(holder);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// There is no memory for more of this body.
#[derive(Debug, thiserror::Error)]
#[error("too many bytes of bodies are in memory")]
pub(crate) struct NoRoom;

/// A body as it arrives, counted.
pub(super) struct CountedBody {
    body: Pin<Box<Limited<Body>>>,
    bytes: Arc<BodyBytes>,
    holders: Vec<String>,
    arrived: usize,
}

impl CountedBody {
    /// A body of at most `limit` bytes, for these holders.
    pub(super) fn new(body: Body, limit: usize, bytes: &Arc<BodyBytes>, holders: Vec<String>) -> Self {
        Self { body: Box::pin(Limited::new(body, limit)), bytes: Arc::clone(bytes), holders, arrived: 0 }
    }
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(self.body.as_mut().poll_frame(context)).transpose()?;
        if let Some(data) = frame.as_ref().and_then(Frame::data_ref) {
            let counted = self.arrived.saturating_sub(SMALL);
            let more = (self.arrived + data.len()).saturating_sub(SMALL) - counted;
            if more > 0 && !self.bytes.add(&self.holders, more) {
                return Poll::Ready(Some(Err(NoRoom.into())));
            }
            self.arrived += data.len();
        }
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        let counted = self.arrived.saturating_sub(SMALL);
        if counted > 0 {
            self.bytes.remove(&self.holders, counted);
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn body(length: usize, bytes: &Arc<BodyBytes>, holders: &[&str]) -> CountedBody {
        let holders = holders.iter().map(|holder| (*holder).to_owned()).collect();
        CountedBody::new(Body::from(vec![7; length]), usize::MAX, bytes, holders)
    }

    #[tokio::test]
    async fn bodies_are_bounded_for_each_holder_and_in_all() {
        let bytes = Arc::new(BodyBytes::default());
        let mut held = Vec::new();
        for holder in 0..MOST / MOST_OF_ONE {
            let name = holder.to_string();
            let mut full = body(MOST_OF_ONE + SMALL, &bytes, &["source", &name]);
            if holder == 0 {
                assert!(full.frame().await.unwrap().is_ok());
                // The source is full, for other tokens too; a small body always has room.
                assert!(body(SMALL + 1, &bytes, &["source", "other"]).frame().await.unwrap().is_err());
                assert!(body(SMALL, &bytes, &["source", &name]).frame().await.unwrap().is_ok());
            } else {
                full.holders = vec![name];
                assert!(full.frame().await.unwrap().is_ok());
            }
            held.push(full);
        }
        assert!(body(SMALL + 1, &bytes, &["another"]).frame().await.unwrap().is_err());
        drop(held.pop());
        assert!(body(SMALL + 1, &bytes, &["another"]).frame().await.unwrap().is_ok());
        drop(held);
        let left = bytes.lock();
        assert_eq!((left.total, left.by_holder.len()), (0, 0));
    }
}
