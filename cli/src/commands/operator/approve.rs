//! `petsem operator approve`.

use clap::Args;
use petsem_api::ApprovalId;
use petsem_server::approve_with_seal;

use crate::failure::Failure;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

/// Approve a request with the seal, if there is no second person yet
///
/// It opens the seal on the node, while no server uses the store. The audit log records that no second person approved
/// the request.
#[derive(Args)]
pub(crate) struct Approve {
    /// The request
    #[arg(value_name = "ID")]
    id: ApprovalId,

    #[command(flatten)]
    unsealing: UnsealArguments,

    /// Print the request as JSON
    #[arg(long)]
    json: bool,
}

impl Approve {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.unsealing.settings()?;
        let approval = remote::serve(approve_with_seal(&settings, self.id))??;
        output::notice(messages::NO_SECOND_PERSON);
        output::confirm(self.json, &approval, &messages::approval_decided(&approval))
    }
}
