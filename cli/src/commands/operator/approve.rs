//! `petsem operator approve`.

use clap::Args;
use petsem_api::{ApprovalId, Approve as Wanted};
use petsem_server::approve_with_seal;

use crate::failure::Failure;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

/// Approve a request with the seal, if there is no second person yet
///
/// It opens the seal on the node; a running server carries it out. The audit log records that no second person approved
/// the request.
#[derive(Args)]
pub(crate) struct Approve {
    /// The request
    #[arg(value_name = "ID")]
    id: ApprovalId,

    /// The digest of the keys that the request registers, as their owner told it to you
    #[arg(long, value_name = "DIGEST")]
    key_digest: Option<String>,

    #[command(flatten)]
    unsealing: UnsealArguments,

    /// Print the request as JSON
    #[arg(long)]
    json: bool,
}

impl Approve {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let wanted = Wanted { key_digest: self.key_digest };
        let settings = self.unsealing.settings()?;
        let approval = remote::serve(approve_with_seal(&settings, self.id, wanted))??;
        output::notice(messages::NO_SECOND_PERSON);
        output::confirm(self.json, &approval, &messages::approval_decided(&approval))
    }
}
