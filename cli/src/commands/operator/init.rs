//! `petsem operator init`.

use std::path::PathBuf;

use clap::Args;
use petsem_server::{Given, InstallOptions, NewShare, SealInfo, SealSettings, Settings, install};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::opening::{Opening, SharesOut, new_passphrase};
use crate::private_file::Reserved;
use crate::{messages, output, remote};

/// How long the first token lives, in seconds.
const LIFE: u64 = 24 * 60 * 60;

/// Make an installation: store, seals, first token
///
/// It is done once, on an empty store; a store that holds an installation is left as it is. The first operator's
/// token lives 24 hours and is written to a new file (mode 0600).
#[derive(Args)]
pub(crate) struct Init {
    #[command(flatten)]
    opening: Opening,

    /// Who holds the first token, such as an e-mail address; the audit log names it
    #[arg(long, value_name = "SUBJECT")]
    operator: String,

    #[command(flatten)]
    shares_out: SharesOut,

    /// The new file for the first token
    #[arg(long, value_name = "FILE", default_value = "operator.token")]
    out: PathBuf,

    /// Print what was made as JSON, without the token
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    store: petsem_api::StoreId,
    seals: &'a [SealInfo],
    token_id: petsem_api::TokenUuid,
    token_expires_at: &'a str,
    token_file: &'a std::path::Path,
}

impl Init {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.opening.settings_unasked()?;
        let settings = match needs_passphrase(&settings) {
            true => settings.opened_by(Given::new(Some(new_passphrase("--passphrase-file")?), Vec::new())),
            false => settings,
        };
        if settings.seals.iter().any(|seal| matches!(seal, SealSettings::Shamir { .. })) {
            self.shares_out.check(self.json)?;
        }
        // The file first: the token is answered once, and an installation is made once.
        let file = Reserved::new(&self.out)?;
        let options = InstallOptions { operator: self.operator, life: LIFE };
        let mut keep = |shares: &[NewShare]| self.shares_out.keep(shares);
        let mut installed = remote::serve(install(&settings, &options, &mut keep))??;
        let token = Zeroizing::new(std::mem::take(&mut installed.token.token));
        file.fill(token.as_bytes())?;
        let shown = Shown {
            store: installed.store,
            seals: &installed.seals,
            token_id: installed.token.id,
            token_expires_at: &installed.token.expires_at,
            token_file: &self.out,
        };
        output::confirm(self.json, &shown, &messages::installed(&installed, &self.out, &self.opening.config))
    }
}

/// Whether a passphrase is to be chosen that no file holds and nobody has given.
fn needs_passphrase(settings: &Settings) -> bool {
    !settings.has_passphrase()
        && settings.seals.iter().any(|seal| matches!(seal, SealSettings::Passphrase { file: None }))
}
