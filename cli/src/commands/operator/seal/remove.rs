//! `petsem operator seal remove`.

use std::sync::{Mutex, PoisonError};

use clap::Args;
use petsem_server::{Settings, last_automatic_seal, next_start_warning, remove_compromised, remove_seal};

use crate::confirmation::Confirmation;
use crate::failure::Failure;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

/// Remove a seal
///
/// The last seal cannot be removed, nor the last one that has opened the store. Removing the only one that opens by
/// itself is to be confirmed: starts then wait for a person. It works beside a running server.
///
/// With --compromised, every key that the seal could open is replaced, because others may know them: root key,
/// keyring, row-MAC key, and the keys of tokens, discharges and the audit log. So every token ends, those of
/// operators, orgs and hosts, and every renewal of a boot. Afterwards `petsem operator recover` makes an operator's
/// token, `petsem operator owner` an org's, and hosts are enrolled again. The keys of outside dischargers are deleted;
/// the output lists them, to be registered with new keys. The audit log goes on in a new chain. Values stay. It takes
/// seconds, in a large store minutes. No server starts before it is finished; if it is interrupted, run it again.
#[derive(Args)]
pub(crate) struct Remove {
    /// The seal: the start of its id, or its description
    #[arg(value_name = "SEAL")]
    which: String,

    /// The seal may be known to others: also replace every key that it could open, and end all tokens. The server must
    /// be stopped, and every other seal available
    #[arg(long)]
    compromised: bool,

    #[command(flatten)]
    confirmation: Confirmation,

    #[command(flatten)]
    unsealing: UnsealArguments,

    /// Print the seal as JSON
    #[arg(long)]
    json: bool,
}

impl Remove {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if self.compromised {
            self.confirmation.require(messages::REMOVING_COMPROMISED, &self.which)?;
            let settings = self.unsealing.settings_for_every_seal()?;
            let bar = Mutex::new(output::ProgressBar::new(self.json));
            let report = |step, done, total| {
                let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
                bar.show(&messages::replacement_bar(step, done, total));
            };
            let done = remote::serve(remove_compromised(&settings, &self.which, &report))??;
            drop(bar);
            output::confirm(self.json, &done, &messages::compromised_removed(&done))?;
            return warn_of_next_start(&settings);
        }
        let settings = self.unsealing.settings()?;
        let last = remote::serve(last_automatic_seal(&settings, &self.which))??;
        if let Some(seal) = &last {
            let consequence = messages::starts_sealed_without(seal);
            self.confirmation.require(&consequence, &self.which)?;
            if self.confirmation.is_given() {
                output::notice(&consequence);
            }
        }
        let removed = remote::serve(remove_seal(&settings, &self.which))??;
        if last.is_none() {
            warn_of_next_start(&settings)?;
        }
        output::confirm(self.json, &removed, &messages::seal_removed(&removed))
    }
}

/// Says if no seal is left that opens by itself.
fn warn_of_next_start(settings: &Settings) -> Result<(), Failure> {
    if let Some(warning) = remote::wait_for(next_start_warning(settings))?? {
        output::notice(&warning);
    }
    Ok(())
}
