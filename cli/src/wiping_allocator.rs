//! The process's allocator: the system's, but memory is overwritten before it is freed.
//!
//! Types that hold secrets wipe themselves. This covers the copies that they cannot reach: buffers of the HTTP
//! and JSON layers, and vectors that grew. It costs one pass over memory that is in the cache already.

#![expect(
    unsafe_code,
    reason = "an allocator is an unsafe trait; this one only adds a wipe to its inner one"
)]

use std::alloc::{GlobalAlloc, Layout};

/// Wipes what it frees. Growing uses the trait's default, which allocates, copies and frees, so the old block is
/// wiped too.
pub(crate) struct Wiping<Inner>(pub(crate) Inner);

// SAFETY: every call goes to the inner allocator with unchanged arguments; before `dealloc` only the bytes of the
// freed block are written.
unsafe impl<Inner: GlobalAlloc> GlobalAlloc for Wiping<Inner> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`, which is the inner one's.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block was allocated with this layout and is no longer used, so all its bytes may
        // be written; the barrier counts as a read, so that the writes are not optimized away.
        unsafe {
            block.write_bytes(0, layout.size());
            zeroize::optimization_barrier(&*block);
            self.0.dealloc(block, layout);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;
    use std::cell::Cell;

    use super::*;

    /// Counts the freed bytes that are not zero.
    #[derive(Default)]
    struct Inspecting {
        freed: Cell<usize>,
        unwiped: Cell<usize>,
    }

    // SAFETY: the system's allocator, and a look at each block before it goes back.
    unsafe impl GlobalAlloc for Inspecting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's contract is the system's.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the block is whole and initialised by the test or the wipe.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            self.freed.set(self.freed.get() + bytes.len());
            self.unwiped.set(self.unwiped.get() + bytes.iter().filter(|byte| **byte != 0).count());
            // SAFETY: the caller's contract is the system's.
            unsafe { System.dealloc(block, layout) }
        }
    }

    #[test]
    fn memory_is_wiped_when_it_is_freed_and_when_it_grows() {
        let wiping = Wiping(Inspecting::default());
        let layout = Layout::array::<u8>(100).unwrap();
        // SAFETY: blocks are allocated, written, grown and freed with their own layouts.
        unsafe {
            let block = wiping.alloc(layout);
            block.write_bytes(0xaa, 100);
            let grown = wiping.realloc(block, layout, 300);
            assert_eq!(std::slice::from_raw_parts(grown, 100), [0xaa; 100]);
            assert_eq!((wiping.0.freed.get(), wiping.0.unwiped.get()), (100, 0));
            grown.write_bytes(0xbb, 300);
            wiping.dealloc(grown, Layout::array::<u8>(300).unwrap());
        }
        assert_eq!((wiping.0.freed.get(), wiping.0.unwiped.get()), (400, 0));
    }
}
