//! Overwrites the data that a call left on the stack of its thread.
//!
//! Types that hold keys and values wipe themselves, but the compiler leaves copies: spilled registers, moved
//! arguments, key schedules and hash states of ciphers. They are all below the frame of the caller, so this
//! frame overwrites the stack below it when the call returns. The caller chooses the runtime: these functions
//! take any future.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use zeroize::zeroize_stack;

/// Bytes below the caller that are overwritten after a part of a request: unoptimized builds were seen to use 84 KiB.
/// The memory test detects deeper calls.
const DEPTH: usize = 96 * 1024;
/// As [`DEPTH`], for deeper calls: a start, and background work.
const DEEP: usize = 256 * 1024;

/// Runs a future and, after each poll, overwrites the stack of its thread (96 KiB below the caller).
pub async fn scrubbed<F: Future>(future: F) -> F::Output {
    scrubbed_to::<DEPTH, F>(future).await
}

/// As [`scrubbed`], for a start and for background work: 256 KiB.
pub async fn scrubbed_deep<F: Future>(future: F) -> F::Output {
    scrubbed_to::<DEEP, F>(future).await
}

async fn scrubbed_to<const BYTES: usize, F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(move |context| {
        let polled = poll(future.as_mut(), context);
        zeroize_stack::<BYTES>();
        polled
    })
    .await
}

/// Calls `work` and then overwrites the stack (96 KiB below the caller).
pub fn scrubbed_call<T>(work: impl FnOnce() -> T) -> T {
    let result = call(work);
    zeroize_stack::<DEPTH>();
    result
}

/// In its own frame: if it were inlined, its locals would be in the caller's frame, which is not overwritten.
#[inline(never)]
fn poll<F: Future>(future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
    future.poll(context)
}

#[inline(never)]
fn call<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::hint::black_box;
    use std::os::unix::fs::FileExt as _;
    use std::task::Waker;

    use super::*;

    const MARK: [u8; 64] = *b"what a call left on the stack, 64 bytes of it, for all to see...";

    /// Leaves the mark `DEEP` bytes below its caller and returns its address.
    #[inline(never)]
    fn leave<const DEEP: usize>() -> usize {
        let room = black_box([0_u8; DEEP]);
        let place = mark();
        black_box(&room);
        place
    }

    #[inline(never)]
    fn mark() -> usize {
        let mark = black_box(MARK);
        black_box(&mark).as_ptr() as usize
    }

    /// The bytes now at this address, read from this process's memory as a file, without unsafe code.
    fn found_at(place: usize) -> [u8; 64] {
        let mut found = [0; 64];
        let memory = File::open("/proc/self/mem").unwrap();
        memory.read_exact_at(&mut found, place as u64).unwrap();
        found
    }

    #[test]
    fn the_stack_of_a_call_is_overwritten() {
        let place = call(leave::<40_000>);
        assert_eq!(found_at(place), MARK, "the test does not see the stack");
        assert_eq!(found_at(scrubbed_call(leave::<40_000>)), [0; 64]);
        assert_eq!(found_at(scrubbed_call(leave::<20_000>)), [0; 64]);
    }

    #[test]
    fn the_stack_of_each_poll_of_a_future_is_overwritten() {
        let steps = async {
            let first = leave::<40_000>();
            let between = found_at(first);
            let mut waited = false;
            poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending })
                .await;
            (between, found_at(first), leave::<40_000>())
        };
        let mut steps = pin!(scrubbed(steps));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(steps.as_mut().poll(&mut context), Poll::Pending);
        let Poll::Ready((before, after, second)) = steps.as_mut().poll(&mut context) else {
            panic!("pending")
        };
        assert_eq!(before, MARK, "the test does not see the stack");
        assert_eq!((after, found_at(second)), ([0; 64], [0; 64]));
    }
}
