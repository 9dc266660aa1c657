//! The connections of one listener: how many there may be, and which one gives way to a new one.
//!
//! Each listener has its own pool, so that strangers on one cannot keep others out of another. In a full pool the
//! connection that has been idle for longest is closed for a new one. A connection is busy from the end of a request's
//! head to the end of its response; one that sends its head a byte at a time is idle.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::error::ServeError;

/// Descriptors besides connections: database, audit log, operator socket, calls to third parties, and room.
const OTHER_FILES: u64 = 256;
/// Bytes of a head that cost nothing. No read is longer, so that what follows a head is not more either.
const SMALL_HEAD: usize = 8 * 1024;
/// Most bytes that the connections of all listeners may hold of larger heads that have not arrived in full.
pub(crate) const LARGE_HEADS: usize = 32 * 1024 * 1024;

/// Raises the limit on open files to what so many connections need.
pub(crate) fn raise_file_limit(connections: usize) -> Result<(), ServeError> {
    let needed = OTHER_FILES.saturating_add(connections as u64);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let allowed = limit.maximum.unwrap_or(u64::MAX);
    if allowed < needed || setrlimit(Resource::Nofile, Rlimit { current: Some(needed), ..limit }).is_err() {
        return Err(ServeError::Files { allowed, needed });
    }
    Ok(())
}

/// The connections of one listener.
pub(crate) struct Pool {
    places: Arc<Semaphore>,
    idle: Mutex<Idle>,
    /// A connection became idle.
    idled: Notify,
    /// Bytes that larger heads hold, and may hold.
    heads: AtomicUsize,
    most_heads: usize,
}

/// Idle connections, in the order in which they became idle.
#[derive(Default)]
struct Idle {
    next: u64,
    by_age: BTreeMap<u64, Arc<Notify>>,
}

