//! How much a piece of code takes from the allocator: the system's, with counters for each thread.

#![expect(unsafe_code, reason = "an allocator is an unsafe trait; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts, and hands on to the system's allocator.
pub(crate) struct Counting;

/// What a piece of code took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Taken {
    /// Allocations, reallocations counted as one each.
    pub(crate) allocations: usize,
    /// Most bytes that were held at once, beyond those held at the start.
    pub(crate) peak: usize,
}

/// Runs it on this thread, and says what it took.
pub(crate) fn taken<T>(run: impl FnOnce() -> T) -> (T, Taken) {
    let start = COUNTERS.get();
    COUNTERS.set(Counters { peak: start.held, ..start });
    let value = run();
    let end = COUNTERS.get();
    COUNTERS.set(Counters { peak: end.peak.max(start.peak), ..end });
    let peak = usize::try_from(end.peak - start.held).unwrap_or_default();
    (value, Taken { allocations: end.allocations - start.allocations, peak })
}

#[derive(Clone, Copy)]
struct Counters {
    allocations: usize,
    /// May fall below zero: a block may be given back by another thread than took it.
    held: isize,
    peak: isize,
}

thread_local! {
    // Neither lazy nor dropped, so that the allocator may use it at any time.
    static COUNTERS: Cell<Counters> = const { Cell::new(Counters { allocations: 0, held: 0, peak: 0 }) };
}

fn count(before: usize, after: usize) {
    let (before, after) = (before.cast_signed(), after.cast_signed());
    let mut counters = COUNTERS.get();
    if after > 0 {
        counters.allocations += 1;
        // While a block grows there may be two of it.
        counters.peak = counters.peak.max(counters.held + after);
    }
    counters.held += after - before;
    COUNTERS.set(counters);
}

// SAFETY: every call goes to the system's allocator with the arguments that came in.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(layout.size(), 0);
        // SAFETY: as for `alloc`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), size);
        // SAFETY: as for `alloc`.
        unsafe { System.realloc(block, layout, size) }
    }
}
