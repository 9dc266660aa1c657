//! `petsem operator owner`.

use std::path::{Path, PathBuf};

use clap::Args;
use petsem_api::{OrgRef, TokenUuid};
use petsem_server::mint_owner;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::duration::Seconds;
use crate::failure::Failure;
use crate::opening::Opening;
use crate::private_file::Reserved;
use crate::{messages, output, remote};

/// Make the token of an org's owner, who may also prove boots
///
/// It is made on the node with the seal opened for it, while no server holds the store: an operator's own token can
/// make hosts, so it can neither prove boots nor make tokens that do. Written to a new file (mode 0600).
#[derive(Args)]
pub(crate) struct Owner {
    /// The org, by name or id
    #[arg(long, value_name = "ORG")]
    org: OrgRef,

    /// Who holds the token, such as an e-mail address; the audit log names it
    #[arg(long, value_name = "SUBJECT")]
    owner: String,

    /// How long it lives, such as 24h or 30d
    #[arg(long, value_name = "DURATION", default_value = "30d")]
    expires_in: Seconds,

    /// The new file for the token
    #[arg(long, value_name = "FILE", default_value = "owner.token")]
    out: PathBuf,

    #[command(flatten)]
    opening: Opening,

    /// Print what was made as JSON, without the token
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    token_id: TokenUuid,
    token_expires_at: &'a str,
    token_file: &'a Path,
}

impl Owner {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.opening.settings()?;
        let file = Reserved::new(&self.out)?;
        let life = self.expires_in.0;
        let mut minted = remote::serve(mint_owner(&settings, &self.org, &self.owner, life))??;
        let token = Zeroizing::new(std::mem::take(&mut minted.token));
        file.fill(token.as_bytes())?;
        let shown =
            Shown { token_id: minted.id, token_expires_at: &minted.expires_at, token_file: &self.out };
        output::confirm(self.json, &shown, &messages::owner_made(&minted, &self.out))
    }
}
