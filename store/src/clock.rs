//! The crate's one clock. It times commits for the statistics; nothing is decided by it.

use std::time::Instant;

/// A moment to measure from.
#[expect(clippy::disallowed_methods, reason = "the one place of this crate; used for statistics alone")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
