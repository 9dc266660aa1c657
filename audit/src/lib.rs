//! The audit log of one node: a hash chain of JSON lines on the node's own disk. The server sends a
//! response only when the line of its request is durable.
//!
//! ```text
//! AuditLog::append ──event──→ queue ─group→ writer thread ──one write, one fdatasync──→ segment
//!        ↑                                    │        └─signed checkpoint→ channel → store
//!        └──────── number of the line ────────┘
//! ```
//!
//! ```
//! use std::sync::Arc;
//! use petsem_audit::{AuditEvent, AuditKeys, AuditLog, AuditSettings, Outcome, VerifyKeys, verify_log};
//! use petsem_keys::{AuditMacKey, AuditSigningKey};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! # let parent = tempfile::tempdir()?;
//! # let directory = parent.path().join("audit");
//! let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
//! let keys = AuditKeys {
//!     initial_mac: AuditMacKey::generate(&mut rng),
//!     signing: AuditSigningKey::generate(&mut rng),
//!     resume: None,
//! };
//! let clock = Arc::new(|| 1_700_000_000_000);
//! let settings = AuditSettings { reserve_bytes: 0, segment_bytes: 1 << 20, ..AuditSettings::new(&directory) };
//! let log = AuditLog::open(settings, [7; 16], Some(keys), None, clock)?.log;
//!
//! let event = AuditEvent::new(1_700_000_000_000, "request-1", "secret.set", Outcome::Allowed);
//! assert_eq!(log.append(event).await?, 2, "line 1 is a checkpoint");
//! log.close().await?;
//!
//! let report = verify_log(&directory, VerifyKeys::default())?;
//! assert_eq!((report.last_line, report.checkpoints), (3, 2));
//! # Ok(()) })
//! # }
//! ```
//!
//! # Formats
//! The log is a sequence of preallocated files, the segments `audit-00000001.log` …, in one directory:
//! lines, then zeros. A line is at most 64 KiB and 320 bytes long:
//!
//! ```text
//! {"n":12,"node":"…","t":"…","request_id":"…","action":"secret.set","outcome":"allowed",…,"chain":"…","mac":"…"}
//! ```
//!
//! | what | bytes |
//! |---|---|
//! | `n` | number of the line, from 1, without gaps |
//! | `node` | id of the node, 16 bytes, hexadecimal |
//! | event | the fields of [`AuditEvent`] in their order, or a [`Checkpoint`] |
//! | `chain` | SHA-256 (FIPS 180-4) over the previous line's `chain` and this line up to `,"chain"` |
//! | first `chain` | its previous chain is SHA-256 over `petsem audit log 1` and the node id |
//! | `mac` | HMAC-SHA-256 over `chain`; absent while the node is sealed |
//! | checkpoint signature | Ed25519 (RFC 8032) over [`Checkpoint::message`]; absent while the node is sealed |
//!
//! # What it guarantees
//! - A number is returned only for a durable line. If the write or `fdatasync` of a group fails, no line of
//!   the group counts. The log continues in a new segment from the last durable line: after a failed sync
//!   the kernel may have dropped dirty pages, so the old file gets no more lines.
//! - At each signed checkpoint the MAC key is replaced by its one-way successor. A key that is stolen later
//!   does not forge earlier lines.
//! - Every segment begins with a checkpoint, so a shipped segment can be verified without the others.
//! - A full disk uses up a preallocated reserve first; then the log refuses every event until there is space.
//! - Memory is bounded: 8192 lines and 16 MiB of events wait at most.
//!
//! # Non-goals
//! - It holds no value, token or key: [`AuditEvent`] has no field for one.
//! - It does not depend on the store, on HTTP or on a clock: the caller passes the clock, and takes the
//!   checkpoints from a channel.
//! - It does not ship, rotate or delete old segments. They are plain read-only files. [`set_aside`] moves those of a
//!   log that cannot be continued, and the node begins a new chain with new keys.
//! - Without keys, [`verify_log`] detects accidents only: anyone who can write to the disk can compute a new
//!   chain.

mod aside;
mod checkpoint;
mod error;
mod event;
mod line;
mod lock;
mod log;
mod open;
mod queue;
mod reserve;
mod search;
mod segment;
mod stats;
mod unverified;
mod verify;
mod walker;
mod writer;

#[cfg(test)]
mod tests;

pub use aside::{SetAside, is_set_aside, set_aside};
pub use checkpoint::{Checkpoint, Revision, StorePosition};
pub use error::{AuditError, AuditOpenError, Fault, Finding};
pub use event::{ANCESTORS_MAXIMUM, AuditEvent, ControlChange, EncodedEvent, Outcome, SecretNames, Subject};
pub use log::{
    AuditKeys, AuditLog, AuditSettings, Clock, DurableCheckpoint, KnownCheckpoint, Opened, Resume, Tail,
};
pub use open::{check_directory, check_end, logged_node};
pub use search::Searched;
pub use stats::AuditStats;
pub use verify::{Report, VerifiedLine, VerifyKeys, verify_all_lines, verify_lines, verify_log};
