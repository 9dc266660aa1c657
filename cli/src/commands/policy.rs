//! `petsem policy`.

mod test;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use petsem_api::{PolicyDocument, PutPolicy, UniqueJson};

use crate::answered::Answered;
use crate::context::{AppArgument, Connection};
use crate::failure::Failure;
use crate::remote::Remote;
use crate::{messages, output, value_source};

/// Largest policy file.
const MAX_POLICY: usize = 256 * 1024;

pub(crate) use test::Tested;

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

    /// Change nothing unless the policy stands at this version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,

    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub(crate) struct Show {
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Common {
    #[command(flatten)]
    app: AppArgument,

    /// Print the server's answer as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
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
        let bytes = value_source::public_file_or_stdin(&self.file, MAX_POLICY)?;
        let UniqueJson(policy) =
            serde_json::from_slice(&bytes).map_err(|error| messages::not_json(&self.file, &error))?;
        let resolved = self.common.connection.resolve()?;
        let app = resolved.app(&self.common.app)?;
        let request = PutPolicy { policy, expected_version: self.if_version };
        let answer: Answered<PolicyDocument> =
            Remote::open(&resolved)?.put(&format!("/v1/apps/{app}/policy"), &request)?;
        answer.confirm(self.common.json, |set| messages::policy_set(&app, set.version))
    }
}

impl Show {
    fn run(self) -> Result<(), Failure> {
        let resolved = self.common.connection.resolve()?;
        let app = resolved.app(&self.common.app)?;
        let answer: PolicyDocument = Remote::open(&resolved)?.get(&format!("/v1/apps/{app}/policy"))?;
        // Rules are JSON in either form; what `show` prints is what `set` takes.
        if self.common.json {
            output::confirm(true, &answer, "")
        } else {
            output::confirm(true, &answer.policy, "")
        }
    }
}
