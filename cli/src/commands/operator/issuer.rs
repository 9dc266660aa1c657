//! `petsem operator issuer`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use petsem_api::PutIssuer;
use petsem_server::add_issuer;

use crate::failure::Failure;
use crate::opening::Opening;
use crate::{messages, output, remote, value_source};

/// Largest issuer file.
const MAX_ISSUER: usize = 256 * 1024;

#[derive(Subcommand)]
pub(crate) enum Issuer {
    Add(Add),
}

/// Register an issuer of JWTs
///
/// The file is JSON: {"issuer": the exact `iss`, "algorithms": ["ES256"], "keys": a JWK set (RFC 7517)}. App
/// policies may then refer to the issuer; by itself it opens nothing.
#[derive(Args)]
pub(crate) struct Add {
    /// The issuer as JSON, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

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
        let bytes = value_source::public_file_or_stdin(&add.file, MAX_ISSUER)?;
        let wanted: PutIssuer =
            serde_json::from_slice(&bytes).map_err(|error| messages::no_issuer(&add.file, &error))?;
        let issuer = remote::serve(add_issuer(&settings, &wanted))??;
        output::confirm(add.json, &issuer, &messages::issuer_added(&issuer))
    }
}
