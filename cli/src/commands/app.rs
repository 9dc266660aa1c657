//! `petsem app`.

use clap::{Args, Subcommand};
use petsem_api::{
    AppId, AppList, AppName, AppRef, AppSettings, ChangeAppSettings, CreateApp, DeletedApp, OrgRef,
};

use crate::arguments::{ServerArguments, secret_names};
use crate::change_outcome::ChangeOutcome;
use crate::confirmation::Confirmation;
use crate::duration::Seconds;
use crate::failure::Failure;
use crate::messages;
use crate::output::{self, Table};
use crate::remote::Remote;

#[derive(Subcommand)]
pub(crate) enum App {
    /// Create an app
    Create(Create),
    /// List an org's apps
    List(List),
    /// Show an app and its settings
    Show(Show),
    /// Change settings of an app
    Set(Set),
    /// Delete an app and destroy its keys, irreversibly; its name must be typed again, or --yes given
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

    /// Let secrets have this name, though programs obey it; may be repeated
    #[arg(long = "allow-reserved-name", value_name = "NAME")]
    allow: Vec<String>,

    #[command(flatten)]
    common: ServerArguments,
}

#[derive(Args)]
pub(crate) struct Show {
    /// The app, by name or id
    app: AppRef,

    #[command(flatten)]
    common: ServerArguments,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub(crate) struct Set {
    /// The app, by name or id
    app: AppRef,

    /// How long a host may boot a Machine again without a new proof, such as 24h
    #[arg(long, value_name = "DURATION", group = "change", conflicts_with = "no_renewal")]
    renewal_life: Option<Seconds>,

    /// Require a new proof for every boot
    #[arg(long, group = "change")]
    no_renewal: bool,

    /// How many values of each secret to keep, including the current one
    #[arg(long, value_name = "COUNT", group = "change")]
    history: Option<u32>,

    /// Let secrets have this name, and environments carry it, though programs obey it; may be repeated
    #[arg(long = "allow-reserved-name", value_name = "NAME", group = "change")]
    allow: Vec<String>,

    /// No longer allow this name: environments leave it out from now on; may be repeated
    #[arg(long = "withdraw-reserved-name", value_name = "NAME", group = "change")]
    withdraw: Vec<String>,

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

    #[command(flatten)]
    confirmation: Confirmation,

    #[command(flatten)]
    common: ServerArguments,
}

impl App {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(),
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Set(set) => set.run(),
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
        settings.allowed_reserved_names = secret_names(&self.allow)?;
        let request = CreateApp::new(resolved.org(self.org.as_ref())?, self.name, settings);
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
            let mut table = Table::new(&["NAME", "ID", "APP VERSION", "CREATED"]);
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

impl Show {
    fn run(self) -> Result<(), Failure> {
        let app: petsem_api::App = self.common.remote()?.get(&format!("/v1/apps/{}", self.app))?;
        output::answer(self.common.json, &app, |app| {
            let AppSettings { renewal_life, history, allowed_reserved_names } = &app.settings;
            let allowed: Vec<_> = allowed_reserved_names.iter().map(ToString::to_string).collect();
            let mut table = Table::new(&[
                "NAME",
                "ID",
                "APP VERSION",
                "RENEWALS LIVE (S)",
                "VALUES KEPT",
                "RESERVED NAMES",
            ]);
            table.row([
                app.name.to_string(),
                app.id.to_string(),
                app.version.to_string(),
                renewal_life.to_string(),
                history.to_string(),
                allowed.join(" "),
            ]);
            table
        })
    }
}

impl Set {
    fn run(self) -> Result<(), Failure> {
        let request = ChangeAppSettings {
            renewal_life: self.renewal_life.map(|life| life.0).or(self.no_renewal.then_some(0)),
            history: self.history,
            allow_reserved_names: secret_names(&self.allow)?,
            withdraw_reserved_names: secret_names(&self.withdraw)?,
        };
        let path = format!("/v1/apps/{}/settings", self.app);
        let answer: ChangeOutcome<petsem_api::App> = self.common.remote()?.patch(&path, &request)?;
        answer.confirm(self.common.json, messages::settings_changed)?;
        answer.finished()
    }
}

impl Delete {
    fn run(self) -> Result<(), Failure> {
        let remote = self.common.remote()?;
        self.confirmation.require(&messages::app_deletion(&self.app), &self.app.to_string())?;
        let answer: DeletedApp = remote.delete(&format!("/v1/apps/{}", self.app))?;
        output::confirm(self.common.json, &answer, &messages::app_deleted(&self.app, &answer))
    }
}
