//! `petsem operator issuer`.

use clap::{Args, Subcommand};
use petsem_server::add_issuer;

use crate::commands::issuer::Registered;
use crate::failure::Failure;
use crate::opening::Opening;
use crate::{messages, output, remote};

#[derive(Subcommand)]
pub(crate) enum Issuer {
    Add(Add),
}

/// Register an issuer of JWTs, while no server holds the store; no second person is asked
///
/// The file is JSON: {"issuer": the exact `iss`, "algorithms": ["ES256"]} with exactly one of "keys": a JWK set (RFC
/// 7517), "jwks_url": where the issuer publishes one, and "discovery": true, if it says so itself (OpenID Connect).
/// App policies may then refer to the issuer; by itself it opens nothing. `petsem issuer` lists and deletes issuers.
#[derive(Args)]
pub(crate) struct Add {
    #[command(flatten)]
    registered: Registered,

    #[command(flatten)]
    opening: Opening,

    /// Print the issuer as JSON
    #[arg(long)]
    json: bool,
}

impl Issuer {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Self::Add(add) = self;
        let settings = add.opening.settings()?;
        let wanted = add.registered.request()?;
        let issuer = remote::serve(add_issuer(&settings, &wanted, add.registered.replace))??;
        output::confirm(add.json, &issuer, &messages::issuer_added(&issuer))
    }
}
