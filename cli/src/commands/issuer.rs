//! `petsem issuer`: the issuers whose JWTs are accepted.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use petsem_api::{Approval, IssuerId, IssuerList, PutIssuer, from_json};

use crate::arguments::ServerArguments;
use crate::confirmation::Confirmation;
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
    confirmation: Confirmation,

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
        // As the server reads it: names are unique, and no error repeats a part of the file, which may be a key.
        from_json(&bytes).map_err(|error| messages::invalid_issuer(&self.file, &error))
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
        self.confirmation.require(&messages::issuer_deletion(self.id), &self.id.to_string())?;
        let deleted: petsem_api::Issuer = remote.delete(&format!("/v1/issuers/{}", self.id))?;
        output::confirm(self.common.json, &deleted, &messages::issuer_deleted(&deleted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What people give in place of a registration is often a private key, so nothing of it is repeated.
    #[test]
    fn a_file_that_is_no_registration_is_refused_without_a_word_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let key = r#"{"kty":"OKP","crv":"Ed25519","x":"CANARY","d":"CANARY"}"#;
        let pem = "-----BEGIN OPENSSH PRIVATE KEY-----\nCANARY\n-----END OPENSSH PRIVATE KEY-----\n";
        let with = |fields: &str| format!(r#"{{"issuer":"https://i.example",{fields}}}"#).into_bytes();
        let malformed =
            |line, column| format!("the body is not well-formed JSON, at line {line}, column {column}");
        let wrong_type = |field: &str| format!("a wrong type or a number out of range (field {field})");
        let json_text = |text: &str| serde_json::Value::from(text).to_string().into_bytes();
        for (content, fault) in [
            (pem.into(), malformed(1, 2)),
            (b"0\x82\x04\xbd\x02\x01CANARY".to_vec(), malformed(1, 2)),
            (b"ssh-ed25519 CANARY".to_vec(), malformed(1, 1)),
            (json_text(pem), "the body is JSON, but not an object".to_owned()),
            (json_text(key), "the body is JSON, but not an object".to_owned()),
            (format!("[{key}]").into_bytes(), "the body is JSON, but not an object".to_owned()),
            (
                with(&format!(r#""keys":{key},"keys":{key}"#)),
                "a name occurs twice in one object, at line 1, column 156 of the body".to_owned(),
            ),
            (with(r#""algorithms":"CANARY""#), wrong_type("algorithms")),
            (with(r#""algorithms":["ES256"],"jwks_url":["CANARY"]"#), wrong_type("jwks_url")),
            (
                with(r#""algorithms":["ES256"],"CANARY":"CANARY""#),
                "unknown field; known are issuer, algorithms, keys, jwks_url, discovery, longest_life_seconds, \
                 longest_boot_life_seconds, audiences, audience_claim, types, boot_claims (in the body)"
                    .to_owned(),
            ),
        ] {
            let file = directory.path().join("given.json");
            std::fs::write(&file, &content).unwrap();
            let refused = Registration { file: file.clone(), replace: false }.request().unwrap_err();
            assert_eq!(refused.fact, format!("{} is not an issuer: {fault}", file.display()));
        }
    }

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
