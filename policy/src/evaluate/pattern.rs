//! Patterns for claims.

use std::fmt;

/// Matches a whole value. Each `*` matches any text, including the empty text; every other character matches itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// Makes a pattern from its text.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it matches every value.
    pub fn matches_everything(&self) -> bool {
        !self.0.is_empty() && self.0.bytes().all(|byte| byte == b'*')
    }

    /// Whether it matches the whole value. At worst it takes pattern length times value length, without recursion.
    pub fn matches(&self, value: &str) -> bool {
        let Some((start, rest)) = self.0.split_once('*') else { return self.0 == value };
        let Some(mut left) = value.strip_prefix(start) else { return false };
        let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        // The first match of each piece leaves the most text for the later pieces.
        for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
            match left.split_once(piece) {
                Some((_, after)) => left = after,
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
    fn a_pattern_matches_whole_values() {
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
