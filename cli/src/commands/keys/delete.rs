//! `petsem keys delete`.

use clap::Args;
use petsem_api::Deleted;

use super::label;
use crate::arguments::AppArguments;
use crate::failure::Failure;
use crate::{messages, output, value_source};

/// Delete one key; what it encrypted can never be decrypted again
#[derive(Args)]
pub(crate) struct Delete {
    /// The key's complete label, with its version
    label: String,

    /// Delete it without a confirmation on the terminal
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    common: AppArguments,
}

impl Delete {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let label = label::parse(&self.label)?;
        let (remote, app) = self.common.open()?;
        // As with an app: a script states its intent by running.
        if !self.yes && !value_source::confirmed_by_typing(label.as_str(), messages::confirm_key_deletion)? {
            return Err(messages::key_not_deleted());
        }
        let answer: Deleted = remote.delete(&format!("/v1/apps/{app}/secretkeys/{label}"))?;
        output::confirm(self.common.json(), &answer, &messages::key_deleted(&label, &app, answer.version))
    }
}
