//! Files, `.env` files, prompts and the process itself.

use std::fmt;
use std::path::Path;

use super::phrasing::file_name;
use crate::dotenv::{DotenvError, ProblemKind};
use crate::failure::{Exit, Failure};
use crate::private_file::PrivateFileError;

pub(crate) const TOKEN_PROMPT: &str = "Token (not shown): ";
pub(crate) const VALUE_ENDS_WITH_NEWLINE: &str =
    "the value ends with a newline, which is part of it; --trim-newline removes it";

/// There is no terminal to prompt on.
pub(crate) const NO_TERMINAL: &str = "cannot prompt: standard input is not a terminal";

/// At most this many problems of one file are listed.
const PROBLEMS_LISTED: usize = 10;

impl From<PrivateFileError> for Failure {
    fn from(error: PrivateFileError) -> Self {
        let path = error.path().display();
        match &error {
            PrivateFileError::Open { source, .. } => Self::new(
                Exit::Usage,
                format!("{path} cannot be opened: {source}"),
                "check the path and its permissions",
            ),
            PrivateFileError::Read { source, .. } => Self::new(
                Exit::Refused,
                format!("{path} cannot be read: {source}"),
                "check the file and its disk",
            ),
            PrivateFileError::OpenToOthers { mode, .. } => Self::new(
                Exit::Usage,
                format!("{path} is accessible to other users (mode {mode:04o})"),
                format!("chmod 600 {path}; also replace the token if others use this machine"),
            ),
            PrivateFileError::ForeignOwner { owner, .. } => Self::new(
                Exit::Usage,
                format!("{path} belongs to user {owner}, who can read and change it"),
                "chown it to the user who runs petsem, or name another file",
            ),
            PrivateFileError::NotAFile { .. } => {
                Self::new(Exit::Usage, format!("{path} is not a regular file"), "name a regular file")
            }
            PrivateFileError::TooLarge { limit, .. } => Self::new(
                Exit::Usage,
                format!("{path} is larger than {limit} bytes"),
                "check that it is the intended file",
            ),
            PrivateFileError::NotText { .. } => Self::new(
                Exit::Usage,
                format!("{path} is not UTF-8 text"),
                "check that it is the intended file",
            ),
            PrivateFileError::Exists { .. } => Self::new(
                Exit::Usage,
                format!("{path} already exists; not overwritten"),
                "name a file that does not exist",
            ),
            PrivateFileError::Write { source, .. } => Self::new(
                Exit::Refused,
                format!("{path} cannot be written: {source}"),
                "check the directory, its permissions and its free space",
            ),
        }
    }
}

pub(crate) fn values_readable_by_others(path: &Path, mode: u32) -> String {
    let path = path.display();
    format!("other users of this machine can read {path} (mode {mode:04o}); chmod 600 {path}, or delete it")
}

pub(crate) fn not_json(path: &Path, error: &serde_json::Error) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} is not JSON: line {}, column {}", path.display(), error.line(), error.column()),
        "check the file; `petsem policy show` prints the form that is accepted",
    )
}

pub(crate) fn no_prompt() -> Failure {
    Failure::new(
        Exit::Usage,
        NO_TERMINAL,
        "give --stdin to read the value from standard input, or --file FILE",
    )
}

pub(crate) fn prompt_failed(error: std::io::Error) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("the terminal cannot be read: {error}"),
        "end the line with Enter, or give a file with the option that --help names",
    )
}

pub(crate) fn output_failed(error: impl fmt::Display) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("standard output cannot be written: {error}"),
        "the operation may have succeeded: check before you repeat it",
    )
}

pub(crate) fn cannot_harden(error: rustix::io::Errno) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("this process cannot be protected from others: {error}"),
        "run petsem where prctl and setrlimit are allowed; no secret has been read",
    )
}

pub(crate) fn no_runtime(error: std::io::Error) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("the process cannot be set up: {error}"),
        "check the limits on threads and open files (ulimit -a)",
    )
}

pub(crate) fn dotenv_refused(path: &Path, error: &DotenvError) -> Failure {
    let mut fact = format!("nothing was imported: {} has invalid lines:", file_name(path));
    for problem in error.problems.iter().take(PROBLEMS_LISTED) {
        fact.push_str(&format!("\n  line {}: {}", problem.line, dotenv_problem(problem.kind)));
    }
    match error.problems.len().saturating_sub(PROBLEMS_LISTED) {
        0 => {}
        more => fact.push_str(&format!("\n  and {more} more")),
    }
    Failure::new(
        Exit::Usage,
        fact,
        "correct these lines; `petsem secrets import --dry-run FILE` checks a file without a server",
    )
}

fn dotenv_problem(kind: ProblemKind) -> String {
    match kind {
        ProblemKind::NotUtf8 => "not UTF-8; for other bytes use `petsem secrets set NAME --file FILE`",
        ProblemKind::NoEqualsSign => "no NAME=value; put a value of several lines in quotes",
        ProblemKind::BadName => {
            "invalid name; a name is 1 to 255 letters, digits and underscores, not starting with a digit"
        }
        ProblemKind::UnclosedQuote => "the quote that opens here is not closed",
        ProblemKind::TextAfterQuote => {
            "text after the closing quote; inside double quotes write a double quote as \\\""
        }
        ProblemKind::Backtick => "backticks are not quotes here; use single or double quotes",
        ProblemKind::UnquotedPem => "put a key of several lines in quotes",
        ProblemKind::ControlCharacter => {
            "control character; for such values use `petsem secrets set NAME --file FILE`"
        }
        ProblemKind::ValueTooLarge => "the value is larger than 64 KiB",
        ProblemKind::Duplicate { first } => {
            return format!("the name is already on line {first}; it is unclear which value is meant");
        }
    }
    .to_owned()
}

pub(crate) fn dotenv_empty(path: &Path) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("nothing was imported: {} has no variables", file_name(path)),
        "check that it is the intended file",
    )
}
