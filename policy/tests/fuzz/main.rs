//! Everything that a stranger can send to this crate: made of valid input by mutation, and held to what an
//! answer must be, not only to not panicking.
//!
//! Each target runs for `PETSEM_FUZZ_SECONDS` (10) and prints its seed and how many inputs it tried.
//! `PETSEM_FUZZ_SEED` and `PETSEM_FUZZ_ITERATIONS` run the very same inputs again. `integration/soak` has the long
//! form. On stable Rust, without instrumentation: a new kind of answer is what tells an input worth keeping.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may fail loudly, prints, and reads the clock; lints see helper functions as production code"
)]

#[path = "../allocations/mod.rs"]
mod allocations;
mod caveat_body;
mod caveats;
mod corpus;
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
static ALLOCATOR: allocations::Counting = allocations::Counting;
