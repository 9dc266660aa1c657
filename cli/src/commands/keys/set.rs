//! `petsem keys set`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use petsem_api::{SecretKeyType, SetSecretKey, SetSecretKeyResponse};

use super::data;
use super::label::NewLabel;
use crate::arguments::AppArguments;
use crate::failure::Failure;
use crate::{messages, output, private_file};

/// Import a key of your own
///
/// The file has the raw key: 32 bytes for most types, see docs/formats.md.
#[derive(Args)]
pub(crate) struct Set {
    #[command(flatten)]
    label: NewLabel,

    /// Catches a value given as an argument, to explain why it is refused.
    #[arg(hide = true)]
    misplaced: Vec<OsString>,

    /// The key's type, as for `petsem keys generate`
    #[arg(long = "type", value_name = "TYPE")]
    kind: SecretKeyType,

    /// Use the bytes of this file as the key
    #[arg(long, value_name = "FILE", conflicts_with = "stdin", required_unless_present = "stdin")]
    file: Option<PathBuf>,

    /// Use the bytes of standard input as the key
    #[arg(long)]
    stdin: bool,

    /// The key is base64 text, not bytes
    #[arg(long)]
    base64: bool,

    #[command(flatten)]
    common: AppArguments,
}

impl Set {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if !self.misplaced.is_empty() {
            return Err(messages::value_in_argument());
        }
        let (remote, app) = self.common.open()?;
        let label = self.label.resolve(&remote, &app)?;
        let from = self.file.unwrap_or_else(|| private_file::STDIN.into());
        let request = SetSecretKey { kind: self.kind, value: data::secret(&from, self.base64)? };
        let answer: SetSecretKeyResponse =
            remote.post(&format!("/v1/apps/{app}/secretkeys/{label}"), &request)?;
        output::confirm(self.common.json(), &answer, &messages::key_created(&answer, &app))
    }
}
