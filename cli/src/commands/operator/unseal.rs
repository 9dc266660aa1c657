//! `petsem operator unseal`.

use clap::Args;
use petsem_server::{Settings, UnsealedServer, unseal, unsealed_before};
use serde::Serialize;

use crate::failure::Failure;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

/// Unseal the server that runs sealed on this node
///
/// It prompts for the passphrase or the shares, or reads them from files; all shares must be given in one attempt. With
/// --configured, or without a terminal and files, the server tries the seals of its configuration again. If the server
/// is not sealed, it says so, asks for nothing, and exits with 0.
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
    /// Whether the server was sealed before.
    was_sealed: bool,
}

impl Unseal {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let configured = Settings::read(&self.unsealing.config)?;
        let server = match remote::wait_for(unsealed_before(&configured))?? {
            Some(server) => server,
            None if self.configured => remote::serve(unseal(&configured))??,
            None => match self.opened_without_people(&configured)? {
                Some(server) => server,
                None => remote::serve(unseal(&self.unsealing.settings_with_prompt()?))??,
            },
        };
        let report = UnsealReport { opened_by: &server.by, was_sealed: server.was_sealed };
        output::confirm(self.json, &report, &messages::unsealed(&server))
    }

    /// The server, if it needs none of the shares that would be gathered. It tries its seals itself: what opens the store
    /// for this command may not open it for the server.
    fn opened_without_people(&self, configured: &Settings) -> Result<Option<UnsealedServer>, Failure> {
        if !self.unsealing.gathers() {
            return Ok(None);
        }
        Ok(remote::serve(unseal(configured))?.ok())
    }
}
