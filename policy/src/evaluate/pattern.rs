//! Patterns for claims.

use std::fmt;

/// Matches a whole value. Each `*` matches any text, including the empty text; every other character matches itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Pattern {
    /// Without repeated stars, which mean the same as one.
    text: String,
    /// Bytes that every value that it matches has at least.
    least: usize,
}

impl Pattern {
    /// Makes a pattern from its text.
    pub fn new(text: &str) -> Self {
        let mut text = text.to_owned();
        let mut after_star = false;
        text.retain(|character| {
            let repeated = after_star && character == '*';
            after_star = character == '*';
            !repeated
        });
        let stars = text.bytes().filter(|byte| *byte == b'*').count();
        Self { least: text.len() - stars, text }
    }

    /// How many stars it has.
    pub(super) fn stars(&self) -> usize {
        self.text.len() - self.least
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches every value.
    pub fn matches_everything(&self) -> bool {
        self.text == "*"
    }

    /// Whether it matches the whole value, in time linear in the value: a pattern with more text than that is not looked at.
    pub fn matches(&self, value: &str) -> bool {
        if self.least > value.len() {
            return false;
        }
        let Some((start, rest)) = self.text.split_once('*') else { return self.text == value };
        let Some(mut left) = value.strip_prefix(start) else { return false };
        let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        // The first match of each piece leaves the most text for the later pieces.
        for piece in middle.split('*') {
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
        out.write_str(&self.text)
    }
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
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
            ("a***b**", "axb", true),
            ("***", "", true),
        ];
        for (pattern, value, expected) in cases {
            assert_eq!(Pattern::new(pattern).matches(value), expected, "{pattern} on {value}");
        }
    }
}