impl Pool {
    /// A pool for so many connections, whose larger heads may hold so many bytes.
    pub(crate) fn new(connections: usize, most_heads: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(connections)),
            idle: Mutex::default(),
            idled: Notify::new(),
            heads: AtomicUsize::new(0),
            most_heads,
        })
    }

    /// A place for a new connection, which is idle. If there is none, the connection that was idle for longest is closed.
    /// Waits while all are busy.
    pub(crate) async fn place(self: &Arc<Self>) -> Option<Arc<Place>> {
        loop {
            if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
                return Some(self.with(permit));
            }
            // Created before `close_oldest`, so that no notification is lost.
            let idled = self.idled.notified();
            let freed = Arc::clone(&self.places).acquire_owned();
            if self.close_oldest() {
                return freed.await.ok().map(|permit| self.with(permit));
            }
            tokio::select! {
                permit = freed => return permit.ok().map(|permit| self.with(permit)),
                () = idled => {}
            }
        }
    }

    /// Adds bytes of a larger head, if they fit.
    fn add_head(&self, bytes: usize) -> bool {
        let add = |held: usize| held.checked_add(bytes).filter(|held| *held <= self.most_heads);
        self.heads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    fn with(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Arc<Place> {
        let close = Arc::new(Notify::new());
        let since = self.add_idle(&close);
        Arc::new(Place {
            pool: Arc::clone(self),
            close,
            idle_since: Mutex::new(Some(since)),
            is_busy: AtomicBool::new(false),
            head: AtomicUsize::new(0),
            _permit: permit,
        })
    }

    fn add_idle(&self, close: &Arc<Notify>) -> u64 {
        let mut idle = lock(&self.idle);
        let since = idle.next;
        idle.next += 1;
        idle.by_age.insert(since, Arc::clone(close));
        drop(idle);
        self.idled.notify_one();
        since
    }

    /// Closes the connection that was idle for longest, if one is idle.
    fn close_oldest(&self) -> bool {
        let oldest = lock(&self.idle).by_age.pop_first();
        oldest.is_some_and(|(_, close)| {
            close.notify_one();
            true
        })
    }
}

/// The place of one connection.
pub(crate) struct Place {
    pool: Arc<Pool>,
    close: Arc<Notify>,
    /// Its key among the idle ones.
    idle_since: Mutex<Option<u64>>,
    is_busy: AtomicBool,
    /// Bytes that it holds of a large head.
    head: AtomicUsize,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Waits until the connection must give way to another.
    pub(crate) async fn closed(&self) {
        self.close.notified().await;
    }

    /// A request arrived. `None` if the connection is being closed: the request must not be handled.
    pub(crate) fn begin(self: &Arc<Self>) -> Option<Busy> {
        let since = lock(&self.idle_since).take()?;
        lock(&self.pool.idle).by_age.remove(&since)?;
        self.is_busy.store(true, Ordering::Relaxed);
        self.release_head();
        Some(Busy(Arc::clone(self)))
    }

    /// Counts bytes that arrived for a head; false if there are too many of them in all connections.
    fn arrived(&self, bytes: usize) -> bool {
        if self.is_busy.load(Ordering::Relaxed) {
            return true;
        }
        let before = self.head.fetch_add(bytes, Ordering::Relaxed);
        let large = |held: usize| held.saturating_sub(SMALL_HEAD);
        let more = large(before.saturating_add(bytes)) - large(before);
        if more > 0 && !self.pool.add_head(more) {
            self.head.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        true
    }

    fn release_head(&self) {
        let held = self.head.swap(0, Ordering::Relaxed).saturating_sub(SMALL_HEAD);
        self.pool.heads.fetch_sub(held, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.release_head();
        if let Some(since) = lock(&self.idle_since).take() {
            lock(&self.pool.idle).by_age.remove(&since);
        }
    }
}

/// A request in progress; its connection is idle again when this is dropped.
pub(crate) struct Busy(Arc<Place>);

impl Drop for Busy {
    fn drop(&mut self) {
        let place = &self.0;
        place.is_busy.store(false, Ordering::Relaxed);
        let since = place.pool.add_idle(&place.close);
        *lock(&place.idle_since) = Some(since);
    }
}

/// The body of a response. Its connection is busy until it was sent.
pub(crate) struct BusyBody {
    pub(crate) body: Body,
    pub(crate) _busy: Busy,
}

impl HttpBody for BusyBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection whose heads are counted.
pub(crate) struct Counted<S> {
    pub(crate) stream: S,
    pub(crate) place: Arc<Place>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = buffer.remaining().min(SMALL_HEAD);
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(length));
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        let arrived = part.filled().len();
        buffer.advance(arrived);
        if !self.place.arrived(arrived) {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn is_closed(place: &Place) -> bool {
        place.closed().now_or_never().is_some()
    }

    #[tokio::test]
    async fn the_connection_that_was_idle_for_longest_gives_way() {
        let pool = Pool::new(3, LARGE_HEADS);
        let [first, second, third] =
            [pool.place().await.unwrap(), pool.place().await.unwrap(), pool.place().await.unwrap()];
        // The first had a request, so the second is idle for longer; the third is busy.
        drop(first.begin().unwrap());
        let busy = third.begin().unwrap();
        let mut fourth = Box::pin(pool.place());
        assert!((&mut fourth).now_or_never().is_none());
        assert_eq!([&first, &second, &third].map(|place| is_closed(place)), [false, true, false]);
        assert!(second.begin().is_none(), "a request that arrives while it is closed is not handled");
        drop(second);
        let fourth = fourth.await.unwrap();
        let fourth_busy = fourth.begin().unwrap();
        let first_busy = first.begin().unwrap();

        // All are busy: a new one waits, and closes the first that becomes idle.
        let mut fifth = Box::pin(pool.place());
        assert!((&mut fifth).now_or_never().is_none());
        drop(busy);
        assert!((&mut fifth).now_or_never().is_none());
        assert!(is_closed(&third));
        drop(third);
        assert!(fifth.await.is_some());
        drop((first_busy, fourth_busy));
    }

    #[tokio::test]
    async fn large_heads_share_a_budget_until_their_requests_begin() {
        let pool = Pool::new(1000, LARGE_HEADS);
        let mut places = Vec::new();
        let head = 64 * 1024;
        let fitting = LARGE_HEADS / (head - SMALL_HEAD);
        for _ in 0..fitting {
            let place = pool.place().await.unwrap();
            assert!(place.arrived(SMALL_HEAD) && place.arrived(head - SMALL_HEAD));
            places.push(place);
        }
        let late = pool.place().await.unwrap();
        assert!(late.arrived(SMALL_HEAD), "a small head costs nothing");
        assert!(!late.arrived(head - SMALL_HEAD));
        // A request that begins, and a connection that ends, give back what they held; a body does not count.
        let busy = places[0].begin().unwrap();
        assert!(places[0].arrived(LARGE_HEADS) && late.arrived(head - SMALL_HEAD));
        drop((busy, places, late));
        assert_eq!(pool.heads.load(Ordering::Relaxed), 0);
    }
}
