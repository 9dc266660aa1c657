//! What callers may rely on, through the public API alone.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may fail loudly, and reads the clock; lints see helper functions as production code"
)]

#[path = "../allocations/mod.rs"]
mod allocations;
mod documents;
mod evidence;
mod explanations;
mod limits;
mod world;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;
