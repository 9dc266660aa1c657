//! Turns of requests on the threads: boots on listeners of hosts never wait for one.
//!
//! The runtime gives its threads to whatever is ready, in order. A hundred requests with large tokens that arrive at
//! once would keep all threads for a third of a second, and every boot behind them. So each step of a request that is
//! no such boot needs a turn: while a boot is in progress, at most half of the threads have such steps, for half of the
//! time, and all others wait beside the queue of the runtime. Between its steps a request has no turn, so a client that
//! stalls takes none.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

/// After steps of this length together, turns rest for as long: short rests would be longer than a timer can be.
const REST_AFTER: Duration = Duration::from_millis(2);

/// The turns of all requests.
pub(crate) struct Turns {
    threads: usize,
    /// Boots in progress.
    boots: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Turns that are taken, or rest.
    taken: usize,
    /// How long steps took beside boots since the last rest.
    worked: Duration,
    next: u64,
    /// Requests that wait for one, oldest first.
    waiting: BTreeMap<u64, Waker>,
}

impl Turns {
    /// Turns on this many threads.
    pub(crate) fn new(threads: usize) -> Arc<Self> {
        Arc::new(Self { threads: threads.max(1), boots: AtomicUsize::new(0), queue: Mutex::default() })
    }

    /// Does this work in turns.
    pub(super) fn in_turns<F: Future + Unpin>(self: &Arc<Self>, work: F) -> InTurns<F> {
        InTurns { turns: Arc::clone(self), work, place: None }
    }

    /// Does the work of a boot: it waits for no turn, and others leave it half of the threads.
    pub(super) async fn at_once<F: Future>(&self, work: F) -> F::Output {
        self.boots.fetch_add(1, Ordering::Relaxed);
        let _boot = BootInProgress(self);
        work.await
    }

    /// How many steps may have a turn.
    fn most(&self) -> usize {
        if self.boots.load(Ordering::Relaxed) == 0 { self.threads } else { (self.threads / 2).max(1) }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, mut queue: MutexGuard<'_, Queue>) {
        queue.taken -= 1;
        self.wake(queue);
    }

    /// Wakes as many requests as turns are free.
    fn wake(&self, mut queue: MutexGuard<'_, Queue>) {
        let free = self.most().saturating_sub(queue.taken);
        let woken: Vec<Waker> =
            std::iter::from_fn(|| queue.waiting.pop_first()).take(free).map(|(_, waker)| waker).collect();
        drop(queue);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// A boot in progress, until it is dropped.
struct BootInProgress<'t>(&'t Turns);

impl Drop for BootInProgress<'_> {
    fn drop(&mut self) {
        self.0.boots.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Work whose steps need turns.
pub(super) struct InTurns<F> {
    turns: Arc<Turns>,
    work: F,
    /// Its place among those that wait, or waited and were woken.
    place: Option<u64>,
}

impl<F: Future + Unpin> Future for InTurns<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let turns = Arc::clone(&self.turns);
        let mut queue = turns.queue();
        if queue.taken >= turns.most() {
            let place = self.place.unwrap_or(queue.next);
            queue.next = queue.next.max(place + 1);
            queue.waiting.insert(place, context.waker().clone());
            self.place = Some(place);
            return Poll::Pending;
        }
        queue.taken += 1;
        if let Some(place) = self.place.take() {
            queue.waiting.remove(&place);
        }
        drop(queue);
        let _turn = Turn { turns: &turns, begun: Instant::now() };
        Pin::new(&mut self.work).poll(context)
    }
}

impl<F> Drop for InTurns<F> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let mut queue = self.turns.queue();
        if queue.waiting.remove(&place).is_none() {
            // It was woken and will not use its turn.
            self.turns.wake(queue);
        }
    }
}

