//! `petsem operator status`.

use clap::Args;
use petsem_server::status;

use crate::failure::Failure;
use crate::opening::Opening;
use crate::{messages, output, remote};

/// Say how this node is: sealed or open, by which seal, what is wrong and what to type
///
/// It asks the server that runs on this node, sealed or not; where none runs, it looks at the store, and whether a
/// start would open it. Nothing is changed.
#[derive(Args)]
pub(crate) struct Status {
    #[command(flatten)]
    opening: Opening,

    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.opening.settings_unasked()?;
        let status = remote::serve(status(&settings))??;
        output::confirm(self.json, &status, &messages::node_status(&status))
    }
}
