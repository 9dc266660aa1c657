//! `petsem operator approve`.

use clap::Args;
use petsem_api::ApprovalId;
use petsem_server::approve_with_seal;

use crate::failure::Failure;
use crate::opening::Opening;
use crate::{messages, output, remote};

/// Approve a request with the seal, where there is no second person yet
///
/// It is done on the node with the seal opened for it, while no server holds the store. The audit log says that no
/// second person stood behind it.
#[derive(Args)]
pub(crate) struct Approve {
    /// The request
    #[arg(value_name = "ID")]
    id: ApprovalId,

    #[command(flatten)]
    opening: Opening,

    /// Print the request as JSON
    #[arg(long)]
    json: bool,
}

impl Approve {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.opening.settings()?;
        let approval = remote::serve(approve_with_seal(&settings, self.id))??;
        output::notice(messages::NO_SECOND_PERSON);
        output::confirm(self.json, &approval, &messages::decided(&approval))
    }
}
