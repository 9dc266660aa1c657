//! What callers may rely on, through the public API alone.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may fail loudly; lints see helper functions as production code"
)]

mod documents;
mod explanations;
mod world;
