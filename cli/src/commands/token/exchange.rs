//! `petsem token exchange`.

use std::path::PathBuf;

use clap::Args;
use petsem_client::{Client, Endpoint};
use zeroize::Zeroizing;

use super::destination::Destination;
use crate::context::{AppArgument, Connection};
use crate::failure::Failure;
use crate::{jwt, messages, remote};

/// Exchange a JWT for a token that reads one app's secrets until the JWT expires
///
/// The token reads what the first rule of the app's policy that accepts the JWT allows. It stops working when that rule
/// is removed, or the JWT or its subject is revoked. `petsem token attenuate` narrows it, `petsem run --exchanged FILE`
/// uses it. Without --out, it is written to standard output, unless that is a terminal.
#[derive(Args)]
pub(crate) struct ExchangeJwt {
    #[command(flatten)]
    app: AppArgument,

    /// The file with the JWT, or - for standard input [default: signed by the development issuer]
    #[arg(long, value_name = "FILE", env = "PETSEM_JWT_FILE", hide_env_values = true)]
    jwt_file: Option<PathBuf>,

    #[command(flatten)]
    destination: Destination,

    #[command(flatten)]
    connection: Connection,
}

impl ExchangeJwt {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let destination = self.destination.open()?;
        let resolved = self.connection.resolve()?;
        let app = resolved.app(&self.app)?;
        let endpoint: Endpoint = resolved.endpoint.parse()?;
        let jwt = jwt::for_workload(self.jwt_file.as_deref(), &resolved)?;
        let client = Client::builder(vec![endpoint]).build();
        let mut exchanged = remote::wait_for(client.exchange(&app, &jwt))??;
        let token = Zeroizing::new(std::mem::take(&mut exchanged.access_token));
        destination.write(&token, &messages::jwt_exchanged(&app, exchanged.expires_in))?;
        self.destination.file().iter().for_each(|file| resolved.note_use_of(file));
        Ok(())
    }
}
