//! How far rotations are, and how fast they may go.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use petsem_api::{AppId, RotationProgress};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::Failure;

/// How soon what could not be finished is tried again.
pub(super) const AGAIN: Duration = Duration::from_secs(30);

/// Faults that are faults_shown; more are counted.
const MOST_TOLD: usize = 20;
/// Rows in one transaction: few enough that a writer hardly waits for it.
const BATCH: u32 = 64;

/// What is under way on this node.
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

/// How far one rotation is.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// Rows that were looked at in this pass.
    pub(super) done: u64,
    /// Rows to look at.
    pub(super) total: u64,
    /// Keys that were wrapped anew.
    pub(super) rewrapped: u64,
    faults: u64,
    faults_shown: Vec<String>,
}

impl Progress {
    /// A rotation that has this many rows to look at.
    pub(super) fn of(total: u64) -> Self {
        Self { total, ..Self::default() }
    }

    /// A row that cannot be re-wrapped: the old version stays until it can.
    pub(super) fn fault(&mut self, failure: &Failure) {
        let text = failure.internal_text().unwrap_or(failure.external());
        tracing::error!(reason = text, "a rotation cannot go past a row");
        self.faults += 1;
        if self.faults_shown.len() < MOST_TOLD {
            self.faults_shown.push(text.to_owned());
        }
    }

    /// Whether a row stands in the way.
    pub(super) fn is_blocked(&self) -> bool {
        self.faults > 0
    }

    /// Another pass over the same rows; what was wrong is looked at anew.
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
    /// Changes what is known of the keyring's rotation; `None` when there is none.
    pub(super) fn keyring<T>(&self, change: impl FnOnce(&mut Option<Progress>) -> T) -> T {
        change(&mut lock(&self.keyring))
    }

    /// Changes what is known of an app's rotation.
    pub(super) fn app<T>(&self, app: AppId, change: impl FnOnce(&mut Progress) -> T) -> T {
        change(lock(&self.apps).entry(app).or_default())
    }

    /// An app's rotation is over.
    pub(super) fn end_app(&self, app: AppId) {
        lock(&self.apps).remove(&app);
    }

    /// Keys were wrapped anew.
    pub(super) fn count(&self, rewrapped: u64) {
        self.rewrapped.fetch_add(rewrapped, Ordering::Relaxed);
    }

    /// Keys that were wrapped anew since start.
    pub(crate) fn rewrapped(&self) -> u64 {
        self.rewrapped.load(Ordering::Relaxed)
    }

    /// Apps whose rotation this node works on.
    pub(crate) fn apps_under_way(&self) -> u64 {
        u64::try_from(lock(&self.apps).len()).unwrap_or(u64::MAX)
    }

    /// How far the keyring's rotation is, if one is under way.
    pub(crate) fn keyring_progress(&self) -> Option<RotationProgress> {
        lock(&self.keyring).as_ref().map(Progress::to_wire)
    }

    /// How far an app's rotation is.
    pub(super) fn app_progress(&self, app: AppId) -> RotationProgress {
        lock(&self.apps).get(&app).map(Progress::to_wire).unwrap_or_default()
    }
}

/// The bound of the rate.
pub(super) struct Pace {
    per_second: u32,
    due: Instant,
}

impl Pace {
    /// At most this many keys a second.
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second: per_second.max(1), due: Instant::now() }
    }

    /// Rows to take at once: at a low rate few, so that it is even.
    pub(super) fn batch(&self) -> u32 {
        (self.per_second / 10).clamp(1, BATCH)
    }

    /// Waits until more may be done, after so many.
    pub(super) async fn after(&mut self, rewrapped: u64) {
        if rewrapped == 0 {
            // A pass that finds nothing is bounded by reading alone; others get their turn.
            return tokio::task::yield_now().await;
        }
        self.due = next(self.due, Instant::now(), self.per_second, rewrapped);
        tokio::time::sleep_until(self.due).await;
    }
}

/// When more may be done, after so many that were due at `due` and are done `now`. What was slower than the bound is
/// not caught up with.
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
    fn no_more_than_the_bound_are_done_in_a_second() {
        let begun = Instant::now();
        let mut due = begun;
        for _ in 0..10 {
            due = next(due, begun, 100, 10);
        }
        assert_eq!(due, begun + Duration::from_secs(1));
        // An hour in which nothing was done is no credit.
        let later = begun + Duration::from_secs(3600);
        due = next(due, later, 100, 10);
        assert_eq!(due, later);
        assert_eq!(next(due, later, 100, 10), later + Duration::from_millis(100));
    }

    #[test]
    fn batches_are_small_at_a_low_rate_and_bounded_at_a_high_one() {
        let batches = [1, 20, 10_000, u32::MAX].map(|per_second| (per_second / 10).clamp(1, BATCH));
        assert_eq!(batches, [1, 2, 64, 64]);
    }
}
