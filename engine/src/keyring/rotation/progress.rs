//! The progress of rotations, and the limit of their rate.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use petsem_api::{AppId, RotationProgress};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::Failure;

/// How soon a failed step is retried.
pub(super) const AGAIN: Duration = Duration::from_secs(30);

/// Faults that are shown; further ones are only counted.
const MOST_SHOWN: usize = 20;
/// Rows in one transaction: few enough that writers wait only briefly.
const BATCH: u32 = 64;

/// The rotations in progress on this node.
#[derive(Default)]
pub(crate) struct Rotations {
    keyring: Mutex<Option<Progress>>,
    apps: Mutex<BTreeMap<AppId, Progress>>,
    rewrapped: AtomicU64,
    /// A rotation of the keyring was begun.
    pub(super) keyring_begun: Notify,
    /// A rotation of an app was begun.
    pub(super) app_begun: Notify,
}

/// The progress of one rotation.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// Rows that this pass has processed.
    pub(super) done: u64,
    /// Rows to process.
    pub(super) total: u64,
    /// Keys that were re-wrapped.
    pub(super) rewrapped: u64,
    faults: u64,
    faults_shown: Vec<String>,
}

impl Progress {
    /// A rotation with this many rows to process.
    pub(super) fn of(total: u64) -> Self {
        Self { total, ..Self::default() }
    }

    /// Records a row that cannot be re-wrapped: the old version stays until it can.
    pub(super) fn fault(&mut self, failure: &Failure) {
        let text = failure.operator_text();
        tracing::error!(reason = text, "a rotation cannot re-wrap a row");
        self.faults += 1;
        if self.faults_shown.len() < MOST_SHOWN {
            self.faults_shown.push(text.to_owned());
        }
    }

    /// Whether a row cannot be re-wrapped.
    pub(super) fn is_blocked(&self) -> bool {
        self.faults > 0
    }

    /// Starts another pass over the same rows; faults are checked again.
    pub(super) fn again(&mut self) {
        self.faults = 0;
        self.faults_shown.clear();
    }

    fn to_wire(&self) -> RotationProgress {
        RotationProgress {
            done: self.done.min(self.total),
            total: self.total,
            rewrapped: self.rewrapped,
            faults: self.faults,
            problems: self.faults_shown.clone(),
        }
    }
}

impl Rotations {
    /// Sets the progress of the keyring's rotation; `None` if there is none.
    pub(super) fn keyring<T>(&self, change: impl FnOnce(&mut Option<Progress>) -> T) -> T {
        change(&mut lock(&self.keyring))
    }

    /// Sets the progress of an app's rotation.
    pub(super) fn app<T>(&self, app: AppId, change: impl FnOnce(&mut Progress) -> T) -> T {
        change(lock(&self.apps).entry(app).or_default())
    }

    /// Removes an app's rotation that has ended.
    pub(super) fn end_app(&self, app: AppId) {
        lock(&self.apps).remove(&app);
    }

    /// Counts keys that were re-wrapped.
    pub(super) fn count(&self, rewrapped: u64) {
        self.rewrapped.fetch_add(rewrapped, Ordering::Relaxed);
    }

    /// Keys that were re-wrapped since start.
    pub(crate) fn rewrapped(&self) -> u64 {
        self.rewrapped.load(Ordering::Relaxed)
    }

    /// The apps whose KEKs this node is rotating.
    pub(super) fn apps(&self) -> Vec<AppId> {
        lock(&self.apps).keys().copied().collect()
    }

    /// How many these are.
    pub(crate) fn apps_in_progress(&self) -> u64 {
        u64::try_from(lock(&self.apps).len()).unwrap_or(u64::MAX)
    }

    /// The progress of the keyring's rotation, if one is in progress.
    pub(crate) fn keyring_progress(&self) -> Option<RotationProgress> {
        lock(&self.keyring).as_ref().map(Progress::to_wire)
    }

    /// The progress of an app's rotation.
    pub(super) fn app_progress(&self, app: AppId) -> RotationProgress {
        lock(&self.apps).get(&app).map(Progress::to_wire).unwrap_or_default()
    }
}

/// The limit of the rate.
pub(super) struct Pace {
    per_second: u32,
    due: Instant,
}

impl Pace {
    /// At most this many keys per second.
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second: per_second.max(1), due: Instant::now() }
    }

    /// Rows of one batch: few at a low rate, so that the work is even.
    pub(super) fn batch(&self) -> u32 {
        (self.per_second / 10).clamp(1, BATCH)
    }

    /// Waits until the next batch may start, after this many re-wrapped keys.
    pub(super) async fn after(&mut self, rewrapped: u64) {
        if rewrapped == 0 {
            // A pass that re-wraps nothing is limited by reading only; yields to other tasks.
            return tokio::task::yield_now().await;
        }
        self.due = next(self.due, Instant::now(), self.per_second, rewrapped);
        tokio::time::sleep_until(self.due).await;
    }
}

/// When the next batch may start, after one that was due at `due` and is done `now`. Work that was slower than the limit
/// is not caught up.
fn next(due: Instant, now: Instant, per_second: u32, rewrapped: u64) -> Instant {
    let worth = Duration::from_secs(1) / per_second;
    let worth = worth.saturating_mul(u32::try_from(rewrapped).unwrap_or(u32::MAX));
    (due + worth).max(now)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_limit_is_not_exceeded() {
        let begun = Instant::now();
        let mut due = begun;
        for _ in 0..10 {
            due = next(due, begun, 100, 10);
        }
        assert_eq!(due, begun + Duration::from_secs(1));
        // An idle hour gives no credit.
        let later = begun + Duration::from_secs(3600);
        due = next(due, later, 100, 10);
        assert_eq!(due, later);
        assert_eq!(next(due, later, 100, 10), later + Duration::from_millis(100));
    }

    #[test]
    fn batches_are_small_at_a_low_rate_and_bounded_at_a_high_one() {
        let batches = [1, 20, 10_000, u32::MAX].map(|per_second| Pace::new(per_second).batch());
        assert_eq!(batches, [1, 2, 64, 64]);
    }
}
