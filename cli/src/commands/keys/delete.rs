//! `petsem keys delete`.

use clap::Args;
use petsem_api::Deleted;

use super::label;
use crate::arguments::AppArguments;
use crate::confirmation::Confirmation;
use crate::failure::Failure;
use crate::{messages, output};

/// Delete one key; what it encrypted can never be decrypted again
#[derive(Args)]
pub(crate) struct Delete {
    /// The key's complete label, with its version
    label: String,

    #[command(flatten)]
    confirmation: Confirmation,

    #[command(flatten)]
    common: AppArguments,
}

impl Delete {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let label = label::parse(&self.label)?;
        let (remote, app) = self.common.open()?;
        self.confirmation.require(&messages::key_deletion(&label), label.as_str())?;
        let answer: Deleted = remote.delete(&format!("/v1/apps/{app}/secretkeys/{label}"))?;
        output::confirm(self.common.json(), &answer, &messages::key_deleted(&label, &app, answer.version))
    }
}
