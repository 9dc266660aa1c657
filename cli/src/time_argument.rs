//! Points in time as people type them: RFC 3339.

use std::str::FromStr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instant(pub(crate) i64);

/// Why a text is no time; what clap shows behind the argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InstantError;

impl std::fmt::Display for InstantError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(crate::messages::TIME_RULE)
    }
}

impl std::error::Error for InstantError {}

impl FromStr for Instant {
    type Err = InstantError;

    fn from_str(text: &str) -> Result<Self, InstantError> {
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InstantError)?;
        Ok(Self(time.unix_timestamp()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rfc_3339() {
        assert_eq!("1970-01-01T01:00:01+01:00".parse(), Ok(Instant(1)));
        assert_eq!("2026-01-31T12:00:00Z".parse(), Ok(Instant(1_769_860_800)));
        for wrong in ["", "now", "1769860800", "2026-01-31", "2026-01-31T12:00:00"] {
            assert_eq!(wrong.parse::<Instant>(), Err(InstantError), "{wrong}");
        }
    }
}
