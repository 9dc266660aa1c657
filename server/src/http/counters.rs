//! What a server counts of its requests.

use std::sync::atomic::{AtomicU64, Ordering};

use petsem_api::ErrorCode;

/// Counted since start.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(super) boots: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) refused: Vec<(ErrorCode, AtomicU64)>,
}

impl Default for Counters {
    fn default() -> Self {
        let refused = ErrorCode::ALL.iter().map(|code| (*code, AtomicU64::new(0))).collect();
        Self { boots: AtomicU64::new(0), requests: AtomicU64::new(0), refused }
    }
}

impl Counters {
    /// A request came in.
    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A Machine got its secrets.
    pub(crate) fn boot(&self) {
        self.boots.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was refused.
    pub(crate) fn refused(&self, code: ErrorCode) {
        if let Some((_, count)) = self.refused.iter().find(|(known, _)| *known == code) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}
