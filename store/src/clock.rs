//! The crate's only clock. It measures commits for the statistics and affects no decision.

use std::time::Instant;

/// The start of a measurement.
#[expect(clippy::disallowed_methods, reason = "the one place of this crate; used for statistics alone")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
