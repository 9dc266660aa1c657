//! `petsem issuer`: the issuers whose JWTs are accepted.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use petsem_api::{Approval, IssuerId, IssuerList, PutIssuer};

use crate::arguments::ServerArguments;
use crate::failure::Failure;
use crate::output::Table;
use crate::{messages, output, value_source};

/// Largest issuer file.
const MAX_ISSUER: usize = 256 * 1024;

#[derive(Subcommand)]
pub(crate) enum Issuer {
    Add(Add),
    /// List the registered issuers, and the state of their keys
    List(List),
    /// Show one issuer: what it is registered with, and which keys of its set are not used, and why
    Show(Show),
    /// Delete an issuer; this revokes the JWTs that it has issued, and everything derived from them
    Delete(Delete),
}

/// The registration, on the node and over the API.
#[derive(Args)]
pub(crate) struct Registration {
    /// The issuer as JSON, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Replace the existing registration of this `iss`, to change its keys, its algorithms or where its keys come from
    #[arg(long)]
    pub(crate) replace: bool,
}

/// Request to register an issuer of JWTs; a second person approves it
///
/// The file is JSON: {"issuer": the exact `iss`, "algorithms": ["ES256"]} with exactly one of "keys": a JWK set (RFC
/// 7517); "jwks_url": the URL where the issuer publishes one; "discovery": true, to find that URL by OpenID Connect
/// Discovery. "boot_claims": {"app": "app_name", "machine": "machine_id"} names the claims from which the discharger
/// takes the app and the Machine that a request does not name. If its JWTs differ from the defaults, give
/// "longest_life_seconds" (900), "longest_boot_life_seconds" (300), "audiences" besides this installation's name,
/// "audience_claim" ("aud") and "types" (["JWT", "at+jwt", "none"]); docs/issuers.md has examples. App policies can then
/// refer to the issuer; the registration alone grants nothing.
#[derive(Args)]
pub(crate) struct Add {
    #[command(flatten)]
    registration: Registration,

    #[command(flatten)]
    common: ServerArguments,
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    common: ServerArguments,
}

#[derive(Args)]
pub(crate) struct Show {
    /// The exact `iss`, or the id, as `petsem issuer list` shows them
    #[arg(value_name = "ISSUER")]
    issuer: String,

    #[command(flatten)]
    common: ServerArguments,
}

#[derive(Args)]
pub(crate) struct Delete {
    /// The id, as `petsem issuer list` shows it
    #[arg(value_name = "ISSUER_ID")]
    id: IssuerId,

    #[command(flatten)]
    common: ServerArguments,
}

impl Issuer {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(),
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Delete(delete) => delete.run(),
        }
    }
}

impl Registration {
    /// Reads the file.
    pub(crate) fn request(&self) -> Result<PutIssuer, Failure> {
        let bytes = value_source::public_text_or_stdin(&self.file, MAX_ISSUER)?;
        serde_json::from_slice(&bytes).map_err(|error| messages::invalid_issuer(&self.file, &error))
    }
}

impl Add {
    fn run(self) -> Result<(), Failure> {
        let request = self.registration.request()?;
        let remote = self.common.remote()?;
        let approval: Approval = if self.registration.replace {
            let all: IssuerList = remote.get("/v1/issuers")?;
            let replaced = all.issuers.iter().find(|issuer| issuer.issuer == request.issuer);
            let replaced = replaced.ok_or_else(|| messages::issuer_not_registered(&request.issuer))?;
            remote.put(&format!("/v1/issuers/{}", replaced.id), &request)?
        } else {
            remote.post("/v1/issuers", &request)?
        };
        output::confirm(self.common.json, &approval, &messages::awaits_approval(&approval))
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let remote = self.common.remote()?;
        let answer: IssuerList = remote.get("/v1/issuers")?;
        output::answer(self.common.json, &answer, |answer| {
            let mut table = Table::new(&["ID", "ISSUER", "ALGORITHMS", "BOOT CLAIMS", "KEYS"]);
            for issuer in &answer.issuers {
                let keys = messages::issuer_keys(issuer);
                let (id, algorithms) = (issuer.id.to_string(), issuer.algorithms.join(" "));
                let boot_claims = messages::boot_claims(issuer.boot_claims.as_ref());
                table.row([id, issuer.issuer.clone(), algorithms, boot_claims, keys]);
            }
            table
        })
    }
}

impl Show {
    fn run(self) -> Result<(), Failure> {
        let remote = self.common.remote()?;
        let all: IssuerList = remote.get("/v1/issuers")?;
        let is_it = |issuer: &&petsem_api::Issuer| {
            issuer.issuer == self.issuer || issuer.id.to_string() == self.issuer
        };
        let issuer = all.issuers.iter().find(is_it).ok_or_else(|| messages::no_such_issuer(&self.issuer))?;
        output::confirm(self.common.json, issuer, &messages::issuer_shown(issuer))
    }
}

impl Delete {
    fn run(self) -> Result<(), Failure> {
        let remote = self.common.remote()?;
        let deleted: petsem_api::Issuer = remote.delete(&format!("/v1/issuers/{}", self.id))?;
        output::confirm(self.common.json, &deleted, &messages::issuer_deleted(&deleted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registrations_of_the_page_about_issuers_parse() {
        let page = include_str!("../../../docs/issuers.md");
        let registrations: Vec<PutIssuer> = page
            .split("```json\n")
            .skip(1)
            .map(|block| serde_json::from_str(block.lines().next().unwrap()).unwrap())
            .collect();
        assert_eq!(registrations.len(), 13);
    }
}
