//! Where a token goes: a new private file, or standard output when no person would see it there.

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;
use crate::{messages, output, private_file};

/// Where to put the token.
#[derive(Args)]
pub(super) struct Destination {
    /// Write the token to this new file (mode 0600)
    #[arg(long, value_name = "FILE", conflicts_with = "print")]
    out: Option<PathBuf>,

    /// Print the token even to a terminal
    #[arg(long)]
    print: bool,
}

impl Destination {
    /// Refuses before anything is made: a token that nobody can be given is not minted, a file that is there
    /// already is not replaced.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match &self.out {
            Some(path) if path.exists() => {
                Err(private_file::PrivateFileError::Exists { path: path.clone() }.into())
            }
            None if output::is_terminal() && !self.print => Err(messages::token_to_terminal()),
            _ => Ok(()),
        }
    }

    /// Writes the token. Says where it went, on standard error when the token itself goes to standard output.
    pub(super) fn write(&self, token: &str, described: &str) -> Result<(), Failure> {
        match &self.out {
            Some(path) => {
                private_file::write_new(path, format!("{token}\n").as_bytes())?;
                output::line(&messages::token_written(path, described))
            }
            None => {
                output::notice(described);
                output::line(token)
            }
        }
    }

    /// Whether the token goes to a file, so that standard output is free for data about it.
    pub(super) fn is_file(&self) -> bool {
        self.out.is_some()
    }

    /// Writes the token to the file alone, saying nothing.
    pub(super) fn write_silently(&self, token: &str) -> Result<(), Failure> {
        match &self.out {
            Some(path) => Ok(private_file::write_new(path, format!("{token}\n").as_bytes())?),
            None => Ok(()),
        }
    }
}
