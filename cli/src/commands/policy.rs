//! `petsem policy`.

mod test;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use petsem_api::{PolicyDocument, PutPolicy, UniqueJson};

use crate::arguments::AppArguments;
use crate::change_outcome::ChangeOutcome;
use crate::failure::Failure;
use crate::{messages, output, value_source};

#[derive(Subcommand)]
pub(crate) enum Policy {
    /// Replace an app's policy
    Set(Set),
    /// Show an app's policy
    Show(Show),
    Test(test::Test),
}

#[derive(Args)]
pub(crate) struct Set {
    /// The policy as JSON, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Change nothing unless the policy is at this version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,

    #[command(flatten)]
    common: AppArguments,
}

#[derive(Args)]
pub(crate) struct Show {
    #[command(flatten)]
    common: AppArguments,
}

impl Policy {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Set(set) => set.run(),
            Self::Show(show) => show.run(),
            Self::Test(test) => test.run(),
        }
    }
}

impl Set {
    fn run(self) -> Result<(), Failure> {
        let bytes = value_source::public_text_or_stdin(&self.file, test::MAX_POLICY)?;
        let UniqueJson(policy) =
            serde_json::from_slice(&bytes).map_err(|error| messages::not_json(&self.file, &error))?;
        let (remote, app) = self.common.open()?;
        let request = PutPolicy { policy, expected_version: self.if_version };
        let answer: ChangeOutcome<PolicyDocument> =
            remote.put(&format!("/v1/apps/{app}/policy"), &request)?;
        answer.confirm(self.common.json(), |set| messages::policy_set(&app, set.version))
    }
}

impl Show {
    fn run(self) -> Result<(), Failure> {
        let (remote, app) = self.common.open()?;
        let answer: PolicyDocument = remote.get(&format!("/v1/apps/{app}/policy"))?;
        // Rules are JSON in either case; `set` takes what `show` prints.
        if self.common.json() {
            output::confirm(true, &answer, "")
        } else {
            output::confirm(true, &answer.policy, "")
        }
    }
}
