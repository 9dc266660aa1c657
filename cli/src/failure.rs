//! How a command ends when it does not succeed: a fact, a hint, and an exit status.
//!
//! [`crate::messages`] has all texts; none of them holds a value, a key or a token.

/// The exit statuses other than 0. `petsem --help` documents them, and they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The server refused, or something on this machine failed.
    Refused,
    /// The command line, or a file named on it, is invalid. clap exits with the same status.
    Usage,
    /// `petsem operator status`: the node is sealed or stopped. Vault's command exits with the same status.
    NotServing,
    /// No server answered.
    Unreachable,
    /// The change is only requested: a second person must approve it.
    AwaitsApproval,
    /// The command to start was found, and cannot be started.
    NotExecutable,
    /// The command to start was not found.
    NotFound,
}

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::Usage | Self::NotServing => 2,
            Self::Unreachable => 3,
            Self::AwaitsApproval => 4,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
        }
    }
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

    /// A failure without a hint, such as a server's answer, which has its own.
    pub(crate) fn bare(exit: Exit, fact: impl Into<String>) -> Self {
        Self { exit, fact: fact.into(), hint: None }
    }
}
