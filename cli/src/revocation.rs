//! The arguments that name what to revoke: for `petsem token revoke` and `petsem operator deny`.

use clap::{ArgGroup, Args};
use petsem_api::{AppRef, HostId, MachineId, RevokeRequest, SigningKeyId, TokenUuid};

use crate::failure::Failure;
use crate::messages;
use crate::timestamp::Timestamp;

#[derive(Args)]
#[command(group(ArgGroup::new("what").required(true).args(["id", "key", "machine", "host", "sub", "all_jwts", "jti"])))]
#[command(group(ArgGroup::new("of_issuer").args(["sub", "all_jwts", "jti"])))]
#[command(group(ArgGroup::new("by_time").args(["sub", "all_jwts"])))]
#[command(group(ArgGroup::new("of_subject").args(["issuer", "discharger"])))]
pub(crate) struct Revocation {
    /// The token's id, as `petsem token list` and `inspect` show it
    #[arg(value_name = "TOKEN_ID")]
    id: Option<TokenUuid>,

    /// All tokens of this signing key, and all tokens that descend from them; not a key that signs new tokens
    #[arg(long, value_name = "KEY_ID")]
    key: Option<SigningKeyId>,

    /// This Machine of --app
    #[arg(long, value_name = "MACHINE", requires = "app")]
    machine: Option<MachineId>,

    /// The Machine's app, by name or id
    #[arg(long, value_name = "APP", requires = "machine")]
    app: Option<AppRef>,

    /// This host
    #[arg(long, value_name = "HOST")]
    host: Option<HostId>,

    /// The issuer of the JWTs that --sub, --all-jwts or --jti names, exactly as in `iss`
    #[arg(long, value_name = "ISSUER", requires = "of_issuer")]
    issuer: Option<String>,

    /// The JWTs of this subject of --issuer, exactly as in `sub`; or the boots that --discharger proved for it
    #[arg(long, value_name = "SUBJECT", requires = "of_subject")]
    sub: Option<String>,

    /// The location of the outside discharger that proved boots for --sub
    #[arg(long, value_name = "URL", requires = "sub")]
    discharger: Option<String>,

    /// All JWTs of --issuer, of every subject
    #[arg(long, requires = "issuer")]
    all_jwts: bool,

    /// Only JWTs issued, or boots proved, before this time, such as 2026-01-31T12:00:00Z [default: all issued so far]
    #[arg(long, value_name = "TIME", requires = "by_time")]
    before: Option<Timestamp>,

    /// The one JWT of --issuer with this `jti`
    #[arg(long, value_name = "JTI", requires = "issuer")]
    jti: Option<String>,

    /// Also if petsem does not know it: a discharge or renewal, a host or issuer that is not registered yet
    #[arg(long, conflicts_with_all = ["key", "machine"])]
    unknown: bool,
}

impl Revocation {
    pub(crate) fn request(&self) -> Result<RevokeRequest, Failure> {
        let unknown = self.unknown;
        let issuer = || self.issuer.clone().unwrap_or_default();
        let request = match self {
            Self { id: Some(id), .. } => RevokeRequest::Token { id: *id, unknown },
            Self { key: Some(id), .. } => RevokeRequest::SigningKey { id: *id },
            Self { machine: Some(machine), app: Some(app), .. } => {
                RevokeRequest::Machine { app: app.clone(), machine: machine.clone() }
            }
            Self { host: Some(host), .. } => RevokeRequest::Host { host: host.clone(), unknown },
            Self { sub: Some(sub), discharger: Some(discharger), .. } => RevokeRequest::DischargerSubject {
                discharger: discharger.clone(),
                sub: sub.clone(),
                before: self.before.map(|time| time.0),
                unknown,
            },
            Self { sub: Some(sub), .. } => RevokeRequest::JwtSubject {
                issuer: issuer(),
                sub: sub.clone(),
                before: self.before.map(|time| time.0),
                unknown,
            },
            Self { all_jwts: true, .. } => {
                RevokeRequest::JwtIssuer { issuer: issuer(), before: self.before.map(|time| time.0), unknown }
            }
            Self { jti: Some(jti), .. } => RevokeRequest::Jwt { issuer: issuer(), jti: jti.clone(), unknown },
            _ => return Err(messages::nothing_to_revoke()),
        };
        Ok(request)
    }
}
