//! Where a token goes: a new private file, or standard output if that is not a terminal.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::failure::Failure;
use crate::private_file::Reserved;
use crate::{messages, output};

/// The destination of the token.
#[derive(Args)]
pub(super) struct Destination {
    /// Write the token to this new file (mode 0600)
    #[arg(long, value_name = "FILE", conflicts_with = "print")]
    out: Option<PathBuf>,

    /// Print the token even to a terminal
    #[arg(long)]
    print: bool,
}

/// A destination that can be written to; opened before the token is minted.
pub(super) enum OpenDestination<'a> {
    File(&'a Path, Reserved),
    StandardOutput,
}

impl Destination {
    /// The file, if it is one.
    pub(super) fn file(&self) -> Option<&Path> {
        self.out.as_deref()
    }

    /// Opens the destination, so that a token that could not be delivered is never minted.
    pub(super) fn open(&self) -> Result<OpenDestination<'_>, Failure> {
        match &self.out {
            Some(path) => Ok(OpenDestination::File(path, Reserved::new(path)?)),
            None if output::is_terminal() && !self.print => Err(messages::token_to_terminal()),
            None => Ok(OpenDestination::StandardOutput),
        }
    }
}

impl OpenDestination<'_> {
    /// Writes the token and prints its description, to standard error if the token goes to standard output.
    pub(super) fn write(self, token: &str, described: &str) -> Result<(), Failure> {
        match self {
            Self::File(path, file) => {
                file.fill(token.as_bytes())?;
                output::line(&messages::token_written(path, described))
            }
            Self::StandardOutput => {
                output::notice(described);
                output::line(token)
            }
        }
    }

    /// Writes the token to the file, if that is the destination; else returns it to print.
    pub(super) fn write_to_file(self, token: &str) -> Result<Option<&str>, Failure> {
        match self {
            Self::File(_, file) => file.fill(token.as_bytes()).map(|()| None).map_err(Failure::from),
            Self::StandardOutput => Ok(Some(token)),
        }
    }
}
