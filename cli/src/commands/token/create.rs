//! `petsem token create`.

use clap::{Args, ValueEnum};
use petsem_api::{AppRef, CreateToken, HostId, MachineId, MintedToken, OrgRef, TokenKind};
use petsem_policy::UnverifiedToken;
use zeroize::Zeroizing;

use super::{destination::Destination, limits};
use crate::arguments::secret_name;
use crate::context::Connection;
use crate::duration::Seconds;
use crate::failure::Failure;
use crate::remote::Remote;
use crate::{clock, messages, output};

/// What the server gives a token for which no lifetime is asked, in seconds.
const DEFAULT_LIFE: u64 = 24 * 60 * 60;

/// Mint a token that allows no more than yours, and ends no later
///
/// Without --out, it is written to standard output, unless that is a terminal.
#[derive(Args)]
pub(crate) struct Create {
    /// The kind of token
    #[arg(long, value_enum, default_value_t = Kind::Org)]
    kind: Kind,

    /// The org that it works in, by name or id (kind org) [default: the context file's]
    #[arg(long, value_name = "ORG")]
    org: Option<OrgRef>,

    /// The host that it works on (kind host), enrolled with `petsem host enroll`
    #[arg(long, value_name = "HOST", required_if_eq("kind", "host"))]
    host: Option<HostId>,

    /// The location of the registered discharger for its discharges (kind host) [default: petsem itself]
    #[arg(long, value_name = "URL")]
    discharger: Option<String>,

    /// Only this app, by name or id; may be repeated
    #[arg(long = "app", value_name = "APP")]
    apps: Vec<AppRef>,

    /// Only this secret; may be repeated
    #[arg(long = "secret", value_name = "NAME")]
    secrets: Vec<String>,

    /// Only secrets whose names start with this prefix; may be repeated
    #[arg(long = "secret-prefix", value_name = "PREFIX")]
    secret_prefixes: Vec<String>,

    /// Only this action, such as list, write, delete, boot, mint; may be repeated
    #[arg(long = "action", value_name = "ACTION")]
    actions: Vec<String>,

    /// Only this Machine; may be repeated
    #[arg(long = "machine", value_name = "MACHINE")]
    machines: Vec<MachineId>,

    /// Its lifetime, such as 15m, 24h or 30d [default: 1d]
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<Seconds>,

    /// The holder of the token [default: the holder of yours]
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,

    #[command(flatten)]
    destination: Destination,

    /// Print id and expiry as JSON; with --out, without the token
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Works inside one org
    Org,
    /// Boots Machines on one host, with a discharge for each
    Host,
    /// Runs the installation
    Operator,
}

impl Create {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let destination = self.destination.open()?;
        let secrets = self.secrets.iter().map(|name| secret_name(name)).collect::<Result<_, _>>()?;
        let resolved = self.connection.resolve()?;
        let (kind, org) = match self.kind {
            Kind::Org => (TokenKind::Org, Some(resolved.org(self.org.as_ref())?)),
            Kind::Host => (TokenKind::Host, self.org),
            Kind::Operator => (TokenKind::Operator, self.org),
        };
        let request = CreateToken {
            kind,
            org,
            host: self.host,
            discharger: self.discharger,
            apps: self.apps,
            secrets,
            secret_prefixes: self.secret_prefixes,
            actions: self.actions,
            machines: self.machines,
            expires_in: self.expires_in.map(|life| life.0),
            subject: self.subject,
        };
        let now = i64::try_from(clock::unix_now()).unwrap_or(i64::MAX);
        // Without --expires-in it may end earlier, too: the default is a day.
        let life = request.expires_in.unwrap_or(DEFAULT_LIFE);
        let wanted_end = now.saturating_add(i64::try_from(life).unwrap_or(i64::MAX));
        let mut minted: MintedToken = Remote::open(&resolved)?.post("/v1/tokens", &request)?;
        let token = Zeroizing::new(std::mem::take(&mut minted.token));
        if let Ok(token) = UnverifiedToken::parse(&token) {
            limits::notes(&token, Some(wanted_end), now).iter().for_each(|note| output::notice(note));
        }
        if self.json {
            let token = destination.write_to_file(&token)?;
            let report = MintReport { id: minted.id, token, expires_at: &minted.expires_at };
            return output::confirm(true, &report, "");
        }
        destination.write(&token, &messages::token_minted(&minted))?;
        self.destination.file().iter().for_each(|file| resolved.note_use_of(file));
        Ok(())
    }
}

/// [`MintedToken`], with the token only if it is not written to a file.
#[derive(serde::Serialize)]
struct MintReport<'a> {
    id: petsem_api::TokenUuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    expires_at: &'a str,
}
