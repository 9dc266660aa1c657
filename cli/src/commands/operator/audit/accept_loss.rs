//! `petsem operator audit accept-loss`.

use clap::Args;
use petsem_server::{accept_loss, audit_loss};
use serde::Serialize;

use crate::confirmation::Confirmation;
use crate::failure::Failure;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

/// Let a node serve again whose audit log is missing or changed
///
/// First try to restore the log: mount its disk, or copy shipped files back. If its lines are lost, this command keeps
/// the files that are left, in a folder of the audit directory, and begins a new chain, which names the end of the old
/// one. The start that follows cannot compare the database with the lost log, so an older database is not noticed. It
/// shows what is lost, and asks first.
#[derive(Args)]
pub(crate) struct AcceptLoss {
    #[command(flatten)]
    unsealing: UnsealArguments,

    #[command(flatten)]
    confirmation: Confirmation,

    /// Print what was accepted as JSON
    #[arg(long)]
    json: bool,
}

/// The output of `--json`.
#[derive(Serialize)]
struct LossReport<'a> {
    accepted: &'a str,
}

impl AcceptLoss {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.unsealing.settings()?;
        let lost = remote::serve(audit_loss(&settings))??;
        self.confirmation.require(&messages::accepting_loss(&lost), "accept-loss")?;
        let accepted = remote::serve(accept_loss(&settings))??;
        output::confirm(self.json, &LossReport { accepted: &accepted }, &messages::loss_accepted(&accepted))
    }
}
