//! `petsem token revoke`.

use clap::Args;
use petsem_api::Revoked;

use crate::context::Connection;
use crate::failure::Failure;
use crate::remote::Remote;
use crate::revocation::Revocation;
use crate::{messages, output};

/// Revoke a token, a signing key, a Machine, a host, or JWTs
///
/// With a token all that descend from it are revoked; a revoked Machine boots nowhere, and on a revoked host
/// nothing boots. With JWTs the renewals and tokens are revoked that came of them.
#[derive(Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    what: Revocation,

    /// Print the server's answer as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

impl Revoke {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let request = self.what.request()?;
        let answer: Revoked = Remote::open(&self.connection.resolve()?)?.post("/v1/revocations", &request)?;
        output::confirm(self.json, &answer, &messages::revoked(&request, &answer))
    }
}
