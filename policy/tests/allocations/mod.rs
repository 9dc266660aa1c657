//! Measures the allocations of a piece of code: the system's allocator with counters per thread.

#![expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait; this allocator only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts, and forwards to the system's allocator.
pub(crate) struct CountingAllocator;

/// The allocations of a piece of code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Allocations {
    /// The number of allocations and reallocations.
    pub(crate) allocations: usize,
    /// The most bytes allocated at once, beyond those at the start.
    pub(crate) peak: usize,
}

/// Runs the code on this thread and measures its allocations.
pub(crate) fn allocations_of<T>(run: impl FnOnce() -> T) -> (T, Allocations) {
    let start = COUNTERS.get();
    COUNTERS.set(Counters { peak: start.held, ..start });
    let value = run();
    let end = COUNTERS.get();
    COUNTERS.set(Counters { peak: end.peak.max(start.peak), ..end });
    let peak = usize::try_from(end.peak - start.held).unwrap_or_default();
    (value, Allocations { allocations: end.allocations - start.allocations, peak })
}

#[derive(Clone, Copy)]
struct Counters {
    allocations: usize,
    /// May fall below zero: another thread may free a block.
    held: isize,
    peak: isize,
}

thread_local! {
    // Neither lazy nor dropped, so that the allocator can use it at any time.
    static COUNTERS: Cell<Counters> = const { Cell::new(Counters { allocations: 0, held: 0, peak: 0 }) };
}

fn count(before: usize, after: usize) {
    let (before, after) = (before.cast_signed(), after.cast_signed());
    let mut counters = COUNTERS.get();
    if after > 0 {
        counters.allocations += 1;
        // While a block grows, the old and the new one may coexist.
        counters.peak = counters.peak.max(counters.held + after);
    }
    counters.held += after - before;
    COUNTERS.set(counters);
}

// SAFETY: every call forwards its arguments to the system's allocator.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: the caller fulfills the contract, which is the same.
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
