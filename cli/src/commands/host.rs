//! `petsem host`: the hosts that boot Machines.

use clap::{Args, Subcommand};
use petsem_api::{Approval, EnrollmentRequest, HostId};

use crate::arguments::ServerArguments;
use crate::failure::Failure;
use crate::{messages, output};

#[derive(Subcommand)]
pub(crate) enum Host {
    /// Request to mint the tokens of hosts; a second person approves it
    ///
    /// For a day from the request, once it is approved, `petsem token create --kind host --host HOST` mints them.
    Enroll(Enroll),
}

#[derive(Args)]
pub(crate) struct Enroll {
    /// The hosts
    #[arg(value_name = "HOST", required = true)]
    hosts: Vec<HostId>,

    /// The reason, for the approver and the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,

    #[command(flatten)]
    common: ServerArguments,
}

impl Host {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Enroll(enroll) => enroll.run(),
        }
    }
}

impl Enroll {
    fn run(self) -> Result<(), Failure> {
        let request = EnrollmentRequest { hosts: self.hosts, reason: self.reason };
        let approval: Approval = self.common.remote()?.post("/v1/enrollments", &request)?;
        output::confirm(self.common.json, &approval, &messages::awaits_approval(&approval))
    }
}
