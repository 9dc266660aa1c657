//! petsem's store: rows of ciphertext and metadata, behind one trait.
//!
//! The engine uses [`Store`]. [`SqliteStore`] is the embedded default: one file, one writer thread that
//! commits all waiting changes with one fsync, a checkpoint thread, and readers that wait for neither. Every
//! implementation passes the same conformance suite (`tests/store/conformance.rs`).
//!
//! ```
//! use petsem_api::RequestId;
//! use petsem_store::{Change, Expect, Record, RecordKind, RequestAudit, SqliteOptions, SqliteStore, Store};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! let rng = Box::new(rand_core::UnwrapErr(getrandom::SysRng));
//! let store = SqliteStore::open(&SqliteOptions::new(directory.path()), rng)?;
//!
//! let request = RequestAudit { node: [1; 16], request_id: RequestId::from_bytes([2; 16]), line: b"{}".to_vec() };
//! let policy = Record {
//!     kind: RecordKind::Policy,
//!     id: vec![3; 16],
//!     row_version: 1,
//!     content: b"{}".to_vec(),
//!     mac: vec![4; 32],
//! };
//! let committed = store
//!     .commit(Change {
//!         expects: vec![Expect { kind: policy.kind, id: policy.id.clone(), row_version: 0 }],
//!         puts: vec![policy.clone()],
//!         ..Change::new(request)
//!     })
//!     .await?;
//! assert_eq!(committed.revision, 1);
//! assert_eq!(store.record(RecordKind::Policy, &[3; 16]).await?, Some(policy));
//! # store.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Promises
//! | what | promise |
//! |---|---|
//! | an acknowledged [`Change`] | durable and whole |
//! | a change without an acknowledgement | applied whole or not at all; dropping the future does not cancel it |
//! | [`Expect`] | compare-and-swap on row versions: a stale one applies nothing ([`CommitError::Conflict`]) |
//! | a read | sees every change that was acknowledged before the read began; several rows are of one moment |
//! | revisions | rise, and may have gaps; each leaves a random mark ([`Committed`]), kept while a node's log may ask for it |
//! | the control feed | numbers without gaps |
//! | a full disk | writes fail ([`CommitError::Full`]), reads continue, and writes recover by themselves |
//!
//! # Rows
//! | row | key | written by |
//! |---|---|---|
//! | [`Record`]: everything that decides something, with its MAC | [`RecordKind`], id | `puts`, `deletes` |
//! | [`BundleRow`]: an app's current secrets, sealed as one message | app | `bundle`, `delete_app` |
//! | [`ValueRow`]: one value of the history, sealed | app, name, app version | `values`, `delete_app` |
//! | [`FeedEntry`]: one numbered control change | number | `feed` |
//! | [`UnauditedChange`]: a change whose audit line is not yet durable | node, revision | every change; removed by [`Store::audited`] |
//!
//! # Non-goals
//! No key and no plaintext ever reaches this crate. It does not check MACs and does not read contents: storage is
//! untrusted, and the reader of a [`Record`] verifies it. It has no clock except for its own statistics, makes no
//! decisions, and keeps no login state.

mod change;
mod clock;
mod cursor;
mod error;
mod lock;
mod record;
mod sqlite;
mod store;

pub use change::{Change, Committed, Expect, NewValue, RequestAudit};
pub use cursor::{Cursor, CursorError};
pub use error::{CloseError, CommitError, OpenError, ReadError, Source};
pub use lock::FileLock;
pub use record::{
    AppPart, AppRows, BundleRow, ChangedApps, FeedEntry, NamedApp, PartRows, Record, RecordKind,
    UnauditedChange, ValueRow,
};
pub use sqlite::{SqliteOptions, SqliteStore, SqliteView};
pub use store::{Store, StoreFuture, StoreStats};
