//! The public interface of `petsem-keys`: successes, refusals, and published vectors.

// Clippy's allowances for tests apply only to `#[test]` functions, but their helpers are tests too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod arbitrary;
mod audit;
mod debug;
mod from_the_description;
mod hierarchy;
mod macs;
mod published;
mod refusals;
mod seals;
mod secret_key_vectors;
mod secret_keys;
mod seeded;
mod vectors;
