//! How many lines a second strangers' JWTs may write to the audit log.

use std::sync::{Mutex, PoisonError};

/// At most so many a second.
#[derive(Debug, Default)]
pub(crate) struct PerSecond(Mutex<(i64, u32)>);

impl PerSecond {
    const MOST: u32 = 50;

    /// Whether one more fits into this second.
    pub(crate) fn allows(&self, second: i64) -> bool {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.0 != second {
            *counted = (second, 0);
        }
        counted.1 = counted.1.saturating_add(1);
        counted.1 <= Self::MOST
    }
}
