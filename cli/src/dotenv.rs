//! `.env` files as people write them, parsed without guessing any value.
//!
//! - `NAME=value`, with blanks around either and an optional `export` before it; `#` starts a comment line.
//! - `"…"` may span lines and has the escapes `\n \r \t \" \\ \$`; any other backslash is literal, as in a
//!   shell. `'…'` may span lines and has no escapes. Nothing is expanded.
//! - Outside single quotes, `$NAME`, `${…}`, `$(…)` and `$$` are refused: some programs expand them in such files and
//!   others do not, so what is meant is unclear. So are `$'…'` and `$"…"`, quotes of shells alone, in front of a value.
//!   [`Dollar::Literal`] takes them as they are.
//! - An unquoted value ends at a blank followed by `#`, or with its line, and is trimmed.
//! - UTF-8, with or without a byte order mark; lines end with LF or CRLF, and a CRLF inside quotes is LF.
//!
//! Anything else is refused, by line number only: the text of a line may be a secret, so no error holds any of it.
//! One invalid line, and there is no result: half a file is never imported.
//!
//! This parser is our own on purpose. The errors of `dotenvy`, the usual crate, hold the whole line, which may be a
//! secret; it expands `$NAME` from the environment, so the stored value would not be the one in the file; and it
//! keeps values in memory that is not wiped. A test compares the two on files that both define alike.
//!
//! It does not know files, the server's limits on bundles, or where the values go.

use petsem_api::{MAX_VALUE, SecretName, Value};
use zeroize::Zeroizing;

use crate::private_file::is_utf16;

/// Names and values, in the order of the file.
#[derive(Debug)]
pub(crate) struct Dotenv {
    pub(crate) entries: Vec<(SecretName, Value)>,
}

/// Every invalid line; never empty. [`crate::messages`] has the text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DotenvError {
    pub(crate) problems: Vec<Problem>,
}

/// One invalid line. Lines count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) line: usize,
    pub(crate) kind: ProblemKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum ProblemKind {
    NotUtf8,
    NoEqualsSign,
    BadName,
    UnclosedQuote,
    TextAfterQuote,
    Backtick,
    UnquotedPem,
    /// `$NAME`, `${…}`, `$(…)` or `$$`; or a value that begins with `$'` or `$"`.
    Reference,
    /// A backslash at the end of a line outside quotes, which joins it with the next one in shells and systemd.
    Continuation,
    Utf16,
    ControlCharacter,
    ValueTooLarge,
    /// The name is already on this earlier line.
    Duplicate {
        first: usize,
    },
}

/// What a dollar sign is that programs could expand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dollar {
    Refused,
    Literal,
}

/// Reads a whole file.
///
/// # Errors
/// Every line that has another form, and every repeated name.
pub(crate) fn parse(file: &[u8], dollar: Dollar) -> Result<Dotenv, DotenvError> {
    if is_utf16(file) {
        return Err(DotenvError { problems: vec![Problem { line: 1, kind: ProblemKind::Utf16 }] });
    }
    let text = std::str::from_utf8(file).map_err(|error| {
        let before = file.get(..error.valid_up_to()).unwrap_or_default();
        DotenvError { problems: vec![Problem { line: 1 + newlines(before), kind: ProblemKind::NotUtf8 }] }
    })?;
    let mut scanner = Scanner { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1, dollar };
    let mut seen: std::collections::HashMap<SecretName, usize> = std::collections::HashMap::new();
    let mut entries = Vec::new();
    let mut problems = Vec::new();
    while !scanner.rest.is_empty() {
        let line = scanner.line;
        match scanner.entry() {
            Ok(None) => {}
            Ok(Some((name, value))) => match seen.get(&name) {
                Some(&first) => problems.push(Problem { line, kind: ProblemKind::Duplicate { first } }),
                None => {
                    seen.insert(name.clone(), line);
                    entries.push((name, value));
                }
            },
            Err(kind) => {
                problems.push(Problem { line, kind });
                scanner.resume_after(line);
            }
        }
    }
    if problems.is_empty() { Ok(Dotenv { entries }) } else { Err(DotenvError { problems }) }
}

struct Scanner<'a> {
    rest: &'a str,
    /// The line on which `rest` starts.
    line: usize,
    dollar: Dollar,
}

