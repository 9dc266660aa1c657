//! Patterns for claims.

use std::fmt;

/// Matches a whole value; each `*` stands for any text, also for none. Every other character is itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether every value matches.
    pub fn matches_everything(&self) -> bool {
        !self.0.is_empty() && self.0.bytes().all(|byte| byte == b'*')
    }

    /// Whether the whole value matches. Linear in pattern times value at worst, without a stack.
    pub fn matches(&self, value: &str) -> bool {
        let Some((start, rest)) = self.0.split_once('*') else { return self.0 == value };
        let Some(mut left) = value.strip_prefix(start) else { return false };
        let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        // Taking the first place for each piece leaves the most for the pieces behind it.
        for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
            match left.split_once(piece) {
                Some((_, behind)) => left = behind,
                None => return false,
            }
        }
        left.ends_with(end)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_values_and_stars_only_where_written() {
        let cases = [
            ("main", "main", true),
            ("main", "mainline", false),
            ("main", "Main", false),
            ("repo:org/*", "repo:org/app", true),
            ("repo:org/*", "repo:org/", true),
            ("repo:org/*", "repo:other/app", false),
            ("*:prod", "a:b:prod", true),
            ("*:prod", "prod", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("ab*ba", "aba", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("**x", "x", true),
        ];
        for (pattern, value, expected) in cases {
            assert_eq!(Pattern::new(pattern).matches(value), expected, "{pattern} on {value}");
        }
    }
}
