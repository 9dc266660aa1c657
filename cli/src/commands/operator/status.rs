//! `petsem operator status`.

use clap::Args;
use petsem_server::status;

use crate::failure::Failure;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

/// Show the state of this node: sealed or open, by which seal, problems and what to type
///
/// It asks the server that runs on this node, sealed or not. If none runs, it reads the store and tests whether a start
/// would open it. Nothing is changed.
#[derive(Args)]
pub(crate) struct Status {
    #[command(flatten)]
    unsealing: UnsealArguments,

    /// Print the state as JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.unsealing.settings_without_prompt()?;
        let status = remote::serve(status(&settings))??;
        output::confirm(self.json, &status, &messages::node_status(&status))
    }
}
