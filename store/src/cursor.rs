//! A place in the sequence of changes, for callers that keep it and come back.

use std::fmt;
use std::str::FromStr;

/// Longest text of a cursor, in bytes.
const LENGTH_MAXIMUM: usize = 64;

/// A place in a store's sequence of changes. Only the store that made it knows what it says: on SQLite a revision, on
/// other stores something else. As text, 1 to 64 of `A`–`Z`, `a`–`z`, `0`–`9`, `.` and `-`, so that it fits into a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// The text, without a check: a store writes only such texts.
    pub(crate) fn of(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no cursor of any store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid cursor; start again without one")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let fits = (1..=LENGTH_MAXIMUM).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
        if fits { Ok(Self(text.to_owned())) } else { Err(CursorError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_from_its_text() {
        for text in ["s1.0", "A-9", &"x".repeat(64)] {
            assert_eq!(text.parse().map(|cursor: Cursor| cursor.to_string()), Ok(text.to_owned()));
        }
        for invalid in ["", "a b", "a/b", "a\n", "é", &"x".repeat(65)] {
            assert_eq!(invalid.parse::<Cursor>(), Err(CursorError), "{invalid:?}");
        }
    }
}
