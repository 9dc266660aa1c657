//! Lengths of time as people type them: `90s`, `15m`, `24h`, `30d`.

use std::str::FromStr;

/// A length of time in whole seconds, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) u64);

/// The text is not a length of time; clap prints this after the argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", crate::messages::DURATION_RULE)]
pub(crate) struct DurationError;

impl FromStr for Seconds {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let unit = match text.chars().last() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 60 * 60,
            Some('d') => 24 * 60 * 60,
            _ => return Err(DurationError),
        };
        let digits = text.get(..text.len() - 1).unwrap_or_default();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(DurationError);
        }
        let count: u64 = digits.parse().map_err(|_| DurationError)?;
        match count.checked_mul(unit) {
            Some(seconds) if seconds > 0 => Ok(Self(seconds)),
            _ => Err(DurationError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_one_unit() {
        let read = |text: &str| text.parse::<Seconds>().map(|seconds| seconds.0);
        assert_eq!(read("90s"), Ok(90));
        assert_eq!(read("15m"), Ok(900));
        assert_eq!(read("24h"), Ok(86_400));
        assert_eq!(read("30d"), Ok(2_592_000));
        for wrong in
            ["", "s", "5", "1h30m", "-1s", "+1s", "1.5h", "0s", " 1s", "1 s", "1é", "99999999999999999999d"]
        {
            assert_eq!(read(wrong), Err(DurationError), "{wrong:?}");
        }
    }
}
