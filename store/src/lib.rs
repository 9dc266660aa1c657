//! petsem's store: rows of ciphertext and metadata, behind one trait.
//!
//! [`Store`] is what the server knows. [`SqliteStore`] is the embedded default: one file, one writer thread
//! that commits whatever waits with one fsync, checkpoints on another thread, and readers that never wait for
//! either. Every implementation passes the same conformance suite (`tests/store/conformance.rs`).
//!
//! What a store promises: an acknowledged [`Change`] is durable and whole; a change that is not acknowledged
//! is there whole or not at all; revisions have no gaps; what is committed is seen by every read that starts
//! after the acknowledgement.
//!
//! Non-goals: no key and no plaintext ever reaches this crate. It does not check MACs and does not read
//! contents: storage is untrusted, and whoever reads a [`Record`] verifies it. It knows no clock but for its
//! own statistics, makes no decisions, and keeps no login state.

mod change;
mod clock;
mod error;
mod lock;
mod record;
mod sqlite;
mod store;

pub use change::{Change, Committed, Expect, NewValue, RequestAudit};
pub use error::{CloseError, CommitError, OpenError, ReadError, Source};
pub use lock::FileLock;
pub use record::{AppRows, BundleRow, FeedEntry, NamedApp, Record, RecordKind, UnauditedChange, ValueRow};
pub use sqlite::{SqliteOptions, SqliteStore, SqliteView};
pub use store::{Store, StoreFuture, StoreStats};
