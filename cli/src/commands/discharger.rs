//! `petsem discharger`: outside dischargers that may vouch for boots.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use petsem_api::{Approval, DischargerList, OrgRef, PutDischarger};

use crate::arguments::ServerArguments;
use crate::confirmation::Confirmation;
use crate::failure::Failure;
use crate::output::Table;
use crate::{messages, output, value_source};

/// Longest file with a shared key: 32 bytes in base64, and a line end.
const MAX_KEY: usize = 128;

#[derive(Subcommand)]
pub(crate) enum Discharger {
    /// Request to register a key shared with an outside discharger; a second person approves it
    Add(Add),
    /// List the registered dischargers
    List(List),
    /// Delete a discharger's key; discharges made with it are no longer accepted
    Delete(Delete),
}

/// The registration, on the node and over the API.
#[derive(Args)]
pub(crate) struct Registration {
    /// The location in its tickets, such as `https://auth.example`
    #[arg(value_name = "URL")]
    location: String,

    /// The org that it may vouch for [default: the whole platform]
    #[arg(long, value_name = "ORG")]
    org: Option<OrgRef>,

    /// The file with the shared key, 32 bytes in base64, or - for standard input
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
}

#[derive(Args)]
pub(crate) struct Add {
    #[command(flatten)]
    registration: Registration,

    #[command(flatten)]
    common: ServerArguments,
}

#[derive(Args)]
pub(crate) struct List {
    /// List the dischargers of this org [default: all, for operators]
    #[arg(long, value_name = "ORG")]
    org: Option<OrgRef>,

    #[command(flatten)]
    common: ServerArguments,
}

#[derive(Args)]
pub(crate) struct Delete {
    /// The id, as `petsem discharger list` shows it
    id: String,

    #[command(flatten)]
    confirmation: Confirmation,

    #[command(flatten)]
    common: ServerArguments,
}

impl Discharger {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(),
            Self::List(list) => list.run(),
            Self::Delete(delete) => delete.run(),
        }
    }
}

impl Registration {
    /// Reads the key.
    pub(crate) fn request(self) -> Result<PutDischarger, Failure> {
        let Self { location, org, key_file } = self;
        Ok(PutDischarger { location, org, key: key(&key_file)? })
    }
}

fn key(path: &Path) -> Result<String, Failure> {
    let bytes = value_source::file_or_stdin(path, MAX_KEY)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| messages::invalid_shared_key())?;
    Ok(text.trim().to_owned())
}

impl Add {
    fn run(self) -> Result<(), Failure> {
        let request = self.registration.request()?;
        let remote = self.common.remote()?;
        let approval: Approval = remote.post("/v1/dischargers", &request)?;
        output::confirm(self.common.json, &approval, &messages::awaits_approval(&approval))
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let remote = self.common.remote()?;
        let query = self.org.map_or_else(String::new, |org| format!("?org={org}"));
        let answer: DischargerList = remote.get(&format!("/v1/dischargers{query}"))?;
        output::answer(self.common.json, &answer, |answer| {
            let mut table = Table::new(&["ID", "LOCATION", "COUNTS FOR"]);
            for entry in &answer.dischargers {
                let scope = entry.org.map_or_else(|| messages::PLATFORM.to_owned(), |org| org.to_string());
                table.row([entry.id.clone(), entry.location.clone(), scope]);
            }
            table
        })
    }
}

impl Delete {
    fn run(self) -> Result<(), Failure> {
        let remote = self.common.remote()?;
        let is_id = self.id.len() == 32 && self.id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id {
            return Err(messages::invalid_discharger_id());
        }
        self.confirmation.require(&messages::discharger_deletion(&self.id), &self.id)?;
        let deleted: petsem_api::Discharger = remote.delete(&format!("/v1/dischargers/{}", self.id))?;
        output::confirm(self.common.json, &deleted, &messages::discharger_deleted(&deleted))
    }
}