/// A turn, until the end of the step.
struct Turn<'t> {
    turns: &'t Arc<Turns>,
    begun: Instant,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queue = self.turns.queue();
        if self.turns.boots.load(Ordering::Relaxed) > 0 {
            queue.worked += self.begun.elapsed();
        }
        if queue.worked >= REST_AFTER
            && let Ok(runtime) = Handle::try_current()
        {
            let rest = std::mem::take(&mut queue.worked);
            drop(queue);
            let turns = Arc::clone(self.turns);
            runtime.spawn(async move {
                tokio::time::sleep(rest).await;
                turns.give_back(turns.queue());
            });
        } else {
            self.turns.give_back(queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};

    use futures_util::FutureExt as _;

    use super::*;

    /// How many steps run within each other before one has to wait.
    fn steps(turns: &Arc<Turns>) -> usize {
        let turns_within = Arc::clone(turns);
        let step = poll_fn(move |_| Poll::Ready(1 + steps(&turns_within)));
        turns.in_turns(step).now_or_never().unwrap_or(0)
    }

    #[test]
    fn while_a_boot_is_in_progress_other_requests_have_half_of_the_threads() {
        let turns = Turns::new(4);
        assert_eq!(steps(&turns), 4);
        assert_eq!(turns.at_once(async { steps(&turns) }).now_or_never(), Some(2));
        assert_eq!(steps(&turns), 4);
        let one = Turns::new(1);
        assert_eq!(one.at_once(async { steps(&one) }).now_or_never(), Some(1));
        // A boot gets through while another request has the only turn.
        let boot = Arc::clone(&one);
        let step = poll_fn(move |_| Poll::Ready(boot.at_once(ready(5)).now_or_never()));
        assert_eq!(one.in_turns(step).now_or_never(), Some(Some(5)));
    }

    #[tokio::test]
    async fn a_request_that_waits_for_its_client_or_has_gone_keeps_no_turn() {
        let turns = Turns::new(1);
        let mut stalls = turns.in_turns(pending::<()>());
        assert_eq!((&mut stalls).now_or_never(), None);
        assert_eq!(turns.in_turns(ready(1)).now_or_never(), Some(1));
        // While one has the turn, two wait; it wakes the first, which has gone, and so the second.
        let (mut first, second) = (turns.in_turns(ready(2)), turns.in_turns(ready(3)));
        let mut second = task(second);
        let within = Arc::clone(&turns);
        let step = poll_fn(|_| {
            assert_eq!((&mut first).now_or_never(), None);
            assert!(second.poll().is_pending());
            assert_eq!(within.queue().waiting.len(), 2);
            Poll::Ready(())
        });
        assert_eq!(turns.in_turns(step).now_or_never(), Some(()));
        assert!(!second.is_woken());
        drop(first);
        assert!(second.is_woken());
        assert_eq!(second.poll(), Poll::Ready(3));
        let queue = turns.queue();
        assert_eq!((queue.taken, queue.waiting.len()), (0, 0));
    }

    #[tokio::test]
    async fn beside_a_boot_turns_rest_for_as_long_as_they_worked() {
        let turns = Turns::new(2);
        let work = async {
            let within = Arc::clone(&turns);
            let long = poll_fn(move |_| {
                within.queue().worked += REST_AFTER;
                Poll::Ready(())
            });
            let begun = Instant::now();
            assert_eq!(turns.in_turns(long).now_or_never(), Some(()));
            let mut next = task(turns.in_turns(ready(1)));
            assert!(next.poll().is_pending());
            while !next.is_woken() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(begun.elapsed() >= REST_AFTER, "{:?}", begun.elapsed());
            assert_eq!(next.poll(), Poll::Ready(1));
        };
        turns.at_once(work).await;
        assert_eq!(turns.in_turns(ready(2)).now_or_never(), Some(2));
    }

    /// A future with a waker that remembers.
    struct Task<F> {
        work: F,
        woken: Arc<Woken>,
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn task<F: Future + Unpin>(work: F) -> Task<F> {
        Task { work, woken: Arc::default() }
    }

    impl<F: Future + Unpin> Task<F> {
        fn poll(&mut self) -> Poll<F::Output> {
            let waker = Waker::from(Arc::clone(&self.woken));
            Pin::new(&mut self.work).poll(&mut Context::from_waker(&waker))
        }

        fn is_woken(&self) -> bool {
            self.woken.0.load(Ordering::Relaxed) > 0
        }
    }
}
