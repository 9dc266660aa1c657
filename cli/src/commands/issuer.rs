//! `petsem issuer`: whose JWTs are believed.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use petsem_api::{Approval, IssuerId, IssuerList, PutIssuer};

use crate::failure::Failure;
use crate::output::Table;
use crate::remote::Asking;
use crate::{messages, output, value_source};

/// Largest issuer file.
const MAX_ISSUER: usize = 256 * 1024;

#[derive(Subcommand)]
pub(crate) enum Issuer {
    Add(Add),
    /// List the issuers whose JWTs are believed, and how their keys are fetched
    List(List),
    /// Delete an issuer: the JWTs that it has issued so far, and what came of them, count no more
    Delete(Delete),
}

/// What is registered, on the node and over the API.
#[derive(Args)]
pub(crate) struct Registered {
    /// The issuer as JSON, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Put it in the place of the registration that this `iss` has: other keys, algorithms or places of keys
    #[arg(long)]
    pub(crate) replace: bool,
}

/// Ask to register an issuer of JWTs; a second person approves it
///
/// The file is JSON: {"issuer": the exact `iss`, "algorithms": ["ES256"]} with exactly one of "keys": a JWK set (RFC
/// 7517), "jwks_url": where the issuer publishes one, and "discovery": true, if it says so itself (OpenID Connect).
/// App policies may then refer to the issuer; by itself it opens nothing.
#[derive(Args)]
pub(crate) struct Add {
    #[command(flatten)]
    registered: Registered,

    #[command(flatten)]
    common: Asking,
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    common: Asking,
}

#[derive(Args)]
pub(crate) struct Delete {
    /// Its id, as `petsem issuer list` shows it
    #[arg(value_name = "ISSUER_ID")]
    id: IssuerId,

    #[command(flatten)]
    common: Asking,
}

impl Issuer {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(),
            Self::List(list) => list.run(),
            Self::Delete(delete) => delete.run(),
        }
    }
}

impl Registered {
    /// Reads the file.
    pub(crate) fn request(&self) -> Result<PutIssuer, Failure> {
        let bytes = value_source::public_file_or_stdin(&self.file, MAX_ISSUER)?;
        serde_json::from_slice(&bytes).map_err(|error| messages::no_issuer(&self.file, &error))
    }
}

impl Add {
    fn run(self) -> Result<(), Failure> {
        let wanted = self.registered.request()?;
        let remote = self.common.remote()?;
        let approval: Approval = if self.registered.replace {
            let all: IssuerList = remote.get("/v1/issuers")?;
            let replaced = all.issuers.iter().find(|issuer| issuer.issuer == wanted.issuer);
            let replaced = replaced.ok_or_else(|| messages::not_registered(&wanted.issuer))?;
            remote.put(&format!("/v1/issuers/{}", replaced.id), &wanted)?
        } else {
            remote.post("/v1/issuers", &wanted)?
        };
        output::confirm(self.common.json, &approval, &messages::waits(&approval))
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let remote = self.common.remote()?;
        let answer: IssuerList = remote.get("/v1/issuers")?;
        output::answer(self.common.json, &answer, |answer| {
            let mut table = Table::new(&["ID", "ISSUER", "ALGORITHMS", "KEYS"]);
            for issuer in &answer.issuers {
                let keys = messages::issuer_keys(issuer);
                table.row([issuer.id.to_string(), issuer.issuer.clone(), issuer.algorithms.join(" "), keys]);
            }
            table
        })
    }
}

impl Delete {
    fn run(self) -> Result<(), Failure> {
        let remote = self.common.remote()?;
        let gone: petsem_api::Issuer = remote.delete(&format!("/v1/issuers/{}", self.id))?;
        output::confirm(self.common.json, &gone, &messages::issuer_deleted(&gone))
    }
}
