//! The rate limit for audit lines of JWTs that no rule has accepted.

use std::sync::{Mutex, PoisonError};

/// A counter with a limit per second.
#[derive(Debug, Default)]
pub(crate) struct PerSecond(Mutex<(i64, u32)>);

impl PerSecond {
    const MOST: u32 = 50;

    /// Counts one more, and returns whether it is within the limit of this second.
    pub(crate) fn allows(&self, second: i64) -> bool {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.0 != second {
            *counted = (second, 0);
        }
        counted.1 = counted.1.saturating_add(1);
        counted.1 <= Self::MOST
    }
}
