//! `petsem keys decrypt`.

use clap::Args;
use petsem_api::{DecryptRequest, DecryptResponse};

use super::data::{AssociatedData, Encoding, Input, Output};
use super::label;
use crate::arguments::AppConnection;
use crate::failure::Failure;

/// Decrypt a file or standard input
#[derive(Args)]
pub(crate) struct Decrypt {
    /// The label of the key that encrypted, with its version (mailv0); without one, the newest version is used
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

impl Decrypt {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let label = label::parse(&self.label)?;
        let (remote, app) = self.app.open()?;
        // The result is bytes, and may be secret.
        let output = self.output.open(false)?;
        let request = DecryptRequest {
            ciphertext: self.input.ciphertext(self.encoding.base64)?,
            associated_data: self.associated_data.read()?,
        };
        let answer: DecryptResponse = label::post(&remote, &app, &label, "decrypt", &request)?;
        output.write(&answer.plaintext, false)
    }
}
