//! `petsem keys sign`.

use clap::Args;
use petsem_api::{SignRequest, SignResponse};

use super::data::{Encoding, Input, Output};
use super::label;
use crate::arguments::AppConnection;
use crate::failure::Failure;

/// Sign a file or standard input
#[derive(Args)]
pub(crate) struct Sign {
    /// The key's label; without a version, the newest is used
    label: String,

    #[command(flatten)]
    input: Input,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    encoding: Encoding,

    #[command(flatten)]
    app: AppConnection,
}

impl Sign {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let label = label::parse(&self.label)?;
        let (remote, app) = self.app.open()?;
        let output = self.output.open(self.encoding.base64)?;
        let request = SignRequest { plaintext: self.input.message()? };
        let answer: SignResponse = label::post(&remote, &app, &label, "sign", &request)?;
        output.write(&answer.signature, self.encoding.base64)
    }
}
