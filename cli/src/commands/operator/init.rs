//! `petsem operator init`.

use std::path::PathBuf;

use clap::Args;
use petsem_server::{
    InstallOptions, NewShare, SealInfo, SealSettings, Settings, UnsealInput, install, is_interrupted,
};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::commands::config::check_directory;
use crate::failure::Failure;
use crate::private_file::Reserved;
use crate::unsealing::{SharesDestination, UnsealArguments, new_passphrase};
use crate::{messages, output, remote};

/// The lifetime of the first token, in seconds.
const LIFE: u64 = 24 * 60 * 60;

/// Create an installation: store, seals, first token
///
/// It works once, on an empty store; a store that has an installation is not changed. After an interruption, the same
/// command finishes the installation. The first operator token lives 24 hours and is written to a new file (mode 0600).
#[derive(Args)]
pub(crate) struct Init {
    #[command(flatten)]
    unsealing: UnsealArguments,

    /// The holder of the first token, such as an e-mail address, for the audit log
    #[arg(long, value_name = "SUBJECT")]
    operator: String,

    #[command(flatten)]
    shares_destination: SharesDestination,

    /// The new file for the first token
    #[arg(long, value_name = "FILE", default_value = "operator.token")]
    out: PathBuf,

    /// Print the result as JSON, without the token
    #[arg(long)]
    json: bool,
}

/// The output of `--json`.
#[derive(Serialize)]
struct InitReport<'a> {
    store: petsem_api::StoreId,
    seals: &'a [SealInfo],
    token_id: petsem_api::TokenUuid,
    token_expires_at: &'a str,
    token_file: &'a std::path::Path,
}

impl Init {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = Settings::read(&self.unsealing.config)?;
        // Before anything is created.
        for seal in &settings.seals {
            if let SealSettings::KeyFile { path } = seal {
                check_directory(path)?;
            }
        }
        let settings = if remote::serve(is_interrupted(&settings))?? {
            // Its seals exist.
            output::notice(messages::INSTALLATION_CONTINUED);
            self.unsealing.settings()?
        } else {
            self.with_new_seals()?
        };
        // The file first: the token is returned once, and an installation is created once.
        let file = Reserved::new(&self.out)?;
        let options = InstallOptions { operator: self.operator, life: LIFE };
        let mut write_shares = |shares: &[NewShare]| self.shares_destination.write(shares);
        let mut installed = remote::serve(install(&settings, &options, &mut write_shares))??;
        let token = Zeroizing::new(std::mem::take(&mut installed.token.token));
        file.fill(token.as_bytes())?;
        let report = InitReport {
            store: installed.store,
            seals: &installed.seals,
            token_id: installed.token.id,
            token_expires_at: &installed.token.expires_at,
            token_file: &self.out,
        };
        output::confirm(
            self.json,
            &report,
            &messages::installed(&installed, &self.out, &self.unsealing.config),
        )
    }
}

impl Init {
    /// The settings, with what new seals need.
    fn with_new_seals(&self) -> Result<Settings, Failure> {
        let settings = self.unsealing.settings_without_prompt()?;
        let settings = match needs_passphrase(&settings) {
            true => {
                settings.opened_by(UnsealInput::new(Some(new_passphrase("--passphrase-file")?), Vec::new()))
            }
            false => settings,
        };
        if settings.seals.iter().any(|seal| matches!(seal, SealSettings::Shamir { .. })) {
            self.shares_destination.check(self.json)?;
        }
        Ok(settings)
    }
}

/// Whether a new passphrase must be typed: none was given, and no file has one.
fn needs_passphrase(settings: &Settings) -> bool {
    !settings.has_passphrase()
        && settings.seals.iter().any(|seal| matches!(seal, SealSettings::Passphrase { file: None }))
}
