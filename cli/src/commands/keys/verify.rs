//! `petsem keys verify`.

use std::path::PathBuf;

use clap::Args;
use petsem_api::VerifyRequest;

use super::data::{self, Form, Input};
use super::label;
use crate::commands::secrets::Target;
use crate::failure::Failure;
use crate::{messages, output};

/// Check a signature; ends with 0 only if it is good
#[derive(Args)]
pub(crate) struct Verify {
    /// The key's label, with the version that signed; without one the newest is used
    label: String,

    #[command(flatten)]
    input: Input,

    /// The file with the signature
    #[arg(long, value_name = "FILE")]
    signature: PathBuf,

    #[command(flatten)]
    form: Form,

    #[command(flatten)]
    target: Target,
}

impl Verify {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let label = label::parse(&self.label)?;
        let (remote, app) = self.target.open()?;
        let request = VerifyRequest {
            signature: data::public(&self.signature, self.form.base64)?,
            plaintext: self.input.message()?,
        };
        let () = label::post(&remote, &app, &label, "verify", &request)?;
        output::line(messages::GOOD_SIGNATURE)
    }
}
