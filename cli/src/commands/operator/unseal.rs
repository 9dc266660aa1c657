//! `petsem operator unseal`.

use clap::Args;
use petsem_server::unseal;
use serde::Serialize;

use crate::failure::Failure;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

/// Unseal the server that runs sealed on this node
///
/// It prompts for the passphrase or the shares, or reads them from files; all shares must be given in one attempt. With
/// --configured, or without a terminal and files, the server tries the seals of its configuration again.
#[derive(Args)]
pub(crate) struct Unseal {
    #[command(flatten)]
    unsealing: UnsealArguments,

    /// Do not prompt: the server tries the seals of its configuration again
    #[arg(long, conflicts_with_all = ["passphrase_file", "share_file"])]
    configured: bool,

    /// Print the seal that opened it as JSON
    #[arg(long)]
    json: bool,
}

/// The output of `--json`.
#[derive(Serialize)]
struct UnsealReport<'a> {
    opened_by: &'a str,
}

impl Unseal {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = match self.configured {
            true => petsem_server::Settings::read(&self.unsealing.config)?,
            false => self.unsealing.settings_with_prompt()?,
        };
        let by = remote::serve(unseal(&settings))??;
        output::confirm(self.json, &UnsealReport { opened_by: &by }, &messages::unsealed(&by))
    }
}
