//! `petsem secrets import`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use petsem_api::{BulkUpdate, BulkUpdateResponse, MAX_BUNDLE};

use crate::arguments::{AppArguments, IfVersion};
use crate::dotenv::Dollar;
use crate::failure::Failure;
use crate::output::Table;
use crate::{dotenv, messages, output, value_source};

/// Largest file: the values of a full bundle, with room for quotes and comments.
const MAX_FILE: usize = 4 * MAX_BUNDLE;

/// Set every variable of a .env file, all or none
///
/// The file may have comments, `export`, single and double quotes, values of several lines, and CRLF. In double quotes
/// \n \r \t \" \\ \$ are escapes; single quotes have none. Nothing is expanded: what other programs would expand is
/// refused. If a line is invalid, its number is reported and nothing is imported.
#[derive(Args)]
pub(crate) struct Import {
    /// The file, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Only read the file and print the names that it would set
    #[arg(long)]
    dry_run: bool,

    /// Outside single quotes, too, take $NAME, ${NAME}, $(COMMAND), $$ and a backslash at the end of a line as they are
    #[arg(long)]
    literal: bool,

    #[command(flatten)]
    condition: IfVersion,

    #[command(flatten)]
    common: AppArguments,
}

impl Import {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let bytes = value_source::file_or_stdin(&self.file, MAX_FILE)?;
        let dollar = if self.literal { Dollar::Literal } else { Dollar::Refused };
        let dotenv =
            dotenv::parse(&bytes, dollar).map_err(|error| messages::dotenv_refused(&self.file, &error))?;
        drop(bytes);
        if dotenv.entries.is_empty() {
            return Err(messages::dotenv_empty(&self.file));
        }
        if self.dry_run {
            let names: Vec<_> = dotenv.entries.into_iter().map(|(name, _)| name).collect();
            return output::answer(self.common.json(), &names, |names| {
                let mut table = Table::new(&["NAME"]);
                for name in names {
                    table.row([name.to_string()]);
                }
                table
            });
        }
        let (remote, app) = self.common.open()?;
        let values: BTreeMap<_, _> =
            dotenv.entries.into_iter().map(|(name, value)| (name, Some(value))).collect();
        let request = BulkUpdate { values, expected_version: self.condition.if_version };
        let answer: BulkUpdateResponse = remote.post(&format!("/v1/apps/{app}/secrets"), &request)?;
        messages::secret_warnings(&answer.secrets).iter().for_each(|note| output::notice(note));
        let text = messages::secrets_imported(answer.secrets.len(), &app, answer.version);
        output::confirm(self.common.json(), &answer, &text)
    }
}
