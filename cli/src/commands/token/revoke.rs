//! `petsem token revoke`.

use clap::Args;
use petsem_api::Revoked;

use crate::arguments::ServerArguments;
use crate::confirmation::Confirmation;
use crate::failure::Failure;
use crate::revocation::Revocation;
use crate::{messages, output};

/// Revoke a token, a signing key, a Machine, a host, JWTs, or boots of an outside discharger
///
/// Revoking a token also revokes all tokens that descend from it. A revoked Machine boots nowhere, and nothing boots on
/// a revoked host, also after it is enrolled again: neither can be lifted. Revoking JWTs also revokes the renewals and
/// tokens derived from them. A Machine, a host, a signing key and all JWTs of an issuer need a confirmation.
#[derive(Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    what: Revocation,

    #[command(flatten)]
    confirmation: Confirmation,

    #[command(flatten)]
    server: ServerArguments,
}

impl Revoke {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let request = self.what.request()?;
        let remote = self.server.remote()?;
        if let Some((consequence, word)) = messages::revocation_consequence(&request) {
            self.confirmation.require(&consequence, &word)?;
        }
        let answer: Revoked = remote.post("/v1/revocations", &request)?;
        output::confirm(self.server.json, &answer, &messages::revoked(&request, &answer))
    }
}
