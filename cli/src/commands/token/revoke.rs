//! `petsem token revoke`.

use clap::Args;
use petsem_api::{AppRef, HostId, MachineId, RevokeRequest, Revoked, TokenUuid};

use crate::context::Connection;
use crate::failure::Failure;
use crate::remote::Remote;
use crate::{messages, output};

/// Revoke a token, a Machine or a host
///
/// With a token all that descend from it are revoked; a revoked Machine boots nowhere, and on a revoked host
/// nothing boots.
#[derive(Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["id", "machine", "host"])))]
pub(crate) struct Revoke {
    /// The token's id, as `petsem token list` and `inspect` show it
    #[arg(value_name = "TOKEN_ID")]
    id: Option<TokenUuid>,

    /// Revoke this Machine of --app
    #[arg(long, value_name = "MACHINE", requires = "app")]
    machine: Option<MachineId>,

    /// The Machine's app, by name or id
    #[arg(long, value_name = "APP", requires = "machine")]
    app: Option<AppRef>,

    /// Revoke this host
    #[arg(long, value_name = "HOST")]
    host: Option<HostId>,

    /// Print the server's answer as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

impl Revoke {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let request = match (self.id, self.machine, self.app, self.host) {
            (Some(id), _, _, _) => RevokeRequest::Token { id },
            (_, Some(machine), Some(app), _) => RevokeRequest::Machine { app, machine },
            (_, _, _, Some(host)) => RevokeRequest::Host { host },
            _ => return Err(messages::nothing_to_revoke()),
        };
        let answer: Revoked = Remote::open(&self.connection.resolve()?)?.post("/v1/revocations", &request)?;
        output::confirm(self.json, &answer, &messages::revoked(&request, &answer))
    }
}
