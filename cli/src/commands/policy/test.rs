//! `petsem policy test`.

use std::path::PathBuf;

use clap::Args;
use petsem_api::{App, AppId, AppName, HostId, MachineId, PolicyDocument, SecretName};
use petsem_policy::evaluate::{AppPolicy, BootRequest, Claims, PolicyQuestion};
use serde::Serialize;

use crate::context::{AppArgument, Connection};
use crate::failure::Failure;
use crate::remote::Remote;
use crate::{messages, output, value_source};

use super::MAX_POLICY;

/// Longest claims or JWT.
const MAX_CLAIMS: usize = 64 * 1024;

/// Ask an app's policy what a JWT with these claims may do; nothing is signed, and nothing done
///
/// Without --policy the policy is the app's at the server. With it no server is asked, and for a boot the app is named
/// by --app-id and --app. The status is 1 where no rule allows it.
#[derive(Args)]
pub(crate) struct Test {
    /// The claims as a JSON object, or a JWT, whose signature is not checked; - for standard input
    #[arg(value_name = "CLAIMS_FILE")]
    claims: PathBuf,

    /// Try this policy instead of the app's
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// May it read this secret?
    #[arg(long, value_name = "NAME", conflicts_with_all = ["machine", "host"], required_unless_present = "machine")]
    secret: Option<SecretName>,

    /// May it boot this Machine on --host?
    #[arg(long, value_name = "MACHINE", requires = "host")]
    machine: Option<MachineId>,

    /// The Machine's host
    #[arg(long, value_name = "HOST", requires = "machine")]
    host: Option<HostId>,

    /// The app's id, where --policy is tried for a boot
    #[arg(long, value_name = "ID", requires = "policy")]
    app_id: Option<AppId>,

    #[command(flatten)]
    app: AppArgument,

    /// Print it as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

/// What the policy says.
#[derive(Serialize)]
pub(crate) struct Tested {
    /// The rule that allows it; none where none does.
    pub(crate) allowed_by: Option<String>,
    /// The rule that the fewest changes would make pass; none where one allows, or there is no rule.
    pub(crate) nearest: Option<String>,
    /// What each rule says.
    pub(crate) rules: Vec<TestedRule>,
}

/// What one rule says.
#[derive(Serialize)]
pub(crate) struct TestedRule {
    /// Its name.
    pub(crate) rule: String,
    /// What would all have to be different; empty: it allows.
    pub(crate) changes: Vec<String>,
}

struct Asked {
    policy: String,
    id: AppId,
    name: AppName,
}

impl Test {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let asked = self.asked()?;
        let policy = AppPolicy::parse(&asked.policy).map_err(|error| messages::policy_unreadable(&error))?;
        let claims = self.claims()?;
        let question = match (&self.secret, &self.machine, &self.host) {
            (Some(secret), _, _) => PolicyQuestion::Read(secret.as_str()),
            (None, Some(machine), Some(host)) => PolicyQuestion::Boot(BootRequest {
                app_id: *asked.id.as_bytes(),
                app_name: asked.name.as_str(),
                machine: machine.as_str(),
                host: host.as_str(),
            }),
            _ => return Err(messages::nothing_to_test()),
        };
        let explanation = policy.explain(&claims, &question);
        let tested = Tested {
            nearest: explanation.smallest_change().map(|rule| rule.rule.clone()),
            rules: explanation
                .rules
                .iter()
                .map(|rule| TestedRule {
                    rule: rule.rule.clone(),
                    changes: rule.refusals.iter().map(|refusal| refusal.change.to_string()).collect(),
                })
                .collect(),
            allowed_by: explanation.decision.ok().map(|allowed| allowed.rule),
        };
        output::confirm(self.json, &tested, messages::policy_tested(&tested).trim_end())?;
        if tested.allowed_by.is_some() { Ok(()) } else { Err(messages::policy_refuses()) }
    }

    fn asked(&self) -> Result<Asked, Failure> {
        if let Some(path) = &self.policy {
            let bytes = value_source::public_file_or_stdin(path, MAX_POLICY)?;
            let policy = String::from_utf8(bytes.to_vec()).map_err(|_| messages::policy_not_text())?;
            let name = match (&self.app.app, self.machine.is_some()) {
                (Some(petsem_api::AppRef::Name(name)), _) => Some(name.clone()),
                (_, false) => "any".parse().ok(),
                (_, true) => None,
            };
            let id = self.app_id.or((self.machine.is_none()).then(|| AppId::from_bytes([0; 16])));
            let (Some(name), Some(id)) = (name, id) else { return Err(messages::test_needs_app()) };
            return Ok(Asked { policy, id, name });
        }
        let resolved = self.connection.resolve()?;
        let app = resolved.app(&self.app)?;
        let remote = Remote::open(&resolved)?;
        let shown: App = remote.get(&format!("/v1/apps/{app}"))?;
        let document: PolicyDocument = remote.get(&format!("/v1/apps/{app}/policy"))?;
        Ok(Asked { policy: document.policy.to_string(), id: shown.id, name: shown.name })
    }

    fn claims(&self) -> Result<Claims, Failure> {
        let bytes = value_source::public_file_or_stdin(&self.claims, MAX_CLAIMS)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| messages::claims_not_text())?.trim();
        let claims = if text.starts_with('{') {
            Claims::danger_assume(text)
        } else {
            Claims::danger_read_unverified(text)
        };
        claims.map_err(|error| messages::no_claims(&error))
    }
}
