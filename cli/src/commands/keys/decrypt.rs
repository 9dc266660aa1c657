//! `petsem keys decrypt`.

use clap::Args;
use petsem_api::{DecryptRequest, DecryptResponse};

use super::data::{AssociatedData, Form, Input, Output};
use super::label;
use crate::commands::secrets::Target;
use crate::failure::Failure;

/// Decrypt a file, or what comes on standard input
#[derive(Args)]
pub(crate) struct Decrypt {
    /// The key's label, with the version that encrypted; without one the newest is used
    label: String,

    #[command(flatten)]
    input: Input,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    associated_data: AssociatedData,

    #[command(flatten)]
    form: Form,

    #[command(flatten)]
    target: Target,
}

impl Decrypt {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let label = label::parse(&self.label)?;
        let (remote, app) = self.target.open()?;
        // What comes out is bytes, and may be a secret.
        let output = self.output.open(false)?;
        let request = DecryptRequest {
            ciphertext: self.input.ciphertext(self.form.base64)?,
            associated_data: self.associated_data.read()?,
        };
        let answer: DecryptResponse = label::post(&remote, &app, &label, "decrypt", &request)?;
        output.write(&answer.plaintext, false)
    }
}
