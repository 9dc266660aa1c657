//! A request that is finished even if its client disconnects.
//!
//! hyper drops the work of a connection whose client is gone. A task for each request would outlive it, but costs two
//! wakes and a second overwriting of the stack. So the work runs in place, and only what is dropped before its end gets a
//! task.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt as _;
use petsem_engine::scrubbed;
use tokio::runtime::Handle;

/// The work panicked. What it said is in the log of panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the handler of a request panicked")]
pub(crate) struct Panicked;

/// Runs `work` to its end: here, or in a task of its own after this future is dropped.
pub(crate) async fn finished<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Panicked> {
    Attended(Some(Box::pin(AssertUnwindSafe(work).catch_unwind()))).await.map_err(|_| Panicked)
}

/// Work in progress; `None` once it has ended.
struct Attended<F: Future<Output: Send> + Send + 'static>(Option<Pin<Box<F>>>);

impl<F: Future<Output: Send> + Send + 'static> Future for Attended<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some(work) = self.0.as_mut() else { return Poll::Pending };
        let output = ready!(work.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(output)
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Attended<F> {
    fn drop(&mut self) {
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(scrubbed(work));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_ends_in_place_or_after_it_is_dropped() {
        assert_eq!(finished(async { 1 }).await, Ok(1));

        let (begin, begun) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let mut work = Box::pin(finished(async move {
            begun.await.unwrap();
            end.send(2).unwrap();
        }));
        assert!((&mut work).now_or_never().is_none());
        drop(work);
        begin.send(()).unwrap();
        assert_eq!(ended.await, Ok(2));
    }

    #[tokio::test]
    async fn a_panic_ends_the_work_and_no_more() {
        assert_eq!(finished(async { panic!("a bug") }).await, Err::<(), _>(Panicked));
    }
}
