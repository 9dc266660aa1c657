//! `petsem app`.

use clap::{Args, Subcommand};
use petsem_api::{AppId, AppList, AppName, AppRef, AppSettings, CreateApp, DeletedApp, OrgRef};

use crate::arguments::ServerArguments;
use crate::duration::Seconds;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::remote::Remote;
use crate::{messages, value_source};

#[derive(Subcommand)]
pub(crate) enum App {
    /// Create an app
    Create(Create),
    /// List an org's apps
    List(List),
    /// Delete an app and destroy its keys, irreversibly; on a terminal its name must be typed again
    Delete(Delete),
}

#[derive(Args)]
pub(crate) struct Create {
    /// Its name: a label for people, unique in the installation
    name: AppName,

    /// The org that owns it, by name or id [default: the context file's]
    #[arg(long, value_name = "ORG")]
    org: Option<OrgRef>,

    /// How long a host may boot a Machine again without a new proof, such as 24h [default: 24h]
    #[arg(long, value_name = "DURATION", conflicts_with = "no_renewal")]
    renewal_life: Option<Seconds>,

    /// Require a new proof for every boot
    #[arg(long)]
    no_renewal: bool,

    /// How many values of each secret to keep, including the current one [default: 20]
    #[arg(long, value_name = "COUNT")]
    history: Option<u32>,

    #[command(flatten)]
    common: ServerArguments,
}

#[derive(Args)]
pub(crate) struct List {
    /// The org, by name or id [default: the context file's]
    #[arg(long, value_name = "ORG")]
    org: Option<OrgRef>,

    #[command(flatten)]
    common: ServerArguments,
}

#[derive(Args)]
pub(crate) struct Delete {
    /// The app, by name or id
    app: AppRef,

    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    common: ServerArguments,
}

impl App {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(),
            Self::List(list) => list.run(),
            Self::Delete(delete) => delete.run(),
        }
    }
}

impl Create {
    fn run(self) -> Result<(), Failure> {
        let resolved = self.common.connection.resolve()?;
        let mut settings = AppSettings::default();
        if let Some(life) = self.renewal_life {
            settings.renewal_life = life.0;
        }
        if self.no_renewal {
            settings.renewal_life = 0;
        }
        if let Some(history) = self.history {
            settings.history = history;
        }
        let request = CreateApp { org: resolved.org(self.org.as_ref())?, name: self.name, settings };
        let app: petsem_api::App = Remote::open(&resolved)?.post("/v1/apps", &request)?;
        output::confirm(self.common.json, &app, &messages::app_created(&app))
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let resolved = self.common.connection.resolve()?;
        let org = resolved.org(self.org.as_ref())?;
        let answer = all_pages(&Remote::open(&resolved)?, &org)?;
        output::answer(self.common.json, &answer, |answer| {
            let mut table = Table::new(&["NAME", "ID", "VERSION", "CREATED"]);
            for app in &answer.apps {
                table.row([
                    app.name.to_string(),
                    app.id.to_string(),
                    app.version.to_string(),
                    app.created_at.clone(),
                ]);
            }
            table
        })
    }
}

fn all_pages(remote: &Remote, org: &OrgRef) -> Result<AppList, Failure> {
    let mut all = AppList { apps: Vec::new(), next: None };
    let mut after: Option<AppId> = None;
    loop {
        let page = after.map_or(String::new(), |after| format!("&after={after}"));
        let mut answer: AppList = remote.get(&format!("/v1/apps?org={org}{page}"))?;
        all.apps.append(&mut answer.apps);
        match answer.next {
            // Ids ascend: a server that goes back would cause an endless loop.
            Some(next) if after.is_none_or(|after| next > after) => after = Some(next),
            _ => return Ok(all),
        }
    }
}

impl Delete {
    fn run(self) -> Result<(), Failure> {
        let remote = self.common.remote()?;
        // A script states its intent by running; on a terminal one wrong word would be final.
        if !self.yes
            && !value_source::confirmed_by_typing(&self.app.to_string(), messages::confirm_app_deletion)?
        {
            return Err(messages::app_not_deleted());
        }
        let answer: DeletedApp = remote.delete(&format!("/v1/apps/{}", self.app))?;
        output::confirm(self.common.json, &answer, &messages::app_deleted(&self.app, &answer))
    }
}
