//! `petsem secrets unset`.

use std::collections::BTreeMap;

use clap::Args;
use petsem_api::{BulkUpdate, BulkUpdateResponse};

use crate::arguments::{AppArguments, IfVersion, secret_name};
use crate::failure::Failure;
use crate::{messages, output};

/// Delete secrets, all or none
///
/// Names that do not exist are reported, and do not stop the others.
#[derive(Args)]
pub(crate) struct Unset {
    /// The secrets' names
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    #[command(flatten)]
    condition: IfVersion,

    #[command(flatten)]
    common: AppArguments,
}

impl Unset {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let names = self.names.iter().map(|name| secret_name(name)).collect::<Result<Vec<_>, _>>()?;
        let (remote, app) = self.common.open()?;
        let values: BTreeMap<_, _> = names.into_iter().map(|name| (name, None)).collect();
        let wanted: Vec<_> = values.keys().cloned().collect();
        let request = BulkUpdate { values, expected_version: self.condition.if_version };
        let answer: BulkUpdateResponse = remote.post(&format!("/v1/apps/{app}/secrets"), &request)?;
        messages::no_such_secrets(&answer.not_found, &app).iter().for_each(|note| output::notice(note));
        let deleted: Vec<_> = wanted.iter().filter(|name| !answer.not_found.contains(name)).collect();
        output::confirm(self.common.json(), &answer, &messages::secrets_unset(&deleted, &app, answer.version))
    }
}
