//! The audit log of one node: a chain of lines on its own disk, durable before any answer leaves.
//!
//! Design §10. The log is a row of preallocated segments in one directory. A line is JSON and ends in
//! its place in the chain:
//!
//! ```text
//! {"n":12,"node":"…","t":"…","request_id":"…","action":"secret.set","outcome":"allowed",…,"chain":"…","mac":"…"}
//! ```
//!
//! `chain` is SHA-256 over the chain of the line before and the line up to `,"chain"`; `mac` is
//! HMAC-SHA-256 over `chain` (absent while the node is sealed). Every so often a line is a
//! [`Checkpoint`]: signed, handed to the store, and the point where the MAC key moves one way forward.
//! Every segment begins with one, so a file that was shipped away can be verified alone.
//!
//! One thread writes. What waits together is one write and one `fdatasync`; when either fails, nothing
//! of that group counts, and the log goes on in a fresh segment from the last line known to be durable
//! (after a failed sync, dirty pages may be gone: they are never trusted again).
//!
//! It never holds a value, a token or a key: [`AuditEvent`] has no field for one. It knows no store and
//! no HTTP, and has no clock of its own.

mod checkpoint;
mod error;
mod event;
mod line;
mod lock;
mod log;
mod open;
mod queue;
mod reserve;
mod segment;
mod stats;
mod unverified;
mod verify;
mod walker;
mod writer;

#[cfg(test)]
mod tests;

pub use checkpoint::{Checkpoint, Revision};
pub use error::{AuditError, AuditOpenError, Fault, Finding};
pub use event::{ANCESTORS_MAXIMUM, AuditEvent, Outcome, SecretNames, Subject};
pub use log::{AuditKeys, AuditLog, AuditSettings, Clock, KnownCheckpoint, Opened, Tail};
pub use stats::AuditStats;
pub use verify::{Report, VerifyKeys, verify_lines, verify_log};
