//! `petsem operator recover`.

use std::path::PathBuf;

use clap::Args;
use petsem_server::{InstallOptions, recover};
use zeroize::Zeroizing;

use crate::duration::Seconds;
use crate::failure::Failure;
use crate::private_file::Reserved;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

/// Create an operator token on the node, when all others are lost, expired or revoked
///
/// It opens the seal on the node, with or without a running server; the audit log records it. The token is written to a
/// new file (mode 0600).
#[derive(Args)]
pub(crate) struct Recover {
    /// The holder of the token, such as an e-mail address, for the audit log
    #[arg(long, value_name = "SUBJECT")]
    operator: String,

    /// Its lifetime, such as 24h or 30d
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    expires_in: Seconds,

    /// The new file for the token
    #[arg(long, value_name = "FILE", default_value = "operator.token")]
    out: PathBuf,

    #[command(flatten)]
    unsealing: UnsealArguments,
}

impl Recover {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.unsealing.settings()?;
        let file = Reserved::new(&self.out)?;
        let options = InstallOptions { operator: self.operator, life: self.expires_in.0 };
        let mut minted = remote::serve(recover(&settings, &options))??;
        let token = Zeroizing::new(std::mem::take(&mut minted.token));
        file.fill(token.as_bytes())?;
        output::line(&messages::operator_token_minted(&minted, &self.out))
    }
}
