//! `petsem keys sign`.

use clap::Args;
use petsem_api::{SignRequest, SignResponse};

use super::data::{Form, Input, Output};
use super::label;
use crate::commands::secrets::Target;
use crate::failure::Failure;

/// Sign a file, or what comes on standard input
#[derive(Args)]
pub(crate) struct Sign {
    /// The key's label; without a version the newest one is used
    label: String,

    #[command(flatten)]
    input: Input,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    form: Form,

    #[command(flatten)]
    target: Target,
}

impl Sign {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let label = label::parse(&self.label)?;
        let (remote, app) = self.target.open()?;
        let output = self.output.open(self.form.base64)?;
        let request = SignRequest { plaintext: self.input.message()? };
        let answer: SignResponse = label::post(&remote, &app, &label, "sign", &request)?;
        output.write(&answer.signature, self.form.base64)
    }
}
