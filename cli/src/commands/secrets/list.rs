//! `petsem secrets list`.

use clap::Args;
use petsem_api::SecretList;

use super::Common;
use crate::failure::Failure;
use crate::output::{self, Table};

/// List names, digests, versions and authors
#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    common: Common,
}

impl List {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (remote, app) = self.common.open()?;
        let answer: SecretList = remote.get(&format!("/v1/apps/{app}/secrets"))?;
        output::answer(self.common.json, &answer, |answer| {
            let mut table = Table::new(&["NAME", "DIGEST", "VERSION", "UPDATED", "AUTHOR"]);
            for secret in &answer.secrets {
                table.row([
                    secret.name.to_string(),
                    secret.digest.to_string(),
                    secret.set_in_version.to_string(),
                    secret.updated_at.clone(),
                    secret.author.clone(),
                ]);
            }
            table
        })
    }
}
