//! Bodies that are read before their sender is known to be allowed anything. Few wait at once; a new one evicts the
//! oldest of the source that has the most. An honest body arrives within a moment, so a client that stalls evicts its
//! own requests.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The places for such bodies.
#[derive(Debug)]
pub(crate) struct UnprovenBodyQueue {
    most: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// Oldest first.
    places: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    source: String,
    /// Dropping it ends the wait of its request.
    _keeps: oneshot::Sender<()>,
}

impl UnprovenBodyQueue {
    /// A queue with this many places.
    pub(crate) fn new(most: usize) -> Self {
        Self { most: most.max(1), waiting: Mutex::default() }
    }

    /// Waits for a body from this source; `None` if newer ones took its place.
    pub(crate) async fn wait_for<T>(&self, source: &str, body: impl Future<Output = T>) -> Option<T> {
        let (place, given_up) = self.take_place(source);
        let arrived = tokio::select! {
            biased;
            arrived = body => Some(arrived),
            _ = given_up => None,
        };
        drop(place);
        arrived
    }

    fn take_place(&self, source: &str) -> (Place<'_>, oneshot::Receiver<()>) {
        let (keeps, given_up) = oneshot::channel();
        let mut waiting = self.waiting();
        let number = waiting.next;
        waiting.next += 1;
        waiting.places.push_back(Waiter { number, source: source.to_owned(), _keeps: keeps });
        while waiting.places.len() > self.most {
            waiting.evict();
        }
        (Place { queue: self, number }, given_up)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Evicts the oldest of the sources that have the most places.
    fn evict(&mut self) {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for waiter in &self.places {
            *counts.entry(&waiter.source).or_default() += 1;
        }
        let most = counts.values().copied().max();
        let oldest = self.places.iter().position(|waiter| counts.get(&*waiter.source).copied() == most);
        oldest.and_then(|index| self.places.remove(index));
    }
}

/// A place in the queue, released on drop.
struct Place<'a> {
    queue: &'a UnprovenBodyQueue,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.waiting().places.retain(|waiter| waiter.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_source_that_stalls_evicts_its_own_oldest_body() {
        let queue = UnprovenBodyQueue::new(3);
        let wait = |source| Box::pin(queue.wait_for(source, pending::<()>()));
        let mut places = [wait("honest"), wait("stalls"), wait("stalls")];
        assert_eq!(places.each_mut().map(|place| place.now_or_never()), [None, None, None]);
        let mut last = wait("stalls");
        assert_eq!((&mut last).now_or_never(), None);
        assert_eq!(places.each_mut().map(|place| place.now_or_never()), [None, Some(None), None]);
        assert_eq!(queue.wait_for("other", async { 1 }).now_or_never(), Some(Some(1)));
    }
}
