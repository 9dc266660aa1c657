//! The only place of this crate that reads a clock, waits, or draws randomness.
//!
//! It serves waits and jitter. What must be unpredictable takes its randomness as a parameter.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

pub(crate) use tokio::time::Instant;

/// Now, on the monotonic clock.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits before a repeated call.
pub(crate) async fn wait_until(moment: Instant) {
    tokio::time::sleep_until(moment).await;
}

/// The result of `work`, if it ends within `limit`.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, work).await.ok()
}

/// Between half of `longest` and all of it, so that hosts that failed together do not retry together.
pub(crate) fn jittered(longest: Duration) -> Duration {
    // The hasher's keys are random for each call. A pause needs no secrecy, so this randomness is enough.
    let lot = u32::try_from(RandomState::new().hash_one(0_u8) >> 32).unwrap_or(u32::MAX);
    let share = f64::from(lot) / f64::from(u32::MAX);
    longest.mul_f64(0.5 + share / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_between_half_and_all_and_varies() {
        let pauses: Vec<_> = (0..64).map(|_| jittered(Duration::from_secs(2))).collect();
        let outside = pauses.iter().filter(|pause| !(1.0..=2.0).contains(&pause.as_secs_f64())).count();
        assert_eq!(outside, 0);
        assert!(pauses.iter().any(|pause| Some(pause) != pauses.first()));
    }
}
