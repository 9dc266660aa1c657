//! `petsem token attenuate`.

use std::path::PathBuf;

use clap::Args;
use petsem_api::{AppId, AppRef, HostId, MachineId};
use petsem_policy::{
    Action, ActionSet, Actions, Apps, Caveat, Hosts, Macaroon, Machines, SecretNames, UnverifiedToken,
};

use super::{destination::Destination, limits};
use crate::arguments::secret_name;
use crate::context::Connection;
use crate::duration::Seconds;
use crate::failure::Failure;
use crate::remote::Remote;
use crate::{clock, messages, output, private_file, value_source};

/// Narrow a token that you hold; needs no server
///
/// The restrictions are added to those that the token has: the result can never allow more. A server is called only for
/// the id of an app that is given by name.
#[derive(Args)]
pub(crate) struct Attenuate {
    /// The file with the token (mode 0600), or - for standard input
    #[arg(value_name = "TOKEN_FILE", default_value = private_file::STDIN)]
    token: PathBuf,

    /// Only this app; may be repeated. A name is looked up at the server, an id is not
    #[arg(long = "app", value_name = "APP")]
    apps: Vec<AppRef>,

    /// Only this secret; may be repeated
    #[arg(long = "secret", value_name = "NAME")]
    secrets: Vec<String>,

    /// Only secrets whose names start with this prefix; may be repeated
    #[arg(long = "secret-prefix", value_name = "PREFIX")]
    secret_prefixes: Vec<String>,

    /// Only this action; may be repeated
    #[arg(long = "action", value_name = "ACTION")]
    actions: Vec<String>,

    /// Only this Machine; may be repeated
    #[arg(long = "machine", value_name = "MACHINE")]
    machines: Vec<MachineId>,

    /// Only from this host; may be repeated
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<HostId>,

    /// Expire after this time, such as 15m, 24h or 30d
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<Seconds>,

    #[command(flatten)]
    destination: Destination,

    #[command(flatten)]
    connection: Connection,
}

impl Attenuate {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let destination = self.destination.open()?;
        let caveats = self.caveats()?;
        if caveats.is_empty() {
            return Err(messages::nothing_narrows());
        }
        let text = value_source::token(&self.token)?;
        let token = UnverifiedToken::parse(value_source::without_scheme(&text))
            .map_err(|error| messages::not_a_token(&self.token, &error))?;
        let narrowed = Macaroon::from_token(&token)
            .and_then(|mut macaroon| macaroon.add(caveats).map(|()| macaroon))
            .map_err(|error| messages::cannot_narrow(&error))?;
        let text = narrowed.to_text();
        if let Ok(token) = UnverifiedToken::parse(&text) {
            let now = i64::try_from(clock::unix_now()).unwrap_or(i64::MAX);
            let life = self.expires_in.map(|life| i64::try_from(life.0).unwrap_or(i64::MAX));
            let wanted_end = life.map(|life| now.saturating_add(life));
            limits::notes(&token, wanted_end, now).iter().for_each(|note| output::notice(note));
        }
        destination.write(&text, &messages::token_narrowed(&narrowed.id()))
    }

    fn caveats(&self) -> Result<Vec<Caveat>, Failure> {
        let mut caveats = Vec::new();
        if !self.apps.is_empty() {
            let ids = self.app_ids()?;
            caveats.push(Apps::new(ids.iter().map(|id| *id.as_bytes())).into());
        }
        if !self.secrets.is_empty() || !self.secret_prefixes.is_empty() {
            let exact = self.secrets.iter().map(|name| secret_name(name).map(|name| name.to_string()));
            let exact: Vec<String> = exact.collect::<Result<_, _>>()?;
            for prefix in &self.secret_prefixes {
                secret_name(prefix)?;
            }
            caveats.push(SecretNames::new(exact, self.secret_prefixes.iter().cloned()).into());
        }
        if !self.actions.is_empty() {
            let actions =
                self.actions.iter().map(|name| Action::from_name(name).ok_or_else(messages::unknown_action));
            caveats.push(Actions(actions.collect::<Result<ActionSet, _>>()?).into());
        }
        if !self.machines.is_empty() {
            caveats.push(Machines::new(self.machines.iter().map(ToString::to_string)).into());
        }
        if !self.hosts.is_empty() {
            caveats.push(Hosts::new(self.hosts.iter().map(ToString::to_string)).into());
        }
        if let Some(life) = self.expires_in {
            let end = clock::unix_now().saturating_add(life.0);
            let not_after = i64::try_from(end).map_err(|_| messages::expiry_too_late())?;
            // No start time: the token must work even if this clock is ahead of the server's.
            caveats.push(Caveat::ValidityWindow { not_before: 0, not_after });
        }
        Ok(caveats)
    }

    /// Ids as given; names are resolved by the server.
    fn app_ids(&self) -> Result<Vec<AppId>, Failure> {
        let mut remote = None;
        let mut ids = Vec::new();
        for app in &self.apps {
            ids.push(match app {
                AppRef::Id(id) => *id,
                AppRef::Name(name) => {
                    let remote = match &remote {
                        Some(remote) => remote,
                        None => remote.insert(Remote::open(&self.connection.resolve()?)?),
                    };
                    remote.get::<petsem_api::App>(&format!("/v1/apps/{name}"))?.id
                }
            });
        }
        Ok(ids)
    }
}
