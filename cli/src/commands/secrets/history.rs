//! `petsem secrets history`.

use clap::Args;

use crate::arguments::{AppArguments, secret_name};
use crate::failure::Failure;
use crate::messages;
use crate::output::{self, Table};

/// Show the history of one secret, newest first
#[derive(Args)]
pub(crate) struct History {
    /// The secret's name
    name: String,

    #[command(flatten)]
    common: AppArguments,
}

impl History {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let name = secret_name(&self.name)?;
        let (remote, app) = self.common.open()?;
        let answer: petsem_api::History = remote.get(&format!("/v1/apps/{app}/secrets/{name}/history"))?;
        output::answer(self.common.json(), &answer, |answer| {
            let mut table = Table::new(&["VERSION", "DIGEST", "SET AT", "SET BY"]);
            for entry in &answer.history {
                let digest = entry.digest.map(|digest| digest.to_string());
                table.row([
                    entry.version.to_string(),
                    digest.unwrap_or_else(|| messages::DELETED_ENTRY.to_owned()),
                    entry.at.clone(),
                    entry.author.clone(),
                ]);
            }
            table
        })
    }
}
