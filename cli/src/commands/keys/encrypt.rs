//! `petsem keys encrypt`.

use clap::Args;
use petsem_api::{EncryptRequest, EncryptResponse};

use super::data::{AssociatedData, Encoding, Input, Output};
use super::label;
use crate::arguments::AppConnection;
use crate::failure::Failure;

/// Encrypt a file or standard input
#[derive(Args)]
pub(crate) struct Encrypt {
    /// The key's label; without a version, the newest is used
    label: String,

    #[command(flatten)]
    input: Input,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    associated_data: AssociatedData,

    #[command(flatten)]
    encoding: Encoding,

    #[command(flatten)]
    app: AppConnection,
}

impl Encrypt {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let label = label::parse(&self.label)?;
        // Before the token, so that a plaintext is never taken for one.
        let request = EncryptRequest {
            plaintext: self.input.plaintext()?,
            associated_data: self.associated_data.read()?,
        };
        let (remote, app) = self.app.open()?;
        let output = self.output.open(self.encoding.base64)?;
        let answer: EncryptResponse = label::post(&remote, &app, &label, "encrypt", &request)?;
        output.write(&answer.ciphertext, self.encoding.base64)
    }
}
