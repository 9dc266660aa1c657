//! What callers may rely on, through the public API only.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests may panic, and read the clock; lints treat helper functions as production code"
)]

#[path = "../allocations/mod.rs"]
mod allocations;
#[path = "../counting/mod.rs"]
mod counting;
mod discharger;
mod documents;
mod evidence;
mod explanations;
mod limits;
mod world;

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;
