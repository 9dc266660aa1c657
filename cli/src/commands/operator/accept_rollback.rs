//! `petsem operator accept-rollback`.

use std::sync::{Mutex, PoisonError};

use clap::Args;
use petsem_server::{
    AcceptedRollback, LostChanges, Repeated, accept_rollback, finish_acceptance, rollback_to_accept,
};
use serde::Serialize;

use crate::confirmation::Confirmation;
use crate::failure::Failure;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

/// Go on with an older copy of the database, when the newer one is lost
///
/// First try to put the newer database back. If it is lost, this command compares the copy with this node's audit log,
/// shows what is lost, and asks. Values, secret keys, apps and orgs stay as the copy has them. What was taken away since
/// is taken away again: revocations, deleted apps, orgs, issuers and secret keys, and policies and settings that allowed
/// more than later ones, which end and are to be set again. All tokens end, those of operators, orgs and hosts, every
/// renewal of a boot, every JWT that was issued before, and every request for an approval; the keys of outside
/// dischargers are deleted. Afterwards `petsem operator recover` makes an operator's token, `petsem operator owner` an
/// org's, and hosts are enrolled again.
///
/// The audit log must be whole from the copy on; it goes on in a new chain. The server must be stopped. No server starts
/// before the command is finished; if it is interrupted, run it again.
#[derive(Args)]
pub(crate) struct AcceptRollback {
    #[command(flatten)]
    confirmation: Confirmation,

    #[command(flatten)]
    unsealing: UnsealArguments,

    /// Print what was lost and what was done as JSON
    #[arg(long)]
    json: bool,
}

/// The output of `--json`. `null`: an earlier run has printed it.
#[derive(Serialize)]
struct AcceptanceReport<'a> {
    #[serde(flatten)]
    done: &'a AcceptedRollback,
    lost: Option<LostChanges>,
    repeated: Option<Repeated>,
}

impl AcceptRollback {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.unsealing.settings()?;
        let lost = remote::serve(rollback_to_accept(&settings))??;
        if let Some(lost) = &lost {
            let consequence = messages::accepting_rollback(lost);
            self.confirmation.require(&consequence, "accept-rollback")?;
            // Before anything is done: it cannot be read from the store afterwards.
            if self.confirmation.is_given() {
                output::notice(&consequence);
            }
        }
        let repeated = remote::serve(accept_rollback(&settings))??;
        if let Some(repeated) = &repeated {
            output::notice(&messages::taken_away_again(repeated));
        }
        let bar = Mutex::new(output::ProgressBar::new(self.json));
        let report = |step, done, total| {
            let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
            bar.show(&messages::replacement_bar(step, done, total));
        };
        let done = remote::serve(finish_acceptance(&settings, &report))??;
        drop(bar);
        let text = messages::rollback_accepted(&done, lost.as_ref());
        output::confirm(self.json, &AcceptanceReport { done: &done, lost, repeated }, &text)
    }
}
