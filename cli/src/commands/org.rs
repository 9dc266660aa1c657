//! `petsem org`.

use clap::{Args, Subcommand};
use petsem_api::{CreateOrg, OrgGuard, OrgList, OrgName, OrgRef};

use crate::arguments::ServerArguments;
use crate::change_outcome::ChangeOutcome;
use crate::failure::Failure;
use crate::messages;
use crate::output::{self, Table};

#[derive(Subcommand)]
pub(crate) enum Org {
    /// Create an org
    Create(Create),
    /// List the orgs that your token may list
    List(List),
    /// Delete an org that has no apps
    Delete(Delete),
    /// Show or change whether an org's policies that allow boots or reads need a second person
    Guard(Guard),
}

#[derive(Args)]
pub(crate) struct Create {
    /// Its name: a label for people, unique in the installation
    name: OrgName,

    #[command(flatten)]
    common: ServerArguments,
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    common: ServerArguments,
}

#[derive(Args)]
pub(crate) struct Delete {
    /// The org, by name or id
    org: OrgRef,

    #[command(flatten)]
    common: ServerArguments,
}

#[derive(Args)]
pub(crate) struct Guard {
    /// The org, by name or id
    org: OrgRef,

    /// Require a second person to approve each policy with rules
    #[arg(long, conflicts_with = "off")]
    on: bool,

    /// Request to end that; a second person must approve
    #[arg(long)]
    off: bool,

    #[command(flatten)]
    common: ServerArguments,
}

impl Org {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(),
            Self::List(list) => list.run(),
            Self::Delete(delete) => delete.run(),
            Self::Guard(guard) => guard.run(),
        }
    }
}

impl Create {
    fn run(self) -> Result<(), Failure> {
        let remote = self.common.remote()?;
        let org: petsem_api::Org = remote.post("/v1/orgs", &CreateOrg { name: self.name })?;
        output::confirm(self.common.json, &org, &messages::org_created(&org))
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let remote = self.common.remote()?;
        let answer: OrgList = remote.get("/v1/orgs")?;
        output::answer(self.common.json, &answer, |answer| {
            let mut table = Table::new(&["NAME", "ID", "CREATED"]);
            for org in &answer.orgs {
                table.row([org.name.to_string(), org.id.to_string(), org.created_at.clone()]);
            }
            table
        })
    }
}

impl Delete {
    fn run(self) -> Result<(), Failure> {
        let remote = self.common.remote()?;
        let answer: serde_json::Value = remote.delete(&format!("/v1/orgs/{}", self.org))?;
        output::confirm(self.common.json, &answer, &messages::org_deleted(&self.org))
    }
}

impl Guard {
    fn run(self) -> Result<(), Failure> {
        let remote = self.common.remote()?;
        let path = format!("/v1/orgs/{}/guard", self.org);
        let answer: ChangeOutcome<OrgGuard> = if self.on || self.off {
            remote.put(&path, &OrgGuard { guard_policies: self.on })?
        } else {
            remote.get(&path)?
        };
        answer.confirm(self.common.json, |guard| messages::org_guarded(&self.org, guard.guard_policies))?;
        answer.finished()
    }
}
