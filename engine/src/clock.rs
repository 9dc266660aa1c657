//! The only module that reads the clock. All other code takes the time as an argument.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in unix time. Each request reads it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

impl Timestamp {
    /// The system's time. A clock before 1970 reads as 1970, so every validity window is closed.
    #[expect(clippy::disallowed_methods, reason = "the only module that reads the clock")]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: since.subsec_nanos() }
    }

    /// The time of these unix milliseconds.
    pub fn from_millis(millis: u64) -> Self {
        let nanos = u32::try_from(millis % 1000).unwrap_or(0).saturating_mul(1_000_000);
        Self { seconds: i64::try_from(millis / 1000).unwrap_or(i64::MAX), nanos }
    }

    /// The time of these unix seconds.
    pub(crate) fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }

    /// Whole unix seconds.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// The Unix seconds of the time `life` seconds later.
    pub(crate) fn seconds_after(self, life: u64) -> i64 {
        self.seconds.saturating_add(i64::try_from(life).unwrap_or(i64::MAX))
    }

    /// Nanoseconds within the second.
    pub(crate) fn nanos(self) -> u32 {
        self.nanos
    }

    /// Unix milliseconds.
    pub fn millis(self) -> u64 {
        u64::try_from(self.seconds)
            .unwrap_or(0)
            .saturating_mul(1000)
            .saturating_add(u64::from(self.nanos / 1_000_000))
    }

    /// RFC 3339 with milliseconds, in UTC.
    pub fn rfc3339(self) -> String {
        let whole = self.nanos - self.nanos % 1_000_000;
        OffsetDateTime::from_unix_timestamp(self.seconds)
            .ok()
            .and_then(|time| time.replace_nanosecond(whole).ok())
            .and_then(|time| time.format(&Rfc3339).ok())
            .unwrap_or_else(|| "9999-12-31T23:59:59Z".to_owned())
    }
}

/// A reading of both clocks, for ages: the wall clock, which can be set, and the monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClockReading {
    wall: i64,
    steady: Duration,
}

impl ClockReading {
    /// Reads both clocks.
    #[expect(clippy::disallowed_methods, reason = "the only module that reads the clock")]
    pub(crate) fn now() -> Self {
        static BEGIN: OnceLock<Instant> = OnceLock::new();
        let begin = *BEGIN.get_or_init(Instant::now);
        Self { wall: Timestamp::now().seconds(), steady: Instant::now().saturating_duration_since(begin) }
    }

    /// The time since `earlier`: the longer one of both clocks. The wall clock can be set back, and the monotonic clock
    /// stops while the machine sleeps.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let by_wall = u64::try_from(self.wall.saturating_sub(earlier.wall)).unwrap_or(0);
        self.steady.saturating_sub(earlier.steady).max(Duration::from_secs(by_wall))
    }

    /// The same, later by this time on both clocks.
    #[cfg(test)]
    pub(crate) fn after(self, time: Duration) -> Self {
        Self { wall: self.wall + time.as_secs().cast_signed(), steady: self.steady + time }
    }

    /// The same, with the wall clock moved by this many seconds.
    #[cfg(test)]
    pub(crate) fn with_wall_moved(self, seconds: i64) -> Self {
        Self { wall: self.wall + seconds, ..self }
    }
}

/// Formats whole unix seconds as RFC 3339.
pub(crate) fn rfc3339_seconds(seconds: i64) -> String {
    Timestamp { seconds, nanos: 0 }.rfc3339()
}

/// Formats unix milliseconds as RFC 3339, in whole seconds.
pub(crate) fn time_text(millis: u64) -> String {
    rfc3339_seconds(i64::try_from(millis / 1000).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_prints_as_rfc3339_in_utc() {
        assert_eq!(Timestamp::from_millis(1_766_473_409_250).rfc3339(), "2025-12-23T07:03:29.25Z");
        assert_eq!(rfc3339_seconds(0), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_millis(1_766_473_409_250).millis(), 1_766_473_409_250);
    }
}
