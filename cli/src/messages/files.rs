//! Files, `.env` files, prompts and the process itself.

use std::fmt;
use std::path::Path;

use super::phrasing::{file_name, plural};
use crate::dotenv::{DotenvError, ProblemKind};
use crate::failure::{Exit, Failure};
use crate::private_file::PrivateFileError;
use crate::prompt::PromptError;

pub(crate) const TOKEN_PROMPT: &str = "Token (not shown): ";
pub(crate) const VALUE_ENDS_WITH_NEWLINE: &str =
    "the value ends with a newline, which is part of it; --trim-newline removes it";

pub(crate) const VALUE_IS_EMPTY: &str =
    "the value is empty; if it came from a pipe, check the command in front of it";

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
            PrivateFileError::NotAFile { .. } => Self::new(
                Exit::Usage,
                format!("{path} is neither a regular file nor a pipe"),
                "name a file or a pipe, or - for standard input",
            ),
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
            PrivateFileError::Utf16 { .. } => {
                Self::new(Exit::Usage, format!("{path} is UTF-16"), "save it as UTF-8")
            }
            PrivateFileError::Exists { .. } => Self::new(
                Exit::Usage,
                format!("{path} already exists; not overwritten"),
                "name a file that does not exist",
            ),
            PrivateFileError::Beside { kept, .. } => {
                let kept = kept.display();
                Self::new(
                    Exit::Refused,
                    format!(
                        "{path} was created by another program meanwhile; what this command made is in {kept}"
                    ),
                    format!("use {kept}: repeating the command would make another one"),
                )
            }
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
        format!(
            "{} {}: line {}, column {}",
            file_name(path),
            if error.is_data() { "has a name twice in one object" } else { "is not JSON" },
            error.line(),
            error.column()
        ),
        "check the file; `petsem policy show` prints the form that is accepted",
    )
}

/// What to give instead of a line at a prompt.
const INSTEAD: &str = "give a file with the option that --help names, such as --file FILE, or standard input";

impl From<PromptError> for Failure {
    fn from(error: PromptError) -> Self {
        let refused = |fact: &str| {
            let fact = format!("{fact}; all of it was discarded, and nothing was changed");
            Self::new(Exit::Usage, fact, INSTEAD)
        };
        match error {
            PromptError::NoTerminal => Self::new(
                Exit::Usage,
                NO_TERMINAL,
                "give --stdin to read the value from standard input, or --file FILE",
            ),
            PromptError::Terminal(error) => prompt_failed(error),
            PromptError::Ended => Self::new(
                Exit::Usage,
                "the input ended (Ctrl-D) before Enter; nothing was changed",
                "end the line with Enter",
            ),
            PromptError::Interrupted => {
                Self::new(Exit::Refused, "interrupted; nothing was changed", "run the command again")
            }
            PromptError::SeveralLines => refused("more than one line was pasted, and a prompt takes one"),
            PromptError::FirstLineOfPem => {
                refused("only the first line of a key or certificate was given, and a prompt takes one line")
            }
            PromptError::ControlCharacter => {
                refused("the line has control characters, such as those of arrow keys")
            }
            PromptError::NotText => refused("the line is not UTF-8"),
            PromptError::TooLong => refused("the line is longer than a value may be (64 KiB)"),
        }
    }
}

pub(crate) fn pages_written(count: usize, directory: &Path) -> String {
    format!("{count} {} in {}", plural(count, "man page", "man pages"), directory.display())
}

pub(crate) fn stdin_taken() -> Failure {
    Failure::new(
        Exit::Usage,
        "two arguments or variables name standard input, which can be read once; nothing was changed",
        "give the token, or the other one, as a file",
    )
}

pub(crate) fn empty_value() -> Failure {
    Failure::new(
        Exit::Usage,
        "no value was typed; nothing was changed",
        "type the value before Enter; for an empty value give --file /dev/null",
    )
}

pub(crate) fn empty_token() -> Failure {
    Failure::new(Exit::Usage, "no token was typed", "paste the token before Enter, or name its file")
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
        ProblemKind::Reference => {
            "unclear dollar sign: some programs expand $NAME, ${…}, $(…), $$ and $'…' in such files; write the value in single \
             quotes to take it as it is, or give --literal for the whole file"
        }
        ProblemKind::Continuation => {
            "the backslash at the end joins lines in some programs; write the value in quotes, or give --literal"
        }
        ProblemKind::Utf16 => "the file is UTF-16; save it as UTF-8",
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
