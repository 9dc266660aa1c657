//! `petsem keys generate`.

use clap::Args;
use petsem_api::{GenerateSecretKey, SecretKeyType, SetSecretKeyResponse};

use super::label::NewLabel;
use crate::arguments::AppArguments;
use crate::failure::Failure;
use crate::{messages, output};

/// Generate a key that is never shown
#[derive(Args)]
pub(crate) struct Generate {
    #[command(flatten)]
    label: NewLabel,

    /// hs256, hs384, hs512, nacl_auth, nacl_sign or es256 to sign; xaes256gcm, nacl_secretbox or nacl_box to
    /// encrypt
    #[arg(long = "type", value_name = "TYPE")]
    kind: SecretKeyType,

    #[command(flatten)]
    common: AppArguments,
}

impl Generate {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (remote, app) = self.common.open()?;
        let label = self.label.resolve(&remote, &app)?;
        let path = format!("/v1/apps/{app}/secretkeys/{label}/generate");
        let request = GenerateSecretKey { kind: self.kind, value: None };
        let answer: SetSecretKeyResponse = remote.post(&path, &request)?;
        output::confirm(self.common.json(), &answer, &messages::key_created(&answer, &app))
    }
}
