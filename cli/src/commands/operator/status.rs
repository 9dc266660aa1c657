//! `petsem operator status`.

use clap::Args;
use petsem_server::{NodeStatus, status};

use crate::failure::{Exit, Failure};
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

/// Show the state of this node: sealed or open, by which seal, problems and what to type
///
/// It asks the server that runs on this node, sealed or not. If none runs, it reads the store and tests whether a start
/// would open it, and whether the audit log is there. Nothing is changed. The exit status is 0 if the node is ready, with
/// or without warnings, 2 if it is sealed or stopped or has lost its audit log, and 1 if it is open and not ready, or if
/// its state cannot be read.
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
        // Status 2 says that the node is sealed or stopped, and nothing else.
        let status = self.read().map_err(|failure| Failure { exit: Exit::Refused, ..failure })?;
        output::confirm(self.json, &status, &messages::node_status(&status))?;
        messages::node_not_ready(&status).map_or(Ok(()), Err)
    }

    fn read(&self) -> Result<NodeStatus, Failure> {
        let settings = self.unsealing.settings_without_prompt()?;
        Ok(remote::serve(status(&settings))??)
    }
}
