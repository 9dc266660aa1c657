//! `petsem keys list`.

use clap::Args;
use petsem_api::SecretKeyList;

use crate::arguments::AppArguments;
use crate::failure::Failure;
use crate::output::{self, Table};

/// List labels, types and public keys
#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    common: AppArguments,
}

impl List {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (remote, app) = self.common.open()?;
        let answer: SecretKeyList = remote.get(&format!("/v1/apps/{app}/secretkeys"))?;
        output::answer(self.common.json(), &answer, |answer| {
            let mut table =
                Table::new(&["LABEL", "TYPE", "PUBLIC KEY", "SET IN VERSION", "SET AT", "SET BY"]);
            for key in &answer.secret_keys {
                table.row([
                    key.name.to_string(),
                    key.kind.to_string(),
                    key.public_key.clone().unwrap_or_default(),
                    key.set_in_version.to_string(),
                    key.created_at.clone(),
                    key.author.clone(),
                ]);
            }
            table
        })
    }
}
