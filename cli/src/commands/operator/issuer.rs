//! `petsem operator issuer`.

use clap::{Args, Subcommand};
use petsem_server::add_issuer;

use crate::commands::issuer::Registration;
use crate::failure::Failure;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

#[derive(Subcommand)]
pub(crate) enum Issuer {
    Add(Add),
}

/// Register an issuer of JWTs while no server uses the store; no second person is needed
///
/// The file is JSON: {"issuer": the exact `iss`, "algorithms": ["ES256"]} with exactly one of "keys": a JWK set (RFC
/// 7517); "jwks_url": the URL where the issuer publishes one; "discovery": true, to find that URL by OpenID Connect
/// Discovery. "boot_claims": {"app": "app_name", "machine": "machine_id"} names the claims from which the discharger
/// takes the app and the Machine that a request does not name. If its JWTs differ from the defaults, give
/// "longest_life_seconds" (900), "longest_boot_life_seconds" (300), "audiences" besides this installation's name,
/// "audience_claim" ("aud") and "types" (["JWT", "at+jwt", "none"]); docs/issuers.md has examples. App policies can then
/// refer to the issuer; the registration alone grants nothing. `petsem issuer` lists, shows and deletes issuers.
#[derive(Args)]
pub(crate) struct Add {
    #[command(flatten)]
    registration: Registration,

    #[command(flatten)]
    unsealing: UnsealArguments,

    /// Print the issuer as JSON
    #[arg(long)]
    json: bool,
}

impl Issuer {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Self::Add(add) = self;
        let settings = add.unsealing.settings()?;
        let request = add.registration.request()?;
        let issuer = remote::serve(add_issuer(&settings, &request, add.registration.replace))??;
        output::confirm(add.json, &issuer, &messages::issuer_added(&issuer))
    }
}
