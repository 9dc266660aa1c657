//! Where a token goes: a new private file, or standard output when no person would see it there.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::failure::Failure;
use crate::private_file::Reserved;
use crate::{messages, output};

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

/// A place that is sure to take the token: found before the token is made.
pub(super) enum Opened<'a> {
    File(&'a Path, Reserved),
    StandardOutput,
}

impl Destination {
    /// Opens the place. A token that could be given to nobody is then never minted.
    pub(super) fn open(&self) -> Result<Opened<'_>, Failure> {
        match &self.out {
            Some(path) => Ok(Opened::File(path, Reserved::new(path)?)),
            None if output::is_terminal() && !self.print => Err(messages::token_to_terminal()),
            None => Ok(Opened::StandardOutput),
        }
    }
}

impl Opened<'_> {
    /// Writes the token, and says where it went: on standard error when it went to standard output.
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

    /// Writes the token to the file, if that is the place; answers what is left to print.
    pub(super) fn write_to_file(self, token: &str) -> Result<Option<&str>, Failure> {
        match self {
            Self::File(_, file) => file.fill(token.as_bytes()).map(|()| None).map_err(Failure::from),
            Self::StandardOutput => Ok(Some(token)),
        }
    }
}
