//! How a command ends when it does not succeed: a fact, a hint, and one of three exit statuses.
//!
//! Texts are made in [`crate::messages`] alone; nothing here or there holds a value, a key or a token.

use std::fmt;

/// The exit statuses other than 0. They are documented in `petsem --help` and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The server refused, or something on this machine failed.
    Refused = 1,
    /// The command line, or a file that it names, is not as it must be. clap exits with the same.
    Usage = 2,
    /// No server answered.
    Unreachable = 3,
}

/// What a person reads: what happened, then what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) fact: String,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, fact: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit, fact: fact.into(), hint: Some(hint.into()) }
    }

    /// A failure whose fact says it all, such as a server's answer, which carries its own advice.
    pub(crate) fn bare(exit: Exit, fact: impl Into<String>) -> Self {
        Self { exit, fact: fact.into(), hint: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fact)
    }
}

impl std::error::Error for Failure {}
