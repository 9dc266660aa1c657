//! `petsem token explain`.

use std::path::{Path, PathBuf};

use clap::Args;
use petsem_api::{
    AppRef, ExplainToken, ExplainedRefusal, ExplainedToken, Explanation, HostId, MachineId, OrgRef,
    SecretKeyName, SecretName, TokenUuid,
};
use petsem_policy::{Access, Action, Caveat, Denial, Header, Origin, UnverifiedToken};

use crate::context::{AppArgument, Connection, Resolved};
use crate::failure::Failure;
use crate::remote::Remote;
use crate::{clock, messages, output, value_source};

/// Explain why a token refuses a request, and what to change
///
/// The request itself is not made. The server resolves names, verifies signatures and checks revocations. With
/// --offline, no server is called: signatures are not verified, and --app and --org must be ids. The exit status is 1 if
/// no token allows the request.
#[derive(Args)]
pub(crate) struct Explain {
    /// The action, such as read_value, write, list, boot or mint
    #[arg(long, value_name = "ACTION")]
    action: String,

    /// The app [default: the context file's, if a secret, a key or a Machine is named and no org]
    #[arg(long, value_name = "APP")]
    app: Option<AppRef>,

    /// The org, if there is no app
    #[arg(long, value_name = "ORG", conflicts_with = "app")]
    org: Option<OrgRef>,

    /// The secret
    #[arg(long, value_name = "NAME")]
    secret: Option<SecretName>,

    /// The secret key
    #[arg(long, value_name = "LABEL")]
    key: Option<SecretKeyName>,

    /// The Machine
    #[arg(long, value_name = "MACHINE")]
    machine: Option<MachineId>,

    /// The host that the request would come from
    #[arg(long, value_name = "HOST")]
    host: Option<HostId>,

    /// Explain the token in this file, or - for standard input, without calling a server
    #[arg(long, value_name = "TOKEN_FILE")]
    offline: Option<PathBuf>,

    /// Print the explanation as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

impl Explain {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let explanation = match &self.offline {
            Some(path) => {
                let text = value_source::token(path)?;
                self.offline(path, &text, clock::unix_now())?
            }
            None => {
                let resolved = self.connection.resolve()?;
                Remote::open(&resolved)?.post("/v1/tokens/explain", &self.request(&resolved))?
            }
        };
        output::confirm(self.json, &explanation, messages::token_explanation(&explanation).trim_end())?;
        if explanation.allowed { Ok(()) } else { Err(messages::not_allowed()) }
    }

    fn request(&self, resolved: &Resolved) -> ExplainToken {
        // Whatever belongs to an app uses the same default app as every other command.
        let needs_app = self.secret.is_some() || self.key.is_some() || self.machine.is_some();
        let app = match &self.app {
            None if needs_app && self.org.is_none() => resolved.app(&AppArgument { app: None }).ok(),
            given => given.clone(),
        };
        ExplainToken {
            action: self.action.clone(),
            org: self.org.clone(),
            app,
            secret: self.secret.clone(),
            secret_key: self.key.clone(),
            machine: self.machine.clone(),
            host: self.host.clone(),
        }
    }

    fn offline(&self, file: &Path, text: &str, now: u64) -> Result<Explanation, Failure> {
        let action = Action::from_name(&self.action).ok_or_else(messages::unknown_action)?;
        let app = match &self.app {
            Some(AppRef::Id(id)) => Some(*id.as_bytes()),
            Some(AppRef::Name(_)) => return Err(messages::offline_needs_ids()),
            None => None,
        };
        let org = match &self.org {
            Some(OrgRef::Id(id)) => Some(*id.as_bytes()),
            Some(OrgRef::Name(_)) => return Err(messages::offline_needs_ids()),
            None => None,
        };
        let access = Access {
            org,
            app,
            secret: self.secret.as_ref().map(SecretName::as_str),
            secret_key: self.key.as_ref().map(SecretKeyName::as_str),
            machine: self.machine.as_ref().map(MachineId::as_str),
            host: self.host.as_ref().map(HostId::as_str),
            ..Access::new(action, i64::try_from(now).unwrap_or(i64::MAX), 0)
        };
        let parse = |location: &str| {
            Header::parse(text, location).map_err(|error| messages::header_refused(file, &error))
        };
        // The location of the first token tells which tokens are permissions; the others are their discharges.
        let unsorted = parse("")?;
        let first = unsorted.elements().iter().find_map(|element| element.token());
        let header = parse(first.ok_or_else(|| messages::no_token(file))?.location())?;
        let discharges = header.discharges();
        let tokens: Vec<ExplainedToken> =
            header.permissions().map(|token| explained(token, &discharges, &access)).collect();
        let allowed = tokens.iter().any(|token| token.refusals.is_empty());
        Ok(Explanation { allowed, tokens })
    }
}

/// Without a server, an app's org is unknown: a caveat about the org only is not counted as a refusal.
fn explained(
    token: &UnverifiedToken,
    discharges: &[&UnverifiedToken],
    access: &Access<'_>,
) -> ExplainedToken {
    let unknown_org = |denial: &Denial| {
        access.app.is_some()
            && denial.reason == petsem_policy::Reason::Unspecified(petsem_policy::Resource::Organization)
    };
    let denials = token.danger_denials(discharges, access);
    let mut refusals: Vec<ExplainedRefusal> =
        denials.iter().filter(|denial| !unknown_org(denial)).map(|denial| refusal(token, denial)).collect();
    refusals.extend(
        token.undischarged(discharges).iter().map(|(location, _)| messages::discharge_missing(location)),
    );
    ExplainedToken { id: TokenUuid::from_bytes(*token.id().as_bytes()), refusals }
}

fn refusal(token: &UnverifiedToken, denial: &Denial) -> ExplainedRefusal {
    let caveat = denial.caveat.and_then(|at| match at.origin {
        Origin::Token => token.caveats().get(at.index).map(Caveat::describe),
        Origin::Discharge { .. } => Some(messages::discharge_caveat(at.kind)),
    });
    ExplainedRefusal { caveat, code: denial.reason.code().to_owned(), reason: denial.reason.to_string() }
}
