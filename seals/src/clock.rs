//! The only place of this crate that reads the clock.

use std::time::SystemTime;

/// The system's time, for the signatures of calls to AWS KMS.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub(crate) fn system_time() -> SystemTime {
    SystemTime::now()
}
