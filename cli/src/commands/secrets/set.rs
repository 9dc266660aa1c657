//! `petsem secrets set`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use petsem_api::{SetSecret, SetSecretResponse};

use crate::arguments::{AppArguments, IfVersion, secret_name};
use crate::failure::Failure;
use crate::{messages, output, value_source};

/// Set one secret
///
/// Without --file or --stdin, it prompts for the value, without echo.
#[derive(Args)]
pub(crate) struct Set {
    /// The secret's name
    name: String,

    /// Catches a value given as an argument, to explain why it is refused.
    #[arg(hide = true)]
    misplaced: Vec<OsString>,

    /// Use the bytes of this file as the value
    #[arg(long, value_name = "FILE", conflicts_with = "stdin")]
    file: Option<PathBuf>,

    /// Use the bytes of standard input as the value
    #[arg(long)]
    stdin: bool,

    /// Remove one newline from the end of the file or input
    #[arg(long)]
    trim_newline: bool,

    #[command(flatten)]
    condition: IfVersion,

    #[command(flatten)]
    common: AppArguments,
}

impl Set {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if !self.misplaced.is_empty() {
            return Err(messages::value_in_argument());
        }
        let name = secret_name(&self.name)?;
        // Before the token, so that a value is never taken for one.
        let given = match &self.file {
            Some(path) => Some(self.trimmed(value_source::value_from_file(path)?)),
            None if self.stdin => Some(self.trimmed(value_source::value_from_stdin()?)),
            None => None,
        };
        let (remote, app) = self.common.open()?;
        let value = match given {
            Some(value) => value,
            None => value_source::value_from_prompt(&messages::value_prompt(&name))?,
        };
        let request = SetSecret { value, expected_version: self.condition.if_version };
        let answer: SetSecretResponse = remote.post(&format!("/v1/apps/{app}/secrets/{name}"), &request)?;
        messages::secret_warnings([&answer.secret]).iter().for_each(|note| output::notice(note));
        output::confirm(self.common.json(), &answer, &messages::secret_set(&name, &app, answer.version))
    }

    fn trimmed(&self, value: petsem_api::Value) -> petsem_api::Value {
        let value = match value.expose_bytes() {
            [text @ .., b'\n'] if self.trim_newline => {
                let text = text.strip_suffix(b"\r").unwrap_or(text);
                petsem_api::Value::new(text.to_vec())
            }
            _ => value,
        };
        match value.expose_bytes() {
            // As after a failed command in a pipe.
            [] => output::notice(messages::VALUE_IS_EMPTY),
            [.., b'\n'] if !self.trim_newline => output::notice(messages::VALUE_ENDS_WITH_NEWLINE),
            _ => {}
        }
        value
    }
}
