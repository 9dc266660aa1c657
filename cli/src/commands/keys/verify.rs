//! `petsem keys verify`.

use std::path::PathBuf;

use clap::Args;
use petsem_api::VerifyRequest;

use super::data::{self, Encoding, Input};
use super::label;
use crate::arguments::AppConnection;
use crate::failure::Failure;
use crate::{messages, output};

/// Check a signature; exits with 0 only if it is valid
#[derive(Args)]
pub(crate) struct Verify {
    /// The key's label, with the version that signed; without a version, the newest is used
    label: String,

    #[command(flatten)]
    input: Input,

    /// The file with the signature
    #[arg(long, value_name = "FILE")]
    signature: PathBuf,

    #[command(flatten)]
    encoding: Encoding,

    #[command(flatten)]
    app: AppConnection,
}

impl Verify {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let label = label::parse(&self.label)?;
        let (remote, app) = self.app.open()?;
        let request = VerifyRequest {
            signature: data::public(&self.signature, self.encoding.base64)?,
            plaintext: self.input.message()?,
        };
        let () = label::post(&remote, &app, &label, "verify", &request)?;
        output::line(messages::VALID_SIGNATURE)
    }
}
