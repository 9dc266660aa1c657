//! `petsem secrets list`.

use clap::Args;
use petsem_api::{AppRef, SecretList, Value};

use crate::arguments::AppArguments;
use crate::failure::Failure;
use crate::messages;
use crate::output::{self, Table};
use crate::remote::Remote;

/// List names, digests, versions and authors
#[derive(Args)]
pub(crate) struct List {
    /// Show the values, with a token that a second person approved (`petsem break-glass`)
    #[arg(long)]
    show: bool,

    #[command(flatten)]
    common: AppArguments,
}

impl List {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (remote, app) = self.common.open()?;
        if self.show {
            return show(&remote, &app, self.common.json());
        }
        let answer: SecretList = remote.get(&format!("/v1/apps/{app}/secrets"))?;
        messages::secret_warnings(&answer.secrets).iter().for_each(|note| output::notice(note));
        output::answer(self.common.json(), &answer, |answer| {
            let mut table = Table::new(&["NAME", "DIGEST", "VERSION", "UPDATED", "AUTHOR"]);
            for secret in &answer.secrets {
                table.row([
                    secret.name.to_string(),
                    secret.digest.to_string(),
                    secret.set_in_version.to_string(),
                    secret.updated_at.clone(),
                    secret.author.clone(),
                ]);
            }
            table
        })
    }
}

fn show(remote: &Remote, app: &AppRef, json: bool) -> Result<(), Failure> {
    let answer: SecretList = remote.get(&format!("/v1/apps/{app}/secrets?show_secrets=true"))?;
    output::answer(json, &answer, |answer| {
        let mut table = Table::new(&["NAME", "VALUE"]);
        for secret in &answer.secrets {
            let field = secret.value.as_ref().map(Value::expose_wire);
            let printable = field.as_ref().map_or("", |field| field.expose().1);
            table.row([secret.name.to_string(), printable.to_owned()]);
        }
        table
    })
}
