//! How facts are put into words: plurals, names of files, hints, and what a terminal may show.

use std::path::Path;

use crate::failure::{Exit, Failure};
use crate::private_file::STDIN;

/// Standard input as an error names it.
pub(crate) const STDIN_NAME: &str = "standard input";

pub(crate) fn plural<'a>(count: usize, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

/// A number and its noun.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A file as an error names it.
pub(crate) fn file_name(path: &Path) -> String {
    if path == Path::new(STDIN) { STDIN_NAME.to_owned() } else { path.display().to_string() }
}

/// The server's texts have the hint on their last line. Those that are also log messages, which are one line,
/// have it after the last semicolon.
pub(crate) fn split_hint(exit: Exit, text: &str) -> Failure {
    match text.rsplit_once('\n').or_else(|| text.rsplit_once("; ")) {
        Some((fact, hint)) => Failure::new(exit, fact.trim_end(), hint),
        None => Failure::bare(exit, text),
    }
}
