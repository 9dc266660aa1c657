//! Fuzzing of everything that an untrusted client can send to this crate. Inputs are mutations of valid ones. Each
//! target checks properties of the answer, not only that nothing panics.
//!
//! Each target runs for `PETSEM_FUZZ_SECONDS` (3) and prints its seed and the number of inputs.
//! `PETSEM_FUZZ_SEED` and `PETSEM_FUZZ_ITERATIONS` repeat a run exactly. `integration/soak` has the long
//! form. It runs on stable Rust without instrumentation: an input is kept if its answer is of a new kind.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests may panic, print and read the clock; lints treat helper functions as production code"
)]

#[path = "../allocations/mod.rs"]
mod allocations;
mod caveat_body;
mod caveats;
mod corpus;
#[path = "../counting/mod.rs"]
mod counting;
mod engine;
mod header;
mod json;
mod jwks;
mod jwt;
mod keys;
mod narrowing;
mod policy_text;
mod ticket;
mod token;

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;
