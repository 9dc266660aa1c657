//! `petsem operator recover`.

use std::path::PathBuf;

use clap::Args;
use petsem_server::{InstallOptions, recover};
use zeroize::Zeroizing;

use crate::duration::Seconds;
use crate::failure::Failure;
use crate::opening::Opening;
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

    #[command(flatten)]
    opening: Opening,
}

impl Recover {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.opening.settings()?;
        let file = Reserved::new(&self.out)?;
        let options = InstallOptions { operator: self.operator, life: self.expires_in.0 };
        let mut minted = remote::serve(recover(&settings, &options))??;
        let token = Zeroizing::new(std::mem::take(&mut minted.token));
        file.fill(token.as_bytes())?;
        output::line(&messages::recovered(&minted, &self.out))
    }
}
