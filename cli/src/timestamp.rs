//! Points in time as people type them: RFC 3339.

use std::str::FromStr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timestamp(pub(crate) i64);

/// The text is not a time; clap prints this after the argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", crate::messages::TIME_RULE)]
pub(crate) struct TimestampError;

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError)?;
        Ok(Self(time.unix_timestamp()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rfc_3339() {
        assert_eq!("1970-01-01T01:00:01+01:00".parse(), Ok(Timestamp(1)));
        assert_eq!("2026-01-31T12:00:00Z".parse(), Ok(Timestamp(1_769_860_800)));
        for wrong in ["", "now", "1769860800", "2026-01-31", "2026-01-31T12:00:00"] {
            assert_eq!(wrong.parse::<Timestamp>(), Err(TimestampError), "{wrong}");
        }
    }
}
