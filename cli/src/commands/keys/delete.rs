//! `petsem keys delete`.

use clap::Args;
use petsem_api::Deleted;

use super::label;
use crate::commands::secrets::Common;
use crate::failure::Failure;
use crate::{messages, output};

/// Delete one key; what it encrypted stays closed for ever
#[derive(Args)]
pub(crate) struct Delete {
    /// The key's whole label, with its version
    label: String,

    #[command(flatten)]
    common: Common,
}

impl Delete {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let label = label::parse(&self.label)?;
        let (remote, app) = self.common.open()?;
        let answer: Deleted = remote.delete(&format!("/v1/apps/{app}/secretkeys/{label}"))?;
        output::confirm(self.common.json, &answer, &messages::key_deleted(&label, &app, answer.version))
    }
}