impl<'a> Scanner<'a> {
    /// One line, or as many as its value spans. `None` for blank lines and comments.
    fn entry(&mut self) -> Result<Option<(SecretName, Value)>, ProblemKind> {
        self.skip_blanks();
        if self.at_line_end() || self.rest.starts_with('#') {
            self.take_line();
            return Ok(None);
        }
        let name = self.name()?;
        let bytes = match self.rest.trim_start_matches(BLANKS).chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
            Some('`') => return Err(ProblemKind::Backtick),
            _ => self.unquoted()?,
        };
        if bytes.contains(&0) {
            return Err(ProblemKind::ControlCharacter);
        }
        if bytes.len() > MAX_VALUE {
            return Err(ProblemKind::ValueTooLarge);
        }
        // Moved, not copied: its new owner wipes the buffer.
        let mut bytes = bytes;
        Ok(Some((name, Value::new(std::mem::take(&mut *bytes)))))
    }

    /// `export`, the name and the equals sign.
    fn name(&mut self) -> Result<SecretName, ProblemKind> {
        let line = first_line(self.rest);
        let before = line.split_once('=').ok_or(ProblemKind::NoEqualsSign)?.0;
        let consumed = before.len() + 1;
        let name = match before.strip_prefix("export") {
            Some(after) if after.starts_with(BLANKS) => after,
            _ => before,
        };
        let name = name.trim_matches(BLANKS).parse().map_err(|_| ProblemKind::BadName)?;
        self.advance(consumed);
        Ok(name)
    }

    fn unquoted(&mut self) -> Result<Zeroizing<Vec<u8>>, ProblemKind> {
        let line = self.take_line();
        let value = match line.match_indices('#').find(|(at, _)| starts_comment(line, *at)) {
            Some((at, _)) => line.get(..at).unwrap_or_default(),
            None => line,
        };
        let value = value.trim_matches(BLANKS);
        self.check_references(value, false)?;
        if (value.starts_with("$'") || value.starts_with("$\"")) && self.dollar == Dollar::Refused {
            return Err(ProblemKind::Reference);
        }
        if value.ends_with('\\') && self.dollar == Dollar::Refused {
            return Err(ProblemKind::Continuation);
        }
        if value.starts_with("-----BEGIN ") && !value.contains("-----END ") {
            return Err(ProblemKind::UnquotedPem);
        }
        if value.chars().any(|character| character.is_control() && character != '\t') {
            return Err(ProblemKind::ControlCharacter);
        }
        Ok(Zeroizing::new(value.as_bytes().to_vec()))
    }

    fn quoted(&mut self, quote: char) -> Result<Zeroizing<Vec<u8>>, ProblemKind> {
        self.skip_blanks();
        let body = self.rest.get(1..).unwrap_or_default();
        let end = closing_quote(body, quote).ok_or(ProblemKind::UnclosedQuote)?;
        let raw = body.get(..end).unwrap_or_default();
        if quote == '"' {
            self.check_references(raw, true)?;
        }
        let value = unescape(raw, quote == '"');
        self.advance(1 + end + 1);
        let tail = self.take_line();
        let comment = tail.trim_start_matches(BLANKS);
        if comment.is_empty() || (comment.starts_with('#') && comment.len() < tail.len()) {
            Ok(value)
        } else {
            Err(ProblemKind::TextAfterQuote)
        }
    }

    /// Refuses what other programs would replace. Only in double quotes does a backslash make a dollar sign literal.
    fn check_references(&self, text: &str, has_escapes: bool) -> Result<(), ProblemKind> {
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match (character, characters.peek()) {
                ('\\', Some(_)) if has_escapes => {
                    characters.next();
                }
                ('$', Some('{' | '(' | '$' | '_' | 'A'..='Z' | 'a'..='z'))
                    if self.dollar == Dollar::Refused =>
                {
                    return Err(ProblemKind::Reference);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(BLANKS);
    }

    fn at_line_end(&self) -> bool {
        first_line(self.rest).is_empty()
    }

    /// The rest of this line without its end, which is consumed.
    fn take_line(&mut self) -> &'a str {
        let line = first_line(self.rest);
        let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        self.advance(end);
        line
    }

    fn advance(&mut self, bytes: usize) {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.line += newlines(taken.as_bytes());
        self.rest = rest;
    }

    /// Continues after the invalid line.
    fn resume_after(&mut self, bad_line: usize) {
        if self.line == bad_line {
            self.take_line();
        }
    }
}

const BLANKS: [char; 2] = [' ', '\t'];

/// Up to LF, CRLF or the end.
fn first_line(text: &str) -> &str {
    let line = text.split_once('\n').map_or(text, |(line, _)| line);
    line.strip_suffix('\r').unwrap_or(line)
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// A `#` starts a comment only after a blank: `https://host/#part` and `a#b` are values.
fn starts_comment(line: &str, at: usize) -> bool {
    line.get(..at).is_some_and(|before| before.ends_with(BLANKS))
}

fn closing_quote(body: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in body.char_indices() {
        if escaped {
            escaped = false;
        } else if quote == '"' && character == '\\' {
            escaped = true;
        } else if character == quote {
            return Some(at);
        }
    }
    None
}

/// The value's bytes. Allocated once, because growing would leave copies.
fn unescape(raw: &str, escapes: bool) -> Zeroizing<Vec<u8>> {
    let mut value = Zeroizing::new(Vec::with_capacity(raw.len()));
    let mut bytes = raw.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let next = bytes.peek().copied();
        let replaced = match (byte, next) {
            (b'\r', Some(b'\n')) => Some(b'\n'),
            (b'\\', Some(next)) if escapes => match next {
                b'n' => Some(b'\n'),
                b'r' => Some(b'\r'),
                b't' => Some(b'\t'),
                b'"' | b'\\' | b'$' => Some(next),
                _ => None,
            },
            _ => None,
        };
        match replaced {
            Some(replacement) => {
                bytes.next();
                value.push(replacement);
            }
            None => value.push(byte),
        }
    }
    value
}

#[cfg(test)]
mod tests;
