//! `petsem secrets rollback`.

use clap::Args;
use petsem_api::{RollbackRequest, SetSecretResponse};

use crate::arguments::{AppArguments, IfVersion, secret_name};
use crate::failure::Failure;
use crate::{messages, output};

/// Set a secret to an earlier value
///
/// The value is the one that the app had at --to-version; `petsem secrets history` lists the versions. This creates a
/// new version, so nothing is lost.
#[derive(Args)]
pub(crate) struct Rollback {
    /// The secret's name
    name: String,

    /// The app version that set the value
    #[arg(long, value_name = "VERSION")]
    to_version: u64,

    #[command(flatten)]
    condition: IfVersion,

    #[command(flatten)]
    common: AppArguments,
}

impl Rollback {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let name = secret_name(&self.name)?;
        let (remote, app) = self.common.open()?;
        let request =
            RollbackRequest { to_version: self.to_version, expected_version: self.condition.if_version };
        let path = format!("/v1/apps/{app}/secrets/{name}/rollback");
        let answer: SetSecretResponse = remote.post(&path, &request)?;
        messages::secret_warnings([&answer.secret]).iter().for_each(|note| output::notice(note));
        let text = messages::secret_rolled_back(&name, &app, self.to_version, answer.version);
        output::confirm(self.common.json(), &answer, &text)
    }
}
