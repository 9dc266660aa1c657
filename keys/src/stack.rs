//! Overwrites the data that a call left on the stack of its thread.
//!
//! Types that hold keys and values wipe themselves, but the compiler leaves copies: spilled registers, moved
//! arguments, key schedules and hash states of ciphers. They are all below the frame of the caller, so this
//! frame overwrites the stack below it when the call returns. The caller chooses the runtime: these functions
//! take any future.
//!
//! A part of a request uses a tenth of what the deepest one may use, and overwriting all of it each time took a
//! twentieth of a boot. So the stack is overwritten as deep as it was used: until [`UNUSED`] bytes in a row are still
//! zero since the last time.

#![expect(unsafe_code, reason = "it looks at stack that no variable uses, to see how deep the calls went")]

use std::arch::asm;
use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use zeroize::optimization_barrier;

/// Words of a part of the stack that is overwritten, or found unused, as a whole: 2 KiB.
const PART: usize = 256;
/// Parts below the caller that are overwritten at most, after a part of a request: 160 KiB. Unoptimized builds were seen to
/// use 84 KiB. The memory test detects deeper calls.
const DEPTH: usize = 80;
/// As [`DEPTH`], for deeper calls: a start, and background work: 256 KiB.
const DEEP: usize = 128;
/// Parts in a row that are unused below the deepest call: 32 KiB. A variable that is larger, and all zero, would hide what
/// calls below it left; no call on the way of a request has one.
const UNUSED: usize = 16;

/// Runs a future and, after each poll, overwrites what it used of the stack of its thread, at most 160 KiB below the
/// caller.
pub async fn scrubbed<F: Future>(future: F) -> F::Output {
    scrubbed_to::<DEPTH, UNUSED, F>(future).await
}

/// As [`scrubbed`], for a start and for background work: all of 256 KiB.
pub async fn scrubbed_deep<F: Future>(future: F) -> F::Output {
    scrubbed_to::<DEEP, DEEP, F>(future).await
}

async fn scrubbed_to<const PARTS: usize, const UNUSED: usize, F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(move |context| {
        let polled = poll(future.as_mut(), context);
        overwrite::<PARTS>(UNUSED);
        polled
    })
    .await
}

/// Calls `work` and then overwrites what it used of the stack, at most 160 KiB below the caller.
pub fn scrubbed_call<T>(work: impl FnOnce() -> T) -> T {
    let result = call(work);
    overwrite::<DEPTH>(UNUSED);
    result
}

/// Overwrites `PARTS` parts of the stack below the caller, or fewer: it ends below `unused` parts in a row that are zero.
#[inline(never)]
fn overwrite<const PARTS: usize>(unused: usize) {
    // Where the frames of the calls were that have returned.
    let mut below = MaybeUninit::<[[u64; PART]; PARTS]>::uninit();
    // SAFETY: the assembly is empty. To the compiler it may write `below`, so what the stack holds are integers from here
    // on, and every word of them is a valid one.
    let below = unsafe {
        asm!("/* {0} */", in(reg) below.as_mut_ptr(), options(nostack, preserves_flags));
        below.assume_init_mut()
    };
    let mut zero = 0;
    // Stacks grow down: the last part is the first below the caller.
    for part in below.iter_mut().rev() {
        if part.iter().fold(0, |all, word| all | word) == 0 {
            zero += 1;
            if zero == unused {
                break;
            }
        } else {
            zero = 0;
            part.fill(0);
        }
    }
    optimization_barrier(below);
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
        let room = black_box([1_u8; DEEP]);
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
        assert_eq!(found_at(scrubbed_call(leave::<80_000>)), [0; 64]);
    }

    #[test]
    fn what_was_left_below_some_unused_stack_is_overwritten() {
        /// Leaves the mark below 30,000 bytes that it does not write.
        #[inline(never)]
        fn leave_below_a_gap() -> usize {
            let room = black_box([0_u8; 30_000]);
            let place = mark();
            black_box(&room);
            place
        }
        scrubbed_call(leave::<80_000>);
        assert_eq!(found_at(call(leave_below_a_gap)), MARK, "the test does not see the stack");
        assert_eq!(found_at(scrubbed_call(leave_below_a_gap)), [0; 64]);
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
