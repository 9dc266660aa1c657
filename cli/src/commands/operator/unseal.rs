//! `petsem operator unseal`.

use clap::Args;
use petsem_server::unseal;
use serde::Serialize;

use crate::failure::Failure;
use crate::opening::Opening;
use crate::{messages, output, remote};

/// Open the server that runs sealed on this node
///
/// Passphrase or shares are asked for, or read from files; all shares are given in one go. With --configured, or where
/// nobody is asked and nothing given, the server tries the seals of its configuration again.
#[derive(Args)]
pub(crate) struct Unseal {
    #[command(flatten)]
    opening: Opening,

    /// Ask nobody: the server tries the seals of its configuration again
    #[arg(long, conflicts_with_all = ["passphrase_file", "share_file"])]
    configured: bool,

    /// Print what opened it as JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    opened_by: &'a str,
}

impl Unseal {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = match self.configured {
            true => petsem_server::Settings::read(&self.opening.config)?,
            false => self.opening.settings_by_people()?,
        };
        let by = remote::serve(unseal(&settings))??;
        output::confirm(self.json, &Shown { opened_by: &by }, &messages::unsealed(&by))
    }
}
