//! `petsem operator recover`.

use std::path::PathBuf;

use clap::Args;
use petsem_server::{InstallOptions, Settings, recover};
use zeroize::Zeroizing;

use crate::duration::Seconds;
use crate::failure::Failure;
use crate::private_file::Reserved;
use crate::{messages, output, remote};

/// Make an operator's token on the node, when every other one is lost, over or revoked
///
/// Made with the seal opened for it, while no server holds the store; the audit log names it. Written to a new file
/// (mode 0600).
#[derive(Args)]
pub(crate) struct Recover {
    /// Who holds the token, such as an e-mail address; the audit log names it
    #[arg(long, value_name = "SUBJECT")]
    operator: String,

    /// How long it lives, such as 24h or 30d
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    expires_in: Seconds,

    /// The new file for the token
    #[arg(long, value_name = "FILE", default_value = "operator.token")]
    out: PathBuf,

    /// The configuration file
    #[arg(long, value_name = "FILE", env = "PETSEM_CONFIG", hide_env_values = true)]
    config: PathBuf,
}

impl Recover {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = Settings::read(&self.config)?;
        let file = Reserved::new(&self.out)?;
        let options = InstallOptions { operator: self.operator, life: self.expires_in.0 };
        let mut minted = remote::serve(recover(&settings, &options))??;
        let token = Zeroizing::new(std::mem::take(&mut minted.token));
        file.fill(token.as_bytes())?;
        output::line(&messages::recovered(&minted, &self.out))
    }
}
