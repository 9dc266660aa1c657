//! `petsem policy test`.

use std::path::PathBuf;

use clap::Args;
use petsem_api::{App, AppId, AppName, AppRef, HostId, MachineId, PolicyDocument, SecretName};
use petsem_policy::evaluate::{AppPolicy, BootRequest, Claims, PolicyQuestion};
use serde_json::Value;

use super::unmatched;
use crate::context::{AppArgument, Connection};
use crate::failure::Failure;
use crate::remote::Remote;
use crate::report::{PolicyTest, RuleTest};
use crate::{clock, messages, output, value_source};

/// Largest policy file.
pub(super) const MAX_POLICY: usize = 256 * 1024;
/// Longest claims or JWT.
const MAX_CLAIMS: usize = 64 * 1024;

/// Test whether an app's policy allows a request with these claims; nothing is signed or changed
///
/// Without --policy, the server's policy of the app is tested. With it, no server is called, and --app-id and --app name
/// the app of a boot. The exit status is 1 if no rule allows the request; that the JWT has expired, and what its audience
/// must be, is only reported.
#[derive(Args)]
pub(crate) struct Test {
    /// The claims as a JSON object, or a JWT, whose signature is not checked; - for standard input
    #[arg(value_name = "CLAIMS_FILE")]
    claims: PathBuf,

    /// Test this policy instead of the app's
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Test whether it may read this secret
    #[arg(long, value_name = "NAME", conflicts_with_all = ["machine", "host"], required_unless_present = "machine")]
    secret: Option<SecretName>,

    /// Test whether it may boot this Machine on --host
    #[arg(long, value_name = "MACHINE", requires = "host")]
    machine: Option<MachineId>,

    /// The Machine's host
    #[arg(long, value_name = "HOST", requires = "machine")]
    host: Option<HostId>,

    /// The app's id, to test --policy for a boot
    #[arg(long, value_name = "ID", requires = "policy")]
    app_id: Option<AppId>,

    #[command(flatten)]
    app: AppArgument,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

/// A policy, and the app that it is tested for.
struct Subject {
    policy: String,
    id: AppId,
    name: AppName,
    /// The server of the policy.
    remote: Option<Remote>,
}

impl Test {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let subject = self.subject()?;
        let policy = AppPolicy::parse(&subject.policy)
            .map_err(|error| messages::invalid_policy(self.policy.as_deref(), &error))?;
        let claims = self.claims()?;
        let question = match (&self.secret, &self.machine, &self.host) {
            (Some(secret), _, _) => PolicyQuestion::Read(secret.as_str()),
            (None, Some(machine), Some(host)) => PolicyQuestion::Boot(BootRequest {
                app_id: *subject.id.as_bytes(),
                app_name: subject.name.as_str(),
                machine: machine.as_str(),
                host: host.as_str(),
            }),
            _ => return Err(messages::nothing_to_test()),
        };
        let explanation = policy.explain(&claims, &question);
        let tested = PolicyTest {
            nearest: explanation.nearest().map(|rule| rule.rule.clone()),
            rules: explanation
                .rules
                .iter()
                .map(|rule| RuleTest {
                    rule: rule.rule.clone(),
                    changes: rule.refusals.iter().map(messages::needed_change).collect(),
                })
                .collect(),
            allowed_by: explanation.decision.ok().map(|allowed| allowed.rule),
            jwt: vec![expiry(&claims), audience(&claims)],
        };
        output::confirm(self.json, &tested, messages::policy_tested(&tested).trim_end())?;
        if let Some(remote) = &subject.remote {
            unmatched::warn(remote, &AppRef::Name(subject.name), &policy);
        }
        if tested.allowed_by.is_some() { Ok(()) } else { Err(messages::policy_refuses()) }
    }

    fn subject(&self) -> Result<Subject, Failure> {
        if let Some(path) = &self.policy {
            let bytes = value_source::public_text_or_stdin(path, MAX_POLICY)?;
            let policy = String::from_utf8(bytes.to_vec()).map_err(|_| messages::policy_not_text())?;
            let name = match (&self.app.app, self.machine.is_some()) {
                (Some(AppRef::Name(name)), _) => Some(name.clone()),
                (_, false) => "any".parse().ok(),
                (_, true) => None,
            };
            let id = self.app_id.or((self.machine.is_none()).then(|| AppId::from_bytes([0; 16])));
            let (Some(name), Some(id)) = (name, id) else { return Err(messages::test_needs_app()) };
            return Ok(Subject { policy, id, name, remote: None });
        }
        let resolved = self.connection.resolve()?;
        let app = resolved.app(&self.app)?;
        let remote = Remote::open(&resolved)?;
        let found: App = remote.get(&format!("/v1/apps/{app}"))?;
        let document: PolicyDocument = remote.get(&format!("/v1/apps/{app}/policy"))?;
        let policy = document.policy.to_string();
        Ok(Subject { policy, id: found.id, name: found.name, remote: Some(remote) })
    }

    fn claims(&self) -> Result<Claims, Failure> {
        let bytes = value_source::public_text_or_stdin(&self.claims, MAX_CLAIMS)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| messages::claims_not_text())?.trim();
        let claims = if text.starts_with('{') {
            Claims::danger_assume(text)
        } else {
            Claims::danger_read_unverified(text)
        };
        claims.map_err(|error| messages::invalid_claims(&error))
    }
}

/// How long a server accepts a JWT after its expiry, in seconds: clocks differ.
const SKEW: i64 = 30;

/// By this machine's clock.
fn expiry(claims: &Claims) -> String {
    let now = i64::try_from(clock::unix_now()).unwrap_or(i64::MAX);
    match claims.get("exp").and_then(Value::as_i64) {
        Some(exp) => messages::jwt_expiry(exp, exp.saturating_add(SKEW) < now),
        None => messages::NO_EXPIRY.to_owned(),
    }
}

/// Only the server knows the name of its installation.
fn audience(claims: &Claims) -> String {
    messages::jwt_audience(claims.get("aud").map(Value::to_string).as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expiry_of_a_jwt_is_reported() {
        let of = |json: &str| expiry(&Claims::danger_assume(json).unwrap());
        assert_eq!(
            of(r#"{"exp": 1}"#),
            "the JWT has EXPIRED, at 1970-01-01T00:00:01Z: every server refuses it, whatever the policy says"
        );
        assert_eq!(of(r#"{"exp": 32503680000}"#), "the JWT expires at 3000-01-01T00:00:00Z");
        assert_eq!(of("{}"), messages::NO_EXPIRY);
    }

    #[test]
    fn the_audience_of_a_jwt_is_shown_and_said_to_be_untested() {
        let of = |json: &str| audience(&Claims::danger_assume(json).unwrap());
        let rest = "not tested: it must be the `name` of the server's configuration, unless the issuer's registration and \
                    the rule name another one";
        assert_eq!(of(r#"{"aud": ["a", "b"]}"#), format!("the JWT's `aud` is [\"a\",\"b\"], {rest}"));
        assert_eq!(of("{}"), format!("the JWT's `aud` is missing, {rest}"));
    }
}
