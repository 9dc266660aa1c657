//! Bodies that are read before their sender is authenticated. Few wait at once; a new one evicts the oldest. An honest
//! body arrives within a moment, so a client that stalls evicts its own requests.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The places for such bodies.
#[derive(Debug)]
pub(crate) struct UnauthenticatedBodyQueue {
    most: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// Oldest first. Dropping a sender ends the wait of its request.
    places: VecDeque<(u64, oneshot::Sender<()>)>,
}

impl UnauthenticatedBodyQueue {
    /// A queue with this many places.
    pub(crate) fn new(most: usize) -> Self {
        Self { most: most.max(1), waiting: Mutex::default() }
    }

    /// Waits for a body; `None` if newer ones took its place.
    pub(crate) async fn wait_for<T>(&self, body: impl Future<Output = T>) -> Option<T> {
        let (place, given_up) = self.take_place();
        let arrived = tokio::select! {
            biased;
            arrived = body => Some(arrived),
            _ = given_up => None,
        };
        drop(place);
        arrived
    }

    fn take_place(&self) -> (Place<'_>, oneshot::Receiver<()>) {
        let (keeps, given_up) = oneshot::channel();
        let mut waiting = self.waiting();
        while waiting.places.len() >= self.most {
            waiting.places.pop_front();
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.places.push_back((number, keeps));
        (Place { queue: self, number }, given_up)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue, released on drop.
struct Place<'a> {
    queue: &'a UnauthenticatedBodyQueue,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.waiting().places.retain(|(number, _)| *number != self.number);
    }
}
