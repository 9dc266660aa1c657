//! `petsem operator owner`.

use std::path::{Path, PathBuf};

use clap::Args;
use petsem_api::{OrgRef, TokenUuid};
use petsem_server::mint_owner;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::duration::Seconds;
use crate::failure::Failure;
use crate::private_file::Reserved;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

/// Create the token of an org's owner, which can also prove boots
///
/// It opens the seal on the node, with or without a running server. An operator token can mint host tokens, so it can
/// neither prove boots nor mint tokens that do. The token is written to a new file (mode 0600).
#[derive(Args)]
pub(crate) struct Owner {
    /// The org, by name or id
    #[arg(long, value_name = "ORG")]
    org: OrgRef,

    /// The holder of the token, such as an e-mail address, for the audit log
    #[arg(long, value_name = "SUBJECT")]
    owner: String,

    /// Its lifetime, such as 24h or 30d
    #[arg(long, value_name = "DURATION", default_value = "30d")]
    expires_in: Seconds,

    /// The new file for the token
    #[arg(long, value_name = "FILE", default_value = "owner.token")]
    out: PathBuf,

    #[command(flatten)]
    unsealing: UnsealArguments,

    /// Print the result as JSON, without the token
    #[arg(long)]
    json: bool,
}

/// The output of `--json`.
#[derive(Serialize)]
struct OwnerReport<'a> {
    token_id: TokenUuid,
    token_expires_at: &'a str,
    token_file: &'a Path,
}

impl Owner {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.unsealing.settings()?;
        let file = Reserved::new(&self.out)?;
        let life = self.expires_in.0;
        let mut minted = remote::serve(mint_owner(&settings, &self.org, &self.owner, life))??;
        let token = Zeroizing::new(std::mem::take(&mut minted.token));
        file.fill(token.as_bytes())?;
        let report =
            OwnerReport { token_id: minted.id, token_expires_at: &minted.expires_at, token_file: &self.out };
        output::confirm(self.json, &report, &messages::owner_token_minted(&minted, &self.out))
    }
}
