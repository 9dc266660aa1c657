//! The seals of petsem: each a way to wrap the root key, behind the trait [`petsem_keys::Seal`].
//!
//! | kind | type | what holds the key |
//! |---|---|---|
//! | `key-file` | [`KeyFile`] | a file that only petsem's user can read |
//!
//! # Non-goals
//! This crate knows no routes, storage or tokens: which seals a store has, and where their wraps lie,
//! is the server's business. It has no cryptography of its own: a seal that holds a key holds a
//! [`petsem_keys::SealKey`].

mod key_file;

pub use key_file::{KEY_FILE_KIND, KeyFile, KeyFileError};
