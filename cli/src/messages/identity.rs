//! Who a command is, and who can read a secret.

use std::path::Path;

use petsem_api::{AppRef, SecretName, escaped};

use super::phrasing::file_name;
use crate::commands::{Identity, Readers};
use crate::context::Origin;
use crate::failure::{Exit, Failure};
use crate::held_token::{HeldKind, HeldToken};

/// Width of the labels.
const LABEL: usize = 12;

pub(crate) fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Option(option) => (*option).to_owned(),
        Origin::Variable(variable) => format!("the variable {variable}"),
        Origin::Context(file) => format!("the context file {}", file.display()),
        Origin::Found(file) => format!("the context file {}, found in this directory", file.display()),
    }
}

pub(crate) const A_JWT: &str = "a JWT";

/// What a file holds, in a sentence.
pub(crate) fn kind_in_words(kind: HeldKind) -> &'static str {
    match kind {
        HeldKind::Operator => "an operator's token",
        HeldKind::Org => "a token of an org",
        HeldKind::Host => "a host's token",
        HeldKind::BreakGlass => "a break-glass token",
        HeldKind::Exchanged => "a token that was exchanged for a JWT",
    }
}

pub(crate) fn not_a_host_token(file: &Path, found: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} holds {found}; a boot needs a host's token there", file_name(file)),
        "give the token of `petsem token create --kind host` as --host-token-file; what proves the boot is given as \
         --token-file or --jwt-file",
    )
}

pub(crate) fn not_a_proof(file: &Path, found: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} holds {found}, which proves no boot", file_name(file)),
        "give a token of the app's org that may boot, such as its owner's (`petsem operator owner`), as --token-file, or \
         a JWT that the app's policy accepts as --jwt-file; the host's token is --host-token-file",
    )
}

pub(crate) fn jwt_in_token_file(file: &Path) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} holds a JWT; a token is expected there", file_name(file)),
        format!("give it as --jwt-file {}", file.display()),
    )
}

pub(crate) fn not_tokens(file: &Path) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} has no petsem token", file_name(file)),
        "name a file with a text that starts with fm2_; for a JWT, `petsem policy test` says what it may read",
    )
}

pub(crate) fn identity(identity: &Identity) -> String {
    let mut lines = Vec::new();
    let mut row = |label: &str, text: &str| {
        lines.push(format!("{label:<LABEL$}{}", escaped(text, &[])).trim_end().to_owned());
    };
    row("server", &format!("{}, from {}", identity.server, identity.server_from));
    row("token file", &format!("{}, from {}", identity.token_file, identity.token_from));
    row(
        "accepted",
        match identity.accepted {
            Some(true) => "yes, the server accepts it",
            Some(false) => "NO, the server refuses it",
            None => "not tested",
        },
    );
    for token in &identity.tokens {
        describe(token, &mut row);
    }
    lines.join("\n")
}

fn describe(token: &HeldToken, row: &mut dyn FnMut(&str, &str)) {
    row("token", &token.id);
    row(
        "kind",
        match token.kind {
            HeldKind::Operator => "operator: for the installation",
            HeldKind::Org => "org: for an org, or some of its apps",
            HeldKind::Host => "host: boots Machines, with a discharge for each",
            HeldKind::BreakGlass => "break-glass: reads one app's values, with another person's approval",
            HeldKind::Exchanged => "exchanged for a workload's JWT",
        },
    );
    row("holder", token.holder.as_deref().unwrap_or("not named"));
    token.org.iter().for_each(|org| row("org", &org.to_string()));
    let ids = token.apps.iter().flatten().map(ToString::to_string).collect::<Vec<_>>();
    token.apps.iter().for_each(|_| row("apps", &ids.join(", ")));
    token.hosts.iter().for_each(|hosts| row("hosts", &hosts.join(", ")));
    row(
        "expires",
        &match (&token.expires_at, token.expired) {
            (None, _) => "never".to_owned(),
            (Some(at), false) => at.clone(),
            (Some(at), true) => format!("EXPIRED at {at}"),
        },
    );
    row("may", &if token.may.is_empty() { "nothing".to_owned() } else { token.may.join(", ") });
    for (at, caveat) in token.caveats.iter().enumerate() {
        row(if at == 0 { "caveats" } else { "" }, caveat);
    }
    token.undischarged.iter().for_each(|location| row("needs", &format!("a discharge from {location}")));
}

pub(crate) fn no_such_secret(name: &SecretName, app: &AppRef, similar: Option<&SecretName>) -> Failure {
    let hint = match similar {
        Some(similar) => format!("it has {similar}; `petsem secrets list --app {app}` lists all names"),
        None => format!("`petsem secrets list --app {app}` lists all names"),
    };
    Failure::new(Exit::Refused, format!("the app {app} has no secret {name}"), hint)
}

pub(crate) fn readers(readers: &Readers) -> String {
    let secret = &readers.secret;
    let mut lines = vec![
        format!("{:<LABEL$}{}", "secret", secret.name),
        format!("{:<LABEL$}{}", "app", readers.app),
        format!(
            "{:<LABEL$}{}, set at {} by {}",
            "version", secret.set_in_version, secret.updated_at, secret.author
        ),
        format!("{:<LABEL$}{}", "digest", secret.digest),
    ];
    let rules = match &readers.rules {
        None => vec![
            "the rules of the app's policy, which this token may not see: it lacks manage_policy".to_owned(),
        ],
        Some(rules) if rules.is_empty() => {
            vec!["nobody: the app's policy has no rule for it; see `petsem policy set`".to_owned()]
        }
        Some(rules) => rules
            .iter()
            .map(|rule| {
                let whose = if rule.boots { "Machines that boot with proofs" } else { "workloads with JWTs" };
                let claims = rule.claims.as_ref().map(|claims| format!(" with the claims {claims}"));
                let claims = claims.unwrap_or_default();
                format!("{whose} of {}{claims}, by rule {}", rule.accepts, rule.name)
            })
            .collect(),
    };
    for (at, rule) in rules.iter().enumerate() {
        let label = if at == 0 { "read by" } else { "" };
        lines.push(format!("{label:<LABEL$}{}", escaped(rule, &[])));
    }
    lines.join("\n")
}

pub(crate) fn no_value_read(name: &SecretName, app: &AppRef) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("the value of {name} was not read: nobody reads a value alone"),
        format!(
            "with a JWT that a rule accepts: petsem run --app {app} --only {name} -- COMMAND. A person asks another one: \
             petsem break-glass --app {app} --reason TEXT, then the same with --break-glass break-glass.token, or petsem \
             secrets list --app {app} --show --token-file break-glass.token"
        ),
    )
}
